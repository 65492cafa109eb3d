//! What becomes of the calls that this process sent to another one.
#![allow(unsafe_code, reason = "type-erased cells and blocks of actors")]

use super::death::Death;
use super::message::Head;
use super::peer::Peer;
use super::serve::FAILED;
use super::tickets::InFlight;
use super::wire_error;
use crate::actor::core::{Access, ActorCore};
use crate::error::{Error, Fault};
use crate::node::Node;
use crate::object::scope;
use crate::task::raw::Header;
use std::ptr::NonNull;
use std::sync::Arc;

/// A call of this process was answered.
pub(super) fn answered(peer: &Arc<Peer>, mut call: InFlight, head: Head, body: &[u8]) {
    if let Some(sent) = call.sent.take()
        // SAFETY: AC-1, the call's handle.
        && let Some(supervisor) = call.actor.and_then(|core| unsafe { core.as_ref() }.supervisor())
    {
        supervisor.answered(*sent, head.b);
    }
    if let Some(job) = &mut call.job {
        job.answered();
    }
    if head.flag == FAILED {
        let mut fault = Fault::new(wire_error::decode(body));
        note(&fault);
        if let Some(job) = call.job.take() {
            match job.failed(fault) {
                Some(last) => fault = last,
                None => return,
            }
        }
        if let Some(actor) = call.actor {
            has_failed(&call, actor, &fault);
        }
        end_stream(call.cell, &fault);
        return complete_with(call, fault);
    }
    // SAFETY: TC-1: the arguments have departed, and the call is in no link any more.
    unsafe {
        if let Some((sink, _)) = Header::stream(call.cell) {
            sink.is_complete();
        }
        let vtable = call.cell.as_ref().vtable();
        scope::from_peer(peer, head.flag, body, |bytes| {
            (vtable.travel.arrive)(call.cell, Ok(bytes));
        });
        if let Some(actor) = call.actor {
            ActorCore::release(actor);
        }
    }
}

/// The stream that a call was to give ends with its error.
pub(super) fn end_stream(cell: NonNull<Header>, fault: &Fault) {
    // SAFETY: the call is in no link any more and not DONE: its completion is ours.
    if let Some((sink, _)) = unsafe { Header::stream(cell) } {
        sink.item(Err(fault.clone()));
    }
}

/// An error that began in another process is remembered in the driver, which alone prints any.
#[cold]
fn note(fault: &Fault) {
    if let Error::Task(task) = &*fault.0
        && task.is_first()
        && let Ok(node) = Node::current("remembering an error")
        && node.workers.membership().is_none()
    {
        node.errors.record(&fault.0);
    }
}

/// Whether the block of an actor elsewhere learns of its end from a call that failed.
#[cold]
fn has_failed(call: &InFlight, actor: NonNull<ActorCore>, fault: &Fault) {
    // SAFETY: a call that is not done is alive, and holds its actor.
    let (is_construction, name) = unsafe {
        let access = call.cell.as_ref().vtable().access;
        (access == Access::Construct, actor.as_ref().display_name())
    };
    if is_construction {
        let reason = format!("its constructor failed: {}", fault.0);
        ActorCore::die(
            actor,
            Error::ActorDied {
                actor: name,
                reason,
            },
        );
    } else if let Error::ActorDied { .. } = &*fault.0 {
        ActorCore::die(actor, fault.to_error());
    }
}

/// A call could not be sent.
#[cold]
pub(super) fn unsent(call: InFlight, fault: Fault) {
    end_stream(call.cell, &fault);
    complete_with(call, fault);
}

/// A call of this process will never be answered.
pub(super) fn orphaned(mut call: InFlight, death: &Death) {
    if let Some(job) = call.job.take() {
        return job.lost(death);
    }
    if let (Some(sent), Some(core)) = (call.sent.take(), call.actor) {
        // SAFETY: AC-1, the call's handle.
        if let Some(supervisor) = unsafe { core.as_ref() }.supervisor() {
            return supervisor.orphan(core, call.cell, sent);
        }
    }
    // SAFETY: a call that is not done is alive; its actor is held by the call.
    let error = unsafe {
        let what = call.cell.as_ref().meta().name;
        match call.actor.map(|actor| actor.as_ref()) {
            Some(actor) => actor
                .death()
                .unwrap_or_else(|| death.error(what, Some(actor.display_name()))),
            None => death.error(what, None),
        }
    };
    unsent(call, Fault::new(error));
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
