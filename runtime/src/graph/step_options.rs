//! What `options()` say of a task that is a step of a graph.
//!
//! - SO-1 a step runs where the graph was laid out, so its demand is taken when the graph is
//!   compiled and given back when the graph ends, as that of an actor. As an ordinary call
//!   (`Graph::execute`) it is admitted each time, like any task.
//! - SO-2 what can only concern a single call (`max_retries`, `max_calls`) is refused where the
//!   step is bound; the same in the attribute is the function's own and stays without effect.

use super::build::Place;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::resources::{Demand, Grant};
use crate::task::args::Params;
use crate::task::failure::{Failure, Kind, panicked};
use crate::task::meta::{Function, Meta};
use crate::task::options::{TaskOptions, check_scheduler};
use crate::task::portable;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// The options of one step, as far as they are known without a runtime.
#[derive(Default)]
pub(crate) struct StepOptions {
    pub(crate) name: Option<String>,
    scheduler: Option<usize>,
    demand: Option<Result<Demand>>,
    /// What makes no sense, and why (SO-2).
    refused: Option<(String, &'static str)>,
}

impl StepOptions {
    pub(crate) fn of(options: &TaskOptions, meta: &Meta) -> Self {
        let retries = options.max_retries.filter(|count| *count != 0);
        let calls = options.max_calls.filter(|count| *count != 0);
        let refused = match (retries, calls) {
            (Some(count), _) => Some((
                format!("max_retries({count})"),
                "a step that fails is the error of its run; execute the graph again, or bind the \
                 task without max_retries",
            )),
            (None, Some(count)) => Some((
                format!("max_calls({count})"),
                "a step lives as long as its graph; bind the task without max_calls",
            )),
            (None, None) => None,
        };
        Self {
            name: options.name.clone(),
            scheduler: options.scheduler,
            demand: Some(options.demand(meta)),
            refused,
        }
    }

    pub(crate) fn place(&self) -> Place {
        Place {
            scheduler: self.scheduler,
            demand: match &self.demand {
                Some(Ok(demand)) => demand.clone(),
                _ => Demand::default(),
            },
            reserved: Reserved::default(),
        }
    }

    /// What is wrong with the step called `label`.
    pub(crate) fn problem(&self, label: String) -> Option<Error> {
        if let Some((option, remedy)) = &self.refused {
            return Some(Error::Graph {
                node: label,
                problem: format!("{option} has no meaning for a step of a graph"),
                remedy: (*remedy).into(),
            });
        }
        match &self.demand {
            Some(Err(error)) => Some(error.clone()),
            _ => None,
        }
    }
}

/// The demand of a step from compile to the end of its graph (SO-1).
#[derive(Clone, Default)]
pub(crate) struct Reserved(Arc<Mutex<Option<Grant>>>);

impl Reserved {
    fn put(&self, grant: Option<Grant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = grant;
    }

    pub(super) fn take(&self) -> Option<Grant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What the step runs; it holds the demand until it is dropped.
    pub(crate) fn body<M, P, T>(
        &self,
        name: Option<String>,
        run: impl Fn(P) -> std::result::Result<T, Failure> + Send + 'static,
    ) -> Body<P, T>
    where
        M: Function,
        P: Params,
        T: 'static,
    {
        let grant = self.take();
        let portable = portable::applies_to::<M>();
        Box::new(move |args| {
            let _held = &grant;
            let run = |args| match portable {
                true => portable::call::<M, P, T>(args, &run),
                false => run(args),
            };
            match &name {
                Some(name) => named(name, || run(args)),
                None => run(args),
            }
        })
    }
}

/// What a step with options runs.
pub(crate) type Body<P, T> = Box<dyn Fn(P) -> std::result::Result<T, Failure> + Send>;

/// Runs a step under the name that its options gave it.
fn named<T>(
    name: &str,
    run: impl FnOnce() -> std::result::Result<T, Failure>,
) -> std::result::Result<T, Failure> {
    let (fault, began_here) = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(failure)) => failure.into_fault(name, None),
        Err(payload) => (panicked(payload, name, None), true),
    };
    Err(Failure(Kind::Settled { fault, began_here }))
}

impl Place {
    /// Takes what the step needs of `host`; `label` names it in errors.
    pub(crate) fn reserve(&self, label: impl Fn() -> String, host: &Arc<Node>) -> Result<()> {
        check_scheduler(self.scheduler, host)?;
        if self.demand.is_empty() {
            return Ok(());
        }
        host.resources.check_feasible(&self.demand, &label())?;
        if !host.resources.try_take(&self.demand) {
            return Err(Error::Graph {
                node: label(),
                problem: "its resources are in use, by others or by other steps of this graph"
                    .into(),
                remedy: "end what holds them first, or ask for less".into(),
            });
        }
        let mut grant = Grant::pending(self.demand.clone(), host.clone());
        grant.mark_held();
        self.reserved.put(Some(grant));
        Ok(())
    }
}
