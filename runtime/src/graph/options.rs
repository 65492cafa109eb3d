//! What `compile_with` takes, and the limits of a graph that come of it.

use super::core::Limits;
use super::observe::watched::Observe;
use super::record::Record;
use crate::config::{
    BUFFER_SIZE_BYTES, MAX_BUFFERED_RESULTS, MAX_EVENTS, MAX_INFLIGHT, STATS_EVERY, Timeout,
};
use crate::error::{Error, Result};
use crate::node::Node;

/// Options of [`Graph::compile_with`](crate::Graph::compile_with); `None` takes the configuration's value.
#[derive(Clone, Debug, Default)]
pub struct CompileOptions {
    /// Runs that may be in flight at once; 1 to 1,000,000. Each edge has a slot for each.
    pub max_inflight: Option<usize>,
    /// Results that may wait to be fetched; 1 to 1,000,000,000.
    pub max_buffered_results: Option<usize>,
    /// Bytes of values on their way that an edge between processes holds before it takes more memory,
    /// which it keeps; 1 to 2^30. Values that fit into a line (48 bytes), and arrays, need none of it.
    pub buffer_size_bytes: Option<usize>,
    /// How long `execute` waits for a place.
    pub submit_timeout: Option<Timeout>,
    /// How long `get` waits for a result.
    pub get_timeout: Option<Timeout>,
    /// How long teardown waits for the actors.
    pub teardown_timeout: Option<Timeout>,
    /// Whether READs of synchronous pairs are moved up before the COMPUTEs of their actor, so that a
    /// writer waits only until the reader has used the value of the run before.
    pub overlap_communication: Option<bool>,
    /// Whether its runs can be recorded and replayed; `None` is no, and costs nothing.
    pub record: Option<Record>,
    /// Whether times of steps, edges and runs are measured for [`CompiledGraph::stats`].
    ///
    /// [`CompiledGraph::stats`]: crate::CompiledGraph::stats
    pub stats: Option<bool>,
    /// One run in so many is measured; 1 to 1,000,000,000.
    pub stats_every: Option<usize>,
    /// Events that are kept for each scheduler, for [`CompiledGraph::events`]; 0, for none, to
    /// 10,000,000. The configuration says whether it is none or 65,536.
    ///
    /// [`CompiledGraph::events`]: crate::CompiledGraph::events
    pub profile: Option<usize>,
}

/// Events that are kept where it is only said that they are.
const EVENTS: usize = 65_536;

/// The limits of a graph with so many outputs.
pub(super) fn limits_of(options: &CompileOptions, host: &Node, outputs: usize) -> Result<Limits> {
    let settings = &host.settings;
    let max_inflight = options.max_inflight.unwrap_or(settings.graph_max_inflight);
    let max_buffered = options
        .max_buffered_results
        .unwrap_or(settings.graph_max_buffered_results);
    let every = options.stats_every.unwrap_or(settings.graph_stats_every);
    let events = options.profile.unwrap_or(match settings.graph_profile {
        true => EVENTS,
        false => 0,
    });
    let buffer_bytes = options
        .buffer_size_bytes
        .unwrap_or(settings.graph_buffer_size_bytes);
    for (argument, value, range) in [
        ("stats_every", every, STATS_EVERY),
        ("profile", events, MAX_EVENTS),
        ("buffer_size_bytes", buffer_bytes, BUFFER_SIZE_BYTES),
        ("max_inflight", max_inflight, MAX_INFLIGHT),
        ("max_buffered_results", max_buffered, MAX_BUFFERED_RESULTS),
    ] {
        if !range.contains(&value) {
            return Err(Error::InvalidArgument {
                argument,
                problem: format!("{value}"),
                remedy: format!("give {} to {}", range.start(), range.end()),
            });
        }
    }
    Ok(Limits {
        outputs,
        segments: 0,
        max_inflight,
        max_buffered,
        buffer_bytes,
        submit_timeout: options
            .submit_timeout
            .unwrap_or(settings.graph_submit_timeout)
            .limit(),
        get_timeout: options
            .get_timeout
            .unwrap_or(settings.graph_get_timeout)
            .limit(),
        observe: Observe {
            every: match options.stats.unwrap_or(settings.graph_stats) {
                true => every as u64,
                false => 0,
            },
            events,
        },
    })
}
