//! `prove`: crashes at every instruction, limits, hostile neighbours, and what must survive them.
//!
//! ```text
//! tools/prove [ROW] [--sample 0.2] [--all] [--seed N] [--canaries] [--json FILE] [--list]
//! ```
//!
//! A ROW is a prefix of names (`A1`, `A1.seal`); without one all are tried. Each row runs in a
//! process of its own, prints one line and, with `--json`, appends one record. A row that this
//! machine cannot try is skipped with the reason.
//!
//! - PV-1 every row has a canary, a bug that is planted by `--canaries`; a row whose canary is not
//!   caught proves nothing, and is a failure.
//! - PV-2 what is drawn by chance follows from the seed, which is printed.
//! - PV-3 a row that does not come back within its limit is killed and has failed.
//!
//! | file | holds |
//! |---|---|
//! | [`row`], [`rows`], [`report`] | the statements, and what is printed of them |
//! | [`stepper`], [`trace`], [`path`], [`marks`], [`wire`] | kills at every instruction |
//! | [`load`], [`pattern`] | processes that give each other objects |
//! | [`child`], [`namespace`], [`level`] | processes, their own worlds, and what they hold |
#![deny(unsafe_code)]

mod child;
mod level;
mod load;
mod marks;
mod namespace;
mod path;
mod pattern;
mod random;
mod report;
mod row;
mod rows;
mod stepper;
mod trace;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use clap::Parser;

use crate::report::Report;
use crate::row::{Outcome, Row, Run, Tally, broken};

/// Crashes at every instruction, limits, hostile neighbours: what must survive them does.
#[derive(Debug, Parser)]
#[command(name = "prove", version)]
struct Arguments {
    /// Only rows whose names begin so.
    #[arg(default_value = "")]
    row: String,
    /// The part of all points that is tried, 0 to 1.
    #[arg(long, default_value_t = 1.0)]
    sample: f64,
    /// No more points a row than this.
    #[arg(long, default_value_t = u64::MAX)]
    points: u64,
    /// No more points a row than cost so many single steps.
    #[arg(long, default_value_t = u64::MAX)]
    steps: u64,
    /// All points of operations of thousands of instructions too, which takes hours.
    #[arg(long)]
    all: bool,
    /// What is drawn by chance follows from it.
    #[arg(long)]
    seed: Option<u64>,
    /// Plant each row's bug; it must be caught.
    #[arg(long)]
    canaries: bool,
    /// Append a JSON record a row to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Print the rows and their canaries.
    #[arg(long)]
    list: bool,
    /// Seconds after which a row is said to hang.
    #[arg(long, default_value_t = 900)]
    limit_seconds: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut chosen = rows::all();
    chosen.retain(|row| row.name.starts_with(&arguments.row));
    if chosen.is_empty() {
        eprintln!(
            "no row begins with {}; `prove --list` names all",
            arguments.row
        );
        return ExitCode::FAILURE;
    }
    if arguments.list {
        for row in &chosen {
            println!(
                "{:<18} {}\n{:<18}   canary: {}",
                row.name, row.claim, "", row.canary
            );
        }
        return ExitCode::SUCCESS;
    }
    match prove(&arguments, &chosen) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(stop) => {
            eprintln!("{stop:?}");
            ExitCode::FAILURE
        }
    }
}

fn prove(arguments: &Arguments, rows: &[Row]) -> Outcome<bool> {
    let mut report = Report::new(arguments.json.as_deref())?;
    let seed = arguments.seed.unwrap_or_else(fresh_seed);
    println!("seed {seed}, sample {}", arguments.sample);
    for row in rows {
        let run = Run {
            planted: arguments.canaries,
            sample: arguments.sample,
            points_max: arguments.points,
            steps_max: arguments.steps,
            all: arguments.all,
            seed,
        };
        let began = Instant::now();
        let outcome = apart(row, &run, Duration::from_secs(arguments.limit_seconds));
        report.row(row, &run, began.elapsed(), &outcome);
    }
    Ok(report.end())
}

/// Runs the row in a process of its own (PV-3), which its own deaths and leaks stay in.
fn apart(row: &Row, run: &Run, limit: Duration) -> Outcome<Tally> {
    let said = child::in_a_child(limit, || {
        let tally = (row.run)(run)?;
        let fields = (tally.points, tally.points_of, tally.notes);
        serde_json::to_string(&fields).map_err(broken)
    })?;
    let fields = serde_json::from_str(&said).map_err(broken)?;
    let (points, points_of, notes) = fields;
    Ok(Tally {
        points,
        points_of,
        notes,
    })
}

/// Another one each time.
fn fresh_seed() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now_ns = since.map_or(0, |since| since.as_nanos() as u64);
    random::Random::new(now_ns ^ u64::from(std::process::id())).next() >> 32
}
