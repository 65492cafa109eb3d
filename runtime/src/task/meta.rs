//! What the macros know of a function at compile time.

use super::portable::Codec;
use super::retry::Retried;
use crate::worker::checkpoint::Keeping;
use crate::worker::registry::Entry;

/// Demands and limits written in the attribute.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// CPUs while it runs; `None` is one for tasks and none for actors.
    pub num_cpus: Option<f64>,
    /// GPUs while it runs or lives.
    pub num_gpus: f64,
    /// Recycle the worker after this many calls of this function; 0 is never.
    pub max_calls: u32,
    /// Run again after a failure of the worker this often; `None` is the default.
    pub max_retries: Option<i32>,
    /// Methods with `&self` or `async` that may be under way at once.
    pub max_concurrency: u32,
    /// Make an actor again after the death of its process this often; `None` is the default.
    pub max_restarts: Option<i32>,
    /// Send a call again after the death of its actor's process this often; `None` is the default.
    pub max_task_retries: Option<i32>,
    /// Run a task again after these errors.
    pub retry_errors: Retried,
}

impl Defaults {
    /// Nothing was written.
    pub const NONE: Defaults = Defaults {
        num_cpus: None,
        num_gpus: 0.0,
        max_calls: 0,
        max_retries: None,
        max_concurrency: 0,
        max_restarts: None,
        max_task_retries: None,
        retry_errors: Retried::Never,
    };
}

/// A function, method or actor class.
#[derive(Debug)]
pub struct Meta {
    /// `function` or `Class::method`.
    pub name: &'static str,
    /// `module_path!()` of its definition.
    pub module: &'static str,
    /// The class, for methods and constructors.
    pub actor: Option<&'static str>,
    /// What the attribute says.
    pub defaults: Defaults,
    /// How its values travel to another process; `None` if the function is `local`.
    pub codec: Option<&'static Codec>,
    /// How another process runs it; `None` if the function is `local`.
    pub entry: Option<&'static Entry>,
    /// How the class saves its state, if it does.
    pub keeping: Option<&'static Keeping>,
}

impl Meta {
    /// Meta of something that has no attribute.
    pub const fn plain(name: &'static str) -> Self {
        Self {
            name,
            module: "",
            actor: None,
            defaults: Defaults::NONE,
            codec: None,
            entry: None,
            keeping: None,
        }
    }
}

/// Implemented by the marker type that the macros put beside a function.
pub trait Function: 'static {
    /// The function's meta.
    const META: &'static Meta;
}
