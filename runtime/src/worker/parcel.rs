//! Values on their way to another process: their bytes, and what of this node they refer to.
//!
//! - PC-1 the bytes are the same whichever process gets them: a task is given to the worker that is
//!   free, and to another one if that dies. What they refer to is counted when the parcel is sent:
//!   one reference for the process that gets it (`Thing::give`), which gives it back, or dies.
//! - PC-2 objects of stores are listed once more behind the bytes, so that a process that cannot
//!   decode the value, or does not want it, gives their references back all the same.
//! - PC-3 the bytes of a large parcel are an object of the store, and its message names that; where
//!   the store has no room they go in the message, which is slower.

use super::along::Beside;
use super::bulk::Name;
use super::bulk::claims::{self, Claims};
use super::peer::Peer;
use crate::error::{Error, Result};
use crate::executor::local::Local;
use crate::node::Node;
use crate::object::buffer::Buffer;
use std::sync::Arc;

/// In the flag of a message: its body names an object, and the bytes are that object's.
pub(in crate::worker) const IN_STORE: u8 = 64;
/// Bytes from which a parcel goes through the store: lines of a ring take several times as long.
const LARGE_BYTES: usize = 32 << 10;

/// See the module's page.
#[derive(Default)]
pub(crate) struct Parcel {
    pub(crate) bytes: Vec<u8>,
    pub(crate) things: Vec<Box<dyn Thing>>,
    /// Where its arrays go, if not with it as things.
    pub(crate) arrays: Option<Arrays>,
    /// Of the message, once the table of objects is behind the bytes (PC-2).
    flag: Option<u8>,
    /// PC-3.
    stored: Option<Buffer>,
}

/// Where the arrays of a value go that is no message, and its refs and handles.
pub(crate) enum Arrays {
    /// Nowhere: their bytes are a part of the value, for nobody could give references back.
    Copied,
    /// Beside it, in this order.
    Beside {
        objects: Vec<Beside>,
        /// All of them are to lie in the store of this process (BK-7).
        own: bool,
    },
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
            arrays: None,
            flag: None,
            stored: None,
        }
    }

    /// What [`give`](Self::give) gave.
    pub(super) fn flag(&self) -> u8 {
        self.flag.unwrap_or(0)
    }

    /// PC-1. The flag of the message that has the bytes.
    #[inline]
    pub(super) fn give(&mut self, peer: &Arc<Peer>, local: &Local) -> u8 {
        if self.bytes.len() < LARGE_BYTES && self.stored.is_none() {
            return self.give_whole(peer, local);
        }
        let flag = self.give_whole(peer, local);
        if self.stored.is_none() {
            self.store(local);
        }
        match &self.stored {
            Some(buffer) => {
                local.node.bulk.give(peer, buffer);
                flag | IN_STORE
            }
            None => flag,
        }
    }

    /// As [`give`](Self::give), with all bytes in the message: for parcels whose bytes become a part
    /// of another message.
    #[inline]
    pub(super) fn give_whole(&mut self, peer: &Arc<Peer>, local: &Local) -> u8 {
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

    /// PC-3.
    #[cold]
    fn store(&mut self, local: &Local) {
        let bulk = &local.node.bulk;
        let Ok(object) = bulk.put(&self.bytes) else {
            return;
        };
        let buffer = Buffer::Own(object);
        if let Some(name) = bulk.name(&buffer) {
            self.bytes = Vec::new();
            claims::append(std::iter::once(name), &mut self.bytes);
            self.stored = Some(buffer);
        }
    }
}

/// Puts the bytes that a message of `peer` names in the place of its body (PC-3).
///
/// # Errors
/// [`Error::Store`] for an object that is not there; [`Error::InvalidArgument`] for a body that
/// names none.
#[cold]
pub(super) fn fetch(peer: &Arc<Peer>, body: &mut Vec<u8>) -> Result<()> {
    let (_, mut claims) = Claims::split(peer, claims::HAS_OBJECTS, body);
    let name = claims.first().ok_or_else(|| Error::InvalidArgument {
        argument: "message",
        problem: "it names no object, where its bytes are to be".into(),
        remedy: "both processes must be of the same build".into(),
    })?;
    claims.take(name);
    let node = Node::current("receiving a value")?;
    let buffer = node.bulk.receive(peer, name)?;
    drop(claims);
    *body = buffer.bytes().to_vec();
    Ok(())
}
