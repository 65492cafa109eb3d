//! The microbenchmark suite of maser: every figure beside the machine's own floor and its peers.
//!
//! | module | holds |
//! |---|---|
//! | [`harness`] | alternating windows, percentiles, ratios, report |
//! | [`floors`] | what the bare machine does |
//! | [`link`] | what every ring does in a window |
//! | [`peers`] | one file a competitor |
//! | [`rows`] | one file a concept: what is measured against what |
//! | [`child`] | rows in a process of their own |
//! | [`process`] | the second process of rows that need two |
//! | [`ends`] | two ends of a transport |
//!
//! `maser bench` is [`main`]; `cargo bench -p maser-bench` runs some of the same operations under
//! criterion.
//!
//! # Reading a figure
//!
//! The machines are noisy and some of them move: nanoseconds of two runs cannot be compared,
//! ratios can. `ratio` is the median over windows of subject to floor; for rates it is subject
//! over its strongest peer. A peer's own ratio says how many times the subject beats it.
#![deny(unsafe_code)]

pub mod child;
pub mod ends;
pub mod floors;
pub mod harness;
pub mod link;
pub mod peers;
pub mod process;
pub mod rows;

use std::process::ExitCode;

use harness::{BenchError, Options};

/// Runs the suite for a command line and gives the exit code: 0, 1 if a row failed, 2 for an
/// unknown filter.
pub fn main(options: &Options) -> ExitCode {
    match harness::run(&rows::all(), options, &mut std::io::stdout()) {
        Ok(results) if results.iter().any(|row| row.error.is_some()) => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(error @ BenchError::UnknownFilter { .. }) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// If this process was started to measure one row, or to be the second process of one, does that
/// and gives the exit code. To be called before anything else.
pub fn serve_child() -> Option<ExitCode> {
    process::serve_partner().or_else(|| child::serve(&rows::all()))
}
