//! Every knob of the runtime: the builder, the environment and the defaults.
//!
//! [`Config`] is what the program asks for, [`Settings`] what holds in the end, and [`KNOBS`] the
//! table of all knobs with unit, default and range.
//!
//! - CF-1 a knob set by the builder wins over its environment variable, which wins over the
//!   default. Custom resources are knobs of their own, name by name.
//! - CF-2 a variable that is set to nothing counts as not set.
//! - CF-3 a wrong value is an error that names the field: nothing is clamped or ignored. (A
//!   variable that the builder overrides is not looked at.)
//! - CF-4 reading text never panics.

mod error;
mod knob;
mod parse;
mod resolve;
mod settings;
#[cfg(test)]
mod tests;

pub use error::{ConfigError, Origin};
pub(crate) use knob::{
    BUFFER_SIZE_BYTES, MAX_BUFFERED_RESULTS, MAX_EVENTS, MAX_INFLIGHT, STATS_EVERY,
};
pub use knob::{KNOBS, Knob};
pub use settings::{HugePages, HugePagesWanted, Isolation, Mode, Settings, Timeout};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What a program asks of the runtime. Knobs that are not set come from the environment, then
/// from the defaults.
///
/// ```
/// use maser::config::{Config, Mode};
/// let config = Config::new().num_cpus(4).mode(Mode::Silent).resource("disk", 2.0);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "a configuration does nothing until a runtime is started with it"]
pub struct Config {
    num_cpus: Option<usize>,
    num_gpus: Option<f64>,
    resources: BTreeMap<String, f64>,
    mode: Option<Mode>,
    isolation: Option<Isolation>,
    stack_bytes: Option<usize>,
    max_blocked_tasks: Option<usize>,
    pin: Option<bool>,
    spin: Option<Duration>,
    graph_submit_timeout: Option<Timeout>,
    graph_get_timeout: Option<Timeout>,
    graph_teardown_timeout: Option<Timeout>,
    graph_max_inflight: Option<usize>,
    graph_max_buffered_results: Option<usize>,
    graph_buffer_size_bytes: Option<usize>,
    graph_overlap_communication: Option<bool>,
    graph_stats: Option<bool>,
    graph_stats_every: Option<usize>,
    graph_profile: Option<bool>,
    error_log_len: Option<usize>,
    id_seed: Option<u64>,
    name_stack_overflows: Option<bool>,
    store_bytes: Option<usize>,
    store_warm_bytes: Option<usize>,
    store_warm_time: Option<Timeout>,
    huge_pages: Option<HugePagesWanted>,
    huge_page_dir: Option<PathBuf>,
    spill_directory: Option<PathBuf>,
    redirect_output: Option<bool>,
    worker_memory_bytes: Option<usize>,
    session_dir: Option<PathBuf>,
}

impl Config {
    /// Nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Schedulers, which is also the amount of the resource `CPU`. More than there are cores is
    /// allowed: idle ones park.
    ///
    /// 1 to 1024; default the usable parallelism (affinity mask and cgroup quota);
    /// `MASER_NUM_CPUS`.
    pub fn num_cpus(mut self, schedulers: usize) -> Self {
        self.num_cpus = Some(schedulers);
        self
    }

    /// The same knob as [`num_cpus`](Config::num_cpus), under the name that fits a program that
    /// thinks in workers.
    pub fn num_workers(self, schedulers: usize) -> Self {
        self.num_cpus(schedulers)
    }

    /// Amount of the resource `GPU`, which tasks and actors may ask for. It is a count for
    /// scheduling alone: no device is touched.
    ///
    /// 0 to 1,000,000,000; default 0; `MASER_NUM_GPUS`.
    pub fn num_gpus(mut self, quantity: f64) -> Self {
        self.num_gpus = Some(quantity);
        self
    }

    /// Amount of a custom resource, which tasks and actors may ask for by `name`. Set again, the
    /// last amount holds.
    ///
    /// 0 to 1,000,000,000, the name not empty, without `=`, `,` or white space, and not `CPU` or
    /// `GPU`; default none; `MASER_RESOURCES=name=amount,name=amount`.
    pub fn resource(mut self, name: impl Into<String>, quantity: f64) -> Self {
        self.resources.insert(name.into(), quantity);
        self
    }

    /// How tasks run and what is printed of their errors: see [`Mode`].
    ///
    /// Default [`Mode::Script`]; `MASER_MODE`.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// What an actor's crash takes with it: see [`Isolation`].
    ///
    /// Default [`Isolation::Thread`]; `MASER_ISOLATION` (`thread` or `process`).
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = Some(isolation);
        self
    }

    /// Stack of one task, in bytes, rounded up to whole pages. It is address space: only the part
    /// that is touched takes memory. Twice as much is reserved for each blocked task, so that a
    /// task on top of one that waits for it has its whole stack too.
    ///
    /// 16 KiB to 1 GiB; default 256 KiB; `MASER_STACK_BYTES`, which also takes `256KiB`, `1MiB`.
    pub fn stack_bytes(mut self, bytes: usize) -> Self {
        self.stack_bytes = Some(bytes);
        self
    }

    /// Tasks that may be blocked at once; each holds a stack. One more is an error, not a hang.
    ///
    /// 1 to half of `vm.max_map_count` (a stack and its guard page are two mappings); default
    /// that half less 1,024 for the rest of the program, at most 30,000;
    /// `MASER_MAX_BLOCKED_TASKS`.
    pub fn max_blocked_tasks(mut self, tasks: usize) -> Self {
        self.max_blocked_tasks = Some(tasks);
        self
    }

    /// Whether each scheduler is pinned to a CPU; never done where there are more schedulers than
    /// the usable parallelism. Switch it off where several runtimes share a machine without
    /// affinity masks.
    ///
    /// Default true; `MASER_PIN`.
    pub fn pin(mut self, pin: bool) -> Self {
        self.pin = Some(pin);
        self
    }

    /// How long an idle scheduler spins before it parks. Spinning answers sooner and keeps the
    /// CPU busy.
    ///
    /// 0 to 60 s; default by the number of schedulers and usable CPUs; `MASER_SPIN_US`
    /// (microseconds).
    pub fn spin(mut self, spin: Duration) -> Self {
        self.spin = Some(spin);
        self
    }

    /// How long `execute` of a graph waits for a place among the runs in flight.
    ///
    /// 0 to 1,000,000,000 s or [`Timeout::Never`]; default 10 s; `MASER_CGRAPH_SUBMIT_TIMEOUT`
    /// (seconds, fractions allowed, -1 = never).
    pub fn graph_submit_timeout(mut self, timeout: impl Into<Timeout>) -> Self {
        self.graph_submit_timeout = Some(timeout.into());
        self
    }

    /// How long `get` waits for the result of a run of a graph.
    ///
    /// 0 to 1,000,000,000 s or [`Timeout::Never`]; default 10 s; `MASER_CGRAPH_GET_TIMEOUT`
    /// (seconds, fractions allowed, -1 = never).
    pub fn graph_get_timeout(mut self, timeout: impl Into<Timeout>) -> Self {
        self.graph_get_timeout = Some(timeout.into());
        self
    }

    /// How long the teardown of a graph waits for its actors to leave it.
    ///
    /// 0 to 1,000,000,000 s or [`Timeout::Never`]; default 30 s; `MASER_CGRAPH_TEARDOWN_TIMEOUT`
    /// (seconds, fractions allowed, -1 = never).
    pub fn graph_teardown_timeout(mut self, timeout: impl Into<Timeout>) -> Self {
        self.graph_teardown_timeout = Some(timeout.into());
        self
    }

    /// Runs of one graph that may be in flight at once.
    ///
    /// 1 to 1,000,000; default 10; `MASER_CGRAPH_MAX_INFLIGHT`.
    pub fn graph_max_inflight(mut self, runs: usize) -> Self {
        self.graph_max_inflight = Some(runs);
        self
    }

    /// Results of one graph that may wait to be fetched.
    ///
    /// 1 to 1,000,000,000; default 1,000; `MASER_CGRAPH_MAX_BUFFERED_RESULTS`.
    pub fn graph_max_buffered_results(mut self, results: usize) -> Self {
        self.graph_max_buffered_results = Some(results);
        self
    }

    /// Bytes of values on their way that an edge of a graph between processes holds before it takes
    /// more memory.
    ///
    /// 1 byte to 1 GiB; default 16 KiB; `MASER_CGRAPH_BUFFER_SIZE_BYTES` (bytes, or with a unit).
    pub fn graph_buffer_size_bytes(mut self, bytes: usize) -> Self {
        self.graph_buffer_size_bytes = Some(bytes);
        self
    }

    /// Whether reads of synchronous pairs (transport `gloo`) of a graph are moved up before the
    /// computations of their actor, so that a writer waits only until the value of the run before was
    /// used.
    ///
    /// Default false; `MASER_CGRAPH_OVERLAP_COMMUNICATION`.
    pub fn graph_overlap_communication(mut self, overlap: bool) -> Self {
        self.graph_overlap_communication = Some(overlap);
        self
    }

    /// Whether times of steps, edges and runs of graphs are measured, for
    /// [`CompiledGraph::stats`](crate::CompiledGraph::stats).
    ///
    /// Default false; `MASER_CGRAPH_STATS`.
    pub fn graph_stats(mut self, on: bool) -> Self {
        self.graph_stats = Some(on);
        self
    }

    /// One run in so many is measured, of graphs that are measured.
    ///
    /// 1 to 1,000,000,000; default 64; `MASER_CGRAPH_STATS_EVERY`.
    pub fn graph_stats_every(mut self, runs: usize) -> Self {
        self.graph_stats_every = Some(runs);
        self
    }

    /// Whether graphs keep the last 65,536 events of each scheduler, for
    /// [`CompiledGraph::events`](crate::CompiledGraph::events).
    ///
    /// Default false; `MASER_CGRAPH_ENABLE_PROFILING`.
    pub fn graph_profile(mut self, on: bool) -> Self {
        self.graph_profile = Some(on);
        self
    }

    /// Errors that are remembered for later questions; the oldest goes first.
    ///
    /// 0 to 1,000,000 entries; default 1,000; `MASER_ERROR_LOG_LEN`.
    pub fn error_log_len(mut self, entries: usize) -> Self {
        self.error_log_len = Some(entries);
        self
    }

    /// Seed of the ids of tasks, actors and objects, for runs whose output must be repeatable.
    ///
    /// Any 64-bit number; default from the operating system's randomness; `MASER_ID_SEED`
    /// (decimal, or hexadecimal after `0x`).
    pub fn id_seed(mut self, seed: u64) -> Self {
        self.id_seed = Some(seed);
        self
    }

    /// Whether a handler for SIGSEGV is installed that names the task whose stack overflowed and
    /// then hands the signal on to the handler that was there before.
    ///
    /// Default true; `MASER_NAME_STACK_OVERFLOWS`.
    pub fn name_stack_overflows(mut self, name: bool) -> Self {
        self.name_stack_overflows = Some(name);
        self
    }

    /// Most bytes of the object store, where arrays lie that other processes read: of all processes
    /// of the node together. Nothing is taken before it is needed.
    ///
    /// 1 MiB to the memory of the machine or cgroup; default 30 % of that; `MASER_STORE_BYTES`,
    /// which also takes `512MiB`, `4GiB`.
    pub fn store_bytes(mut self, bytes: usize) -> Self {
        self.store_bytes = Some(bytes);
        self
    }

    /// The same knob as [`store_bytes`](Config::store_bytes), under its older name.
    pub fn object_store_memory(self, bytes: usize) -> Self {
        self.store_bytes(bytes)
    }

    /// Most bytes of the object store that each scheduler keeps although nothing lies in them, so that
    /// the next array finds pages that are there: memory the system has to find anew costs more than
    /// writing it. One extent stays in any case. A node that is short of memory takes all of them back.
    ///
    /// 0 to the memory of the machine or cgroup; default 1 GiB, at most half of
    /// [`store_bytes`](Config::store_bytes); `MASER_STORE_WARM_BYTES`, which also takes `512MiB`, `4GiB`.
    pub fn store_warm_bytes(mut self, bytes: usize) -> Self {
        self.store_warm_bytes = Some(bytes);
        self
    }

    /// How long memory of the object store stays in which nothing lies and nothing is made, at most
    /// twice as long; then the system has it back, the last byte of it. A program that makes large
    /// arrays in bursts wants more than the time between two of them.
    ///
    /// 0 to 1,000,000,000 s or for ever; default 10 s; `MASER_STORE_WARM_TIME` (seconds, fractions
    /// allowed, -1 for ever).
    pub fn store_warm_time(mut self, time: impl Into<Timeout>) -> Self {
        self.store_warm_time = Some(time.into());
        self
    }

    /// Whether the object store takes pages from the reserved pools: see [`HugePages`]. A `bool` is
    /// the older form: `true` is [`HugePages::Require`] and needs a
    /// [`huge_page_dir`](Config::huge_page_dir), `false` is [`HugePages::Off`].
    ///
    /// Default [`HugePages::Auto`]; `MASER_HUGE_PAGES` (`auto`, `require`, `off`, `true`, `false`).
    pub fn huge_pages(mut self, pages: impl Into<HugePagesWanted>) -> Self {
        self.huge_pages = Some(pages.into());
        self
    }

    /// A directory of huge pages (hugetlbfs) that the object store takes them from, for sites that
    /// hand them out so. Without it no directory is needed.
    ///
    /// An absolute path; default none; `MASER_HUGE_PAGE_DIR`.
    pub fn huge_page_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.huge_page_dir = Some(directory.into());
        self
    }

    /// The same knob as [`huge_page_dir`](Config::huge_page_dir), under its older name.
    pub fn plasma_directory(self, directory: impl Into<PathBuf>) -> Self {
        self.huge_page_dir(directory)
    }

    /// Where the object store may write arrays that were shelved
    /// ([`Array::shelve`](crate::Array::shelve)) when it is short of memory. Nothing else leaves
    /// memory: what a ref, an actor or another process has an [`Array`](crate::Array) of stays.
    ///
    /// An absolute path; default none; `MASER_SPILL_DIRECTORY`.
    pub fn spill_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.spill_directory = Some(directory.into());
        self
    }

    /// Whether what worker processes print goes to files, two for each process, in a directory that
    /// [`Maser::output_dir`](crate::Maser::output_dir) names. The errors of crashes name them too.
    ///
    /// Default false: they print where the program does; `MASER_REDIRECT_OUTPUT`.
    pub fn redirect_output(mut self, redirect: bool) -> Self {
        self.redirect_output = Some(redirect);
        self
    }

    /// Most bytes that each worker process may allocate, what the runtime itself needs included; an
    /// actor's option `memory` wins. Memory of the object store does not count. A worker that runs into it
    /// mostly aborts, and the error of its death says so.
    ///
    /// 16 MiB to the memory of the machine or cgroup; default none; `MASER_WORKER_MEMORY_BYTES`,
    /// which also takes `512MiB`, `4GiB`.
    pub fn worker_memory_bytes(mut self, bytes: usize) -> Self {
        self.worker_memory_bytes = Some(bytes);
        self
    }

    /// Where the runtime makes a directory for files of its own.
    ///
    /// An absolute path; default `$XDG_RUNTIME_DIR`, else the directory for temporary files;
    /// `MASER_SESSION_DIR`.
    pub fn session_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.session_dir = Some(directory.into());
        self
    }
}
