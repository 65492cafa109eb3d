//! Options of an actor, and its construction on the scheduler where it will live.
#![allow(unsafe_code, reason = "takes over the handle of a fresh block")]

use super::call::{Construct, call};
use super::core::ActorCore;
use super::handle::{Actor, ActorType};
use crate::config::Isolation;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::object::reference::Ref;
use crate::resources::{Demand, Grant};
use crate::task::args::Params;
use crate::task::failure::Failure;
use crate::task::meta::{Function, Meta};
use crate::task::options::check_scheduler;
use crate::task::spawn::stays_here;
use crate::worker::errand::{Claim, Errand, Taken};
use crate::worker::limit::LEAST_BYTES;
use crate::worker::remote::{self, Remote};
use crate::worker::restart::Policy;
use std::marker::PhantomData;
use std::sync::Arc;

/// What `A::options()` collects; the macros give every class a builder over it.
#[derive(Clone, Debug, Default)]
pub struct ActorOptions {
    pub(crate) num_cpus: Option<f64>,
    pub(crate) num_gpus: Option<f64>,
    pub(crate) resources: Vec<(String, f64)>,
    pub(crate) name: Option<String>,
    pub(crate) max_concurrency: Option<u32>,
    pub(crate) isolation: Option<Isolation>,
    pub(crate) scheduler: Option<usize>,
    pub(crate) max_restarts: Option<i32>,
    pub(crate) max_task_retries: Option<i32>,
    pub(crate) memory: Option<usize>,
}

impl ActorOptions {
    /// CPUs for as long as it lives; default 0 (its methods run when its scheduler is free).
    #[must_use]
    pub fn num_cpus(mut self, cpus: impl Into<f64>) -> Self {
        self.num_cpus = Some(cpus.into());
        self
    }

    /// GPUs for as long as it lives; default 0.
    #[must_use]
    pub fn num_gpus(mut self, gpus: impl Into<f64>) -> Self {
        self.num_gpus = Some(gpus.into());
        self
    }

    /// A custom resource of the node for as long as it lives; each name once, fractions to
    /// 1/10,000.
    #[must_use]
    pub fn resource(mut self, name: &str, quantity: impl Into<f64>) -> Self {
        self.resources.push((name.to_owned(), quantity.into()));
        self
    }

    /// A name under which `maser::get_actor` finds it.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// How many `&self` methods may be under way at once; default 1, and 1000 for `async` ones.
    #[must_use]
    pub fn max_concurrency(mut self, calls: u32) -> Self {
        self.max_concurrency = Some(calls);
        self
    }

    /// What a crash of it takes along; default is what the runtime's configuration says. An actor that
    /// code in a worker process makes lives in that worker unless this says
    /// [`Isolation::Process`]; then the driver makes it, and its maker reaches it through the driver.
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = Some(isolation);
        self
    }

    /// The scheduler it lives on, `0..num_cpus`; default is the next in turn, the driver's last.
    #[must_use]
    pub fn scheduler(mut self, index: usize) -> Self {
        self.scheduler = Some(index);
        self
    }

    /// Makes it again in a new process when its process died, this often; -1 is without end, 0, the
    /// default, never. It is made by its constructor, with the arguments it had: they are kept for
    /// as long as it lives. (A class with `checkpoint_interval` is made from its last checkpoint, and
    /// its default is -1.) Calls that are made meanwhile wait.
    ///
    /// An actor that is no process of its own shares the fate of its process.
    #[must_use]
    pub fn max_restarts(mut self, restarts: i32) -> Self {
        self.max_restarts = Some(restarts);
        self
    }

    /// Sends a call again that had no answer when the actor's process died, this often; -1 is without
    /// end. Such a call may have run, so the default is 0: it ends with
    /// [`Error::ActorUnavailable`]. A call's own option wins over that of its method, which wins over
    /// this one, which wins over that of the class.
    #[must_use]
    pub fn max_task_retries(mut self, retries: i32) -> Self {
        self.max_task_retries = Some(retries);
        self
    }

    /// Most bytes that the actor's process may allocate, what the runtime itself needs included;
    /// needs [`Isolation::Process`]. Memory of the object store does not count. An actor that
    /// runs into it mostly aborts, and the error of its death says so. Default is
    /// [`worker_memory_bytes`](crate::Config::worker_memory_bytes).
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// The limit, if it can be held.
    fn limit(&self) -> Result<Option<u64>> {
        let refuse = |bytes: usize, why: String, remedy: String| {
            Err(Error::InvalidArgument {
                argument: "memory",
                problem: format!("{bytes} bytes, {why}"),
                remedy,
            })
        };
        match self.memory {
            Some(bytes) if bytes < LEAST_BYTES => refuse(
                bytes,
                format!("and a process of its own needs {LEAST_BYTES} for itself"),
                format!("give {LEAST_BYTES} or more"),
            ),
            memory => Ok(memory.map(|bytes| bytes as u64)),
        }
    }

    /// What becomes of it when its process dies.
    fn policy(&self, meta: &Meta) -> Result<Policy> {
        let saves = meta.keeping.is_some();
        let defaults = &meta.defaults;
        let restarts = self.max_restarts.or(defaults.max_restarts);
        let retries = self.max_task_retries.or(defaults.max_task_retries);
        Ok(Policy {
            max_restarts: at_least("max_restarts", restarts.unwrap_or(-i32::from(saves)))?,
            max_task_retries: at_least("max_task_retries", retries.unwrap_or(0))?,
            saves,
            memory_bytes: self.limit()?,
        })
    }

    /// Appends what the process that makes the actor has to know.
    pub(crate) fn encode(name: Option<&str>, max_concurrency: i32, bytes: &mut Vec<u8>) {
        let parts = (name, max_concurrency);
        if let Ok(written) = postcard::to_extend(&parts, std::mem::take(bytes)) {
            *bytes = written;
        }
    }

    /// Takes what [`encode`](Self::encode) wrote off the front of `bytes`.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, &[u8])> {
        let decoded = postcard::take_from_bytes::<(Option<String>, i32)>(bytes);
        let ((name, max_concurrency), rest) = decoded.map_err(not_options)?;
        let options = Self {
            name,
            max_concurrency: u32::try_from(max_concurrency).ok(),
            ..Self::default()
        };
        Ok((options, rest))
    }

    /// Appends all that the driver has to know to make it in a process of its own.
    pub(crate) fn encode_whole(&self, bytes: &mut Vec<u8>) {
        let asked = (
            (self.num_cpus, self.num_gpus, &self.resources),
            (&self.name, self.max_concurrency),
            (self.max_restarts, self.max_task_retries, self.memory),
        );
        if let Ok(written) = postcard::to_extend(&asked, std::mem::take(bytes)) {
            *bytes = written;
        }
    }

    /// Takes what [`encode_whole`](Self::encode_whole) wrote off the front of `bytes`.
    pub(crate) fn decode_whole(bytes: &[u8]) -> Result<(Self, &[u8])> {
        let (asked, rest) = postcard::take_from_bytes(bytes).map_err(not_options)?;
        let ((num_cpus, num_gpus, resources), (name, max_concurrency), ends) = asked;
        let (max_restarts, max_task_retries, memory) = ends;
        let options = Self {
            num_cpus,
            num_gpus,
            resources,
            name,
            max_concurrency,
            isolation: Some(Isolation::Process),
            scheduler: None,
            max_restarts,
            max_task_retries,
            memory,
        };
        Ok((options, rest))
    }

    /// CPUs and GPUs that it asks for.
    fn counts(&self, meta: &Meta) -> (f64, f64) {
        let cpus = self.num_cpus.or(meta.defaults.num_cpus).unwrap_or(0.0);
        (cpus, self.num_gpus.unwrap_or(meta.defaults.num_gpus))
    }
}

#[cold]
fn not_options(error: postcard::Error) -> Error {
    Error::NotPortable {
        function: "a constructor".into(),
        value: "the options".into(),
        problem: error.to_string(),
    }
}

/// Whether another process is asked to make it.
fn is_asked(remote: &Option<Remote>) -> bool {
    remote.as_ref().is_some_and(|remote| remote.asks.is_some())
}

/// A count of times, or -1.
pub(crate) fn at_least(argument: &'static str, times: i32) -> Result<i32> {
    match times {
        -1.. => Ok(times),
        _ => Err(Error::InvalidArgument {
            argument,
            problem: format!("{times}"),
            remedy: "give a number from 0, or -1 for no limit".into(),
        }),
    }
}

/// The constructor of `A`, as a function with a meta.
struct New<A>(PhantomData<A>);

impl<A: ActorType> Function for New<A> {
    const META: &'static Meta = A::META;
}

/// Makes an actor. What stands in the way shows at its first call.
pub fn create<A, P, F>(options: ActorOptions, params: P, construct: F) -> Actor<A>
where
    A: ActorType,
    P: Params,
    F: FnOnce(P) -> std::result::Result<A, Failure> + Send + 'static,
{
    create_with_end(options, params, construct).0
}

/// As [`create`], with the end of the construction, if it has begun.
pub fn create_with_end<A, P, F>(
    options: ActorOptions,
    params: P,
    construct: F,
) -> (Actor<A>, Option<Ref<()>>)
where
    A: ActorType,
    P: Params,
    F: FnOnce(P) -> std::result::Result<A, Failure> + Send + 'static,
{
    let node = match Node::entered("making an actor") {
        Ok(node) => node,
        Err(error) => return (stillborn(error), None),
    };
    match prepare(&node, &options, A::META) {
        Ok(Prepared {
            grant,
            remote,
            claim,
        }) => {
            let home = options.scheduler.unwrap_or_else(|| node.pick_home());
            let limit = options
                .max_concurrency
                .unwrap_or(A::META.defaults.max_concurrency);
            let name = options.name.clone();
            // The process that asked for it has its name, or the one that is asked.
            let asked_elsewhere = stays_here() || is_asked(&remote);
            let core = ActorCore::new::<A>(node.clone(), home, name, limit, grant, remote);
            if let Some(name) = &options.name
                && !asked_elsewhere
                && let Err(taken) = node.names.add(name, core, claim)
            {
                ActorCore::die(core, taken);
            }
            // SAFETY: a fresh block of class `A` with one handle.
            let actor = unsafe { Actor::<A>::from_core(core) };
            // The construction is the actor's first call; what comes of it is the actor's state.
            let made = call::<New<A>, A, P, (), _>(&actor, params, Construct(construct));
            (actor, Some(made))
        }
        Err(error) => {
            let core = ActorCore::new::<A>(node, 0, None, 0, None, None);
            ActorCore::die(core, error);
            // SAFETY: a fresh block of class `A` with one handle.
            (unsafe { Actor::from_core(core) }, None)
        }
    }
}

/// What an actor that is about to be made has already.
struct Prepared {
    grant: Option<Grant>,
    remote: Option<Remote>,
    claim: Option<Claim>,
}

fn prepare(node: &Arc<Node>, options: &ActorOptions, meta: &'static Meta) -> Result<Prepared> {
    if let Some(remote) = at_driver(node, options, meta) {
        // Who makes it has its name, and counts what it asks for.
        return Ok(Prepared {
            grant: None,
            remote: Some(remote),
            claim: None,
        });
    }
    check_scheduler(options.scheduler, node)?;
    let claim = match &options.name {
        Some(name) if !stays_here() => node.names.reserve(node, name)?,
        _ => None,
    };
    let grant = grant_of(node, options, meta)?;
    Ok(Prepared {
        grant,
        remote: place(node, options, meta)?,
        claim,
    })
}

/// In a worker, an actor that is to have a process of its own: the driver is asked to make it.
fn at_driver(node: &Arc<Node>, options: &ActorOptions, meta: &'static Meta) -> Option<Remote> {
    let membership = node.workers.membership()?;
    let leaves = options.isolation == Some(Isolation::Process) && meta.entry.is_some();
    (leaves && !stays_here()).then(|| remote::ask_for(node, &membership.driver, options.clone()))
}

/// The process in which it is to live, if that is another one.
fn place(node: &Arc<Node>, options: &ActorOptions, meta: &'static Meta) -> Result<Option<Remote>> {
    let isolation = options.isolation.unwrap_or(node.settings.isolation);
    // A worker makes its actors in its own process, unless they ask for one of their own.
    let stays = node.runs_inline() || node.workers.membership().is_some();
    if isolation == Isolation::Thread || stays || meta.entry.is_none() {
        if let (Some(bytes), false) = (options.memory, node.runs_inline()) {
            return Err(Error::InvalidArgument {
                argument: "memory",
                problem: format!("{bytes} bytes, for an actor that shares its process with others"),
                remedy: "give it isolation(Isolation::Process) too".into(),
            });
        }
        return Ok(None);
    }
    remote::place(node, options.policy(meta)?).map(Some)
}

/// What it asks for, in the ledger of the node: the driver's.
fn grant_of(
    node: &Arc<Node>,
    options: &ActorOptions,
    meta: &'static Meta,
) -> Result<Option<Grant>> {
    let (num_cpus, num_gpus) = options.counts(meta);
    let demand = Demand::of(Some(num_cpus), Some(num_gpus), &options.resources)?;
    // What it asks for was granted where it was made.
    if demand.is_empty() || stays_here() {
        return Ok(None);
    }
    let Some(worker) = node.workers.membership() else {
        return Grant::for_actor(node, demand, meta.name);
    };
    let taken = Taken::of(node, &worker.driver, |token| Errand::Take {
        what: meta.name.to_owned(),
        num_cpus,
        num_gpus,
        resources: options.resources.clone(),
        token,
    })?;
    Ok(Some(Grant::of_driver(node, taken)))
}

/// A handle whose every call fails.
fn stillborn<A: ActorType>(error: Error) -> Actor<A> {
    let core = ActorCore::new::<A>(Node::nowhere(), 0, None, 0, None, None);
    ActorCore::die(core, error);
    // SAFETY: a fresh block of class `A` with one handle.
    unsafe { Actor::from_core(core) }
}
