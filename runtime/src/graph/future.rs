//! `GraphRef<T>` as a future of any executor.

use super::driver::Output;
use super::reference::{GraphRef, Place};
use super::slot::GraphValue;
use super::waiters::PollKey;
use crate::error::Result;
use crate::object::future::RefFuture;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// How a future waits for one result.
struct Waits<T> {
    key: PollKey,
    /// One that is shared with refs (OW-2).
    shared: Option<RefFuture<T>>,
}

impl<T: GraphValue> Waits<T> {
    fn new() -> Self {
        Self {
            key: PollKey::default(),
            shared: None,
        }
    }

    /// Ready once the result, or an error in its place, is there.
    fn poll(&mut self, one: &GraphRef<T>, context: &mut Context<'_>) -> Poll<Result<()>> {
        if self.shared.is_none() && !one.own().is_here() {
            let output: &Output<T> = one.output();
            // One that another thread shares meanwhile is the cell's, and may not be there yet.
            let polled = self.key.poll_until(&output.core, context, || {
                if one.own().is_here() {
                    return Some(None);
                }
                output.ready_or_over(one.run()).map(Some)
            });
            if let Some(outcome) = ready!(polled) {
                return Poll::Ready(outcome);
            }
        }
        if self.shared.is_none()
            && let Place::Shared(shared) = one.own().place()
        {
            self.shared = Some(shared.into_future());
        }
        match &mut self.shared {
            Some(shared) => shared.poll_done(context).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }
}

/// Waits for a [`GraphRef`] without blocking the executor's thread.
///
/// # Cancel safety
/// Dropping it drops the ref: await `&graph_ref` to keep it.
#[must_use = "futures do nothing unless awaited"]
pub struct GraphRefFuture<T: GraphValue> {
    one: Option<GraphRef<T>>,
    waits: Waits<T>,
}

impl<T: GraphValue> Unpin for GraphRefFuture<T> {}

impl<T: GraphValue> Future for GraphRefFuture<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { one, waits } = &mut *self;
        let Some(asked) = one else {
            panic!("a GraphRefFuture was polled after it was ready")
        };
        let outcome = ready!(waits.poll(asked, context));
        waits.key.withdraw(&asked.output().core);
        match one.take() {
            Some(one) => Poll::Ready(outcome.and_then(|()| one.take())),
            None => Poll::Pending,
        }
    }
}

impl<T: GraphValue> Drop for GraphRefFuture<T> {
    fn drop(&mut self) {
        if let Some(one) = &self.one {
            self.waits.key.withdraw(&one.output().core);
        }
    }
}

/// Waits for a [`GraphRef`] that it borrows.
///
/// # Cancel safety
/// Dropping it loses nothing: the result is there for whoever asks the ref again.
#[must_use = "futures do nothing unless awaited"]
pub struct BorrowedGraphRefFuture<'a, T: GraphValue> {
    one: &'a GraphRef<T>,
    waits: Waits<T>,
}

impl<T: GraphValue> Unpin for BorrowedGraphRefFuture<'_, T> {}

impl<T: GraphValue> Future for BorrowedGraphRefFuture<'_, T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let one = self.one;
        let outcome = ready!(self.waits.poll(one, context));
        self.waits.key.withdraw(&one.output().core);
        Poll::Ready(outcome.and_then(|()| one.get()))
    }
}

impl<T: GraphValue> Drop for BorrowedGraphRefFuture<'_, T> {
    fn drop(&mut self) {
        self.waits.key.withdraw(&self.one.output().core);
    }
}

impl<T: GraphValue> IntoFuture for GraphRef<T> {
    type Output = Result<T>;
    type IntoFuture = GraphRefFuture<T>;

    fn into_future(self) -> GraphRefFuture<T> {
        GraphRefFuture {
            one: Some(self),
            waits: Waits::new(),
        }
    }
}

impl<'a, T: GraphValue> IntoFuture for &'a GraphRef<T> {
    type Output = Result<T>;
    type IntoFuture = BorrowedGraphRefFuture<'a, T>;

    fn into_future(self) -> BorrowedGraphRefFuture<'a, T> {
        BorrowedGraphRefFuture {
            one: self,
            waits: Waits::new(),
        }
    }
}
