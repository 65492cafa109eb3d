//! Which sockets have something, who connected, and sleeping until then: a ring of io_uring, or epoll where
//! it is refused.
//!
//! The hot connection, which is read by every poll, is not watched: each arrival would cost a call-back in
//! the kernel, 2 % of a round trip by epoll (by a ring it was not measured). It is watched again before the
//! thread sleeps.
//!
//! - TK-2 a socket that is watched for bytes or room is told as long as it has them: once for each time
//!   that it is watched, or for each look.

mod epoll;
mod ring;
mod wake;

use epoll::Epoll;
use maser_shm::os::uring::{OperationId, Refusal, waiting_available};
use ring::Rings;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use wake::Wake;

/// What the listener is called among the sockets.
pub(super) const LISTENER: u64 = u64::MAX;
/// What the waker is called among them.
const WAKER: u64 = u64::MAX - 1;

/// What the descriptors beside the sockets are called, each by its place behind this.
const BESIDE: u64 = u64::MAX - 1024;

/// Sockets that one look gives.
const MAX_READY: usize = 64;

/// How a transport finds out what its sockets have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PollerChoice {
    /// By a ring where there is one.
    #[default]
    Best,
    /// By a ring, or not at all.
    Ring,
    /// By epoll.
    Epoll,
}

/// What finds it out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollerInUse {
    /// A ring of io_uring.
    Ring,
    /// Epoll, as asked.
    Epoll,
    /// Epoll, as there is no ring: why not, and what to do about it.
    EpollInstead(String),
}

/// A socket that has something.
#[derive(Clone, Copy)]
pub(super) struct Ready {
    pub(super) key: u64,
    pub(super) has_room: bool,
    /// What watched it and does so no more.
    pub(super) spent: Option<OperationId>,
}

/// How a socket is watched.
#[derive(Clone, Copy, Default)]
pub(super) struct Watched {
    /// For bytes, and for room.
    interest: (bool, bool),
    /// It is watched as the hot one, where that is something else.
    is_hot: bool,
    state: State,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    No,
    /// Until it is not any more.
    Registered,
    /// Once.
    By(OperationId),
}

impl Watched {
    pub(super) fn is_for_room(&self) -> bool {
        self.state != State::No && self.interest.1
    }

    /// What watched a socket does so no more. False if something else watches it by now.
    pub(super) fn is_spent(&mut self, id: OperationId) -> bool {
        let is_current = self.state == State::By(id);
        if is_current {
            self.state = State::No;
        }
        is_current
    }
}

/// See the module's page.
pub(super) enum Poller {
    Epoll(Epoll),
    Ring(Box<Rings>),
}

impl Poller {
    /// One for this listener and `max` sockets.
    pub(super) fn new(
        choice: PollerChoice,
        listener: &Arc<OwnedFd>,
        max: usize,
    ) -> io::Result<(Self, PollerInUse)> {
        let opened = match choice {
            PollerChoice::Epoll => None,
            PollerChoice::Best | PollerChoice::Ring => Some(
                waiting_available()
                    .map_err(Refusal::to_string)
                    .and_then(|()| Rings::new(listener, max).map_err(|error| error.to_string())),
            ),
        };
        let refused = match opened {
            Some(Ok(rings)) => return Ok((Self::Ring(Box::new(rings)), PollerInUse::Ring)),
            Some(Err(why)) if choice == PollerChoice::Ring => return Err(io::Error::other(why)),
            Some(Err(why)) => PollerInUse::EpollInstead(why),
            None => PollerInUse::Epoll,
        };
        Ok((Self::Epoll(Epoll::new(listener)?), refused))
    }

    /// Watches `socket` for bytes, and for room, from now on; `is_hot` if it is
    /// likely to be watched again soon.
    pub(super) fn watch(
        &mut self,
        socket: &Arc<OwnedFd>,
        key: u64,
        watched: &mut Watched,
        interest: (bool, bool),
        is_hot: bool,
    ) -> io::Result<()> {
        let is_as_wanted = watched.interest == interest && (is_hot || !watched.is_hot);
        if watched.state != State::No && is_as_wanted {
            return Ok(());
        }
        (watched.interest, watched.is_hot) = (interest, is_hot);
        match self {
            Self::Epoll(epoll) => {
                watched.is_hot = false;
                epoll.watch(socket, key, &mut watched.state, interest)
            }
            Self::Ring(rings) => rings.watch(socket, key, &mut watched.state, interest, is_hot),
        }
    }

    /// Ends sleeps from now on while `descriptor` is readable.
    pub(super) fn watch_beside(&mut self, descriptor: OwnedFd) -> io::Result<()> {
        match self {
            Self::Epoll(epoll) => epoll.watch_beside(descriptor),
            Self::Ring(rings) => {
                rings.watch_beside(descriptor);
                Ok(())
            }
        }
    }

    /// Polls of the hot connection for each look at all: to look by a ring is to look into memory.
    pub(super) fn polls_per_look(&self) -> u32 {
        match self {
            Self::Epoll(_) => 64,
            Self::Ring(_) => 8,
        }
    }

    /// Watches `socket` no more for now.
    pub(super) fn rest(&mut self, socket: &Arc<OwnedFd>, watched: &mut Watched) {
        match (self, std::mem::take(&mut watched.state)) {
            (_, State::No) => {}
            // A socket that is not registered is not watched.
            (Self::Epoll(epoll), _) => drop(epoll.rest(socket)),
            (Self::Ring(rings), State::By(id)) => rings.rest(id),
            (Self::Ring(rings), State::Registered) => rings.rest_hot(socket),
        }
    }

    /// The connection is over: the socket is let go.
    pub(super) fn forget(&mut self, socket: &Arc<OwnedFd>, watched: &mut Watched) {
        match (&mut *self, watched.state) {
            (Self::Ring(rings), State::By(id)) => rings.forget(id),
            _ => self.rest(socket, watched),
        }
    }

    /// Gives what has something by now, or within the limit; `None` is for ever.
    pub(super) fn look(
        &mut self,
        limit: Option<Duration>,
        each: impl FnMut(Ready),
    ) -> io::Result<()> {
        match self {
            Self::Epoll(epoll) => epoll.look(limit, each),
            Self::Ring(rings) => rings.look(limit, each),
        }
    }

    /// Who connected next.
    ///
    /// # Errors
    /// Of the system; [`io::ErrorKind::WouldBlock`] if there is nobody.
    pub(super) fn accept(&mut self, listener: &Arc<OwnedFd>) -> io::Result<OwnedFd> {
        match self {
            Self::Epoll(_) => accept(listener),
            Self::Ring(rings) => rings.accept(),
        }
    }

    /// There is nobody left to accept, which an error for want of descriptors does not say.
    pub(super) fn nobody_more(&mut self) {
        if let Self::Ring(rings) = self {
            rings.nobody_more();
        }
    }

    pub(super) fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        let wake = match self {
            Self::Epoll(epoll) => epoll.wake(),
            Self::Ring(rings) => rings.wake(),
        }
        .clone();
        move || wake.wake()
    }
}

pub(super) fn accept(listener: &Arc<OwnedFd>) -> io::Result<OwnedFd> {
    use rustix::net::SocketFlags;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(rustix::net::accept_with(listener, flags)?)
}

/// Whether a look may sleep: it has a limit that is not over already, and nobody woke it.
fn sleeps(wake: &Wake, limit: Option<Duration>) -> bool {
    limit != Some(Duration::ZERO) && wake.begin_sleep()
}
