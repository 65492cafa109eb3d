//! Ray 2.60, a program of its own (`bench/peers/ray`) that is run after the rows.
//!
//! It needs several hundred megabytes, minutes and processes that never rest, so it is asked for
//! (`--peers ray`), and its figures are not of alternating windows. It is slower by factors of a
//! hundred and more, which no change of the machine in between explains.
//!
//! - RY-1 Ray lives in a virtual environment of its own below the user's cache folder, made when it is
//!   first asked for; nothing of it lies in the tree.
//! - RY-2 whatever is missing (Python, pip, the network, a row that Ray cannot do) stands in the
//!   report as the reason why there is no figure.
//! - RY-3 a program that says nothing for `SILENCE_S` is killed with all that it started.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::time::Timespec;
use serde::Deserialize;

use crate::harness::{PeerFigure, RowResult, Unit};

const PROGRAM: &str = include_str!("../../peers/ray/rows.py");
/// Its part about graphs.
const GRAPHS: &str = include_str!("../../peers/ray/graphs.py");
/// Its part about tensors.
const TENSORS: &str = include_str!("../../peers/ray/tensors.py");
/// What pip is asked for.
const PACKAGE: &str = "ray[default]==2.60.*";
/// Name of the peer in the report.
const NAME: &str = "ray";
/// RY-3.
const SILENCE_S: i64 = 300;
/// Rows that the program knows.
const ROWS: [&str; 12] = [
    "process/actor/call",
    "process/handover",
    "process/graph/echo/slot",
    "process/graph/echo/ring",
    "graph/echo/slot",
    "graph/echo/ring",
    "process/start",
    "process/start/node",
    "store/put/1KiB",
    "store/get",
    "store/put/64MiB",
    "store/put/256MiB",
];
/// What the names begin with of the rows that are Ray's own; the program knows them all.
const OWN: [&str; 2] = [UNSTABLE, "exec_"];
const UNSTABLE: &str = "[unstable] ";

/// A line of the program.
#[derive(Debug, Deserialize)]
struct Line {
    row: String,
    ns: Option<f64>,
    missing: Option<String>,
}

/// Measures Ray for those of `results` that it has a counterpart of, and adds its figures there.
pub fn measure(results: &mut [RowResult]) {
    let wanted: Vec<String> = results
        .iter()
        .filter(|row| match row.unit {
            Unit::Ns => ROWS.contains(&row.name.as_str()),
            Unit::PerS => OWN.iter().any(|own| row.name.starts_with(own)),
            Unit::Bytes => false,
        })
        .map(|row| row.name.clone())
        .collect();
    if wanted.is_empty() {
        return;
    }
    let (lines, reason) = match run(&wanted) {
        Ok(found) => found,
        Err(reason) => (Vec::new(), Some(reason)),
    };
    let mut lines: BTreeMap<String, Line> = lines
        .into_iter()
        .map(|line| (line.row.clone(), line))
        .collect();
    for row in results.iter_mut().filter(|row| wanted.contains(&row.name)) {
        let figure = figure(row, lines.remove(&row.name), reason.as_deref());
        row.peers.insert(NAME.to_owned(), figure);
    }
}

/// Ray's figure for `row`, or why there is none (RY-2).
fn figure(row: &RowResult, line: Option<Line>, reason: Option<&str>) -> PeerFigure {
    let missing = |why: String| PeerFigure {
        skipped: Some(why),
        ..PeerFigure::default()
    };
    match line {
        Some(Line { ns: Some(ns), .. }) => PeerFigure {
            p50: Some(row.unit.from_ns(ns)),
            ratio: row.p50.map(|ours| ns / row.unit.from_ns(ours)),
            note: Some(format!(
                "{PACKAGE}, measured after the rows; it sleeps between calls"
            )),
            skipped: None,
        },
        Some(Line { missing: why, .. }) => missing(why.unwrap_or_else(|| "no figure".to_owned())),
        None => missing(
            reason
                .unwrap_or("the program ended before this row")
                .to_owned(),
        ),
    }
}

/// Runs the program for `rows`: its lines, and why there are not more of them, if so.
fn run(rows: &[String]) -> Result<(Vec<Line>, Option<String>), String> {
    let folder = folder()?;
    let python = environment(&folder)?;
    let program = folder.join("rows.py");
    for (file, text) in [
        ("rows.py", PROGRAM),
        ("graphs.py", GRAPHS),
        ("tensors.py", TENSORS),
    ] {
        let file = folder.join(file);
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let mut child = Command::new(&python)
        .arg(&program)
        .args(rows)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("{}: {error}", python.display()))?;
    let mut output = Vec::new();
    let heard = child.stdout.as_mut().map_or_else(
        || Err("it has no output".to_owned()),
        |pipe| hear(pipe, &mut output),
    );
    // RY-3. What has ended already cannot be killed, which is as good.
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let _killed = group.map(|group| kill_process_group(group, Signal::KILL));
    let _ended = child.wait();
    Ok((lines(&output), heard.err()))
}

/// Reads until the end, or until nothing comes any more.
fn hear(pipe: &mut (impl Read + AsFd), output: &mut Vec<u8>) -> Result<(), String> {
    let limit = Timespec {
        tv_sec: SILENCE_S,
        tv_nsec: 0,
    };
    let mut part = [0; 4_096];
    loop {
        let mut ready = [PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)];
        if poll(&mut ready, Some(&limit)).map_err(|error| error.to_string())? == 0 {
            return Err(format!("it said nothing for {SILENCE_S} s"));
        }
        match pipe.read(&mut part).map_err(|error| error.to_string())? {
            0 => return Ok(()),
            count => output.extend_from_slice(&part[..count]),
        }
    }
}

/// The lines that are ours; Ray prints others.
fn lines(output: &[u8]) -> Vec<Line> {
    let text = String::from_utf8_lossy(output);
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// RY-1.
fn folder() -> Result<PathBuf, String> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = set("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| Path::new(&home).join(".cache")))
        .ok_or("there is no folder for a cache: set XDG_CACHE_HOME")?;
    let folder = cache.join("maser-bench").join("ray-2.60");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

/// The Python of the virtual environment, which is made if it is not there (RY-1).
fn environment(folder: &Path) -> Result<PathBuf, String> {
    let python = folder.join("venv/bin/python");
    let has_ray = |python: &Path| step(Command::new(python).args(["-c", "import ray, numpy"]));
    if python.exists() && has_ray(&python).is_ok() {
        return Ok(python);
    }
    eprintln!(
        "making a Python environment with {PACKAGE} in {}",
        folder.display()
    );
    let venv = folder.join("venv");
    step(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    step(Command::new(&python).args(pip).args([PACKAGE, "numpy"]))?;
    has_ray(&python)?;
    Ok(python)
}

/// Runs a command to its end.
fn step(command: &mut Command) -> Result<(), String> {
    let what = command.get_program().to_string_lossy().into_owned();
    let ended = command.stdin(Stdio::null()).output();
    let output = ended.map_err(|error| format!("{what}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    Err(format!(
        "{what}: {}",
        last.unwrap_or("it failed and said nothing")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::Row;

    fn row() -> RowResult {
        let row = Row::latency("store/get", 1, "", |_| unreachable!("nothing is measured"));
        RowResult {
            p50: Some(10.0),
            ..RowResult::empty(&row)
        }
    }

    #[test]
    fn a_line_becomes_a_figure_and_a_missing_row_its_reason() {
        let text = "2026 INFO worker\n{\"row\": \"store/get\", \"ns\": 5000.0, \"n\": 3}\n\
                    {\"row\": \"store/put/1KiB\", \"missing\": \"ImportError: no numpy\"}\n";
        let mut found = lines(text.as_bytes()).into_iter();
        let get = figure(&row(), found.next(), None);
        assert_eq!((get.p50, get.ratio), (Some(5_000.0), Some(500.0)));
        let put = figure(&row(), found.next(), None);
        assert_eq!(put.skipped.as_deref(), Some("ImportError: no numpy"));
        assert_eq!(found.count(), 0);
        let none = figure(&row(), None, Some("python3: not found"));
        assert_eq!(none.skipped.as_deref(), Some("python3: not found"));
    }

    #[test]
    fn a_rate_is_compared_by_its_time() {
        let row = Row::rate("[unstable] x", 1, "", |_| {
            unreachable!("nothing is measured")
        });
        let row = RowResult {
            p50: Some(1e6),
            ..RowResult::empty(&row)
        };
        let text = br#"{"row": "[unstable] x", "ns": 500000.0}"#;
        let found = figure(&row, lines(text).pop(), None);
        assert_eq!((found.p50, found.ratio), (Some(2_000.0), Some(500.0)));
    }

    #[test]
    fn a_command_that_is_not_there_or_fails_says_why() {
        let error = step(&mut Command::new("maser-no-such-program")).unwrap_err();
        assert!(error.starts_with("maser-no-such-program: "), "{error}");
        let error = step(Command::new("ls").arg("/maser/no/such/path")).unwrap_err();
        assert!(error.contains("/maser/no/such/path"), "{error}");
    }

    #[test]
    fn the_program_knows_the_rows_it_is_asked_for() {
        for row in ROWS {
            let is_known = PROGRAM.contains(&format!("\"{row}\":"))
                || PROGRAM.contains(&format!("rows[\"{row}\"] ="));
            assert!(is_known, "{row}");
        }
        for row in crate::rows::all()
            .iter()
            .filter(|row| row.name.starts_with(UNSTABLE))
        {
            // The program writes the number of actors and the size of payloads into the names.
            let mut stem = row.name[UNSTABLE.len()..].replace("compiled ", "");
            for size in ["small", "medium", "large"] {
                let (with, without) = (
                    format!("multiple args with {size} "),
                    "multiple args with {name} ",
                );
                stem = stem
                    .replace(&with, without)
                    .replace("n=8 actors", "n={ARGS} actors");
            }
            if let Some((words, count)) = stem.split_once(", n=")
                && !words.contains("args")
                && count.ends_with(" actors")
            {
                stem = format!("{words}, n={{n}} actors");
            }
            assert!(GRAPHS.contains(&stem), "{}: {stem}", row.name);
        }
        let all = crate::rows::all();
        let tensors = all.iter().filter(|row| row.name.starts_with("exec_"));
        for row in tensors {
            let is_known = TENSORS.contains(&format!("\"{}\":", row.name));
            assert!(is_known, "{}", row.name);
        }
    }
}
