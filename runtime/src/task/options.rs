//! Per-call options of a task.

use super::meta::{Defaults, Meta};
use super::retry::{Retried, RetryErrors};
use crate::error::{Error, Result};
use crate::node::Node;
use crate::resources::Demand;

/// Runs after a failure, unless the task says otherwise.
pub(crate) const MAX_RETRIES: i32 = 3;

/// What `f::options()` collects; the macros give every function a builder over it.
#[derive(Clone, Debug, Default)]
pub struct TaskOptions {
    pub(crate) num_cpus: Option<f64>,
    pub(crate) num_gpus: Option<f64>,
    pub(crate) resources: Vec<(String, f64)>,
    pub(crate) max_retries: Option<i32>,
    pub(crate) max_calls: Option<u32>,
    pub(crate) name: Option<String>,
    pub(crate) scheduler: Option<usize>,
    pub(crate) retry_errors: Option<RetryErrors>,
    /// It gives a stream.
    pub(crate) is_stream: bool,
}

impl Defaults {
    /// Whether a task with these defaults needs no accounting.
    pub(crate) const fn is_default_task(&self) -> bool {
        let is_plain = self.num_cpus.is_none() && self.num_gpus == 0.0 && self.max_calls == 0;
        is_plain && matches!(self.retry_errors, Retried::Never)
    }
}

impl TaskOptions {
    /// The options that `meta` has by itself.
    pub fn of(_meta: &Meta) -> Self {
        Self::default()
    }

    /// CPUs while it runs; fractions to 1/10,000. Default 1.
    #[must_use]
    pub fn num_cpus(mut self, cpus: impl Into<f64>) -> Self {
        self.num_cpus = Some(cpus.into());
        self
    }

    /// GPUs while it runs; fractions to 1/10,000. Default 0.
    #[must_use]
    pub fn num_gpus(mut self, gpus: impl Into<f64>) -> Self {
        self.num_gpus = Some(gpus.into());
        self
    }

    /// A custom resource of the node while it runs; each name once, fractions to 1/10,000.
    #[must_use]
    pub fn resource(mut self, name: &str, quantity: impl Into<f64>) -> Self {
        self.resources.push((name.to_owned(), quantity.into()));
        self
    }

    /// Runs it again this often when the process that ran it died; -1 is without end. A thread
    /// shares the fate of its process, so this takes effect with process isolation.
    #[must_use]
    pub fn max_retries(mut self, retries: i32) -> Self {
        self.max_retries = Some(retries);
        self
    }

    /// Runs it again after its own errors and panics too, as often as [`max_retries`] says (3 by
    /// default); not after errors of its arguments, nor when it was cancelled. Each run gets fresh
    /// copies of the arguments, made from their bytes.
    ///
    /// [`max_retries`]: Self::max_retries
    #[must_use]
    pub fn retry_errors(mut self, errors: RetryErrors) -> Self {
        self.retry_errors = Some(errors);
        self
    }

    /// Recycles the worker after this many calls of the function; 0 is never. Takes effect with
    /// process isolation; schedulers that are threads only count.
    #[must_use]
    pub fn max_calls(mut self, calls: u32) -> Self {
        self.max_calls = Some(calls);
        self
    }

    /// A name for errors and listings.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Runs it on this scheduler, `0..num_cpus`; it is not stolen before others took their turn.
    #[must_use]
    pub fn scheduler(mut self, index: usize) -> Self {
        self.scheduler = Some(index);
        self
    }

    pub(crate) fn demand(&self, meta: &Meta) -> Result<Demand> {
        let cpus = self.num_cpus.or(meta.defaults.num_cpus).unwrap_or(1.0);
        let gpus = self.num_gpus.unwrap_or(meta.defaults.num_gpus);
        // One CPU is the scheduler that runs it.
        let cpus = (cpus != 1.0).then_some(cpus);
        Demand::of(cpus, Some(gpus), &self.resources)
    }

    pub(crate) fn check_scheduler(&self, node: &Node) -> Result<()> {
        check_scheduler(self.scheduler, node)
    }
}

/// An error unless `index` is a scheduler of `node`.
pub(crate) fn check_scheduler(index: Option<usize>, node: &Node) -> Result<()> {
    match index {
        Some(index) if index >= node.schedulers().len() => Err(Error::InvalidArgument {
            argument: "scheduler",
            problem: format!("{index}, and there are {}", node.schedulers().len()),
            remedy: "give an index below num_cpus".into(),
        }),
        _ => Ok(()),
    }
}
