//! By epoll: sockets are registered, and told for as long as they have something.

use super::wake::Wake;
use super::{BESIDE, LISTENER, MAX_READY, Ready, State, WAKER, sleeps};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// See the module's page.
pub(in crate::tcp) struct Epoll {
    epoll: OwnedFd,
    wake: Wake,
    beside: Vec<OwnedFd>,
}

impl Epoll {
    pub(super) fn new(listener: &Arc<OwnedFd>) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let (wake, eventfd) = Wake::by_eventfd()?;
        for (socket, key) in [(&eventfd, WAKER), (listener, LISTENER)] {
            epoll::add(&epoll, socket, EventData::new_u64(key), EventFlags::IN)?;
        }
        Ok(Self {
            epoll,
            wake,
            beside: Vec::new(),
        })
    }

    pub(super) fn watch(
        &mut self,
        socket: &Arc<OwnedFd>,
        key: u64,
        state: &mut State,
        interest: (bool, bool),
    ) -> io::Result<()> {
        let data = EventData::new_u64(key);
        match std::mem::replace(state, State::Registered) {
            State::No => epoll::add(&self.epoll, socket, data, flags(interest))?,
            _ => epoll::modify(&self.epoll, socket, data, flags(interest))?,
        }
        Ok(())
    }

    pub(super) fn watch_beside(&mut self, descriptor: OwnedFd) -> io::Result<()> {
        let data = EventData::new_u64(BESIDE);
        epoll::add(&self.epoll, &descriptor, data, EventFlags::IN)?;
        self.beside.push(descriptor);
        Ok(())
    }

    pub(super) fn rest(&mut self, socket: &Arc<OwnedFd>) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, socket)?)
    }

    pub(super) fn look(
        &mut self,
        limit: Option<Duration>,
        each: impl FnMut(Ready),
    ) -> io::Result<()> {
        let sleeps = sleeps(&self.wake, limit);
        let limit = limit
            .filter(|_| sleeps)
            .or((!sleeps).then_some(Duration::ZERO));
        let waited = wait(&self.epoll, limit, each);
        if sleeps {
            self.wake.end_sleep();
        }
        waited
    }

    pub(super) fn wake(&self) -> &Wake {
        &self.wake
    }
}

pub(super) fn flags((bytes, room): (bool, bool)) -> EventFlags {
    let mut flags = EventFlags::empty();
    flags.set(EventFlags::IN, bytes);
    flags.set(EventFlags::OUT, room);
    flags
}

/// Gives the sockets that have something, but for those that only end the wait.
pub(super) fn wait(
    epoll: &OwnedFd,
    limit: Option<Duration>,
    mut each: impl FnMut(Ready),
) -> io::Result<()> {
    let limit = limit.map(|limit| Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    let mut space = [const { MaybeUninit::uninit() }; MAX_READY];
    let found = match epoll::wait(epoll, &mut space, limit.as_ref()) {
        Ok((found, _)) => found,
        Err(Errno::INTR) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for event in found {
        let (flags, room) = (event.flags, EventFlags::OUT);
        let failed = EventFlags::ERR | EventFlags::HUP;
        match event.data.u64() {
            WAKER | BESIDE => {}
            key => each(Ready {
                key,
                has_room: flags.intersects(room | failed),
                spent: None,
            }),
        }
    }
    Ok(())
}
