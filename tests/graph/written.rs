//! What `compile` refuses: each refusal names the node and says what to do.

use maser::prelude::*;
use maser_tests::{alone, quiet, with_runtime};

use crate::actors::{Worker, worker};

/// The node, the problem and the remedy of a refusal.
#[track_caller]
fn refusal<T>(outcome: maser::Result<T>) -> (String, String, String) {
    match outcome {
        Err(Error::Graph {
            node,
            problem,
            remedy,
        }) => (node, problem, remedy),
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("nothing was refused"),
    }
}

#[track_caller]
fn assert_refused<T>(outcome: maser::Result<T>, node: &str, problem: &str, remedy: &str) {
    let (is_node, is_problem, is_remedy) = refusal(outcome);
    assert_eq!(is_node, node);
    assert!(is_problem.contains(problem), "{is_problem}");
    assert!(is_remedy.contains(remedy), "{is_remedy}");
}

#[test]
fn an_input_that_nothing_reads_is_refused() {
    with_runtime(quiet(1), |_| {
        let a = worker(0);
        let graph = Graph::new(|(x, _y): (Node<u64>, Node<u64>)| a.echo().bind(x));
        assert_refused(
            graph.compile(),
            "#1 input",
            "input 1 is not used",
            "leave it out",
        );
    });
}

#[test]
fn a_node_that_leads_nowhere_is_refused() {
    with_runtime(quiet(1), |_| {
        let a = worker(0);
        let graph = Graph::new(|x: Node<u64>| {
            a.add().bind(x, 1);
            a.echo().bind(x)
        });
        assert_refused(
            graph.compile(),
            "#1 Worker::add",
            "nothing reads its result",
            "outputs",
        );
    });
}

#[test]
fn an_input_that_is_an_output_is_refused() {
    with_runtime(quiet(1), |_| {
        let a = worker(0);
        let graph = Graph::new(|x: Node<u64>| (a.echo().bind(x), x));
        assert_refused(
            graph.compile(),
            "#0 input",
            "is an output as it is",
            "bind it",
        );
        assert_refused(
            Graph::new(|x: Node<u64>| x).compile(),
            "#0 input",
            "output",
            "bind it",
        );
    });
}

#[test]
fn a_graph_without_output_is_refused() {
    with_runtime(quiet(1), |_| {
        let graph = Graph::new(|()| Vec::<Node<u64>>::new());
        assert_refused(graph.compile(), "output", "no output", "at least one node");
    });
}

#[test]
fn a_node_of_another_graph_is_refused_as_input_and_as_output() {
    with_runtime(quiet(1), |_| {
        let a = worker(0);
        let mut foreign = None;
        drop(Graph::new(|x: Node<u64>| {
            foreign = Some(x);
            a.echo().bind(x)
        }));
        let foreign = foreign.expect("the closure ran");
        let graph = Graph::new(|x: Node<u64>| a.add().bind(x, foreign));
        assert_refused(
            graph.execute(1),
            "#1 Worker::add",
            "of another graph",
            "one Graph::new",
        );
        assert_refused(
            graph.compile(),
            "#1 Worker::add",
            "of another graph",
            "one Graph::new",
        );
        let graph = Graph::new(|x: Node<u64>| (a.echo().bind(x), foreign));
        assert_refused(
            graph.compile(),
            "output",
            "not bound in this graph",
            "inside the closure",
        );
    });
}

#[test]
fn a_node_that_was_bound_outside_of_a_graph_is_refused() {
    with_runtime(quiet(1), |_| {
        let a = worker(0);
        let outside = a.echo().bind(1);
        let graph = Graph::new(|x: Node<u64>| a.add().bind(x, outside));
        assert_refused(
            graph.compile(),
            "#1 Worker::add",
            "outside of Graph::new",
            "inside",
        );
        let graph = Graph::new(|()| outside);
        assert_refused(
            graph.compile(),
            "output",
            "not bound in this graph",
            "inside",
        );
    });
}

#[test]
fn graphs_inside_graphs_keep_their_nodes_apart() {
    with_runtime(quiet(1), |_| {
        let a = worker(0);
        let mut inner = None;
        let outer = Graph::new(|x: Node<u64>| {
            let y = a.echo().bind(x);
            inner = Some(Graph::new(|x: Node<u64>| a.add().bind(x, 1)));
            a.add().bind(y, 10)
        });
        let inner = inner.expect("the closure ran").compile().unwrap();
        assert_eq!(
            outer.compile().unwrap().execute(1).unwrap().get().unwrap(),
            11
        );
        assert_eq!(inner.execute(1).unwrap().get().unwrap(), 2);
    });
}

#[test]
fn a_panic_while_a_graph_is_written_leaves_nothing_behind() {
    with_runtime(quiet(1), |_| {
        let a = worker(0);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            Graph::new(|x: Node<u64>| -> Node<u64> {
                a.echo().bind(x);
                std::panic::resume_unwind(Box::new("written wrongly"))
            })
        }));
        assert!(panicked.is_err());
        let outside = a.echo().bind(1);
        assert_refused(
            Graph::new(|()| outside).compile(),
            "output",
            "not bound",
            "inside",
        );
        let graph = Graph::new(|x: Node<u64>| a.echo().bind(x))
            .compile()
            .unwrap();
        assert_eq!(graph.execute(3).unwrap().get().unwrap(), 3);
    });
}

#[test]
fn an_actor_of_a_runtime_that_was_shut_down_is_refused() {
    alone(|| {
        let mut kept = None;
        maser::run(quiet(1), |_| kept = Some(worker(0))).unwrap();
        let old: Actor<Worker> = kept.expect("the body ran");
        maser::run(quiet(1), |_| {
            let graph = Graph::new(|x: Node<u64>| old.echo().bind(x));
            assert_refused(
                graph.compile(),
                "#1 Worker::echo",
                "was shut down",
                "same runtime",
            );
        })
        .unwrap();
    });
}

#[test]
fn compiling_without_a_runtime_says_so() {
    alone(|| {
        let mut kept = None;
        maser::run(quiet(1), |_| {
            let a = worker(0);
            kept = Some(Graph::new(|x: Node<u64>| a.echo().bind(x)));
        })
        .unwrap();
        let refused = kept.expect("the body ran").compile().map(drop);
        assert!(
            matches!(refused, Err(Error::NotRunning { .. })),
            "{refused:?}"
        );
    });
}

#[test]
fn a_dead_actor_is_named() {
    with_runtime(quiet(2), |_| {
        let (a, b) = (worker(0), worker(1));
        maser::kill(&b);
        let graph = Graph::new(|x: Node<u64>| b.echo().bind(a.echo().bind(x)));
        match graph.compile().map(drop) {
            Err(Error::ActorDied { actor, reason }) => {
                assert!(actor.starts_with("Worker#"), "{actor}");
                assert!(reason.contains("kill"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
        // The other actor is as good as before.
        let graph = Graph::new(|x: Node<u64>| a.echo().bind(x))
            .compile()
            .unwrap();
        assert_eq!(graph.execute(1).unwrap().get().unwrap(), 1);
    });
}

#[test]
fn a_limit_of_no_runs_is_refused_with_the_range() {
    with_runtime(quiet(1), |_| {
        let a = worker(0);
        for wrong in [0, usize::MAX] {
            let graph = Graph::new(|x: Node<u64>| a.echo().bind(x));
            let options = CompileOptions {
                max_inflight: Some(wrong),
                ..Default::default()
            };
            match graph.compile_with(options).map(drop) {
                Err(Error::InvalidArgument {
                    argument,
                    problem,
                    remedy,
                }) => {
                    assert_eq!(argument, "max_inflight");
                    assert!(problem.contains(&wrong.to_string()), "{problem}");
                    assert!(remedy.contains("1 to"), "{remedy}");
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn every_refusal_reads_as_a_sentence() {
    with_runtime(quiet(1), |_| {
        let a = worker(0);
        let graph = Graph::new(|(x, _y): (Node<u64>, Node<u64>)| a.echo().bind(x));
        let text = graph.compile().map(drop).unwrap_err().to_string();
        assert_eq!(
            text,
            "graph node #1 input: input 1 is not used; bind it, or leave it out of the closure's \
             arguments"
        );
    });
}

/// Compiles a graph when it goes away, and says what came of it.
struct LateCompiler(std::sync::mpsc::Sender<maser::Result<()>>);

#[maser::actor(local)]
impl LateCompiler {
    fn new(outcome: std::sync::mpsc::Sender<maser::Result<()>>) -> Self {
        Self(outcome)
    }
    fn is_there(&self) {}
}

#[maser::task]
fn same(value: u64) -> u64 {
    value
}

impl Drop for LateCompiler {
    fn drop(&mut self) {
        let graph = Graph::new(|x: Node<u64>| same::bind(x)).compile();
        drop(self.0.send(graph.map(drop)));
    }
}

#[test]
fn a_graph_that_is_compiled_during_the_shutdown_is_refused() {
    alone(|| {
        let maser = quiet(2).init().unwrap();
        let (sender, outcome) = std::sync::mpsc::channel();
        let late = LateCompiler::remote(sender);
        late.is_there().remote().get().unwrap();
        drop(maser);
        let outcome = outcome.recv().unwrap();
        assert!(
            matches!(outcome, Err(Error::ShutDown { .. })),
            "{outcome:?}"
        );
    });
}
