//! Graphs that an actor or a task in a process of its own compiles over actors that live elsewhere, and
//! drives.

use super::graph_actors::{Station, here, in_runtime, there};
use maser::prelude::*;

/// Builds graphs over actors of others, and loops.
struct Pilot;

fn chain(a: &Actor<Station>, b: &Actor<Station>) -> Graph<Node<u64>, Node<u64>> {
    Graph::new(|x: Node<u64>| b.add().bind(a.add().bind(x)))
}

#[maser::actor]
impl Pilot {
    fn new() -> Self {
        Self
    }

    /// What a user writes: a graph over two other actors, and many runs of it.
    fn fly(&self, a: Actor<Station>, b: Actor<Station>, runs: u64) -> Result<u64, Error> {
        let graph = chain(&a, &b).compile()?;
        let mut sum = 0;
        for x in 0..runs {
            sum += graph.execute(x)?.get()?;
        }
        graph.teardown()?;
        Ok(sum)
    }

    /// Several runs at once, and asked for in another order.
    fn pipelined(&self, a: Actor<Station>, b: Actor<Station>) -> Result<Vec<u64>, Error> {
        let graph = chain(&a, &b).compile()?;
        let refs = (0..8)
            .map(|x| graph.execute(x))
            .collect::<Result<Vec<_>, _>>()?;
        let mut got = refs
            .iter()
            .rev()
            .map(GraphRef::get)
            .collect::<Result<Vec<_>, _>>()?;
        got.reverse();
        Ok(got)
    }

    /// Several inputs and outputs of several types.
    fn pair(
        &self,
        a: Actor<Station>,
        b: Actor<Station>,
        text: String,
    ) -> Result<(String, u64, String), Error> {
        let graph = Graph::new(|(text, x): (Node<String>, Node<u64>)| {
            let turned = a.turn().bind(text);
            (
                b.turn().bind(turned),
                b.add().bind(a.add().bind(x)),
                a.turn().bind(text),
            )
        });
        let graph = graph.compile()?;
        let (first, number, second) = graph.execute((text, 3))?;
        Ok((first.get()?, number.get()?, second.get()?))
    }
}

fn pilot() -> Actor<Pilot> {
    Pilot::options()
        .isolation(Isolation::Process)
        .max_concurrency(8)
        .remote()
}

/// Pairs of stations of this process and of others.
fn pairs() -> [[Actor<Station>; 2]; 4] {
    [
        [here(1), here(2)],
        [there(1), there(2)],
        [here(1), there(2)],
        [there(1), here(2)],
    ]
}

#[test]
fn an_actor_in_a_process_drives_a_graph_over_two_actors_elsewhere() {
    in_runtime(2, || {
        let pilot = pilot();
        for [a, b] in pairs() {
            let sum = pilot.fly().remote(a.clone(), b.clone(), 100).get()?;
            assert_eq!(sum, 100 * 99 / 2 + 100 * 3);
            // They are free for another graph.
            assert_eq!(chain(&a, &b).compile()?.execute(1)?.get()?, 4);
        }
        Ok(())
    });
}

#[test]
fn runs_of_a_worker_are_pipelined_and_asked_for_in_any_order() {
    in_runtime(2, || {
        let pilot = pilot();
        for [a, b] in pairs() {
            let got = pilot.pipelined().remote(a, b).get()?;
            assert_eq!(got, (3..11).collect::<Vec<_>>());
        }
        Ok(())
    });
}

#[test]
fn several_inputs_and_outputs_of_a_worker_come_as_they_are() {
    in_runtime(2, || {
        let pilot = pilot();
        for [a, b] in pairs() {
            for text in ["", "short", &"x".repeat(100_000)] {
                let got = pilot
                    .pair()
                    .remote(a.clone(), b.clone(), text.to_owned())
                    .get()?;
                assert_eq!(got, (text.to_owned(), 6, text.to_owned()));
            }
        }
        Ok(())
    });
}
