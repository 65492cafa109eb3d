//! How the values of nodes travel: by name, what cannot be, and what a synchronous pair promises.

use maser::prelude::*;
use maser::{Device, GroupKind, OperationKind, TensorTransport};
use maser_tests::{quiet, with_runtime};

use crate::actors::{Door, Log, Worker, worker};

#[maser::task]
fn double(value: u64) -> u64 {
    2 * value
}

fn on(at: usize, door: &Door, log: &Log) -> Actor<Worker> {
    Worker::options()
        .scheduler(at)
        .remote(door.clone(), log.clone())
}

fn overlap(overlap: bool) -> CompileOptions {
    CompileOptions {
        overlap_communication: Some(overlap),
        ..Default::default()
    }
}

#[track_caller]
fn assert_refused<T>(outcome: maser::Result<T>, node: &str, problem: &str, remedy: &str) {
    match outcome {
        Err(Error::Graph {
            node: is_node,
            problem: is_problem,
            remedy: is_remedy,
        }) => {
            assert_eq!(is_node, node);
            assert!(is_problem.contains(problem), "{is_problem}");
            assert!(is_remedy.contains(remedy), "{is_remedy}");
        }
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("nothing was refused"),
    }
}

#[test]
fn transports_and_devices_have_names() {
    for name in ["auto", "shm", "gloo", "nccl", "accelerator"] {
        let transport: TensorTransport = name.parse().expect("it is a name");
        assert_eq!(transport.to_string(), name);
    }
    for name in ["default", "cpu", "gpu", "cuda"] {
        let device: Device = name.parse().expect("it is a name");
        assert_eq!(device.to_string(), name);
    }
    let error = "tcp".parse::<TensorTransport>().expect_err("no name");
    assert_eq!(
        error.to_string(),
        "transport: invalid tensor transport 'tcp'; \
         valid are 'auto', 'shm', 'gloo', 'nccl', 'accelerator'"
    );
    let error = "tpu".parse::<Device>().expect_err("no name");
    assert_eq!(
        error.to_string(),
        "device: invalid device 'tpu'; valid are 'default', 'cpu', 'gpu', 'cuda'"
    );
}

/// A graph whose first of two steps has this transport.
fn pair(transport: &str, device: &str) -> maser::Result<CompiledGraph<Node<u64>, Node<u64>>> {
    let (a, b) = (worker(0), worker(0));
    Graph::new(|x: Node<u64>| {
        let sent = a.echo().bind(x);
        b.echo()
            .bind(sent.with_tensor_transport_to(transport, device))
    })
    .compile()
}

#[test]
fn a_transport_that_cannot_be_is_an_error_of_compile() {
    with_runtime(quiet(1), |_| {
        let node = "#1 Worker::echo";
        for (transport, device, problem, remedy) in [
            ("tcp", "cpu", "invalid tensor transport 'tcp'", "'gloo'"),
            ("shm", "tpu", "invalid device 'tpu'", "'cuda'"),
            ("nccl", "default", "needs NCCL", "'gloo' or 'shm'"),
            ("nccl", "cuda", "no GPU support", "'gloo' or 'shm'"),
            ("accelerator", "gpu", "an accelerator's library", "'auto'"),
            ("nccl", "cpu", "does not lead to device 'cpu'", "'gpu'"),
            ("gloo", "cuda", "carries CPU memory", "'cpu'"),
            ("auto", "gpu", "device 'gpu' needs", "'cpu'"),
            ("shm", "cuda", "device 'cuda' needs", "'cpu'"),
        ] {
            assert_refused(pair(transport, device), node, problem, remedy);
        }
        for (transport, device) in [("auto", "default"), ("shm", "cpu"), ("gloo", "cpu")] {
            let graph = pair(transport, device).expect("it can be");
            assert_eq!(graph.execute(3).unwrap().get().unwrap(), 3);
        }
    });
}

#[test]
fn the_driver_takes_no_part_in_synchronous_pairs() {
    with_runtime(quiet(1), |_| {
        let a = worker(0);
        let input = Graph::new(|x: Node<u64>| a.echo().bind(x.with_tensor_transport("gloo")));
        assert_refused(
            input.compile(),
            "#0 input",
            "the driver cannot participate in the communicator group",
            "'auto' or 'shm'",
        );
        let output = Graph::new(|x: Node<u64>| a.echo().bind(x).with_tensor_transport("gloo"));
        assert_refused(
            output.compile(),
            "#1 Worker::echo",
            "it is output 0, which the driver reads",
            "'shm'",
        );
    });
}

#[test]
fn a_pair_within_one_actor_is_refused() {
    with_runtime(quiet(1), |_| {
        let a = worker(0);
        let graph = Graph::new(|x: Node<u64>| {
            let sent = a
                .echo()
                .bind(x)
                .with_tensor_transport(TensorTransport::Gloo);
            a.echo().bind(sent)
        });
        assert_refused(
            graph.compile(),
            "#1 Worker::echo",
            "all readers are from the same actor",
            "leave the transport out",
        );
    });
}

#[test]
fn the_transport_of_a_node_is_set_in_its_own_graph() {
    with_runtime(quiet(1), |_| {
        let a = worker(0);
        let graph = Graph::new(|x: Node<u64>| {
            let mine = a.echo().bind(x);
            let inner = Graph::new(|y: Node<u64>| {
                let _same = mine.with_tensor_transport("gloo");
                a.echo().bind(y)
            });
            assert_refused(inner.compile(), "#1", "not a node of", "its own Graph::new");
            mine
        });
        assert!(graph.compile().is_ok());
    });
}

#[test]
fn a_schedule_shows_synchronous_pairs_as_groups() {
    with_runtime(quiet(2), |_| {
        let (a, b) = (worker(0), worker(1));
        let compiled = |options| {
            Graph::new(|x: Node<u64>| {
                let sent = a.echo().bind(x).with_tensor_transport("gloo");
                let here = b.echo().bind(x);
                b.add().bind(sent, here)
            })
            .compile_with(options)
            .expect("it compiles")
        };
        use OperationKind::{Compute, Read, Write};
        let kinds = |operations: &[maser::Operation]| -> Vec<_> {
            operations
                .iter()
                .map(|operation| (operation.kind, operation.node, operation.group))
                .collect()
        };
        let plain = compiled(overlap(false)).schedule();
        assert_eq!(plain.groups.len(), 1);
        assert_eq!(plain.groups[0].kind, GroupKind::SynchronousPair);
        assert_eq!(plain.groups[0].members, [(Write, 1), (Read, 3)]);
        assert_eq!(
            kinds(&plain.actors[1].operations),
            [
                (Read, 2, None),
                (Compute, 2, None),
                (Write, 2, None),
                (Read, 3, None),
                (Read, 3, Some(0)),
                (Compute, 3, None),
                (Write, 3, None)
            ]
        );
        let moved = compiled(overlap(true)).schedule();
        assert_eq!(
            kinds(&moved.actors[1].operations)[..2],
            [(Read, 3, Some(0)), (Read, 2, None)],
            "{moved}"
        );
        let table = plain.to_string();
        assert!(
            table.contains("-> #3 (ring, synchronous)  [group 0]"),
            "{table}"
        );
        assert!(
            table.contains("group 0, synchronous pair: WRITE #1, READ #3"),
            "{table}"
        );
    });
}

/// `a` sends to `b`, which is at its door before it takes; then `a` has another step.
fn behind_a_door(
    a: &Actor<Worker>,
    b: &Actor<Worker>,
    transport: &str,
) -> Graph<Node<u64>, (Node<u64>, Node<u64>)> {
    Graph::new(|x: Node<u64>| {
        let opened = b.through().bind(x);
        let opened = b.note().bind("opened", opened);
        let sent = a.note().bind("sent", x).with_tensor_transport(transport);
        let after = a.note().bind("after", x);
        (b.add().bind(sent, opened), after)
    })
}

fn position(log: &Log, line: &str) -> usize {
    let lines = log.lines();
    let found = lines.iter().position(|other| other == line);
    found.unwrap_or_else(|| panic!("{line} is not in {lines:?}"))
}

#[test]
fn the_writer_goes_on_only_when_the_reader_has_taken_the_value() {
    for (schedulers, other) in [(1, 0), (2, 1)] {
        with_runtime(quiet(schedulers), |_| {
            let (door, log) = (Door::default(), Log::default());
            let (a, b) = (on(0, &Door::default(), &log), on(other, &door, &log));
            let graph = behind_a_door(&a, &b, "gloo")
                .compile()
                .expect("it compiles");
            let closed = door.close();
            let (sum, after) = graph.execute(1).expect("a place");
            door.wait_for(1);
            // Steps of one scheduler may share a segment, which stops as one.
            if schedulers == 2 {
                while !log.lines().contains(&"sent 1".to_owned()) {
                    maser::yield_now();
                }
                // The actor is free for calls while it waits.
                for _ in 0..20 {
                    assert_eq!(a.echo().remote(7).get().expect("an answer"), 7);
                }
                assert!(!log.lines().contains(&"after 1".to_owned()));
            }
            drop(closed);
            assert_eq!(sum.get().expect("a result"), 2);
            assert_eq!(after.get().expect("a result"), 1);
            assert!(position(&log, "opened 1") < position(&log, "after 1"));
        });
    }
}

#[test]
fn over_a_ring_the_writer_goes_on_at_once() {
    with_runtime(quiet(2), |_| {
        let (door, log) = (Door::default(), Log::default());
        let (a, b) = (on(0, &Door::default(), &log), on(1, &door, &log));
        let graph = behind_a_door(&a, &b, "shm").compile().expect("it compiles");
        let closed = door.close();
        let (sum, after) = graph.execute(1).expect("a place");
        assert_eq!(after.get().expect("a result"), 1);
        drop(closed);
        assert_eq!(sum.get().expect("a result"), 2);
    });
}

#[test]
fn the_next_run_of_a_writer_waits_for_the_reader_of_the_run_before() {
    for (schedulers, other) in [(1, 0), (2, 1)] {
        for ahead in [false, true] {
            with_runtime(quiet(schedulers), |_| {
                let (door, log) = (Door::default(), Log::default());
                let (a, b) = (on(0, &Door::default(), &log), on(other, &door, &log));
                let graph = Graph::new(|x: Node<u64>| {
                    let opened = b.through().bind(x);
                    let opened = b.note().bind("opened", opened);
                    let sent = a.note().bind("sent", x).with_tensor_transport("gloo");
                    b.add().bind(sent, opened)
                })
                .compile_with(overlap(ahead))
                .expect("it compiles");
                let closed = door.close();
                let runs: Vec<_> = (0..6).map(|x| graph.execute(x).expect("a place")).collect();
                door.wait_for(1);
                if schedulers == 2 {
                    // With overlap a place for the value is there as soon as the last one was used.
                    let last = format!("sent {}", u64::from(ahead));
                    while !log.lines().contains(&last) {
                        maser::yield_now();
                    }
                    for _ in 0..20 {
                        assert_eq!(a.echo().remote(7).get().expect("an answer"), 7);
                    }
                    assert_eq!(log.lines().len(), 1 + usize::from(ahead));
                }
                drop(closed);
                for (x, run) in (0..).zip(runs) {
                    assert_eq!(run.get().expect("a result"), 2 * x);
                }
                let step = 1 + u64::from(ahead);
                for x in 0..6 - step {
                    let (opened, sent) = (format!("opened {x}"), format!("sent {}", x + step));
                    assert!(position(&log, &opened) < position(&log, &sent));
                }
            });
        }
    }
}

#[test]
fn a_synchronous_value_may_have_several_readers_tasks_among_them() {
    with_runtime(quiet(2), |_| {
        for overlap in [false, true] {
            let (a, b, c) = (worker(0), worker(1), worker(0));
            let graph = Graph::new(|x: Node<u64>| {
                let sent = a.add().bind(x, 1).with_tensor_transport("gloo");
                let local = a.echo().bind(sent);
                let doubled = double::bind(sent).with_tensor_transport("gloo");
                (
                    b.add().bind(sent, doubled),
                    c.add().bind(sent, 100),
                    local,
                    a.echo().bind(doubled),
                )
            })
            .compile_with(CompileOptions {
                max_inflight: Some(1 + 7 * usize::from(overlap)),
                overlap_communication: Some(overlap),
                ..Default::default()
            })
            .expect("it compiles");
            let runs: Vec<_> = (0..100)
                .map(|x| graph.execute(x).expect("a place"))
                .collect();
            for (x, (sum, plus, local, doubled)) in (0..).zip(runs) {
                assert_eq!(sum.get().expect("a result"), 3 * (x + 1));
                assert_eq!(plus.get().expect("a result"), x + 101);
                assert_eq!(local.get().expect("a result"), x + 1);
                assert_eq!(doubled.get().expect("a result"), 2 * (x + 1));
            }
        }
    });
}

#[test]
fn an_error_of_a_writer_is_that_of_its_reader_and_the_pair_goes_on() {
    with_runtime(quiet(2), |_| {
        let (a, b) = (worker(0), worker(1));
        let graph = Graph::new(|x: Node<u64>| {
            let sent = a.refuse().bind(x, 3).with_tensor_transport("gloo");
            b.echo().bind(sent)
        })
        .compile()
        .expect("it compiles");
        for x in 0..10 {
            let result = graph.execute(x).expect("a place").get();
            assert_eq!(result.ok(), (x != 3).then_some(x));
        }
    });
}

#[test]
fn the_death_of_a_reader_ends_the_wait_of_its_writer() {
    with_runtime(quiet(2), |_| {
        let (door, log) = (Door::default(), Log::default());
        let a = on(0, &Door::default(), &log);
        let b = Worker::options()
            .scheduler(1)
            .name("reader")
            .remote(door.clone(), log.clone());
        let graph = behind_a_door(&a, &b, "gloo")
            .compile()
            .expect("it compiles");
        let closed = door.close();
        let (sum, after) = graph.execute(1).expect("a place");
        door.wait_for(1);
        maser::kill(&b);
        let is_death = |error: &Error| {
            let is_death = matches!(error.root(), Error::ActorDied { .. });
            is_death && error.to_string().contains("reader")
        };
        let error = sum.get().expect_err("the reader is dead");
        assert!(is_death(&error), "{error}");
        // The writer goes on or is told, but waits for nobody who is dead.
        match after.get() {
            Ok(value) => assert_eq!(value, 1),
            Err(error) => assert!(is_death(&error), "{error}"),
        }
        drop(closed);
        assert_eq!(a.echo().remote(7).get().expect("it lives"), 7);
    });
}

#[test]
fn a_graph_can_be_torn_down_while_a_writer_waits() {
    with_runtime(quiet(2), |_| {
        let (door, log) = (Door::default(), Log::default());
        let (a, b) = (on(0, &Door::default(), &log), on(1, &door, &log));
        let graph = behind_a_door(&a, &b, "gloo")
            .compile()
            .expect("it compiles");
        let closed = door.close();
        let (sum, after) = graph.execute(1).expect("a place");
        door.wait_for(1);
        graph
            .teardown()
            .expect("nothing is in user code that holds it");
        for result in [sum.get(), after.get()] {
            assert!(matches!(result, Err(Error::ChannelClosed { .. })));
        }
        drop(closed);
        assert!(!log.lines().contains(&"after 1".to_owned()));
    });
}
