//! Actors that come back: what their maker's process keeps of an actor whose process may die.
//!
//! ```text
//! up    -- its process dies, restarts are left -->  down    calls of it wait here
//! down  -- it was made again in a new process -->   up      they are sent, in their order
//! any   -- no restart is left, kill, shutdown -->   dead    they fail
//! ```
//!
//! - RS-1 the bytes of its constructor's arguments are kept for as long as there are handles, those
//!   of a call until it is answered.
//! - RS-2 when its process is dead and what it had published was taken, each call that was not
//!   answered is sent again if its `max_task_retries` says so, before those that were made since;
//!   the others end with an error that says that they may have run. A call that was answered is
//!   never sent again, nor one whose effect is inside of the checkpoint (SV-2).
//! - RS-3 calls are sent on the scheduler they were made on, and those of one scheduler in the order
//!   in which they were made: a call goes directly only if none of its scheduler waits.
//! - RS-4 the state is behind a lock. Under it messages are sent, and nothing is completed.
//! - RS-5 each wait here ends: a call is added under the lock and only while the actor is not dead,
//!   and whoever declares it dead takes all of them out afterwards.
#![allow(unsafe_code, reason = "type-erased cells and blocks of actors")]

mod again;
pub(super) mod recall;

use self::recall::{Call, Sent, complete};
use super::checkpoint::ID_BYTES;
use super::death::Death;
use super::message::{Head, Kind};
use super::parcel::Parcel;
use super::peer::Peer;
use super::saved::{Done, Saved};
use super::tickets::InFlight;
use super::{answered, registry, serve};
use crate::actor::core::{Access, ActorCore};
use crate::actor::lane::shut_down;
use crate::error::{Error, Fault};
use crate::executor::local::Local;
use crate::task::raw::Header;
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What an actor's options say about its process's death.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Deaths after which it comes back; negative is no limit.
    pub(crate) max_restarts: i32,
    /// Times that a call is sent again, unless it or its method says otherwise.
    pub(crate) max_task_retries: i32,
    /// Whether its state is saved now and then.
    pub(crate) saves: bool,
    /// Most bytes that its process may allocate, if it has a limit of its own.
    pub(crate) memory_bytes: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Up,
    /// It has no process, or a new one that was not asked to make it yet.
    Down,
    /// Down, and its constructor's arguments have not come yet.
    Unborn,
    /// Its new process was asked to make it.
    Making,
}

/// What the death of a process is to an actor.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fall {
    /// It comes back.
    Returns,
    /// Its own end.
    Dies,
    /// Nothing: it is in another one by now.
    Elsewhere,
}

struct State {
    peer: Arc<Peer>,
    number: u32,
    /// Calls that were sent to the present process (`exports` rule XP-2).
    calls: u64,
    phase: Phase,
    restarts: i32,
    /// The class and its constructor's arguments.
    birth: Option<(u32, Parcel)>,
    next_id: u64,
    saved: Saved,
    /// By scheduler (RS-3).
    waiting: Vec<VecDeque<Call>>,
    /// Sent, not answered, and their process dead.
    orphans: Vec<Call>,
}

/// See the module's page.
pub(crate) struct Supervisor {
    max_task_retries: i32,
    saves: bool,
    memory_bytes: Option<u64>,
    state: Mutex<State>,
}

impl Supervisor {
    /// Of an actor that is to be made in the process `peer`, as its number `number`.
    pub(super) fn new(policy: Policy, peer: Arc<Peer>, number: u32, schedulers: usize) -> Self {
        Self {
            max_task_retries: policy.max_task_retries,
            saves: policy.saves,
            memory_bytes: policy.memory_bytes,
            state: Mutex::new(State {
                peer,
                number,
                calls: 0,
                phase: Phase::Up,
                restarts: policy.max_restarts,
                birth: None,
                next_id: 1,
                saved: Saved::default(),
                waiting: (0..schedulers).map(|_| VecDeque::new()).collect(),
                orphans: Vec::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its present process, and its number there.
    pub(super) fn present(&self) -> (Arc<Peer>, u32) {
        let state = self.lock();
        (state.peer.clone(), state.number)
    }

    /// How many calls were sent to its present process.
    pub(super) fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// A handle of it goes to its process: as if it were a call.
    pub(super) fn count_call(&self) {
        self.lock().calls += 1;
    }

    /// Sends a call whose arguments are in its cell. The caller hands the right to start over.
    pub(super) fn send(&self, local: &Local, core: NonNull<ActorCore>, cell: NonNull<Header>) {
        // SAFETY: AC-1, a call that is being sent; a cell that is not DONE is alive.
        let (actor, header) = unsafe { (core.as_ref(), cell.as_ref()) };
        let vtable = header.vtable();
        let is_construction = vtable.access == Access::Construct;
        let Some(entry) = vtable.meta.entry else {
            let error = Error::NotPortable {
                function: vtable.meta.name.into(),
                value: "a call".into(),
                problem: "the function is `local`".into(),
            };
            // SAFETY: TC-1, not sent.
            return unsafe { (vtable.fail)(cell, Fault::new(error)) };
        };
        let mut parcel = Parcel::default();
        match is_construction {
            true => actor.encode_options(&mut parcel.bytes),
            false if self.saves => parcel.bytes.extend([0; ID_BYTES]),
            false => {}
        }
        // SAFETY: TC-1, the arguments are there.
        if let Err(fault) = unsafe { (vtable.travel.encode)(cell, &mut parcel) } {
            // SAFETY: TC-1, not sent.
            return unsafe { (vtable.fail)(cell, fault) };
        }
        // SAFETY: TC-1: before it is sent its extra is ours.
        let extra = unsafe { header.extra.as_ref() };
        let wanted = extra.and_then(|extra| match extra.stream {
            // The items of a stream that came are not taken back.
            Some(_) => Some(0),
            None => extra.max_retries,
        });
        // SAFETY: VL-1.
        unsafe { (vtable.travel.depart)(cell) };
        // RA-2.
        actor.retain();
        let function = registry::place_of(entry);
        if is_construction {
            return self.construct(local, core, cell, (function, parcel));
        }
        let wanted = wanted.or(vtable.meta.defaults.max_task_retries);
        let mut state = self.lock();
        if let Some(died) = actor.death() {
            drop(state);
            return complete(core, cell, Fault::new(died));
        }
        let id = state.next_id;
        state.next_id += 1;
        if self.saves {
            parcel.bytes[..ID_BYTES].copy_from_slice(&id.to_le_bytes());
        }
        let scheduler = local.shared.index;
        let call = Call {
            cell,
            sent: Box::new(Sent {
                id,
                scheduler,
                function,
                parcel,
                retries: wanted.unwrap_or(self.max_task_retries),
            }),
        };
        // RS-3.
        if state.phase != Phase::Up || !state.waiting[scheduler].is_empty() {
            return state.waiting[scheduler].push_back(call);
        }
        if let Err(call) = self.transmit(local, &mut state, core, call) {
            // Its process is dead: whoever learns of it goes on with those that wait.
            state.waiting[scheduler].push_back(call);
        }
    }

    /// The first construction.
    fn construct(
        &self,
        local: &Local,
        core: NonNull<ActorCore>,
        cell: NonNull<Header>,
        mut birth: (u32, Parcel),
    ) {
        let mut state = self.lock();
        let mut head = Head {
            kind: Kind::Create,
            flag: 0,
            a: 0,
            b: serve::joined(birth.0, state.number),
        };
        let peer = state.peer.clone();
        let phase = state.phase;
        if phase == Phase::Up {
            head.flag = birth.1.give_whole(&peer, local);
        }
        let bytes = birth.1.bytes.clone();
        state.birth = Some(birth);
        if phase == Phase::Unborn {
            state.phase = Phase::Down;
        }
        drop(state);
        let call = InFlight {
            cell,
            actor: Some(core),
            job: None,
            sent: None,
        };
        if phase != Phase::Up {
            // Its process died before the arguments were there. Nobody waits for this cell: those
            // who call the actor do.
            if phase == Phase::Unborn {
                self.make_again(core, local);
            }
            return super::answered::complete_with(call, Fault::new(shut_down()));
        }
        match local.links.get(local, &peer, 0) {
            Ok(link) => {
                if let Err(call) = link.call(head, &bytes, call) {
                    answered::orphaned(call, peer.death().unwrap_or(&Death::ShutDown));
                }
            }
            Err(error) => super::answered::complete_with(call, Fault::new(error)),
        }
    }

    /// Puts a call on the link of this scheduler; gives it back if the process is dead. RS-4.
    fn transmit(
        &self,
        local: &Local,
        state: &mut State,
        core: NonNull<ActorCore>,
        mut call: Call,
    ) -> Result<(), Call> {
        let Ok(link) = local.links.get(local, &state.peer, 0) else {
            return Err(call);
        };
        let flag = call.sent.parcel.give_whole(&state.peer, local);
        let head = Head {
            kind: Kind::Call,
            flag: flag | if self.saves { serve::WITH_ID } else { 0 },
            a: 0,
            b: serve::joined(call.sent.function, state.number),
        };
        let id = call.sent.id;
        // The bytes go into the ring while the call that keeps them is in the link's books.
        let bytes = call.sent.parcel.bytes.clone();
        let in_flight = InFlight {
            cell: call.cell,
            actor: Some(core),
            job: None,
            sent: Some(call.sent),
        };
        match link.call(head, &bytes, in_flight) {
            Ok(()) => {
                state.calls += 1;
                if self.saves {
                    state.saved.was_sent(id);
                }
                Ok(())
            }
            Err(InFlight { cell, sent, .. }) => match sent {
                Some(sent) => Err(Call { cell, sent }),
                None => unreachable!("it was put there just now"),
            },
        }
    }

    /// A call was answered: it was the `n`th of its process, if that counts them.
    pub(super) fn answered(&self, sent: Sent, n: u64) {
        if self.saves {
            let Sent {
                id,
                function,
                parcel,
                ..
            } = sent;
            let done = Done {
                n,
                function,
                parcel,
            };
            self.lock().saved.was_answered(id, done);
        }
    }

    /// Its process sent a checkpoint, or why there is none.
    pub(super) fn checkpoint(&self, number: u32, n: u64, ids: &[u64], bytes: Option<&[u8]>) {
        let mut state = self.lock();
        if state.number == number {
            state.saved.has_come(n, ids, bytes);
        }
    }

    /// A call will not be answered: its process is dead.
    pub(super) fn orphan(&self, core: NonNull<ActorCore>, cell: NonNull<Header>, sent: Box<Sent>) {
        // SAFETY: AC-1, the call's handle.
        let actor = unsafe { core.as_ref() };
        let mut state = self.lock();
        if let Some(died) = actor.death() {
            drop(state);
            return complete(core, cell, Fault::new(died));
        }
        state.orphans.push(Call { cell, sent });
    }

    /// A process is dead. If the actor comes back, nothing is sent from now on.
    pub(super) fn falls(&self, actor: &ActorCore, peer: &Arc<Peer>, death: &Death) -> Fall {
        let mut state = self.lock();
        if !Arc::ptr_eq(&state.peer, peer) {
            return Fall::Elsewhere;
        }
        let is_over = actor.is_dead()
            || matches!(death, Death::ShutDown)
            || actor.node.is_closing()
            || !peer.has_started()
            || state.restarts == 0;
        if is_over {
            return Fall::Dies;
        }
        state.restarts = (state.restarts - 1).max(-1);
        state.phase = Phase::Down;
        Fall::Returns
    }

    /// Whether it would come back if its process died now.
    pub(crate) fn would_return(&self) -> bool {
        self.lock().restarts != 0
    }

    /// RS-5: it is dead; fails the calls that wait.
    pub(crate) fn ends(&self, actor: &ActorCore, fault: &Fault) {
        let mut state = self.lock();
        let mut calls = std::mem::take(&mut state.orphans);
        for waiting in &mut state.waiting {
            calls.extend(waiting.drain(..));
        }
        drop(state);
        for call in calls {
            complete(NonNull::from(actor), call.cell, fault.clone());
        }
    }
}
