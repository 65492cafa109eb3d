//! Actors with a process of their own that code in a worker process makes.

use super::restarts::{Diary, kill_process, write_down};
use maser::{Actor, CallOptions, Config, Error, Isolation, Mode};

fn config() -> Config {
    Config::new().num_cpus(2).mode(Mode::Silent)
}

struct Child {
    calls: u64,
    diary: String,
}

#[maser::actor]
impl Child {
    fn new(diary: String) -> Result<Self, String> {
        match diary.is_empty() {
            true => Err("no diary".to_owned()),
            false => Ok(Child { calls: 0, diary }),
        }
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn calls(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }

    fn abort(&mut self) {
        std::process::abort();
    }

    /// Its first run ends its process.
    fn dies_once(&mut self) -> usize {
        match write_down(&self.diary, "once") {
            1 => std::process::abort(),
            run => run,
        }
    }

    #[maser(stream)]
    fn count(&mut self, to: u64) -> impl Iterator<Item = u64> {
        0..to
    }
}

/// Makes children, in a process of its own.
struct Maker {
    child: Option<Actor<Child>>,
}

#[maser::actor]
impl Maker {
    fn new() -> Self {
        Maker { child: None }
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    /// The child's process, and whatever else the options are to show.
    fn make(&mut self, what: String, diary: String) -> Result<u32, Error> {
        let options = Child::options().isolation(Isolation::Process);
        let options = match &*what {
            "returns" => options.max_restarts(-1),
            "tries" => options.max_restarts(1).max_task_retries(1),
            "named" => options.name("child"),
            "counted" => options.num_cpus(1.5),
            "too much" => options.num_cpus(64),
            _ => options,
        };
        let child = options.remote(diary);
        let pid = child.pid().remote().get()?;
        self.child = Some(child);
        Ok(pid)
    }

    fn child_pid(&self) -> Result<u32, Error> {
        self.child().pid().remote().get()
    }

    fn calls(&self) -> Result<u64, Error> {
        self.child().calls().remote().get()
    }

    fn abort_it(&self) -> Result<(), Error> {
        self.child().abort().remote().get()
    }

    fn dies_once(&self, retries: Option<i32>) -> Result<usize, Error> {
        let call = self.child().dies_once();
        let options = CallOptions::new();
        let options = retries.map(|retries| options.max_task_retries(retries));
        call.with(options.unwrap_or_default()).remote().get()
    }

    fn count(&self, to: u64) -> Vec<u64> {
        let stream = self.child().count().remote(to);
        stream.map(|item| item.get().unwrap()).collect()
    }

    fn give(&self) -> Actor<Child> {
        self.child().clone()
    }

    fn take(&mut self, child: Actor<Child>) {
        self.child = Some(child);
    }

    fn kill_it(&mut self) {
        maser::kill(self.child());
    }

    fn drop_it(&mut self) {
        self.child = None;
    }
}

impl Maker {
    fn child(&self) -> &Actor<Child> {
        self.child.as_ref().expect("it was made")
    }
}

fn maker() -> Actor<Maker> {
    Maker::options().isolation(Isolation::Process).remote()
}

fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    // What it has behind its name begins with its state.
    stat.is_ok_and(|stat| !stat.rsplit_once(") ").unwrap().1.starts_with('Z'))
}

fn wait_for_the_end_of(pid: u32) {
    while is_running(pid) {
        maser::yield_now();
    }
}

fn inner(error: &Error) -> &Error {
    error.downcast_ref::<Error>().unwrap_or(error)
}

#[test]
fn an_actor_that_a_worker_makes_has_a_process_of_its_own() {
    crate::run(config(), |_| {
        let maker = maker();
        let pid = maker.make().remote("plain", "-").get().unwrap();
        assert_ne!(pid, std::process::id());
        assert_ne!(pid, maker.pid().remote().get().unwrap());
        assert_eq!(maker.calls().remote().get().unwrap(), 1);
        assert_eq!(maker.calls().remote().get().unwrap(), 2);
        assert_eq!(maker.count().remote(40).get().unwrap().len(), 40);
        maker.drop_it().remote().get().unwrap();
        wait_for_the_end_of(pid);
        assert!(is_running(maker.pid().remote().get().unwrap()));
    })
    .unwrap();
}

#[test]
fn its_crash_is_an_error_that_names_its_own_process_and_no_other() {
    crate::run(config(), |_| {
        let maker = maker();
        let pid = maker.make().remote("plain", "-").get().unwrap();
        let own = maker.pid().remote().get().unwrap();
        for error in [
            maker.abort_it().remote().get().unwrap_err(),
            maker.calls().remote().get().unwrap_err(),
        ] {
            let text = inner(&error).to_string();
            assert!(matches!(inner(&error), Error::ActorDied { .. }), "{text}");
            assert!(text.contains(&format!("(pid {pid})")), "{text}");
            assert!(text.contains("SIGABRT") && text.contains("Child"), "{text}");
        }
        assert_eq!(maker.pid().remote().get().unwrap(), own);
    })
    .unwrap();
}

#[test]
fn it_comes_back_as_its_options_say_and_its_calls_are_sent_again() {
    let diary = Diary::new();
    crate::run(config(), |_| {
        let maker = maker();
        let pid = maker.make().remote("returns", diary.path()).get().unwrap();
        let error = maker.abort_it().remote().get().unwrap_err();
        let is_it = matches!(inner(&error), Error::ActorUnavailable { .. });
        assert!(is_it, "{error}");
        assert_ne!(maker.child_pid().remote().get().unwrap(), pid);
        // What the call says counts in the process that sends it again.
        assert_eq!(maker.dies_once().remote(Some(1)).get().unwrap(), 2);
        drop(std::fs::remove_file(diary.path()));
        let error = maker.dies_once().remote(None).get().unwrap_err();
        let is_it = matches!(inner(&error), Error::ActorUnavailable { .. });
        assert!(is_it, "{error}");
    })
    .unwrap();
    drop(std::fs::remove_file(diary.path()));
    crate::run(config(), |_| {
        let maker = maker();
        maker.make().remote("tries", diary.path()).get().unwrap();
        assert_eq!(maker.dies_once().remote(None).get().unwrap(), 2);
        let error = maker.abort_it().remote().get().unwrap_err();
        assert!(matches!(inner(&error), Error::ActorDied { .. }), "{error}");
    })
    .unwrap();
}

#[test]
fn it_is_found_by_its_name_and_counted_where_all_are_counted() {
    crate::run(config(), |maser| {
        let (maker, other) = (maker(), maker());
        let pid = maker.make().remote("named", "-").get().unwrap();
        let found = maser::get_actor::<Child>("child").unwrap();
        assert_eq!(found.pid().remote().get().unwrap(), pid);
        let error = other.make().remote("named", "-").get().unwrap_err();
        let is_it = matches!(inner(&error), Error::ActorNameTaken { .. });
        assert!(is_it, "{error}");
        drop(found);
        other.make().remote("counted", "-").get().unwrap();
        assert_eq!(maser.resources().1["CPU"], 0.5);
        let error = maker.make().remote("counted", "-").get().unwrap_err();
        let is_it = matches!(inner(&error), Error::ActorUnavailable { .. });
        assert!(is_it, "{error}");
        other.drop_it().remote().get().unwrap();
        while maser.resources().1["CPU"] < 2.0 {
            maser::yield_now();
        }
        let error = maker.make().remote("too much", "-").get().unwrap_err();
        let is_it = matches!(inner(&error), Error::Infeasible { .. });
        assert!(is_it, "{error}");
        let error = maker.make().remote("plain", "").get().unwrap_err();
        assert!(error.to_string().contains("no diary"), "{error}");
    })
    .unwrap();
}

#[test]
fn its_handle_is_good_in_every_process_and_outlives_the_ones_that_passed_it_on() {
    crate::run(config(), |_| {
        let (maker, user) = (maker(), maker());
        let pid = maker.make().remote("plain", "-").get().unwrap();
        let child = maker.give().remote().get().unwrap();
        assert_eq!(child.calls().remote().get().unwrap(), 1);
        user.take().remote(child.clone()).get().unwrap();
        assert_eq!(user.calls().remote().get().unwrap(), 2);
        let back = user.give().remote().get().unwrap();
        assert_eq!(back.pid().remote().get().unwrap(), pid);
        drop((child, back));
        kill_process(maker.pid().remote().get().unwrap());
        maker.calls().remote().get().unwrap_err();
        // Its maker is dead; whoever has a handle has the actor.
        assert_eq!(user.calls().remote().get().unwrap(), 3);
        kill_process(user.pid().remote().get().unwrap());
        wait_for_the_end_of(pid);
    })
    .unwrap();
}

#[test]
fn its_maker_can_end_it() {
    crate::run(config(), |_| {
        let maker = maker();
        let pid = maker.make().remote("returns", "-").get().unwrap();
        maker.kill_it().remote().get().unwrap();
        wait_for_the_end_of(pid);
        let error = maker.calls().remote().get().unwrap_err();
        assert!(error.to_string().contains("maser::kill"), "{error}");
    })
    .unwrap();
}

#[maser::task]
fn shares_its_process(cpus: f64) -> Result<u64, Error> {
    let child = Child::options().num_cpus(cpus).remote("-");
    child.calls().remote().get()
}

#[test]
fn what_an_actor_in_a_worker_asks_for_is_counted_where_all_is_counted() {
    let config = config().isolation(Isolation::Process);
    crate::run(config, |maser| {
        assert_eq!(shares_its_process::remote(2.0).get().unwrap(), 1);
        let error = shares_its_process::remote(3.0).get().unwrap_err();
        assert!(matches!(inner(&error), Error::Infeasible { .. }), "{error}");
        while maser.resources().1["CPU"] < 2.0 {
            maser::yield_now();
        }
        let thread = Child::options().isolation(Isolation::Thread);
        let holder = thread.num_cpus(1.5).remote("-");
        assert_eq!(holder.calls().remote().get().unwrap(), 1);
        let error = shares_its_process::remote(1.0).get().unwrap_err();
        let is_it = matches!(inner(&error), Error::ActorUnavailable { .. });
        assert!(is_it, "{error}");
    })
    .unwrap();
}

#[maser::task]
fn makes_in_a_task(isolation: Option<Isolation>) -> Result<(u32, u32), Error> {
    let options = Child::options();
    let options = match isolation {
        Some(isolation) => options.isolation(isolation),
        None => options,
    };
    let child = options.remote("-");
    Ok((std::process::id(), child.pid().remote().get()?))
}

#[test]
fn without_the_option_it_lives_with_the_task_that_made_it() {
    let config = config().isolation(Isolation::Process);
    crate::run(config, |_| {
        let (own, child) = makes_in_a_task::remote(None).get().unwrap();
        assert_eq!(own, child);
        let own_process = Some(Isolation::Process);
        let (own, child) = makes_in_a_task::remote(own_process).get().unwrap();
        assert_ne!(own, child);
    })
    .unwrap();
}
