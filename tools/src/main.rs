//! The `maser` command.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
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
    },
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
        } => maser_bench::main(&Options {
            filters,
            json,
            list,
            quick,
        }),
    }
}
