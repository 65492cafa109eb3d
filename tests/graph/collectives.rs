//! Collectives as nodes of graphs: what they come to, on any number of schedulers.

use maser::collective::{ReduceOp, allgather, allreduce, broadcast, reduce_scatter};
use maser::prelude::*;
use maser::{Array, Tensor, get_graph};
use maser_tests::{both_ways, quiet, with_runtime};

use crate::actors::{Door, Log, Refused};

/// Gives tensors of its own number.
pub struct Trainer {
    by: f32,
    door: Door,
    log: Log,
}

#[maser::actor(local)]
impl Trainer {
    pub fn new(by: f32, door: Door, log: Log) -> Self {
        Self { by, door, log }
    }

    /// `n` elements, the first of them its number and the run.
    pub fn give(&mut self, run: u64, n: usize) -> maser::Result<Tensor> {
        let numbers = (0..n).map(|at| self.by + run as f32 + at as f32);
        Tensor::from_vec(numbers.collect(), &[n])
    }

    /// As `give` once its door is open.
    pub fn through(&mut self, run: u64, n: usize) -> maser::Result<Tensor> {
        self.door.pass()?;
        self.give(run, n)
    }

    /// As `give`, but in one run longer, in one of doubles, and in one not at all.
    pub fn odd(&mut self, run: u64) -> maser::Result<Tensor> {
        match run {
            2 => self.give(run, 5),
            4 => Tensor::from_vec(vec![0_f64; 4], &[4]),
            _ => self.give(run, 4),
        }
    }

    pub fn refuse(&mut self, run: u64, refused: u64) -> Result<Tensor, Refused> {
        match run == refused {
            true => Err(Refused(run)),
            false => Ok(Tensor::from_vec(vec![self.by; 4], &[4]).expect("four are four")),
        }
    }

    pub fn numbers(&mut self, run: u64) -> Array<i64> {
        Array::from_vec(vec![self.by as i64, run as i64])
    }

    pub fn total(&mut self, of: &Array<i64>) -> i64 {
        of.iter().sum()
    }

    pub fn take(&mut self, tensor: &Tensor) -> maser::Result<Vec<f32>> {
        Ok(tensor.view::<f32>()?.iter().collect())
    }

    pub fn scale(&mut self, tensor: &Tensor) -> maser::Result<Tensor> {
        let numbers = tensor.view::<f32>()?;
        let scaled = numbers.iter().map(|number| number * self.by).collect();
        Tensor::from_vec(scaled, tensor.shape())
    }

    pub fn note(&mut self, name: &str, run: u64) -> u64 {
        self.log.note(format!("{name} {run}"));
        run
    }
}

fn trainer(by: f32, at: usize) -> Actor<Trainer> {
    named(by, at, &Door::default(), &Log::default())
}

pub fn named(by: f32, at: usize, door: &Door, log: &Log) -> Actor<Trainer> {
    Trainer::options()
        .scheduler(at)
        .name(&format!("trainer {by}"))
        .remote(by, door.clone(), log.clone())
}

/// Trainers 1, 2, ... spread over the schedulers.
pub fn trainers<const N: usize>(schedulers: usize) -> [Actor<Trainer>; N] {
    std::array::from_fn(|at| trainer(at as f32 + 1.0, at % schedulers))
}

pub fn options(max_inflight: usize, overlap: bool) -> CompileOptions {
    CompileOptions {
        max_inflight: Some(max_inflight),
        overlap_communication: Some(overlap),
        ..Default::default()
    }
}

#[test]
fn an_allreduce_gives_every_member_what_all_come_to() {
    let expected = |op, run: f32, at: f32| {
        let given = [1.0, 2.0, 3.0].map(|by: f32| by + run + at);
        match op {
            ReduceOp::Sum => given.iter().sum(),
            ReduceOp::Product => given.iter().product(),
            ReduceOp::Max => given[2],
            ReduceOp::Min => given[0],
            ReduceOp::Average => given[1],
        }
    };
    for schedulers in 1..=3 {
        both_ways(quiet(schedulers), |_| {
            for op in ReduceOp::ALL {
                let trainers = trainers::<3>(schedulers);
                let graph = Graph::new(|run: Node<u64>| {
                    let given = trainers
                        .each_ref()
                        .map(|trainer| trainer.give().bind(run, 100));
                    let all = allreduce::bind(given, op);
                    [0, 1, 2].map(|rank| trainers[rank].take().bind(all[rank]))
                });
                let compiled = graph.compile_with(options(4, op == ReduceOp::Sum))?;
                for run in 0..5_u64 {
                    for got in get_graph(&compiled.execute(run)?)? {
                        for (at, number) in (0..100).zip(got) {
                            let wanted = expected(op, run as f32, at as f32);
                            assert!((number - wanted).abs() <= wanted * 1e-5, "{op}");
                        }
                    }
                }
            }
            Ok(())
        });
    }
}

#[test]
fn large_tensors_are_made_in_pieces_by_all_members_and_are_the_same_for_all() {
    const N: usize = 60_000;
    for schedulers in 1..=3 {
        with_runtime(quiet(schedulers), |_| {
            let trainers = trainers::<3>(schedulers);
            let graph = Graph::new(|run: Node<u64>| {
                let given = trainers
                    .each_ref()
                    .map(|trainer| trainer.give().bind(run, N));
                let sums = allreduce::bind(given, ReduceOp::Sum);
                let all = allgather::bind(given);
                let parts = reduce_scatter::bind(given, ReduceOp::Min);
                [sums, all, parts].concat()
            })
            .compile_with(options(3, true))
            .expect("it compiles");
            let runs: Vec<_> = (0..4_u64)
                .map(|run| graph.execute(run).expect("a place"))
                .collect();
            for (run, results) in (0..).zip(runs) {
                let results = get_graph(&results).expect("results");
                let numbers = |at: usize| -> Vec<f32> {
                    let numbers = results[at].view::<f32>().expect("floats");
                    numbers.iter().collect()
                };
                let run = run as f32;
                let own = |by: f32, at: usize| by + run + at as f32;
                for rank in 0..3 {
                    let sum = |at| own(1.0, at) + own(2.0, at) + own(3.0, at);
                    assert!((0..N).map(sum).eq(numbers(rank)));
                    let all = (0..3 * N).map(|at| own((at / N) as f32 + 1.0, at % N));
                    assert!(all.eq(numbers(3 + rank)));
                    let part = rank * N / 3..(rank + 1) * N / 3;
                    assert!(part.map(|at| own(1.0, at)).eq(numbers(6 + rank)));
                }
            }
        });
    }
}

#[test]
fn gathered_scattered_and_broadcast_tensors_are_by_rank() {
    for schedulers in 1..=2 {
        with_runtime(quiet(schedulers), |_| {
            let trainers = trainers::<2>(schedulers);
            let graph = Graph::new(|run: Node<u64>| {
                let given = trainers
                    .each_ref()
                    .map(|trainer| trainer.give().bind(run, 2));
                let gathered = allgather::bind(given);
                let scattered = reduce_scatter::bind(given, ReduceOp::Sum);
                let sent = broadcast::bind(given, 1);
                [0, 1]
                    .map(|rank| {
                        [gathered, scattered, sent].map(|all| trainers[rank].take().bind(all[rank]))
                    })
                    .concat()
            })
            .compile()
            .expect("it compiles");
            for run in 0..5_u64 {
                let got = get_graph(&graph.execute(run).expect("a place")).expect("results");
                let [a, b] = [1.0 + run as f32, 2.0 + run as f32];
                let gathered = vec![a, a + 1.0, b, b + 1.0];
                let sent = vec![b, b + 1.0];
                assert_eq!(got[0], gathered);
                assert_eq!(got[1], [a + b]);
                assert_eq!(got[2], sent);
                assert_eq!(got[3], gathered);
                assert_eq!(got[4], [a + b + 2.0]);
                assert_eq!(got[5], sent);
            }
        });
    }
}

#[test]
fn members_are_a_vector_a_slice_or_an_array_of_tensors_or_arrays() {
    with_runtime(quiet(2), |_| {
        let trainers = trainers::<3>(2);
        let graph = Graph::new(|run: Node<u64>| {
            let given: Vec<Node<Array<i64>>> = trainers
                .iter()
                .map(|trainer| trainer.numbers().bind(run))
                .collect();
            let by_slice: Vec<Node<Array<i64>>> = allreduce::bind(&given[..2], ReduceOp::Sum);
            let by_vector: Vec<Node<Array<i64>>> = allgather::bind(given);
            let totals = [&by_slice[0], &by_slice[1], &by_vector[0], &by_vector[1]];
            let mut totals: Vec<Node<i64>> = (0..)
                .zip(totals)
                .map(|(at, all): (usize, _)| trainers[at % 2].total().bind(all))
                .collect();
            totals.push(trainers[2].total().bind(by_vector[2]));
            totals
        })
        .compile()
        .expect("it compiles");
        let got = get_graph(&graph.execute(10).expect("a place")).expect("results");
        assert_eq!(got, [23, 23, 36, 36, 36]);
    });
}

#[test]
fn a_share_may_be_given_to_the_next_collective_and_be_an_output() {
    for overlap in [false, true] {
        with_runtime(quiet(2), |_| {
            let trainers = trainers::<4>(2);
            let graph = Graph::new(|run: Node<u64>| {
                let given = trainers
                    .each_ref()
                    .map(|trainer| trainer.give().bind(run, 1));
                let left = allreduce::bind(&given[..2], ReduceOp::Sum);
                let right = allreduce::bind(&given[2..], ReduceOp::Sum);
                let across = allreduce::bind([left[0], right[1]], ReduceOp::Product);
                (left[1], right[0], across[0], across[1])
            })
            .compile_with(options(8, overlap))
            .expect("it compiles");
            let runs: Vec<_> = (0..200)
                .map(|run| graph.execute(run).expect("a place"))
                .collect();
            for (run, (left, right, one, other)) in (0..).zip(runs) {
                let first = |tensor: maser::GraphRef<Tensor>| {
                    let tensor = tensor.get().expect("a result");
                    let numbers = tensor.view::<f32>().expect("floats");
                    numbers.iter().next().expect("a number")
                };
                let run = run as f32;
                assert_eq!(first(left), 3.0 + 2.0 * run);
                assert_eq!(first(right), 7.0 + 2.0 * run);
                let product = (3.0 + 2.0 * run) * (7.0 + 2.0 * run);
                assert_eq!(first(one), product);
                assert_eq!(first(other), product);
            }
        });
    }
}
