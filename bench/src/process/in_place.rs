//! Objects of the store that each process writes where they are, and the other reads there.
//!
//! The books are those of a crossing one way (HV-2); what one side lets go of goes with its next
//! message, so that each side has one object under way.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use maser_shm::control::ControlMemory;
use maser_shm::store::{Arena, Foreign, PeerId, Store, StoreConfig, StoreError};

use super::partner::{PartnerProcess, Service};
use super::payload::{fill, sum};
use super::rings::{
    FIRST, LetGo, NONE, Receiver, SECOND, Sender, extents_of, known, open_rings, receive,
    rings_bytes, send,
};
use super::setup::{Serve, Setup};
use crate::harness::{BenchError, Contender, Window, check};

/// What each side of [`InPlace`] has.
struct Writer {
    store: Store,
    arena: Arena,
    other: PeerId,
    bytes: usize,
    foreign: Foreign,
    let_go: Arc<LetGo>,
    sender: Sender,
    receiver: Receiver,
}

fn store_for(bytes: usize, other: PeerId) -> Result<(Store, Arena), StoreError> {
    let store = Store::new(StoreConfig::new(2 * bytes + (64 << 20)))?;
    store.add_peer(other, "the other process");
    let arena = store.arena();
    // All its objects will lie in the extent that this one makes.
    drop(arena.create(bytes)?);
    store.settle();
    Ok((store, arena))
}

impl Writer {
    /// Writes an object, hands it over, and lets go of the one that came last.
    fn write(&mut self, first: u64) -> Result<(), StoreError> {
        let created = self.arena.create(self.bytes);
        let given = created.and_then(|mut object| {
            fill(&mut object, first);
            self.store.give(&object.seal(), self.other)
        });
        // The other side waits for a message, whatever became of the object (QX-2).
        let message = [*given.as_ref().unwrap_or(&NONE), self.let_go.take()];
        send(&mut self.sender, message);
        given.map(|_| ())
    }

    /// Reads the object that comes next and takes back what the other side let go of.
    fn read(&mut self) -> Result<u64, StoreError> {
        let [given, returned] = receive(&mut self.receiver);
        if returned != NONE {
            self.store.take_back(self.other, returned, 1)?;
        }
        Ok(sum(&self.foreign.open(self.other, given)?))
    }
}

/// Objects written in place by the first process and read by the second, and the other way round.
pub struct InPlace {
    writer: Writer,
    there: Service,
}

impl InPlace {
    /// Objects of `bytes`.
    ///
    /// # Errors
    /// The store's, or the partner's.
    pub fn new(partner: &Rc<PartnerProcess>, bytes: usize) -> Result<Self, BenchError> {
        let failed = |why: &dyn std::fmt::Display| BenchError::contender("maser", why);
        let (store, arena) = store_for(bytes, SECOND).map_err(|error| failed(&error))?;
        let rings = rings_bytes().map_err(|error| failed(&error))?;
        let memory = ControlMemory::create(rings).map_err(|error| failed(&error))?;
        let (sender, receiver) = open_rings(&memory, true).map_err(|error| failed(&error))?;
        let (extents, files) = extents_of(&store).map_err(|error| failed(&error))?;
        let control = memory.bytes() as u64;
        let mut all: Vec<BorrowedFd<'_>> = vec![memory.file()];
        all.extend(files.iter().map(AsFd::as_fd));
        let setup = Setup::InPlace {
            control,
            extents,
            bytes,
        };
        let mut there = partner.open(setup, &all)?;
        // What it says is the size of its only extent, which is number 0.
        let theirs = std::mem::take(&mut there.files).into_iter();
        let known = known(SECOND, &[(0, there.said)], theirs);
        let (foreign, let_go) = known.map_err(|error| failed(&error))?;
        let writer = Writer {
            store,
            arena,
            other: SECOND,
            bytes,
            foreign,
            let_go,
            sender,
            receiver,
        };
        Ok(Self { writer, there })
    }
}

impl Contender for InPlace {
    fn name(&self) -> &'static str {
        "maser"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let serving = self.there.serve(window.calls())?;
        let (mut read, mut number, mut failed) = (0_u64, 0, None);
        window.time(|| {
            number += 1;
            let written = self.writer.write(number);
            let found = self.writer.read();
            match written.and(found) {
                Ok(sum) => read = read.wrapping_add(sum),
                Err(error) => failed = Some(error),
            }
        });
        let there = serving.join()?;
        if let Some(error) = failed {
            return Err(BenchError::contender("maser", error));
        }
        // Both write the same numbers.
        let (words, calls) = (self.writer.bytes as u64 / 8, window.calls());
        let wanted = words * (calls * (calls + 1) / 2) + calls * (words * (words - 1) / 2);
        check("maser", (wanted, wanted), (read, there))
    }
}

/// The other side of [`InPlace`].
pub(super) struct InPlaceThere(Writer);

impl InPlaceThere {
    pub(super) fn open(
        control: OwnedFd,
        control_bytes: u64,
        extents: &[(u32, u64)],
        files: impl Iterator<Item = OwnedFd>,
        bytes: usize,
    ) -> Result<Self, String> {
        let (store, arena) = store_for(bytes, FIRST).map_err(|error| error.to_string())?;
        let memory = ControlMemory::attach(control, control_bytes, "the first process");
        let memory = memory.map_err(|error| error.to_string())?;
        let (sender, receiver) = open_rings(&memory, false)?;
        let (foreign, let_go) = known(FIRST, extents, files)?;
        Ok(Self(Writer {
            store,
            arena,
            other: FIRST,
            bytes,
            foreign,
            let_go,
            sender,
            receiver,
        }))
    }
}

impl Serve for InPlaceThere {
    fn serve(&mut self, calls: u64) -> Result<u64, String> {
        let (mut read, mut failed) = (0_u64, None);
        for number in 1..=calls {
            let found = self.0.read();
            let written = self.0.write(number);
            match found.and_then(|sum| written.map(|()| sum)) {
                Ok(sum) => read = read.wrapping_add(sum),
                Err(error) => failed = Some(error.to_string()),
            }
        }
        failed.map_or(Ok(read), Err)
    }

    fn files(&self) -> Vec<OwnedFd> {
        extents_of(&self.0.store).map_or_else(|_| Vec::new(), |(_, files)| files)
    }

    fn said(&self) -> u64 {
        let extents = extents_of(&self.0.store);
        extents.map_or(0, |(extents, _)| {
            extents.iter().map(|(_, bytes)| bytes).sum()
        })
    }
}
