//! The programs of the troubleshooting page of compiled graphs that need no GPU. What is a
//! limitation there works here.

use std::sync::Arc;

use maser::CompileOptions;
use maser::prelude::*;
use maser_tests::{both_ways, quiet};

struct NumPyActor;

#[maser::actor]
impl NumPyActor {
    fn new() -> Self {
        NumPyActor
    }
    fn get_arr(&mut self, _: i64) -> Vec<Vec<f64>> {
        vec![vec![1.0; 1024]; 5]
    }
}

#[test]
fn results_that_are_kept_block_no_run() {
    both_ways(quiet(2), |_| {
        for max_inflight in [Some(1), None] {
            let actor = NumPyActor::remote();
            let graph = Graph::new(|inp: Node<i64>| actor.get_arr().bind(inp)).compile_with(
                CompileOptions {
                    max_inflight,
                    ..Default::default()
                },
            )?;
            let mut kept = Vec::new();
            for _ in 0..5 {
                let result = graph.execute(0)?;
                kept.push((result.get()?, result));
            }
            for (array, result) in &kept {
                assert_eq!(
                    (array.len(), array[4].len(), array[4][1023]),
                    (5, 1024, 1.0)
                );
                assert_eq!(&result.get()?, array);
            }
        }
        Ok(())
    });
}

struct SendActor;

#[maser::actor]
impl SendActor {
    fn new() -> Self {
        SendActor
    }
    fn send(&mut self, x: i64) -> i64 {
        x
    }
}

#[test]
fn an_actor_takes_another_graph_with_and_without_teardown() {
    both_ways(quiet(2), |_| {
        for tear_down in [true, false] {
            let actor = SendActor::remote();
            let first = Graph::new(|inp: Node<i64>| actor.send().bind(inp)).compile()?;
            assert_eq!(first.execute(1)?.get()?, 1);
            if tear_down {
                first.teardown()?;
            }
            let second = Graph::new(|inp: Node<i64>| actor.send().bind(inp)).compile()?;
            assert_eq!(second.execute(2)?.get()?, 2);
            if !tear_down {
                assert_eq!(first.execute(3)?.get()?, 3);
            }
            // A name that is used again tears the graph behind it down.
            let second = {
                drop(second);
                Graph::new(|inp: Node<i64>| actor.send().bind(inp)).compile()?
            };
            assert_eq!(second.execute(4)?.get()?, 4);
        }
        Ok(())
    });
}

#[test]
fn more_executions_than_may_be_in_flight_are_queued_by_execute_and_refused_by_try_execute() {
    both_ways(quiet(2), |_| {
        let actor = SendActor::remote();
        let graph = Graph::new(|inp: Node<i64>| actor.send().bind(inp)).compile()?;
        let refs: Vec<_> = (0..100)
            .map(|n| graph.execute(n))
            .collect::<Result<_, _>>()?;
        for (n, result) in (0..).zip(&refs) {
            assert_eq!(result.get()?, n);
            assert_eq!(result.get()?, n, "get may be repeated");
        }
        Ok(())
    });
}

#[maser::task(local)]
fn run_elsewhere(
    graph: Arc<CompiledGraph<Node<i64>, Node<i64>>>,
    input: i64,
) -> maser::Result<i64> {
    graph.execute(input)?.get()
}

#[test]
fn a_graph_is_run_by_others_than_the_one_who_compiled_it() {
    both_ways(quiet(2), |_| {
        let actor = SendActor::remote();
        let graph = Arc::new(Graph::new(|inp: Node<i64>| actor.send().bind(inp)).compile()?);
        let by_tasks: Vec<_> = (0..10)
            .map(|n| run_elsewhere::remote(graph.clone(), n))
            .collect();
        assert_eq!(maser::get(&by_tasks)?, (0..10).collect::<Vec<_>>());
        Ok(())
    });
}
