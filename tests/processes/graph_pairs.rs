//! Synchronous pairs (transport `gloo`) whose ends are in different processes.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use maser::prelude::*;
use maser::{ChannelKind, Error};

use crate::graph_actors::{Station, here, in_runtime, there};

fn options(max_inflight: usize, overlap: bool) -> CompileOptions {
    CompileOptions {
        max_inflight: Some(max_inflight),
        overlap_communication: Some(overlap),
        ..Default::default()
    }
}

/// Stops where a test wants it to, and leaves a mark.
struct Stop;

#[maser::actor]
impl Stop {
    fn new() -> Self {
        Stop
    }

    /// Goes on when somebody sends a byte to the socket at `path`.
    fn wait_at(&self, path: &str, value: u64) -> std::io::Result<u64> {
        UnixStream::connect(path)?.read_exact(&mut [0])?;
        Ok(value)
    }

    fn mark(&self, path: &str, value: u64) -> std::io::Result<u64> {
        std::fs::write(path, [])?;
        Ok(value)
    }

    fn add(&self, a: u64, b: u64) -> u64 {
        a + b
    }
}

#[test]
fn a_synchronous_pair_may_join_two_processes_in_either_direction() {
    in_runtime(2, || {
        let stations: [fn(u64) -> Actor<Station>; 2] = [here, there];
        for (first, second) in [(0, 1), (1, 0), (1, 1)] {
            for (max_inflight, overlap) in [(1, false), (8, false), (1, true), (8, true)] {
                let (a, b) = (stations[first](1), stations[second](10));
                let graph = Graph::new(|x: Node<u64>| {
                    let sent = a.add().bind(x).with_tensor_transport("gloo");
                    let taken = b.add().bind(sent).with_tensor_transport("gloo");
                    let back = a.add().bind(taken).with_tensor_transport("gloo");
                    b.add().bind(back)
                });
                let graph = graph.compile_with(options(max_inflight, overlap))?;
                let edges = graph.schedule();
                let mut writes = edges.actors.iter().flat_map(|actor| &actor.operations);
                let far = |edge: &maser::ScheduledEdge| {
                    edge.is_synchronous && edge.channel == ChannelKind::SharedMemory
                };
                assert!(writes.any(|write| write.edges.iter().any(far)), "{edges}");
                let runs: Vec<_> = (0..200)
                    .map(|x| graph.execute(x))
                    .collect::<maser::Result<_>>()?;
                for (x, run) in (0..).zip(runs) {
                    assert_eq!(run.get()?, x + 22);
                }
                graph.teardown()?;
            }
        }
        Ok(())
    });
}

#[test]
fn a_writer_waits_for_a_reader_in_another_process() {
    in_runtime(2, || {
        let folder = std::env::temp_dir().join(format!("maser-pairs-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("a folder");
        let socket = folder.join("socket");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let text = |path: &Path| path.to_str().expect("a name in UTF-8").to_owned();
        let mark = folder.join("mark");
        let there = || Stop::options().isolation(Isolation::Process).remote();
        let (a, b) = (there(), there());
        let graph = Graph::new(|x: Node<u64>| {
            let opened = b.wait_at().bind(text(&socket), x);
            let sent = a.add().bind(x, 1).with_tensor_transport("gloo");
            let after = a.mark().bind(text(&mark), x);
            (b.add().bind(sent, opened), after)
        });
        let graph = graph.compile_with(options(4, false))?;
        let (sum, after) = graph.execute(1)?;
        let (mut door, _) = listener.accept().expect("the reader comes to its door");
        // The writer's process answers, so it had every opportunity to go on.
        for _ in 0..50 {
            assert_eq!(a.add().remote(2, 3).get()?, 5);
        }
        assert!(!mark.exists());
        door.write_all(&[1]).expect("the reader is there");
        assert_eq!((sum.get()?, after.get()?), (3, 1));
        assert!(mark.exists());
        std::fs::remove_dir_all(&folder).expect("it is there");
        graph.teardown()
    });
}

#[test]
fn crossed_pairs_of_two_processes_are_refused_and_overlap_mends_them() {
    in_runtime(1, || {
        let (a, b) = (there(1), there(10));
        let crossed = || {
            Graph::new(|x: Node<u64>| {
                let from_a = a.add().bind(x).with_tensor_transport("gloo");
                let from_b = b.add().bind(x).with_tensor_transport("gloo");
                (a.add().bind(from_b), b.add().bind(from_a))
            })
        };
        let Err(refused) = crossed().compile_with(options(4, false)) else {
            panic!("it was not refused");
        };
        assert!(refused.to_string().contains("deadlock"), "{refused}");
        let graph = crossed().compile_with(options(4, true))?;
        for x in 0..50 {
            let (on_a, on_b) = graph.execute(x)?;
            assert_eq!((on_a.get()?, on_b.get()?), (x + 11, x + 11));
        }
        graph.teardown()
    });
}

#[test]
fn a_reader_whose_process_dies_ends_the_wait_of_its_writer() {
    in_runtime(1, || {
        let (a, b) = (there(1), there(10));
        let graph = Graph::new(|x: Node<u64>| {
            let checked = b.abort_at().bind(7_u64, x);
            let sent = a.add().bind(x).with_tensor_transport("gloo");
            let taken = b.add().bind(sent);
            (a.add().bind(x), taken, checked)
        });
        let graph = graph.compile_with(options(4, false))?;
        let (first, ..) = graph.execute(1)?;
        assert_eq!(first.get()?, 2);
        let (_, taken, _) = graph.execute(7)?;
        let error = taken.get().expect_err("the reader is dead");
        assert!(matches!(error.root(), Error::ActorDied { .. }), "{error}");
        assert!(error.to_string().contains("Station"), "{error}");
        assert_eq!(a.add().remote(1).get()?, 2);
        graph.teardown()
    });
}
