//! A runtime with `Isolation::Process`: its tasks run in worker processes.

use maser::{Config, Error, Isolation, Mode};
use std::collections::BTreeSet;
use std::time::Duration;

fn config(workers: usize) -> Config {
    Config::new()
        .num_workers(workers)
        .isolation(Isolation::Process)
        .mode(Mode::Silent)
}

#[maser::task]
fn pid() -> u32 {
    maser::sleep(Duration::from_millis(50));
    std::process::id()
}

#[maser::task]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[maser::task]
fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (a, b) = (fib::remote(n - 1), fib::remote(n - 2));
    add::remote(a, b).get().unwrap()
}

#[maser::task(num_returns = 2)]
fn halves(text: String) -> (String, String) {
    let (a, b) = text.split_at(text.len() / 2);
    (a.to_owned(), b.to_owned())
}

#[maser::task(max_retries = 0)]
fn dies() {
    std::process::abort();
}

/// Dies as often as there are no more than `times` bytes in the file.
#[maser::task]
fn dies_at_first(path: String, times: u64) -> u64 {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .unwrap();
    file.write_all(b".").unwrap();
    let runs = file.metadata().unwrap().len();
    if runs <= times {
        std::process::abort();
    }
    runs
}

#[derive(Debug, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("no more than {limit}")]
struct TooMany {
    limit: u64,
}

#[maser::task]
fn refuses(limit: u64) -> Result<u64, TooMany> {
    Err(TooMany { limit })
}

#[maser::task]
fn panics(text: &str) -> u64 {
    panic!("{text}");
}

#[test]
fn tasks_at_once_run_in_processes_of_their_own() {
    crate::run(config(3), |_| {
        let refs: Vec<_> = (0..3).map(|_| pid::remote()).collect();
        let pids: BTreeSet<u32> = maser::get(&refs).unwrap().into_iter().collect();
        assert_eq!(pids.len(), 3, "{pids:?}");
        assert!(!pids.contains(&std::process::id()));
    })
    .unwrap();
}

#[test]
fn tasks_that_wait_for_their_own_tasks_go_on_with_two_workers() {
    crate::run(config(2), |_| {
        assert_eq!(fib::remote(10).get().unwrap(), 55);
    })
    .unwrap();
}

#[test]
fn several_results_come_one_by_one() {
    crate::run(config(1), |_| {
        let (a, b) = halves::remote("left right");
        assert_eq!(a.get().unwrap(), "left ");
        assert_eq!(b.get().unwrap(), "right");
    })
    .unwrap();
}

#[test]
fn a_crash_is_an_error_of_that_task_alone() {
    crate::run(config(1), |_| {
        let error = dies::remote().get().unwrap_err();
        assert!(matches!(error, Error::WorkerCrashed { .. }), "{error}");
        assert!(error.to_string().contains("SIGABRT"), "{error}");
        assert_eq!(add::remote(1, 2).get().unwrap(), 3);
    })
    .unwrap();
}

#[test]
fn a_task_whose_worker_crashed_runs_again_three_times() {
    let path = std::env::temp_dir().join(format!("maser-retry-{}", std::process::id()));
    let text = path.to_str().unwrap().to_owned();
    crate::run(config(2), |_| {
        assert_eq!(dies_at_first::remote(text.clone(), 3).get().unwrap(), 4);
        std::fs::remove_file(&path).unwrap();
        let error = dies_at_first::remote(text.clone(), 4).get().unwrap_err();
        assert!(matches!(error, Error::WorkerCrashed { .. }), "{error}");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 4);
        std::fs::remove_file(&path).unwrap();
    })
    .unwrap();
}

#[test]
fn an_error_keeps_its_type_on_the_way_to_another_process() {
    crate::run(config(1), |_| {
        let error = refuses::remote(7).get().unwrap_err();
        assert_eq!(error.downcast_ref::<TooMany>().unwrap().limit, 7);
        let fed = add::remote(refuses::remote(8), 1).get().unwrap_err();
        assert_eq!(fed.downcast_ref::<TooMany>().unwrap().limit, 8);
        let error = panics::remote("by hand").get().unwrap_err();
        assert!(error.to_string().contains("by hand"), "{error}");
        assert!(error.to_string().contains("tasks.rs"), "{error}");
    })
    .unwrap();
}
