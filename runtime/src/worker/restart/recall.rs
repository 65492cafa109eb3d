//! Calls of an actor that may come back, while they are in no link; and what becomes of them (rules
//! RS-* in the module above).
#![allow(unsafe_code, reason = "type-erased cells and blocks of actors")]

use super::Supervisor;
use crate::actor::address::HeldCore;
use crate::actor::core::{Access, ActorCore};
use crate::actor::lane::shut_down;
use crate::error::{Error, Fault, Outcome};
use crate::executor::letter;
use crate::executor::local::Local;
use crate::object::reference::Ref;
use crate::task::meta::Meta;
use crate::task::raw::{ActorWord, Header, Put, VTable};
use crate::worker::answered;
use crate::worker::death::Death;
use crate::worker::message::BODY_BYTES_MAX;
use crate::worker::parcel::Parcel;
use crate::worker::values::{NEVER, Travel};
use maser_shm::sync::completion::Completion;
use std::ptr::NonNull;

/// What is kept of a call that was sent (RS-1).
pub(crate) struct Sent {
    /// Its number among the calls of the actor that this process made.
    pub(super) id: u64,
    pub(super) scheduler: usize,
    pub(super) function: u32,
    /// With checkpoints the id first, then the arguments.
    pub(super) parcel: Parcel,
    pub(super) retries: i32,
}

/// A call that is not in a link; it holds a handle of its actor (RA-2).
pub(super) struct Call {
    pub(super) cell: NonNull<Header>,
    pub(super) sent: Box<Sent>,
}

// SAFETY: the right to complete a cell (TC-1), which any thread may use.
unsafe impl Send for Call {}

/// What could not be done on the way to a scheduler that has ended.
pub(super) struct Errand(pub(super) HeldCore);

impl Errand {
    pub(super) fn post(
        core: &HeldCore,
        to: usize,
        run: fn(&Supervisor, NonNull<ActorCore>, &Local),
    ) {
        let errand = Errand(core.again());
        let node = core.core().node.clone();
        let letter = letter::closure(move |local| {
            let errand = errand;
            let core = errand.0.core();
            if let Some(supervisor) = core.supervisor() {
                run(supervisor, NonNull::from(core), local);
            }
        });
        node.post_to(to, letter);
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        let core = self.0.core();
        if core.node.is_closing()
            && let Some(supervisor) = core.supervisor()
        {
            supervisor.ends(core, &Fault::new(shut_down()));
        }
    }
}

/// Why a call is not sent again.
pub(super) enum Why {
    Cancelled,
    Saved,
    Spent,
}

/// RS-2.
pub(super) fn again(call: &Call, is_saved: bool) -> Result<(), Why> {
    // SAFETY: a call that is not done is alive.
    let completion: &Completion = unsafe { &call.cell.as_ref().completion };
    match () {
        () if completion.is_cancel_requested() => Err(Why::Cancelled),
        () if is_saved => Err(Why::Saved),
        () if call.sent.retries == 0 => Err(Why::Spent),
        () => Ok(()),
    }
}

impl Why {
    pub(super) fn fault(&self, actor: &ActorCore, cell: NonNull<Header>, death: &Death) -> Fault {
        // SAFETY: a call that is not done is alive.
        let what = unsafe { cell.as_ref() }.meta().name;
        let how = match death {
            Death::Process { who, how } => format!("its process, {who}, {how}"),
            Death::ShutDown => "the runtime ends".to_owned(),
        };
        let reason = match self {
            Self::Cancelled => return Fault::new(Error::Cancelled { what: what.into() }),
            Self::Saved => {
                format!("{how}; the call of {what} has run, and its answer is lost")
            }
            Self::Spent => format!(
                "{how}; the call of {what} may have run, and is not sent again unless \
                 max_task_retries allows it; the actor is being restarted"
            ),
        };
        Fault::new(Error::ActorUnavailable {
            actor: actor.display_name(),
            reason,
        })
    }
}

/// Completes a call that is in no link, and gives its handle of the actor back.
pub(super) fn complete(core: NonNull<ActorCore>, cell: NonNull<Header>, fault: Fault) {
    answered::end_stream(cell, &fault);
    // SAFETY: TC-1: the arguments have departed, and the call is nowhere else.
    unsafe {
        (cell.as_ref().vtable().travel.arrive)(cell, Err(fault));
        ActorCore::release(core);
    }
}

#[cold]
pub(super) fn too_large(actor: &ActorCore, bytes: usize) -> Error {
    Error::ActorDied {
        actor: actor.display_name(),
        reason: format!(
            "its process died, and it cannot be made again: its arguments, its checkpoint and the \
             calls after it are {bytes} bytes, and at most {BODY_BYTES_MAX} can be sent; keep large \
             values in refs, or take a smaller checkpoint_interval"
        ),
    }
}

static MADE_AGAIN: Meta = Meta::plain("an actor that is made again");

/// A promise that an answer from another process completes.
const UNIT: VTable = VTable {
    travel: Travel {
        arrive: arrive_unit,
        ..NEVER
    },
    access: Access::Construct,
    ..Put::<()>::vtable(&MADE_AGAIN)
};

unsafe fn arrive_unit(cell: NonNull<Header>, outcome: Outcome<&[u8]>) {
    // SAFETY: TC-1, TC-3: only cells of `()` have this vtable.
    unsafe { Header::finish::<()>(cell, outcome.map(|_| ())) };
}

pub(super) fn unit_promise() -> Ref<()> {
    const VTABLE: &VTable = &UNIT;
    let cell = Header::alloc(VTABLE.layout);
    // SAFETY: fresh memory of the vtable's layout; its one handle goes to the ref.
    unsafe {
        cell.write(Header::pending(VTABLE, 1, ActorWord::none()));
        Ref::from_cell(cell)
    }
}
