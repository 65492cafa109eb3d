//! Rows in a process of their own, so that every one of them begins with a fresh heap and a fresh
//! runtime, and so that a crash takes one row and not the report.
//!
//! - CD-1 the executable starts itself again with the order in the environment variable
//!   `MASERBENCH_ROW`. A program that offers the suite calls [`serve`] first thing in its `main`;
//!   in one that does not (a test), all rows run in the process itself.
//! - CD-2 the new process answers with one line of JSON on its standard output.
//! - CD-3 a process that does not end in time is killed and its row has failed.

use std::os::fd::AsFd;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::time::Timespec;
use serde::{Deserialize, Serialize};

use crate::harness::{BenchError, Context, Effort, Process, Row, RowResult, Skip, run_row};
use crate::rows::{first_process_result, first_result};

/// The variable that carries the order.
pub(crate) const VARIABLE: &str = "MASERBENCH_ROW";

/// Whether this program can be started again (CD-1).
static OFFERED: AtomicBool = AtomicBool::new(false);

/// What the new process has to do.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    /// Measure a row.
    Row {
        row: String,
        budget_ns: f64,
        quick: bool,
    },
    /// Start a runtime, run one task, and answer with the time that took.
    FirstResult,
    /// The same with an actor in a process of its own.
    FirstProcessResult,
    /// Nothing: what a process costs.
    End,
}

/// Whether rows can have processes of their own here (CD-1).
pub fn is_offered() -> bool {
    OFFERED.load(Ordering::Relaxed)
}

/// Why a row that needs a program of this suite is left out (CD-1).
pub(crate) fn not_offered() -> Skip {
    Skip("needs a program that can be started again".to_owned())
}

/// Measures `row` in a new process.
///
/// # Errors
/// [`BenchError::Child`] if it ends without a result.
pub fn measure(context: &Context, row: &Row) -> Result<RowResult, BenchError> {
    let order = Order::Row {
        row: row.name.to_owned(),
        budget_ns: context.effort.budget_ns,
        quick: context.effort.quick,
    };
    order_one(context, row, &order)
}

/// Time from the start of `main` of a new process to the first result of its runtime, ns.
///
/// # Errors
/// [`BenchError::Child`] if it ends without a result.
pub fn measure_first_result(context: &Context, row: &Row) -> Result<f64, BenchError> {
    order_one(context, row, &Order::FirstResult)
}

/// Time from the start of `main` of a new process to the first result of an actor in a process of
/// its own, ns.
///
/// # Errors
/// [`BenchError::Child`] if it ends without a result.
pub fn measure_first_process_result(context: &Context, row: &Row) -> Result<f64, BenchError> {
    order_one(context, row, &Order::FirstProcessResult)
}

/// Starts a process of this program that ends at once, and waits for it.
///
/// # Errors
/// [`BenchError::Child`] if it fails.
pub fn start_and_end(context: &Context, row: &Row) -> Result<(), BenchError> {
    order_one(context, row, &Order::End)
}

fn order_one<T: for<'de> Deserialize<'de>>(
    context: &Context,
    row: &Row,
    order: &Order,
) -> Result<T, BenchError> {
    let failed = |status: String, stderr: &[u8]| BenchError::Child {
        row: row.name.to_owned(),
        status,
        stderr: String::from_utf8_lossy(stderr).trim().to_owned(),
    };
    let started = |source| BenchError::Io {
        path: "/proc/self/exe".to_owned(),
        source,
    };
    let text = serde_json::to_string(order).map_err(|error| failed(error.to_string(), &[]))?;
    // The new process takes its cores from its affinity mask, so it must inherit all of them.
    context.cores.unpin()?;
    let spawned = std::env::current_exe().and_then(|exe| {
        Command::new(exe)
            .env(VARIABLE, text)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    });
    let mut child = spawned.map_err(started)?;
    let in_time = ends_in_time(&child, context.effort.budget_ns / 1e9 + row.grace_s);
    if !in_time.map_err(started)? {
        // A process that ended meanwhile cannot be killed, which is as good.
        let _ = child.kill();
    }
    let output = child.wait_with_output().map_err(started)?;
    context.cores.pin(0)?;
    if !output.status.success() {
        return Err(failed(output.status.to_string(), &output.stderr));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| failed(error.to_string(), &output.stderr))
}

/// Sleeps until `child` has ended, at most `limit_s`; false if it has not.
pub(crate) fn ends_in_time(child: &Child, limit_s: f64) -> std::io::Result<bool> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| std::io::Error::other("a process without a number"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let mut ended = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
    let limit = Timespec {
        tv_sec: limit_s.ceil() as i64,
        tv_nsec: 0,
    };
    Ok(poll(&mut ended, Some(&limit))? > 0)
}

/// If this process was started by [`measure`], does what it was started for and gives its exit
/// code; else notes that the program can be started again (CD-1).
pub fn serve(rows: &[Row]) -> Option<ExitCode> {
    OFFERED.store(true, Ordering::Relaxed);
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
    let told = |error: &dyn std::fmt::Display| format!("{VARIABLE}: {error}");
    match serde_json::from_str(text).map_err(|error| told(&error))? {
        Order::FirstResult => {
            let ns = first_result().map_err(|error| told(&error))?;
            serde_json::to_string(&ns).map_err(|error| told(&error))
        }
        Order::FirstProcessResult => {
            let ns = first_process_result().map_err(|error| told(&error))?;
            serde_json::to_string(&ns).map_err(|error| told(&error))
        }
        Order::End => Ok("null".to_owned()),
        Order::Row {
            row,
            budget_ns,
            quick,
        } => {
            let row = rows.iter().find(|known| known.name == row);
            let row = row.ok_or_else(|| told(&"no such row"))?;
            let effort = if quick {
                Effort::quick()
            } else {
                Effort::full(budget_ns)
            };
            let context = Context::start(effort).map_err(|error| told(&error))?;
            let result = run_here(&context, row).map_err(|error| error.to_string())?;
            serde_json::to_string(&result).map_err(|error| told(&error))
        }
    }
}

/// Measures `row` in this process, inside the runtime that it needs.
///
/// # Errors
/// The row's, or the runtime's.
pub fn run_here(context: &Context, row: &Row) -> Result<RowResult, BenchError> {
    let Process::Runtime { schedulers } = row.process else {
        return run_row(context, row);
    };
    // The runtime takes its cores from the affinity mask; scheduler 0 is this thread.
    context.cores.unpin()?;
    let config = maser::Config::new().num_cpus(schedulers);
    let measured = maser::run(config, |_| {
        context.cores.pin(0)?;
        run_row(context, row)
    });
    context.cores.pin(0)?;
    measured.map_err(|error| BenchError::contender("maser", error))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_does_not_end_is_noticed() {
        let mut endless = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        assert!(!ends_in_time(&endless, 0.0).unwrap());
        // It ends when its input does.
        drop(endless.stdin.take());
        assert!(ends_in_time(&endless, 60.0).unwrap());
        assert!(endless.wait().unwrap().success());
    }

    #[test]
    fn an_order_survives_the_environment() {
        let order = Order::Row {
            row: "graph/echo/slot".to_owned(),
            budget_ns: 2.5e9,
            quick: true,
        };
        let text = serde_json::to_string(&order).unwrap();
        let Order::Row {
            row,
            budget_ns,
            quick,
        } = serde_json::from_str(&text).unwrap()
        else {
            panic!("another order came back");
        };
        assert_eq!(
            (row.as_str(), budget_ns, quick),
            ("graph/echo/slot", 2.5e9, true)
        );
    }

    #[test]
    fn an_order_for_an_unknown_row_says_so() {
        let text = r#"{"Row":{"row":"none","budget_ns":1.0,"quick":true}}"#;
        assert_eq!(obey(&[], text).unwrap_err(), "MASERBENCH_ROW: no such row");
    }
}
