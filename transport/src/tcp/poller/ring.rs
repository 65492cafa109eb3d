//! By a ring of io_uring: one operation accepts all who connect, and each socket is watched by an operation
//! that completes once. So a socket that has something costs no call to be told, and watching it again
//! leaves with the next call that is made anyway: to sleep is one call, whatever changed before.
//!
//! A thread that sleeps time and again for one hot connection sleeps by epoll, on that socket and the ring.
//! Measured, a round trip of 64 B between two threads of one core that sleep, against blocking calls: watched
//! once by the ring and read 1.19, watched on 1.15, received by the ring into its buffers 1.15, epoll 1.12 (of
//! a ring that belongs to one thread 1.15, 1.10, 1.08; but who helps a thread that is stuck has to take its
//! ring). For the same reason sockets are watched by the ring, and read by plain calls.
//!
//! The kernel completes what a thread has asked for when that thread enters it, or at its next interrupt: one
//! that is stuck in a computation may keep who looks for it waiting for a tick of its clock. It cancels what a
//! thread has asked for when that thread ends; sockets are watched again then.

use super::epoll::{flags, wait};
use super::wake::Wake;
use super::{BESIDE, LISTENER, MAX_READY, Ready, State, WAKER, sleeps};
use maser_shm::os::uring::op::socket::WRITABLE;
use maser_shm::os::uring::{Completion, Operation, OperationId, Ring, SocketOperation};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
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
    /// Has the ring and the hot socket.
    epoll: Option<OwnedFd>,
    is_hot_watched: bool,
    /// Descriptors beside the sockets, and whether each is watched.
    beside: Vec<(Arc<OwnedFd>, bool)>,
    /// Who connected, and why nobody more can.
    accepted: VecDeque<io::Result<OwnedFd>>,
    accepting: Accepting,
    /// The last who connected found no descriptor: who is next is waited for, and not accepted before.
    is_short: bool,
}

/// How it hears of who connects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Accepting {
    No,
    /// Each is accepted.
    Each,
    /// The listener is watched.
    Watching,
    /// Somebody is there.
    Ready,
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
            epoll: None,
            is_hot_watched: false,
            beside: Vec::new(),
            accepted: VecDeque::new(),
            accepting: Accepting::No,
            is_short: false,
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
        let (operation, then) = match self.is_short {
            false => (SocketOperation::Accept { listener }, Accepting::Each),
            true => {
                let watch = SocketOperation::Watch {
                    socket: listener,
                    bytes: true,
                    room: false,
                };
                (watch, Accepting::Watching)
            }
        };
        // Without room now there is some by the next look.
        if self.push(LISTENER, operation).is_ok() {
            self.accepting = then;
        }
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
        is_hot: bool,
    ) -> io::Result<()> {
        match std::mem::take(state) {
            State::By(id) => self.ring.cancel_later(id),
            State::Registered => self.rest_hot(socket),
            State::No => {}
        }
        if is_hot && self.watch_hot(socket, key, (bytes, room)).is_ok() {
            *state = State::Registered;
            return Ok(());
        }
        if bytes || room {
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
        }
        Ok(())
    }

    fn watch_hot(
        &mut self,
        socket: &Arc<OwnedFd>,
        key: u64,
        interest: (bool, bool),
    ) -> io::Result<()> {
        let epoll = match self.epoll.take() {
            Some(epoll) => epoll,
            None => {
                let epoll = epoll::create(CreateFlags::CLOEXEC)?;
                let data = EventData::new_u64(WAKER);
                epoll::add(&epoll, &self.ring, data, EventFlags::IN)?;
                epoll
            }
        };
        let added = epoll::add(&epoll, socket, EventData::new_u64(key), flags(interest));
        self.epoll = Some(epoll);
        self.is_hot_watched |= added.is_ok();
        Ok(added?)
    }

    pub(super) fn rest_hot(&mut self, socket: &Arc<OwnedFd>) {
        if let Some(epoll) = &self.epoll {
            // What is not registered is not watched.
            let _outcome = epoll::delete(epoll, socket);
        }
        self.is_hot_watched = false;
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
        if !self.accepted.is_empty() {
            each(Ready {
                key: LISTENER,
                has_room: false,
                spent: None,
            });
        } else if sleeps(&self.wake, limit) {
            self.watch_all_beside();
            let slept = match self.is_hot_watched {
                true => self.sleep_with_hot(limit, &mut each),
                // What was queued leaves with the same call, which returns at once if something is there.
                false => self.ring.sleep(limit),
            };
            self.wake.end_sleep();
            slept?;
        }
        self.drain(&mut each);
        Ok(())
    }

    fn sleep_with_hot(
        &mut self,
        limit: Option<Duration>,
        each: &mut impl FnMut(Ready),
    ) -> io::Result<()> {
        // A wake-up that is taken out of the ring here was seen by its word before.
        if self.drain(each) || self.wake.is_woken() {
            return Ok(());
        }
        match &self.epoll {
            Some(epoll) => wait(epoll, limit, each),
            None => self.ring.sleep(limit),
        }
    }

    /// Gives what has completed; true if something has.
    fn drain(&mut self, each: &mut impl FnMut(Ready)) -> bool {
        let mut is_told = false;
        if self.accepting == Accepting::No && self.accepted.is_empty() {
            self.accept_more();
        }
        for _ in 0..MAX_READY {
            let Some(completion) = self.ring.try_complete() else {
                break;
            };
            is_told = true;
            self.take(completion).into_iter().for_each(&mut *each);
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
            LISTENER if self.accepting == Accepting::Watching => {
                self.accepting = Accepting::Ready;
            }
            LISTENER => {
                if is_last {
                    self.accepting = Accepting::No;
                }
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
            spent: (is_last && key != LISTENER).then_some(id),
        })
    }

    pub(super) fn accept(&mut self) -> io::Result<OwnedFd> {
        let next = match self.accepted.pop_front() {
            Some(next) => next,
            None if self.accepting == Accepting::Ready => super::accept(&self.listener),
            None => return Err(io::ErrorKind::WouldBlock.into()),
        };
        match &next {
            Ok(_) => self.is_short = false,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.accepting = Accepting::No;
            }
            // To accept asks for the descriptor first: it would fail again and again with nobody there.
            Err(_) => self.is_short = true,
        }
        next
    }

    pub(super) fn nobody_more(&mut self) {
        if self.accepting == Accepting::Ready {
            self.accepting = Accepting::No;
        }
    }

    pub(super) fn wake(&self) -> &Wake {
        &self.wake
    }
}
