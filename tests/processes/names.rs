//! Names of actors: one table for the whole node, whichever process made the actor.

use maser::{Actor, Config, Error, Isolation, Mode};

fn config() -> Config {
    Config::new().num_cpus(2).mode(Mode::Silent)
}

struct Counter {
    count: u64,
}

#[maser::actor]
impl Counter {
    fn new(count: u64) -> Self {
        Counter { count }
    }

    fn add(&mut self, by: u64) -> u64 {
        self.count += by;
        self.count
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn abort(&mut self) {
        std::process::abort();
    }
}

struct Other;

#[maser::actor]
impl Other {
    fn new() -> Self {
        Other
    }
}

/// Lives in a process of its own, and looks and makes from there.
struct User {
    kept: Vec<Actor<Counter>>,
}

#[maser::actor]
impl User {
    fn new() -> Self {
        User { kept: Vec::new() }
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn add(&mut self, name: String, by: u64) -> Result<u64, Error> {
        let counter = maser::get_actor::<Counter>(&name)?;
        counter.add().remote(by).get()
    }

    fn is_other(&mut self, name: String) -> Result<(), Error> {
        maser::get_actor::<Other>(&name).map(drop)
    }

    fn make(&mut self, name: String, count: u64) -> Result<u64, Error> {
        let counter = Counter::options().name(&name).remote(count);
        let count = counter.add().remote(0).get()?;
        self.kept.push(counter);
        Ok(count)
    }

    fn give(&mut self, name: String) -> Result<Actor<Counter>, Error> {
        maser::get_actor(&name)
    }

    fn drop_all(&mut self) {
        self.kept.clear();
    }

    fn kill_it(&mut self) {
        maser::kill(&self.kept[0]);
    }

    fn abort(&mut self) {
        std::process::abort();
    }
}

#[maser::task]
fn add_in_a_task(name: String, by: u64) -> Result<u64, Error> {
    maser::get_actor::<Counter>(&name)?.add().remote(by).get()
}

fn user() -> Actor<User> {
    User::options().isolation(Isolation::Process).remote()
}

fn is_unknown<T>(found: Result<T, Error>) -> bool {
    match found {
        Ok(_) => false,
        Err(Error::ActorNotFound { .. }) => true,
        Err(error) => match error.downcast_ref::<Error>() {
            Some(Error::ActorNotFound { .. }) => true,
            _ => panic!("{error}"),
        },
    }
}

#[test]
fn a_name_of_the_driver_is_found_in_another_process() {
    crate::run(config(), |_| {
        let user = user();
        let counter = Counter::options().name("tally").remote(5);
        assert_eq!(user.add().remote("tally", 2).get().unwrap(), 7);
        assert_eq!(counter.add().remote(1).get().unwrap(), 8);
    })
    .unwrap();
}

#[test]
fn a_name_of_an_actor_in_a_process_of_its_own_is_found_in_another_and_in_its_own() {
    crate::run(config(), |_| {
        let user = user();
        let counter = Counter::options()
            .name("tally")
            .isolation(Isolation::Process)
            .remote(5);
        assert_eq!(user.add().remote("tally", 2).get().unwrap(), 7);
        assert_eq!(counter.add().remote(1).get().unwrap(), 8);
        let given = user.give().remote("tally").get().unwrap();
        let pid = counter.pid().remote().get().unwrap();
        assert_eq!(given.pid().remote().get().unwrap(), pid);
        assert_ne!(user.pid().remote().get().unwrap(), pid);
    })
    .unwrap();
}

#[test]
fn a_name_that_a_worker_gave_is_found_everywhere_until_its_actor_ends() {
    crate::run(config(), |_| {
        let (maker, finder) = (user(), user());
        assert!(is_unknown(maser::get_actor::<Counter>("made")));
        assert_eq!(maker.make().remote("made", 10).get().unwrap(), 10);
        // Here, in its own process, and in a third one.
        let here = maser::get_actor::<Counter>("made").unwrap();
        assert_eq!(here.add().remote(1).get().unwrap(), 11);
        let pid = maker.pid().remote().get().unwrap();
        assert_eq!(here.pid().remote().get().unwrap(), pid);
        assert_eq!(maker.add().remote("made", 1).get().unwrap(), 12);
        assert_eq!(finder.add().remote("made", 1).get().unwrap(), 13);
        // Our handle keeps it.
        maker.drop_all().remote().get().unwrap();
        assert_eq!(finder.add().remote("made", 1).get().unwrap(), 14);
        drop(here);
        while !is_unknown(finder.add().remote("made", 1).get()) {
            maser::yield_now();
        }
        assert!(is_unknown(maser::get_actor::<Counter>("made")));
    })
    .unwrap();
}

#[test]
fn a_name_is_taken_for_all_processes() {
    crate::run(config(), |_| {
        let (one, other) = (user(), user());
        let taken = |error: Error| {
            let inner = error.downcast_ref::<Error>();
            matches!(inner, Some(Error::ActorNameTaken { name }) if name == "only")
        };
        one.make().remote("only", 1).get().unwrap();
        assert!(taken(other.make().remote("only", 2).get().unwrap_err()));
        let second = Counter::options().name("only").remote(3);
        let error = second.add().remote(1).get().unwrap_err();
        assert!(matches!(error, Error::ActorNameTaken { .. }), "{error}");
        // What the maker said before is true for whoever hears of it.
        for round in 0..50 {
            one.drop_all().remote().get().unwrap();
            let mine = Counter::options().name("only").remote(round);
            assert_eq!(mine.add().remote(0).get().unwrap(), round);
            assert!(taken(one.make().remote("only", 1).get().unwrap_err()));
            drop(mine);
            while let Err(error) = one.make().remote("only", 1).get() {
                assert!(taken(error));
            }
        }
    })
    .unwrap();
}

#[test]
fn a_name_is_free_when_its_actor_was_killed_or_its_process_died() {
    crate::run(config(), |_| {
        let (one, other) = (user(), user());
        one.make().remote("mortal", 1).get().unwrap();
        one.kill_it().remote().get().unwrap();
        assert!(is_unknown(maser::get_actor::<Counter>("mortal")));
        assert!(is_unknown(other.add().remote("mortal", 1).get()));
        one.drop_all().remote().get().unwrap();
        one.make().remote("mortal", 2).get().unwrap();
        assert_eq!(other.add().remote("mortal", 1).get().unwrap(), 3);
        one.abort().remote().get().unwrap_err();
        while !is_unknown(other.add().remote("mortal", 1).get()) {
            maser::yield_now();
        }
        assert_eq!(other.make().remote("mortal", 4).get().unwrap(), 4);
    })
    .unwrap();
}

#[test]
fn a_name_of_another_class_is_said_to_be_one() {
    crate::run(config(), |_| {
        let (one, other) = (user(), user());
        let counter = Counter::options().name("of the driver").remote(1);
        counter.add().remote(1).get().unwrap();
        one.make().remote("of a worker", 1).get().unwrap();
        for name in ["of the driver", "of a worker"] {
            let error = other.is_other().remote(name).get().unwrap_err();
            assert!(error.to_string().contains("class Counter"), "{error}");
        }
    })
    .unwrap();
}

#[test]
fn tasks_in_worker_processes_find_actors_of_the_driver() {
    let config = Config::new()
        .num_workers(2)
        .isolation(Isolation::Process)
        .mode(Mode::Silent);
    crate::run(config, |_| {
        let thread = Counter::options().isolation(Isolation::Thread);
        let counter = thread.name("shared").remote(0);
        let added: Vec<_> = (0..20)
            .map(|_| add_in_a_task::remote("shared", 1))
            .collect();
        maser::get(&added).unwrap();
        assert_eq!(counter.add().remote(0).get().unwrap(), 20);
        let doomed = Counter::options().name("doomed").remote(0);
        doomed.abort().remote().get().unwrap_err();
        assert!(is_unknown(add_in_a_task::remote("doomed", 1).get()));
    })
    .unwrap();
}
