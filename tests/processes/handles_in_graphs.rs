//! Refs and handles of actors on the edges of compiled graphs between processes: whoever reads a value
//! uses them, and whatever becomes of the graph, nothing is held for a line that nobody read.

use super::arrays::{numbers, objects_become, sum_to};
use maser::{Actor, Array, Config, Error, Graph, GraphHandle, Isolation, Mode, Node, Ref};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) fn config() -> Config {
    Config::new().num_cpus(2).mode(Mode::Silent)
}

/// Counts.
pub(crate) struct Counter {
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

/// Several things in one value.
#[derive(Clone, Serialize, Deserialize)]
struct Bag {
    name: String,
    counters: Vec<Actor<Counter>>,
    early: Option<Ref<u64>>,
    late: Option<Ref<Array<u64>>>,
    array: Array<u64>,
}

/// A handle that cannot be decoded, and that nobody looks at before that is said.
#[derive(Clone)]
pub(crate) struct Picky(pub(crate) Actor<Counter>);

impl Serialize for Picky {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("it is picky"))
    }
}

/// Steps of the graphs.
pub(crate) struct Stage {
    kept: Vec<Ref<Array<u64>>>,
}

#[maser::actor]
impl Stage {
    fn new() -> Self {
        Stage { kept: Vec::new() }
    }

    pub(crate) fn pass(&mut self, counter: Actor<Counter>) -> Actor<Counter> {
        counter
    }

    fn count(&mut self, counter: Actor<Counter>) -> Result<u64, Error> {
        counter.add().remote(1).get()
    }

    fn count_all(&mut self, counters: Vec<Actor<Counter>>) -> Result<Vec<u64>, Error> {
        let counted = counters.iter().map(|counter| counter.add().remote(1).get());
        counted.collect()
    }

    /// One of this process.
    fn make(&mut self, name: String) -> Actor<Counter> {
        Counter::options().name(&name).remote()
    }

    pub(crate) fn pass_ref(&mut self, value: Ref<Array<u64>>) -> Ref<Array<u64>> {
        value
    }

    fn keep(&mut self, value: Ref<Array<u64>>) -> usize {
        self.kept.push(value);
        self.kept.len()
    }

    fn sum_of_kept(&mut self) -> Result<u64, Error> {
        let kept = std::mem::take(&mut self.kept);
        kept.iter()
            .map(|value| Ok(value.get()?.iter().sum::<u64>()))
            .sum()
    }

    /// A ref whose value is to come, of this process.
    fn late(&mut self, len: u64) -> Ref<Array<u64>> {
        made_late::remote(len)
    }

    fn pass_bag(&mut self, bag: Bag) -> Bag {
        bag
    }

    fn empty(&mut self, bag: Bag) -> Result<(u64, u64), Error> {
        let mut counted = 0;
        for counter in &bag.counters {
            counted += counter.add().remote(1).get()?;
        }
        let early = bag.early.map_or(Ok(0), |value| value.get())?;
        let late = bag.late.map_or(Ok(0), |value| {
            Ok::<_, Error>(value.get()?.iter().sum::<u64>())
        })?;
        let array = bag.array.iter().sum::<u64>();
        Ok((counted, early + late + array + bag.name.len() as u64))
    }

    pub(crate) fn refuse(&mut self, _: Picky) {}

    /// Never comes back.
    pub(crate) fn stuck(&mut self, _: Actor<Counter>) -> u64 {
        loop {
            std::thread::yield_now();
        }
    }

    pub(crate) fn dies(
        &mut self,
        counter: Actor<Counter>,
        at: u64,
    ) -> Result<Actor<Counter>, Error> {
        if counter.add().remote(1).get()? == at {
            std::process::abort();
        }
        Ok(counter)
    }

    /// Drives a graph over actors elsewhere, along whose edges the handle goes.
    pub(crate) fn drive(
        &mut self,
        stages: Vec<Actor<Stage>>,
        counter: Actor<Counter>,
    ) -> Result<u64, Error> {
        let graph = Graph::new(|counter: Node<Actor<Counter>>| {
            let passed = stages[0].pass().bind(counter);
            let back = stages[1].pass().bind(passed);
            (
                stages[1].count().bind(passed),
                stages[0].count().bind(back),
                back,
            )
        });
        let graph = graph.compile()?;
        let (one, other, back) = graph.execute(counter)?;
        let counted = one.get()? + other.get()?;
        Ok(counted + back.get()?.add().remote(1).get()?)
    }

    pub(crate) fn run(&mut self, graph: GraphHandle<Node<u64>, Node<u64>>) -> Result<u64, Error> {
        graph.execute(4)?.get()
    }

    pub(crate) fn idle(&self) -> u64 {
        7
    }
}

pub(crate) fn stage() -> Actor<Stage> {
    Stage::options().isolation(Isolation::Process).remote()
}

pub(crate) fn stage_here() -> Actor<Stage> {
    Stage::remote()
}

#[maser::task]
fn made_late(len: u64) -> Array<u64> {
    maser::sleep(Duration::from_millis(30));
    (0..len).collect()
}

pub(crate) const NAME: &str = "counted";

pub(crate) fn counter() -> Actor<Counter> {
    Counter::options().name(NAME).remote()
}

/// Waits until nobody has a handle of the actor of this name.
pub(crate) fn nobody_holds(name: &str) {
    while maser::get_actor::<Counter>(name).is_ok() {
        maser::yield_now();
    }
}

static IS_OPEN: AtomicBool = AtomicBool::new(false);

/// Gives an array when it is let.
pub(crate) struct Gate;

#[maser::actor]
impl Gate {
    fn new() -> Self {
        IS_OPEN.store(false, Ordering::SeqCst);
        Gate
    }

    fn array(&mut self, len: usize) -> Array<u64> {
        while !IS_OPEN.load(Ordering::SeqCst) {
            maser::yield_now();
        }
        numbers(len)
    }
}

/// A ref of which the value is to come when the gate is opened.
pub(crate) fn held_back(len: usize) -> (Actor<Gate>, Ref<Array<u64>>) {
    let gate = Gate::remote();
    let value = gate.array().remote(len);
    (gate, value)
}

pub(crate) fn open_the_gate() {
    IS_OPEN.store(true, Ordering::SeqCst);
}

#[test]
fn a_handle_passes_from_the_driver_through_two_workers_and_home() {
    crate::run(config(), |_| {
        let (one, two) = (stage(), stage());
        let graph = Graph::new(|counter: Node<Actor<Counter>>| {
            let passed = one.pass().bind(counter);
            (two.count().bind(passed), two.pass().bind(passed))
        });
        let graph = graph.compile()?;
        let counter = counter();
        for round in 0..10 {
            let refs = graph.execute(counter.clone())?;
            assert_eq!(refs.0.get()?, 2 * round + 1);
            let back = refs.1.get()?;
            assert_eq!(back.add().remote(1).get()?, 2 * round + 2);
        }
        drop(counter);
        nobody_holds(NAME);
        graph.teardown()
    })
    .unwrap()
    .unwrap();
}

#[test]
fn a_handle_is_a_question_and_an_answer_on_one_line() {
    crate::run(config(), |_| {
        let one = stage();
        let graph = Graph::new(|counter: Node<Actor<Counter>>| one.pass().bind(counter));
        let graph = graph.compile()?;
        let counter = counter();
        for round in 1..10 {
            let back = graph.execute(counter.clone())?.get()?;
            assert_eq!(back.add().remote(1).get()?, round);
        }
        drop(counter);
        nobody_holds(NAME);
        graph.teardown()
    })
    .unwrap()
    .unwrap();
}

#[test]
fn an_actor_that_a_worker_made_is_called_at_the_other_end_of_each_edge() {
    crate::run(config(), |_| {
        let (one, two, here) = (stage(), stage(), stage_here());
        let graph = Graph::new(|name: Node<String>| {
            let made = one.make().bind(name);
            (
                one.count().bind(made),
                two.count().bind(made),
                here.count().bind(made),
                made,
            )
        });
        let graph = graph.compile()?;
        for round in 0..4 {
            let name = format!("made {round}");
            let refs = graph.execute(name.clone())?;
            let made = refs.3.get()?;
            let mut counts = [refs.0.get()?, refs.1.get()?, refs.2.get()?];
            counts.sort_unstable();
            assert_eq!(counts, [1, 2, 3]);
            assert_eq!(made.add().remote(1).get()?, 4);
            drop((made, refs));
            nobody_holds(&name);
        }
        graph.teardown()
    })
    .unwrap()
    .unwrap();
}

#[test]
fn several_readers_in_one_process_have_a_handle_each() {
    crate::run(config(), |_| {
        let (one, two) = (stage(), stage());
        let (here, there) = (stage_here(), stage_here());
        let graph = Graph::new(|counter: Node<Actor<Counter>>| {
            let passed = one.pass().bind(counter);
            vec![
                two.count().bind(counter),
                two.count().bind(passed),
                one.count().bind(passed),
                here.count().bind(passed),
                there.count().bind(passed),
                two.count().bind(counter),
            ]
        });
        let graph = graph.compile()?;
        let counter = counter();
        for round in 0..5 {
            let mut counts = maser::get_graph(&graph.execute(counter.clone())?)?;
            counts.sort_unstable();
            let expected: Vec<u64> = (6 * round + 1..=6 * round + 6).collect();
            assert_eq!(counts, expected);
        }
        drop(counter);
        nobody_holds(NAME);
        graph.teardown()
    })
    .unwrap()
    .unwrap();
}

#[test]
fn a_ref_whose_value_is_to_come_is_waited_for_wherever_it_went() {
    crate::run(config(), |_| {
        let (one, two, here) = (stage(), stage(), stage_here());
        let graph = Graph::new(|value: Node<Ref<Array<u64>>>| {
            let passed = one.pass_ref().bind(value);
            (
                one.keep().bind(value),
                two.keep().bind(passed),
                here.keep().bind(passed),
                two.keep().bind(value),
                passed,
            )
        });
        let graph = graph.compile()?;
        let (gate, value) = held_back(1000);
        let refs = graph.execute(value)?;
        // All have it, and it is not there.
        let back = refs.4.get()?;
        assert_eq!((refs.0.get()?, refs.2.get()?), (1, 1));
        assert_eq!(refs.1.get()?.max(refs.3.get()?), 2);
        assert!(back.get_timeout(Duration::ZERO).unwrap_err().is_timeout());
        open_the_gate();
        assert_eq!(back.get()?.iter().sum::<u64>(), sum_to(1000));
        assert_eq!(one.sum_of_kept().remote().get()?, sum_to(1000));
        assert_eq!(two.sum_of_kept().remote().get()?, 2 * sum_to(1000));
        assert_eq!(here.sum_of_kept().remote().get()?, sum_to(1000));
        drop(refs);
        // It is there now, and goes as its value.
        let refs = graph.execute(back)?;
        assert_eq!(refs.4.get()?.get()?.iter().sum::<u64>(), sum_to(1000));
        let kept = (refs.0.get()?, refs.1.get()?, refs.2.get()?, refs.3.get()?);
        assert_eq!(kept, (1, kept.1, 1, 3 - kept.1));
        drop(refs);
        for stage in [&one, &two, &here] {
            stage.sum_of_kept().remote().get()?;
        }
        objects_become(0);
        drop(gate);
        graph.teardown()
    })
    .unwrap()
    .unwrap();
}

#[test]
fn a_ref_that_a_worker_made_is_read_by_another_one_and_by_the_driver() {
    crate::run(config(), |_| {
        let (one, two) = (stage(), stage());
        let graph = Graph::new(|len: Node<u64>| {
            let late = one.late().bind(len);
            (two.keep().bind(late), late)
        });
        let graph = graph.compile()?;
        for round in 1..4 {
            let refs = graph.execute(1000)?;
            assert_eq!(refs.1.get()?.get()?.iter().sum::<u64>(), sum_to(1000));
            assert_eq!(refs.0.get()?, round);
        }
        assert_eq!(two.sum_of_kept().remote().get()?, 3 * sum_to(1000));
        graph.teardown()
    })
    .unwrap()
    .unwrap();
}

#[test]
fn a_value_with_all_of_it_inside_passes_every_kind_of_edge() {
    crate::run(config(), |_| {
        let (one, two, here) = (stage(), stage(), stage_here());
        let graph = Graph::new(|bag: Node<Bag>| {
            let passed = two.pass_bag().bind(one.pass_bag().bind(bag));
            (two.empty().bind(passed), here.empty().bind(passed), passed)
        });
        let graph = graph.compile()?;
        let counter = counter();
        let (gate, value) = held_back(1000);
        let bag = Bag {
            name: "a bag".into(),
            counters: vec![counter.clone(), counter.clone()],
            early: Some(maser::put(5)),
            late: Some(value),
            array: numbers(1000),
        };
        let refs = graph.execute(bag)?;
        let back = refs.2.get()?;
        open_the_gate();
        let (a, total) = refs.0.get()?;
        let (b, same) = refs.1.get()?;
        assert_eq!((a + b, total, same), (10, 2 * sum_to(1000) + 10, total));
        assert_eq!(back.late.unwrap().get()?.iter().sum::<u64>(), sum_to(1000));
        assert_eq!(back.early.unwrap().get()?, 5);
        drop((counter, back.counters, back.array, refs, gate));
        nobody_holds(NAME);
        objects_become(0);
        graph.teardown()
    })
    .unwrap()
    .unwrap();
}

#[test]
fn many_handles_in_one_value_do_not_fit_into_its_line_and_come_all_the_same() {
    crate::run(config(), |_| {
        let (one, two) = (stage(), stage());
        let graph = Graph::new(|counters: Node<Vec<Actor<Counter>>>| {
            (
                one.count_all().bind(counters),
                two.count_all().bind(counters),
            )
        });
        let graph = graph.compile()?;
        let counters: Vec<_> = (0..300).map(|_| Counter::remote()).collect();
        let refs = graph.execute(counters.clone())?;
        let (a, b) = (refs.0.get()?, refs.1.get()?);
        assert!(a.iter().zip(&b).all(|(a, b)| a + b == 3), "{a:?} {b:?}");
        graph.teardown()
    })
    .unwrap()
    .unwrap();
}
