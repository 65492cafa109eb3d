//! Values on their way to another process: their bytes, and what of this node they refer to.
//!
//! - PC-1 the bytes are the same whichever process gets them: a task is given to the worker that is
//!   free, and to another one if that dies. What they refer to is counted when the parcel is sent:
//!   one reference for the process that gets it (`Thing::give`), which gives it back, or dies.
//! - PC-2 objects of stores are listed once more behind the bytes, so that a process that cannot
//!   decode the value, or does not want it, gives their references back all the same.

use super::bulk::Name;
use super::bulk::claims;
use super::peer::Peer;
use crate::executor::local::Local;
use std::sync::Arc;

/// See the module's page.
#[derive(Default)]
pub(crate) struct Parcel {
    pub(crate) bytes: Vec<u8>,
    pub(crate) things: Vec<Box<dyn Thing>>,
    /// Arrays go as their bytes: nobody could give their references back.
    pub(crate) copies: bool,
    /// Of the message, once the table of objects is behind the bytes (PC-2).
    flag: Option<u8>,
}

/// A counted handle of something that a parcel refers to by a number.
pub(crate) trait Thing: Send {
    /// The parcel goes to `peer` now: one reference more is its. On the scheduler that sends it.
    fn give(&self, peer: &Arc<Peer>, local: &Local);

    /// What names it, if it is an object of a store (PC-2).
    fn object(&self) -> Option<Name> {
        None
    }
}

impl Parcel {
    /// An empty parcel with this memory.
    pub(crate) fn in_buffer(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            things: Vec::new(),
            copies: false,
            flag: None,
        }
    }

    /// What [`give`](Self::give) gave.
    pub(super) fn flag(&self) -> u8 {
        self.flag.unwrap_or(0)
    }

    /// PC-1. The flag of the message that has the bytes.
    #[inline]
    pub(super) fn give(&mut self, peer: &Arc<Peer>, local: &Local) -> u8 {
        if self.things.is_empty() {
            return 0;
        }
        for thing in &self.things {
            thing.give(peer, local);
        }
        let (things, bytes) = (&self.things, &mut self.bytes);
        *self.flag.get_or_insert_with(|| {
            let objects = things.iter().filter_map(|thing| thing.object());
            claims::append(objects, bytes)
        })
    }
}
