//! The shapes a graph may have.

use std::sync::Arc;

use maser::prelude::*;
use maser::{CompileOptions, get_graph};
use maser_tests::{both_ways, quiet, with_runtime};

use crate::actors::worker;

#[maser::task]
fn double(value: u64) -> u64 {
    2 * value
}

#[maser::task]
fn join(a: u64, b: u64) -> u64 {
    1000 * a + b
}

#[maser::task]
fn seven() -> u64 {
    7
}

/// A run at a time over one slot, and several over rings.
fn depths() -> [CompileOptions; 2] {
    [1, 10].map(|runs| CompileOptions {
        max_inflight: Some(runs),
        ..Default::default()
    })
}

#[test]
fn several_inputs_are_a_tuple_and_reach_the_steps_that_read_them() {
    both_ways(quiet(2), |_| {
        for depth in depths() {
            let (a, b) = (worker(0), worker(1));
            let graph = Graph::new(|(x, y, z): (Node<u64>, Node<u64>, Node<u64>)| {
                let xy = a.add().bind(x, y);
                b.add().bind(xy, z)
            })
            .compile_with(depth)?;
            for n in 0..20 {
                assert_eq!(graph.execute((n, 100, 10_000))?.get()?, n + 10_100);
            }
        }
        Ok(())
    });
}

#[test]
fn several_outputs_are_a_tuple_of_refs_of_their_own_types() {
    both_ways(quiet(2), |_| {
        for depth in depths() {
            let (a, b) = (worker(0), worker(1));
            let graph = Graph::new(|(x, y): (Node<u64>, Node<String>)| {
                (a.echo().bind(x), b.text().bind(y), b.add().bind(x, 1))
            })
            .compile_with(depth)?;
            let (x, y, z) = graph.execute((1, "one".to_owned()))?;
            assert_eq!((x.get()?, y.get()?.as_str(), z.get()?), (1, "one", 2));
        }
        Ok(())
    });
}

#[test]
fn outputs_may_be_a_vector_or_an_array() {
    both_ways(quiet(2), |_| {
        let actors = [0, 1, 0, 1].map(worker);
        let many = Graph::new(|x: Node<u64>| {
            actors
                .iter()
                .map(|actor| actor.add().bind(x, 1))
                .collect::<Vec<_>>()
        });
        assert_eq!(maser::get(&many.execute(4)?)?, [5; 4]);
        let many = many.compile()?;
        assert_eq!(get_graph(&many.execute(4)?)?, [5; 4]);
        let three =
            Graph::new(|x: Node<u64>| [0, 1, 2].map(|at| actors[at].add().bind(x, at as u64)));
        let three = three.compile()?;
        let [a, b, c] = three.execute(4)?;
        assert_eq!([a.get()?, b.get()?, c.get()?], [4, 5, 6]);
        Ok(())
    });
}

#[test]
fn a_vector_of_one_output_gives_a_vector_of_one_ref() {
    with_runtime(quiet(1), |_| {
        let a = worker(0);
        let graph = Graph::new(|x: Node<u64>| vec![a.echo().bind(x)])
            .compile()
            .unwrap();
        let refs = graph.execute(4).unwrap();
        assert_eq!(refs.len(), 1);
        assert_eq!(refs[0].get().unwrap(), 4);
    });
}

#[test]
fn a_graph_may_have_no_input() {
    both_ways(quiet(2), |_| {
        for depth in depths() {
            let (a, b) = (worker(0), worker(1));
            let graph = Graph::new(|()| b.add().bind(a.count().bind(0), 100));
            assert_eq!(graph.execute(())?.get()?, 101);
            let graph = graph.compile_with(depth)?;
            assert_eq!(graph.execute(())?.get()?, 102);
            assert_eq!(graph.execute(())?.get()?, 103);
        }
        Ok(())
    });
}

#[test]
fn the_same_node_may_be_several_outputs() {
    both_ways(quiet(2), |_| {
        let (a, b) = (worker(0), worker(1));
        let graph = Graph::new(|x: Node<u64>| {
            let y = a.count().bind(x);
            (y, b.echo().bind(y), y)
        })
        .compile()?;
        for n in 1..5 {
            let (first, second, third) = graph.execute(9)?;
            assert_eq!([first.get()?, second.get()?, third.get()?], [n; 3]);
        }
        Ok(())
    });
}

#[test]
fn constants_are_the_same_in_every_run() {
    both_ways(quiet(2), |_| {
        let (a, b) = (worker(0), worker(1));
        let graph = Graph::new(|x: Node<String>| {
            (
                a.text().bind(x),
                b.text().bind("constant"),
                b.add().bind(3, 4),
            )
        })
        .compile()?;
        for text in ["a", "b", "c"] {
            let (x, y, z) = graph.execute(text)?;
            assert_eq!(
                (x.get()?.as_str(), y.get()?.as_str(), z.get()?),
                (text, "constant", 7)
            );
        }
        Ok(())
    });
}

#[test]
fn one_value_goes_to_every_step_that_reads_it_on_every_scheduler() {
    both_ways(quiet(4), |_| {
        for depth in depths() {
            let source = worker(1);
            let readers = [0, 1, 2, 3, 0, 1, 2, 3].map(worker);
            let graph = Graph::new(|x: Node<u64>| {
                let made = source.count().bind(x);
                readers
                    .iter()
                    .map(|reader| reader.add().bind(made, x))
                    .collect::<Vec<_>>()
            })
            .compile_with(depth)?;
            for n in 1..=50 {
                assert_eq!(get_graph(&graph.execute(1000)?)?, [1000 + n; 8]);
            }
        }
        Ok(())
    });
}

#[test]
fn a_step_may_read_one_node_twice() {
    both_ways(quiet(2), |_| {
        let (a, b) = (worker(0), worker(1));
        let graph = Graph::new(|x: Node<u64>| {
            let y = a.add().bind(x, x);
            b.add().bind(y, y)
        })
        .compile()?;
        assert_eq!(graph.execute(3)?.get()?, 12);
        Ok(())
    });
}

#[test]
fn a_diamond_joins_the_two_ways_of_one_run() {
    both_ways(quiet(4), |_| {
        for places in [
            [0, 1, 2, 3],
            [0, 1, 1, 0],
            [1, 1, 1, 1],
            [0, 1, 0, 1],
            [3, 0, 3, 0],
        ] {
            let [top, left, right, bottom] = places.map(worker);
            let graph = Graph::new(|x: Node<u64>| {
                let made = top.echo().bind(x);
                let (l, r) = (left.add().bind(made, 1000), right.add().bind(made, 2000));
                bottom.add().bind(l, r)
            })
            .compile_with(CompileOptions {
                max_inflight: Some(8),
                ..Default::default()
            })?;
            let refs: Vec<_> = (0..8).map(|n| graph.execute(n)).collect::<Result<_, _>>()?;
            for (n, result) in refs.iter().enumerate() {
                assert_eq!(result.get()?, 3000 + 2 * n as u64);
            }
        }
        Ok(())
    });
}

#[test]
fn a_plain_task_may_be_a_node_anywhere() {
    both_ways(quiet(2), |_| {
        let a = worker(1);
        let graph = Graph::new(|x: Node<u64>| {
            let first = double::bind(x);
            let middle = a.add().bind(first, 1);
            join::bind(middle, seven::bind())
        });
        assert_eq!(graph.execute(5)?.get()?, 11_007);
        let graph = graph.compile()?;
        for n in 0..20 {
            assert_eq!(graph.execute(n)?.get()?, 1000 * (2 * n + 1) + 7);
        }
        Ok(())
    });
}

#[test]
fn a_graph_may_have_no_actor() {
    both_ways(quiet(2), |_| {
        for depth in depths() {
            let graph =
                Graph::new(|x: Node<u64>| double::bind(double::bind(x))).compile_with(depth)?;
            assert_eq!(graph.execute(5)?.get()?, 20);
            assert_eq!(
                Graph::new(|()| seven::bind())
                    .compile()?
                    .execute(())?
                    .get()?,
                7
            );
        }
        Ok(())
    });
}

#[test]
fn a_method_that_only_reads_may_be_a_step() {
    both_ways(quiet(2), |_| {
        let a = worker(1);
        let graph = Graph::new(|x: Node<u64>| (a.count().bind(x), a.calls().bind())).compile()?;
        for n in 1..5 {
            let (counted, read) = graph.execute(0)?;
            assert_eq!((counted.get()?, read.get()?), (n, n));
        }
        Ok(())
    });
}

/// Counts how often a value that is shared by count was really copied.
struct Keeper;

#[maser::actor(local)]
impl Keeper {
    fn new() -> Self {
        Keeper
    }
    fn pass(&mut self, bytes: Arc<[u8]>) -> Arc<[u8]> {
        bytes
    }
}

#[test]
fn values_that_clone_by_count_are_never_copied() {
    both_ways(quiet(2), |_| {
        let keepers: Vec<_> = [1, 0, 1]
            .map(|at| Keeper::options().scheduler(at).remote())
            .into_iter()
            .collect();
        let graph = Graph::new(|bytes: Node<Arc<[u8]>>| {
            keepers
                .iter()
                .fold(bytes, |bytes, keeper| keeper.pass().bind(bytes))
        })
        .compile()?;
        let bytes: Arc<[u8]> = vec![7; 1 << 20].into();
        let result = graph.execute(bytes.clone())?;
        assert!(Arc::ptr_eq(&result.get()?, &bytes));
        assert!(Arc::ptr_eq(&result.take()?, &bytes));
        drop(graph);
        assert_eq!(Arc::strong_count(&bytes), 1, "nothing of the run is left");
        Ok(())
    });
}

#[test]
fn a_graph_of_a_thousand_nodes_compiles_and_runs() {
    with_runtime(quiet(4), |_| {
        let actors: Vec<_> = (0..16).map(|at| worker(at % 4)).collect();
        let graph = Graph::new(|x: Node<u64>| {
            let mut layer: Vec<Node<u64>> =
                actors.iter().map(|actor| actor.add().bind(x, 1)).collect();
            for _ in 1..63 {
                let shifted = [&layer[1..], &layer[..1]].concat();
                let both = layer.iter().zip(&shifted);
                layer = both
                    .zip(&actors)
                    .map(|((a, b), actor)| actor.add().bind(a, b))
                    .collect();
            }
            layer
        })
        .compile()
        .unwrap();
        // Sums of equal neighbours: each layer doubles. 63 layers of 16 are 1,008 nodes.
        let expected = |input: u64| (input + 1).wrapping_mul(1 << 62);
        for input in [0, 1, 2] {
            assert_eq!(
                get_graph(&graph.execute(input).unwrap()).unwrap(),
                [expected(input); 16]
            );
        }
    });
}
