//! `Ref<T>` as a future of any executor.
//!
//! The future holds a node in the result's list of waiters; dropping it at any point takes the
//! node out again, and nothing is lost: the value stays with its refs.
#![allow(
    unsafe_code,
    reason = "a pinned wait node that the notifier may hold for a moment"
)]

use super::reference::Ref;
use crate::error::Result;
use crate::executor::block_on::{Handle, note_pending, withdraw_pending};
use crate::task::failure::discard_with;
use crate::task::raw::Header;
use maser_shm::sync::completion::{Completion, Notify, WaitNode};
use std::cell::UnsafeCell;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

/// Shared with the notifier, which gives its count back when it has called.
struct Slot {
    node: UnsafeCell<WaitNode>,
    waker: Mutex<Option<Waker>>,
}

// SAFETY: the node is touched by `Completion` under its rules (CP-3, CP-4) alone.
unsafe impl Send for Slot {}
// SAFETY: as above.
unsafe impl Sync for Slot {}

impl Slot {
    fn address(&self) -> usize {
        (&raw const *self).addr()
    }

    fn take_waker(&self) -> Option<Waker> {
        let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        waker.take()
    }

    fn replace_waker(&self, with: &Waker) {
        let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        let old = waker.replace(with.clone());
        drop(waker);
        if let Some(old) = old
            && !old.will_wake(with)
        {
            withdraw_pending(&old, self.address());
        }
    }
}

/// # Safety
/// `data` came from `Arc::<Slot>::into_raw`, and the count is given to this call.
unsafe fn wake_slot(data: *const ()) {
    // SAFETY: the caller's promise.
    let slot = unsafe { Arc::from_raw(data.cast::<Slot>()) };
    if let Some(waker) = slot.take_waker() {
        // Wakers are the program's, and this may be a scheduler (UD-1).
        discard_with(|| "a waker", || waker.wake());
    }
}

/// How a future waits for a cell of any type; whoever has it unlinks it at the end.
#[derive(Default)]
pub(crate) struct CellWait {
    slot: Option<Arc<Slot>>,
}

impl CellWait {
    /// Ready once `cell` is done; always the same cell, of which the caller has a handle.
    pub(crate) fn poll_done(&mut self, cell: NonNull<Header>, context: &Context<'_>) -> Poll<()> {
        // SAFETY: the caller's handle.
        let completion = unsafe { &(*cell.as_ptr()).completion };
        if !completion.is_done() {
            match &self.slot {
                Some(slot) => slot.replace_waker(context.waker()),
                None => self.slot = link(completion, context.waker().clone()),
            }
            if !completion.is_done() {
                if let Some(slot) = &self.slot {
                    note_pending(context.waker(), slot.address(), cell);
                }
                return Poll::Pending;
            }
        }
        self.unlink(cell);
        Poll::Ready(())
    }

    /// The future waits no more.
    pub(crate) fn unlink(&mut self, cell: NonNull<Header>) {
        if let Some(slot) = self.slot.take() {
            if let Some(waker) = slot.take_waker() {
                withdraw_pending(&waker, slot.address());
            }
            // SAFETY: `slot` is only kept when it was added, and the caller has a handle; a node that
            // was still linked leaves the notifier's count to us.
            unsafe {
                if (*cell.as_ptr()).completion.remove(slot.node.get()) {
                    drop(Arc::from_raw(Arc::as_ptr(&slot)));
                }
            }
        }
    }
}

fn link(completion: &Completion, waker: Waker) -> Option<Arc<Slot>> {
    let placeholder = Notify {
        call: wake_slot,
        data: std::ptr::null(),
    };
    let slot = Arc::new(Slot {
        node: UnsafeCell::new(WaitNode::new(placeholder)),
        waker: Mutex::new(Some(waker)),
    });
    let data = Arc::into_raw(slot.clone());
    // SAFETY: the node is ours until `add`; after it the slot stays until removed or notified
    // (`unlink`); a handle keeps the entry alive; the count behind `data` goes to the notifier.
    unsafe {
        *slot.node.get() = WaitNode::new(Notify {
            call: wake_slot,
            data: data.cast(),
        });
        if completion.add(slot.node.get()) {
            return Some(slot);
        }
        drop(Arc::from_raw(data));
    }
    None
}

/// Waits for a [`Ref`] without blocking the executor's thread.
///
/// # Cancel safety
/// Dropping it loses nothing: the value can still be had from other handles of the same ref.
#[must_use = "futures do nothing unless awaited"]
pub struct RefFuture<T> {
    value: Option<Ref<T>>,
    wait: CellWait,
}

impl<T> RefFuture<T> {
    /// Ready once the value is there.
    pub(crate) fn poll_done(&mut self, context: &Context<'_>) -> Poll<()> {
        let Some(value) = &self.value else {
            panic!("a RefFuture was polled after it was ready")
        };
        self.wait.poll_done(value.cell(), context)
    }
}

impl<T: Clone> Future for RefFuture<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.poll_done(context));
        match self.value.take() {
            Some(value) => Poll::Ready(value.into_value().map_err(|fault| fault.to_error())),
            None => Poll::Pending,
        }
    }
}

impl<T> Drop for RefFuture<T> {
    fn drop(&mut self) {
        if let Some(value) = &self.value {
            self.wait.unlink(value.cell());
        }
    }
}

/// Ready once all of these cells are done.
pub(crate) struct AllDone(Vec<(Handle, CellWait)>);

impl AllDone {
    pub(crate) fn new(cells: Vec<Handle>) -> Self {
        let waits = |cell| (cell, CellWait::default());
        Self(cells.into_iter().map(waits).collect())
    }
}

impl Future for AllDone {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        for (handle, wait) in &mut self.0 {
            ready!(wait.poll_done(handle.cell(), context));
        }
        Poll::Ready(())
    }
}

impl Drop for AllDone {
    fn drop(&mut self) {
        for (handle, wait) in &mut self.0 {
            wait.unlink(handle.cell());
        }
    }
}

impl<T: Clone> IntoFuture for Ref<T> {
    type Output = Result<T>;
    type IntoFuture = RefFuture<T>;

    fn into_future(self) -> RefFuture<T> {
        RefFuture {
            value: Some(self),
            wait: CellWait::default(),
        }
    }
}

impl<T: Clone> IntoFuture for &Ref<T> {
    type Output = Result<T>;
    type IntoFuture = RefFuture<T>;

    fn into_future(self) -> RefFuture<T> {
        self.clone().into_future()
    }
}
