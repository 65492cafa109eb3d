//! How actors begin and end: constructors, names, kill, and the last handle.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use maser::{Actor, Error, Ref};
use maser_tests::{beside_runtime, both_ways, quiet, with_runtime};

use crate::support::{Count, Counted, Gate, Refused, gate, held};

/// Says on which thread it was dropped.
struct Epitaph(Arc<Mutex<Vec<String>>>);

impl Drop for Epitaph {
    fn drop(&mut self) {
        let thread = std::thread::current().name().unwrap_or("").to_owned();
        self.0.lock().expect("no panic").push(thread);
    }
}

struct Mortal {
    sum: u64,
    _epitaph: Option<Epitaph>,
    _counted: Counted,
}

#[maser::actor(local)]
impl Mortal {
    fn new(counted: Counted) -> Self {
        Mortal {
            sum: 0,
            _epitaph: None,
            _counted: counted,
        }
    }
    fn add(&mut self, x: u64) -> u64 {
        self.sum += x;
        self.sum
    }
    fn bury_with(&mut self, epitaph: Arc<Mutex<Vec<String>>>) {
        self._epitaph = Some(Epitaph(epitaph));
    }
    fn wait(&mut self, gate: Gate) -> maser::Result<u64> {
        drop(gate.lock()?);
        Ok(self.sum)
    }
    fn sleep(&mut self) {
        maser::sleep(Duration::from_secs(3600));
    }
    fn get(&mut self, value: &Ref<Ref<u64>>) -> maser::Result<u64> {
        value.get()?.get()
    }
    #[maser(num_returns = 2)]
    fn two(&mut self) -> (u64, u64) {
        (self.sum, self.sum)
    }
    fn end_yourself(&mut self, me: Actor<Mortal>) -> u64 {
        maser::kill(&me);
        self.sum
    }
}

fn died<T: std::fmt::Debug>(result: maser::Result<T>, reason: &str) {
    let error = result.expect_err("the actor is dead");
    assert!(matches!(error.root(), Error::ActorDied { .. }), "{error}");
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn an_actor_ends_after_its_earlier_calls_when_its_last_handle_is_dropped() {
    for home in [0, 1] {
        both_ways(quiet(2), |_| {
            let count = Count::default();
            let mortal = Mortal::options().scheduler(home).remote(count.make());
            let other = mortal.clone();
            let gate = gate();
            let closed = gate.lock()?;
            let waiting = mortal.wait().remote(gate.clone());
            drop(mortal);
            let calls: Vec<_> = (0..200).map(|_| other.add().remote(1)).collect();
            let by_ref = other.add().remote(held::remote(gate.clone(), 1));
            drop(other);
            assert_eq!(count.alive(), 1, "a method still runs");
            drop(closed);
            assert_eq!(waiting.get()?, 0);
            assert_eq!(maser::get(&calls)?, (1..=200).collect::<Vec<_>>());
            assert_eq!(
                by_ref.get()?,
                201,
                "also one whose argument came after the last handle"
            );
            count.wait_for_alive(0);
            Ok(())
        });
    }
}

#[test]
fn the_state_is_dropped_on_its_scheduler() {
    beside_runtime(quiet(3), |_| {
        let count = Count::default();
        let epitaphs = Arc::new(Mutex::new(Vec::new()));
        for home in 0..3 {
            for by_kill in [false, true] {
                let mortal = Mortal::options().scheduler(home).remote(count.make());
                mortal
                    .bury_with()
                    .remote(epitaphs.clone())
                    .get()
                    .expect("it lives");
                if by_kill {
                    maser::kill(&mortal);
                    count.wait_for_alive(0);
                }
                drop(mortal);
                count.wait_for_alive(0);
            }
        }
        let expected: Vec<_> = (0..6).map(|at| format!("maser-{}", at / 2)).collect();
        assert_eq!(*epitaphs.lock().expect("no panic"), expected);
    });
}

#[test]
fn thousands_of_actors_come_and_go() {
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            let count = Count::default();
            for round in 0..20 {
                let actors: Vec<_> = (0..100).map(|_| Mortal::remote(count.make())).collect();
                let calls: Vec<_> = actors
                    .iter()
                    .map(|actor| actor.add().remote(round))
                    .collect();
                drop(actors);
                assert_eq!(maser::get(&calls)?, [round; 100]);
                // Some end without having been called.
                drop(Mortal::remote(count.make()));
            }
            count.wait_for_alive(0);
            assert_eq!(count.dropped(), 2_020);
            Ok(())
        });
    }
}

#[test]
fn kill_fails_what_is_queued_and_what_comes_later() {
    for home in [0, 1] {
        both_ways(quiet(2), |_| {
            let count = Count::default();
            let gate = gate();
            let closed = gate.lock()?;
            let mortal = Mortal::options()
                .scheduler(home)
                .name("m")
                .remote(count.make());
            assert_eq!(mortal.add().remote(1).get()?, 1);
            let running = mortal.wait().remote(gate.clone());
            let queued: Vec<_> = (0..100).map(|_| mortal.add().remote(1)).collect();
            let (one, two) = mortal.two().remote();
            let stalled = mortal.add().remote(held::remote(gate.clone(), 1));
            maser::kill(&mortal);
            maser::kill(&mortal);
            died(running.get(), "maser::kill");
            for call in queued {
                died(call.get(), "maser::kill");
            }
            died(one.get(), "maser::kill");
            died(two.get(), "maser::kill");
            died(mortal.add().remote(1).get(), "maser::kill");
            let (one, two) = mortal.two().remote();
            died(one.get(), "\"m\"");
            died(two.get(), "\"m\"");
            count.wait_for_alive(0);
            drop(closed);
            died(stalled.get(), "maser::kill");
            Ok(())
        });
    }
}

#[test]
fn kill_ends_a_method_wherever_it_waits() {
    for home in [0, 1] {
        both_ways(quiet(2), |_| {
            let count = Count::default();
            let gate = gate();
            let closed = gate.lock()?;
            let never = held::remote(gate.clone(), 1);
            for way in 0..3 {
                let mortal = Mortal::options().scheduler(home).remote(count.make());
                mortal.add().remote(1).get()?;
                let waiting: Ref<u64> = match way {
                    0 => mortal.wait().remote(gate.clone()),
                    1 => mortal.get().remote(maser::put(maser::put(never.clone()))),
                    _ => {
                        drop(mortal.sleep().remote());
                        mortal.add().remote(1)
                    }
                };
                let killer = {
                    let mortal = mortal.clone();
                    std::thread::spawn(move || maser::kill(&mortal))
                };
                died(waiting.get(), "maser::kill");
                killer.join().expect("no panic");
                count.wait_for_alive(0);
            }
            drop(closed);
            Ok(())
        });
    }
}

#[test]
fn an_actor_may_kill_itself_and_finish_its_method() {
    both_ways(quiet(2), |_| {
        for home in [0, 1] {
            let count = Count::default();
            let mortal = Mortal::options().scheduler(home).remote(count.make());
            mortal.add().remote(4).get()?;
            assert_eq!(mortal.end_yourself().remote(mortal.clone()).get()?, 4);
            died(mortal.add().remote(1).get(), "maser::kill");
            count.wait_for_alive(0);
        }
        Ok(())
    });
}

struct Picky;

#[maser::actor]
impl Picky {
    fn new(x: u64) -> Result<Self, Refused> {
        assert!(x < 100, "{x} is far too much");
        if x == 0 { Ok(Picky) } else { Err(Refused(x)) }
    }
    fn hello(&self) -> u64 {
        1
    }
    #[maser(num_returns = 2)]
    fn two(&self) -> (u64, u64) {
        (1, 2)
    }
    #[maser(stream)]
    fn items(&self) -> Vec<u64> {
        vec![1]
    }
}

#[maser::task]
fn refuse(x: u64) -> Result<u64, Refused> {
    Err(Refused(x))
}

#[test]
fn every_call_of_an_actor_whose_constructor_failed_says_why() {
    for home in [0, 1] {
        both_ways(quiet(2), |_| {
            let make = |x: u64| Picky::options().scheduler(home).remote(x);
            assert_eq!(make(0).hello().remote().get()?, 1);
            for (x, reason) in [(7, "refused: 7"), (100, "100 is far too much")] {
                let picky = make(x);
                for _ in 0..2 {
                    died(picky.hello().remote().get(), reason);
                }
                let (one, two) = picky.two().remote();
                died(one.get(), reason);
                died(two.get(), reason);
                let items: Vec<_> = picky.items().remote().collect();
                assert_eq!(items.len(), 1);
                died(items[0].get(), reason);
            }
            let fed = Picky::options().scheduler(home).remote(refuse::remote(9));
            died(fed.hello().remote().get(), "refused: 9");
            let late = Picky::options()
                .scheduler(home)
                .remote(held::remote(gate(), 0));
            assert_eq!(late.hello().remote().get()?, 1, "its argument came later");
            let events = maser::error_info()?;
            assert!(
                events
                    .iter()
                    .any(|event| event.message.contains("refused: 7")),
                "{events:?}"
            );
            Ok(())
        });
    }
}

#[test]
fn a_constructor_may_fail_after_the_last_handle_is_gone() {
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            let before = maser_shm::arena::pool::stats().live_blocks_total();
            for round in 0..1_000 {
                drop(Picky::remote(1 + round % 2 * 100));
            }
            // Later work finds a sound scheduler.
            for _ in 0..100 {
                assert_eq!(Picky::remote(0).hello().remote().get()?, 1);
            }
            let last = Picky::remote(1);
            died(last.hello().remote().get(), "refused: 1");
            drop(last);
            while maser_shm::arena::pool::stats().live_blocks_total() > before {
                maser::yield_now();
            }
            Ok(())
        });
    }
}

#[test]
fn a_constructor_waits_for_its_arguments_and_calls_wait_for_it() {
    for home in [0, 1] {
        both_ways(quiet(2), |_| {
            let gate = gate();
            let closed = gate.lock()?;
            let picky = Picky::options()
                .scheduler(home)
                .remote(held::remote(gate.clone(), 0));
            let hello = picky.hello().remote();
            let killed = Picky::options()
                .scheduler(home)
                .remote(held::remote(gate.clone(), 0));
            let never = killed.hello().remote();
            maser::kill(&killed);
            assert!(!hello.is_ready());
            drop(closed);
            assert_eq!(hello.get()?, 1);
            died(never.get(), "maser::kill");
            Ok(())
        });
    }
}

struct Other;

#[maser::actor]
impl Other {
    fn new() -> Self {
        Other
    }
    fn hello(&self) -> u64 {
        2
    }
}

#[test]
fn a_named_actor_is_found_by_its_name_and_class() {
    both_ways(quiet(2), |_| {
        let error = maser::get_actor::<Picky>("picky").expect_err("there is none");
        assert!(matches!(error, Error::ActorNotFound { .. }), "{error}");
        let picky = Picky::options().name("picky").remote(0);
        let found = maser::get_actor::<Picky>("picky")?;
        assert_eq!(found, picky);
        assert_eq!(maser::actor_id(&found), maser::actor_id(&picky));
        assert_eq!(found.hello().remote().get()?, 1);
        let error = maser::get_actor::<Other>("picky").expect_err("it is a Picky");
        assert!(matches!(error, Error::ActorNotFound { .. }), "{error}");
        assert!(error.to_string().contains("Picky"), "{error}");
        let error = maser::get_actor::<Picky>("piccy").expect_err("no such name");
        assert!(
            error.to_string().contains("picky"),
            "it says which there are: {error}"
        );
        drop(picky);
        assert_eq!(
            found.hello().remote().get()?,
            1,
            "a found handle is a handle"
        );
        Ok(())
    });
}

#[test]
fn a_name_is_taken_once_and_the_first_call_of_the_second_says_so() {
    both_ways(quiet(2), |_| {
        let first = Other::options().name("one").remote();
        let second = Other::options().name("one").remote();
        for _ in 0..2 {
            let error = second
                .hello()
                .remote()
                .get()
                .expect_err("the name is taken");
            assert!(matches!(error, Error::ActorNameTaken { .. }), "{error}");
        }
        assert_eq!(first.hello().remote().get()?, 2);
        assert_eq!(maser::get_actor::<Other>("one")?, first);
        drop(second);
        assert_eq!(
            maser::get_actor::<Other>("one")?,
            first,
            "the loser took nothing along"
        );
        Ok(())
    });
}

#[test]
fn a_name_is_free_again_after_kill_and_after_the_last_handle() {
    both_ways(quiet(2), |_| {
        let first = Other::options().name("one").remote();
        maser::kill(&first);
        let second = Other::options().name("one").remote();
        assert_eq!(second.hello().remote().get()?, 2);
        drop(first);
        assert_eq!(maser::get_actor::<Other>("one")?, second);
        drop(second);
        for _ in 0..1000 {
            // The name goes with the last handle, the actor a moment later.
            let error = maser::get_actor::<Other>("one").expect_err("nobody holds it");
            assert!(error.to_string().contains("no actor has a name"), "{error}");
            let next = Other::options().name("one").remote();
            assert_eq!(next.hello().remote().get()?, 2);
            assert_eq!(maser::get_actor::<Other>("one")?, next);
        }
        let failed = Picky::options().name("two").remote(5);
        died(failed.hello().remote().get(), "refused: 5");
        let works = Picky::options().name("two").remote(0);
        assert_eq!(
            works.hello().remote().get()?,
            1,
            "a failed constructor holds no name"
        );
        Ok(())
    });
}

#[test]
fn a_name_is_free_while_its_last_owner_still_works() {
    both_ways(quiet(2), |_| {
        let (count, gate) = (Count::default(), gate());
        let closed = gate.lock()?;
        let first = Mortal::options().name("one").remote(count.make());
        let works = first.wait().remote(gate.clone());
        drop(first);
        let second = Mortal::options().name("one").remote(count.make());
        assert_eq!(second.add().remote(3).get()?, 3);
        drop(closed);
        assert_eq!(works.get()?, 0);
        count.wait_for_alive(1);
        assert_eq!(maser::get_actor::<Mortal>("one")?, second);
        Ok(())
    });
}

#[test]
fn a_state_that_panics_when_dropped_harms_nobody() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    #[maser::actor]
    impl Bomb {
        fn new() -> Self {
            Bomb
        }
        fn hello(&self) -> u64 {
            3
        }
    }
    with_runtime(quiet(2), |_| {
        for home in [0, 1] {
            for by_kill in [false, true] {
                let bomb = Bomb::options().scheduler(home).remote();
                assert_eq!(bomb.hello().remote().get().expect("it lives"), 3);
                if by_kill {
                    maser::kill(&bomb);
                }
                drop(bomb);
            }
        }
        let other = Other::remote();
        assert_eq!(other.hello().remote().get().expect("it lives"), 2);
    });
}
