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
struct Alarm {
    rang: AtomicBool,
    gate: Gate,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Ordering::Release);
        self.gate.notify_all();
    }
}

/// Drives `future` to its end.
///
/// # Errors
/// If the task is cancelled, its actor dies or the runtime shuts down; the future is dropped then.
pub(crate) fn block_on<F: Future>(future: F) -> Result<F::Output> {
    let mut future = pin!(future);
    let alarm = Arc::new(Alarm::default());
    let waker = Waker::from(alarm.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Ok(output);
        }
        alarm.gate.wait("a future", None, || {
            alarm.rang.swap(false, Ordering::AcqRel).then_some(())
        })?;
    }
}
