//! `wait` and `select` as futures of any executor.

use super::future::CellWait;
use super::ready::{Awaited, Ready, Waitable, What};
use super::wait::{Waited, all_of, are_there, sorted};
use crate::error::Result;
use crate::graph::waiters::Polls;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// As [`wait`](crate::wait), for any executor: yields until `num_returns` of `refs` are ready.
///
/// # Cancel safety
/// Dropping it loses nothing.
///
/// # Errors
/// [`Error::InvalidArgument`](crate::Error::InvalidArgument) as for [`wait`](crate::wait).
pub async fn wait_async<R: Waitable>(
    refs: &[R],
    num_returns: usize,
) -> Result<Waited<R::Given<'_>>> {
    if refs.is_empty() && num_returns <= 1 {
        return Ok((Vec::new(), Vec::new()));
    }
    SomeReady::new(all_of(refs, num_returns)?, num_returns).await;
    Ok(sorted(refs, num_returns))
}

/// As [`select`](crate::select), for any executor: yields until one of `refs` is ready, and gives the
/// place of the first that is.
///
/// # Cancel safety
/// Dropping it loses nothing.
///
/// # Errors
/// [`Error::InvalidArgument`](crate::Error::InvalidArgument) as for [`select`](crate::select).
pub async fn select_async<R: Ready>(refs: &[R]) -> Result<usize> {
    loop {
        SomeReady::new(all_of(refs, 1)?, 1).await;
        if let Some(first) = refs.iter().position(Ready::is_ready) {
            return Ok(first);
        }
    }
}

/// Ready once so many are there.
pub(crate) struct SomeReady<'a> {
    all: Vec<(Awaited<'a>, CellWait)>,
    wanted: usize,
    polls: Vec<Polls<'a>>,
}

impl<'a> SomeReady<'a> {
    fn new(all: Vec<Awaited<'a>>, wanted: usize) -> Self {
        let mut polls: Vec<Polls<'a>> = Vec::new();
        for one in &all {
            if let What::Run(output, _) = one.what
                && !polls.iter().any(|polls| polls.are_of(output.core()))
            {
                polls.push(output.core().polls());
            }
        }
        let waits = |one| (one, CellWait::default());
        Self {
            all: all.into_iter().map(waits).collect(),
            wanted,
            polls,
        }
    }

    fn is_over(&self) -> bool {
        are_there(self.all.iter().map(|(one, _)| one), self.wanted)
    }
}

impl Future for SomeReady<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.is_over() {
            return Poll::Ready(());
        }
        for (one, wait) in &mut self.all {
            if let What::Cell(cell) = one.what {
                let _is_there = wait.poll_done(cell, context);
            }
        }
        // Each registers, and passes the barrier; then all are looked at.
        for polls in &mut self.polls {
            let _none = polls.poll_until(context, || None::<()>);
        }
        match self.is_over() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Drop for SomeReady<'_> {
    fn drop(&mut self) {
        for (one, wait) in &mut self.all {
            if let What::Cell(cell) = one.what {
                wait.unlink(cell);
            }
        }
    }
}
