//! The memory of edges between processes: as much as the graph asks for, and given back.

use maser::CompileOptions;
use maser::prelude::*;

use crate::graph_actors::{config, in_runtime, there};

fn buffer(bytes: usize) -> CompileOptions {
    CompileOptions {
        buffer_size_bytes: Some(bytes),
        ..Default::default()
    }
}

/// Bytes of memory that this process shares with others.
fn shared_bytes() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("this process's maps");
    let shared = maps.lines().filter(|line| line.contains("memfd:"));
    let length = |line: &str| {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        let at = |text| usize::from_str_radix(text, 16).ok();
        Some(at(to)? - at(from)?)
    };
    shared.filter_map(length).sum()
}

#[test]
fn an_edge_has_as_much_memory_as_its_graph_asks_for() {
    in_runtime(1, || {
        const ASKED: usize = 8 << 20;
        let station = there(1);
        assert_eq!(station.turn().remote("up").get()?, "up");
        for nodes in [1, 2] {
            let graph = || {
                Graph::new(|text: Node<String>| {
                    (0..nodes).fold(text, |text, _| station.turn().bind(text))
                })
            };
            let before = shared_bytes();
            let small = graph().compile()?;
            let by_default = shared_bytes() - before;
            assert!(by_default < ASKED / 4, "{by_default} bytes by default");
            small.teardown()?;
            drop(small);
            let before = shared_bytes();
            let large = graph().compile_with(buffer(ASKED))?;
            let asked = shared_bytes() - before;
            assert!(asked >= ASKED, "{asked} bytes of at least {ASKED}");
            // Values that fit take no more, ever.
            let text = "x".repeat(ASKED / 20);
            for _ in 0..50 {
                let runs: Vec<_> = (0..10)
                    .map(|_| large.execute(text.as_str()))
                    .collect::<Result<_, _>>()?;
                for run in runs {
                    assert_eq!(run.take()?.len(), text.len());
                }
            }
            assert_eq!(shared_bytes() - before, asked);
            large.teardown()?;
            drop(large);
        }
        Ok(())
    });
}

#[test]
fn an_edge_that_is_asked_to_be_tiny_grows_to_what_it_needs() {
    in_runtime(1, || {
        let station = there(1);
        for bytes in [1, 1000] {
            let graph = Graph::new(|text: Node<String>| station.turn().bind(text))
                .compile_with(buffer(bytes))?;
            for length in [0, 10, 48, 100, 1000, 100_000, 3] {
                let text = "y".repeat(length);
                assert_eq!(graph.execute(text.as_str())?.take()?, text);
            }
        }
        Ok(())
    });
}

#[test]
fn the_memory_of_an_edge_has_a_default_of_its_own_and_is_refused_out_of_range() {
    crate::run(config(1).graph_buffer_size_bytes(4 << 20), |_| {
        let station = there(1);
        assert_eq!(station.turn().remote("up").get().unwrap(), "up");
        let graph = || Graph::new(|text: Node<String>| station.turn().bind(text));
        for bytes in [0, (1 << 30) + 1] {
            let refused = graph().compile_with(buffer(bytes)).err();
            let refused = refused.expect("it is out of range").to_string();
            assert!(refused.contains("buffer_size_bytes"), "{refused}");
            assert!(refused.contains(&bytes.to_string()), "{refused}");
        }
        let before = shared_bytes();
        let compiled = graph().compile().unwrap();
        assert!(shared_bytes() - before >= 4 << 20);
        assert_eq!(compiled.execute("z").unwrap().get().unwrap(), "z");
    })
    .unwrap();
}
