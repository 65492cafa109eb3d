//! Orders of synchronous steps that would wait for each other in a circle: compile says so.

use maser::prelude::*;
use maser_tests::{quiet, with_runtime};

use crate::actors::{Door, Log, Worker};

fn named(name: &str, at: usize) -> Actor<Worker> {
    Worker::options()
        .scheduler(at)
        .name(name)
        .remote(Door::default(), Log::default())
}

fn overlap(overlap: bool) -> CompileOptions {
    CompileOptions {
        overlap_communication: Some(overlap),
        ..Default::default()
    }
}

/// Each of two actors sends first and takes then.
fn crossed(
    a: &Actor<Worker>,
    b: &Actor<Worker>,
    transport: &str,
) -> Graph<Node<u64>, (Node<u64>, Node<u64>)> {
    Graph::new(|x: Node<u64>| {
        let from_a = a.add().bind(x, 1).with_tensor_transport(transport);
        let from_b = b.add().bind(x, 10).with_tensor_transport(transport);
        (a.add().bind(from_b, 100), b.add().bind(from_a, 1000))
    })
}

#[track_caller]
fn assert_runs(graph: &CompiledGraph<Node<u64>, (Node<u64>, Node<u64>)>) {
    for x in 0..50 {
        let (on_a, on_b) = graph.execute(x).expect("it takes runs");
        assert_eq!(on_a.get().expect("a result"), x + 110);
        assert_eq!(on_b.get().expect("a result"), x + 1001);
    }
}

#[test]
fn two_actors_that_both_send_before_they_take_are_refused_and_both_steps_are_named() {
    with_runtime(quiet(2), |_| {
        let (a, b) = (named("first", 0), named("second", 1));
        let refused = crossed(&a, &b, "gloo").compile_with(overlap(false));
        let Err(Error::Graph {
            node,
            problem,
            remedy,
        }) = refused
        else {
            panic!("it was not refused");
        };
        assert_eq!(node, "#1 Worker::add");
        assert_eq!(
            problem,
            "the graph would deadlock: #1 Worker::add of Worker \"first\" waits until \
             #4 Worker::add of Worker \"second\" has taken its value (transport 'gloo'); until then \
             #3 Worker::add waits, which is bound after it on the same actor, #4 Worker::add waits until \
             #3 Worker::add has taken the value of #2 Worker::add"
        );
        assert!(remedy.contains("bind #4 Worker::add before #2"), "{remedy}");
        assert!(remedy.contains("overlap_communication"), "{remedy}");
    });
}

#[test]
fn an_order_that_deadlocks_is_mended_by_overlap_by_rings_or_by_the_order_of_bind() {
    with_runtime(quiet(2), |_| {
        let (a, b) = (named("first", 0), named("second", 1));
        assert_runs(
            &crossed(&a, &b, "gloo")
                .compile_with(overlap(true))
                .expect("overlap mends it"),
        );
        assert_runs(
            &crossed(&a, &b, "shm")
                .compile_with(overlap(false))
                .expect("rings hold the values"),
        );
        let graph = Graph::new(|x: Node<u64>| {
            let from_a = a.add().bind(x, 1).with_tensor_transport("gloo");
            let on_b = b.add().bind(from_a, 1000);
            let from_b = b.add().bind(x, 10).with_tensor_transport("gloo");
            (a.add().bind(from_b, 100), on_b)
        });
        assert_runs(&graph.compile_with(overlap(false)).expect("b takes first"));
    });
}

#[test]
fn overlap_is_a_knob_of_the_runtime_too() {
    with_runtime(quiet(2).graph_overlap_communication(true), |_| {
        let (a, b) = (named("first", 0), named("second", 1));
        assert_runs(&crossed(&a, &b, "gloo").compile().expect("it is on"));
        let off = crossed(&a, &b, "gloo").compile_with(overlap(false));
        assert!(off.is_err(), "the option counts more");
    });
}

#[test]
fn a_circle_over_three_actors_is_found() {
    with_runtime(quiet(1), |_| {
        let actors = ["one", "two", "three"].map(|name| named(name, 0));
        let graph = Graph::new(|x: Node<u64>| {
            let sent = actors
                .each_ref()
                .map(|actor| actor.echo().bind(x).with_tensor_transport("gloo"));
            [0, 1, 2].map(|at| actors[at].echo().bind(sent[(at + 2) % 3]))
        });
        let Err(error) = graph.compile_with(overlap(false)) else {
            panic!("it was not refused");
        };
        let text = error.to_string();
        assert!(text.contains("deadlock"), "{text}");
        for node in ["#1 ", "#2 ", "#3 ", "#4 ", "#5 "] {
            assert!(text.contains(node), "{node} is not in: {text}");
        }
    });
}
