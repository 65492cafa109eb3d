//! Tasks that run again after a crash or an error, in processes of their own and on threads.

use super::restarts::{Diary, write_down};
use maser::{Config, Error, Isolation, Mode, RetryErrors};

fn configs() -> [Config; 3] {
    let config = || Config::new().num_cpus(2).mode(Mode::Silent);
    [
        config(),
        config().isolation(Isolation::Process),
        Config::new().num_cpus(1).mode(Mode::Inline),
    ]
}

#[derive(Debug, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("not yet at run {run}")]
struct NotYet {
    run: usize,
}

#[derive(Debug, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("never")]
struct Never;

fn run(diary: &str, good: usize) -> Result<usize, NotYet> {
    match write_down(diary, "run") {
        run if run >= good => Ok(run),
        run => Err(NotYet { run }),
    }
}

#[maser::task]
fn plain(diary: String, good: usize) -> Result<usize, NotYet> {
    run(&diary, good)
}

#[maser::task(retry_errors)]
fn all(diary: String, mut good: usize) -> Result<usize, NotYet> {
    // A later run does not see what an earlier one did to its arguments.
    good += 0;
    let outcome = run(&diary, good);
    if outcome.is_err() {
        good = usize::MAX;
    }
    assert!(good == usize::MAX || outcome.is_ok());
    outcome
}

#[maser::task(retry_errors = [NotYet, std::fmt::Error], max_retries = 5)]
fn of_a_type(
    diary: String,
    good: usize,
    of: String,
) -> Result<usize, Box<dyn std::error::Error + Send + Sync>> {
    match run(&diary, good) {
        Err(error) if of == "boxed" => Err(Box::new(error)),
        Err(_) if of == "panic" => panic!("not of a type"),
        Err(_) => Err(Box::new(Never)),
        Ok(run) => Ok(run),
    }
}

#[maser::task(retry_errors, num_returns = 2)]
fn two(diary: String, good: usize) -> Result<(usize, String), NotYet> {
    Ok((run(&diary, good)?, "two".into()))
}

#[maser::task(retry_errors)]
fn fed(diary: String, value: usize) -> usize {
    write_down(&diary, "run");
    value
}

fn runs(diary: &Diary) -> usize {
    diary.lines().len()
}

#[test]
fn an_error_is_tried_again_if_asked_and_the_last_one_says_how_often() {
    for config in configs() {
        crate::run(config, |_| {
            let diary = Diary::new();
            assert_eq!(all::remote(diary.path(), 4).get().unwrap(), 4);
            let diary = Diary::new();
            let error = all::remote(diary.path(), 5).get().unwrap_err();
            assert_eq!(error.downcast_ref::<NotYet>().unwrap().run, 4);
            assert!(error.to_string().contains("last of 4 tries"), "{error}");
            assert_eq!(runs(&diary), 4);
            let diary = Diary::new();
            plain::remote(diary.path(), 2).get().unwrap_err();
            assert_eq!(runs(&diary), 1);
            let call = plain::options()
                .retry_errors(RetryErrors::All)
                .max_retries(-1);
            assert_eq!(call.remote(diary.path(), 9).get().unwrap(), 9);
            // One entry for each try that failed.
            let events = maser::error_info().unwrap();
            assert_eq!(events.len(), 3 + 4 + 1 + 7, "{events:?}");
        })
        .unwrap();
    }
}

#[test]
fn only_errors_of_the_types_that_were_named_are_tried_again() {
    for config in configs() {
        crate::run(config, |_| {
            for (of, expected) in [("boxed", 6), ("panic", 1), ("never", 1)] {
                let diary = Diary::new();
                let error = of_a_type::remote(diary.path(), 9, of).get().unwrap_err();
                assert_eq!(runs(&diary), expected, "{of}: {error}");
            }
            let diary = Diary::new();
            let call = of_a_type::options().retry_errors(RetryErrors::of::<Never>());
            assert_eq!(call.remote(diary.path(), 3, "never").get().unwrap(), 3);
            let diary = Diary::new();
            let call = of_a_type::options().retry_errors(RetryErrors::Never);
            call.remote(diary.path(), 3, "boxed").get().unwrap_err();
            assert_eq!(runs(&diary), 1);
        })
        .unwrap();
    }
}

#[test]
fn several_results_come_from_the_run_that_succeeded() {
    for config in configs() {
        crate::run(config, |_| {
            let diary = Diary::new();
            let (run, text) = two::remote(diary.path(), 3);
            assert_eq!(run.get().unwrap(), 3);
            assert_eq!(text.get().unwrap(), "two");
        })
        .unwrap();
    }
}

#[test]
fn an_argument_that_is_an_error_is_not_tried_again() {
    for config in configs() {
        crate::run(config, |_| {
            let (diary, other) = (Diary::new(), Diary::new());
            let never = plain::remote(other.path(), 2);
            let error = fed::remote(diary.path(), never).get().unwrap_err();
            assert!(error.downcast_ref::<NotYet>().is_some(), "{error}");
            assert_eq!((runs(&diary), runs(&other)), (0, 1));
        })
        .unwrap();
    }
}

/// Fails once somebody else wrote into the diary.
#[maser::task(retry_errors)]
fn fails_when_told(diary: String) -> Result<(), Never> {
    write_down(&diary, "run");
    while !std::fs::read_to_string(&diary).unwrap().contains("go") {
        std::thread::yield_now();
    }
    Err(Never)
}

#[test]
fn a_cancelled_task_is_not_tried_again() {
    for config in &configs()[..2] {
        crate::run(config.clone(), |_| {
            let diary = Diary::new();
            let call = fails_when_told::remote(diary.path());
            // This scheduler does not run it: the other one does.
            while runs(&diary) == 0 {
                std::thread::yield_now();
            }
            call.cancel();
            write_down(&diary.path(), "go");
            call.get().unwrap_err();
            assert_eq!(diary.lines(), ["run", "go"]);
        })
        .unwrap();
    }
}

#[test]
fn a_crash_and_an_error_are_counted_together() {
    let config = Config::new()
        .num_cpus(1)
        .isolation(Isolation::Process)
        .mode(Mode::Silent);
    crate::run(config, |_| {
        let diary = Diary::new();
        let error = crashes_or_fails::remote(diary.path()).get().unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::WorkerCrashed { .. }), "{text}");
        assert!(text.contains("last of 4 tries"), "{text}");
        assert_eq!(runs(&diary), 4);
    })
    .unwrap();
}

#[maser::task(retry_errors)]
fn crashes_or_fails(diary: String) -> Result<(), Never> {
    match write_down(&diary, "run") % 2 {
        0 => std::process::abort(),
        _ => Err(Never),
    }
}

#[maser::task(local)]
fn local_task() -> u32 {
    7
}

#[test]
fn a_local_task_says_why_it_cannot_run_again() {
    crate::run(Config::new().num_cpus(1).mode(Mode::Silent), |_| {
        let call = local_task::options().retry_errors(RetryErrors::All);
        let error = call.remote().get().unwrap_err();
        assert!(
            matches!(
                error,
                Error::InvalidArgument {
                    argument: "retry_errors",
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains("local_task"), "{error}");
    })
    .unwrap();
}

#[maser::task(max_calls = 2)]
fn pid() -> u32 {
    std::process::id()
}

#[test]
fn max_calls_replaces_the_process_after_that_many_calls() {
    let config = Config::new()
        .num_cpus(1)
        .isolation(Isolation::Process)
        .mode(Mode::Silent);
    crate::run(config, |_| {
        let pids: Vec<u32> = (0..6).map(|_| pid::remote().get().unwrap()).collect();
        assert_eq!(pids[0], pids[1]);
        assert_eq!(pids[2], pids[3]);
        assert_eq!(pids[4], pids[5]);
        assert!(pids[1] != pids[2] && pids[3] != pids[4], "{pids:?}");
        let all: Vec<_> = (0..6).map(|_| pid::remote()).collect();
        let mut pids = maser::get(&all).unwrap();
        pids.dedup();
        assert_eq!(pids.len(), 3, "{pids:?}");
    })
    .unwrap();
}
