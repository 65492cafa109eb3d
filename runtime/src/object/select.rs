//! `put` and `get` of many.

use super::reference::Ref;
use crate::error::Result;
use crate::node::Node;
use std::time::Duration;

/// Makes an object of `value`. Nothing is copied or encoded until another process needs it, and it
/// stays in memory while there is a ref of it: for arrays that may go to disk meanwhile there is
/// [`Shelved`](crate::Shelved).
#[inline]
pub fn put<T: Send + Sync + 'static>(value: T) -> Ref<T> {
    Ref::done(Ok(value))
}

/// The values of all `refs`, in their order; waits for each.
///
/// # Errors
/// The first error in order; see [`Ref::get`].
pub fn get<T: Clone>(refs: &[Ref<T>]) -> Result<Vec<T>> {
    refs.iter().map(Ref::get).collect()
}

/// As [`get`], with one limit for all of them.
///
/// # Errors
/// As [`get`], and [`Error::Timeout`](crate::Error::Timeout); the values that are there stay to be had.
pub fn get_timeout<T: Clone>(refs: &[Ref<T>], limit: Duration) -> Result<Vec<T>> {
    let node = Node::current("get_timeout")?;
    let end = node
        .clock
        .now_ns()
        .saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX));
    refs.iter()
        .map(|one| {
            one.get_timeout(Duration::from_nanos(
                end.saturating_sub(node.clock.now_ns()),
            ))
        })
        .collect()
}
