//! Where the arrays of this process lie: the store of the running node.

use crate::error::{Error, Result};
use crate::node::Node;
use maser_shm::store::{Holder, OBJECT_BYTES_MAX, ObjectMut, StoreError, Usage};
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

/// What the object store of this process has now.
///
/// # Errors
/// [`Error::NotRunning`] without a runtime; what stands in the way of a store.
pub fn store_usage() -> Result<Usage> {
    let node = Node::current("the object store")?;
    Ok(node.bulk.store()?.usage())
}

/// Who keeps memory of the object store of this process, the largest first.
///
/// # Errors
/// As for [`store_usage`].
pub fn store_holders() -> Result<Vec<Holder>> {
    let node = Node::current("the object store")?;
    Ok(node.bulk.store()?.holders())
}
