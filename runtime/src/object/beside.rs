//! Buffers of a value that is encoded or decoded by maser itself: they stay out of its bytes, which
//! hold the names of objects, or numbers in a table.
//!
//! Within one process (inline mode) the buffer goes by count through the table of the codec. To
//! another process goes what names the object, and a reference to it goes with the parcel.

use super::buffer::Buffer;
use super::codec;
use crate::error::{Error, Result};
use crate::executor::local::Local;
use crate::node::Node;
use crate::worker::bulk::Name;
use crate::worker::parcel::Thing;
use crate::worker::peer::Peer;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where a buffer is, in the bytes of a value.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Place {
    /// In the table beside the bytes.
    Table(u32),
    /// In a store.
    Store(Name),
}

/// A buffer in a parcel.
struct Goes(Buffer, Name);

impl Thing for Goes {
    fn give(&self, peer: &Arc<Peer>, local: &Local) {
        local.node.bulk.give(peer, &self.0);
    }

    fn object(&self) -> Option<Name> {
        Some(self.1)
    }
}

/// Takes a buffer out of the value that is being encoded. `None` where another serialiser does that.
///
/// # Errors
/// What the store says where the buffer has to be copied into it first.
pub(super) fn pack(buffer: &Buffer) -> Result<Option<Place>> {
    if codec::goes_out() {
        let node = Node::current("sending an array")?;
        let buffer = node.bulk.place(buffer)?;
        let Some(name) = node.bulk.name(&buffer) else {
            unreachable!("what was placed lies in a store");
        };
        codec::take_along(Box::new(Goes(buffer, name)));
        return Ok(Some(Place::Store(name)));
    }
    Ok(codec::put(buffer.clone()).map(Place::Table))
}

/// What stands in the way of a value, for its serialiser.
pub(super) fn unwritten<E: serde::ser::Error>(error: Error) -> E {
    E::custom(codec::trouble(error))
}

/// What stands in the way of a value, for its deserialiser.
pub(super) fn refused<E: serde::de::Error>(error: impl Into<Error>) -> E {
    E::custom(codec::trouble(error))
}

/// Whether the value that is being decoded has its buffers beside it.
pub(super) fn is_unpacking() -> bool {
    codec::has_table() || codec::comes_from().is_some()
}

/// The buffer in this place of the value that is being decoded.
///
/// # Errors
/// [`Error::Store`] for an object that is not there.
pub(super) fn unpack(place: Place) -> Result<Buffer> {
    let wrong = |problem: &str| Error::InvalidArgument {
        argument: "value",
        problem: problem.to_owned(),
        remedy: "both processes must be of the same build".into(),
    };
    let buffer = match place {
        Place::Table(number) => codec::get::<Buffer>(number),
        Place::Store(name) => match codec::claim(name) {
            Some(peer) => {
                let node = Node::current("receiving an array")?;
                return node.bulk.receive(&peer, name);
            }
            None => None,
        },
    };
    buffer.ok_or_else(|| wrong("it names a buffer that did not come with it"))
}
