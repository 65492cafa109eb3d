//! The table of all knobs.

use std::ops::RangeInclusive;

/// One knob, as documents and messages show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knob {
    /// The setter of [`Config`](super::Config).
    pub field: &'static str,
    /// The environment variable.
    pub env: &'static str,
    /// What the number counts; empty for words.
    pub unit: &'static str,
    /// The value when nothing is set.
    pub default: &'static str,
    /// The values that are taken.
    pub range: &'static str,
    /// What it does.
    pub what: &'static str,
}

macro_rules! knobs {
    ($($id:ident: $field:literal $env:literal [$unit:literal] $default:literal, $range:literal, $what:literal;)*) => {
        $(pub(super) const $id: Knob = Knob {
            field: $field, env: $env, unit: $unit, default: $default, range: $range, what: $what,
        };)*

        /// All knobs, in the order of the documents.
        pub const KNOBS: &[Knob] = &[$($id),*];
    };
}

knobs! {
    NUM_CPUS: "num_cpus" "MASER_NUM_CPUS" ["schedulers"]
        "usable parallelism", "1 to 1024",
        "schedulers, and the amount of the resource CPU; more than cores is allowed";
    NUM_GPUS: "num_gpus" "MASER_NUM_GPUS" ["GPUs"]
        "0", "0 to 1000000000",
        "amount of the resource GPU; a count for scheduling, no device is touched";
    RESOURCES: "resource" "MASER_RESOURCES" ["amounts"]
        "none", "name=amount,name=amount; amounts from 0 to 1000000000",
        "amounts of custom resources";
    MODE: "mode" "MASER_MODE" [""]
        "script", "script, inline or silent",
        "run on schedulers, run at once in the caller, or as script without printing errors";
    ISOLATION: "isolation" "MASER_ISOLATION" [""]
        "thread", "thread or process",
        "what an actor's crash takes with it";
    STACK_BYTES: "stack_bytes" "MASER_STACK_BYTES" ["bytes"]
        "256KiB", "16KiB to 1GiB",
        "stack of one task, rounded up to pages";
    MAX_BLOCKED_TASKS: "max_blocked_tasks" "MASER_MAX_BLOCKED_TASKS" ["tasks"]
        "vm.max_map_count / 2 - 1024, at most 30000", "1 to vm.max_map_count / 2",
        "tasks that may be blocked at once";
    PIN: "pin" "MASER_PIN" [""]
        "true", "true or false",
        "pin each scheduler to a CPU, unless there are more of them than usable CPUs";
    SPIN: "spin" "MASER_SPIN_US" ["microseconds"]
        "by schedulers and usable CPUs", "0 to 60000000",
        "how long an idle scheduler spins before it parks";
    GRAPH_SUBMIT_TIMEOUT: "graph_submit_timeout" "MASER_CGRAPH_SUBMIT_TIMEOUT" ["seconds"]
        "10", "0 to 1000000000, fractions allowed, or -1 for ever",
        "how long execute waits for a place among the runs in flight";
    GRAPH_GET_TIMEOUT: "graph_get_timeout" "MASER_CGRAPH_GET_TIMEOUT" ["seconds"]
        "10", "0 to 1000000000, fractions allowed, or -1 for ever",
        "how long get waits for the result of a run";
    GRAPH_TEARDOWN_TIMEOUT: "graph_teardown_timeout" "MASER_CGRAPH_TEARDOWN_TIMEOUT" ["seconds"]
        "30", "0 to 1000000000, fractions allowed, or -1 for ever",
        "how long teardown waits for the graph's actors";
    GRAPH_MAX_INFLIGHT: "graph_max_inflight" "MASER_CGRAPH_MAX_INFLIGHT" ["runs"]
        "10", "1 to 1000000",
        "runs of one graph in flight at once";
    GRAPH_MAX_BUFFERED_RESULTS: "graph_max_buffered_results" "MASER_CGRAPH_MAX_BUFFERED_RESULTS" ["results"]
        "1000", "1 to 1000000000",
        "results of one graph that may wait to be fetched";
    GRAPH_BUFFER_SIZE_BYTES: "graph_buffer_size_bytes" "MASER_CGRAPH_BUFFER_SIZE_BYTES" ["bytes"]
        "16KiB", "1 to 1GiB",
        "values on their way that an edge of a graph between processes holds before it takes more memory";
    GRAPH_OVERLAP_COMMUNICATION: "graph_overlap_communication" "MASER_CGRAPH_OVERLAP_COMMUNICATION" [""]
        "false", "true or false",
        "move reads of synchronous pairs up before the computations of their actor";
    GRAPH_STATS: "graph_stats" "MASER_CGRAPH_STATS" [""]
        "false", "true or false",
        "measure times of steps, edges and runs of graphs";
    GRAPH_STATS_EVERY: "graph_stats_every" "MASER_CGRAPH_STATS_EVERY" ["runs"]
        "64", "1 to 1000000000",
        "one run in so many is measured, of graphs that are measured";
    GRAPH_PROFILE: "graph_profile" "MASER_CGRAPH_ENABLE_PROFILING" [""]
        "false", "true or false",
        "keep the last 65536 events of each scheduler, for each graph";
    ERROR_LOG_LEN: "error_log_len" "MASER_ERROR_LOG_LEN" ["errors"]
        "1000", "0 to 1000000",
        "errors that are remembered, the oldest goes first";
    ID_SEED: "id_seed" "MASER_ID_SEED" [""]
        "from the operating system", "0 to 18446744073709551615, or hexadecimal after 0x",
        "seed of all ids, for repeatable runs";
    NAME_STACK_OVERFLOWS: "name_stack_overflows" "MASER_NAME_STACK_OVERFLOWS" [""]
        "true", "true or false",
        "install a SIGSEGV handler that names the task whose stack overflowed";
    STORE_BYTES: "store_bytes" "MASER_STORE_BYTES" ["bytes"]
        "30 % of memory", "1MiB to the memory of machine or cgroup",
        "most bytes of the object store, of all processes of the node together; taken when they are needed";
    STORE_WARM_BYTES: "store_warm_bytes" "MASER_STORE_WARM_BYTES" ["bytes"]
        "1GiB, at most half of store_bytes", "0 to the memory of machine or cgroup",
        "most bytes of the object store that each scheduler keeps although nothing lies in them";
    STORE_WARM_TIME: "store_warm_time" "MASER_STORE_WARM_TIME" ["seconds"]
        "10", "0 to 1000000000, fractions allowed, or -1 for ever",
        "how long such memory stays that nothing is made in; at most twice as long";
    HUGE_PAGES: "huge_pages" "MASER_HUGE_PAGES" [""]
        "auto", "auto, require or off; true (with huge_page_dir) and false as in older programs",
        "whether the object store takes pages from the reserved pools";
    HUGE_PAGE_DIR: "huge_page_dir" "MASER_HUGE_PAGE_DIR" [""]
        "none", "an absolute path",
        "directory of huge pages (hugetlbfs) for the object store";
    SPILL_DIRECTORY: "spill_directory" "MASER_SPILL_DIRECTORY" [""]
        "none", "an absolute path",
        "where the object store may write shelved arrays when it is short of memory";
    REDIRECT_OUTPUT: "redirect_output" "MASER_REDIRECT_OUTPUT" [""]
        "false", "true or false",
        "write what worker processes print to files, two for each process";
    WORKER_MEMORY_BYTES: "worker_memory_bytes" "MASER_WORKER_MEMORY_BYTES" ["bytes"]
        "none", "16MiB to the memory of machine or cgroup",
        "most bytes that a worker process may allocate, the object store aside";
    SESSION_DIR: "session_dir" "MASER_SESSION_DIR" [""]
        "$XDG_RUNTIME_DIR or the directory for temporary files", "an absolute path",
        "where the runtime makes a directory for such files";
}

/// Bytes of an edge of a graph, for the knob and for the options of a graph alike.
pub(crate) const BUFFER_SIZE_BYTES: RangeInclusive<usize> = 1..=1 << 30;

/// Runs of one graph in flight, for the knob and for the options of a graph alike.
pub(crate) const MAX_INFLIGHT: RangeInclusive<usize> = 1..=1_000_000;

/// Results of one graph that may wait, for the knob and for the options of a graph alike.
pub(crate) const MAX_BUFFERED_RESULTS: RangeInclusive<usize> = 1..=1_000_000_000;

/// One run in so many is measured, for the knob and for the options of a graph alike.
pub(crate) const STATS_EVERY: RangeInclusive<usize> = 1..=1_000_000_000;

/// Events that a graph keeps for each scheduler.
pub(crate) const MAX_EVENTS: RangeInclusive<usize> = 0..=10_000_000;

impl Knob {
    /// The range with its unit, as a sentence has it.
    pub(super) fn range_with_unit(&self) -> String {
        let (numbers, rest) = match self.range.find(", ") {
            Some(comma) => self.range.split_at(comma),
            None => (self.range, ""),
        };
        // A range that ends in a word says itself what it is of, as `1GiB` does.
        let is_bare = numbers.ends_with(|c: char| c.is_ascii_digit());
        if self.unit.is_empty() || !is_bare || numbers.contains(self.unit) {
            return self.range.to_owned();
        }
        format!("{numbers} {}{rest}", self.unit)
    }
}

/// Names that a user may try, and the knob that is meant.
const OTHER_NAMES: [(&str, &Knob); 3] = [
    ("MASER_NUM_WORKERS", &NUM_CPUS),
    ("MASER_OBJECT_STORE_MEMORY", &STORE_BYTES),
    ("MASER_PLASMA_DIRECTORY", &HUGE_PAGE_DIR),
];

/// The knob whose variable, or other name, is `name` but for up to two letters.
pub(super) fn nearest(name: &str) -> Option<&'static Knob> {
    let own = KNOBS.iter().map(|knob| (knob.env, knob));
    own.chain(OTHER_NAMES)
        .map(|(known, knob)| (distance(name, known), knob))
        .filter(|&(distance, _)| distance <= 2)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, knob)| knob)
}

/// Letters to insert, delete or replace (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
