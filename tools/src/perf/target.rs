//! The memory of one end for one row, and the requests on the peer's.
//!
//! | region | the peer | this end |
//! |---|---|---|
//! | `shown` | writes it by puts, reads it by gets, adds to its first word | looks at it when the row is over |
//! | `own` | knows nothing of it | puts come from it, gets go to it |
//!
//! - QT-1 what a put is made of, what lies in a region that is read, and what it is before, all differ: a
//!   row that left its bytes where they were is found out (QP-3).

use super::dialogue::BadSaying;
use super::error::PerfError;
use super::spec::{Spec, Test};
use maser_transport::{
    Access, HeapMemory, MemoryRegion, Message, PutSource, RemoteRegion, RemoteSlice, Transport,
    WorkRequest,
};
use std::sync::Arc;

/// Bytes that are filled and compared at once.
const PART_BYTES: usize = 4096;
/// What puts and messages are made of (QT-1).
const SENT: u8 = 1;
/// What gets find.
const FOUND: u8 = 101;

/// See the module's page.
pub struct Target {
    shown: MemoryRegion,
    own: MemoryRegion,
    message: Message,
}

/// Bytes that differ from their neighbours, and from those of another seed.
fn part(at: usize, bytes: usize, seed: u8) -> Vec<u8> {
    let byte = |at: usize| (at.wrapping_mul(167) >> 3) as u8 ^ seed;
    (at..at + bytes).map(byte).collect()
}

fn fill(region: &MemoryRegion, bytes: usize, seed: u8) -> Result<(), PerfError> {
    for at in (0..bytes).step_by(PART_BYTES) {
        let part = part(at, PART_BYTES.min(bytes - at), seed);
        region
            .write(at, &part)
            .map_err(|error| PerfError::Wrong(error.to_string()))?;
    }
    Ok(())
}

fn compare(region: &MemoryRegion, bytes: usize, seed: u8, what: &str) -> Result<(), PerfError> {
    for at in (0..bytes).step_by(PART_BYTES) {
        let wanted = part(at, PART_BYTES.min(bytes - at), seed);
        let mut found = vec![0; wanted.len()];
        region
            .read(at, &mut found)
            .map_err(|error| PerfError::Wrong(error.to_string()))?;
        if let Some(differs) = (0..found.len()).find(|&byte| found[byte] != wanted[byte]) {
            let (found, wanted) = (found[differs], wanted[differs]);
            return Err(PerfError::Wrong(format!(
                "{what} have {found:#04x} at byte {} where {wanted:#04x} was to be",
                at + differs
            )));
        }
    }
    Ok(())
}

impl Target {
    /// Memory for a row that was checked (QP-2).
    ///
    /// # Errors
    /// [`PerfError::Register`].
    pub fn new(transport: &mut dyn Transport, spec: &Spec) -> Result<Self, PerfError> {
        let bytes = spec.bytes as usize;
        // Messages need no regions.
        let room = if spec.test.is_of_messages() { 8 } else { bytes };
        let mut region = |access| {
            let memory = Arc::new(HeapMemory::new(room.max(1)));
            transport.register(memory, access)
        };
        let target = Self {
            shown: region(Access::all())?,
            own: region(Access::all())?,
            message: match spec.test.is_of_messages() {
                true => Message::copied(&part(0, bytes, SENT)),
                false => Message::EMPTY,
            },
        };
        match spec.test {
            Test::PutLat | Test::PutBw => fill(&target.own, bytes, SENT)?,
            Test::GetLat | Test::GetBw => fill(&target.shown, bytes, FOUND)?,
            _ => {}
        }
        Ok(target)
    }

    /// What the peer is told of it.
    pub fn to_wire(&self) -> Vec<u8> {
        self.shown.remote().to_wire()
    }

    /// The part of the peer's region that a row is about (QP-2).
    ///
    /// # Errors
    /// [`BadSaying`].
    pub fn theirs(wire: &[u8], spec: &Spec) -> Result<RemoteSlice, BadSaying> {
        let region = RemoteRegion::from_wire(wire).map_err(|error| BadSaying::Region {
            problem: error.to_string(),
        })?;
        let bytes = if spec.test.is_of_messages() {
            0
        } else {
            spec.bytes
        };
        region.slice(0..bytes).map_err(|error| BadSaying::Region {
            problem: error.to_string(),
        })
    }

    /// One request of the row, on the peer's part; a put has the signal.
    #[inline]
    pub fn request(&self, spec: &Spec, theirs: &RemoteSlice, signal: Option<u32>) -> WorkRequest {
        match spec.test {
            Test::SendLat | Test::SendBw => WorkRequest::Send(self.message.clone()),
            Test::PutLat | Test::PutBw => WorkRequest::Put {
                from: PutSource::Region(self.own_part(spec)),
                to: theirs.clone(),
                signal,
            },
            Test::GetLat | Test::GetBw => WorkRequest::Get {
                from: theirs.clone(),
                to: self.own_part(spec),
            },
            Test::AtomicLat | Test::AtomicBw => WorkRequest::FetchAdd {
                at: theirs.clone(),
                add: 1,
            },
        }
    }

    fn own_part(&self, spec: &Spec) -> maser_transport::LocalSlice {
        match self.own.slice(0..spec.bytes as usize) {
            Ok(slice) => slice,
            Err(error) => unreachable!("the region was made for the spec: {error}"),
        }
    }

    /// Whether a message of the peer is one of the row.
    ///
    /// # Errors
    /// [`PerfError::Wrong`].
    #[inline]
    pub fn check_message(message: &Message, spec: &Spec) -> Result<(), PerfError> {
        if message.len() as u64 == spec.bytes {
            return Ok(());
        }
        Err(PerfError::Wrong(format!(
            "a message of {} bytes came where {} bytes were sent",
            message.len(),
            spec.bytes
        )))
    }

    /// As [`check_message`](Self::check_message), every byte.
    ///
    /// # Errors
    /// [`PerfError::Wrong`].
    pub fn check_bytes(&self, message: &Message, spec: &Spec) -> Result<(), PerfError> {
        Self::check_message(message, spec)?;
        match *message == self.message {
            true => Ok(()),
            false => Err(PerfError::Wrong("other bytes came than were sent".into())),
        }
    }

    /// Whether the peer's requests and one's own did what they were to do (QP-3).
    ///
    /// # Errors
    /// [`PerfError::Wrong`].
    pub fn check(&self, spec: &Spec, ours: u64, theirs: u64) -> Result<(), PerfError> {
        let bytes = spec.bytes as usize;
        match spec.test {
            Test::PutLat | Test::PutBw if theirs > 0 => {
                compare(&self.shown, bytes, SENT, "the bytes that were put")
            }
            Test::GetLat | Test::GetBw if ours > 0 => {
                compare(&self.own, bytes, FOUND, "the bytes that were got")
            }
            Test::AtomicLat | Test::AtomicBw => {
                let mut word = [0; 8];
                self.shown
                    .read(0, &mut word)
                    .map_err(|error| PerfError::Wrong(error.to_string()))?;
                let sum = u64::from_ne_bytes(word);
                match sum == theirs {
                    true => Ok(()),
                    false => Err(PerfError::Wrong(format!(
                        "the word is {sum} after {theirs} additions"
                    ))),
                }
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::tests::GOOD;
    use super::*;
    use maser_transport::loopback::{LoopbackTransport, Network};

    fn made(test: Test) -> (Spec, Target) {
        let mut transport = LoopbackTransport::open(&Network::new());
        let bytes = if test.is_atomic() { 8 } else { 10_000 };
        let spec = Spec {
            test,
            bytes,
            ..GOOD
        };
        let target = Target::new(&mut transport, &spec).expect("memory");
        (spec, target)
    }

    #[test]
    fn work_that_was_not_done_is_found_out() {
        for (test, ours, theirs) in [
            (Test::PutBw, 0, 1),
            (Test::GetLat, 1, 0),
            (Test::AtomicBw, 0, 1),
        ] {
            let (spec, target) = made(test);
            let error = target.check(&spec, ours, theirs).expect_err("nothing was");
            assert!(matches!(error, PerfError::Wrong(_)), "{error}");
        }
        let (spec, target) = made(Test::PutLat);
        assert!(target.check(&spec, 1, 0).is_ok());
    }

    #[test]
    fn one_wrong_byte_is_found_out() {
        let (spec, target) = made(Test::PutBw);
        fill(&target.shown, 10_000, SENT).expect("within");
        target.check(&spec, 0, 1).expect("all of it");
        target.shown.write(9_999, &[0]).expect("within");
        let error = target.check(&spec, 0, 1).expect_err("the last one");
        assert!(error.to_string().contains("at byte 9999"), "{error}");
    }

    #[test]
    fn messages_of_another_length_are_found_out() {
        let (spec, target) = made(Test::SendBw);
        target
            .check_bytes(&target.message, &spec)
            .expect("the same");
        for other in [&[][..], &[0; 10_001], &[0; 10_000]] {
            target
                .check_bytes(&Message::copied(other), &spec)
                .expect_err("another one");
        }
    }

    #[test]
    fn a_region_that_is_too_short_or_none_is_refused() {
        let (spec, target) = made(Test::PutBw);
        Target::theirs(&target.to_wire(), &spec).expect("long enough");
        let longer = Spec {
            bytes: 10_001,
            ..spec
        };
        for (wire, spec) in [(&target.to_wire()[..], &longer), (&[1, 2, 3], &spec)] {
            let error = Target::theirs(wire, spec).expect_err("of no use");
            assert!(matches!(error, BadSaying::Region { .. }), "{error}");
        }
    }
}
