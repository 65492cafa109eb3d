//! Results of runs that are passed on: to tasks, methods and other graphs, there or not yet.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use maser::prelude::*;
use maser::{CompileOptions, IntoInputs, Ref};
use maser_tests::{beside_runtime, both_ways, quiet, with_runtime};

use crate::actors::{Door, Refused, behind, gated, worker};

/// Long enough to be sure that what could come has come, short enough to be no burden.
const SOON: Duration = Duration::from_millis(20);

#[maser::task(local)]
fn sum(a: u64, b: u64) -> u64 {
    a + b
}

#[maser::task(local)]
fn length(of: &Counted) -> usize {
    of.bytes.len()
}

#[maser::task(local)]
fn through(door: Door, value: u64) -> maser::Result<u64> {
    door.pass()?;
    Ok(value)
}

/// How many clones of a value were made, and how many live.
#[derive(Default)]
struct Census {
    clones: AtomicUsize,
    alive: AtomicUsize,
}

struct Counted {
    bytes: Vec<u8>,
    census: Arc<Census>,
}

impl Counted {
    fn new(census: &Arc<Census>, bytes: usize) -> Self {
        census.alive.fetch_add(1, Ordering::AcqRel);
        Self {
            bytes: vec![7; bytes],
            census: census.clone(),
        }
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.census.clones.fetch_add(1, Ordering::AcqRel);
        Self::new(&self.census, self.bytes.len())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.census.alive.fetch_sub(1, Ordering::AcqRel);
    }
}

struct Passing;

#[maser::actor(local)]
impl Passing {
    fn new() -> Self {
        Passing
    }
    fn pass(&mut self, value: Counted) -> Counted {
        value
    }
    fn add(&mut self, a: u64, b: u64) -> u64 {
        a + b
    }
}

#[test]
fn a_result_is_an_argument_of_tasks_and_methods_before_and_after_it_comes() {
    both_ways(quiet(2), |_| {
        for at in [0, 1] {
            let door = Door::default();
            let a = behind(&door, at);
            let b = worker(1 - at);
            let graph = Graph::new(|x: Node<u64>| a.through().bind(x)).compile()?;

            let closed = door.close();
            let (first, second) = (graph.execute(10)?, graph.execute(20)?);
            let pending = sum::remote(first, &second);
            let asked = b.add().remote(&second, 1);
            assert!(!pending.is_ready() && !asked.is_ready());
            drop(closed);
            assert_eq!(pending.get()?, 30);
            assert_eq!(asked.get()?, 21);
            // It is still a ref of the same result.
            assert_eq!(second.get()?, 20);
            assert_eq!(sum::remote(&second, 5).get()?, 25);
            assert_eq!(second.take()?, 20);
            // And the next runs are not shifted.
            assert_eq!(graph.execute(30)?.get()?, 30);
        }
        Ok(())
    });
}

#[test]
fn passing_a_result_on_never_waits() {
    both_ways(quiet(2), |_| {
        let (door, graph) = gated(CompileOptions::default())?;
        let other = Graph::new(|x: Node<u64>| sum::bind(x, 1)).compile()?;
        let closed = door.close();
        let result = graph.execute(1)?;
        // The door opens only after all of these have come back.
        let as_ref: Ref<u64> = result.to_ref();
        let task = sum::remote(&result, &as_ref);
        let run = other.execute(&result)?;
        let again = other.execute(as_ref.clone())?;
        let behind = other.execute(5)?;
        assert!(!as_ref.is_ready() && !task.is_ready() && !run.is_ready());
        assert!(run.get_timeout(SOON).is_err_and(|error| error.is_timeout()));
        drop(closed);
        assert_eq!((task.get()?, run.get()?, again.get()?), (2, 2, 2));
        assert_eq!(behind.get()?, 6);
        Ok(())
    });
}

#[test]
fn runs_that_wait_for_their_inputs_begin_in_their_order() {
    both_ways(quiet(2), |_| {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let doors = [Door::default(), Door::default(), Door::default()];
            let counter = worker(1);
            let graph = Graph::new(|x: Node<u64>| counter.count().bind(x)).compile()?;
            let mut closed: Vec<_> = doors.iter().map(|door| Some(door.close())).collect();
            let inputs: Vec<Ref<u64>> = doors
                .iter()
                .map(|door| through::remote(door.clone(), 0))
                .collect();
            let mut refs = vec![graph.execute(0)?];
            for input in &inputs {
                refs.push(graph.execute(input)?);
                refs.push(graph.execute(0)?);
            }
            assert_eq!(refs[0].get()?, 1);
            for at in order {
                closed[at] = None;
                inputs[at].get()?;
            }
            let counts: Vec<u64> = refs.iter().map(GraphRef::get).collect::<Result<_, _>>()?;
            assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7]);
            // Nothing of the queue is left.
            assert_eq!(graph.execute(0)?.get()?, 8);
            assert_eq!(graph.execute(&inputs[0])?.get()?, 9);
        }
        Ok(())
    });
}

#[test]
fn a_graph_can_be_given_its_own_results() {
    both_ways(quiet(2), |_| {
        let (a, b) = (worker(0), worker(1));
        for depth in [1, 2, 10] {
            let graph = Graph::new(|x: Node<u64>| b.add().bind(a.add().bind(x, 1), 1));
            let graph = graph.compile_with(CompileOptions {
                max_inflight: Some(depth),
                ..Default::default()
            })?;
            let mut last = graph.execute(0)?;
            for _ in 0..50 {
                last = graph.execute(last)?;
            }
            assert_eq!(last.get()?, 102);
        }
        Ok(())
    });
}

#[test]
fn each_input_of_a_run_may_be_a_value_or_a_result() {
    both_ways(quiet(2), |_| {
        let (a, b) = (worker(0), worker(1));
        let graph =
            Graph::new(|(x, y): (Node<u64>, Node<u64>)| (a.add().bind(x, y), b.add().bind(x, x)))
                .compile()?;
        let one = Graph::new(|x: Node<u64>| a.echo().bind(x)).compile()?;
        let (both, double) = graph.execute((one.execute(3)?, 4))?;
        assert_eq!((both.get()?, double.get()?), (7, 6));
        let late = one.execute(5)?;
        let (both, double) = graph.execute((&late, maser::put(6)))?;
        assert_eq!((both.get()?, double.get()?), (11, 10));
        let (both, _) = graph.execute((both, double))?;
        assert_eq!(both.get()?, 21);
        // Not compiled, they go into ordinary calls.
        let plain = Graph::new(|(x, y): (Node<u64>, Node<u64>)| a.add().bind(x, y));
        assert_eq!(plain.execute((&late, 1))?.get()?, 6);
        Ok(())
    });
}

#[test]
fn an_error_that_is_passed_on_is_the_error_of_whatever_gets_it() {
    both_ways(quiet(2), |_| {
        let (a, b) = (worker(0), worker(1));
        let door = Door::default();
        let c = behind(&door, 1);
        let failing =
            Graph::new(|x: Node<u64>| a.refuse().bind(c.through().bind(x), 3)).compile()?;
        let other =
            Graph::new(|(x, y): (Node<u64>, Node<u64>)| (b.count().bind(x), a.echo().bind(y)))
                .compile()?;
        let is_it = |outcome: maser::Result<u64>| {
            let error = outcome.expect_err("an input failed");
            assert!(error.downcast_ref::<Refused>().is_some(), "{error}");
        };
        for is_late in [true, false] {
            let closed = is_late.then(|| door.close());
            let result = failing.execute(3)?;
            if !is_late {
                is_it(result.get());
            }
            let task = sum::remote(&result, 1);
            let (x, y) = other.execute((&result, 1))?;
            let (next, _) = other.execute((5, 5))?;
            drop(closed);
            is_it(task.get());
            // No step of that run ran, and each of its outputs says why.
            is_it(x.get());
            is_it(y.get());
            is_it(result.get());
            next.get()?;
        }
        // The two runs that were begun.
        assert_eq!(other.execute((5, 5))?.0.get()?, 3);
        Ok(())
    });
}

#[test]
fn results_of_a_graph_that_ends_give_its_error_to_those_they_were_passed_to() {
    both_ways(quiet(2), |_| {
        for kills in [true, false] {
            let door = Door::default();
            let a = behind(&door, 1);
            let graph = Graph::new(|x: Node<u64>| a.through().bind(x)).compile()?;
            let other = Graph::new(|x: Node<u64>| sum::bind(x, 1)).compile()?;
            let closed = door.close();
            let (early, late) = (graph.execute(1)?, graph.execute(2)?);
            door.wait_for(1);
            let task = sum::remote(early, 1);
            let run = other.execute(&late)?;
            let next = other.execute(1)?;
            match kills {
                true => maser::kill(&a),
                false => graph.teardown()?,
            }
            let after = late.to_ref();
            for outcome in [task.get(), run.get(), late.get(), after.get()] {
                let error = outcome.expect_err("the graph ended");
                let is_it = match kills {
                    true => matches!(error.root(), Error::ActorDied { .. }),
                    false => matches!(error.root(), Error::ChannelClosed { .. }),
                };
                assert!(is_it, "{error}");
            }
            assert_eq!(next.get()?, 2);
            drop(closed);
        }
        Ok(())
    });
}

#[test]
fn runs_that_wait_for_their_inputs_end_with_their_graph_and_drop_them() {
    both_ways(quiet(2), |_| {
        let census = Arc::new(Census::default());
        let door = Door::default();
        let a = behind(&door, 1);
        let first = Graph::new(|x: Node<u64>| a.through().bind(x)).compile()?;
        let passing = Passing::remote();
        let graph = Graph::new(|(x, y): (Node<u64>, Node<Counted>)| {
            (passing.add().bind(x, 1), passing.pass().bind(y))
        })
        .compile()?;
        let closed = door.close();
        let late = first.execute(1)?;
        let waiting = graph.execute((&late, Counted::new(&census, 1)))?;
        let behind = graph.execute((1, Counted::new(&census, 1)))?;
        assert_eq!(census.alive.load(Ordering::Acquire), 2);
        graph.teardown()?;
        assert_eq!(census.alive.load(Ordering::Acquire), 0);
        for outcome in [waiting.0.get(), behind.0.get()] {
            assert!(matches!(outcome, Err(Error::ChannelClosed { .. })));
        }
        drop(closed);
        assert_eq!(late.get()?, 1);
        Ok(())
    });
}

#[test]
fn a_result_is_moved_on_and_not_copied() {
    both_ways(quiet(2), |_| {
        let census = Arc::new(Census::default());
        let passing = Passing::remote();
        let graph = Graph::new(|x: Node<Counted>| passing.pass().bind(x)).compile()?;
        let run = || graph.execute(Counted::new(&census, 1000));
        // From run to run and into a task that borrows it.
        let twice = graph.execute(run()?)?;
        assert_eq!(length::remote(twice).get()?, 1000);
        // One that is shared before it was got is in one place.
        let shared = run()?;
        let (one, two) = (shared.to_ref(), shared.to_ref());
        assert!(std::ptr::eq(one.read()?, two.read()?));
        assert_eq!(length::remote(&shared).get()?, 1000);
        assert_eq!(census.clones.load(Ordering::Acquire), 0);
        // One that was got lies with its ref: it is cloned for the first that it is passed to.
        let got = run()?;
        drop(got.get()?);
        let clones = census.clones.load(Ordering::Acquire);
        for _ in 0..3 {
            assert_eq!(length::remote(&got).get()?, 1000);
        }
        assert_eq!(census.clones.load(Ordering::Acquire), clones + 1);
        drop((got, shared, one, two));
        graph.teardown()?;
        drop(graph);
        wait_until(|| census.alive.load(Ordering::Acquire) == 0);
        Ok(())
    });
}

/// Looks until it is so.
fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        maser::yield_now();
        std::thread::yield_now();
    }
}

#[test]
fn a_result_passed_on_outlives_its_graph_and_its_ref() {
    both_ways(quiet(2), |_| {
        let (door, graph) = gated(CompileOptions::default())?;
        let closed = door.close();
        let there = graph.execute(1);
        drop(closed);
        let there = there?.into_ref();
        assert_eq!(there.get()?, 1);
        let closed = door.close();
        let pending = graph.execute(2)?.into_ref();
        drop(closed);
        assert_eq!(pending.get()?, 2);
        // A pending one whose refs are all gone keeps nothing from going on.
        let closed = door.close();
        drop(graph.execute(3)?.into_ref());
        let next = graph.execute(4)?;
        drop(closed);
        assert_eq!(next.get()?, 4);
        drop(graph);
        assert_eq!((there.get()?, pending.get()?), (1, 2));
        Ok(())
    });
}

#[test]
fn runs_that_wait_for_their_inputs_count_as_in_flight() {
    both_ways(quiet(2), |_| {
        let door = Door::default();
        let a = behind(&door, 1);
        let first = Graph::new(|x: Node<u64>| a.through().bind(x)).compile()?;
        let graph = Graph::new(|x: Node<u64>| sum::bind(x, 1)).compile_with(CompileOptions {
            max_inflight: Some(2),
            ..Default::default()
        })?;
        let closed = door.close();
        let late = first.execute(1)?;
        let refs = [graph.try_execute(&late)?, graph.try_execute(7)?];
        assert_eq!(graph.free_capacity(), 0);
        for outcome in [graph.try_execute(&late), graph.try_execute(8)] {
            assert!(matches!(outcome, Err(Error::CapacityExceeded { .. })));
        }
        drop(closed);
        assert_eq!(refs[0].get()?, 2);
        assert_eq!(refs[1].get()?, 8);
        assert_eq!(graph.free_capacity(), 2);
        Ok(())
    });
}

#[test]
fn a_future_of_a_result_that_is_shared_gives_it() {
    beside_runtime(quiet(2), |_| {
        let (door, graph) = gated(CompileOptions::default()).unwrap();
        let closed = door.close();
        let result = graph.execute(1).unwrap();
        let shared = result.to_ref();
        let opener = std::thread::scope(|scope| {
            let asked = scope.spawn(|| pollster::block_on(async { (&result).await }));
            drop(closed);
            asked.join().unwrap()
        });
        assert_eq!(opener.unwrap(), 1);
        assert_eq!(pollster::block_on(async { (&result).await }).unwrap(), 1);
        assert_eq!(pollster::block_on(async { result.await }).unwrap(), 1);
        assert_eq!(shared.get().unwrap(), 1);
    });
}

#[test]
fn a_clone_that_panics_on_the_way_is_an_error_of_that_run() {
    /// Cannot be cloned while the flag is up.
    struct Touchy(Arc<Mutex<bool>>);
    impl Clone for Touchy {
        fn clone(&self) -> Self {
            let is_up = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            assert!(!is_up, "it is not to be cloned");
            Touchy(self.0.clone())
        }
    }
    #[maser::task(local)]
    fn touch(door: Door, flag: Arc<Mutex<bool>>) -> maser::Result<Touchy> {
        door.pass()?;
        Ok(Touchy(flag))
    }
    #[maser::task(local)]
    fn seen(_touchy: Touchy) -> u64 {
        1
    }
    with_runtime(quiet(2), |_| {
        let flag = Arc::new(Mutex::new(true));
        let door = Door::default();
        let graph = Graph::new(|x: Node<Touchy>| seen::bind(x))
            .compile()
            .unwrap();
        let closed = door.close();
        let shared = touch::remote(door.clone(), flag.clone());
        let run = graph.execute(&shared).unwrap();
        drop(closed);
        let error = run.get().expect_err("its clone panicked");
        assert!(error.to_string().contains("not to be cloned"), "{error}");
        *flag.lock().unwrap() = false;
        assert_eq!(graph.execute(&shared).unwrap().get().unwrap(), 1);
    });
}

/// What may be given for the inputs of a graph can be written generically.
fn run_with<X: IntoInputs<Node<u64>>>(
    graph: &CompiledGraph<Node<u64>, Node<u64>>,
    input: X,
) -> maser::Result<u64> {
    graph.execute(input)?.get()
}

#[test]
fn whoever_takes_inputs_takes_results_too() {
    with_runtime(quiet(1), |_| {
        let graph = Graph::new(|x: Node<u64>| sum::bind(x, 1))
            .compile()
            .unwrap();
        assert_eq!(run_with(&graph, 1).unwrap(), 2);
        assert_eq!(run_with(&graph, graph.execute(1).unwrap()).unwrap(), 3);
        assert_eq!(run_with(&graph, maser::put(5)).unwrap(), 6);
    });
}
