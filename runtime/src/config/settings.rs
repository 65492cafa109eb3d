//! What holds once builder, environment and defaults are put together.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How tasks run, and what is printed of their errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// Tasks run on the schedulers; errors that nobody asked for are printed.
    #[default]
    Script,
    /// Every task runs at once, in the thread that calls it, so that a debugger sees one stack.
    Inline,
    /// As `Script`, but errors are only remembered, not printed: for tests that fail on purpose.
    Silent,
}

/// What an actor's crash takes with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Isolation {
    /// Actors are in the program's own process: a panic ends the call, an abort ends the program.
    #[default]
    Thread,
    /// Each actor in a process of its own: a crash, an abort or a kill takes that actor alone.
    Process,
}

/// Whether the object store takes pages from the reserved pools (`vm.nr_hugepages`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HugePages {
    /// Where there are any; else plain pages and one notice.
    #[default]
    Auto,
    /// Without them it is an error.
    Require,
    /// Plain pages, huge ones where the kernel finds it fit.
    Off,
}

/// What [`Config::huge_pages`](super::Config::huge_pages) takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugePagesWanted {
    /// One of the three.
    Pages(HugePages),
    /// The older form, whose `true` needs a directory.
    Switch(bool),
}

impl From<HugePages> for HugePagesWanted {
    fn from(pages: HugePages) -> Self {
        Self::Pages(pages)
    }
}

impl From<bool> for HugePagesWanted {
    fn from(on: bool) -> Self {
        Self::Switch(on)
    }
}

impl HugePagesWanted {
    /// What it means.
    pub(super) fn pages(self) -> HugePages {
        match self {
            Self::Pages(pages) => pages,
            Self::Switch(true) => HugePages::Require,
            Self::Switch(false) => HugePages::Off,
        }
    }
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Timeout {
    /// At most this long; zero looks once.
    After(Duration),
    /// For ever.
    Never,
}

impl Timeout {
    /// The limit, if there is one.
    pub fn limit(self) -> Option<Duration> {
        match self {
            Timeout::After(limit) => Some(limit),
            Timeout::Never => None,
        }
    }
}

impl From<Duration> for Timeout {
    fn from(limit: Duration) -> Self {
        Timeout::After(limit)
    }
}

/// `None` is for ever.
impl From<Option<Duration>> for Timeout {
    fn from(limit: Option<Duration>) -> Self {
        limit.map_or(Timeout::Never, Timeout::After)
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Timeout::After(limit) => write!(f, "{limit:?}"),
            Timeout::Never => f.write_str("never"),
        }
    }
}

/// Every knob with the value that holds. The setters of [`Config`](super::Config) say what each
/// means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Settings {
    /// Schedulers, and the amount of the resource `CPU`.
    pub num_cpus: usize,
    /// Amount of the resource `GPU`.
    pub num_gpus: f64,
    /// Amounts of the custom resources by name.
    pub resources: BTreeMap<String, f64>,
    /// How tasks run, and what is printed of their errors.
    pub mode: Mode,
    /// What an actor's crash takes with it.
    pub isolation: Isolation,
    /// Stack of one task in bytes, whole pages.
    pub stack_bytes: usize,
    /// Tasks that may be blocked at once.
    pub max_blocked_tasks: usize,
    /// Whether each scheduler is pinned to a CPU.
    pub pin: bool,
    /// How long an idle scheduler spins before it parks; `None` leaves it to the scheduler.
    pub spin: Option<Duration>,
    /// How long `execute` of a graph waits for a place.
    pub graph_submit_timeout: Timeout,
    /// How long `get` waits for the result of a run.
    pub graph_get_timeout: Timeout,
    /// How long the teardown of a graph waits for its actors.
    pub graph_teardown_timeout: Timeout,
    /// Runs of one graph that may be in flight at once.
    pub graph_max_inflight: usize,
    /// Results of one graph that may wait to be fetched.
    pub graph_max_buffered_results: usize,
    /// Bytes that an edge of a graph between processes holds before it grows.
    pub graph_buffer_size_bytes: usize,
    /// Whether reads of synchronous pairs are moved up before the computations of their actor.
    pub graph_overlap_communication: bool,
    /// Whether graphs are measured.
    pub graph_stats: bool,
    /// One run in so many is.
    pub graph_stats_every: usize,
    /// Whether graphs keep events.
    pub graph_profile: bool,
    /// Errors that are remembered.
    pub error_log_len: usize,
    /// Seed of all ids; `None` takes one from the operating system.
    pub id_seed: Option<u64>,
    /// Whether stack overflows are reported with the name of the task.
    pub name_stack_overflows: bool,
    /// Most bytes of the object store.
    pub store_bytes: usize,
    /// Most bytes of it that a scheduler keeps although nothing lies in them.
    pub store_warm_bytes: usize,
    /// How long it keeps them.
    pub store_warm_time: Timeout,
    /// Whether the object store takes pages from the reserved pools.
    pub huge_pages: HugePages,
    /// The directory of huge pages that it takes them from.
    pub huge_page_dir: Option<PathBuf>,
    /// Where it may write cold objects.
    pub spill_directory: Option<PathBuf>,
    /// Whether what worker processes print goes to files.
    pub redirect_output: bool,
    /// Most bytes that a worker process may allocate.
    pub worker_memory_bytes: Option<usize>,
    /// Where a directory for such files is made; `None` leaves it to the environment.
    pub session_dir: Option<PathBuf>,
    /// Variables in the environment that begin with `MASER_` and name no knob, in order. Only
    /// [`Config::resolve_from_env`](super::Config::resolve_from_env) fills it.
    pub unknown_env: Vec<String>,
}

impl Settings {
    /// One line about [`unknown_env`](Settings::unknown_env) for the user, if there is any.
    pub fn unknown_env_notice(&self) -> Option<String> {
        let names: Vec<String> = self
            .unknown_env
            .iter()
            .map(|name| match super::knob::nearest(name) {
                Some(knob) => format!("{name} (did you mean {}?)", knob.env),
                None => name.clone(),
            })
            .collect();
        (!names.is_empty())
            .then(|| format!("unknown variables have no effect: {}", names.join(", ")))
    }
}
