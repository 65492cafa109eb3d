//! Collectives as nodes of graphs whose values are several tensors.

use maser::collective::{ReduceOp, allgather, allreduce};
use maser::prelude::*;
use maser::{Array, Tensor};
use maser_tests::{both_ways, quiet, with_runtime};

/// A model: weights of each layer, and a bias.
type Model = (Vec<Tensor>, Array<i64>);

struct Trainer {
    by: i64,
}

#[maser::actor(local)]
impl Trainer {
    fn new(by: i64) -> Self {
        Self { by }
    }

    /// `layers` layers; the second member has one more in run 2.
    fn give(&mut self, run: u64, layers: usize) -> maser::Result<Model> {
        let layers = layers + usize::from(run == 2 && self.by == 2);
        let layer = |at: usize| {
            let len = 3 + at * 40_000;
            let numbers = (0..len as i64).map(|number| number * self.by + run as i64);
            Tensor::from_vec(numbers.collect(), &[len])
        };
        let layers = (0..layers).map(layer).collect::<maser::Result<_>>()?;
        Ok((layers, Array::from_vec(vec![self.by, run as i64])))
    }

    fn total(&mut self, of: &Model) -> maser::Result<i64> {
        let mut total = of.1.iter().sum();
        for layer in &of.0 {
            total += layer.view::<i64>()?.iter().sum::<i64>();
        }
        Ok(total)
    }
}

fn trainers(schedulers: usize) -> [Actor<Trainer>; 2] {
    [1, 2].map(|by| {
        let at = by as usize % schedulers;
        Trainer::options().scheduler(at).remote(by)
    })
}

/// What the trainers' models come to, summed.
fn expected(run: i64, layers: i64) -> i64 {
    let lens = (0..layers).map(|at| 3 + at * 40_000);
    let layers = lens.map(|len| 3 * len * (len - 1) / 2 + 2 * run * len);
    layers.sum::<i64>() + 3 + 2 * run
}

#[test]
fn a_value_of_several_tensors_is_reduced_member_by_member_in_one_step() {
    for schedulers in 1..=2 {
        both_ways(quiet(schedulers), |_| {
            let members = trainers(schedulers);
            let graph = Graph::new(|run: Node<u64>| {
                let given = members.each_ref().map(|one| one.give().bind(run, 3_usize));
                let sums = allreduce::bind(given, ReduceOp::Sum);
                [0, 1].map(|rank| members[rank].total().bind(sums[rank]))
            });
            let graph = graph.compile()?;
            for run in [0_u64, 1, 3, 4] {
                let totals = maser::get_graph(&graph.execute(run)?)?;
                assert_eq!(totals, [expected(run as i64, 3); 2]);
            }
            graph.teardown()
        });
    }
}

#[test]
fn lists_of_different_lengths_are_an_error_of_the_run_on_every_member() {
    with_runtime(quiet(2), |_| {
        let members = trainers(2);
        let graph = Graph::new(|run: Node<u64>| {
            let given = members.each_ref().map(|one| one.give().bind(run, 1_usize));
            let sums = allreduce::bind(given, ReduceOp::Sum);
            let all = allgather::bind(given);
            [
                members[0].total().bind(sums[0]),
                members[1].total().bind(sums[1]),
                members[0].total().bind(all[0]),
                members[1].total().bind(all[1]),
            ]
        });
        let graph = graph.compile().expect("it compiles");
        for run in 0..5_u64 {
            for result in graph.execute(run).expect("a place") {
                match result.get() {
                    Ok(total) => assert_eq!(total, expected(run as i64, 1)),
                    Err(error) => {
                        assert_eq!(run, 2, "{error}");
                        let text = error.to_string();
                        assert!(text.contains("a list of 1"), "{text}");
                        assert!(text.contains("a list of 2"), "{text}");
                        assert!(text.contains("number 1 of a list of 2"), "{text}");
                    }
                }
            }
        }
        graph.teardown().expect("it ends");
    });
}
