//! Actors that save their state now and then, and are made again from it.

use super::restarts::{Diary, kill_process, write_down};
use maser::{Actor, Config, Isolation, Mode};

fn config() -> Config {
    Config::new()
        .num_cpus(2)
        .isolation(Isolation::Process)
        .mode(Mode::Silent)
}

/// Sums up; the diary has what ran, in which order.
struct Sum {
    sum: u64,
    diary: String,
}

#[maser::actor(checkpoint_interval = 5, max_task_retries = -1)]
impl Sum {
    fn new(diary: String) -> Self {
        write_down(&diary, "new");
        Sum { sum: 0, diary }
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn add(&mut self, n: u64) -> u64 {
        write_down(&self.diary, &format!("add {n}"));
        self.sum += n;
        self.sum
    }

    fn refuse(&mut self, n: u64) -> Result<u64, String> {
        self.sum += n;
        Err("it counts all the same".into())
    }

    fn abort(&self) {
        std::process::abort();
    }

    #[maser(max_task_retries = 0)]
    fn add_and_abort(&mut self, n: u64) {
        self.sum += n;
        std::process::abort();
    }

    fn save(&self) -> (u64, String) {
        write_down(&self.diary, &format!("save {}", self.sum));
        (self.sum, self.diary.clone())
    }

    fn restore(saved: (u64, String)) -> Option<Self> {
        let (sum, diary) = saved;
        write_down(&diary, &format!("restore {sum}"));
        Some(Sum { sum, diary })
    }
}

fn crash(sum: &Actor<Sum>) {
    let first = sum.pid().remote().get().unwrap();
    kill_process(first);
    while sum.pid().remote().get().unwrap() == first {}
}

#[test]
fn an_actor_goes_on_from_its_checkpoint_with_the_calls_after_it() {
    crate::run(config(), |_| {
        let diary = Diary::new();
        let sum = Sum::remote(diary.path());
        for n in 1..=7 {
            sum.add().remote(n).get().unwrap();
        }
        crash(&sum);
        assert_eq!(sum.add().remote(100).get().unwrap(), 128);
        let lines = diary.lines();
        let at = lines.iter().position(|line| line == "restore 15").unwrap();
        assert_eq!(
            lines[..at],
            [
                "new", "add 1", "add 2", "add 3", "add 4", "add 5", "save 15", "add 6", "add 7"
            ]
        );
        assert_eq!(lines[at + 1..at + 3], ["add 6", "add 7"]);
        let news = lines.iter().filter(|line| *line == "new").count();
        assert_eq!(news, 1);
    })
    .unwrap();
}

#[test]
fn without_a_checkpoint_yet_all_calls_run_again_after_the_constructor() {
    crate::run(config(), |_| {
        let diary = Diary::new();
        let sum = Sum::remote(diary.path());
        assert_eq!(sum.add().remote(1).get().unwrap(), 1);
        assert_eq!(sum.add().remote(2).get().unwrap(), 3);
        crash(&sum);
        assert_eq!(sum.add().remote(4).get().unwrap(), 7);
        let lines = diary.lines();
        assert_eq!(
            lines[..6],
            ["new", "add 1", "add 2", "new", "add 1", "add 2"]
        );
    })
    .unwrap();
}

#[test]
fn calls_that_return_an_error_count_and_are_in_the_state() {
    crate::run(config(), |_| {
        let diary = Diary::new();
        let sum = Sum::remote(diary.path());
        for n in [1, 10, 100, 1_000, 10_000, 100_000] {
            let error = sum.refuse().remote(n).get().unwrap_err();
            assert!(error.to_string().contains("it counts"), "{error}");
        }
        crash(&sum);
        assert_eq!(sum.add().remote(0).get().unwrap(), 111_111);
        assert!(diary.lines().contains(&"restore 11111".to_owned()));
    })
    .unwrap();
}

#[test]
fn a_call_that_was_not_answered_is_in_the_state_once_if_it_is_sent_again_and_else_never() {
    crate::run(config(), |_| {
        let diary = Diary::new();
        let sum = Sum::remote(diary.path());
        assert_eq!(sum.add().remote(1).get().unwrap(), 1);
        sum.add_and_abort().remote(1_000).get().unwrap_err();
        assert_eq!(sum.add().remote(1).get().unwrap(), 2);
    })
    .unwrap();
}

#[test]
fn a_state_survives_one_death_after_the_other() {
    crate::run(config(), |_| {
        let diary = Diary::new();
        let sum = Sum::remote(diary.path());
        let mut all = 0;
        for round in 1..=5 {
            for n in 0..round * 3 {
                all += n;
                assert_eq!(sum.add().remote(n).get().unwrap(), all);
            }
            crash(&sum);
        }
        assert_eq!(sum.add().remote(0).get().unwrap(), all);
    })
    .unwrap();
}

#[test]
fn no_call_of_many_in_flight_is_lost_or_run_twice_while_its_process_is_killed() {
    crate::run(config(), |_| {
        let diary = Diary::new();
        let sum = Sum::options().name("sum").remote(diary.path());
        let mut calls = Vec::new();
        for n in 0..200 {
            if n % 40 == 20 {
                maser::kill_and_restart(&sum);
            }
            calls.push(sum.add().remote(1));
        }
        let sums = maser::get(&calls).unwrap();
        assert_eq!(sums, (1..=200).collect::<Vec<u64>>());
    })
    .unwrap();
}

/// Cannot be restored, or saved.
struct Fickle {
    calls: u64,
    saves: bool,
}

#[maser::actor(checkpoint_interval = 1, max_restarts = 1)]
impl Fickle {
    fn new(saves: bool) -> Self {
        Fickle { calls: 0, saves }
    }

    fn call(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn save(&self) -> Result<u64, std::io::Error> {
        match self.saves {
            true => Ok(self.calls),
            false => Err(std::io::Error::other("no pen")),
        }
    }

    fn restore(_saved: u64) -> Result<Self, std::io::Error> {
        Err(std::io::Error::other("no reader"))
    }
}

/// What a call gives that comes after two calls and the death of the process.
fn third_call_after_a_crash(fickle: &Actor<Fickle>) -> u64 {
    assert_eq!(fickle.call().remote().get().unwrap(), 1);
    assert_eq!(fickle.call().remote().get().unwrap(), 2);
    let pid = fickle.pid().remote().get().unwrap();
    kill_process(pid);
    loop {
        if let Ok(calls) = fickle.call().remote().get() {
            break calls;
        }
    }
}

fn checkpoint_errors() -> Vec<String> {
    let events = maser::error_info().unwrap().into_iter();
    let events = events.filter(|event| event.kind == "checkpoint");
    events.map(|event| event.message).collect()
}

#[test]
fn a_state_that_cannot_be_saved_is_an_entry_of_error_info_and_its_calls_run_again() {
    crate::run(config(), |_| {
        let fickle = Fickle::remote(false);
        let calls = third_call_after_a_crash(&fickle);
        assert_eq!(calls, 3);
        let errors = checkpoint_errors();
        assert!(errors.len() >= 3, "{errors:?}");
        assert!(
            errors.iter().all(|text| text.contains("no pen")),
            "{errors:?}"
        );
        assert!(errors[0].contains("Fickle"), "{errors:?}");
    })
    .unwrap();
}

#[test]
fn a_state_that_cannot_be_restored_is_an_entry_of_error_info_and_the_constructor_runs() {
    crate::run(config(), |_| {
        let fickle = Fickle::remote(true);
        let calls = third_call_after_a_crash(&fickle);
        // The checkpoint of the last answered call may not have come before its process died.
        assert!((1..=2).contains(&calls), "{calls}");
        let errors = checkpoint_errors();
        assert!(
            errors.iter().any(|text| text.contains("no reader")),
            "{errors:?}"
        );
    })
    .unwrap();
}

#[test]
fn an_actor_on_a_thread_takes_the_attribute() {
    let config = Config::new().num_cpus(1).mode(Mode::Silent);
    crate::run(config, |_| {
        let diary = Diary::new();
        let sum = Sum::remote(diary.path());
        for n in 1..=10 {
            sum.add().remote(n).get().unwrap();
        }
        assert_eq!(sum.pid().remote().get().unwrap(), std::process::id());
        assert!(!diary.lines().iter().any(|line| line.starts_with("save")));
    })
    .unwrap();
}
