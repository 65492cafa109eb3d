//! The `maser` command.

mod doctor;
mod perf;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use maser_bench::harness::Options;

#[derive(Debug, Parser)]
#[command(
    name = "maser",
    version,
    about = "Tasks, actors, objects and compiled graphs at hardware speed"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure this machine: every figure beside its floor and its peers.
    Bench {
        /// Prefixes of row names; none means all rows (at most three minutes).
        filter: Vec<String>,
        /// Also write the rows to FILE as a JSON array.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Only list the rows.
        #[arg(long)]
        list: bool,
        /// Tiny inputs: shows that the rows work, not how fast they are.
        #[arg(long)]
        quick: bool,
        /// Peers that take minutes and an installation of their own.
        #[arg(long, value_name = "PEER", value_enum)]
        peers: Vec<SlowPeer>,
    },
    /// Examine this machine: what it lacks, what follows, and the commands that mend it.
    ///
    /// Ends with 0 if nothing is wrong, 1 if something degrades, 2 if something prevents running.
    Doctor {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Bytes of objects in shared memory that the machine is to be good for.
        #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = doctor::bytes)]
        store_bytes: u64,
    },
    /// Measure a transport between two ends: one serves, the other one asks for tests.
    Perf(Box<perf::Arguments>),
    /// Which transports this host has, which would be chosen and why, and what running processes chose.
    ///
    /// Ends with 0, 1 if what MASER_TRANSPORT asks for is not there, 2 if it makes no sense.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Peers that are only measured when they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SlowPeer {
    /// Ray 2.60, in a Python environment below the cache folder that is made if it is not there.
    Ray,
}

fn main() -> ExitCode {
    if let Some(code) = maser_bench::serve_child() {
        return code;
    }
    match Cli::parse().command {
        Command::Bench {
            filter: filters,
            json,
            list,
            quick,
            peers,
        } => maser_bench::main(&Options {
            filters,
            json,
            list,
            quick,
            ray: peers.contains(&SlowPeer::Ray),
        }),
        Command::Doctor { json, store_bytes } => {
            let mut needs = maser::doctor::Needs::default();
            needs.store_bytes = store_bytes;
            doctor::main(&needs, json)
        }
        Command::Perf(arguments) => perf::main(&arguments),
        Command::Status { json } => status::main(json),
    }
}
