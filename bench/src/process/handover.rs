//! Objects of the store on their way to the second process and back.
//!
//! - HV-1 what travels is a descriptor on a line ring; the payload stays where it is.
//! - HV-2 an object is given (counted for the other process) before its descriptor is sent; there it is
//!   opened (checked, counted), looked at, handed back and let go of. What was let go of goes with the
//!   message of the next crossing and is taken back while that one is under way. So each crossing has
//!   all the books of a real one, and those that nobody waits for are done while one waits anyway.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use maser_shm::control::ControlMemory;
use maser_shm::store::{Descriptor, Foreign, Object, Store, StoreConfig, StoreError};

use super::partner::{PartnerProcess, Service};
use super::payload::{fill, sum};
use super::rings::{
    FIRST, LetGo, NONE, Receiver, SECOND, Sender, extents_of, known, open_rings, receive,
    rings_bytes, send,
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
    /// What the second process let go of last.
    released: Descriptor,
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
            released: NONE,
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
        let (mut returned, mut failed) = (0, None::<StoreError>);
        window.time(|| {
            let given = self.store.give(&self.object, SECOND).unwrap_or(NONE);
            send(&mut self.sender, [given, NONE]);
            // HV-2: books of the crossing before, while this one is under way.
            if self.released != NONE
                && let Err(error) = self.store.take_back(SECOND, self.released, 1)
            {
                failed = Some(error);
            }
            let [back, released] = receive(&mut self.receiver);
            self.released = released;
            returned += u64::from(back == given);
        });
        let seen = serving.join()?;
        if let Some(error) = failed {
            return Err(BenchError::contender(self.name, error));
        }
        let last = self.object.len() as u64 / 8;
        check(self.name, window.calls(), returned)?;
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
            let opened = self.foreign.open(FIRST, given);
            match &opened {
                Ok(object) => seen += sum(&object[..8]) + sum(&object[object.len() - 8..]),
                Err(error) => failed = Some(error.to_string()),
            }
            send(&mut self.sender, [given, self.let_go.take()]);
            // HV-2: it goes with the next message.
            drop(opened);
        }
        failed.map_or(Ok(seen), Err)
    }
}
