//! One scheduler's link to a scheduler of another process: a ring each way, and the calls that
//! were sent over it and not answered.
//!
//! - LP-1 rings, what waits for room and the calls in flight are reached under the lock alone. It is
//!   kept by the scheduler of this end, for which it costs a few plain loads and stores; the keeper
//!   enters when the peer has died. Inside, nothing runs that could come back here: results are
//!   completed outside.
//! - LP-2 messages arrive in the order in which they were sent. What does not fit into the ring
//!   waits in `unsent`, and later messages behind it.
//!   What begins to wait there is counted in `backlog`, which an idle link names as a word that
//!   changes, and its scheduler is woken: others than it send as well, while it sleeps.
//! - LP-3 a ticket names a place and how often it was used before: an answer that comes twice, or
//!   for a call that nobody made, completes nothing.
//! - LP-4 after the peer's death what it had published is still taken; then every call in flight is
//!   completed with the error that names the death, and none is accepted any more.
//! - LP-5 while an item of a stream is decoded, which runs code of users, its call is taken out of
//!   its place, and nobody takes the next message: two threads would shift the items. If the link was
//!   closed meanwhile, whoever gives it back completes it.
//! - LP-6 whoever takes a message with objects off the ring reads before it leaves the lock (BK-8).
#![allow(unsafe_code, reason = "type-erased cells, and an end behind a lock")]

use super::bulk::claims::Claims;
use super::bulk::estate;
use super::death::Death;
use super::exports::Target;
use super::link_end::{Came, End, What};
use super::message::{Frame, Head, Kind, Whole};
use super::parcel::{self, IN_STORE};
use super::peer::Peer;
use super::tickets::InFlight;
use super::{answered, serve, stream, wire_error};
use crate::executor::local::Local;
use crate::executor::shared::Shared;
use crate::executor::sources::{Probes, Source};
use crate::object::scope;
use crate::task::raw::Header;
use maser_shm::channel::spsc::{LineReceiver, LineSender};
use maser_shm::channel::{Probe, Shared as SharedRing};
use maser_shm::sync::atomic::{AtomicU64, Ordering};
use maser_shm::sync::owner_lock::{OwnerGuard, OwnerLock, thread_number};
use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

/// Messages served in a row before the loop looks elsewhere.
const SERVE_BATCH: usize = 32;

/// See the module's page.
pub(crate) struct Link {
    pub(crate) peer: Arc<Peer>,
    /// The peer's scheduler at the other end.
    there: usize,
    lock: OwnerLock,
    end: UnsafeCell<End>,
    owner: u64,
    /// LP-2.
    backlog: AtomicU64,
    /// The scheduler of this end.
    here: Arc<Shared>,
}

// SAFETY: LP-1; the cells are those of calls, which any thread may complete.
unsafe impl Send for Link {}
// SAFETY: as above.
unsafe impl Sync for Link {}

struct Inside<'a> {
    _lock: OwnerGuard<'a>,
    link: &'a Link,
}

impl Deref for Inside<'_> {
    type Target = End;

    #[inline(always)]
    fn deref(&self) -> &End {
        // SAFETY: LP-1, under the lock.
        unsafe { &*self.link.end.get() }
    }
}

impl DerefMut for Inside<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut End {
        // SAFETY: as above.
        unsafe { &mut *self.link.end.get() }
    }
}

impl Link {
    /// The link of the calling thread's scheduler over these rings.
    pub(super) fn new(
        peer: Arc<Peer>,
        here: Arc<Shared>,
        there: usize,
        out: LineSender<Frame, SharedRing>,
        incoming: LineReceiver<Frame, SharedRing>,
    ) -> Arc<Self> {
        let owner = thread_number();
        Arc::new(Self {
            peer,
            there,
            lock: OwnerLock::kept_by(owner),
            end: UnsafeCell::new(End::new(out, incoming)),
            owner,
            backlog: AtomicU64::new(0),
            here,
        })
    }

    /// The peer's scheduler at the other end.
    pub(super) fn there(&self) -> usize {
        self.there
    }

    #[inline(always)]
    fn enter(&self, thread: u64) -> Inside<'_> {
        Inside {
            _lock: self.lock.lock(thread),
            link: self,
        }
    }

    /// LP-2.
    #[inline(always)]
    fn push(&self, inside: &mut End, head: Head, body: &[u8]) {
        if inside.push(head, body) {
            self.begins_to_wait();
        }
    }

    #[cold]
    fn begins_to_wait(&self) {
        self.backlog.fetch_add(1, Ordering::SeqCst);
        self.here.event.notify();
    }

    /// Sends a message that is no call.
    pub(crate) fn send(&self, head: Head, body: &[u8]) {
        let mut inside = self.enter(thread_number());
        if inside.closed {
            return;
        }
        self.push(&mut inside, head, body);
        drop(inside);
        self.peer.wake(self.there);
    }

    /// Sends a call; `head` without its ticket. Gives it back if the peer is dead.
    #[inline]
    pub(crate) fn call(
        self: &Arc<Self>,
        mut head: Head,
        body: &[u8],
        call: InFlight,
    ) -> Result<(), InFlight> {
        let mut inside = self.enter(self.owner);
        if inside.closed {
            return Err(call);
        }
        let cell = call.cell;
        head.a = inside.tickets.give(call);
        // SAFETY: the call has not been sent: it is not DONE, and its completion is ours.
        if let Some((_, producer)) = unsafe { Header::stream(cell) } {
            producer.is_at(self, head.a, self.here.index);
        }
        self.push(&mut inside, head, body);
        drop(inside);
        self.peer.wake(self.there);
        Ok(())
    }

    /// The task of a ticket waits: its place is free for another one, or with a flag its CPUs are.
    pub(super) fn task_waits(&self, ticket: u64, flag: u8) {
        let freed = {
            let mut inside = self.enter(thread_number());
            let job = inside.tickets.call(ticket);
            let job = job.and_then(|call| call.job.as_mut());
            job.and_then(|job| job.waits(flag))
        };
        if let Some(freed) = freed {
            freed.give();
        }
    }

    /// Tells the peer that the caller of `cell` has given up, if the call is in flight here.
    pub(super) fn cancel(&self, cell: NonNull<Header>) -> bool {
        let mut inside = self.enter(thread_number());
        let ticket = inside.tickets.of(cell);
        let Some(ticket) = ticket else {
            return false;
        };
        let head = Head {
            kind: Kind::Cancel,
            flag: 0,
            a: ticket,
            b: 0,
        };
        self.push(&mut inside, head, &[]);
        drop(inside);
        self.peer.wake(self.there);
        true
    }

    /// Takes messages that are there, without a scheduler those of a dead peer. True if something was
    /// done. On this end's scheduler, or by whoever settles the dead.
    fn take(self: &Arc<Self>, thread: u64, local: Option<&Local>) -> bool {
        let mut any = false;
        let mut long = Vec::new();
        for _ in 0..SERVE_BATCH {
            let mut inside = self.enter(thread);
            if inside.lends {
                // LP-5. Who settles the dead takes all that was published.
                any |= local.is_none();
                drop(inside);
                maser_shm::os::sched_yield();
                break;
            }
            any |= inside.pump();
            match inside.next() {
                Came::Nothing => break,
                Came::Garbled(garbled) => {
                    drop(inside);
                    self.peer.is_mad(&garbled);
                    break;
                }
                Came::Message(Whole { mut head, short }, what) => {
                    any = true;
                    let _reads = estate::reads(&self.peer, head.flag); // LP-6
                    if short.is_none() {
                        // Handed out of the lock, and its memory given back after.
                        std::mem::swap(&mut long, inside.assembly.body());
                    }
                    drop(inside);
                    let is_stored = head.flag & IN_STORE != 0;
                    if is_stored {
                        if let Some(short) = &short {
                            long.clear();
                            long.extend_from_slice(short.bytes());
                        }
                        head.flag = self.fetch(head.flag, &mut long);
                    }
                    let body = match &short {
                        Some(short) if !is_stored => short.bytes(),
                        _ => &long,
                    };
                    self.settle(thread, local, (head, body, is_stored), what);
                }
            }
        }
        if long.capacity() > 0 {
            let mut inside = self.enter(thread);
            if inside.assembly.is_between_messages()
                && inside.assembly.body().capacity() < long.capacity()
            {
                std::mem::swap(&mut long, inside.assembly.body());
            }
        }
        any
    }

    /// Does what a message is about.
    #[inline(always)]
    fn settle(
        self: &Arc<Self>,
        thread: u64,
        local: Option<&Local>,
        (head, body, was_stored): (Head, &[u8], bool),
        what: What,
    ) {
        match what {
            What::Answer(call) => answered::answered(&self.peer, call, head, body),
            What::Item(call) => {
                let lent = Lent {
                    link: self,
                    thread,
                    ticket: head.a,
                    call: Some(call),
                };
                let cell = lent.call.as_ref().map(|call| call.cell);
                // SAFETY: LP-5, the call is ours for now and not DONE.
                if let Some((sink, _)) = cell.and_then(|cell| unsafe { Header::stream(cell) }) {
                    let came = |bytes: &[u8]| stream::came(&mut **sink, head.flag, bytes);
                    scope::from_peer(&self.peer, head.flag, body, came);
                }
            }
            What::Unwanted => drop(Claims::split(&self.peer, head.flag, body)),
            What::Asked(target) => {
                let is_lost = was_stored && head.flag == serve::FAILED;
                if is_lost && head.kind != Kind::Value {
                    return self.send(serve::answer(head.a, serve::FAILED, 0), body);
                }
                match local {
                    Some(local) => {
                        let target = serve::serve(self, head, body, target, local);
                        self.keep_target(thread, target);
                    }
                    // The dead wait for no answer.
                    None => serve::serve_dead(self, head, body),
                }
            }
        }
    }

    /// XP-4.
    #[inline]
    fn keep_target(&self, thread: u64, target: Option<Arc<Target>>) {
        let Some(target) = target else { return };
        let mut inside = self.enter(thread);
        let kept = match target.may_be_kept() && !inside.closed {
            true => inside.target.replace(target),
            false => Some(target),
        };
        drop(inside);
        drop(kept);
    }

    /// Lets go of what was called last if it ends (XP-4).
    pub(super) fn forget_target(&self) -> Option<Arc<Target>> {
        let mut inside = self.enter(thread_number());
        inside.target.take_if(|target| !target.may_be_kept())
    }

    /// LP-5.
    fn give_back(&self, thread: u64, ticket: u64, call: InFlight) {
        let mut inside = self.enter(thread);
        inside.lends = false;
        if inside.closed {
            drop(inside);
            let death = self.peer.death().cloned();
            return answered::orphaned(call, &death.unwrap_or(Death::ShutDown));
        }
        inside.tickets.give_back(ticket, call);
    }

    /// The bytes that a message names take the place of its body; gives the flag of what is there
    /// then, which is an error if they cannot be had.
    #[inline]
    fn fetch(&self, flag: u8, body: &mut Vec<u8>) -> u8 {
        if flag & IN_STORE == 0 {
            return flag;
        }
        match parcel::fetch(&self.peer, body) {
            Ok(()) => flag & !IN_STORE,
            Err(error) => {
                *body = wire_error::encode(&error);
                serve::FAILED
            }
        }
    }

    /// Whether there is nothing to be taken or sent. On this end's scheduler.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.probe().is_some()
    }

    /// What changes before there is something to be taken or sent; none if there is.
    #[inline(always)]
    fn probe(&self) -> Option<Probes> {
        let inside = self.enter(self.owner);
        if !inside.unsent.is_empty() {
            return None;
        }
        let backlog = Probe::new(&self.backlog, self.backlog.load(Ordering::Relaxed));
        let incoming = inside.incoming.idle()?;
        Some(Probes::either([incoming, backlog]))
    }

    /// Takes the answers that are there, for somebody who waits on this end's scheduler.
    pub(crate) fn harvest(self: &Arc<Self>, local: &Local) {
        self.take(self.owner, Some(local));
    }

    /// LP-4. On any thread.
    pub(crate) fn peer_died(self: &Arc<Self>, death: &Death) {
        let thread = thread_number();
        self.enter(thread).incoming.peer_died();
        while self.take(thread, None) {}
        let (calls, target): (Vec<InFlight>, _) = {
            let mut inside = self.enter(thread);
            inside.closed = true;
            inside.unsent.clear();
            let target = inside.target.take();
            (inside.tickets.take_all(), target)
        };
        drop(target);
        for call in calls {
            answered::orphaned(call, death);
        }
    }
}

/// A call that is out of its place (LP-5); it goes back also if the decoding panics.
struct Lent<'a> {
    link: &'a Link,
    thread: u64,
    ticket: u64,
    call: Option<InFlight>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.link.give_back(self.thread, self.ticket, call);
        }
    }
}

/// A link as a source of its scheduler.
pub(super) struct LinkSource(pub(super) Arc<Link>);

// SAFETY: the ring is the link's own.
unsafe impl Source for LinkSource {
    #[inline(always)]
    fn idle(&self) -> Option<Probes> {
        self.0.probe()
    }

    fn serve(self: Rc<Self>, local: &Local) -> bool {
        self.0.take(self.0.owner, Some(local))
    }

    fn is_lane(&self) -> bool {
        true
    }

    fn belongs_to(&self, id: u64) -> bool {
        self.0.peer.id == id
    }

    fn settle(&self) {
        let death = Death::shut_down();
        self.0.peer_died(&death);
    }
}
