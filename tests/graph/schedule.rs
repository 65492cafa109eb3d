//! What a compiled graph says of its own order.

use maser::prelude::*;
use maser::{ActorSchedule, ChannelKind, EdgeEnd, OperationKind, Schedule};
use maser_tests::{quiet, with_runtime};

use crate::actors::{Door, Log, Worker, worker};

#[maser::task]
fn double(value: u64) -> u64 {
    2 * value
}

/// Kind and node of each operation.
fn order(actor: &ActorSchedule) -> Vec<(OperationKind, usize)> {
    let operations = actor.operations.iter();
    operations
        .map(|operation| (operation.kind, operation.node))
        .collect()
}

/// What the operation reads or writes, by the other end.
fn edges(
    schedule: &Schedule,
    actor: usize,
    operation: usize,
) -> Vec<(EdgeEnd, EdgeEnd, ChannelKind)> {
    let edges = schedule.actors[actor].operations[operation].edges.iter();
    edges
        .map(|edge| (edge.from, edge.to, edge.channel))
        .collect()
}

#[test]
fn the_steps_of_an_actor_stand_in_bind_order_each_as_read_compute_write() {
    with_runtime(quiet(2), |_| {
        let (a, b) = (worker(0), worker(1));
        let graph = Graph::new(|x: Node<u64>| {
            let first = a.add().bind(x, 1);
            let there = b.add().bind(first, 10);
            a.add().bind(there, 100)
        })
        .compile()
        .expect("it compiles");
        let schedule = graph.schedule();
        let [on_a, on_b] = &schedule.actors[..] else {
            panic!("two actors: {schedule}");
        };
        use OperationKind::{Compute, Read, Write};
        assert_eq!(
            order(on_a),
            [
                (Read, 1),
                (Compute, 1),
                (Write, 1),
                (Read, 3),
                (Compute, 3),
                (Write, 3)
            ]
        );
        assert_eq!(order(on_b), [(Read, 2), (Compute, 2), (Write, 2)]);
        assert_eq!(
            (on_a.scheduler, on_b.scheduler),
            (Some(0), Some(1)),
            "{schedule}"
        );
        let sum = graph.execute(5).and_then(|run| run.get());
        assert_eq!(sum.expect("it runs"), 116);
    });
}

#[test]
fn every_edge_of_a_schedule_says_what_it_is_made_of() {
    with_runtime(quiet(2), |_| {
        let (a, b) = (worker(0), worker(1));
        let graph = Graph::new(|(x, y): (Node<u64>, Node<u64>)| {
            let sum = a.add().bind(x, y);
            let same = a.add().bind(sum, 1);
            (b.add().bind(same, 1), same)
        })
        .compile()
        .expect("it compiles");
        let schedule = graph.schedule();
        use ChannelKind::{Ring, Slot};
        use EdgeEnd::{Input, Output, Step};
        assert_eq!(
            edges(&schedule, 0, 0),
            [(Input(0), Step(2), Ring), (Input(1), Step(2), Ring)]
        );
        assert_eq!(edges(&schedule, 0, 1), []);
        assert_eq!(edges(&schedule, 0, 2), [(Step(2), Step(3), Slot)]);
        assert_eq!(edges(&schedule, 0, 3), [(Step(2), Step(3), Slot)]);
        assert_eq!(
            edges(&schedule, 0, 5),
            [(Step(3), Step(4), Ring), (Step(3), Output(1), Ring)]
        );
        assert_eq!(edges(&schedule, 1, 2), [(Step(4), Output(0), Ring)]);
        assert!(schedule.groups.is_empty());
    });
}

#[test]
fn a_graph_of_one_step_is_question_and_answer_on_a_call_slot() {
    with_runtime(quiet(1), |_| {
        let a = worker(0);
        let graph = Graph::new(|x: Node<u64>| a.echo().bind(x))
            .compile()
            .expect("it compiles");
        let schedule = graph.schedule();
        use EdgeEnd::{Input, Output, Step};
        let slot = ChannelKind::CallSlot;
        assert_eq!(edges(&schedule, 0, 0), [(Input(0), Step(1), slot)]);
        assert_eq!(edges(&schedule, 0, 2), [(Step(1), Output(0), slot)]);
    });
}

#[test]
fn each_task_of_a_schedule_stands_by_itself() {
    with_runtime(quiet(1), |_| {
        let graph = Graph::new(|x: Node<u64>| double::bind(double::bind(x)))
            .compile()
            .expect("it compiles");
        let schedule = graph.schedule();
        let names: Vec<_> = schedule.actors.iter().map(|task| &task.name[..]).collect();
        assert_eq!(names, ["#1 double", "#2 double"]);
        assert!(schedule.actors.iter().all(|task| !task.is_actor));
    });
}

#[test]
fn a_printed_schedule_is_a_table_for_each_actor() {
    with_runtime(quiet(2), |_| {
        let a = Worker::options()
            .name("first")
            .scheduler(0)
            .remote(Door::default(), Log::default());
        let graph = Graph::new(|x: Node<u64>| double::bind(a.add().bind(x, 1)))
            .compile()
            .expect("it compiles");
        let table = graph.schedule().to_string();
        let expected = "\
actor Worker \"first\", scheduler 0
    0  READ     #1 Worker::add  <- input 0 (call slot)
    1  COMPUTE  #1 Worker::add
    2  WRITE    #1 Worker::add  -> #2 (slot)
task #2 double, scheduler 0
    0  READ     #2 double       <- #1 (slot)
    1  COMPUTE  #2 double
    2  WRITE    #2 double       -> output 0 (call slot)
";
        assert_eq!(table, expected);
    });
}
