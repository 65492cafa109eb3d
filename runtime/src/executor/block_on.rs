//! Runs a future on the present coroutine (or foreign thread): pending blocks the task, not the
//! core.

use super::gate::Gate;
use crate::error::Result;
use maser_shm::sync::atomic::{AtomicBool, Ordering};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// Outlives the wait, so that an executor may keep wakers for as long as it likes.
#[derive(Default)]
struct Bell {
    rang: AtomicBool,
    gate: Gate,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Ordering::Release);
        self.gate.notify_all();
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
        let waker = Waker::from(bell.clone());
        Self { bell, waker }
    }
}

impl Alarm {
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
        let mut future = pin!(future);
        let mut context = Context::from_waker(&self.waker);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Ok(Some(output));
            }
            let goes_on = self.bell.gate.wait("a future", None, || match is_over() {
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
