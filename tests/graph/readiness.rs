//! Which of several results is there: `wait`, `select` and `get_graph`, over runs of graphs and over
//! runs and tasks mixed, from tasks, threads and executors.

use std::future::{Future, IntoFuture};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use maser::prelude::*;
use maser::{Ready, get_graph, get_graph_timeout, select, select_async, select_timeout, wait};
use maser::{Timeout, wait_async};
use maser_tests::{beside_runtime, both_ways, quiet, with_runtime};

use crate::actors::{Door, Refused, Worker, behind, worker};

/// Long enough to be sure that what could come has come, short enough to be no burden.
const SOON: Duration = Duration::from_millis(20);

#[maser::task(local)]
fn through(door: Door, value: u64) -> maser::Result<u64> {
    door.pass()?;
    Ok(value)
}

type Through = CompiledGraph<Node<u64>, Node<u64>>;

fn patient(worker: &Actor<Worker>) -> maser::Result<Through> {
    Graph::new(|x: Node<u64>| worker.through().bind(x)).compile_with(maser::CompileOptions {
        get_timeout: Some(Timeout::Never),
        ..Default::default()
    })
}

/// Graphs of which each waits before a door of its own.
struct Gates {
    doors: Vec<Door>,
    graphs: Vec<Through>,
}

impl Gates {
    fn new(count: usize) -> maser::Result<Self> {
        let doors: Vec<Door> = (0..count).map(|_| Door::default()).collect();
        let workers: Vec<_> = doors
            .iter()
            .enumerate()
            .map(|(at, door)| behind(door, at % 2))
            .collect();
        let graphs = workers.iter().map(patient).collect::<Result<_, _>>()?;
        Ok(Self { doors, graphs })
    }
}

#[test]
fn the_first_run_that_is_ready_is_told_by_its_place() {
    both_ways(quiet(2), |_| {
        let gates = Gates::new(3)?;
        for first in [0, 1, 2] {
            let mut closed: Vec<_> = gates.doors.iter().map(|door| Some(door.close())).collect();
            let runs: Vec<_> = gates
                .graphs
                .iter()
                .map(|graph| graph.execute(first as u64))
                .collect::<Result<_, _>>()?;
            assert_eq!(select_timeout(&runs, SOON)?, None);
            assert_eq!(select_timeout(&runs, Duration::ZERO)?, None);
            closed[first] = None;
            assert_eq!(select(&runs)?, first);
            assert_eq!(runs[first].get()?, first as u64);
            // What is ready stays ready.
            assert_eq!(select_timeout(&runs, Duration::ZERO)?, Some(first));
            closed.clear();
            let (ready, rest) = wait(&runs, 3, None)?;
            assert_eq!((ready.len(), rest.len()), (3, 0));
        }
        Ok(())
    });
}

#[test]
fn wait_gives_the_ready_runs_and_the_rest_in_their_order() {
    both_ways(quiet(2), |_| {
        let gates = Gates::new(4)?;
        let mut closed: Vec<_> = gates.doors.iter().map(|door| Some(door.close())).collect();
        let runs: Vec<_> = (0..4)
            .map(|at| gates.graphs[at].execute(at as u64))
            .collect::<Result<_, _>>()?;
        closed[3] = None;
        closed[1] = None;
        let (ready, rest) = wait(&runs, 2, None)?;
        let values: Vec<u64> = ready
            .iter()
            .map(|one| one.get())
            .collect::<Result<_, _>>()?;
        assert_eq!(values, [1, 3]);
        // The rest can be waited for in turn.
        closed[2] = None;
        let (ready, rest) = wait(&rest, 1, None)?;
        assert_eq!((ready[0].get()?, rest.len()), (2, 1));
        let (none, rest) = wait(&rest, 1, Some(SOON))?;
        assert_eq!((none.len(), rest.len()), (0, 1));
        closed.clear();
        assert_eq!(wait(&rest, 1, None)?.0[0].get()?, 0);
        Ok(())
    });
}

#[test]
fn many_runs_of_one_graph_are_ready_one_after_the_other() {
    both_ways(quiet(2), |_| {
        let (a, b) = (worker(0), worker(1));
        let graph = Graph::new(|x: Node<u64>| (a.echo().bind(x), b.text().bind("still")));
        let graph = graph.compile()?;
        for round in 0..20 {
            let runs: Vec<_> = (0..10)
                .map(|n| graph.execute(10 * round + n))
                .collect::<Result<_, _>>()?;
            let mut rest: Vec<&GraphRef<u64>> = runs.iter().map(|(value, _)| value).collect();
            let mut seen = Vec::new();
            while !rest.is_empty() {
                let (ready, left) = wait(&rest, 1, None)?;
                seen.push(ready[0].get()?);
                rest = left;
            }
            assert!(seen.iter().copied().eq(10 * round..10 * round + 10));
        }
        Ok(())
    });
}

#[test]
fn runs_and_tasks_are_waited_for_in_one_list() {
    both_ways(quiet(2), |_| {
        let (graph_door, task_door) = (Door::default(), Door::default());
        let a = behind(&graph_door, 1);
        let graph = patient(&a)?;
        for run_first in [true, false] {
            let (at_graph, at_task) = (graph_door.close(), task_door.close());
            let run = graph.execute(1)?;
            let task = through::remote(task_door.clone(), 2);
            let text = maser::put("there".to_owned());
            {
                let all: [&dyn Ready; 3] = [&run, &task, &text];
                assert_eq!(select(&all)?, 2);
                let pending: [&dyn Ready; 2] = [&run, &task];
                assert_eq!(select_timeout(&pending, SOON)?, None);
                if run_first {
                    drop(at_graph);
                    assert_eq!(select(&pending)?, 0);
                    drop(at_task);
                } else {
                    drop(at_task);
                    assert_eq!(select(&pending)?, 1);
                    drop(at_graph);
                }
                assert_eq!(wait(&all, 3, None)?.0.len(), 3);
            }
            assert_eq!((run.get()?, task.get()?), (1, 2));
        }
        Ok(())
    });
}

#[test]
fn a_run_that_ends_with_its_graph_is_ready() {
    both_ways(quiet(2), |_| {
        for _ in 0..10 {
            let gates = Gates::new(2)?;
            let _closed: Vec<_> = gates.doors.iter().map(Door::close).collect();
            let runs = [gates.graphs[0].execute(1)?, gates.graphs[1].execute(2)?];
            gates.doors[1].wait_for(1);
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| select(&runs));
                gates.graphs[1].teardown().unwrap();
                assert_eq!(waiting.join().unwrap().unwrap(), 1);
            });
            assert!(runs[1].is_ready() && !runs[0].is_ready());
            assert!(matches!(runs[1].get(), Err(Error::ChannelClosed { .. })));
        }
        Ok(())
    });
}

#[test]
fn methods_wait_for_runs_while_their_scheduler_works() {
    struct Waiter;
    #[maser::actor(local)]
    impl Waiter {
        fn new() -> Self {
            Waiter
        }
        fn first(&mut self, graphs: Arc<Vec<Through>>, door: Door) -> maser::Result<usize> {
            let runs: Vec<_> = graphs
                .iter()
                .map(|graph| graph.execute(7))
                .collect::<Result<_, _>>()?;
            door.pass()?;
            select(&runs)
        }
    }
    both_ways(quiet(1), |_| {
        // The door's actors, the waiter and the runs share one scheduler.
        let doors = [Door::default(), Door::default()];
        let workers = [behind(&doors[0], 0), behind(&doors[1], 0)];
        let graphs = Arc::new(vec![patient(&workers[0])?, patient(&workers[1])?]);
        let waiter = Waiter::options().scheduler(0).remote();
        let _shut = doors[0].close();
        let open = doors[1].close();
        let gate = Door::default();
        let told = waiter.first().remote(graphs.clone(), gate.clone());
        gate.wait_for(1);
        assert!(
            told.get_timeout(SOON)
                .is_err_and(|error| error.is_timeout())
        );
        drop(open);
        assert_eq!(told.get()?, 1);
        Ok(())
    });
}

#[test]
fn what_cannot_be_waited_for_is_refused() {
    both_ways(quiet(1), |_| {
        let a = worker(0);
        let graph = Graph::new(|x: Node<u64>| a.echo().bind(x)).compile()?;
        let run = graph.execute(1)?;
        assert!(matches!(
            wait(&[&run, &run], 1, None),
            Err(Error::InvalidArgument { .. })
        ));
        assert!(matches!(
            wait(&[&run], 2, None),
            Err(Error::InvalidArgument { .. })
        ));
        let none: [&GraphRef<u64>; 0] = [];
        assert!(matches!(select(&none), Err(Error::InvalidArgument { .. })));
        assert_eq!(wait(&none, 0, None)?.0.len(), 0);
        Ok(())
    });
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

#[test]
fn readiness_is_a_future_of_any_executor_and_can_be_given_up() {
    beside_runtime(quiet(2), |_| {
        let gates = Gates::new(2).unwrap();
        let task_door = Door::default();
        let mut closed: Vec<_> = gates.doors.iter().map(|door| Some(door.close())).collect();
        let at_task = task_door.close();
        let runs = [
            gates.graphs[0].execute(1).unwrap(),
            gates.graphs[1].execute(2).unwrap(),
        ];
        let task = through::remote(task_door.clone(), 3);
        let all: [&dyn Ready; 3] = [&runs[0], &runs[1], &task];
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut context = Context::from_waker(&waker);
        for polls in 0..4 {
            let mut given_up = pin!(select_async(&all));
            for _ in 0..polls {
                assert!(given_up.as_mut().poll(&mut context).is_pending());
            }
        }
        std::thread::scope(|scope| {
            let first = scope.spawn(|| pollster::block_on(select_async(&all)));
            let most =
                scope.spawn(|| pollster::block_on(wait_async(&all, 2)).map(|two| two.0.len()));
            let every =
                scope.spawn(|| pollster::block_on(wait_async(&runs, 2)).map(|two| two.1.len()));
            closed[1] = None;
            assert_eq!(first.join().unwrap().unwrap(), 1);
            drop(at_task);
            assert_eq!(most.join().unwrap().unwrap(), 2);
            closed[0] = None;
            assert_eq!(every.join().unwrap().unwrap(), 0);
        });
        assert_eq!(get_graph(&(&runs[0], &runs[1], &task)).unwrap(), (1, 2, 3));
    });
}

#[test]
fn the_first_error_comes_while_the_others_still_run() {
    both_ways(quiet(2), |_| {
        let door = Door::default();
        let (slow, failing, good) = (behind(&door, 0), worker(1), worker(1));
        let graph = Graph::new(|x: Node<u64>| {
            (
                slow.through().bind(x),
                failing.refuse().bind(x, 3),
                good.text().bind("fine"),
            )
        })
        .compile()?;
        let is_it = |error: Error| assert!(error.downcast_ref::<Refused>().is_some(), "{error}");
        let closed = door.close();
        let first = graph.execute(1)?;
        let second = graph.execute(3)?;
        let third = graph.execute(4)?;
        // The door opens only after this has come back.
        is_it(get_graph(&second).expect_err("one of them failed"));
        is_it(get_graph_timeout(&second, Duration::MAX).expect_err("again"));
        assert!(get_graph_timeout(&first, SOON).is_err_and(|error| error.is_timeout()));
        assert!(!second.0.is_ready());
        drop(closed);
        // What was not taken is there exactly, of each run its own.
        assert_eq!(get_graph(&third)?, (4, 4, "fine".into()));
        assert_eq!(second.0.get()?, 3);
        assert_eq!(second.2.get()?, "fine");
        is_it(second.1.get().expect_err("it failed"));
        assert_eq!(get_graph(&first)?, (1, 1, "fine".into()));
        Ok(())
    });
}

#[test]
fn several_results_come_as_the_shape_they_were_asked_in() {
    with_runtime(quiet(2), |_| {
        let (a, b) = (worker(0), worker(1));
        let text = Graph::new(|x: Node<String>| a.text().bind(x))
            .compile()
            .unwrap();
        let echo = Graph::new(|x: Node<u64>| b.echo().bind(x))
            .compile()
            .unwrap();
        let pair = (text.execute("one").unwrap(), echo.execute(2).unwrap());
        assert_eq!(get_graph(&pair).unwrap(), ("one".into(), 2));
        assert_eq!(get_graph(&pair).unwrap(), ("one".into(), 2));
        let runs: Vec<_> = (0..3).map(|n| echo.execute(n).unwrap()).collect();
        assert_eq!(get_graph(&runs).unwrap(), [0, 1, 2]);
        assert_eq!(get_graph(&runs[1..]).unwrap(), [1, 2]);
        let array: [u64; 2] = get_graph(&[&runs[2], &runs[0]]).unwrap();
        assert_eq!(array, [2, 0]);
        let mixed = (&runs[1], maser::put("put".to_owned()));
        assert_eq!(get_graph(&mixed).unwrap(), (1, "put".into()));
        let none: Vec<GraphRef<u64>> = Vec::new();
        assert_eq!(get_graph(&none).unwrap(), Vec::<u64>::new());
        // One that is shared with a task's argument as well.
        let shared = echo.execute(9).unwrap();
        let as_ref = shared.to_ref();
        assert_eq!(get_graph(&(&shared, &as_ref)).unwrap(), (9, 9));
    });
}

#[test]
fn the_death_of_an_actor_is_the_error_of_all_that_was_asked_together() {
    both_ways(quiet(2), |_| {
        let door = Door::default();
        let (slow, dying) = (behind(&door, 0), behind(&door, 1));
        let one = patient(&slow)?;
        let two = patient(&dying)?;
        let closed = door.close();
        let runs = (one.execute(1)?, two.execute(2)?);
        door.wait_for(2);
        maser::kill(&dying);
        let error = get_graph(&runs).expect_err("an actor died");
        assert!(matches!(error.root(), Error::ActorDied { .. }), "{error}");
        drop(closed);
        assert_eq!(runs.0.get()?, 1);
        Ok(())
    });
}

#[test]
fn a_future_whose_result_is_shared_meanwhile_does_not_block_its_executor() {
    const RUNS: usize = 300;
    beside_runtime(quiet(2), |_| {
        let door = Door::default();
        let a = behind(&door, 1);
        let graph = Graph::new(|x: Node<u64>| a.through().bind(x));
        let graph = graph.compile_with(maser::CompileOptions {
            max_inflight: Some(RUNS),
            ..Default::default()
        });
        let graph = graph.unwrap();
        let closed = door.close();
        let runs: Vec<_> = (0..RUNS as u64)
            .map(|run| graph.execute(run).unwrap())
            .collect();
        let together = Barrier::new(2);
        std::thread::scope(|scope| {
            let shares = scope.spawn(|| {
                let share = |run: &GraphRef<u64>| {
                    together.wait();
                    run.to_ref()
                };
                runs.iter().map(share).collect::<Vec<_>>()
            });
            for run in &runs {
                let mut future = run.into_future();
                together.wait();
                let polled = Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop()));
                assert!(
                    polled.is_pending(),
                    "nothing has come, and nothing was waited for"
                );
            }
            drop(closed);
            for (run, shared) in (0..).zip(shares.join().unwrap()) {
                assert_eq!(shared.get().unwrap(), run);
            }
        });
    });
}
