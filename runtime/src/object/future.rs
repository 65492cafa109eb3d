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
use crate::executor::block_on::{note_pending, withdraw_pending};
use crate::task::failure::discard_with;
use maser_shm::sync::completion::{Notify, WaitNode};
use std::cell::UnsafeCell;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

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

/// Waits for a [`Ref`] without blocking the executor's thread.
///
/// # Cancel safety
/// Dropping it loses nothing: the value can still be had from other handles of the same ref.
#[must_use = "futures do nothing unless awaited"]
pub struct RefFuture<T> {
    value: Option<Ref<T>>,
    slot: Option<Arc<Slot>>,
}

impl<T: Clone> Future for RefFuture<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(value) = &this.value else {
            panic!("a RefFuture was polled after it was ready")
        };
        if !value.is_ready() {
            match &this.slot {
                Some(slot) => slot.replace_waker(context.waker()),
                None => this.slot = link(value, context.waker().clone()),
            }
            if !value.is_ready() {
                if let Some(slot) = &this.slot {
                    note_pending(context.waker(), slot.address(), value.cell());
                }
                return Poll::Pending;
            }
        }
        this.unlink();
        match this.value.take() {
            Some(value) => Poll::Ready(value.into_value().map_err(|fault| fault.to_error())),
            None => Poll::Pending,
        }
    }
}

fn link<T>(value: &Ref<T>, waker: Waker) -> Option<Arc<Slot>> {
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
    // (`unlink`); the ref keeps the entry alive; the count behind `data` goes to the notifier.
    unsafe {
        *slot.node.get() = WaitNode::new(Notify {
            call: wake_slot,
            data: data.cast(),
        });
        if value.completion().add(slot.node.get()) {
            return Some(slot);
        }
        drop(Arc::from_raw(data));
    }
    None
}

impl<T> RefFuture<T> {
    fn unlink(&mut self) {
        if let (Some(slot), Some(value)) = (self.slot.take(), &self.value) {
            if let Some(waker) = slot.take_waker() {
                withdraw_pending(&waker, slot.address());
            }
            // SAFETY: `slot` is only kept when it was added; a node that was still linked leaves
            // the notifier's count to us.
            unsafe {
                if value.completion().remove(slot.node.get()) {
                    drop(Arc::from_raw(Arc::as_ptr(&slot)));
                }
            }
        }
    }
}

impl<T> Drop for RefFuture<T> {
    fn drop(&mut self) {
        self.unlink();
    }
}

impl<T: Clone> IntoFuture for Ref<T> {
    type Output = Result<T>;
    type IntoFuture = RefFuture<T>;

    fn into_future(self) -> RefFuture<T> {
        RefFuture {
            value: Some(self),
            slot: None,
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
