//! One scheduler's link to a scheduler of another process: a ring each way, and the calls that
//! were sent over it and not answered.
//!
//! - LP-1 rings, what waits for room and the calls in flight are reached under the lock alone. It is
//!   kept by the scheduler of this end, for which it costs a few plain loads and stores; the keeper
//!   enters when the peer has died. Inside, nothing runs that could come back here: results are
//!   completed outside.
//! - LP-2 messages arrive in the order in which they were sent. What does not fit into the ring
//!   waits in `unsent`, and later messages behind it.
//! - LP-3 a ticket names a place and how often it was used before: an answer that comes twice, or
//!   for a call that nobody made, completes nothing.
//! - LP-4 after the peer's death what it had published is still taken; then every call in flight is
//!   completed with the error that names the death, and none is accepted any more.
//! - LP-5 while an item of a stream is decoded, which runs code of users, its call is taken out of
//!   its place. If the link was closed meanwhile, whoever gives it back completes it.
//! - LP-6 whoever takes a message with objects off the ring reads before it leaves the lock (BK-8).
#![allow(unsafe_code, reason = "type-erased cells, and an end behind a lock")]

use super::bulk::claims::Claims;
use super::bulk::estate;
use super::death::Death;
use super::message::{self, Assembly, Frame, Head, Kind};
use super::parcel::{self, IN_STORE};
use super::peer::Peer;
use super::pool::Job;
use super::restart::recall::Sent;
use super::{serve, stream, wire_error};
use crate::actor::core::ActorCore;
use crate::error::Fault;
use crate::executor::local::Local;
use crate::executor::sources::{Probes, Source};
use crate::object::codec;
use crate::task::raw::Header;
use maser_shm::channel::spsc::{LineReceiver, LineSender};
use maser_shm::channel::{PeerFault, Shared, TryRecvError};
use maser_shm::sync::owner_lock::{OwnerGuard, OwnerLock, thread_number};
use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

/// Messages served in a row before the loop looks elsewhere.
const SERVE_BATCH: usize = 32;

/// A call that was sent and not answered.
pub(crate) struct InFlight {
    pub(crate) cell: NonNull<Header>,
    /// The proxy of its actor, if it is a method; a counted handle.
    pub(crate) actor: Option<NonNull<ActorCore>>,
    /// If it is a task: what to do when its worker dies.
    pub(crate) job: Option<Box<Job>>,
    /// If its actor may come back: what is kept to send it again.
    pub(crate) sent: Option<Box<Sent>>,
}

struct Place {
    uses: u32,
    call: Option<InFlight>,
}

struct End {
    out: LineSender<Frame, Shared>,
    /// LP-2.
    unsent: VecDeque<Frame>,
    incoming: LineReceiver<Frame, Shared>,
    assembly: Assembly,
    places: Vec<Place>,
    free: Vec<u32>,
    closed: bool,
}

/// See the module's page.
pub(crate) struct Link {
    pub(crate) peer: Arc<Peer>,
    /// The peer's scheduler at the other end.
    there: usize,
    lock: OwnerLock,
    end: UnsafeCell<End>,
    owner: u64,
    /// The scheduler of this end.
    index: usize,
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

/// What to do outside of the lock.
enum Step {
    Nothing,
    Answer(InFlight, Head),
    Item(InFlight, Head),
    Serve(Head),
    Garbled(String),
}

impl End {
    /// LP-2.
    fn pump(&mut self) -> bool {
        let mut any = false;
        while let Some(frame) = self.unsent.front() {
            if self.out.try_send(*frame).is_err() {
                break;
            }
            self.unsent.pop_front();
            any = true;
        }
        any
    }

    #[inline]
    fn push(&mut self, head: Head, body: &[u8]) {
        message::frames(head, body, |frame| {
            if !self.unsent.is_empty() || self.out.try_send(frame).is_err() {
                self.unsent.push_back(frame);
            }
        });
    }

    /// LP-3.
    #[inline]
    fn ticket(&mut self, call: InFlight) -> u64 {
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.places.push(Place {
                    uses: 0,
                    call: None,
                });
                self.places.len() as u32 - 1
            }
        };
        let place = &mut self.places[at as usize];
        place.call = Some(call);
        u64::from(place.uses) << 32 | u64::from(at)
    }

    /// The call of a ticket, which its place lends: nobody else can complete it meanwhile (LP-5).
    fn lend(&mut self, ticket: u64) -> Option<InFlight> {
        let place = self.places.get_mut(ticket as u32 as usize)?;
        match u64::from(place.uses) == ticket >> 32 {
            true => place.call.take(),
            false => None,
        }
    }

    #[inline]
    fn redeem(&mut self, ticket: u64) -> Option<InFlight> {
        let at = ticket as u32;
        let place = self.places.get_mut(at as usize)?;
        if u64::from(place.uses) != ticket >> 32 {
            return None;
        }
        let call = place.call.take()?;
        place.uses = place.uses.wrapping_add(1);
        self.free.push(at);
        Some(call)
    }
}

impl Link {
    /// The link of the calling thread's scheduler over these rings.
    pub(super) fn new(
        peer: Arc<Peer>,
        index: usize,
        there: usize,
        out: LineSender<Frame, Shared>,
        incoming: LineReceiver<Frame, Shared>,
    ) -> Arc<Self> {
        let owner = thread_number();
        Arc::new(Self {
            peer,
            there,
            lock: OwnerLock::kept_by(owner),
            end: UnsafeCell::new(End {
                out,
                unsent: VecDeque::new(),
                incoming,
                assembly: Assembly::default(),
                places: Vec::new(),
                free: Vec::new(),
                closed: false,
            }),
            owner,
            index,
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

    /// Sends a message that is no call.
    pub(crate) fn send(&self, head: Head, body: &[u8]) {
        let mut inside = self.enter(thread_number());
        if inside.closed {
            return;
        }
        inside.push(head, body);
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
        head.a = inside.ticket(call);
        // SAFETY: the call has not been sent: it is not DONE, and its completion is ours.
        if let Some((_, producer)) = unsafe { Header::stream(cell) } {
            producer.is_at(self, head.a, self.index);
        }
        inside.push(head, body);
        drop(inside);
        self.peer.wake(self.there);
        Ok(())
    }

    /// The task of a ticket waits: its place is free for another one, or with a flag its CPUs are.
    pub(super) fn task_waits(&self, ticket: u64, flag: u8) {
        let freed = {
            let mut inside = self.enter(thread_number());
            let place = inside.places.get_mut(ticket as u32 as usize);
            let place = place.filter(|place| u64::from(place.uses) == ticket >> 32);
            let job = place.and_then(|place| place.call.as_mut()?.job.as_mut());
            job.and_then(|job| job.waits(flag))
        };
        if let Some(freed) = freed {
            freed.give();
        }
    }

    /// Tells the peer that the caller of `cell` has given up, if the call is in flight here.
    pub(super) fn cancel(&self, cell: NonNull<Header>) -> bool {
        let mut inside = self.enter(thread_number());
        let mut places = inside.places.iter().enumerate();
        let ticket = places.find_map(|(at, place)| {
            let is_it = place.call.as_ref().is_some_and(|call| call.cell == cell);
            is_it.then_some(u64::from(place.uses) << 32 | at as u64)
        });
        let Some(ticket) = ticket else {
            return false;
        };
        let head = Head {
            kind: Kind::Cancel,
            flag: 0,
            a: ticket,
            b: 0,
        };
        inside.push(head, &[]);
        drop(inside);
        self.peer.wake(self.there);
        true
    }

    /// Takes messages that are there, without a scheduler those of a dead peer. True if something was
    /// done. On this end's scheduler, or by whoever settles the dead.
    fn take(self: &Arc<Self>, thread: u64, local: Option<&Local>) -> bool {
        let mut any = false;
        let mut scratch = Vec::new();
        for _ in 0..SERVE_BATCH {
            let mut inside = self.enter(thread);
            any |= inside.pump();
            let step = loop {
                let frame = match inside.incoming.try_recv() {
                    Ok(frame) => frame,
                    Err(TryRecvError::Closed) => match inside.incoming.fault() {
                        Some(fault @ PeerFault::Corrupt { .. }) => {
                            break Step::Garbled(fault.to_string());
                        }
                        _ => break Step::Nothing,
                    },
                    Err(_) => break Step::Nothing,
                };
                any = true;
                match inside.assembly.push(frame) {
                    Ok(None) => {}
                    Ok(Some(head)) if head.kind == Kind::Item => {
                        if let Some(call) = inside.lend(head.a) {
                            break Step::Item(call, head);
                        }
                        drop(Claims::split(&self.peer, head.flag, inside.assembly.body()));
                    }
                    Ok(Some(head)) if head.kind == Kind::Answer => {
                        // LP-3: an answer to nothing is passed over.
                        if let Some(call) = inside.redeem(head.a) {
                            break Step::Answer(call, head);
                        }
                        drop(Claims::split(&self.peer, head.flag, inside.assembly.body()));
                    }
                    Ok(Some(head)) => break Step::Serve(head),
                    Err(garbled) => break Step::Garbled(garbled.to_string()),
                }
            };
            let _reads = match &step {
                Step::Answer(_, head) | Step::Item(_, head) | Step::Serve(head) => {
                    estate::reads(&self.peer, head.flag) // LP-6
                }
                Step::Nothing | Step::Garbled(_) => None,
            };
            match step {
                Step::Nothing => break,
                Step::Garbled(garbled) => {
                    drop(inside);
                    self.peer.is_mad(&garbled);
                    break;
                }
                Step::Answer(call, mut head) => {
                    // The body is handed out of the lock and its memory given back after.
                    std::mem::swap(&mut scratch, inside.assembly.body());
                    drop(inside);
                    head.flag = self.fetch(head.flag, &mut scratch);
                    serve::answered(&self.peer, call, head, &scratch);
                }
                Step::Item(call, head) => {
                    std::mem::swap(&mut scratch, inside.assembly.body());
                    drop(inside);
                    let flag = self.fetch(head.flag, &mut scratch);
                    // SAFETY: LP-5, the call is ours for now and not DONE.
                    if let Some((sink, _)) = unsafe { Header::stream(call.cell) } {
                        let came = |bytes: &[u8]| stream::came(&mut **sink, flag, bytes);
                        codec::from_peer(&self.peer, flag, &scratch, came);
                    }
                    self.give_back(thread, head.a, call);
                }
                Step::Serve(mut head) => {
                    std::mem::swap(&mut scratch, inside.assembly.body());
                    drop(inside);
                    let is_stored = head.flag & IN_STORE != 0;
                    head.flag = self.fetch(head.flag, &mut scratch);
                    if is_stored && head.flag == serve::FAILED && head.kind != Kind::Value {
                        self.send(serve::answer(head.a, serve::FAILED, 0), &scratch);
                        continue;
                    }
                    match local {
                        Some(local) => serve::serve(self, head, &scratch, local),
                        // The dead wait for no answer.
                        None => serve::serve_dead(self, head, &scratch),
                    }
                }
            }
        }
        if scratch.capacity() > 0 {
            let mut inside = self.enter(thread);
            if inside.assembly.is_between_messages()
                && inside.assembly.body().capacity() < scratch.capacity()
            {
                std::mem::swap(&mut scratch, inside.assembly.body());
            }
        }
        any
    }

    /// LP-5.
    fn give_back(&self, thread: u64, ticket: u64, call: InFlight) {
        let mut inside = self.enter(thread);
        if inside.closed {
            drop(inside);
            let death = self.peer.death().cloned();
            return serve::orphaned(call, &death.unwrap_or(Death::ShutDown));
        }
        if let Some(place) = inside.places.get_mut(ticket as u32 as usize) {
            place.call = Some(call);
        }
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

    /// Takes the answers that are there, for somebody who waits on this end's scheduler.
    pub(crate) fn harvest(self: &Arc<Self>, local: &Local) {
        self.take(self.owner, Some(local));
    }

    /// LP-4. On any thread.
    pub(crate) fn peer_died(self: &Arc<Self>, death: &Death) {
        let thread = thread_number();
        self.enter(thread).incoming.peer_died();
        while self.take(thread, None) {}
        let calls: Vec<InFlight> = {
            let mut inside = self.enter(thread);
            inside.closed = true;
            inside.unsent.clear();
            let places = inside.places.iter_mut();
            places.filter_map(|place| place.call.take()).collect()
        };
        for call in calls {
            serve::orphaned(call, death);
        }
    }
}

/// A link as a source of its scheduler.
pub(super) struct LinkSource(pub(super) Arc<Link>);

// SAFETY: the ring is the link's own.
unsafe impl Source for LinkSource {
    #[inline(always)]
    fn idle(&self) -> Option<Probes> {
        let inside = self.0.enter(self.0.owner);
        if !inside.unsent.is_empty() {
            return None;
        }
        inside.incoming.idle().map(Probes::one)
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

/// The error of a call that its peer will not answer.
pub(super) fn complete_with(call: InFlight, fault: Fault) {
    // SAFETY: TC-1: the arguments have departed, and the call is in no link any more.
    unsafe {
        let vtable = call.cell.as_ref().vtable();
        (vtable.travel.arrive)(call.cell, Err(fault));
        if let Some(actor) = call.actor {
            ActorCore::release(actor);
        }
    }
}
