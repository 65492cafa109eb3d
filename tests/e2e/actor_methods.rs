//! Methods: which run together, what they may wait for, how they fail, where they run.

use crate::actors::Log;
use crate::support::{Gate, Refused, gate, held};
use maser::{Actor, Error, Ref};
use maser_tests::{beside_runtime, both_ways, quiet, with_runtime};
use serde::{Deserialize, Serialize};
use std::cell::Cell;

#[maser::task]
fn same(x: u64) -> u64 {
    x
}

/// Counts how many of its methods are under way.
struct Room {
    inside: Cell<u64>,
    most: Cell<u64>,
}

impl Room {
    fn enter(&self) {
        self.inside.set(self.inside.get() + 1);
        self.most.set(self.most.get().max(self.inside.get()));
    }
    fn leave(&self) {
        self.inside.set(self.inside.get() - 1);
    }
}

#[maser::actor]
impl Room {
    fn new() -> Self {
        Room {
            inside: Cell::new(0),
            most: Cell::new(0),
        }
    }
    fn pass(&self) -> u64 {
        self.enter();
        for _ in 0..10 {
            maser::yield_now();
        }
        self.leave();
        self.inside.get()
    }
    fn pass_alone(&mut self) -> u64 {
        let others = self.inside.get();
        self.enter();
        for _ in 0..10 {
            maser::yield_now();
        }
        self.leave();
        others + self.inside.get()
    }
    /// Stays until `count` are inside.
    fn meet(&self, count: u64) {
        self.enter();
        while self.inside.get() < count {
            maser::yield_now();
        }
    }
    async fn wait_inside(&self, value: Ref<u64>) -> maser::Result<u64> {
        self.enter();
        let value = value.await?;
        self.leave();
        Ok(value)
    }
    async fn wait_alone(&mut self, value: Ref<u64>) -> maser::Result<u64> {
        let others = self.inside.get();
        self.enter();
        let value = value.await?;
        self.leave();
        Ok(value + others)
    }
    fn inside(&self) -> u64 {
        self.inside.get()
    }
    fn most(&self) -> u64 {
        self.most.get()
    }
}

#[test]
fn methods_that_only_read_interleave_up_to_the_limit() {
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            for limit in [1, 2, 5] {
                let room = Room::options().max_concurrency(limit).remote();
                let passing: Vec<_> = (0..50).map(|_| room.pass().remote()).collect();
                maser::get(&passing)?;
                let most = room.most().remote().get()?;
                assert!(most <= u64::from(limit), "{most} of {limit}");
            }
            let room = Room::options().max_concurrency(4).remote();
            let meeting: Vec<_> = (0..4).map(|_| room.meet().remote(4)).collect();
            maser::get(&meeting)?;
            Ok(())
        });
    }
}

#[test]
fn a_method_that_writes_is_alone() {
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            let room = Room::options().max_concurrency(10).remote();
            let calls: Vec<_> = (0..60)
                .map(|at| match at % 3 {
                    0 => (true, room.pass_alone().remote()),
                    _ => (false, room.pass().remote()),
                })
                .collect();
            for (alone, call) in calls {
                let others = call.get()?;
                assert!(
                    !alone || others == 0,
                    "{others} were inside with one that writes"
                );
            }
            Ok(())
        });
    }
}

#[test]
fn async_methods_wait_together_and_those_that_write_alone() {
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            let gate = gate();
            let closed = gate.lock()?;
            let value = held::remote(gate.clone(), 5);
            let room = Room::remote();
            let waiting: Vec<_> = (0..100)
                .map(|_| room.wait_inside().remote(maser::put(value.clone())))
                .collect();
            // 100 are inside when this one comes: async methods have their own limit.
            let counts = Room::options().max_concurrency(200).remote();
            let inside: Vec<_> = (0..100)
                .map(|_| counts.wait_inside().remote(maser::put(value.clone())))
                .collect();
            while counts.inside().remote().get()? < 100 {
                maser::yield_now();
            }
            assert!(waiting.iter().chain(&inside).all(|call| !call.is_ready()));
            drop(closed);
            assert_eq!(maser::get(&waiting)?, [5; 100]);
            assert_eq!(maser::get(&inside)?, [5; 100]);
            assert_eq!(counts.most().remote().get()?, 100);
            let alone: Vec<_> = (0..10)
                .map(|at| room.wait_alone().remote(maser::put(same::remote(at))))
                .collect();
            assert_eq!(maser::get(&alone)?, (0..10).collect::<Vec<_>>());
            Ok(())
        });
    }
}

#[test]
fn async_methods_await_what_other_executors_bring() {
    struct Relay;

    #[maser::actor(local)]
    impl Relay {
        fn new() -> Self {
            Relay
        }
        async fn receive(&self, from: Receiver) -> u64 {
            let receiver = from
                .0
                .lock()
                .expect("no panic")
                .take()
                .expect("it comes once");
            receiver.await.expect("it is sent")
        }
    }
    struct Receiver(std::sync::Mutex<Option<tokio::sync::oneshot::Receiver<u64>>>);

    both_ways(quiet(2), |_| {
        let relay = Relay::remote();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let received = relay.receive().remote(Receiver(Some(receiver).into()));
        std::thread::spawn(move || sender.send(7));
        assert_eq!(received.get()?, 7);
        Ok(())
    });
}

/// Works with tasks and other actors.
struct Boss {
    logs: Vec<Actor<Log>>,
}

#[maser::actor]
impl Boss {
    fn new(logs: Vec<Actor<Log>>) -> Self {
        Boss { logs }
    }
    fn delegate(&mut self, x: u64) -> maser::Result<u64> {
        let parts: Vec<_> = (0..10).map(|at| same::remote(x + at)).collect();
        let sum: u64 = maser::get(&parts)?.into_iter().sum();
        let noted: Vec<_> = self
            .logs
            .iter()
            .map(|log| log.note().remote(x, sum))
            .collect();
        Ok(maser::get(&noted)?.into_iter().sum())
    }
    fn log(&self, at: usize) -> Actor<Log> {
        self.logs[at].clone()
    }
    fn sum_inside(&self, values: Vec<Ref<u64>>) -> maser::Result<u64> {
        Ok(maser::get(&values)?.into_iter().sum())
    }
}

#[test]
fn methods_wait_for_tasks_and_for_other_actors() {
    for schedulers in [1, 2, 3] {
        both_ways(quiet(schedulers), |_| {
            let logs: Vec<_> = (0..3).map(|_| Log::remote()).collect();
            let boss = Boss::remote(logs);
            let calls: Vec<_> = (0..20).map(|x| boss.delegate().remote(x)).collect();
            for (x, sum) in (0..).zip(maser::get(&calls)?) {
                assert_eq!(sum, 3 * (10 * x + 45));
            }
            let list = vec![same::remote(1), maser::put(2), same::remote(3)];
            assert_eq!(boss.sum_inside().remote(list).get()?, 6);
            Ok(())
        });
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Team {
    name: String,
    members: Vec<Actor<Log>>,
}

#[maser::task]
fn make_team(size: u64) -> Team {
    Team {
        name: format!("{size} logs"),
        members: (0..size).map(|_| Log::remote()).collect(),
    }
}

#[maser::task]
fn greet(team: Team) -> maser::Result<u64> {
    let greetings: Vec<_> = team
        .members
        .iter()
        .zip(0..)
        .map(|(log, at)| log.note().remote(0, at))
        .collect();
    Ok(maser::get(&greetings)?.into_iter().sum())
}

#[test]
fn handles_travel_as_arguments_results_and_inside_values() {
    both_ways(quiet(2), |_| {
        let team = make_team::remote(5);
        assert_eq!(greet::remote(&team).get()?, 10);
        let Team { name, members } = team.get()?;
        assert_eq!(name, "5 logs");
        drop(team);
        assert_eq!(members[4].all().remote().get()?, [(0, 4)]);
        let boss = Boss::remote(members);
        let log = boss.log().remote(2).get()?;
        assert_eq!(log.all().remote().get()?, [(0, 2)]);
        assert_eq!(
            log,
            boss.log().remote(2).get()?,
            "handles of one actor are equal"
        );
        assert_ne!(log, boss.log().remote(3).get()?);
        Ok(())
    });
}

struct Fragile {
    calls: u64,
}

#[maser::actor]
impl Fragile {
    fn new() -> Self {
        Fragile { calls: 0 }
    }
    fn fall(&mut self) -> u64 {
        self.calls += 1;
        panic!("fallen {}", self.calls)
    }
    fn refuse(&mut self) -> Result<u64, Refused> {
        self.calls += 1;
        Err(Refused(self.calls))
    }
    #[maser(num_returns = 2)]
    fn two(&mut self, fail: bool) -> Result<(u64, u64), Refused> {
        self.calls += 1;
        if fail {
            Err(Refused(self.calls))
        } else {
            Ok((self.calls, 0))
        }
    }
    fn calls(&self) -> u64 {
        self.calls
    }
}

#[test]
fn a_method_that_panics_or_fails_leaves_the_actor_alive() {
    both_ways(quiet(2), |_| {
        for home in [0, 1] {
            let fragile = Fragile::options().scheduler(home).name("glass").remote();
            for round in 0..5 {
                let error = fragile.fall().remote().get().expect_err("it panics");
                let Error::Task(task) = &error else {
                    panic!("{error}")
                };
                assert_eq!(task.function(), "Fragile::fall");
                assert!(
                    task.actor().is_some_and(|actor| actor.contains("glass")),
                    "{error}"
                );
                assert!(
                    error
                        .to_string()
                        .contains(&format!("fallen {}", 3 * round + 1))
                );
                let error = fragile.refuse().remote().get().expect_err("it refuses");
                assert_eq!(
                    error.downcast_ref::<Refused>(),
                    Some(&Refused(3 * round + 2))
                );
                let (one, two) = fragile.two().remote(true);
                for error in [one.get(), two.get()] {
                    let error = error.expect_err("both results fail");
                    assert_eq!(
                        error.downcast_ref::<Refused>(),
                        Some(&Refused(3 * round + 3))
                    );
                }
            }
            assert_eq!(fragile.calls().remote().get()?, 15);
            maser::kill(&fragile);
        }
        Ok(())
    });
}

#[test]
fn an_actor_lives_on_the_scheduler_it_was_given_and_others_take_turns() {
    struct Place;

    #[maser::actor]
    impl Place {
        fn new() -> Self {
            Place
        }
        fn thread(&self) -> String {
            std::thread::current().name().unwrap_or("").to_owned()
        }
    }
    beside_runtime(quiet(3), |_| {
        for home in [2, 0, 1] {
            let place = Place::options().scheduler(home).remote();
            for _ in 0..3 {
                let name = place.thread().remote().get().expect("it lives");
                assert_eq!(name, format!("maser-{home}"));
            }
        }
        let places: Vec<_> = (0..3).map(|_| Place::remote()).collect();
        let mut names: Vec<_> = places
            .iter()
            .map(|place| place.thread().remote().get().expect("it lives"))
            .collect();
        names.sort();
        assert_eq!(names, ["maser-0", "maser-1", "maser-2"]);
    });
    with_runtime(quiet(2), |_| {
        let error = Place::options()
            .scheduler(2)
            .remote()
            .thread()
            .remote()
            .get();
        assert!(
            matches!(error, Err(Error::InvalidArgument { .. })),
            "{error:?}"
        );
    });
}

#[test]
fn a_gate_held_by_one_method_keeps_no_other_actor_from_running() {
    struct Doorman;

    #[maser::actor(local)]
    impl Doorman {
        fn new() -> Self {
            Doorman
        }
        fn wait(&mut self, gate: &Gate) -> maser::Result<()> {
            drop(gate.lock()?);
            Ok(())
        }
    }
    both_ways(quiet(1), |_| {
        let gate = gate();
        let closed = gate.lock()?;
        let doormen: Vec<_> = (0..20).map(|_| Doorman::remote()).collect();
        let waiting: Vec<_> = doormen
            .iter()
            .map(|one| one.wait().remote(gate.clone()))
            .collect();
        let log = Log::remote();
        assert_eq!(log.note().remote(0, 1).get()?, 1);
        assert!(waiting.iter().all(|call| !call.is_ready()));
        drop(closed);
        maser::get(&waiting)?;
        Ok(())
    });
}
