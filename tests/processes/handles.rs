//! Refs and handles of actors that travel between processes.

use maser::{Actor, Config, Error, Isolation, Mode, Ref};
use std::time::Duration;

fn config() -> Config {
    Config::new().num_cpus(2).mode(Mode::Silent)
}

/// Lives in the driver.
struct Counter {
    count: u64,
}

#[maser::actor]
impl Counter {
    fn new() -> Self {
        Counter { count: 0 }
    }

    fn add(&mut self, by: u64) -> u64 {
        self.count += by;
        self.count
    }
}

/// Lives in a process of its own.
struct User {
    counter: Option<Actor<Counter>>,
    kept: Vec<Ref<u64>>,
}

#[maser::actor]
impl User {
    fn new() -> Self {
        User {
            counter: None,
            kept: Vec::new(),
        }
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn keep(&mut self, counter: Actor<Counter>) {
        self.counter = Some(counter);
    }

    fn drop_it(&mut self) {
        self.counter = None;
    }

    fn kills(&self) {
        maser::kill(self.counter.as_ref().expect("it was kept"));
    }

    fn makes(&mut self) -> Actor<Counter> {
        let made = Counter::remote();
        self.counter = Some(made.clone());
        made
    }

    fn use_it(&mut self, by: u64) -> Result<u64, Error> {
        let counter = self.counter.as_ref().expect("it was kept");
        counter.add().remote(by).get()
    }

    fn later(&self, value: Ref<u64>) -> Result<u64, Error> {
        value.get()
    }

    fn keep_ref(&mut self, value: Ref<u64>) {
        self.kept.push(value);
    }

    fn kept(&self) -> Result<u64, Error> {
        self.kept[0].get()
    }

    fn gives(&self) -> Vec<Ref<u64>> {
        vec![maser::put(1), slow::remote(2)]
    }

    fn same(&self, a: Actor<User>) -> Actor<User> {
        a
    }

    fn calls_back(&self, other: Actor<User>) -> Result<u32, Error> {
        other.pid().remote().get()
    }
}

#[maser::task]
fn slow(value: u64) -> u64 {
    maser::sleep(Duration::from_millis(30));
    value
}

fn user() -> Actor<User> {
    User::options().isolation(Isolation::Process).remote()
}

#[test]
fn an_actor_of_the_driver_is_called_from_another_process() {
    crate::run(config(), |_| {
        let (counter, user) = (Counter::remote(), user());
        user.keep().remote(counter.clone()).get().unwrap();
        assert_eq!(user.use_it().remote(3).get().unwrap(), 3);
        assert_eq!(counter.add().remote(4).get().unwrap(), 7);
        assert_eq!(user.use_it().remote(1).get().unwrap(), 8);
    })
    .unwrap();
}

#[test]
fn an_actor_ends_when_the_last_handle_in_any_process_is_gone() {
    crate::run(config(), |_| {
        let user = user();
        let counter = Counter::options().name("counted").remote();
        user.keep().remote(counter.clone()).get().unwrap();
        drop(counter);
        assert_eq!(user.use_it().remote(3).get().unwrap(), 3);
        user.drop_it().remote().get().unwrap();
        while maser::get_actor::<Counter>("counted").is_ok() {
            maser::yield_now();
        }
    })
    .unwrap();
}

#[test]
fn handles_of_a_process_that_was_killed_are_given_back() {
    crate::run(config(), |_| {
        let user = user();
        let counter = Counter::options().name("counted").remote();
        user.keep().remote(counter).get().unwrap();
        assert!(maser::get_actor::<Counter>("counted").is_ok());
        maser::kill(&user);
        while maser::get_actor::<Counter>("counted").is_ok() {
            maser::yield_now();
        }
    })
    .unwrap();
}

#[test]
fn a_ref_is_read_in_another_process_whether_its_value_is_there_or_not() {
    crate::run(config(), |_| {
        let user = user();
        assert_eq!(
            user.later()
                .remote(maser::put(maser::put(5)))
                .get()
                .unwrap(),
            5
        );
        let late = slow::remote(6);
        assert_eq!(user.later().remote(maser::put(late)).get().unwrap(), 6);
        user.keep_ref()
            .remote(maser::put(slow::remote(7)))
            .get()
            .unwrap();
        assert_eq!(user.kept().remote().get().unwrap(), 7);
    })
    .unwrap();
}

#[test]
fn refs_come_back_inside_a_result() {
    crate::run(config(), |_| {
        let user = user();
        let refs = user.gives().remote().get().unwrap();
        assert_eq!(maser::get(&refs).unwrap(), [1, 2]);
    })
    .unwrap();
}

#[test]
fn a_ref_whose_owner_was_killed_is_lost_and_says_so() {
    crate::run(config(), |_| {
        let user = user();
        let refs = user.gives().remote().get().unwrap();
        maser::kill(&user);
        assert_eq!(refs[0].get().unwrap(), 1);
        match refs[1].get() {
            Ok(value) => assert_eq!(value, 2),
            Err(error) => assert!(matches!(error, Error::ObjectLost { .. }), "{error}"),
        }
    })
    .unwrap();
}

#[test]
fn a_handle_that_comes_home_is_the_same_actor() {
    crate::run(config(), |_| {
        let user = user();
        let same = user.same().remote(user.clone()).get().unwrap();
        let pid = user.pid().remote().get().unwrap();
        assert_eq!(same.pid().remote().get().unwrap(), pid);
        drop(user);
        assert_eq!(same.pid().remote().get().unwrap(), pid);
    })
    .unwrap();
}

#[test]
fn an_actor_of_one_worker_is_called_from_another() {
    crate::run(config(), |_| {
        let (one, other) = (user(), user());
        let pid = other.pid().remote().get().unwrap();
        assert_eq!(one.calls_back().remote(other.clone()).get().unwrap(), pid);
    })
    .unwrap();
}

#[test]
fn a_handle_in_another_process_ends_its_actor_and_nothing_else() {
    crate::run(config(), |_| {
        let (user, counter) = (user(), Counter::remote());
        user.keep().remote(counter.clone()).get().unwrap();
        user.kills().remote().get().unwrap();
        let ended = |error: Error| error.to_string().contains("maser::kill");
        // The message is on its way.
        while counter.add().remote(1).get().is_ok() {}
        assert!(ended(counter.add().remote(1).get().unwrap_err()));
        assert!(ended(user.use_it().remote(1).get().unwrap_err()));
    })
    .unwrap();
}

#[test]
fn an_actor_that_a_worker_made_is_killed_without_its_process() {
    crate::run(config(), |_| {
        let user = user();
        let made = user.makes().remote().get().unwrap();
        assert_eq!(made.add().remote(2).get().unwrap(), 2);
        maser::kill(&made);
        let error = made.add().remote(1).get().unwrap_err();
        assert!(error.to_string().contains("maser::kill"), "{error}");
        // Its maker shares the process, and has lost it too.
        while user.use_it().remote(1).get().is_ok() {}
        let error = user.use_it().remote(1).get().unwrap_err();
        assert!(error.to_string().contains("maser::kill"), "{error}");
    })
    .unwrap();
}
