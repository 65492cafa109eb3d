//! Values on their way to another process: their bytes, and what of this node they refer to.
//!
//! - PC-1 the bytes are the same whichever process gets them: a task is given to the worker that is
//!   free, and to another one if that dies. What they refer to is counted when the parcel is sent:
//!   one reference for the process that gets it (`Thing::give`), which gives it back, or dies.

use super::peer::Peer;
use crate::executor::local::Local;
use std::sync::Arc;

/// See the module's page.
#[derive(Default)]
pub(crate) struct Parcel {
    pub(crate) bytes: Vec<u8>,
    pub(crate) things: Vec<Box<dyn Thing>>,
}

/// A counted handle of something that a parcel refers to by a number.
pub(crate) trait Thing: Send {
    /// The parcel goes to `peer` now: one reference more is its. On the scheduler that sends it.
    fn give(&self, peer: &Arc<Peer>, local: &Local);
}

impl Parcel {
    /// An empty parcel with this memory.
    pub(crate) fn in_buffer(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            things: Vec::new(),
        }
    }

    /// PC-1.
    #[inline]
    pub(super) fn give(&self, peer: &Arc<Peer>, local: &Local) {
        for thing in &self.things {
            thing.give(peer, local);
        }
    }
}
