//! Several results at once, and readiness of results of runs.
//!
//! - FT-1 `get_graph` gives the first error of any of the results as soon as it is there, though others
//!   are still to come. That matters for outputs that do not depend on each other: the error of a step
//!   is the result of every output that reads it, directly or over other steps, and of no other one, so
//!   the rest of the run goes on.
//! - FT-2 nothing is taken: what was there and what comes later stays with the refs, each with its own
//!   run, and can be had from them afterwards.

use super::aside::told_fault;
use super::core::{Core, gone};
use super::driver::Output;
use super::reference::{GET_KNOB, GraphRef, Place};
use super::slot::GraphValue;
use crate::error::{Error, Result};
use crate::executor::watch::Pollable;
use crate::object::ready::{Awaited, Ready, RunOf, Waitable, What};
use crate::object::reference::Ref;
use crate::object::wait::until;
use crate::wait_graph;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

impl<T: GraphValue> RunOf for Output<T> {
    fn core(&self) -> &Core {
        &self.core
    }
    fn is_there(&self, run: u64) -> bool {
        self.has(run) || self.core.is_over()
    }
    fn looks(&self, run: u64) -> bool {
        self.spin(None, run, None).unwrap_or(false)
    }
    fn pollable(&self) -> Option<Arc<dyn Pollable>> {
        let me = self.me.upgrade()?;
        Some(me)
    }
    fn needed(&self, run: u64) -> Option<wait_graph::Awaited> {
        self.core.is_one_segment.then(|| {
            let result: &dyn Pollable = self;
            wait_graph::Awaited::Run(NonNull::from(result), self.core.id, run)
        })
    }
}

impl<T: GraphValue> Ready for GraphRef<T> {
    fn is_ready(&self) -> bool {
        GraphRef::is_ready(self)
    }
    fn awaited(&self) -> Awaited<'_> {
        let output = self.output();
        Awaited {
            key: ((&raw const *output).addr(), self.run()),
            what: match self.own().place() {
                Place::Own(_) => What::Here,
                // This ref has a handle of the cell to its end (OW-2).
                Place::Shared(shared) => What::Cell(shared.cell()),
                Place::Nowhere => What::Run(output, self.run()),
            },
        }
    }
}

impl<T: GraphValue> Waitable for GraphRef<T> {
    type Given<'a> = &'a Self;
    fn given(&self) -> &Self {
        self
    }
}

/// A ref whose value [`get_graph`] can give: a [`GraphRef`], a [`Ref`], or a reference to one.
pub trait Fetch: Ready {
    /// What it gives.
    type Value;
    /// `None` while it is not there; else whether it is a value. Moves it to its ref.
    #[doc(hidden)]
    fn look(&self) -> Option<Result<()>>;
    /// The value, which is there.
    #[doc(hidden)]
    fn fetched(&self) -> Result<Self::Value>;
    /// How long its graph waits for it.
    #[doc(hidden)]
    fn patience(&self) -> Option<Duration>;
    /// The error of a wait that was longer.
    #[doc(hidden)]
    fn late(&self, limit: Duration, knob: &'static str) -> Error;
}

impl<T: GraphValue> Fetch for GraphRef<T> {
    type Value = T;
    fn look(&self) -> Option<Result<()>> {
        let core = &self.output().core;
        loop {
            match self.own().place() {
                Place::Own(Ok(_)) => return Some(Ok(())),
                Place::Own(Err(fault)) => {
                    return Some(Err(told_fault(core, fault.clone()).to_error()));
                }
                Place::Shared(shared) => return look_at(&shared),
                Place::Nowhere => {}
            }
            if !self.output().fetch(self.run(), self.own()) {
                let over = core.over()?;
                if !self.output().fetch(self.run(), self.own()) {
                    return Some(Err(over));
                }
            }
        }
    }
    fn fetched(&self) -> Result<T> {
        match self.own().place() {
            Place::Own(Ok(value)) => Ok(value.clone()),
            Place::Shared(shared) => shared.get(),
            _ => Err(gone(self.run())),
        }
    }
    fn patience(&self) -> Option<Duration> {
        self.output().core.get_timeout
    }
    fn late(&self, limit: Duration, knob: &'static str) -> Error {
        self.output().too_late(self.run(), Some(limit), knob)
    }
}

fn look_at<T>(one: &Ref<T>) -> Option<Result<()>> {
    one.is_ready().then(|| {
        one.outcome_ref()
            .map(|_| ())
            .map_err(|fault| fault.to_error())
    })
}

impl<T: GraphValue> Fetch for Ref<T> {
    type Value = T;
    fn look(&self) -> Option<Result<()>> {
        look_at(self)
    }
    fn fetched(&self) -> Result<T> {
        self.get()
    }
    fn patience(&self) -> Option<Duration> {
        None
    }
    fn late(&self, limit: Duration, knob: &'static str) -> Error {
        Error::Timeout {
            what: format!("the result of {}", self.made_by()),
            from_whom: self.made_by().into(),
            waited: limit,
            knob,
        }
    }
}

impl<R: Fetch + ?Sized> Fetch for &R {
    type Value = R::Value;
    fn look(&self) -> Option<Result<()>> {
        R::look(self)
    }
    fn fetched(&self) -> Result<R::Value> {
        R::fetched(self)
    }
    fn patience(&self) -> Option<Duration> {
        R::patience(self)
    }
    fn late(&self, limit: Duration, knob: &'static str) -> Error {
        R::late(self, limit, knob)
    }
}

/// A [`Fetch`] of any type.
#[doc(hidden)]
pub trait AnyFetch: Ready {
    fn look_now(&self) -> Option<Result<()>>;
    fn own_patience(&self) -> Option<Duration>;
    fn was_late(&self, limit: Duration, knob: &'static str) -> Error;
}

impl<R: Fetch> AnyFetch for R {
    fn look_now(&self) -> Option<Result<()>> {
        self.look()
    }
    fn own_patience(&self) -> Option<Duration> {
        self.patience()
    }
    fn was_late(&self, limit: Duration, knob: &'static str) -> Error {
        self.late(limit, knob)
    }
}

/// Several refs: a slice, array or vector of them, or a tuple of refs of different types.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not several refs",
    note = "give a slice, an array, a vector or a tuple of up to 8 `GraphRef`s (or `Ref`s)"
)]
pub trait FetchAll {
    /// What they give: a vector for a slice or vector, else the same shape.
    type Values;
    #[doc(hidden)]
    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a dyn AnyFetch));
    /// The values, which are there.
    #[doc(hidden)]
    fn values(&self) -> Result<Self::Values>;
}

impl<R: Fetch> FetchAll for [R] {
    type Values = Vec<R::Value>;
    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a dyn AnyFetch)) {
        self.iter().for_each(|one| visit(one));
    }
    fn values(&self) -> Result<Vec<R::Value>> {
        self.iter().map(R::fetched).collect()
    }
}

impl<R: Fetch> FetchAll for Vec<R> {
    type Values = Vec<R::Value>;
    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a dyn AnyFetch)) {
        self.as_slice().each(visit);
    }
    fn values(&self) -> Result<Vec<R::Value>> {
        self.as_slice().values()
    }
}

impl<R: Fetch, const N: usize> FetchAll for [R; N] {
    type Values = [R::Value; N];
    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a dyn AnyFetch)) {
        self.as_slice().each(visit);
    }
    fn values(&self) -> Result<[R::Value; N]> {
        match self.as_slice().values()?.try_into() {
            Ok(values) => Ok(values),
            Err(_) => unreachable!("a value for each"),
        }
    }
}

impl<X: FetchAll + ?Sized> FetchAll for &X {
    type Values = X::Values;
    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a dyn AnyFetch)) {
        X::each(self, visit);
    }
    fn values(&self) -> Result<X::Values> {
        X::values(self)
    }
}

impl<X: FetchAll + ?Sized> FetchAll for Arc<X> {
    type Values = X::Values;
    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a dyn AnyFetch)) {
        X::each(self, visit);
    }
    fn values(&self) -> Result<X::Values> {
        X::values(self)
    }
}

macro_rules! fetch_all {
    ($($name:ident $at:tt)*) => {
        impl<$($name: Fetch),*> FetchAll for ($($name,)*) {
            type Values = ($($name::Value,)*);
            fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a dyn AnyFetch)) {
                $(visit(&self.$at);)*
            }
            fn values(&self) -> Result<Self::Values> {
                Ok(($(self.$at.fetched()?,)*))
            }
        }
    };
}

fetch_all!(A 0);
fetch_all!(A 0 B 1);
fetch_all!(A 0 B 1 C 2);
fetch_all!(A 0 B 1 C 2 D 3);
fetch_all!(A 0 B 1 C 2 D 3 E 4);
fetch_all!(A 0 B 1 C 2 D 3 E 4 F 5);
fetch_all!(A 0 B 1 C 2 D 3 E 4 F 5 G 6);
fetch_all!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7);

/// The values of several results of runs, of one graph or of several, once all of them are there; the
/// first error of any of them as soon as it is there. Waits no longer than the shortest get timeout
/// among their graphs.
///
/// Nothing is lost by an error: every result stays with its ref, and one that was still to come can be
/// had later.
///
/// ```
/// # use maser::prelude::*;
/// # #[maser::task] fn double(n: i64) -> i64 { n * 2 }
/// # #[maser::task] fn name(n: i64) -> String { n.to_string() }
/// # fn main() -> maser::Result<()> {
/// let _maser = maser::Config::new().num_cpus(1).init()?;
/// let graph = Graph::new(|n: Node<i64>| (double::bind(n), name::bind(n))).compile()?;
/// assert_eq!(maser::get_graph(&graph.execute(2)?)?, (4, "2".into()));
/// # Ok(()) }
/// ```
///
/// # Errors
/// See [`GraphRef::get`].
pub fn get_graph<R: FetchAll + ?Sized>(refs: &R) -> Result<R::Values> {
    let mut limit = None;
    refs.each(&mut |one| {
        limit = match (limit, one.own_patience()) {
            (Some(a), Some(b)) => Some(Duration::min(a, b)),
            (a, b) => a.or(b),
        }
    });
    get_within(refs, limit, GET_KNOB)
}

/// As [`get_graph`], with one limit of its own for all of them.
///
/// # Errors
/// As [`get_graph`].
pub fn get_graph_timeout<R: FetchAll + ?Sized>(refs: &R, limit: Duration) -> Result<R::Values> {
    get_within(refs, Some(limit), "the timeout argument")
}

fn get_within<R: FetchAll + ?Sized>(
    refs: &R,
    limit: Option<Duration>,
    knob: &'static str,
) -> Result<R::Values> {
    let mut left: Vec<&dyn AnyFetch> = Vec::new();
    refs.each(&mut |one| left.push(one));
    let mut end_ns = None;
    loop {
        // FT-1: all of them are looked at, for the error may be that of the last.
        let mut outcome = Ok(());
        left.retain(|one| match one.look_now() {
            None => true,
            Some(seen) => {
                if outcome.is_ok() {
                    outcome = seen;
                }
                false
            }
        });
        outcome?;
        let Some(first) = left.first() else {
            return refs.values();
        };
        let Some(limit) = limit else {
            wait_for_any(&left, None)?;
            continue;
        };
        let clock = &crate::node::Node::current("get_graph")?.clock;
        let now_ns = clock.now_ns();
        let length_ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let end_ns = *end_ns.get_or_insert(now_ns.saturating_add(length_ns));
        if now_ns >= end_ns {
            return Err(first.was_late(limit, knob));
        }
        wait_for_any(&left, Some(Duration::from_nanos(end_ns - now_ns)))?;
    }
}

fn wait_for_any(left: &[&dyn AnyFetch], limit: Option<Duration>) -> Result<()> {
    let all: Vec<Awaited<'_>> = left.iter().map(|one| one.awaited()).collect();
    until(&all, 1, limit)
}
