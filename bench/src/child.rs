//! Rows in a process of their own.
//!
//! The executable starts itself again with the order in the environment variable
//! `MASER_BENCH_ROW`; the new process measures that one row and writes its result as one line of
//! JSON. A program that offers the suite calls [`serve`] first thing in its `main`.

use std::process::{Command, ExitCode, Stdio};

use serde::{Deserialize, Serialize};

use crate::harness::{BenchError, Context, Effort, Row, RowResult, run_row};

/// The variable that carries the order.
const VARIABLE: &str = "MASER_BENCH_ROW";

/// What the new process has to do.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    row: String,
    budget_ns: f64,
    quick: bool,
}

/// Measures `row` in a new process.
///
/// # Errors
/// [`BenchError::Child`] if it ends without a result.
pub fn measure(context: &Context, row: &Row) -> Result<RowResult, BenchError> {
    let order = Order {
        row: row.name.to_owned(),
        budget_ns: context.effort.budget_ns,
        quick: context.effort.quick,
    };
    let failed = |status: String, stderr: &[u8]| BenchError::Child {
        row: row.name.to_owned(),
        status,
        stderr: String::from_utf8_lossy(stderr).trim().to_owned(),
    };
    let started = |source| BenchError::Io {
        path: "/proc/self/exe".to_owned(),
        source,
    };
    let text = serde_json::to_string(&order).map_err(|error| failed(error.to_string(), &[]))?;
    // The new process takes its cores from its affinity mask, so it must inherit all of them.
    context.cores.unpin()?;
    let output = Command::new(std::env::current_exe().map_err(started)?)
        .env(VARIABLE, text)
        .stdin(Stdio::null())
        .output()
        .map_err(started);
    context.cores.pin(0)?;
    let output = output?;
    if !output.status.success() {
        return Err(failed(output.status.to_string(), &output.stderr));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| failed(error.to_string(), &output.stderr))
}

/// If this process was started by [`measure`], does what it was started for and gives its exit
/// code.
pub fn serve(rows: &[Row]) -> Option<ExitCode> {
    let text = std::env::var(VARIABLE).ok()?;
    Some(match obey(rows, &text) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    })
}

fn obey(rows: &[Row], text: &str) -> Result<String, String> {
    let order: Order =
        serde_json::from_str(text).map_err(|error| format!("{VARIABLE}: {error}"))?;
    let row = rows
        .iter()
        .find(|row| row.name == order.row)
        .ok_or_else(|| format!("{VARIABLE}: no row {}", order.row))?;
    let effort = if order.quick {
        Effort::quick()
    } else {
        Effort::full(order.budget_ns)
    };
    let context = Context::start(effort).map_err(|error| error.to_string())?;
    let result = run_row(&context, row).map_err(|error| error.to_string())?;
    serde_json::to_string(&result).map_err(|error| error.to_string())
}
