//! Collectives as nodes of graphs whose members are in processes of their own.

use maser::collective::{ReduceOp, allgather, allreduce};
use maser::prelude::*;
use maser::{Error, Tensor, get_graph};

use crate::graph_actors::in_runtime;

struct Trainer {
    by: f32,
}

#[maser::actor]
impl Trainer {
    fn new(by: f32) -> Self {
        Self { by }
    }

    fn give(&mut self, run: u64, n: usize) -> maser::Result<Tensor> {
        Tensor::from_vec(vec![self.by + run as f32; n], &[n])
    }

    /// One element more in run 3, and the end of its process in run 7.
    fn odd(&mut self, run: u64, n: usize) -> maser::Result<Tensor> {
        if run == 7 {
            std::process::abort();
        }
        self.give(run, n + usize::from(run == 3))
    }

    /// Two tensors; in run 3 a list that is one longer.
    fn give_list(&mut self, run: u64, n: usize) -> maser::Result<Vec<Tensor>> {
        let count = 2 + usize::from(run == 3 && self.by == 2.0);
        (1..=count).map(|at| self.give(run, at * n)).collect()
    }

    fn sums(&mut self, tensors: Vec<Tensor>) -> maser::Result<Vec<f64>> {
        tensors.iter().map(|tensor| self.sum(tensor)).collect()
    }

    fn sum(&mut self, tensor: &Tensor) -> maser::Result<f64> {
        Ok(tensor.view::<f32>()?.iter().map(f64::from).sum())
    }

    fn pid(&mut self, _: &Tensor) -> u32 {
        std::process::id()
    }
}

fn there(by: f32) -> Actor<Trainer> {
    Trainer::options()
        .isolation(Isolation::Process)
        .name(&format!("trainer {by}"))
        .remote(by)
}

fn here(by: f32) -> Actor<Trainer> {
    Trainer::options().name(&format!("trainer {by}")).remote(by)
}

fn overlap(overlap: bool) -> CompileOptions {
    CompileOptions {
        overlap_communication: Some(overlap),
        ..Default::default()
    }
}

#[test]
fn members_may_be_threads_and_processes_and_tensors_of_any_size() {
    in_runtime(2, || {
        let members = [there(1.0), here(2.0), there(3.0)];
        for n in [1_usize, 16, 100_000] {
            for ahead in [false, true] {
                let graph = Graph::new(|run: Node<u64>| {
                    let given = members.each_ref().map(|member| member.give().bind(run, n));
                    let sums = allreduce::bind(given, ReduceOp::Sum);
                    let all = allgather::bind(given);
                    [0, 1, 2]
                        .map(|rank| {
                            let member = &members[rank];
                            [member.sum().bind(sums[rank]), member.sum().bind(all[rank])]
                        })
                        .concat()
                });
                let graph = graph.compile_with(overlap(ahead))?;
                for run in 0..12_u64 {
                    let total = (6.0 + 3.0 * run as f64) * n as f64;
                    assert_eq!(get_graph(&graph.execute(run)?)?, [total; 6]);
                }
                graph.teardown()?;
            }
        }
        let graph = Graph::new(|run: Node<u64>| {
            let given = members
                .each_ref()
                .map(|member| member.give().bind(run, 1_usize));
            let sums = allreduce::bind(given, ReduceOp::Sum);
            [0, 1, 2].map(|rank| members[rank].pid().bind(sums[rank]))
        })
        .compile()?;
        let [one, two, three] = graph.execute(0)?;
        let pids = [one.get()?, two.get()?, three.get()?];
        assert_eq!(pids[1], std::process::id());
        assert!(pids[0] != pids[1] && pids[0] != pids[2] && pids[1] != pids[2]);
        graph.teardown()
    });
}

#[test]
fn lists_of_tensors_of_several_processes_are_reduced_member_by_member() {
    in_runtime(2, || {
        let members = [there(1.0), there(2.0), here(3.0)];
        for n in [1_usize, 50_000] {
            let graph = Graph::new(|run: Node<u64>| {
                let given = members
                    .each_ref()
                    .map(|member| member.give_list().bind(run, n));
                let sums = allreduce::bind(given, ReduceOp::Sum);
                [0, 1, 2].map(|rank| members[rank].sums().bind(sums[rank]))
            });
            let graph = graph.compile()?;
            for run in 0..6_u64 {
                for result in graph.execute(run)? {
                    let total = (6.0 + 3.0 * run as f64) * n as f64;
                    match result.get() {
                        Ok(sums) => assert_eq!(sums, [total, 2.0 * total]),
                        Err(error) => {
                            assert_eq!(run, 3, "{error}");
                            assert!(error.to_string().contains("a list of 3"), "{error}");
                        }
                    }
                }
            }
            graph.teardown()?;
        }
        Ok(())
    });
}

#[test]
fn a_mismatch_of_one_process_is_told_to_all_and_its_death_ends_the_graph() {
    in_runtime(1, || {
        let members = [there(1.0), there(2.0)];
        let graph = Graph::new(|run: Node<u64>| {
            let given = [
                members[0].give().bind(run, 4_usize),
                members[1].odd().bind(run, 4_usize),
            ];
            let all = allreduce::bind(given, ReduceOp::Sum);
            (members[0].sum().bind(all[0]), members[1].sum().bind(all[1]))
        });
        let graph = graph.compile_with(overlap(false))?;
        for run in 0..7_u64 {
            let (one, other) = graph.execute(run)?;
            for result in [one.get(), other.get()] {
                match result {
                    Ok(sum) => assert_eq!(sum, 12.0 + 8.0 * run as f64),
                    Err(error) => {
                        assert_eq!(run, 3, "{error}");
                        let text = error.to_string();
                        assert!(text.contains("rank 1 (Trainer \"trainer 2\")"), "{text}");
                        assert!(text.contains("float32 [5]"), "{text}");
                    }
                }
            }
        }
        let (one, other) = graph.execute(7)?;
        for result in [one.get(), other.get()] {
            let error = result.expect_err("a member is dead");
            assert!(matches!(error.root(), Error::ActorDied { .. }), "{error}");
            assert!(error.to_string().contains("trainer 2"), "{error}");
        }
        let tensor = Tensor::from_vec(vec![1_f32], &[1])?;
        assert_eq!(members[0].sum().remote(tensor).get()?, 1.0);
        graph.teardown()
    });
}

#[test]
fn without_overlap_the_next_step_in_a_process_waits_for_the_share() {
    in_runtime(1, || {
        let members = [there(1.0), there(2.0)];
        for ahead in [false, true] {
            let graph = Graph::new(|run: Node<u64>| {
                let given = members
                    .each_ref()
                    .map(|member| member.give().bind(run, 4_usize));
                let all = allreduce::bind(given, ReduceOp::Sum);
                let next = members
                    .each_ref()
                    .map(|member| member.give().bind(run, 2_usize));
                (
                    members[0].sum().bind(all[0]),
                    members[1].sum().bind(all[1]),
                    members[0].sum().bind(next[1]),
                    members[1].sum().bind(next[0]),
                )
            });
            let graph = graph.compile_with(overlap(ahead))?;
            let runs: Vec<_> = (0..100)
                .map(|run| graph.execute(run))
                .collect::<maser::Result<_>>()?;
            for (run, (one, other, from_other, from_one)) in (0..).zip(runs) {
                let run = f64::from(run);
                assert_eq!([one.get()?, other.get()?], [12.0 + 8.0 * run; 2]);
                assert_eq!(from_other.get()?, 4.0 + 2.0 * run);
                assert_eq!(from_one.get()?, 2.0 + 2.0 * run);
            }
            graph.teardown()?;
        }
        Ok(())
    });
}
