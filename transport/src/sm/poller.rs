//! Which sockets have something: epoll, and an eventfd for who wakes the end.

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::{Errno, read, write};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// What the listener and the waker are called among the sockets.
pub(super) const LISTENER: u64 = u64::MAX;
const WAKER: u64 = u64::MAX - 1;
/// Set in the names of sockets that are strangers'.
pub(super) const STRANGER: u64 = 1 << 63;
/// Sockets that one look gives.
const MAX_EVENTS: usize = 64;

/// See the module's page.
pub(super) struct Poller {
    epoll: OwnedFd,
    wake: Arc<OwnedFd>,
}

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, EventData::new_u64(WAKER), EventFlags::IN)?;
        Ok(Self {
            epoll,
            wake: Arc::new(wake),
        })
    }

    /// Looks at `socket` from now on, until it is closed.
    pub(super) fn add(&self, socket: impl AsFd, key: u64) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::RDHUP;
        Ok(epoll::add(
            &self.epoll,
            socket,
            EventData::new_u64(key),
            flags,
        )?)
    }

    /// Calls a socket by another name.
    pub(super) fn rename(&self, socket: impl AsFd, key: u64) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::RDHUP;
        Ok(epoll::modify(
            &self.epoll,
            socket,
            EventData::new_u64(key),
            flags,
        )?)
    }

    /// What has something by now, or within the limit; `None` is for ever.
    pub(super) fn look(
        &self,
        limit: Option<Duration>,
        mut each: impl FnMut(u64),
    ) -> io::Result<()> {
        let limit = limit.map(|limit| Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        });
        let mut space = [const { MaybeUninit::uninit() }; MAX_EVENTS];
        let found = match epoll::wait(&self.epoll, &mut space, limit.as_ref()) {
            Ok((found, _)) => found,
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for event in found {
            match event.data.u64() {
                WAKER => {
                    // Its count is read so that it is waited for again; it is there or it is not.
                    let _count = read(&*self.wake, &mut [0; 8]);
                }
                key => each(key),
            }
        }
        Ok(())
    }

    pub(super) fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        let wake = self.wake.clone();
        move || {
            // Refused only if it is about to overflow, and so awake.
            let _written = write(&*wake, &1_u64.to_ne_bytes());
        }
    }
}
