//! The way of an actor from one process to the next (rules RS-* in the module above).
#![allow(unsafe_code, reason = "counted handles of blocks of actors")]

use super::recall::{Errand, again, complete, too_large, unit_promise};
use super::{Phase, Supervisor};
use crate::actor::address::HeldCore;
use crate::actor::core::ActorCore;
use crate::error::{Error, Fault};
use crate::executor::letter;
use crate::executor::local::Local;
use crate::object::when_done::when_done;
use crate::worker::checkpoint::Rebirth;
use crate::worker::death::Death;
use crate::worker::message::{BODY_BYTES_MAX, Head, Kind};
use crate::worker::tickets::InFlight;
use crate::worker::{answered, serve};
use std::ptr::NonNull;

impl Supervisor {
    /// What its process had published was taken: it gets another one (RS-2). On the keeper.
    pub(in crate::worker) fn returns(&self, held: &HeldCore, death: &Death) {
        let actor = held.core();
        let core = NonNull::from(actor);
        let node = &actor.node;
        let peer = match node.workers.start(node, false, self.memory_bytes) {
            Ok(peer) => peer,
            Err(error) => {
                ActorCore::die(core, error.clone());
                return self.ends(actor, &Fault::new(error));
            }
        };
        let mut failed = Vec::new();
        {
            let mut state = self.lock();
            state.peer = peer.clone();
            state.number = node.workers.number();
            state.calls = 0;
            let mut orphans = std::mem::take(&mut state.orphans);
            orphans.sort_by_key(|call| std::cmp::Reverse(call.sent.id));
            for mut call in orphans {
                let is_in = state.saved.contains(call.sent.id);
                match again(&call, is_in) {
                    Ok(()) => {
                        call.sent.retries = (call.sent.retries - 1).max(-1);
                        let scheduler = call.sent.scheduler;
                        state.waiting[scheduler].push_front(call);
                    }
                    Err(why) => failed.push((call, why)),
                }
            }
            state.saved.starts_over();
        }
        for (call, why) in failed.into_iter().rev() {
            complete(core, call.cell, why.fault(actor, call.cell, death));
        }
        peer.has_proxy(core);
        Errand::post(held, node.door(actor.home).index, Self::make_again);
    }

    /// Asks the new process to make it. On the gate.
    pub(super) fn make_again(&self, core: NonNull<ActorCore>, local: &Local) {
        // SAFETY: AC-1, the errand's handle.
        let actor = unsafe { core.as_ref() };
        let mut guard = self.lock();
        let state = &mut *guard;
        if actor.is_dead() || state.phase != Phase::Down {
            return;
        }
        let Some((class, birth)) = &mut state.birth else {
            state.phase = Phase::Unborn;
            return;
        };
        birth.give_whole(&state.peer, local);
        for done in state.saved.log_mut() {
            done.parcel.give_whole(&state.peer, local);
        }
        let body = Rebirth::encode(birth, &state.saved);
        let number = state.number;
        let head = Head {
            kind: Kind::Restore,
            flag: 0,
            a: 0,
            b: serve::joined(*class, number),
        };
        if body.len() > BODY_BYTES_MAX {
            drop(guard);
            return ActorCore::die(core, too_large(actor, body.len()));
        }
        state.phase = Phase::Making;
        let peer = state.peer.clone();
        drop(guard);
        // Its end is known by then, or will be: `Peer::died` is told either way.
        let Ok(link) = local.links.get(local, &peer, 0) else {
            return;
        };
        let made = unit_promise();
        actor.retain();
        let call = InFlight {
            cell: made.cell(),
            actor: Some(core),
            job: None,
            sent: None,
        };
        actor.retain();
        // SAFETY: the handle just taken.
        let held = unsafe { HeldCore::new(core) };
        let gate = local.shared.clone();
        when_done(made.cell(), move || {
            let errand = Errand(held);
            let back = letter::closure(move |local| {
                let (errand, made) = (errand, made);
                let core = errand.0.core();
                if let (Some(supervisor), Ok(())) = (core.supervisor(), made.outcome_ref()) {
                    supervisor.is_up(&errand.0, number, local);
                }
            });
            // SAFETY: LT-1, a fresh letter.
            unsafe { gate.post(back) };
        });
        if let Err(call) = link.call(head, &body, call) {
            answered::orphaned(call, peer.death().unwrap_or(&Death::ShutDown));
        }
    }

    /// It was made again: what waited is sent.
    fn is_up(&self, held: &HeldCore, number: u32, local: &Local) {
        let mut state = self.lock();
        let is_old = state.number != number || state.phase != Phase::Making;
        if is_old || state.peer.death().is_some() {
            return;
        }
        state.phase = Phase::Up;
        let busy = state.waiting.iter().enumerate();
        let busy: Vec<usize> = busy
            .filter_map(|(at, calls)| (!calls.is_empty()).then_some(at))
            .collect();
        drop(state);
        let core = NonNull::from(held.core());
        for scheduler in busy {
            match scheduler == local.shared.index {
                true => self.send_waiting(core, local),
                false => Errand::post(held, scheduler, Self::send_waiting),
            }
        }
    }

    /// RS-3.
    fn send_waiting(&self, core: NonNull<ActorCore>, local: &Local) {
        let scheduler = local.shared.index;
        loop {
            let mut state = self.lock();
            if state.phase != Phase::Up {
                return;
            }
            let Some(call) = state.waiting[scheduler].pop_front() else {
                return;
            };
            // SAFETY: a call that is not done is alive.
            let header = unsafe { call.cell.as_ref() };
            if header.completion.is_cancel_requested() {
                drop(state);
                let what = header.meta().name.into();
                complete(core, call.cell, Fault::new(Error::Cancelled { what }));
                continue;
            }
            if let Err(call) = self.transmit(local, &mut state, core, call) {
                return state.waiting[scheduler].push_front(call);
            }
        }
    }
}
