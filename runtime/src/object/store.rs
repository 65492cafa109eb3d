//! Where the arrays of this process lie: the store of the running node.
//!
//! - AW-1 who wants memory of a store that is full waits until some is freed, in this process or in
//!   another one (`bulk::budget`), for `graph_submit_timeout` at most. Each look comes after its
//!   own registration, so nothing that is freed is slept over.

use crate::error::{Error, Result};
use crate::executor::gate::Gate;
use crate::node::Node;
use maser_shm::store::{Holder, OBJECT_BYTES_MAX, ObjectMut, StoreError, StoreFull, Usage};
use maser_shm::sync::atomic::{AtomicBool, Ordering};
use maser_shm::tensor::Element;
use std::sync::Arc;

/// Memory for `len` elements, to be written.
pub(super) fn create<T: Element>(len: usize) -> Result<ObjectMut> {
    let node = Node::current("an array in the store")?;
    let bytes = len.checked_mul(size_of::<T>()).ok_or_else(|| {
        Error::from(StoreError::TooLarge {
            asked: len.saturating_mul(size_of::<T>()),
            max: OBJECT_BYTES_MAX,
        })
    })?;
    waiting_for_room(&node, bytes, || node.bulk.create(bytes))
}

/// As [`create`], at once or not at all.
pub(super) fn try_create<T: Element>(len: usize) -> Result<ObjectMut> {
    let node = Node::current("an array in the store")?;
    node.bulk.create(len.saturating_mul(size_of::<T>()))
}

/// What `attempt` gives that needs so many bytes of the store (AW-1).
pub(super) fn waiting_for_room<R>(
    node: &Arc<Node>,
    bytes: usize,
    mut attempt: impl FnMut() -> Result<R>,
) -> Result<R> {
    match attempt() {
        Err(Error::StoreFull(full)) if bytes <= full.budget => wait_for_room(node, full, attempt),
        other => other,
    }
}

/// AW-1.
#[cold]
fn wait_for_room<R>(
    node: &Arc<Node>,
    full: Arc<StoreFull>,
    mut attempt: impl FnMut() -> Result<R>,
) -> Result<R> {
    let store = node.bulk.store()?;
    let limit = node.settings.graph_submit_timeout.limit();
    let gate = Arc::new(Gate::default());
    let mut last = Error::StoreFull(full);
    let is_told = Arc::new(AtomicBool::new(true));
    let found = gate.wait("room in the object store", limit, || {
        if is_told.swap(false, Ordering::AcqRel) {
            let (gate, is_told) = (Arc::downgrade(&gate), is_told.clone());
            store.when_freed(move || {
                is_told.store(true, Ordering::Release);
                if let Some(gate) = gate.upgrade() {
                    gate.notify_all();
                }
            });
        }
        match attempt() {
            Err(error @ Error::StoreFull(_)) => {
                last = error;
                None
            }
            other => Some(other),
        }
    });
    match found {
        Ok(Some(found)) => found,
        // The time is up, or this is no place to wait at.
        Ok(None) | Err(_) => Err(last),
    }
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
