//! Ctrl-C: a driver that is interrupted in the middle of a graph leaves no process, no memory, no file.

use maser::CompileOptions;
use maser::prelude::*;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::graph_actors::{config, there};

/// What the driver is doing when it is interrupted.
const STATES: [&str; 4] = ["get", "execute", "wait", "idle"];

const TEST: &str = "interrupts::a_driver_that_is_interrupted_leaves_nothing_behind";

/// The driver: says which processes it has, and then waits for ever.
fn driver(state: &str) -> maser::Result<()> {
    let (first, second) = (there(0), there(1));
    let pids = [first.pid().remote(0).get()?, second.pid().remote(0).get()?];
    let graph = Graph::new(|x: Node<u64>| second.add().bind(first.sleep().bind(x)));
    let graph = graph.compile_with(CompileOptions {
        max_inflight: Some(2),
        submit_timeout: Some(maser::Timeout::Never),
        get_timeout: Some(maser::Timeout::Never),
        ..Default::default()
    })?;
    assert_eq!(graph.execute(1)?.get()?, 2);
    let array: maser::Array<u64> = vec![7; 1 << 16].into();
    let kept = maser::put(array);
    let runs = [graph.execute(1_000_000)?, graph.execute(1_000_000)?];
    println!("\nworkers {} {}", pids[0], pids[1]);
    match state {
        "get" => drop(runs[0].get()),
        "execute" => drop(graph.execute(1)),
        "wait" => drop(maser::select(&runs)),
        _ => loop {
            std::thread::park();
        },
    }
    drop(kept);
    unreachable!("it is interrupted before");
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let name =
        |entry: std::io::Result<std::fs::DirEntry>| entry.ok().map(|entry| entry.file_name());
    let names = entries.filter_map(name);
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

/// Whether the process runs; one that is dead and not waited for does not.
fn is_there(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// Whether whoever started the tests has Ctrl-C ignored, as shells do for what runs in the background:
/// every process from here on ignores it too.
fn is_ignored_here() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .map(|mask| u64::from_str_radix(mask.trim(), 16).unwrap());
    ignored.is_some_and(|mask| mask >> (Signal::INT.as_raw() - 1) & 1 == 1)
}

#[test]
fn a_driver_that_is_interrupted_leaves_nothing_behind() {
    if is_ignored_here() {
        println!("skipped: Ctrl-C is ignored by whatever started the tests");
        return;
    }
    if let Some(state) = maser_tests::part() {
        crate::run(config(1), |_| driver(&state)).unwrap().unwrap();
        return;
    }
    let files = std::env::temp_dir().join(format!("maser-interrupts-{}", std::process::id()));
    std::fs::create_dir_all(&files).unwrap();
    let memory = Path::new("/dev/shm");
    for state in STATES {
        // As a terminal does it, and as `kill -INT` does.
        for to_all in [true, false] {
            let before = names(memory);
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
                .env("MASER_TEST_PART", state)
                .env("MASER_SESSION_DIR", &files)
                .env("TMPDIR", &files)
                .env("XDG_RUNTIME_DIR", &files)
                .process_group(0)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let workers: Vec<i32> = lines
                .find_map(|line| line.unwrap().strip_prefix("workers ").map(str::to_owned))
                .expect("the driver came so far")
                .split(' ')
                .map(|pid| pid.parse().unwrap())
                .collect();
            assert!(workers.iter().all(|worker| is_there(*worker)));
            let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
            match to_all {
                true => kill_process_group(pid, Signal::INT).unwrap(),
                false => kill_process(pid, Signal::INT).unwrap(),
            }
            let status = child.wait().unwrap();
            assert_eq!(
                status.signal(),
                Some(Signal::INT.as_raw()),
                "{state}: {status}"
            );
            // The test's watchdog ends what never comes.
            while workers.iter().any(|worker| is_there(*worker)) {
                std::thread::yield_now();
            }
            let left: Vec<_> = names(memory).difference(&before).cloned().collect();
            let own =
                |name: &&String| name.contains("maser") || name.contains(&child.id().to_string());
            assert_eq!(left.iter().find(own), None, "{state}: in /dev/shm");
            assert_eq!(
                names(&files),
                BTreeSet::new(),
                "{state}: files of the session"
            );
        }
    }
    std::fs::remove_dir(&files).unwrap();
}
