//! Actors whose process dies and that come back in another one.

use maser::{Actor, CallOptions, Config, Error, Isolation, Mode};
use std::sync::atomic::{AtomicU32, Ordering};

fn config(schedulers: usize) -> Config {
    Config::new().num_cpus(schedulers).mode(Mode::Silent)
}

/// A file that survives the processes of the test, removed at its end.
pub(super) struct Diary(std::path::PathBuf);

impl Diary {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "maser-diary-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        // Of a process that had the number before, and was killed.
        drop(std::fs::remove_file(&path));
        Self(path)
    }

    pub(super) fn path(&self) -> String {
        self.0.to_str().unwrap().to_owned()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Diary {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

pub(super) fn write_down(path: &str, line: &str) -> usize {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
    std::fs::read_to_string(path).unwrap().lines().count()
}

pub(super) fn kill_process(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

struct Counter {
    count: u64,
    diary: String,
}

#[maser::actor(max_restarts = 1)]
impl Counter {
    fn new(count: u64, diary: String) -> Self {
        write_down(&diary, "new");
        Counter { count, diary }
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn add(&mut self, n: u64) -> u64 {
        self.count += n;
        self.count
    }

    /// Aborts while the diary has no more than `times` lines.
    fn abort_at_first(&mut self, times: usize) -> u64 {
        if write_down(&self.diary, "abort") <= times {
            std::process::abort();
        }
        self.count
    }

    #[maser(max_task_retries = 1)]
    fn abort_once(&mut self, times: usize) -> u64 {
        self.abort_at_first(times)
    }
}

fn counter(diary: &Diary) -> maser::Actor<Counter> {
    Counter::options()
        .isolation(Isolation::Process)
        .remote(40, diary.path())
}

fn is_unavailable(error: &Error) -> bool {
    matches!(error, Error::ActorUnavailable { .. })
}

#[test]
fn an_actor_comes_back_once_in_a_new_process_with_the_arguments_it_had() {
    crate::run(config(2), |_| {
        let diary = Diary::new();
        let counter = counter(&diary);
        assert_eq!(counter.add().remote(2).get().unwrap(), 42);
        let first = counter.pid().remote().get().unwrap();
        kill_process(first);
        // It is killed, but nobody knows yet when: calls are unavailable once at most.
        let second = loop {
            match counter.pid().remote().get() {
                Ok(pid) if pid != first => break pid,
                Ok(_) => {}
                Err(error) => assert!(is_unavailable(&error), "{error}"),
            }
        };
        assert_eq!(counter.add().remote(1).get().unwrap(), 41);
        assert_eq!(diary.lines(), ["new", "new"]);
        kill_process(second);
        let error = loop {
            match counter.pid().remote().get() {
                Ok(pid) => assert_eq!(pid, second),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::ActorDied { .. }), "{error}");
        assert!(error.to_string().contains("SIGKILL"), "{error}");
    })
    .unwrap();
}

#[test]
fn a_call_in_flight_may_have_run_and_is_not_sent_again_by_itself() {
    crate::run(config(1), |_| {
        let diary = Diary::new();
        let counter = counter(&diary);
        let error = counter.abort_at_first().remote(9).get().unwrap_err();
        assert!(is_unavailable(&error), "{error}");
        let text = error.to_string();
        for part in [
            "SIGABRT",
            "may have run",
            "max_task_retries",
            "abort_at_first",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(counter.add().remote(1).get().unwrap(), 41);
        assert_eq!(diary.lines(), ["new", "abort", "new"]);
    })
    .unwrap();
}

#[test]
fn calls_behind_one_that_crashes_are_sent_again_in_their_order() {
    crate::run(config(2), |_| {
        let diary = Diary::new();
        let counter = Counter::options()
            .isolation(Isolation::Process)
            .max_task_retries(-1)
            .remote(0, diary.path());
        let before = counter.add().remote(1_000);
        let crash = counter.abort_at_first().remote(2);
        let after: Vec<_> = (1..=50).map(|n| counter.add().remote(n)).collect();
        assert_eq!(before.get().unwrap(), 1_000);
        // The state is the constructor's; what was answered is not run again.
        assert_eq!(crash.get().unwrap(), 0);
        let sums: Vec<u64> = (1..=50).map(|n| n * (n + 1) / 2).collect();
        assert_eq!(maser::get(&after).unwrap(), sums);
        assert_eq!(diary.lines(), ["new", "abort", "new", "abort"]);
    })
    .unwrap();
}

#[test]
fn the_option_of_a_call_wins_over_that_of_its_method_and_that_over_the_actors() {
    fn ends(actor: i32, call: Option<i32>) -> Result<u64, Error> {
        let diary = Diary::new();
        let counter = Counter::options()
            .isolation(Isolation::Process)
            .max_task_retries(actor)
            .remote(7, diary.path());
        let of_call = call.map(|retries| CallOptions::new().max_task_retries(retries));
        counter
            .abort_once()
            .with(of_call.unwrap_or_default())
            .remote(2)
            .get()
    }
    crate::run(config(1), |_| {
        assert_eq!(ends(0, None).unwrap(), 7);
        assert!(is_unavailable(&ends(5, Some(0)).unwrap_err()));
        assert_eq!(ends(0, Some(1)).unwrap(), 7);
        let diary = Diary::new();
        let plain = counter(&diary);
        let again = CallOptions::new().max_task_retries(1);
        let call = plain.abort_at_first().with(again).remote(2);
        assert_eq!(call.get().unwrap(), 40);
    })
    .unwrap();
}

#[test]
fn kill_and_restart_makes_it_anew_and_kill_ends_it() {
    crate::run(config(2), |_| {
        let diary = Diary::new();
        let counter = Counter::options()
            .isolation(Isolation::Process)
            .max_restarts(-1)
            .max_task_retries(-1)
            .remote(0, diary.path());
        let first = counter.pid().remote().get().unwrap();
        maser::kill_and_restart(&counter);
        let mut now = first;
        while now == first {
            now = counter.pid().remote().get().unwrap();
        }
        maser::kill(&counter);
        let error = counter.pid().remote().get().unwrap_err();
        assert!(matches!(error, Error::ActorDied { .. }), "{error}");
        assert_eq!(diary.lines(), ["new", "new"]);
    })
    .unwrap();
}

#[test]
fn what_comes_back_has_its_name_and_what_it_asked_for_once() {
    crate::run(config(2).resource("arm", 3.0), |maser| {
        let diary = Diary::new();
        let counter = Counter::options()
            .name("phoenix")
            .resource("arm", 2)
            .isolation(Isolation::Process)
            .max_restarts(-1)
            .max_task_retries(-1)
            .remote(40, diary.path());
        let mut last = counter.pid().remote().get().unwrap();
        for _ in 0..3 {
            maser::kill_and_restart(&counter);
            let before = last;
            while last == before {
                last = counter.pid().remote().get().unwrap();
            }
            let found: Actor<Counter> = maser::get_actor("phoenix").unwrap();
            assert_eq!(found.pid().remote().get().unwrap(), last);
            assert_eq!(maser.resources().1["arm"], 1.0);
        }
        assert_eq!(diary.lines(), ["new"; 4]);
    })
    .unwrap();
}

#[test]
fn callers_of_several_schedulers_and_processes_keep_their_order_through_many_deaths() {
    #[maser::task]
    fn calls(list: Actor<List>, caller: u64, count: u64) -> u64 {
        let refs: Vec<_> = (0..count)
            .map(|n| list.append().remote(caller, n))
            .collect();
        maser::get(&refs).unwrap();
        count
    }
    crate::run(config(3), |_| {
        let diary = Diary::new();
        let list = List::options()
            .isolation(Isolation::Process)
            .remote(diary.path());
        let callers: Vec<_> = (0..6).map(|c| calls::remote(list.clone(), c, 40)).collect();
        for _ in 0..4 {
            let pid = list.pid().remote().get().unwrap();
            kill_process(pid);
        }
        assert_eq!(maser::get(&callers).unwrap(), [40; 6]);
        drop(list);
        let mut last = [None; 6];
        for line in diary.lines() {
            let (caller, n) = line.split_once(' ').unwrap();
            let (caller, n): (usize, u64) = (caller.parse().unwrap(), n.parse().unwrap());
            // Runs again only what was not answered, so never more than what is in flight.
            let expected = last[caller].map_or(0, |last| last + 1);
            assert!(n <= expected, "{caller}: {n} after {last:?}");
            last[caller] = Some(n.max(last[caller].unwrap_or(0)));
        }
        assert_eq!(last, [Some(39); 6]);
    })
    .unwrap();
}

struct List {
    diary: String,
}

#[maser::actor(max_restarts = -1, max_task_retries = -1)]
impl List {
    fn new(diary: String) -> Self {
        List { diary }
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn append(&mut self, caller: u64, n: u64) {
        write_down(&self.diary, &format!("{caller} {n}"));
    }
}

#[test]
fn a_constructor_that_fails_the_second_time_ends_the_actor() {
    crate::run(config(1), |_| {
        let diary = Diary::new();
        let once = Once::options()
            .isolation(Isolation::Process)
            .max_restarts(-1)
            .remote(diary.path());
        let waits = once.abort().remote();
        let behind = once.abort().remote();
        for call in [waits, behind] {
            let error = call.get().unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains("SIGABRT") || text.contains("only once"),
                "{text}"
            );
        }
        let error = once.abort().remote().get().unwrap_err();
        assert!(matches!(error, Error::ActorDied { .. }), "{error}");
        assert!(error.to_string().contains("only once"), "{error}");
    })
    .unwrap();
}

struct Once;

#[maser::actor]
impl Once {
    fn new(diary: String) -> Result<Self, std::io::Error> {
        match write_down(&diary, "new") {
            1 => Ok(Once),
            _ => Err(std::io::Error::other("only once")),
        }
    }

    fn abort(&self) {
        std::process::abort();
    }
}

#[test]
fn a_count_below_minus_one_is_refused() {
    crate::run(config(1), |_| {
        let diary = Diary::new();
        let counter = Counter::options()
            .isolation(Isolation::Process)
            .max_restarts(-2)
            .remote(0, diary.path());
        let error = counter.pid().remote().get().unwrap_err();
        assert!(error.to_string().contains("max_restarts: -2"), "{error}");
    })
    .unwrap();
}
