//! Graphs with more segments than a scheduler looks at in one go, and many graphs beside one.

use maser::CompileOptions;
use maser::prelude::*;
use maser_tests::{both_ways, quiet};

use crate::actors::worker;

/// Steps of the long chain.
const STEPS: usize = 600;
/// Layers of the wide graph and steps of each; sums double in each layer.
const LAYERS: usize = 56;
const WIDE: usize = 8;

fn depths() -> [CompileOptions; 2] {
    [1, 10].map(|runs| CompileOptions {
        max_inflight: Some(runs),
        ..Default::default()
    })
}

#[test]
fn a_long_chain_from_scheduler_to_scheduler_keeps_runs_and_steps_in_order() {
    both_ways(quiet(2), |_| {
        let actors = [0, 1, 0, 1, 0, 1].map(worker);
        for depth in depths() {
            let graph = Graph::new(|input: Node<u64>| {
                let steps = 0..STEPS;
                steps.fold(input, |value, at| actors[at % 6].add().bind(value, 1))
            })
            .compile_with(depth)?;
            let runs: Vec<u64> = (0..12).collect();
            let mut refs = Vec::new();
            for run in &runs {
                // As many as are taken; the others one by one.
                match graph.try_execute(*run) {
                    Ok(one) => refs.push((run, one)),
                    Err(_) => assert_eq!(graph.execute(*run)?.get()?, run + STEPS as u64),
                }
            }
            for (run, one) in refs {
                assert_eq!(one.get()?, run + STEPS as u64);
            }
            graph.teardown()?;
        }
        Ok(())
    });
}

#[test]
fn layers_of_steps_that_cross_give_the_same_as_one_after_the_other() {
    both_ways(quiet(3), |_| {
        let actors = [0, 1, 2, 0, 1, 2, 0, 1].map(worker);
        let graph = Graph::new(|input: Node<u64>| {
            let first = |at: usize| actors[at].add().bind(input, at as u64);
            let mut layer: Vec<Node<u64>> = (0..WIDE).map(first).collect();
            for _ in 0..LAYERS {
                let step = |at: usize| actors[at].add().bind(layer[at], layer[(at + 3) % WIDE]);
                layer = (0..WIDE).map(step).collect();
            }
            layer
        })
        .compile()?;
        let by_hand = |input: u64| {
            let mut layer: Vec<u64> = (0..WIDE as u64).map(|at| input + at).collect();
            for _ in 0..LAYERS {
                let step = |at: usize| layer[at] + layer[(at + 3) % WIDE];
                layer = (0..WIDE).map(step).collect();
            }
            layer
        };
        for input in 0..20 {
            let refs = graph.execute(input)?;
            let found: Result<Vec<u64>, _> = refs.into_iter().map(|one| one.get()).collect();
            assert_eq!(found?, by_hand(input));
        }
        graph.teardown()
    });
}

#[test]
fn among_many_graphs_of_one_scheduler_each_runs_whenever_its_turn_comes() {
    both_ways(quiet(2), |_| {
        let actors: Vec<_> = (0..100).map(|_| worker(1)).collect();
        let compiled: maser::Result<Vec<_>> = actors
            .iter()
            .map(|actor| Graph::new(|input: Node<u64>| actor.echo().bind(input)).compile())
            .collect();
        let graphs = compiled?;
        // Near ones and far ones in turn, then all at once.
        for round in 0..200 {
            let at = round * 37 % graphs.len();
            assert_eq!(graphs[at].execute(round as u64)?.get()?, round as u64);
        }
        let refs: maser::Result<Vec<_>> = graphs
            .iter()
            .zip(0..)
            .map(|(graph, at)| graph.execute(at))
            .collect();
        for (one, at) in refs?.into_iter().zip(0..) {
            assert_eq!(one.get()?, at);
        }
        graphs.into_iter().try_for_each(|graph| graph.teardown())
    });
}
