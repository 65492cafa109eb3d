//! The calls of other processes that run on one scheduler and are not done: so that they can be
//! cancelled.
#![allow(unsafe_code, reason = "counts handles of cells that are listed")]

use super::incoming::Answer;
use super::link::Link;
use super::message::{Head, Kind};
use crate::task::cancel;
use crate::task::raw::Header;
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::Arc;

/// A call, by its link and ticket. Its answer keeps the cell alive for as long as it is listed.
struct Listed {
    link: *const Link,
    ticket: u64,
    cell: NonNull<Header>,
    /// Of a task whose driver has not been told that it waits.
    task: Option<Arc<Link>>,
}

/// A task by its link, its ticket and its cell, which lives as long as it is listed.
type Lender = (Arc<Link>, u64, NonNull<Header>);

/// See the module's page.
#[derive(Default)]
pub(crate) struct Serving {
    /// Newest last: most end before another begins.
    calls: RefCell<Vec<Listed>>,
    /// How many of them are tasks that were not seen to wait.
    tasks: Cell<usize>,
    /// Tasks that lend their CPUs out while they wait for a result.
    lenders: RefCell<Vec<Lender>>,
}

/// Flags of `Kind::Blocked`.
pub(super) const LENDS_NOW: u8 = 1;
pub(super) const HAS_BACK: u8 = 2;

impl Serving {
    /// A call was begun; `answer` lives until [`ends`](Self::ends) was called.
    #[inline]
    pub(super) fn begins(&self, link: &Arc<Link>, ticket: u64, answer: &Answer, is_task: bool) {
        let task = is_task.then(|| link.clone());
        if is_task {
            self.tasks.set(self.tasks.get() + 1);
        }
        self.calls.borrow_mut().push(Listed {
            link: Arc::as_ptr(link),
            ticket,
            cell: answer.cell(),
            task,
        });
    }

    /// The call that was begun lends its CPUs out while it waits.
    #[cold]
    pub(super) fn lends(&self, link: &Arc<Link>, ticket: u64, answer: &Answer) {
        let lender = (link.clone(), ticket, answer.cell());
        self.lenders.borrow_mut().push(lender);
    }

    /// Whether there are tasks that lend their CPUs out while they wait.
    #[inline(always)]
    pub(crate) fn has_lenders(&self) -> bool {
        !self.lenders.borrow().is_empty()
    }

    /// The task of `cell` waits for a result from now on, or goes on: if it lends its CPUs, its driver
    /// is told.
    #[cold]
    pub(crate) fn tell_lender(&self, cell: *const Header, waits: bool) {
        let lenders = self.lenders.borrow();
        let found = lenders
            .iter()
            .find(|(_, _, own)| own.as_ptr().cast_const() == cell);
        if let Some((link, ticket, _)) = found {
            let head = Head {
                kind: Kind::Blocked,
                flag: if waits { LENDS_NOW } else { HAS_BACK },
                a: *ticket,
                b: 0,
            };
            link.send(head, &[]);
        }
    }

    /// Whether there are tasks that were not seen to wait.
    #[inline(always)]
    pub(crate) fn has_tasks(&self) -> bool {
        self.tasks.get() != 0
    }

    /// The task of `cell` is about to wait: its driver is told, once.
    #[cold]
    pub(crate) fn waits(&self, cell: *const Header) {
        let told = {
            let mut calls = self.calls.borrow_mut();
            let call = calls
                .iter_mut()
                .find(|call| call.cell.as_ptr().cast_const() == cell);
            call.and_then(|call| Some((call.task.take()?, call.ticket)))
        };
        if let Some((link, ticket)) = told {
            self.tasks.set(self.tasks.get() - 1);
            let head = Head {
                kind: Kind::Blocked,
                flag: 0,
                a: ticket,
                b: 0,
            };
            link.send(head, &[]);
        }
    }

    /// It is done.
    #[inline]
    pub(super) fn ends(&self, link: &Link, ticket: u64) {
        let mut calls = self.calls.borrow_mut();
        let is_it = |call: &Listed| call.ticket == ticket && std::ptr::eq(call.link, link);
        if let Some(at) = calls.iter().rposition(is_it) {
            let call = calls.swap_remove(at);
            if call.task.is_some() {
                self.tasks.set(self.tasks.get() - 1);
            }
            if self.has_lenders() {
                let mut lenders = self.lenders.borrow_mut();
                lenders.retain(|(_, _, cell)| *cell != call.cell);
            }
        }
    }

    /// Its caller has given up.
    pub(super) fn cancel(&self, link: &Link, ticket: u64) {
        let cell = {
            let calls = self.calls.borrow();
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
