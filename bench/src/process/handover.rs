//! Objects of the store on their way to the second process and back.
//!
//! - HV-1 what travels is a descriptor on a line ring; the payload stays where it is.
//! - HV-2 an object is given (counted for the other process) before its descriptor is sent, opened and
//!   looked at there, and let go of; that message back is also the answer. So each crossing has all
//!   the books of a real one.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use maser_shm::control::ControlMemory;
use maser_shm::store::{Foreign, Object, Store, StoreConfig, StoreError};

use super::partner::{PartnerProcess, Service};
use super::rings::{
    FIRST, LetGo, NONE, Receiver, SECOND, Sender, extents_of, fill, known, open_rings, receive,
    rings_bytes, send, sum,
};
use super::setup::{Serve, Setup};
use crate::harness::{BenchError, Contender, Window, check};

/// An object of the first process that is given to the second, looked at there, and let go of.
pub struct Handover {
    name: &'static str,
    store: Store,
    object: Object,
    sender: Sender,
    receiver: Receiver,
    there: Service,
}

impl Handover {
    /// An object of `bytes`.
    ///
    /// # Errors
    /// The store's, or the partner's.
    pub fn new(
        name: &'static str,
        partner: &Rc<PartnerProcess>,
        bytes: usize,
    ) -> Result<Self, BenchError> {
        let failed = |why: &dyn std::fmt::Display| BenchError::contender(name, why);
        let store = Store::new(StoreConfig::new(2 * bytes + (64 << 20)));
        let store = store.map_err(|error| failed(&error))?;
        store.add_peer(SECOND, "the second process");
        let mut object = store.create(bytes).map_err(|error| failed(&error))?;
        fill(&mut object, 1);
        let object = object.seal();
        let rings = rings_bytes().map_err(|error| failed(&error))?;
        let memory = ControlMemory::create(rings).map_err(|error| failed(&error))?;
        let (sender, receiver) = open_rings(&memory, true).map_err(|error| failed(&error))?;
        let (extents, files) = extents_of(&store).map_err(|error| failed(&error))?;
        let control = memory.bytes() as u64;
        let mut all: Vec<BorrowedFd<'_>> = vec![memory.file()];
        all.extend(files.iter().map(AsFd::as_fd));
        let there = partner.open(Setup::Handover { control, extents }, &all)?;
        Ok(Self {
            name,
            store,
            object,
            sender,
            receiver,
            there,
        })
    }
}

impl Contender for Handover {
    fn name(&self) -> &'static str {
        self.name
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let serving = self.there.serve(window.calls())?;
        let mut failed: Option<StoreError> = None;
        window.time(|| {
            let given = self.store.give(&self.object, SECOND).unwrap_or(NONE);
            send(&mut self.sender, [given, NONE]);
            let [_, returned] = receive(&mut self.receiver);
            if let Err(error) = self.store.take_back(SECOND, returned, 1) {
                failed = Some(error);
            }
        });
        let seen = serving.join()?;
        if let Some(error) = failed {
            return Err(BenchError::contender(self.name, error));
        }
        let last = self.object.len() as u64 / 8;
        check(self.name, window.calls() * (1 + last), seen)
    }
}

/// The other side of [`Handover`].
pub(super) struct HandoverThere {
    foreign: Foreign,
    let_go: Arc<LetGo>,
    sender: Sender,
    receiver: Receiver,
}

impl HandoverThere {
    pub(super) fn open(
        control: OwnedFd,
        bytes: u64,
        extents: &[(u32, u64)],
        files: impl Iterator<Item = OwnedFd>,
    ) -> Result<Self, String> {
        let memory = ControlMemory::attach(control, bytes, "the first process");
        let memory = memory.map_err(|error| error.to_string())?;
        let (sender, receiver) = open_rings(&memory, false)?;
        let (foreign, let_go) = known(FIRST, extents, files)?;
        Ok(Self {
            foreign,
            let_go,
            sender,
            receiver,
        })
    }
}

impl Serve for HandoverThere {
    /// Sum of the first and the last word of each object.
    fn serve(&mut self, calls: u64) -> Result<u64, String> {
        let (mut seen, mut failed) = (0, None);
        for _ in 0..calls {
            let [given, _] = receive(&mut self.receiver);
            match self.foreign.open(FIRST, given) {
                Ok(object) => seen += sum(&object[..8]) + sum(&object[object.len() - 8..]),
                Err(error) => failed = Some(error.to_string()),
            }
            send(&mut self.sender, [NONE, self.let_go.take()]);
        }
        failed.map_or(Ok(seen), Err)
    }
}
