//! Errors on their way to another process and back.
//!
//! What a task returned comes as the very type it had if that type is serde (its codec stands in
//! the table of functions), else as its text with the name of its type.

use super::registry::FUNCTIONS;
use crate::collective::CollectiveError;
use crate::error::{Cause, Error, Frame, TaskError};
use maser_shm::store::{Holder, HolderKind, PeerId, StoreFull};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

type Returned = Arc<dyn std::error::Error + Send + Sync>;

/// How the errors of one type travel.
#[derive(Debug)]
pub struct ErrorCodec {
    name: fn() -> &'static str,
    encode: fn(&(dyn std::error::Error + 'static)) -> Option<Vec<u8>>,
    decode: fn(&[u8]) -> Option<Returned>,
}

impl ErrorCodec {
    /// Of the type with this name, if a function of the program returns it.
    pub(crate) fn of(name: &str) -> Option<&'static Self> {
        codecs().get(name).copied()
    }

    /// Whether `error` is of its type.
    pub(crate) fn is_of(&self, error: &(dyn std::error::Error + 'static)) -> bool {
        (self.encode)(error).is_some()
    }
}

/// Finds out whether `E` is serde; the macros ask it.
pub struct ErrorProbe<E>(std::marker::PhantomData<fn() -> E>);

impl<E> ErrorProbe<E> {
    /// The question.
    #[must_use]
    pub const fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<E> Default for ErrorProbe<E> {
    fn default() -> Self {
        Self::new()
    }
}

/// The answer for an error that is serde.
pub trait PortableError {
    /// How it travels.
    fn codec(&self) -> Option<&'static ErrorCodec>;
}

impl<E> PortableError for ErrorProbe<E>
where
    E: std::error::Error + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    fn codec(&self) -> Option<&'static ErrorCodec> {
        Some(
            const {
                &ErrorCodec {
                    name: std::any::type_name::<E>,
                    encode: |error| {
                        let error = error.downcast_ref::<E>()?;
                        postcard::to_stdvec(error).ok()
                    },
                    decode: |bytes| {
                        let error: E = postcard::from_bytes(bytes).ok()?;
                        Some(Arc::new(error))
                    },
                }
            },
        )
    }
}

/// The answer for any other type.
pub trait OpaqueError {
    /// None: it travels as text.
    fn codec(&self) -> Option<&'static ErrorCodec>;
}

impl<E> OpaqueError for &ErrorProbe<E> {
    fn codec(&self) -> Option<&'static ErrorCodec> {
        None
    }
}

/// An error of another process whose type is not serde.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub struct RemoteError {
    /// The name of its type there.
    pub type_name: String,
    /// What it says.
    pub text: String,
}

fn codecs() -> &'static BTreeMap<&'static str, &'static ErrorCodec> {
    static CODECS: OnceLock<BTreeMap<&'static str, &'static ErrorCodec>> = OnceLock::new();
    CODECS.get_or_init(|| {
        let codecs = FUNCTIONS.iter().filter_map(|entry| (entry.error)());
        codecs.map(|codec| ((codec.name)(), codec)).collect()
    })
}

#[derive(Debug, Serialize, Deserialize)]
enum WireCause {
    Portable {
        type_name: String,
        bytes: Vec<u8>,
    },
    Text {
        type_name: String,
        text: String,
    },
    Panicked {
        message: String,
        location: String,
    },
    Runtime(Box<WireError>),
    /// The function returned one of ours.
    Ours(Box<WireError>),
}

#[derive(Debug, Serialize, Deserialize)]
struct WireTask {
    actor: Option<String>,
    node: String,
    chain: Vec<(String, Option<u64>)>,
    cause: WireCause,
    tries: u32,
}

/// [`Error`], field by field.
#[derive(Debug, Serialize, Deserialize)]
enum WireError {
    Task(WireTask),
    ActorDied(String, String),
    ActorUnavailable(String, String),
    ChannelClosed(String, String),
    Timeout(String, String, Duration, String),
    CapacityExceeded(String, u64, u64, String),
    ObjectLost(String, String),
    WorkerCrashed(String, String, String),
    ValueShared(String),
    Cancelled(String),
    NotRunning(String),
    AlreadyRunning,
    ShutDown(String),
    System(String, String),
    Infeasible(String, String, f64, f64, String),
    TooManyBlockedTasks(u64, u64),
    GetWhilePanicking(String),
    WaitCycle(String),
    ActorNameTaken(String),
    ActorNotFound(String, String),
    InvalidArgument(String, String, String),
    NotPortable(String, String, String),
    Graph(String, String, String),
    StoreFull(u64, u64, u64, Vec<WireHolder>),
    Collective(CollectiveError),
}

/// [`Holder`]: 0 this process, 1 a peer, 2 charged.
#[derive(Debug, Serialize, Deserialize)]
struct WireHolder {
    kind: u8,
    peer: u32,
    name: String,
    objects: u64,
    bytes: u64,
}

/// A text that lives as long as the program. Both processes are of one build, so there are only as
/// many as the program has; a peer that makes new ones up gets `?` after some thousand.
fn lasting(text: String) -> &'static str {
    const TEXTS_MAX: usize = 4096;
    static TEXTS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = texts.get(text.as_str()) {
        return known;
    }
    if texts.len() >= TEXTS_MAX {
        return "?";
    }
    let lasting: &'static str = Box::leak(text.into_boxed_str());
    texts.insert(lasting);
    lasting
}

fn cause_out(cause: &Cause) -> WireCause {
    match cause {
        Cause::Returned(error) => {
            if let Some(error) = error.downcast_ref::<Error>() {
                return WireCause::Ours(Box::new(out(error)));
            }
            if let Some(remote) = error.downcast_ref::<RemoteError>() {
                return WireCause::Text {
                    type_name: remote.type_name.clone(),
                    text: remote.text.clone(),
                };
            }
            let portable = codecs().iter().find_map(|(name, codec)| {
                let bytes = (codec.encode)(&**error)?;
                Some(WireCause::Portable {
                    type_name: (*name).to_owned(),
                    bytes,
                })
            });
            portable.unwrap_or_else(|| WireCause::Text {
                type_name: String::new(),
                text: crate::error::text_of(&**error),
            })
        }
        Cause::Panicked { message, location } => WireCause::Panicked {
            message: message.clone(),
            location: location.clone(),
        },
        Cause::Runtime(error) => WireCause::Runtime(Box::new(out(error))),
    }
}

fn cause_in(cause: WireCause) -> Cause {
    match cause {
        WireCause::Portable { type_name, bytes } => {
            let known = codecs().get(type_name.as_str());
            let error = known.and_then(|codec| (codec.decode)(&bytes));
            Cause::Returned(error.unwrap_or_else(|| {
                let text = format!("an error of type {type_name} that cannot be decoded");
                Arc::new(RemoteError { type_name, text })
            }))
        }
        WireCause::Text { type_name, text } => {
            Cause::Returned(Arc::new(RemoteError { type_name, text }))
        }
        WireCause::Panicked { message, location } => Cause::Panicked { message, location },
        WireCause::Ours(error) => Cause::Returned(Arc::new(back(*error))),
        WireCause::Runtime(error) => Cause::Runtime(Arc::new(back(*error))),
    }
}

fn holder_out(holder: &Holder) -> WireHolder {
    let (kind, peer, name) = match &holder.kind {
        HolderKind::Own => (0, 0, String::new()),
        HolderKind::Peer { peer, name } => (1, peer.0, name.clone()),
        HolderKind::Charged { name } => (2, 0, name.clone()),
        _ => (2, 0, "others".to_owned()),
    };
    WireHolder {
        kind,
        peer,
        name,
        objects: holder.objects,
        bytes: holder.bytes,
    }
}

/// What is this process there is none here.
fn holder_in(holder: WireHolder) -> Holder {
    let name = match holder.kind {
        0 => "the process itself".to_owned(),
        _ => holder.name,
    };
    Holder {
        kind: match holder.kind {
            1 => HolderKind::Peer {
                peer: PeerId(holder.peer),
                name,
            },
            _ => HolderKind::Charged { name },
        },
        objects: holder.objects,
        bytes: holder.bytes,
    }
}

fn out(error: &Error) -> WireError {
    match error.clone() {
        Error::Task(task) => WireError::Task(WireTask {
            actor: task.actor().map(str::to_owned),
            node: task.node().to_owned(),
            chain: task
                .chain()
                .iter()
                .map(|frame| (frame.function.clone(), frame.argument.map(|at| at as u64)))
                .collect(),
            cause: cause_out(task.cause()),
            tries: task.tries(),
        }),
        Error::ActorDied { actor, reason } => WireError::ActorDied(actor, reason),
        Error::ActorUnavailable { actor, reason } => WireError::ActorUnavailable(actor, reason),
        Error::ChannelClosed { what, reason } => WireError::ChannelClosed(what, reason),
        Error::Timeout {
            what,
            from_whom,
            waited,
            knob,
        } => WireError::Timeout(what, from_whom, waited, knob.into()),
        Error::CapacityExceeded {
            what,
            in_flight,
            limit,
            remedy,
        } => WireError::CapacityExceeded(what, in_flight as u64, limit as u64, remedy),
        Error::ObjectLost { what, reason } => WireError::ObjectLost(what, reason),
        Error::WorkerCrashed { what, worker, how } => WireError::WorkerCrashed(what, worker, how),
        Error::ValueShared { what } => WireError::ValueShared(what),
        Error::Cancelled { what } => WireError::Cancelled(what),
        Error::NotRunning { what } => WireError::NotRunning(what.into()),
        Error::AlreadyRunning => WireError::AlreadyRunning,
        Error::ShutDown { what } => WireError::ShutDown(what),
        Error::Config(error) => {
            WireError::System("the configuration of a worker".into(), error.to_string())
        }
        Error::System { what, reason } => WireError::System(what, reason),
        Error::Infeasible {
            what,
            resource,
            asked,
            total,
            knob,
        } => WireError::Infeasible(what, resource, asked, total, knob),
        Error::TooManyBlockedTasks { blocked, limit } => {
            WireError::TooManyBlockedTasks(blocked as u64, limit as u64)
        }
        Error::GetWhilePanicking { what } => WireError::GetWhilePanicking(what),
        Error::WaitCycle { path } => WireError::WaitCycle(path),
        Error::ActorNameTaken { name } => WireError::ActorNameTaken(name),
        Error::ActorNotFound { name, hint } => WireError::ActorNotFound(name, hint),
        Error::InvalidArgument {
            argument,
            problem,
            remedy,
        } => WireError::InvalidArgument(argument.into(), problem, remedy),
        Error::NotPortable {
            function,
            value,
            problem,
        } => WireError::NotPortable(function, value, problem),
        Error::StoreFull(full) => WireError::StoreFull(
            full.asked as u64,
            full.free as u64,
            full.budget as u64,
            full.holders.iter().map(holder_out).collect(),
        ),
        Error::Store(error) => {
            WireError::System("the store of another process".into(), error.to_string())
        }
        Error::Tensor(error) => {
            WireError::System("a tensor in another process".into(), error.to_string())
        }
        Error::Collective(error) => WireError::Collective((*error).clone()),
        Error::Record(error) => {
            WireError::System("a recording in another process".into(), error.to_string())
        }
        Error::Graph {
            node,
            problem,
            remedy,
        } => WireError::Graph(node, problem, remedy),
    }
}

fn back(error: WireError) -> Error {
    match error {
        WireError::Task(task) => {
            let chain = task.chain.into_iter().map(|(function, argument)| Frame {
                function,
                argument: argument.map(|at| at as usize),
            });
            let cause = cause_in(task.cause);
            Error::Task(TaskError::from_parts(
                task.actor,
                task.node,
                chain.collect(),
                cause,
                task.tries,
            ))
        }
        WireError::ActorDied(actor, reason) => Error::ActorDied { actor, reason },
        WireError::ActorUnavailable(actor, reason) => Error::ActorUnavailable { actor, reason },
        WireError::ChannelClosed(what, reason) => Error::ChannelClosed { what, reason },
        WireError::Timeout(what, from_whom, waited, knob) => Error::Timeout {
            what,
            from_whom,
            waited,
            knob: lasting(knob),
        },
        WireError::CapacityExceeded(what, in_flight, limit, remedy) => Error::CapacityExceeded {
            what,
            in_flight: in_flight as usize,
            limit: limit as usize,
            remedy,
        },
        WireError::ObjectLost(what, reason) => Error::ObjectLost { what, reason },
        WireError::WorkerCrashed(what, worker, how) => Error::WorkerCrashed { what, worker, how },
        WireError::ValueShared(what) => Error::ValueShared { what },
        WireError::Cancelled(what) => Error::Cancelled { what },
        WireError::NotRunning(what) => Error::NotRunning {
            what: lasting(what),
        },
        WireError::StoreFull(asked, free, budget, holders) => {
            Error::StoreFull(Arc::new(StoreFull {
                asked: asked as usize,
                free: free as usize,
                budget: budget as usize,
                holders: holders.into_iter().map(holder_in).collect(),
            }))
        }
        WireError::Collective(error) => Error::from(error),
        WireError::AlreadyRunning => Error::AlreadyRunning,
        WireError::ShutDown(what) => Error::ShutDown { what },
        WireError::System(what, reason) => Error::System { what, reason },
        WireError::Infeasible(what, resource, asked, total, knob) => Error::Infeasible {
            what,
            resource,
            asked,
            total,
            knob,
        },
        WireError::TooManyBlockedTasks(blocked, limit) => Error::TooManyBlockedTasks {
            blocked: blocked as usize,
            limit: limit as usize,
        },
        WireError::GetWhilePanicking(what) => Error::GetWhilePanicking { what },
        WireError::WaitCycle(path) => Error::WaitCycle { path },
        WireError::ActorNameTaken(name) => Error::ActorNameTaken { name },
        WireError::ActorNotFound(name, hint) => Error::ActorNotFound { name, hint },
        WireError::InvalidArgument(argument, problem, remedy) => Error::InvalidArgument {
            argument: lasting(argument),
            problem,
            remedy,
        },
        WireError::NotPortable(function, value, problem) => Error::NotPortable {
            function,
            value,
            problem,
        },
        WireError::Graph(node, problem, remedy) => Error::Graph {
            node,
            problem,
            remedy,
        },
    }
}

/// The bytes of an error.
#[cold]
pub(crate) fn encode(error: &Error) -> Vec<u8> {
    postcard::to_stdvec(&out(error)).unwrap_or_default()
}

/// The error that the bytes are.
#[cold]
pub(crate) fn decode(bytes: &[u8]) -> Error {
    match postcard::from_bytes(bytes) {
        Ok(error) => back(error),
        Err(problem) => Error::NotPortable {
            function: "a call to another process".into(),
            value: "its error".into(),
            problem: problem.to_string(),
        },
    }
}
