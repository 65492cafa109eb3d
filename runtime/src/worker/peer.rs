//! Another process of this node, as this one sees it.
//!
//! ```text
//! pair's memory   for each link: ring from the maker of the memory to the other, ring back
//! doors           an event for each scheduler of the other process: where it sleeps
//! ```
//!
//! One of two linked processes has one scheduler, so a link is named by the other's.

use super::bulk::estate::Readers;
use super::death::Death;
use super::exports::Exports;
use super::handles::{self, Awaited};
use super::link::{Link, LinkSource};
use super::message::{Frame, Head};
use super::restart::Fall;
use super::stream::Pumps;
use crate::actor::address::{HeldCore, SendCore};
use crate::actor::core::ActorCore;
use crate::error::{Error, Fault, Result};
use crate::executor::letter;
use crate::executor::local::Local;
use crate::executor::shared::Shared;
use crate::node::Node;
use crate::task::raw::Header;
use maser_shm::channel::spsc::{line_bytes, line_receiver_in, line_sender_in};
use maser_shm::control::ControlMemory;
use maser_shm::store::PeerId;
use std::any::TypeId;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Lines of a ring.
const DEPTH: usize = 64;

/// Bytes of one ring.
fn ring_bytes() -> usize {
    line_bytes::<Frame>(DEPTH)
        .unwrap_or_else(|error| unreachable!("a constant depth is valid: {error}"))
        .next_multiple_of(4096)
}

/// Bytes of the memory of a pair with so many links.
pub(super) fn pair_bytes(links: usize) -> usize {
    2 * links * ring_bytes()
}

/// See the module's page.
pub(crate) struct Peer {
    /// Its number among the processes of the node; the driver is 0.
    pub(crate) slot: u32,
    name: Mutex<String>,
    memory: ControlMemory,
    /// Whether this process made the memory.
    is_maker: bool,
    /// A number that no graph and no other process has.
    pub(crate) id: u64,
    /// Its number as the owner and holder of arrays.
    pub(super) store_id: OnceLock<PeerId>,
    links: Mutex<Vec<Option<Arc<Link>>>>,
    /// Blocks of its actors here.
    proxies: Mutex<Vec<SendCore>>,
    doors: super::doors::Doors,
    exports: Exports,
    pumps: Pumps,
    /// Values that it was asked for, and how they are to arrive.
    awaited: Mutex<HashMap<u64, Vec<Awaited>>>,
    death: OnceLock<Death>,
    pub(super) readers: Readers,
    buffers: Mutex<Vec<Vec<u8>>>,
    distrusted: OnceLock<String>,
    pid: OnceLock<u32>,
}

impl Peer {
    /// A process with which this one shares `memory` and to which it has `links` links.
    pub(super) fn new(
        slot: u32,
        id: u64,
        name: String,
        memory: ControlMemory,
        is_maker: bool,
        links: usize,
        doors: super::doors::Doors,
    ) -> Arc<Self> {
        Arc::new(Self {
            slot,
            name: Mutex::new(name),
            memory,
            is_maker,
            id,
            store_id: OnceLock::new(),
            links: Mutex::new((0..links).map(|_| None).collect()),
            proxies: Mutex::default(),
            doors,
            exports: Exports::default(),
            pumps: Pumps::default(),
            awaited: Mutex::default(),
            death: OnceLock::new(),
            readers: Readers::default(),
            buffers: Mutex::default(),
            distrusted: OnceLock::new(),
            pid: OnceLock::new(),
        })
    }

    /// Its name in errors.
    pub(crate) fn name(&self) -> String {
        self.name
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Its process's number is known now.
    pub(super) fn has_pid(&self, pid: u32) {
        let _first = self.pid.set(pid);
        let name = format!("worker {} (pid {pid})", self.slot);
        *self.name.lock().unwrap_or_else(PoisonError::into_inner) = name;
    }

    /// Its number as the owner and holder of arrays.
    pub(crate) fn store_number(&self) -> Option<u32> {
        self.store_id.get().map(|id| id.0)
    }

    /// Whether there was a process at all.
    pub(super) fn has_started(&self) -> bool {
        self.pid.get().is_some()
    }

    /// How it ended, if it did.
    pub(crate) fn death(&self) -> Option<&Death> {
        self.death.get()
    }

    /// What of this process it holds.
    pub(crate) fn exports(&self) -> &Exports {
        &self.exports
    }

    /// The streams that it reads from this process.
    pub(super) fn pumps(&self) -> &Pumps {
        &self.pumps
    }

    /// Tells it that the caller of `cell` has given up, if it runs the call.
    pub(super) fn cancel(&self, cell: NonNull<Header>) -> bool {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let mut links = links.iter().flatten();
        links.any(|link| link.cancel(cell))
    }

    /// Its links let go of actors that it has dropped (`exports` rule XP-4).
    pub(super) fn forget_targets(&self) {
        let gone: Vec<_> = {
            let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
            let links = links.iter().flatten();
            links.filter_map(|link| link.forget_target()).collect()
        };
        drop(gone);
    }

    /// Whether it holds nothing of this process.
    pub(crate) fn holds_nothing(&self) -> bool {
        self.exports.is_empty()
    }

    /// Schedulers that it has.
    pub(crate) fn schedulers(&self) -> usize {
        self.doors.len()
    }

    /// Makes the calling scheduler's link to its scheduler `there`, at the first use.
    #[cold]
    pub(crate) fn open(self: &Arc<Self>, there: usize, local: &Local) -> Result<Arc<Link>> {
        let index = local.shared.index + there;
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(death) = self.death() {
            return Err(death.error("a call", None));
        }
        let place = links.get_mut(index).ok_or_else(|| Error::System {
            what: format!("cannot reach {}", self.name()),
            reason: format!("there is no link {index}; this is a defect of maser"),
        })?;
        if let Some(link) = place {
            return Ok(link.clone());
        }
        let link = self.map(index, &local.shared, there)?;
        *place = Some(link.clone());
        drop(links);
        local.sources.push(Rc::new(LinkSource(link.clone())));
        Ok(link)
    }

    fn map(self: &Arc<Self>, index: usize, here: &Arc<Shared>, there: usize) -> Result<Arc<Link>> {
        let refused = |reason: String| Error::System {
            what: format!("cannot open the link to {}", self.name()),
            reason,
        };
        let bytes = ring_bytes();
        let ring = |back: usize| {
            let region = self.memory.region((2 * index + back) * bytes, bytes);
            region.map_err(|error| refused(error.to_string()))
        };
        let (out, back) = if self.is_maker { (0, 1) } else { (1, 0) };
        let out = line_sender_in::<Frame>(&ring(out)?, DEPTH);
        let incoming = line_receiver_in::<Frame>(&ring(back)?, DEPTH);
        let out = out.map_err(|error| refused(error.to_string()))?;
        let incoming = incoming.map_err(|error| refused(error.to_string()))?;
        Ok(Link::new(self.clone(), here.clone(), there, out, incoming))
    }

    /// A message was published for its scheduler `there`.
    #[inline(always)]
    pub(crate) fn wake(&self, there: usize) {
        self.doors.ring(there);
    }

    /// The memory of its doors, once it is known.
    pub(super) fn doors_memory(&self) -> Option<&ControlMemory> {
        self.doors.memory()
    }

    /// Where its schedulers sleep is known now.
    pub(super) fn doors_are_in(
        &self,
        file: OwnedFd,
        bytes: u64,
    ) -> std::result::Result<(), String> {
        self.doors.are_in(file, bytes, &self.name())
    }

    /// What it sends is no message: it is not listened to any more.
    #[cold]
    pub(super) fn distrust(&self, why: &str) {
        let _first = self.distrusted.set(why.to_owned());
    }

    /// What it sent, or wrote into a ring, cannot be: it is ended, and its end says why. A worker
    /// whose driver is mad ends itself.
    #[cold]
    pub(super) fn is_mad(&self, why: &str) {
        self.distrust(&format!("it sent {why}"));
        if let Ok(node) = Node::current("ending a worker") {
            match node.workers.membership() {
                Some(_) => node.process.exit_now(),
                None => node.workers.kill(self.id),
            }
        }
    }

    /// Why it is not listened to, if it is not.
    pub(super) fn distrusted(&self) -> Option<&str> {
        self.distrusted.get().map(String::as_str)
    }

    /// It is dead: completes what waits for it. On any thread, once.
    pub(super) fn died(self: &Arc<Self>, death: Death) {
        let death = self.death.get_or_init(|| death);
        let _reads = self.readers.enter(); // BK-8
        let proxies: Vec<HeldCore> = {
            let mut proxies = self.proxies.lock().unwrap_or_else(PoisonError::into_inner);
            let held = proxies.iter().filter_map(SendCore::try_hold).collect();
            proxies.clear();
            held
        };
        let returning: Vec<&HeldCore> = proxies
            .iter()
            .filter(|actor| self.fells(actor, death))
            .collect();
        let links = {
            let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *links)
        };
        for link in links.into_iter().flatten() {
            link.peer_died(death);
        }
        self.exports.clear();
        self.pumps.stop_all();
        let awaited = {
            let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *awaited)
        };
        for awaited in awaited.into_values().flatten() {
            awaited.does_not_come(death);
        }
        // What it had published was taken.
        for actor in returning {
            if let Some(supervisor) = actor.core().supervisor() {
                supervisor.returns(actor, death);
            }
        }
    }

    /// Ends an actor of this process, which is dead; true if it comes back instead.
    fn fells(self: &Arc<Self>, actor: &HeldCore, death: &Death) -> bool {
        let core = actor.core();
        let fall = match core.supervisor() {
            Some(supervisor) => supervisor.falls(core, self, death),
            None => Fall::Dies,
        };
        if fall == Fall::Dies {
            let error = death.error("an actor", Some(core.display_name()));
            ActorCore::die(NonNull::from(core), error.clone());
            if let Some(supervisor) = core.supervisor() {
                supervisor.ends(core, &Fault::new(core.death().unwrap_or(error)));
            }
        }
        fall == Fall::Returns
    }

    /// Asks it for a value that is to come, with this message.
    pub(super) fn await_value(
        self: &Arc<Self>,
        number: u64,
        awaited: Awaited,
        (head, body): (Head, Vec<u8>),
    ) {
        {
            let mut all = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(number).or_default().push(awaited);
        }
        if let Some(death) = self.death() {
            // Either `died` finds it in the list, or we do. Only this one: locks may be held.
            if let Some(awaited) = self.value_came(number) {
                awaited.does_not_come(death);
            }
            return;
        }
        // Not the main thread, if there are others: it may be busy with something else.
        let there = self.schedulers() - 1;
        let send = move |peer: &Arc<Self>, local: &Local| {
            // A peer that has died meanwhile has ended the wait.
            if let Ok(link) = local.links.get(local, peer, there) {
                link.send(head, &body);
            }
        };
        match Local::current() {
            Some(local) => send(self, local),
            None => {
                if let Ok(node) = Node::current("asking for a value") {
                    let peer = self.clone();
                    let errand = letter::closure(move |local| send(&peer, local));
                    node.post_to(0, errand);
                }
            }
        }
    }

    /// A value that it was asked for has come.
    pub(super) fn value_came(&self, number: u64) -> Option<Awaited> {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        let of_number = awaited.get_mut(&number)?;
        let next = of_number.pop();
        if of_number.is_empty() {
            awaited.remove(&number);
        }
        next
    }

    /// A handle of the block that stands for its actor `number`, if there is one.
    pub(super) fn proxy(&self, number: u32, class: TypeId) -> Option<NonNull<ActorCore>> {
        let proxies = self.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        let mut blocks = proxies.iter().map(SendCore::get);
        blocks.find(|core| handles::stands_for(*core, number, class))
    }

    /// A block of one of its actors was made here.
    pub(crate) fn has_proxy(self: &Arc<Self>, core: NonNull<ActorCore>) {
        let proxies = || self.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        proxies().push(SendCore::new(core));
        let Some(death) = self.death() else { return };
        // Either `died` finds it in the list, or we do.
        let own = {
            let mut proxies = proxies();
            let at = proxies.iter().position(|proxy| proxy.get() == core);
            at.and_then(|at| proxies.swap_remove(at).try_hold())
        };
        if let Some(actor) = own
            && self.fells(&actor, death)
            && let Some(supervisor) = actor.core().supervisor()
        {
            supervisor.returns(&actor, death);
        }
    }

    /// The block of its actor that was made from here as this number.
    pub(super) fn made(&self, number: u32) -> Option<HeldCore> {
        let proxies = self.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        let held: Vec<_> = proxies.iter().filter_map(SendCore::try_hold).collect();
        drop(proxies);
        held.into_iter()
            .find(|actor| actor.core().is_number(number))
    }

    /// A block of one of its actors is about to be freed.
    pub(crate) fn forget(&self, core: NonNull<ActorCore>) {
        let mut proxies = self.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        proxies.retain(|proxy| proxy.get() != core);
    }

    /// Memory for a message.
    pub(super) fn buffer(&self) -> Vec<u8> {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        buffers.pop().unwrap_or_default()
    }

    /// Gives the memory of a message back.
    pub(super) fn give_buffer(&self, mut bytes: Vec<u8>) {
        const KEPT_BYTES_MAX: usize = 64 << 10;
        if bytes.capacity() <= KEPT_BYTES_MAX {
            bytes.clear();
            self.buffers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(bytes);
        }
    }
}
