//! Tasks that tasks of a worker make: their options hold as those of the driver's do.

use super::restarts::{Diary, write_down};
use maser::{Config, Error, Isolation, Mode, RetryErrors};
use std::time::Duration;

fn config() -> Config {
    Config::new()
        .num_workers(2)
        .isolation(Isolation::Process)
        .resource("token", 1.0)
        .mode(Mode::Silent)
}

#[derive(Debug, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("not yet at run {run}")]
struct NotYet {
    run: usize,
}

/// The error of another function, so that it has a codec.
#[derive(Debug, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("another")]
struct Another;

#[maser::task]
fn another() -> Result<(), Another> {
    Err(Another)
}

#[maser::task]
fn crashes(diary: String) {
    write_down(&diary, "crash");
    std::process::abort();
}

#[maser::task]
fn late(diary: String, good: usize) -> Result<usize, NotYet> {
    match write_down(&diary, "late") {
        run if run >= good => Ok(run),
        run => Err(NotYet { run }),
    }
}

/// Only one of them may be under way.
#[maser::task]
fn alone(path: String) -> bool {
    let is_alone = std::fs::File::create_new(&path).is_ok();
    maser::sleep(Duration::from_millis(20));
    drop(std::fs::remove_file(&path));
    is_alone
}

#[maser::task(num_returns = 2)]
fn two() -> (u32, u32) {
    (std::process::id(), std::process::id())
}

#[maser::task(stream)]
fn count(to: u64) -> impl Iterator<Item = u64> {
    0..to
}

#[maser::task]
fn pid() -> u32 {
    std::process::id()
}

#[maser::task]
fn parent(what: String, diary: String) -> Result<Vec<usize>, Error> {
    Ok(match &*what {
        "crash" => {
            let crashes = |retries: i32| {
                // Not in the process of its parent, which would go with it.
                let options = crashes::options().max_retries(retries).scheduler(1);
                let options = options.name("the child");
                let error = options.remote(diary.clone()).get().unwrap_err();
                assert!(matches!(error, Error::WorkerCrashed { .. }), "{error}");
                assert!(error.to_string().contains("the child"), "{error}");
                std::fs::read_to_string(&diary).unwrap().lines().count()
            };
            vec![crashes(0), crashes(1)]
        }
        "retry" => {
            let wrong = late::options().retry_errors(RetryErrors::of::<Another>());
            let error = wrong.name("late child").remote(diary.clone(), 3).get();
            let error = error.unwrap_err();
            assert_eq!(error.downcast_ref::<NotYet>().unwrap().run, 1);
            assert!(error.to_string().contains("late child"), "{error}");
            let right = RetryErrors::of::<Another>().or::<NotYet>();
            let right = late::options()
                .retry_errors(right)
                .remote(diary.clone(), 4)
                .get()?;
            let all = late::options().retry_errors(RetryErrors::All);
            let one = all.max_retries(1).remote(diary, 9).get().unwrap_err();
            vec![right, one.downcast_ref::<NotYet>().unwrap().run]
        }
        "token" | "cpus" => {
            let children: Vec<_> = (0..4)
                .map(|_| match &*what {
                    "token" => alone::options().resource("token", 1).remote(diary.clone()),
                    _ => alone::options().num_cpus(2).remote(diary.clone()),
                })
                .collect();
            let alone = maser::get(&children)?;
            alone.into_iter().map(usize::from).collect()
        }
        "shapes" => {
            let (a, b) = two::options().num_cpus(2).remote();
            assert_eq!(a.get()?, b.get()?);
            let stream = count::options().resource("token", 1).remote(3);
            stream.map(|item| item.get().unwrap() as usize).collect()
        }
        "places" => {
            let at = |place: usize| pid::options().scheduler(place).remote().get();
            let pids = [at(0)?, at(1)?, at(0)?, at(1)?];
            assert!(pids[0] != pids[1] && pids[0] == pids[2] && pids[1] == pids[3]);
            let error = at(2).unwrap_err();
            assert!(matches!(error, Error::InvalidArgument { .. }), "{error}");
            Vec::new()
        }
        "too much" => {
            let error = pid::options().num_cpus(3).remote().get().unwrap_err();
            let Error::Infeasible { asked, total, .. } = error else {
                panic!("{error}");
            };
            vec![asked as usize, total as usize]
        }
        _ => panic!("{what}"),
    })
}

fn ask(what: &str) -> Vec<usize> {
    let diary = Diary::new();
    let path = diary.path();
    // Its own CPUs are its children's while it waits.
    crate::run(config(), |maser| {
        let parent = parent::options().num_cpus(2).scheduler(0);
        let given = parent.remote(what, path).get();
        let (total, free) = maser.resources();
        assert_eq!(total, free);
        given.unwrap()
    })
    .unwrap()
}

#[test]
fn retries_after_a_crash_and_names_hold_for_tasks_of_tasks() {
    assert_eq!(ask("crash"), [1, 3]);
}

#[test]
fn retries_after_errors_hold_for_tasks_of_tasks() {
    assert_eq!(ask("retry"), [4, 6]);
}

#[test]
fn resources_hold_for_tasks_of_tasks() {
    assert_eq!(ask("token"), [1; 4]);
    assert_eq!(ask("cpus"), [1; 4]);
}

#[test]
fn options_hold_for_tasks_of_tasks_with_several_results_and_streams() {
    assert_eq!(ask("shapes"), [0, 1, 2]);
}

#[test]
fn places_hold_for_tasks_of_tasks() {
    assert_eq!(ask("places"), [0; 0]);
}

#[test]
fn a_task_of_a_task_that_asks_for_too_much_is_told_what_the_node_has() {
    assert_eq!(ask("too much"), [3, 2]);
}

#[test]
fn a_task_that_crashes_or_fails_in_a_worker_is_named_as_it_was_named() {
    let diary = Diary::new();
    let path = diary.path();
    crate::run(config(), |_| {
        let crash = crashes::options().max_retries(0).name("by name");
        let error = crash.remote(path.clone()).get().unwrap_err();
        assert!(error.to_string().contains("by name"), "{error}");
        let error = late::options().name("by name").remote(path, 9).get();
        let error = error.unwrap_err();
        assert!(error.to_string().contains("by name"), "{error}");
        assert!(another::remote().get().is_err());
    })
    .unwrap();
}
