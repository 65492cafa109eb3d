//! What flows, and how much of it: types of any size, many runs, and nothing that stays behind.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use maser::prelude::*;
use maser::{GraphRef, get_graph};
use maser_tests::{both_ways, quiet, with_runtime};

use crate::actors::{Door, behind, runs, worker};

#[test]
fn runs_keep_their_order_however_often_the_rings_go_round() {
    both_ways(quiet(2), |_| {
        for depth in [1, 2, 3, 7, 64] {
            for homes in [[1, 0], [0, 1], [1, 1], [0, 0]] {
                let [a, b] = homes.map(worker);
                let graph = Graph::new(|x: Node<u64>| {
                    let counted = a.count().bind(x);
                    (b.add().bind(counted, x), counted)
                })
                .compile_with(runs(depth))?;
                let mut flying = VecDeque::<(u64, GraphRef<u64>, GraphRef<u64>)>::new();
                for n in 1..=2_000 {
                    if flying.len() == depth
                        && let Some((run, sum, count)) = flying.pop_front()
                    {
                        assert_eq!((sum.get()?, count.take()?), (2 * run, run));
                    }
                    let (sum, count) = graph.execute(n)?;
                    flying.push_back((n, sum, count));
                }
                for (run, sum, count) in flying {
                    assert_eq!((sum.take()?, count.get()?), (2 * run, run));
                }
            }
        }
        Ok(())
    });
}

#[derive(Clone, Debug, PartialEq)]
#[repr(align(256))]
struct Wide([u64; 40]);

/// Passes on whatever it is.
struct Carrier;

#[maser::actor(local)]
impl Carrier {
    fn new() -> Self {
        Carrier
    }
    fn nothing(&mut self, _nothing: ()) {}
    fn wide(&mut self, wide: Wide) -> Wide {
        assert_eq!((&raw const wide).addr() % 256, 0, "aligned");
        wide
    }
    fn large(&mut self, large: [u8; 10_000]) -> [u8; 10_000] {
        large
    }
    fn boxed(&mut self, text: Box<str>, none: Option<Box<u8>>) -> (Box<str>, Option<Box<u8>>) {
        (text, none)
    }
    fn error(&mut self, good: bool) -> Result<Result<u8, String>, std::io::Error> {
        Ok(if good {
            Ok(1)
        } else {
            Err("as a value".into())
        })
    }
}

#[test]
fn values_may_be_nothing_or_large_or_of_any_alignment() {
    both_ways(quiet(2), |_| {
        for depth in [1, 4] {
            let (a, b) = (
                Carrier::options().scheduler(1).remote(),
                Carrier::options().scheduler(0).remote(),
            );
            let nothing = Graph::new(|x: Node<()>| b.nothing().bind(a.nothing().bind(x)))
                .compile_with(runs(depth))?;
            nothing.execute(())?.get()?;
            let wide = Graph::new(|x: Node<Wide>| b.wide().bind(a.wide().bind(x)))
                .compile_with(runs(depth))?;
            let value = Wide(std::array::from_fn(|n| n as u64));
            let result = wide.execute(value.clone())?;
            assert_eq!((result.get()?, result.take()?), (value.clone(), value));
            let large = Graph::new(|x: Node<[u8; 10_000]>| (a.large().bind(x), b.large().bind(x)))
                .compile_with(runs(depth))?;
            let (one, two) = large.execute([7; 10_000])?;
            assert_eq!((one.get()?, two.get()?), ([7; 10_000], [7; 10_000]));
            let boxed = Graph::new(|x: Node<Box<str>>| a.boxed().bind(x, Some(Box::new(3))))
                .compile_with(runs(depth))?;
            assert_eq!(
                boxed.execute(Box::from("x"))?.take()?,
                ("x".into(), Some(Box::new(3)))
            );
            let results =
                Graph::new(|x: Node<bool>| a.error().bind(x)).compile_with(runs(depth))?;
            assert_eq!(results.execute(true)?.get()?, Ok(1));
            assert_eq!(results.execute(false)?.get()?, Err("as a value".to_owned()));
        }
        Ok(())
    });
}

/// Counts how many of it there are.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Self(alive.clone())
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// Passes on what is counted.
struct Teller {
    calls: u64,
}

#[maser::actor(local)]
impl Teller {
    fn new() -> Self {
        Self { calls: 0 }
    }
    fn pass(&mut self, value: Counted) -> Counted {
        value
    }
    fn join(&mut self, value: Counted, _other: Counted) -> Result<Counted, std::io::Error> {
        self.calls += 1;
        if self.calls.is_multiple_of(3) {
            Err(std::io::ErrorKind::Other.into())
        } else {
            Ok(value)
        }
    }
}

#[test]
fn every_value_that_flowed_is_dropped_once() {
    both_ways(quiet(3), |_| {
        let alive = Arc::new(AtomicUsize::new(0));
        for depth in [1, 3, 10] {
            for homes in [[0, 1, 2], [0, 0, 0], [1, 0, 1], [2, 2, 0]] {
                let [a, b, c] = homes.map(|at| Teller::options().scheduler(at).remote());
                let constant = Counted::new(&alive);
                let graph = Graph::new(|x: Node<Counted>| {
                    let (left, right) = (a.pass().bind(x), b.pass().bind(x));
                    let joined = c.join().bind(left, right);
                    vec![joined, a.join().bind(joined, constant), left]
                })
                .compile_with(runs(depth))?;
                let mut kept = Vec::new();
                for n in 0..50 {
                    let refs = graph.execute(Counted::new(&alive))?;
                    match n % 4 {
                        0 => kept.push(refs),
                        1 => drop(refs),
                        2 => refs.into_iter().for_each(|result| drop(result.take())),
                        _ => refs.iter().for_each(|result| drop(result.get())),
                    }
                }
                // Some are still on their way.
                drop(graph);
                drop(kept);
            }
            while alive.load(Ordering::Acquire) != 0 {
                maser::yield_now();
            }
        }
        Ok(())
    });
}

#[test]
fn a_blocked_graph_keeps_no_other_graph_of_its_schedulers_waiting() {
    both_ways(quiet(2), |_| {
        let door = Door::default();
        let blocked = [0, 1].map(|at| behind(&door, at));
        let free = [0, 1].map(worker);
        let stuck = Graph::new(|x: Node<u64>| blocked.each_ref().map(|a| a.through().bind(x)))
            .compile_with(runs(4))?;
        let going =
            Graph::new(|x: Node<u64>| free.each_ref().map(|a| a.add().bind(x, 1))).compile()?;
        let closed = door.close();
        let refs = [stuck.execute(1)?, stuck.execute(2)?];
        door.wait_for(2);
        for n in 0..100 {
            assert_eq!(get_graph(&going.execute(n)?)?, [n + 1; 2]);
        }
        drop(closed);
        assert_eq!(
            (get_graph(&refs[0])?, get_graph(&refs[1])?),
            ([1; 2], [2; 2])
        );
        Ok(())
    });
}

#[test]
fn a_hundred_graphs_live_side_by_side() {
    with_runtime(quiet(2), |_| {
        let actors = [0, 1].map(worker);
        let graphs: Vec<_> = (0..100)
            .map(|n| {
                Graph::new(|x: Node<u64>| {
                    actors[1]
                        .add()
                        .bind(actors[n % 2].add().bind(x, 1), n as u64)
                })
                .compile()
                .unwrap()
            })
            .collect();
        for round in 0..3 {
            let refs: Vec<_> = graphs
                .iter()
                .map(|graph| graph.execute(round).unwrap())
                .collect();
            let expected: Vec<u64> = (0..100).map(|n| round + 1 + n).collect();
            assert_eq!(get_graph(&refs).unwrap(), expected);
        }
    });
}
