//! Where the arrays of this process lie: the store of the running node.

use crate::error::{Error, Result};
use crate::node::Node;
use maser_shm::store::{OBJECT_BYTES_MAX, ObjectMut, StoreError};
use maser_shm::tensor::Element;

/// Memory for `len` elements, to be written.
pub(super) fn create<T: Element>(len: usize) -> Result<ObjectMut> {
    let node = Node::current("an array in the store")?;
    let bytes = len.checked_mul(size_of::<T>()).ok_or_else(|| {
        Error::from(StoreError::TooLarge {
            asked: len.saturating_mul(size_of::<T>()),
            max: OBJECT_BYTES_MAX,
        })
    })?;
    Ok(node.bulk.store()?.create(bytes)?)
}
