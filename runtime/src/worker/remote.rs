//! Actors that live in another process, as this one sees them: a block like any other, whose home
//! is no scheduler of this process but a process.
//!
//! - RA-1 homes from [`FIRST_HOME`] on name processes. What is done on an actor's home scheduler is
//!   done for such a block on the node's gate (`Node::door`).
//! - RA-2 each call holds a handle of the block until it is completed.
#![allow(unsafe_code, reason = "type-erased cells and blocks of actors")]

use super::errand::{self, Errand};
use super::incoming::HeldActor;
use super::message::{Head, Kind};
use super::parcel::Parcel;
use super::peer::Peer;
use super::restart::{Policy, Supervisor};
use super::tickets::InFlight;
use super::{answered, registry, serve};
use crate::actor::core::{Access, ActorCore};
use crate::actor::create::ActorOptions;
use crate::actor::lane::Question;
use crate::error::{Error, Fault};
use crate::executor::local::Local;
use crate::node::Node;
use crate::task::raw::Header;
use maser_shm::sync::atomic::{AtomicU64, Ordering};
use std::ptr::NonNull;
use std::sync::Arc;

/// RA-1. Schedulers have smaller numbers.
pub(crate) const FIRST_HOME: usize = 1 << 14;

/// Where an actor of another process is.
pub(crate) struct Remote {
    /// Its process.
    pub(crate) peer: Arc<Peer>,
    /// Its scheduler there.
    there: usize,
    /// Its number there.
    pub(crate) number: u32,
    /// Whether the process was started for it and by this one.
    is_alone: bool,
    /// In a worker, of an actor that the driver is asked to make.
    pub(crate) asks: Option<Box<ActorOptions>>,
    /// Calls that were sent to it (`exports` rule XP-2).
    sent: AtomicU64,
    /// Handles that came for it.
    handles: AtomicU64,
    /// The handle of the process is this one's, which goes after it.
    _behind: Option<Arc<HeldActor>>,
    /// If it may come back in another process: then what stands above is of the first one.
    pub(crate) supervisor: Option<Box<Supervisor>>,
}

impl Remote {
    pub(crate) fn new(peer: Arc<Peer>, there: usize, number: u32) -> Self {
        Self {
            peer,
            there,
            number,
            is_alone: true,
            asks: None,
            sent: AtomicU64::new(0),
            handles: AtomicU64::new(1),
            _behind: None,
            supervisor: None,
        }
    }

    /// Its present process, and its number there.
    pub(crate) fn now(&self) -> (Arc<Peer>, u32) {
        match &self.supervisor {
            Some(supervisor) => supervisor.present(),
            None => (self.peer.clone(), self.number),
        }
    }

    /// Of an actor whose handle came from its process.
    pub(super) fn received(peer: Arc<Peer>, there: usize, number: u32) -> Self {
        Self {
            is_alone: false,
            ..Self::new(peer, there, number)
        }
    }

    /// Of another block of an actor of another process, which `held` is a handle of.
    pub(super) fn over(&self, held: Arc<HeldActor>) -> Self {
        Self {
            handles: AtomicU64::new(0),
            _behind: Some(held),
            ..Self::received(self.peer.clone(), self.there, self.number)
        }
    }

    /// Ends it where it is, as `maser::kill` does, or as a crash would.
    pub(crate) fn end(&self, node: &Node, restarts: bool) {
        let (peer, number) = self.now();
        match self.is_alone {
            true => node.workers.kill(peer.id),
            false => errand::tell(node, &peer, self.there, &Errand::End { number, restarts }),
        }
    }

    /// Whether nothing is known here of what becomes of it after a crash.
    pub(crate) fn is_of_others(&self) -> bool {
        !self.is_alone
    }

    /// A call, or a handle, goes to its process (XP-2).
    pub(super) fn count_call(&self) {
        match &self.supervisor {
            Some(supervisor) => supervisor.count_call(),
            None => drop(self.sent.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Another handle came.
    pub(super) fn count_handle(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// The home of its block.
    pub(crate) fn home(&self) -> usize {
        FIRST_HOME + self.peer.slot as usize
    }
}

/// An actor that `driver` is asked to make with these options.
pub(crate) fn ask_for(node: &Node, driver: &Arc<Peer>, options: ActorOptions) -> Remote {
    Remote {
        is_alone: false,
        asks: Some(Box::new(options)),
        ..Remote::new(
            driver.clone(),
            driver.schedulers() - 1,
            node.workers.number(),
        )
    }
}

/// Starts a process for an actor.
pub(crate) fn place(node: &Arc<Node>, policy: Policy) -> Result<Remote, Error> {
    let peer = node.workers.start(node, false, policy.memory_bytes)?;
    let mut remote = Remote::new(peer, 0, node.workers.number());
    if policy.max_restarts != 0 {
        let (peer, number) = (remote.peer.clone(), remote.number);
        let schedulers = node.schedulers().len();
        let supervisor = Supervisor::new(policy, peer, number, schedulers);
        remote.supervisor = Some(Box::new(supervisor));
    }
    Ok(remote)
}

/// Sends a question whose actor's home is no scheduler.
pub(crate) fn send_question(local: &Local, question: Question) {
    let core = question.core();
    // SAFETY: AC-1, a call that is being sent.
    if unsafe { core.as_ref() }.remote.is_none() {
        return question.fail_for_want_of_a_home();
    }
    let cell = question.cell;
    // SAFETY: TC-1, the right to start comes with the question.
    unsafe { (cell.as_ref().vtable().keep)(question) };
    send(local, core, cell);
}

/// Sends a call whose arguments are in its cell.
pub(crate) fn send(local: &Local, core: NonNull<ActorCore>, cell: NonNull<Header>) {
    // SAFETY: AC-1, a call that is being sent; a cell that is not DONE is alive.
    let (actor, vtable) = unsafe { (core.as_ref(), cell.as_ref().vtable()) };
    let refuse = |fault: Fault| {
        // SAFETY: TC-1, not sent.
        unsafe { (vtable.fail)(cell, fault) }
    };
    if let Some(died) = actor.death() {
        return refuse(Fault::new(died));
    }
    let Some(remote) = &actor.remote else {
        return;
    };
    if let Some(supervisor) = &remote.supervisor {
        return supervisor.send(local, core, cell);
    }
    let is_construction = vtable.access == Access::Construct;
    let Some(entry) = vtable.meta.entry else {
        return refuse(Fault::new(Error::NotPortable {
            function: vtable.meta.name.into(),
            value: "a call".into(),
            problem: "the function is `local`".into(),
        }));
    };
    let mut parcel = Parcel::in_buffer(local.links.buffer());
    let mut flag = 0;
    // SAFETY: TC-1: before it is sent its extra is ours.
    let extra = unsafe { cell.as_ref().extra.as_ref() };
    if is_construction {
        match &remote.asks {
            Some(options) => {
                options.encode_whole(&mut parcel.bytes);
                flag = serve::WITH_OPTIONS;
            }
            None => actor.encode_options(&mut parcel.bytes),
        }
    } else if let Some(retries) = extra.and_then(|extra| extra.max_retries) {
        parcel.bytes.extend(retries.to_le_bytes());
        flag = serve::WITH_OPTIONS;
    }
    // SAFETY: TC-1, the arguments are there.
    match unsafe { (vtable.travel.encode)(cell, &mut parcel) } {
        Err(fault) => refuse(fault),
        Ok(()) => {
            // SAFETY: VL-1.
            unsafe { (vtable.travel.depart)(cell) };
            let flag = flag | parcel.give(&remote.peer, local);
            // RA-2.
            actor.retain();
            let kind = match is_construction {
                true => Kind::Create,
                false => {
                    remote.count_call();
                    Kind::Call
                }
            };
            let head = Head {
                kind,
                flag,
                a: 0,
                b: serve::joined(registry::place_of(entry), remote.number),
            };
            let call = InFlight {
                cell,
                actor: Some(core),
                job: None,
                sent: None,
            };
            let to = (&remote.peer, remote.there);
            let sent = local.links.with(local, to, call, |link, call| {
                link.call(head, &parcel.bytes, call)
            });
            match sent {
                Ok(Ok(())) => {}
                Ok(Err(call)) => {
                    let death = remote.peer.death().cloned();
                    answered::orphaned(call, &death.unwrap_or(super::death::Death::ShutDown));
                }
                Err((call, error)) => answered::unsent(call, Fault::new(error)),
            }
        }
    }
    local.links.give_buffer(parcel.bytes);
}

/// A task that was not sent yet.
pub(super) struct Unsent(pub(super) NonNull<Header>);

// SAFETY: it is the right to start the task (TC-1), which any thread may use.
unsafe impl Send for Unsent {}

/// Asks `driver` to run a task. The caller hands the right to start over.
pub(super) fn ask(local: &Local, driver: &Arc<Peer>, cell: NonNull<Header>) {
    // SAFETY: TC-1, the caller's right; a cell that is not DONE is alive.
    let vtable = unsafe { cell.as_ref() }.vtable();
    // The gate, which is not the main thread if there are others.
    let link = local.links.get(local, driver, driver.schedulers() - 1);
    let (Some(entry), Ok(link)) = (vtable.meta.entry, link) else {
        let what = vtable.meta.name.into();
        // SAFETY: TC-1, not sent.
        return unsafe { Header::fail(cell, Error::ShutDown { what }) };
    };
    let mut parcel = Parcel::in_buffer(local.links.buffer());
    let mut flag = 0;
    // SAFETY: TC-1: before it is sent its extra is ours.
    let extra = unsafe { cell.as_ref().extra.as_ref() };
    if let Some(options) = extra.and_then(|extra| extra.asks.as_ref()) {
        options.encode(&mut parcel.bytes);
        flag = serve::WITH_OPTIONS;
    }
    // SAFETY: TC-1, the arguments are there.
    if let Err(fault) = unsafe { (vtable.travel.encode)(cell, &mut parcel) } {
        // SAFETY: TC-1, not sent.
        return unsafe { (vtable.fail)(cell, fault) };
    }
    // SAFETY: VL-1.
    unsafe { (vtable.travel.depart)(cell) };
    let head = Head {
        kind: Kind::Task,
        flag: flag | parcel.give(&link.peer, local),
        a: 0,
        b: serve::joined(registry::place_of(entry), 0),
    };
    let call = InFlight {
        cell,
        actor: None,
        job: None,
        sent: None,
    };
    if let Err(call) = link.call(head, &parcel.bytes, call) {
        answered::orphaned(call, &super::death::Death::ShutDown);
    }
    local.links.give_buffer(parcel.bytes);
}

/// Takes the answers that are there from the process that is the home `home`.
pub(crate) fn harvest(local: &Local, home: usize) {
    let Some(slot) = home.checked_sub(FIRST_HOME) else {
        return;
    };
    let mut there = 0;
    while let Some(link) = local.links.ready(slot, &mut there) {
        link.0.harvest(local);
    }
}

/// The last handle of a block is gone: so is the one that its process holds for us. On the gate.
pub(crate) fn let_go(local: &Local, actor: &ActorCore) {
    let Some(remote) = &actor.remote else {
        return;
    };
    let (peer, number) = remote.now();
    let sent = match &remote.supervisor {
        Some(supervisor) => supervisor.calls(),
        None => remote.sent.load(Ordering::Relaxed),
    };
    if let Ok(link) = local.links.get(local, &peer, remote.there) {
        let head = Head {
            kind: Kind::Drop,
            flag: 0,
            a: u64::from(number) | remote.handles.load(Ordering::Relaxed) << 32,
            b: sent,
        };
        link.send(head, &[]);
    }
}
