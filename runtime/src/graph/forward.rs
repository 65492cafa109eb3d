//! Results of runs that go on: as refs, and with them as arguments of tasks, methods and graphs.
//!
//! - FW-1 whoever passes a result on waits for nothing: one that is there moves into a ref, and for
//!   one that is not a ref is promised. The output looks for promised results whenever the graph has
//!   news (DR-6), on the thread that brings them, and the ref is done there.
//! - FW-2 a promised result is counted as a ref of the graph until it is given on (DR-5). When the
//!   graph is over the refs of those that did not come get its error.
//! - FW-3 a result that a `GraphRef` shares with refs lies in their cell. Where it lay before that
//!   it stays as well, for whoever is reading it (OW-1).

use super::aside::told;
use super::core::gone;
use super::driver::Output;
use super::reference::{GraphRef, Own, Place};
use super::results::{Found, Results};
use super::slot::GraphValue;
use super::waiters::Listener;
use crate::error::Fault;
use crate::object::reference::{Promise, Ref};
use crate::task::args::{IntoArg, IntoArgRef, RefArg};
use std::sync::Arc;

impl<T: GraphValue> Output<T> {
    /// The result of `run` as a ref that the ref behind `own` shares.
    #[cold]
    pub(super) fn share(&self, run: u64, own: &Own<T>) -> Ref<T> {
        let mut copy = None;
        loop {
            if let Place::Own(outcome) = own.place()
                && copy.is_none()
            {
                // FW-3: it stays where it is.
                let outcome = outcome.clone();
                copy = Some(Ref::done(told(&self.core, outcome)));
            }
            let found = self.with_results(|results| match own.place() {
                Place::Shared(shared) => Some((shared, false)),
                Place::Own(_) => {
                    let copy = copy.clone()?;
                    own.share(copy.clone());
                    Some((copy, false))
                }
                Place::Nowhere => {
                    let (shared, is_first) = match results.take(run) {
                        Found::Here(outcome) => {
                            let outcome = told(&self.core, outcome.into_inner());
                            (Ref::done(outcome), false)
                        }
                        Found::Gone => (Ref::done(Err(Fault::new(gone(run)))), false),
                        Found::NotYet => {
                            let (promise, shared) = Promise::new();
                            self.core.ref_was_made();
                            (shared, results.promise(run, promise))
                        }
                    };
                    own.share(shared.clone());
                    Some((shared, is_first))
                }
            });
            let Some((shared, is_first)) = found else {
                continue;
            };
            if is_first {
                self.listen();
            } else if self.core.is_over() {
                self.news();
            }
            return shared;
        }
    }

    fn listen(&self) {
        if let Some(me) = self.me.upgrade() {
            self.core.add_listener(me);
        }
        self.with_results(Results::is_told);
        self.news();
    }
}

impl<T: GraphValue> Listener for Output<T> {
    /// FW-1. Whoever calls it keeps the output.
    fn news(&self) {
        let over = self.core.over();
        let is_done = self.with_results(|results| results.keep_promises(over.as_ref()));
        if is_done && let Some(me) = self.me.upgrade() {
            let me: Arc<dyn Listener> = me;
            self.core.remove_listener(&me);
        }
    }
}

impl<T: GraphValue> GraphRef<T> {
    /// The result as a [`Ref`], now or when it comes; waits for nothing. The ref has the error of
    /// the graph if that is over before. A value that is there already moves.
    ///
    /// ```
    /// # use maser::prelude::*;
    /// # #[maser::task] fn double(n: i64) -> i64 { n * 2 }
    /// # fn main() -> maser::Result<()> {
    /// let _maser = maser::Config::new().num_cpus(1).init()?;
    /// let graph = Graph::new(|n: Node<i64>| double::bind(n)).compile()?;
    /// let result: Ref<i64> = graph.execute(4)?.into_ref();
    /// assert_eq!(double::remote(result).get()?, 16);
    /// assert_eq!(double::remote(graph.execute(5)?).get()?, 20);   // the same
    /// # Ok(()) }
    /// ```
    pub fn into_ref(mut self) -> Ref<T> {
        match self.take_now() {
            Some(outcome) => Ref::done(outcome),
            None => self.to_ref(),
        }
    }

    /// As [`into_ref`](Self::into_ref), and this ref goes on being one of the same result. One that
    /// was got already is cloned once.
    pub fn to_ref(&self) -> Ref<T> {
        self.output().share(self.run(), self.own())
    }
}

impl<T: GraphValue> IntoArg<T> for GraphRef<T> {
    type Holder = RefArg<T>;
    fn into_holder(self) -> RefArg<T> {
        RefArg(self.into_ref())
    }
}

impl<T: GraphValue> IntoArg<T> for &GraphRef<T> {
    type Holder = RefArg<T>;
    fn into_holder(self) -> RefArg<T> {
        RefArg(self.to_ref())
    }
}

impl<T: GraphValue> IntoArgRef<T> for GraphRef<T> {
    type Holder = RefArg<T>;
    fn into_holder_ref(self) -> RefArg<T> {
        RefArg(self.into_ref())
    }
}

impl<T: GraphValue> IntoArgRef<T> for &GraphRef<T> {
    type Holder = RefArg<T>;
    fn into_holder_ref(self) -> RefArg<T> {
        RefArg(self.to_ref())
    }
}
