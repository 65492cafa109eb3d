//! How a graph ends: teardown, drop, shutdown; and what its actors do afterwards.

use std::sync::Arc;
use std::time::Duration;

use maser::prelude::*;
use maser::{CompileOptions, CompiledGraph, Timeout};
use maser_tests::{alone, both_ways, quiet, with_runtime};

use crate::actors::{Door, behind, worker};

#[track_caller]
fn assert_closed<T: std::fmt::Debug>(outcome: maser::Result<T>) {
    match outcome {
        Err(Error::ChannelClosed { what, reason }) => {
            assert_eq!(what, "the compiled graph");
            assert!(
                reason.contains("torn down") && reason.contains("compile"),
                "{reason}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn teardown_can_be_repeated_and_what_comes_later_is_told() {
    both_ways(quiet(2), |_| {
        for depth in [1, 4] {
            let a = worker(1);
            let options = CompileOptions {
                max_inflight: Some(depth),
                ..Default::default()
            };
            let graph = Graph::new(|x: Node<u64>| a.echo().bind(x)).compile_with(options)?;
            let arrived = graph.execute(5)?;
            assert_eq!(arrived.get()?, 5);
            for _ in 0..3 {
                graph.teardown()?;
            }
            assert_closed(graph.execute(6));
            assert_closed(graph.try_execute(6));
            assert_closed(graph.execute_timeout(6, Duration::from_secs(50)));
            assert_eq!(arrived.get()?, 5, "what arrived before stays to be had");
            assert_eq!(a.echo().remote(7).get()?, 7);
        }
        Ok(())
    });
}

#[test]
fn runs_in_flight_end_with_an_error_at_teardown() {
    both_ways(quiet(2), |_| {
        for depth in [1, 4] {
            let door = Door::default();
            let (a, b) = (behind(&door, 1), worker(0));
            let options = CompileOptions {
                max_inflight: Some(depth),
                ..Default::default()
            };
            let graph = Graph::new(|x: Node<u64>| b.echo().bind(a.through().bind(x)))
                .compile_with(options)?;
            let closed = door.close();
            let refs: Vec<_> = (0..depth as u64)
                .map(|n| graph.execute(n))
                .collect::<Result<_, _>>()?;
            door.wait_for(1);
            graph.teardown()?;
            for result in &refs {
                assert_closed(result.get());
                assert_closed(result.get());
            }
            drop(closed);
            assert_eq!(
                a.count().remote(0).get()?,
                1,
                "the blocked step came to its end"
            );
        }
        Ok(())
    });
}

#[test]
fn no_further_run_begins_after_teardown() {
    both_ways(quiet(2), |_| {
        let door = Door::default();
        let a = behind(&door, 1);
        let graph = Graph::new(|x: Node<u64>| a.count().bind(a.through().bind(x))).compile()?;
        let closed = door.close();
        let refs: Vec<_> = (0..5).map(|n| graph.execute(n)).collect::<Result<_, _>>()?;
        door.wait_for(1);
        graph.teardown()?;
        drop(closed);
        assert_closed(refs[4].get());
        // The blocked step ends and its run with it, and nothing else happens to the actor.
        let mut seen = a.count().remote(0).get()?;
        for _ in 0..20 {
            let next = a.count().remote(0).get()?;
            assert!(
                next == seen + 1 || (seen == 1 && next == 3),
                "{seen} then {next}"
            );
            seen = next;
        }
        assert!(seen <= 22, "{seen}");
        Ok(())
    });
}

#[test]
fn a_step_that_waits_for_its_actor_at_teardown_does_not_run() {
    both_ways(quiet(2), |_| {
        for at in [0, 1] {
            let door = Door::default();
            let a = behind(&door, at);
            let graph = Graph::new(|x: Node<u64>| a.count().bind(x)).compile()?;
            let closed = door.close();
            let blocked = a.through().remote(5);
            door.wait_for(1);
            let result = graph.execute(0)?;
            assert!(
                result
                    .get_timeout(Duration::from_millis(5))
                    .is_err_and(|e| e.is_timeout())
            );
            graph.teardown()?;
            assert_closed(result.get());
            drop(closed);
            assert_eq!((blocked.get()?, a.count().remote(0).get()?), (5, 1));
        }
        Ok(())
    });
}

#[test]
fn a_graph_that_is_dropped_with_runs_in_flight_frees_what_flowed() {
    both_ways(quiet(2), |_| {
        let door = Door::default();
        let (a, b) = (behind(&door, 1), worker(0));
        let graph = Graph::new(|x: Node<Arc<u64>>| {
            let late = a.through().bind(b.echo().bind(1));
            (keep::bind(x, late), keep::bind(x, late))
        })
        .compile()?;
        let value = Arc::new(5_u64);
        let closed = door.close();
        let refs: Vec<_> = (0..6)
            .map(|_| graph.execute(value.clone()))
            .collect::<Result<_, _>>()?;
        door.wait_for(1);
        drop(graph);
        drop(closed);
        for (first, second) in &refs {
            assert_closed(first.get());
            assert_closed(second.get());
        }
        drop(refs);
        assert_eq!(a.echo().remote(1).get()?, 1);
        while Arc::strong_count(&value) > 1 {
            maser::yield_now();
        }
        Ok(())
    });
}

#[maser::task(local)]
fn keep(value: Arc<u64>, _late: u64) -> Arc<u64> {
    value
}

#[test]
fn an_actor_takes_a_second_graph_after_teardown_and_without_it() {
    both_ways(quiet(2), |_| {
        let (a, b) = (worker(1), worker(0));
        let compile = || Graph::new(|x: Node<u64>| b.add().bind(a.echo().bind(x), 1)).compile();
        let first = compile()?;
        assert_eq!(first.execute(1)?.get()?, 2);
        let second = compile()?;
        assert_eq!(
            (first.execute(2)?.get()?, second.execute(3)?.get()?),
            (3, 4)
        );
        first.teardown()?;
        assert_eq!(second.execute(4)?.get()?, 5);
        let third = compile()?;
        drop(second);
        assert_eq!(third.execute(5)?.get()?, 6);
        for n in 0..50 {
            assert_eq!(compile()?.execute(n)?.get()?, n + 1);
        }
        Ok(())
    });
}

#[test]
fn a_graph_holds_its_actors() {
    both_ways(quiet(2), |_| {
        let graph = {
            let a = worker(1);
            Graph::new(|x: Node<u64>| a.count().bind(x)).compile()?
        };
        assert_eq!(graph.execute(0)?.get()?, 1);
        assert_eq!(graph.execute(0)?.get()?, 2);
        Ok(())
    });
}

#[test]
fn teardown_from_a_step_of_the_graph_itself_does_not_wait_for_that_step() {
    with_runtime(quiet(2), |_| {
        for at in [0, 1] {
            let ender = Ender::options().scheduler(at).remote();
            let graph = Graph::new(|x: Node<u64>| ender.end().bind(x))
                .compile()
                .unwrap();
            let graph = Arc::new(graph);
            ender.take().remote(graph.clone()).get().unwrap();
            let result = graph.execute(1).unwrap();
            match result.get() {
                Ok(value) => assert_eq!(value, 1),
                other => assert_closed(other),
            }
            assert_closed(graph.execute(2));
            assert!(ender.ended().remote().get().unwrap());
        }
    });
}

type Own = Arc<CompiledGraph<Node<u64>, Node<u64>>>;

/// Ends a graph that it is part of.
struct Ender {
    graph: Option<Own>,
}

#[maser::actor(local)]
impl Ender {
    fn new() -> Self {
        Self { graph: None }
    }
    fn take(&mut self, graph: Own) {
        self.graph = Some(graph);
    }
    fn end(&mut self, value: u64) -> maser::Result<u64> {
        if let Some(graph) = self.graph.take() {
            graph.teardown()?;
        }
        Ok(value)
    }
    fn ended(&self) -> bool {
        self.graph.is_none()
    }
}

#[test]
fn teardown_does_not_wait_beyond_its_limit_for_a_core_that_is_stuck() {
    with_runtime(quiet(2), |_| {
        let stuck = Stuck::options().scheduler(1).remote();
        let (enter, entered) = std::sync::mpsc::channel();
        let (leave, may_leave) = std::sync::mpsc::channel();
        stuck
            .prepare()
            .remote(Ends::new(enter, may_leave))
            .get()
            .unwrap();
        let teardown_timeout = Some(Timeout::After(Duration::from_millis(20)));
        let graph = Graph::new(|x: Node<u64>| stuck.stick().bind(x))
            .compile_with(CompileOptions {
                teardown_timeout,
                ..Default::default()
            })
            .unwrap();
        let result = graph.execute(1).unwrap();
        entered.recv().unwrap();
        match graph.teardown() {
            Err(Error::Timeout {
                what,
                from_whom,
                knob,
                ..
            }) => {
                assert!(what.contains("teardown"), "{what}");
                assert!(from_whom.contains("busy"), "{from_whom}");
                assert!(knob.contains("MASER_CGRAPH_TEARDOWN_TIMEOUT"), "{knob}");
            }
            other => panic!("{other:?}"),
        }
        assert_closed(result.get());
        leave.send(()).unwrap();
        graph.teardown().unwrap();
        assert_eq!(stuck.same().remote(3).get().unwrap(), 3);
    });
}

/// What a stuck method uses to say that it is, and waits for.
#[derive(Clone)]
struct Ends(Arc<std::sync::Mutex<(std::sync::mpsc::Sender<()>, std::sync::mpsc::Receiver<()>)>>);

impl Ends {
    fn new(enter: std::sync::mpsc::Sender<()>, leave: std::sync::mpsc::Receiver<()>) -> Self {
        Self(Arc::new(std::sync::Mutex::new((enter, leave))))
    }
}

/// Blocks its core, which a method should not do.
struct Stuck {
    ends: Option<Ends>,
}

#[maser::actor(local)]
impl Stuck {
    fn new() -> Self {
        Self { ends: None }
    }
    fn prepare(&mut self, ends: Ends) {
        self.ends = Some(ends);
    }
    fn stick(&mut self, value: u64) -> u64 {
        if let Some(Ends(ends)) = self.ends.take() {
            let (enter, leave) = &*ends.lock().expect("used here alone");
            enter.send(()).expect("the test waits");
            leave.recv().expect("the test lets go");
        }
        value
    }
    fn same(&mut self, value: u64) -> u64 {
        value
    }
}

#[test]
fn the_shutdown_of_the_runtime_ends_graphs_and_waits_for_their_results() {
    alone(|| {
        for depth in [1, 4] {
            let maser = quiet(2).init().unwrap();
            let door = Door::default();
            let a = behind(&door, 1);
            let options = CompileOptions {
                max_inflight: Some(depth),
                ..Default::default()
            };
            let graph = Graph::new(|x: Node<u64>| a.through().bind(x))
                .compile_with(options)
                .unwrap();
            let closed = door.close();
            let result = graph.execute(1).unwrap();
            door.wait_for(1);
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| result.get());
                drop(maser);
                assert!(matches!(
                    waiting.join().unwrap(),
                    Err(Error::ShutDown { .. } | Error::Task(_))
                ));
            });
            assert!(matches!(graph.execute(2), Err(Error::ShutDown { .. })));
            assert!(matches!(
                result.get(),
                Err(Error::ShutDown { .. } | Error::Task(_))
            ));
            drop(closed);
            graph.teardown().unwrap();
        }
    });
}
