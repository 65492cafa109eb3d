//! Runs a future on the present coroutine (or foreign thread): pending blocks the task, not the
//! core.
//!
//! - BO-1 refs that a future awaits note themselves with the bell of the waker that they keep, and
//!   withdraw before they drop it, or are done. When nobody else has that waker, nothing else can
//!   wake the task, and the graph of waits is told.
#![allow(
    unsafe_code,
    reason = "a waker that is told apart from others, and counted handles"
)]

use super::gate::Gate;
use crate::error::Result;
use crate::task::raw::Header;
use crate::wait_graph::{Awaited, Needs};
use maser_shm::sync::atomic::{AtomicBool, Ordering};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::pin;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

/// Outlives the wait, so that an executor may keep wakers for as long as it likes.
#[derive(Default)]
struct Bell {
    rang: AtomicBool,
    gate: Gate,
    /// Who waits with this bell, and for what (BO-1).
    pending: Mutex<Vec<(usize, Handle)>>,
}

impl Bell {
    fn ring(&self) {
        self.rang.store(true, Ordering::Release);
        self.gate.notify_all();
    }

    fn pending(&self) -> MutexGuard<'_, Vec<(usize, Handle)>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bell of `waker`, if it is one.
    fn of(waker: &Waker) -> Option<&Bell> {
        // SAFETY: a waker of this vtable holds an `Arc<Bell>`, and is borrowed as long.
        std::ptr::eq(waker.vtable(), &BELL).then(|| unsafe { &*waker.data().cast::<Bell>() })
    }
}

/// A handle of a cell of any type.
pub(crate) struct Handle(NonNull<Header>);

// SAFETY: a handle is a count; what a `Ref` holds may be dropped on any thread.
unsafe impl Send for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made by `of`, which took the handle.
        unsafe { Header::release_any(self.0) };
    }
}

impl Handle {
    /// One more; the caller has one.
    pub(crate) fn of(cell: NonNull<Header>) -> Self {
        // SAFETY: the caller's handle.
        unsafe { cell.as_ref() }.completion.retain();
        Self(cell)
    }

    pub(crate) fn cell(&self) -> NonNull<Header> {
        self.0
    }
}

/// BO-1: `who` has a handle of `cell`, keeps a waker like `waker`, and is pending.
pub(crate) fn note_pending(waker: &Waker, who: usize, cell: NonNull<Header>) {
    if let Some(bell) = Bell::of(waker) {
        let mut pending = bell.pending();
        if !pending.iter().any(|(other, _)| *other == who) {
            pending.push((who, Handle::of(cell)));
        }
    }
}

/// BO-1: `who` is about to drop `waker`.
pub(crate) fn withdraw_pending(waker: &Waker, who: usize) {
    if let Some(bell) = Bell::of(waker) {
        let mut pending = bell.pending();
        let at = pending.iter().position(|(other, _)| *other == who);
        let gone = at.map(|at| pending.swap_remove(at));
        drop(pending);
        // Perhaps the last handle of a value.
        drop(gone);
    }
}

/// The `data` of these is an `Arc<Bell>`.
static BELL: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

fn waker_of(bell: Arc<Bell>) -> Waker {
    // SAFETY: the functions of `BELL` keep the contract of a waker: the count of an `Arc`.
    unsafe { Waker::from_raw(RawWaker::new(Arc::into_raw(bell).cast(), &BELL)) }
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: `data` is an `Arc<Bell>`, which stays the caller's.
    unsafe { Arc::increment_strong_count(data.cast::<Bell>()) };
    RawWaker::new(data, &BELL)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: `data` is an `Arc<Bell>`, which the caller gives up.
    unsafe { Arc::from_raw(data.cast::<Bell>()) }.ring();
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: `data` is an `Arc<Bell>`, which stays the caller's.
    ManuallyDrop::new(unsafe { Arc::from_raw(data.cast::<Bell>()) }).ring();
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: as in `wake`.
    drop(unsafe { Arc::from_raw(data.cast::<Bell>()) });
}

/// The future is over: nothing is noted any more, though its waker may live on.
struct AtEnd<'a>(&'a Alarm);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.forget(|_| true);
    }
}

/// What a future wakes its task with; for one future after the other.
pub(crate) struct Alarm {
    bell: Arc<Bell>,
    waker: Waker,
}

impl Default for Alarm {
    fn default() -> Self {
        let bell = Arc::<Bell>::default();
        let waker = waker_of(bell.clone());
        Self { bell, waker }
    }
}

impl Alarm {
    /// BO-1: any one of them may let the future go on. They are kept in `held` until the wait is
    /// over.
    fn needs(&self, held: &mut Vec<Handle>) -> Option<Needs> {
        let pending = self.bell.pending();
        // One count of the bell is here, one in our waker, and one in each other.
        if pending.is_empty() || Arc::strong_count(&self.bell) != 2 + pending.len() {
            return None;
        }
        held.extend(pending.iter().map(|(_, handle)| Handle::of(handle.0)));
        let all = held.iter().map(|handle| Awaited::Task(handle.0));
        Some(Needs::Some(all.collect(), 1))
    }

    /// Gives handles back that were noted.
    fn forget(&self, which: impl Fn(&Header) -> bool) {
        let mut pending = self.bell.pending();
        // SAFETY: a handle keeps its cell alive.
        let gone: Vec<_> = pending
            .extract_if(.., |(_, handle)| which(unsafe { handle.0.as_ref() }))
            .collect();
        drop(pending);
        // Perhaps the last handles of values.
        drop(gone);
    }

    /// Drives `future` to its end, or until `is_over` says so when the task is woken: `None` then,
    /// and the future is dropped.
    ///
    /// # Errors
    /// If the task is cancelled, its actor dies or the runtime shuts down; the future is dropped.
    pub(crate) fn drive<F: Future>(
        &self,
        future: F,
        is_over: impl Fn() -> bool,
    ) -> Result<Option<F::Output>> {
        let _end = AtEnd(self);
        let mut future = pin!(future);
        let mut context = Context::from_waker(&self.waker);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Ok(Some(output));
            }
            self.forget(|cell| cell.completion.is_done());
            let mut held = Vec::new();
            let needs = || self.needs(&mut held);
            let goes_on = self
                .bell
                .gate
                .wait_for("a future", None, needs, || match is_over() {
                    true => Some(false),
                    false => self.bell.rang.swap(false, Ordering::AcqRel).then_some(true),
                })?;
            if goes_on == Some(false) {
                return Ok(None);
            }
        }
    }
}

/// Drives `future` to its end.
///
/// # Errors
/// As [`Alarm::drive`].
pub(crate) fn block_on<F: Future>(future: F) -> Result<F::Output> {
    match Alarm::default().drive(future, || false)? {
        Some(output) => Ok(output),
        None => unreachable!("it is never over before the future is"),
    }
}
