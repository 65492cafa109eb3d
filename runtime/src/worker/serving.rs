//! The calls of other processes that run on one scheduler and are not done: so that they can be
//! cancelled.
#![allow(unsafe_code, reason = "counts handles of cells that are listed")]

use super::incoming::Answer;
use super::link::Link;
use crate::task::cancel;
use crate::task::raw::Header;
use std::cell::RefCell;
use std::ptr::NonNull;

/// A call, by its link and ticket. Its answer keeps the cell alive for as long as it is listed.
struct Listed {
    link: *const Link,
    ticket: u64,
    cell: NonNull<Header>,
}

/// Newest last: most end before another begins.
#[derive(Default)]
pub(crate) struct Serving(RefCell<Vec<Listed>>);

impl Serving {
    /// A call was begun; `answer` lives until [`ends`](Self::ends) was called.
    #[inline]
    pub(super) fn begins(&self, link: &Link, ticket: u64, answer: &Answer) {
        self.0.borrow_mut().push(Listed {
            link,
            ticket,
            cell: answer.cell(),
        });
    }

    /// It is done.
    #[inline]
    pub(super) fn ends(&self, link: &Link, ticket: u64) {
        let mut calls = self.0.borrow_mut();
        let is_it = |call: &Listed| call.ticket == ticket && std::ptr::eq(call.link, link);
        if let Some(at) = calls.iter().rposition(is_it) {
            calls.swap_remove(at);
        }
    }

    /// Its caller has given up.
    pub(super) fn cancel(&self, link: &Link, ticket: u64) {
        let cell = {
            let calls = self.0.borrow();
            let is_it = |call: &&Listed| call.ticket == ticket && std::ptr::eq(call.link, link);
            calls.iter().find(is_it).map(|call| {
                // SAFETY: listed, hence alive.
                unsafe { call.cell.as_ref() }.completion.retain();
                call.cell
            })
        };
        if let Some(cell) = cell {
            cancel::give_up(cell);
            // SAFETY: the handle just taken.
            unsafe { Header::release_any(cell) };
        }
    }
}
