//! Calls of actors: order, concurrency, arguments and results, from every side.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use maser::{Actor, Error, Ref};
use maser_tests::{beside_runtime, both_ways, quiet, with_runtime};
use serde::{Deserialize, Serialize};

use crate::support::{Gate, Refused, gate, held};

/// Remembers who said what, in order.
struct Log {
    // Neither Send nor Sync: the state never leaves its scheduler.
    lines: Rc<RefCell<Vec<(u64, u64)>>>,
}

#[maser::actor]
impl Log {
    fn new() -> Self {
        Log {
            lines: Rc::default(),
        }
    }
    fn note(&mut self, caller: u64, number: u64) -> u64 {
        self.lines.borrow_mut().push((caller, number));
        number
    }
    fn all(&self) -> Vec<(u64, u64)> {
        self.lines.borrow().clone()
    }
    fn count(&self) -> u64 {
        self.lines.borrow().len() as u64
    }
}

#[maser::task]
fn same(x: u64) -> u64 {
    x
}

/// Calls `note` with numbers from 0 on; some arguments are there, some come later.
fn write(log: &Actor<Log>, caller: u64, count: u64) -> Vec<Ref<u64>> {
    (0..count)
        .map(|number| match number % 7 {
            1 => log.note().remote(caller, same::remote(number)),
            3 => log.note().remote(same::remote(caller), number),
            5 => log.note().remote(caller, maser::put(number)),
            _ => log.note().remote(caller, number),
        })
        .collect()
}

#[maser::task]
fn write_many(log: Actor<Log>, caller: u64, count: u64) -> maser::Result<Vec<u64>> {
    maser::get(&write(&log, caller, count))
}

fn assert_in_order(lines: &[(u64, u64)], callers: u64, count: u64) {
    for caller in 0..callers {
        let numbers = lines
            .iter()
            .filter(|line| line.0 == caller)
            .map(|line| line.1);
        assert!(numbers.eq(0..count), "caller {caller}: {lines:?}");
    }
}

#[test]
fn calls_of_one_caller_run_in_order_on_the_same_and_on_another_scheduler() {
    both_ways(quiet(2), |_| {
        for home in [0, 1] {
            let log = Log::options().scheduler(home).remote();
            let noted = maser::get(&write(&log, 0, 500))?;
            assert!(noted.into_iter().eq(0..500));
            assert_in_order(&log.all().remote().get()?, 1, 500);
        }
        Ok(())
    });
}

#[test]
fn calls_of_many_tasks_run_in_the_order_of_each() {
    for schedulers in [1, 2, 3] {
        both_ways(quiet(schedulers), |_| {
            let log = Log::remote();
            let writers: Vec<_> = (0..10)
                .map(|caller| write_many::remote(log.clone(), caller, 100))
                .collect();
            maser::get(&writers)?;
            assert_in_order(&log.all().remote().get()?, 10, 100);
            Ok(())
        });
    }
}

#[test]
fn calls_of_many_threads_run_in_the_order_of_each() {
    beside_runtime(quiet(2), |_| {
        let log = Log::remote();
        std::thread::scope(|scope| {
            for caller in 0..4 {
                let log = &log;
                scope.spawn(move || maser::get(&write(log, caller, 500)).expect("all succeed"));
            }
        });
        assert_in_order(&log.all().remote().get().expect("it lives"), 4, 500);
    });
}

#[test]
fn calls_wait_behind_one_whose_argument_is_not_there_yet() {
    both_ways(quiet(2), |_| {
        for home in [0, 1] {
            let gate = gate();
            let closed = gate.lock()?;
            let log = Log::options().scheduler(home).remote();
            let first = log.note().remote(0, 0);
            let stalled = log.note().remote(0, held::remote(gate.clone(), 1));
            let behind: Vec<_> = (2..200)
                .map(|number| log.note().remote(0, number))
                .collect();
            assert_eq!(first.get()?, 0, "what came before is not held up");
            // Another caller is not held up either.
            write_many::remote(log.clone(), 1, 10).get()?;
            assert!(behind.iter().all(|call| !call.is_ready()));
            drop(closed);
            assert_eq!(stalled.get()?, 1);
            maser::get(&behind)?;
            assert_in_order(&log.all().remote().get()?, 1, 200);
        }
        Ok(())
    });
}

#[test]
fn a_call_whose_argument_failed_is_not_run_and_holds_nobody_up() {
    #[maser::task]
    fn refuse(x: u64) -> Result<u64, Refused> {
        Err(Refused(x))
    }
    both_ways(quiet(2), |_| {
        for home in [0, 1] {
            let log = Log::options().scheduler(home).remote();
            let failed = log.note().remote(0, refuse::remote(5));
            let next = log.note().remote(0, 1);
            let error = failed.get().expect_err("its argument failed");
            assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused(5)));
            assert!(
                error.to_string().contains("Log::note argument 1"),
                "{error}"
            );
            assert_eq!(next.get()?, 1);
            assert_eq!(log.all().remote().get()?, [(0, 1)]);
        }
        Ok(())
    });
}

#[test]
fn far_more_calls_may_be_outstanding_than_a_lane_has_places() {
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            let log = Log::options().scheduler(schedulers - 1).remote();
            let calls: Vec<_> = (0..5_000)
                .map(|number| log.note().remote(0, number))
                .collect();
            assert!(maser::get(&calls)?.into_iter().eq(0..5_000));
            for number in 5_000..10_000 {
                drop(log.note().remote(0, number));
            }
            assert_eq!(
                log.count().remote().get()?,
                10_000,
                "calls that nobody awaits run too"
            );
            assert_in_order(&log.all().remote().get()?, 1, 10_000);
            Ok(())
        });
    }
}

#[test]
fn both_directions_between_two_schedulers_are_used_at_once() {
    #[maser::task]
    fn drive(log: Actor<Log>, caller: u64) -> maser::Result<()> {
        for round in 0..20 {
            let calls: Vec<_> = (0..100)
                .map(|at| log.note().remote(caller, 100 * round + at))
                .collect();
            maser::get(&calls)?;
        }
        Ok(())
    }
    both_ways(quiet(2), |_| {
        let logs = [0, 1].map(|home| Log::options().scheduler(home).remote());
        let drivers: Vec<_> = (0..4)
            .map(|at| {
                let log = logs[at % 2].clone();
                drive::options()
                    .scheduler((at + at / 2) % 2)
                    .remote(log, at as u64)
            })
            .collect();
        maser::get(&drivers)?;
        for log in &logs {
            assert_eq!(log.count().remote().get()?, 4_000);
        }
        Ok(())
    });
}

#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
struct Line([u8; 64]);

#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(256))]
struct Wide(u8);

struct Mirror;

#[maser::actor(local)]
impl Mirror {
    fn new() -> Self {
        Mirror
    }
    fn nothing(&self) {}
    fn byte(&self, x: u8) -> u8 {
        x
    }
    fn four_words(&self, x: [u64; 4]) -> [u64; 4] {
        x
    }
    fn five_words(&mut self, x: [u64; 5]) -> [u64; 5] {
        x
    }
    fn six_words(&self, x: [u64; 6]) -> [u64; 6] {
        x
    }
    fn seven_words(&mut self, x: [u64; 7]) -> [u64; 7] {
        x
    }
    fn large(&self, x: [u64; 200]) -> [u64; 200] {
        x
    }
    fn u128(&self, x: u128) -> u128 {
        x
    }
    fn line(&mut self, x: Line) -> Line {
        x
    }
    fn wide(&self, x: Wide, y: u8) -> (u8, Wide) {
        (y, x)
    }
    fn text(&self, x: &str) -> String {
        x.to_owned()
    }
    fn many(&self, a: u8, b: u16, c: u32, d: u64, e: String, f: Option<u8>) -> String {
        format!("{a} {b} {c} {d} {e} {f:?}")
    }
    #[maser(num_returns = 3)]
    fn three(&mut self, x: u64) -> (u64, String, Line) {
        (x, x.to_string(), Line([x as u8; 64]))
    }
}

fn mirrors(mirror: &Actor<Mirror>) -> maser::Result<()> {
    mirror.nothing().remote().get()?;
    for round in 0..100_u64 {
        let byte = round as u8;
        assert_eq!(mirror.byte().remote(byte).get()?, byte);
        assert_eq!(mirror.four_words().remote([round; 4]).get()?, [round; 4]);
        assert_eq!(mirror.five_words().remote([round; 5]).get()?, [round; 5]);
        assert_eq!(mirror.six_words().remote([round; 6]).get()?, [round; 6]);
        assert_eq!(mirror.seven_words().remote([round; 7]).get()?, [round; 7]);
        assert_eq!(mirror.large().remote([round; 200]).get()?, [round; 200]);
        let wide = u128::from(round) << 100;
        assert_eq!(mirror.u128().remote(wide).get()?, wide);
        assert_eq!(
            mirror.line().remote(Line([byte; 64])).get()?,
            Line([byte; 64])
        );
        let (y, x) = mirror.wide().remote(Wide(byte), 7).get()?;
        assert_eq!((x, y), (Wide(byte), 7));
        assert_eq!(mirror.text().remote("text").get()?, "text");
        let many = mirror.many().remote(1, 2, 3, 4, "five", Some(6));
        assert_eq!(many.get()?, "1 2 3 4 five Some(6)");
        let (a, b, c) = mirror.three().remote(round);
        assert_eq!((a.get()?, b.get()?), (round, round.to_string()));
        assert_eq!(c.get()?, Line([byte; 64]));
    }
    let line = maser::put(Line([9; 64]));
    assert_eq!(mirror.line().remote(&line).get()?, Line([9; 64]));
    let kept = mirror.wide().remote(Wide(3), 1);
    assert_eq!(std::ptr::from_ref(&kept.read()?.1).addr() % 256, 0);
    Ok(())
}

#[test]
fn arguments_and_results_of_any_size_and_alignment_arrive_whole() {
    #[maser::task(local)]
    fn from_a_task(mirror: Actor<Mirror>) -> maser::Result<()> {
        mirrors(&mirror)
    }
    both_ways(quiet(2), |_| {
        for home in [0, 1] {
            let mirror = Mirror::options().scheduler(home).remote();
            mirrors(&mirror)?;
            for from in [0, 1] {
                from_a_task::options()
                    .scheduler(from)
                    .remote(mirror.clone())
                    .get()?;
            }
        }
        Ok(())
    });
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
