//! Why a graph does not take a run, in words: the same at home and in other processes.

use super::core::Core;
use crate::error::Error;
use std::time::Duration;

/// Results wait to be fetched.
pub(crate) fn too_many_held(core: &Core, held: usize) -> Error {
    Error::CapacityExceeded {
        what: "results of a compiled graph wait to be fetched".into(),
        in_flight: held,
        limit: core.max_buffered,
        remedy: "get or drop refs, or raise max_buffered_results".into(),
    }
}

/// Runs are in flight.
pub(crate) fn too_many_in_flight(core: &Core, in_flight: usize) -> Error {
    Error::CapacityExceeded {
        what: "runs of a compiled graph".into(),
        in_flight,
        limit: core.max_inflight,
        remedy: "wait for a result before submitting more, or raise max_inflight".into(),
    }
}

/// The same, for as long as the submitter waited.
pub(crate) fn no_place(core: &Core, limit: Option<Duration>) -> Error {
    // The graph is full until its oldest run is over.
    let oldest = core.locked(|| core.oldest_run());
    core.timed_out(
        format!("a place for a run ({} in flight)", core.max_inflight),
        oldest,
        limit.unwrap_or_default(),
        "CompileOptions::submit_timeout or MASER_CGRAPH_SUBMIT_TIMEOUT",
    )
}
