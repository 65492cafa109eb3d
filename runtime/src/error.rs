//! The one error type of the public API, and the failure of a task with its chain of functions.
//!
//! Every variant says what was awaited or wrong, from whom, and what to do. Values are cheap to
//! clone: one failed task is reported to every `get` and to every task it feeds.

mod conversions;

pub(crate) use crate::fault::{Fault, Outcome};

use crate::collective::CollectiveError;
use crate::config::ConfigError;
use crate::graph::record::error::RecordError;
use maser_shm::store::{StoreError, StoreFull};
use maser_shm::tensor::TensorError;
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong in maser.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A task or method returned an error or panicked, or was fed by one that did.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The actor ended before it answered.
    #[error(
        "actor {actor} died: {reason}; make a new one, or look the reason up with maser::error_info()"
    )]
    ActorDied {
        /// Class and name or number of the actor.
        actor: String,
        /// Why it ended.
        reason: String,
    },
    /// The actor exists but does not take calls now.
    #[error("actor {actor} is unavailable: {reason}; try again later")]
    ActorUnavailable {
        /// Class and name or number of the actor.
        actor: String,
        /// Why it takes no calls.
        reason: String,
    },
    /// The other end of a channel, a stream or a graph was torn down.
    #[error("{what} is closed: {reason}")]
    ChannelClosed {
        /// What was used.
        what: String,
        /// Who closed it and what to do.
        reason: String,
    },
    /// A wait reached its limit. Nothing is lost: the same call can be repeated.
    #[error(
        "waited {waited:?} for {what} from {from_whom}; call again to wait on, or raise the limit ({knob})"
    )]
    Timeout {
        /// What was awaited.
        what: String,
        /// Who was to give it.
        from_whom: String,
        /// How long the caller waited.
        waited: Duration,
        /// The knob that sets the limit.
        knob: &'static str,
    },
    /// A bounded resource is used up.
    #[error("{what}: {in_flight} in use, limit {limit}; {remedy}")]
    CapacityExceeded {
        /// What is full.
        what: String,
        /// How many are in use now.
        in_flight: usize,
        /// How many are allowed.
        limit: usize,
        /// What to do.
        remedy: String,
    },
    /// The object's value is gone.
    #[error("object of {what} is lost: {reason}")]
    ObjectLost {
        /// Who made it.
        what: String,
        /// How it was lost.
        reason: String,
    },
    /// The process in which a task ran ended before the task did. It may have had effects.
    #[error("{what} was not finished: {worker} {how}; raise max_retries if it may run again")]
    WorkerCrashed {
        /// Function.
        what: String,
        /// `worker 2 (pid 4711)`.
        worker: String,
        /// How it ended.
        how: String,
    },
    /// The value cannot be moved out because others hold it.
    #[error(
        "the value of {what} is shared by other refs, so it cannot be moved out; drop them, or use get() for a clone"
    )]
    ValueShared {
        /// Who made it.
        what: String,
    },
    /// The task was cancelled.
    #[error("{what} was cancelled")]
    Cancelled {
        /// Function or method.
        what: String,
    },
    /// There is no runtime.
    #[error(
        "maser is not running: {what} needs it; call maser::init() first and keep what it returns"
    )]
    NotRunning {
        /// What was tried.
        what: &'static str,
    },
    /// There is a runtime already.
    #[error("maser is already running in this process; use it, or shut it down first")]
    AlreadyRunning,
    /// The runtime was shut down while the call waited.
    #[error("maser was shut down while {what} was pending")]
    ShutDown {
        /// What was awaited.
        what: String,
    },
    /// A knob has a wrong value.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The operating system refused something.
    #[error("{what}: {reason}")]
    System {
        /// What was tried.
        what: String,
        /// The system's answer and what to do.
        reason: String,
    },
    /// A demand that this node can never meet.
    #[error(
        "{what} asks for {asked} {resource}, and this node has {total} in all; lower the demand or raise {knob}"
    )]
    Infeasible {
        /// Function or actor.
        what: String,
        /// `CPU`, `GPU` or the custom resource's name.
        resource: String,
        /// How much was asked for.
        asked: f64,
        /// How much there is.
        total: f64,
        /// The knob that sets the total.
        knob: String,
    },
    /// Too many tasks are blocked at once.
    #[error(
        "{blocked} tasks are blocked and the limit is {limit}; block fewer at once, or raise max_blocked_tasks (bounded by vm.max_map_count / 2)"
    )]
    TooManyBlockedTasks {
        /// How many are blocked.
        blocked: usize,
        /// How many may be.
        limit: usize,
    },
    /// A wait was begun by a destructor that runs because of a panic.
    #[error(
        "get() of {what} while the thread unwinds from a panic; wait before the panic, or not in a destructor"
    )]
    GetWhilePanicking {
        /// What was awaited.
        what: String,
    },
    /// Waiting would close a cycle: nobody in it could ever go on.
    #[error(
        "waiting would never end, because the wait closes a cycle: {path}; return before the answer is needed, or give the actor max_concurrency > 1"
    )]
    WaitCycle {
        /// Who waits for whom, from the caller round to the caller.
        path: String,
    },
    /// The actor name is in use.
    #[error(
        "an actor named {name:?} exists already; choose another name, or reach it with maser::get_actor"
    )]
    ActorNameTaken {
        /// The name.
        name: String,
    },
    /// No actor has this name.
    #[error("there is no live actor named {name:?}{hint}")]
    ActorNotFound {
        /// The name.
        name: String,
        /// What there is instead.
        hint: String,
    },
    /// An argument of a call of the API is wrong.
    #[error("{argument}: {problem}; {remedy}")]
    InvalidArgument {
        /// The argument's name.
        argument: &'static str,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// Inline mode: a value did not come through encoding and decoding, so another process could
    /// not have been given it.
    #[error(
        "{value} of {function} does not survive the way to another process: {problem}; check its Serialize and Deserialize implementations against each other, or mark the function `local`"
    )]
    NotPortable {
        /// Function, or `Class::method`.
        function: String,
        /// Which of its values: an argument by name, or a result.
        value: String,
        /// What the encoder or decoder said, and of which type.
        problem: String,
    },
    /// The object store has no room: what was asked for, what is free, and who holds memory.
    #[error(transparent)]
    StoreFull(Arc<StoreFull>),
    /// The object store cannot, for another reason.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// A tensor of another type or shape.
    #[error(transparent)]
    Tensor(Arc<TensorError>),
    /// An operation of a group failed.
    #[error(transparent)]
    Collective(Arc<CollectiveError>),
    /// A graph cannot be recorded or replayed.
    #[error(transparent)]
    Record(Arc<RecordError>),
    /// A graph cannot be compiled or run as it was written.
    #[error("graph node {node}: {problem}; {remedy}")]
    Graph {
        /// The node, `#index function`.
        node: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        remedy: String,
    },
}

/// One function that an error passed through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Function, or `Class::method`.
    pub function: String,
    /// Which argument brought the error in; `None` where it began.
    pub argument: Option<usize>,
}

/// Where a task's error came from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// The function returned `Err` with this value.
    Returned(Arc<dyn std::error::Error + Send + Sync>),
    /// The function panicked.
    Panicked {
        /// The panic's message.
        message: String,
        /// `file:line:column`.
        location: String,
    },
    /// maser itself failed the task (its actor died, it was cancelled, ...).
    Runtime(Arc<Error>),
}

#[derive(Debug)]
struct TaskErrorInner {
    actor: Option<String>,
    node: String,
    chain: Vec<Frame>,
    cause: Cause,
    /// 0 and 1 are the same.
    tries: u32,
}

/// A task or method failed.
#[derive(Clone, Debug)]
pub struct TaskError(Arc<TaskErrorInner>);

impl TaskError {
    pub(crate) fn new(function: &str, actor: Option<String>, cause: Cause) -> Self {
        let chain = vec![Frame {
            function: function.to_owned(),
            argument: None,
        }];
        Self(Arc::new(TaskErrorInner {
            actor,
            node: crate::node::name(),
            chain,
            cause,
            tries: 1,
        }))
    }

    /// An error as another process described it.
    pub(crate) fn from_parts(
        actor: Option<String>,
        node: String,
        chain: Vec<Frame>,
        cause: Cause,
        tries: u32,
    ) -> Self {
        Self(Arc::new(TaskErrorInner {
            actor,
            node,
            chain,
            cause,
            tries,
        }))
    }

    /// The same error, seen by `function`, which got it as its `argument`th argument.
    pub(crate) fn through(&self, function: &str, argument: Option<usize>) -> Self {
        let inner = &*self.0;
        let mut chain = Vec::with_capacity(inner.chain.len() + 1);
        chain.push(Frame {
            function: function.to_owned(),
            argument,
        });
        chain.extend(inner.chain.iter().cloned());
        Self(Arc::new(TaskErrorInner {
            actor: inner.actor.clone(),
            node: inner.node.clone(),
            chain,
            cause: inner.cause.clone(),
            tries: inner.tries,
        }))
    }

    /// The same error, with the argument that brought it into its only function.
    pub(crate) fn at_argument(&self, argument: Option<usize>) -> Self {
        let inner = &*self.0;
        let mut chain = inner.chain.clone();
        if let Some(frame) = chain.first_mut() {
            frame.argument = argument;
        }
        Self(Arc::new(TaskErrorInner {
            actor: inner.actor.clone(),
            node: inner.node.clone(),
            chain,
            cause: inner.cause.clone(),
            tries: inner.tries,
        }))
    }

    /// The same error, after so many runs of its only function.
    pub(crate) fn after_tries(&self, tries: u32) -> Self {
        let inner = &*self.0;
        Self(Arc::new(TaskErrorInner {
            actor: inner.actor.clone(),
            node: inner.node.clone(),
            chain: inner.chain.clone(),
            cause: inner.cause.clone(),
            tries,
        }))
    }

    /// Whether a function failed here by itself, and no other was fed by it yet.
    pub(crate) fn is_first(&self) -> bool {
        let is_alone = self.0.chain.len() == 1;
        is_alone && self.0.chain.iter().all(|frame| frame.argument.is_none())
    }

    /// How often the function that failed first was run: more than once with `retry_errors`.
    pub fn tries(&self) -> u32 {
        self.0.tries.max(1)
    }

    /// The function that failed first.
    pub fn function(&self) -> &str {
        self.0
            .chain
            .last()
            .map_or("", |frame| frame.function.as_str())
    }

    /// The actor whose method failed first, if it was a method.
    pub fn actor(&self) -> Option<&str> {
        self.0.actor.as_deref()
    }

    /// The node it failed on.
    pub fn node(&self) -> &str {
        &self.0.node
    }

    /// Every function the error went through, the awaited one first, the failed one last.
    pub fn chain(&self) -> &[Frame] {
        &self.0.chain
    }

    /// How it failed.
    pub fn cause(&self) -> &Cause {
        &self.0.cause
    }

    /// The original error, if it is an `E`.
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match &self.0.cause {
            Cause::Returned(error) => error.downcast_ref::<E>(),
            Cause::Runtime(error) => (&**error as &dyn Any).downcast_ref::<E>(),
            Cause::Panicked { .. } => None,
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        write!(f, "{} failed on {}", self.function(), inner.node)?;
        if let Some(actor) = &inner.actor {
            write!(f, " in actor {actor}")?;
        }
        match &inner.cause {
            Cause::Returned(error) => write!(f, ": {}", text_of(&**error))?,
            Cause::Panicked { message, location } => {
                write!(f, ": panicked at {location}: {message}")?
            }
            Cause::Runtime(error) => write!(f, ": {error}")?,
        }
        if inner.tries > 1 {
            write!(f, " (the last of {} tries)", inner.tries)?;
        }
        if inner.chain.len() > 1 {
            write!(f, " (")?;
            for (at, frame) in inner.chain.iter().enumerate() {
                if at > 0 {
                    write!(f, " <- ")?;
                }
                write!(f, "{}", frame.function)?;
                if let Some(argument) = frame.argument {
                    write!(f, " argument {argument}")?;
                }
            }
            write!(f, ")")?;
        }
        Ok(())
    }
}

/// What a user's error says. Schedulers write errors down, so a `Display` that panics ends here.
pub(crate) fn text_of(error: &(dyn std::error::Error + Send + Sync)) -> String {
    let text = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| error.to_string()));
    text.unwrap_or_else(|payload| {
        crate::task::failure::discard_payload(payload);
        "an error whose Display panics".into()
    })
}

impl std::error::Error for TaskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.cause {
            Cause::Returned(error) => Some(&**error),
            Cause::Runtime(error) => Some(&**error),
            Cause::Panicked { .. } => None,
        }
    }
}

impl Error {
    /// The original error of a failed task, if it is an `E`.
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match self {
            Error::Task(error) => error.downcast_ref::<E>(),
            other => (other as &dyn Any).downcast_ref::<E>(),
        }
    }

    /// Whether a wait reached its limit, here or in a task this error comes from.
    pub fn is_timeout(&self) -> bool {
        match self.root() {
            Error::Timeout { .. } => true,
            Error::Collective(error) => matches!(**error, CollectiveError::Timeout { .. }),
            _ => false,
        }
    }

    /// The error that maser itself raised, below any chain of tasks.
    pub fn root(&self) -> &Error {
        match self {
            Error::Task(task) => match task.cause() {
                Cause::Runtime(inner) => inner.root(),
                _ => self,
            },
            other => other,
        }
    }
}
