//! By a ring of io_uring: one operation accepts all who connect, and each socket is watched by an operation
//! that completes once. So a socket that has something costs no call to be told, and watching it again
//! leaves with the next call that is made anyway: to sleep is one call, whatever changed before.
//!
//! The kernel cancels what a thread has asked for when that thread ends; sockets are watched again then.

use super::wake::Wake;
use super::{BESIDE, LISTENER, MAX_READY, Ready, State, WAKER, sleeps};
use maser_shm::os::uring::op::socket::WRITABLE;
use maser_shm::os::uring::{Completion, Operation, OperationId, Ring, SocketOperation};
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// Operations that are handed over by one call.
const QUEUED: u32 = 64;
/// Operations beside those that watch sockets of connections: some of those are given up and not back yet.
const OTHERS: usize = 1024;

/// See the module's page.
pub(in crate::tcp) struct Rings {
    ring: Ring,
    listener: Arc<OwnedFd>,
    wake: Wake,
    /// What wakes it, where no thread can send the ring a message.
    eventfd: Option<Arc<OwnedFd>>,
    /// Descriptors beside the sockets, and whether each is watched.
    beside: Vec<(Arc<OwnedFd>, bool)>,
    /// Who connected, and why nobody more can.
    accepted: VecDeque<io::Result<OwnedFd>>,
    is_accepting: bool,
}

impl Rings {
    pub(super) fn new(listener: &Arc<OwnedFd>, max: usize) -> io::Result<Self> {
        let ring = Ring::for_waiting(QUEUED, max + OTHERS).map_err(io::Error::other)?;
        let (wake, eventfd) = match ring.waker() {
            Ok(waker) => (Wake::by_ring(waker), None),
            Err(_) => {
                let (wake, eventfd) = Wake::by_eventfd()?;
                (wake, Some(eventfd))
            }
        };
        let mut rings = Self {
            ring,
            listener: listener.clone(),
            wake,
            eventfd,
            beside: Vec::new(),
            accepted: VecDeque::new(),
            is_accepting: false,
        };
        rings.accept_more();
        rings.watch_eventfd();
        rings.ring.submit()?;
        Ok(rings)
    }

    fn push(&mut self, key: u64, operation: SocketOperation) -> io::Result<OperationId> {
        let pushed = self.ring.try_push(key, Operation::Socket(operation));
        pushed.map_err(|_| io::Error::other("the ring has as much under way as it may"))
    }

    fn accept_more(&mut self) {
        let listener = self.listener.clone();
        // Without room now there is some by the next look.
        let pushed = self.push(LISTENER, SocketOperation::Accept { listener });
        self.is_accepting = pushed.is_ok();
    }

    fn watch_eventfd(&mut self) {
        if let Some(socket) = self.eventfd.clone() {
            let watch = SocketOperation::Watch {
                socket,
                bytes: true,
                room: false,
            };
            // There is room: it has just given its own back.
            let _pushed = self.push(WAKER, watch);
        }
    }

    pub(super) fn watch_beside(&mut self, descriptor: OwnedFd) {
        self.beside.push((Arc::new(descriptor), false));
    }

    /// Those that were readable may still be.
    fn watch_all_beside(&mut self) {
        for at in 0..self.beside.len() {
            let (socket, false) = self.beside[at].clone() else {
                continue;
            };
            let watch = SocketOperation::Watch {
                socket,
                bytes: true,
                room: false,
            };
            self.beside[at].1 = self.push(BESIDE + at as u64, watch).is_ok();
        }
    }

    pub(super) fn watch(
        &mut self,
        socket: &Arc<OwnedFd>,
        key: u64,
        state: &mut State,
        (bytes, room): (bool, bool),
    ) -> io::Result<()> {
        if let State::By(id) = std::mem::take(state) {
            self.ring.cancel_later(id);
        }
        if !bytes && !room {
            return Ok(());
        }
        let socket = socket.clone();
        let id = self.push(
            key,
            SocketOperation::Watch {
                socket,
                bytes,
                room,
            },
        )?;
        *state = State::By(id);
        Ok(())
    }

    pub(super) fn rest(&mut self, id: OperationId) {
        self.ring.cancel_later(id);
    }

    /// The operation keeps the socket: the kernel is asked at once.
    pub(super) fn forget(&mut self, id: OperationId) {
        self.ring.cancel(id);
    }

    pub(super) fn look(
        &mut self,
        limit: Option<Duration>,
        mut each: impl FnMut(Ready),
    ) -> io::Result<()> {
        if self.drain(&mut each) || !self.accepted.is_empty() {
            return Ok(());
        }
        if sleeps(&self.wake, limit) {
            self.watch_all_beside();
            let slept = self.ring.sleep(limit);
            self.wake.end_sleep();
            slept?;
            self.drain(&mut each);
        }
        Ok(())
    }

    /// Gives what has completed; true if something has.
    fn drain(&mut self, each: &mut impl FnMut(Ready)) -> bool {
        let mut is_told = false;
        if !self.is_accepting && self.accepted.is_empty() {
            self.accept_more();
        }
        for _ in 0..MAX_READY {
            let Some(completion) = self.ring.try_complete() else {
                break;
            };
            if let Some(ready) = self.take(completion) {
                is_told = true;
                each(ready);
            }
        }
        is_told
    }

    fn take(&mut self, completion: Completion) -> Option<Ready> {
        let Completion {
            id,
            tag: key,
            result,
            is_last,
            socket,
            ..
        } = completion;
        let has_room = result.as_ref().is_ok_and(|flags| flags & WRITABLE != 0);
        match key {
            WAKER => {
                self.watch_eventfd();
                return None;
            }
            LISTENER => {
                self.is_accepting &= !is_last;
                self.accepted.extend(match (socket, result) {
                    (Some(socket), _) => Some(Ok(socket)),
                    (None, Err(error)) => Some(Err(error)),
                    (None, Ok(_)) => None,
                });
            }
            BESIDE..WAKER => {
                if let Some((_, is_watched)) = self.beside.get_mut((key - BESIDE) as usize) {
                    *is_watched = false;
                }
                return None;
            }
            _ => {}
        }
        Some(Ready {
            key,
            has_room,
            spent: (key != LISTENER).then_some(id),
        })
    }

    pub(super) fn accept(&mut self) -> io::Result<OwnedFd> {
        let next = self.accepted.pop_front();
        next.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
    }

    pub(super) fn wake(&self) -> &Wake {
        &self.wake
    }
}
