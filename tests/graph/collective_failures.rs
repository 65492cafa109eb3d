//! Collectives as nodes of graphs: what cannot be, how they fail, and who waits for them.

use maser::collective::{ReduceOp, allreduce, reduce_scatter};
use maser::prelude::*;
use maser::{GroupKind, OperationKind, Tensor};
use maser_tests::{quiet, with_runtime};

use crate::actors::{Door, Log, worker};
use crate::collectives::{Trainer, named, options, trainers};

#[test]
fn what_does_not_fit_together_is_an_error_of_the_run_for_every_member() {
    for schedulers in 1..=2 {
        with_runtime(quiet(schedulers), |_| {
            let trainers = trainers::<3>(schedulers);
            let graph = Graph::new(|run: Node<u64>| {
                let given = [
                    trainers[0].give().bind(run, 4),
                    trainers[1].odd().bind(run),
                    trainers[2].give().bind(run, 4),
                ];
                let all = allreduce::bind(given, ReduceOp::Sum);
                [0, 1, 2].map(|rank| trainers[rank].take().bind(all[rank]))
            })
            .compile()
            .expect("it compiles");
            for run in 0..8_u64 {
                for result in graph.execute(run).expect("a place") {
                    let gave = match run {
                        2 => "float32 [5]",
                        4 => "float64 [4]",
                        _ => {
                            assert_eq!(result.get().expect("they fit")[0], 6.0 + 3.0 * run as f32);
                            continue;
                        }
                    };
                    let text = result.get().expect_err("they do not fit").to_string();
                    let parts = [
                        &format!("operation {run} of #4 allreduce (sum)"),
                        "rank 0 (Trainer \"trainer 1\") gave allreduce (sum) of float32 [4]",
                        &format!("rank 1 (Trainer \"trainer 2\") gave allreduce (sum) of {gave}"),
                    ];
                    for part in parts {
                        assert!(text.contains(part), "{part} is not in: {text}");
                    }
                }
            }
        });
    }
}

#[test]
fn a_tensor_that_cannot_be_divided_is_an_error_of_the_run() {
    with_runtime(quiet(1), |_| {
        let trainers = trainers::<2>(1);
        let graph = Graph::new(|n: Node<usize>| {
            let given = trainers
                .each_ref()
                .map(|trainer| trainer.give().bind(0_u64, n));
            reduce_scatter::bind(given, ReduceOp::Sum)
        })
        .compile()
        .expect("it compiles");
        for n in 1..6_usize {
            for result in graph.execute(n).expect("a place") {
                match result.get() {
                    Ok(part) => assert_eq!(part.shape(), [n / 2]),
                    Err(error) => {
                        assert_eq!(n % 2, 1, "{error}");
                        assert!(error.to_string().contains("not divisible"), "{error}");
                    }
                }
            }
        }
    });
}

#[test]
fn an_error_of_one_member_is_that_of_all_and_the_graph_goes_on() {
    with_runtime(quiet(2), |_| {
        let trainers = trainers::<2>(2);
        let graph = Graph::new(|run: Node<u64>| {
            let given = trainers
                .each_ref()
                .map(|trainer| trainer.refuse().bind(run, 3));
            allreduce::bind(given, ReduceOp::Sum)
        })
        .compile()
        .expect("it compiles");
        for run in 0..6 {
            for result in graph.execute(run).expect("a place") {
                let result = result.get();
                assert_eq!(result.is_err(), run == 3);
                if let Err(error) = result {
                    let text = error.to_string();
                    assert!(text.contains("refused: 3"), "{text}");
                    assert!(text.contains("Trainer::refuse"), "{text}");
                }
            }
        }
    });
}

#[track_caller]
fn assert_refused<I, O>(graph: Graph<I, O>, problem: &str, remedy: &str)
where
    I: maser::InputNodes,
    O: maser::OutputNodes,
{
    match graph.compile() {
        Err(Error::Graph {
            node,
            problem: is_problem,
            remedy: is_remedy,
        }) => {
            assert!(node.contains("allreduce (sum)"), "{node}");
            assert!(is_problem.contains(problem), "{is_problem}");
            assert!(is_remedy.contains(remedy), "{is_remedy}");
        }
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("nothing was refused"),
    }
}

#[maser::task(local)]
fn zeros(n: usize) -> Tensor {
    Tensor::from_vec(vec![0_f32; n], &[n]).expect("as many as there are")
}

#[test]
fn members_are_steps_of_different_actors() {
    with_runtime(quiet(1), |_| {
        let [a, b] = trainers::<2>(1);
        let sum = |members: &[Node<Tensor>]| allreduce::bind(members, ReduceOp::Sum);
        let none = Graph::new(|run: Node<u64>| {
            let _none = sum(&[]);
            a.give().bind(run, 1)
        });
        assert_refused(none, "the list is empty", "one node of each actor");
        let twice = Graph::new(|run: Node<u64>| {
            let one = a.give().bind(run, 1);
            sum(&[one, one])
        });
        assert_refused(
            twice,
            "ranks 0 and 1 are both #1 Trainer::give",
            "one node of each actor",
        );
        let same = Graph::new(|run: Node<u64>| {
            sum(&[
                a.give().bind(run, 1),
                b.give().bind(run, 1),
                a.give().bind(run, 2),
            ])
        });
        assert_refused(
            same,
            "ranks 0 and 2 (#1 Trainer::give and #3 Trainer::give) are both of Trainer \"trainer 1\"",
            "one node of each actor",
        );
        let input = Graph::new(|given: Node<Tensor>| sum(&[given]));
        assert_refused(input, "rank 0, #0 input, is none", "a method of the actor");
        let task = Graph::new(|n: Node<usize>| sum(&[zeros::bind(n)]));
        assert_refused(task, "rank 0, #1 zeros, is none", "a method of the actor");
        let foreign = Graph::new(|run: Node<u64>| {
            let outer = a.give().bind(run, 1);
            assert_refused(
                Graph::new(|run: Node<u64>| sum(&[b.give().bind(run, 1), outer])),
                "rank 1 is a node that was not bound in this graph",
                "inside the closure",
            );
            outer
        });
        assert!(foreign.compile().is_ok());
    });
}

#[test]
fn a_share_that_leads_nowhere_is_refused() {
    with_runtime(quiet(1), |_| {
        let [a, b] = trainers::<2>(1);
        let graph = Graph::new(|run: Node<u64>| {
            let given = [a.give().bind(run, 1), b.give().bind(run, 1)];
            allreduce::bind(given, ReduceOp::Sum)[0]
        });
        let Err(error) = graph.compile() else {
            panic!("it was not refused");
        };
        let text = error.to_string();
        assert!(text.contains("#5 allreduce (sum), rank 1"), "{text}");
        assert!(text.contains("nothing reads its result"), "{text}");
    });
}

/// The shares and the other step.
type Waiting = (Node<Tensor>, Node<Tensor>, Node<u64>);

/// `a` has another step after the collective, for which `b` is behind its door.
fn waiting(a: &Actor<Trainer>, b: &Actor<Trainer>) -> Graph<Node<u64>, Waiting> {
    Graph::new(|run: Node<u64>| {
        let given = [a.give().bind(run, 1), b.through().bind(run, 1)];
        let [one, other] = allreduce::bind(given, ReduceOp::Sum);
        (one, other, a.note().bind("other work", run))
    })
}

#[test]
fn with_overlap_an_actor_computes_while_its_collective_waits() {
    with_runtime(quiet(2), |_| {
        let (door, log) = (Door::default(), Log::default());
        let (a, b) = (named(1.0, 0, &door, &log), named(2.0, 1, &door, &log));
        let graph = waiting(&a, &b)
            .compile_with(options(4, true))
            .expect("it compiles");
        let closed = door.close();
        let runs: Vec<_> = (0..3)
            .map(|run| graph.execute(run).expect("a place"))
            .collect();
        for (run, (_, _, work)) in (0..).zip(&runs) {
            assert_eq!(work.get().expect("a result"), run);
        }
        assert!(
            !runs
                .iter()
                .any(|(one, other, _)| one.is_ready() || other.is_ready())
        );
        drop(closed);
        for (one, other, _) in runs {
            assert!(one.get().is_ok() && other.get().is_ok());
        }
    });
}

#[test]
fn without_overlap_an_actor_waits_for_its_collective() {
    with_runtime(quiet(2), |_| {
        let (door, log) = (Door::default(), Log::default());
        let (a, b) = (named(1.0, 0, &door, &log), named(2.0, 1, &door, &log));
        let graph = waiting(&a, &b)
            .compile_with(options(4, false))
            .expect("it compiles");
        let closed = door.close();
        let runs: Vec<_> = (0..3)
            .map(|run| graph.execute(run).expect("a place"))
            .collect();
        door.wait_for(1);
        // The actor answers calls, so it had every opportunity to go on.
        for _ in 0..20 {
            assert_eq!(a.note().remote("call", 7).get().expect("an answer"), 7);
        }
        assert!(!log.lines().contains(&"other work 0".to_owned()));
        drop(closed);
        for (run, (one, other, work)) in (0..).zip(runs) {
            assert!(one.get().is_ok() && other.get().is_ok());
            assert_eq!(work.get().expect("a result"), run);
        }
    });
}

#[test]
fn a_collective_may_be_a_part_of_a_deadlock_and_overlap_mends_it() {
    with_runtime(quiet(2), |_| {
        let trainers = trainers::<2>(2);
        let [a, b] = &trainers;
        // a waits until b has taken its tensor; b takes it behind a collective that a is part of later.
        let circle = || {
            Graph::new(|run: Node<u64>| {
                let sent = a.give().bind(run, 1).with_tensor_transport("gloo");
                let given = [a.give().bind(run, 1), b.give().bind(run, 1)];
                let [one, other] = allreduce::bind(given, ReduceOp::Sum);
                let between = b.take().bind(other);
                (one, between, b.scale().bind(sent))
            })
        };
        let Err(error) = circle().compile_with(options(4, false)) else {
            panic!("it was not refused");
        };
        let text = error.to_string();
        for part in [
            "deadlock",
            "#1 Trainer::give",
            "#4 allreduce (sum)",
            "#8 Trainer::scale",
        ] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        let graph = circle()
            .compile_with(options(4, true))
            .expect("overlap mends it");
        for run in 0..20 {
            let (one, between, scaled) = graph.execute(run).expect("a place");
            assert_eq!(between.get().expect("a result"), [3.0 + 2.0 * run as f32]);
            assert!(one.get().is_ok() && scaled.get().is_ok());
        }
    });
}

#[test]
fn the_death_of_a_member_is_told_to_all_who_wait() {
    for schedulers in 1..=2 {
        with_runtime(quiet(schedulers), |_| {
            let (door, log) = (Door::default(), Log::default());
            let a = named(1.0, 0, &Door::default(), &log);
            let b = named(2.0, schedulers - 1, &door, &log);
            let graph = waiting(&a, &b).compile().expect("it compiles");
            let closed = door.close();
            let (one, other, _) = graph.execute(1).expect("a place");
            door.wait_for(1);
            maser::kill(&b);
            for result in [one.get(), other.get()] {
                let error = result.expect_err("a member is dead");
                assert!(matches!(error.root(), Error::ActorDied { .. }), "{error}");
                assert!(error.to_string().contains("trainer 2"), "{error}");
            }
            drop(closed);
            // The other lives, and takes a new graph with a new member.
            let c = named(3.0, 0, &Door::default(), &log);
            let graph = waiting(&a, &c).compile().expect("it compiles");
            let (one, _other, _) = graph.execute(1).expect("a place");
            assert!(one.get().is_ok());
        });
    }
}

#[test]
fn a_graph_can_end_and_a_get_can_time_out_while_a_collective_waits() {
    with_runtime(quiet(2), |_| {
        let (door, log) = (Door::default(), Log::default());
        let (a, b) = (named(1.0, 0, &door, &log), named(2.0, 1, &door, &log));
        let graph = waiting(&a, &b).compile().expect("it compiles");
        let closed = door.close();
        let (one, other, _) = graph.execute(1).expect("a place");
        let late = one.get_timeout(std::time::Duration::from_millis(1));
        assert!(matches!(late, Err(Error::Timeout { .. })));
        drop(closed);
        assert!(one.get().is_ok(), "it kept its place");
        assert!(other.get().is_ok());
        let closed = door.close();
        let (one, _other, _) = graph.execute(2).expect("a place");
        door.wait_for(2);
        graph.teardown().expect("it ends");
        assert!(matches!(one.get(), Err(Error::ChannelClosed { .. })));
        drop(closed);
    });
}

#[test]
fn an_uncompiled_graph_has_the_same_collectives() {
    with_runtime(quiet(2), |_| {
        let trainers = trainers::<2>(2);
        let graph = Graph::new(|run: Node<u64>| {
            let given = [trainers[0].give().bind(run, 4), trainers[1].odd().bind(run)];
            let all = allreduce::bind(given, ReduceOp::Sum);
            [0, 1].map(|rank| trainers[rank].take().bind(all[rank]))
        });
        for result in graph.execute(1).expect("it runs") {
            assert_eq!(result.get().expect("a result"), [5.0, 7.0, 9.0, 11.0]);
        }
        for result in graph.execute(2).expect("it runs") {
            let text = result.get().expect_err("they do not fit").to_string();
            assert!(text.contains("float32 [5]"), "{text}");
        }
    });
}

#[test]
fn a_schedule_shows_a_collective_as_a_group() {
    with_runtime(quiet(2), |_| {
        let trainers = trainers::<2>(2);
        let graph = Graph::new(|run: Node<u64>| {
            let given = trainers
                .each_ref()
                .map(|trainer| trainer.give().bind(run, 1));
            allreduce::bind(given, ReduceOp::Max)
        })
        .compile()
        .expect("it compiles");
        let schedule = graph.schedule();
        assert_eq!(schedule.groups.len(), 1, "{schedule}");
        assert_eq!(schedule.groups[0].kind, GroupKind::Collective);
        use OperationKind::{Compute, Read};
        assert_eq!(
            schedule.groups[0].members,
            [(Compute, 3), (Read, 4), (Read, 5)]
        );
        let names: Vec<_> = schedule
            .actors
            .iter()
            .map(|actor| &actor.name[..])
            .collect();
        assert_eq!(
            names,
            [
                "Trainer \"trainer 1\"",
                "Trainer \"trainer 2\"",
                "#3 allreduce (max)"
            ]
        );
        assert_eq!(
            schedule.actors[0].operations[3].step,
            "#4 allreduce (max), rank 0"
        );
    });
}

#[test]
fn collectives_bound_outside_of_a_graph_are_refused_where_they_are_used() {
    with_runtime(quiet(1), |_| {
        let [a, b] = trainers::<2>(1);
        let given = [a.give().bind(1_u64, 1), b.give().bind(1_u64, 1)];
        let all = allreduce::bind(given, ReduceOp::Sum);
        let graph =
            Graph::new(|run: Node<u64>| (a.scale().bind(all[0]), worker(0).echo().bind(run)));
        let Err(error) = graph.compile() else {
            panic!("it was not refused");
        };
        assert!(
            error.to_string().contains("outside of Graph::new"),
            "{error}"
        );
    });
}
