//! Handles and refs on edges of graphs that nobody reads: they go back when the graph is torn down, when
//! either end dies, and when a value cannot be decoded.

use super::arrays::objects_become;
use super::handles_in_graphs::{
    Counter, NAME, Picky, config, counter, held_back, nobody_holds, open_the_gate, stage,
};
use maser::{Actor, Array, Error, Graph, Node, Ref};

#[test]
fn handles_and_refs_that_nobody_took_go_back_when_the_graph_is_torn_down() {
    crate::run(config(), |_| {
        let (one, two) = (stage(), stage());
        for round in 0..6 {
            let graph = Graph::new(
                |(counter, value): (Node<Actor<Counter>>, Node<Ref<Array<u64>>>)| {
                    let passed = one.pass().bind(counter);
                    let late = one.pass_ref().bind(value);
                    (
                        two.pass().bind(passed),
                        passed,
                        two.pass_ref().bind(late),
                        late,
                    )
                },
            );
            let graph = graph.compile()?;
            let counter = counter();
            let (gate, value) = held_back(1000);
            let mut refs = Vec::new();
            for _ in 0..20 {
                refs.push(graph.execute((counter.clone(), value.clone()))?);
            }
            drop((counter, value));
            match round % 3 {
                0 => {
                    graph.teardown()?;
                    drop(refs);
                }
                1 => {
                    drop(refs);
                    graph.teardown()?;
                }
                _ => {
                    drop(refs[10].0.get()?);
                    drop(graph);
                    drop(refs);
                }
            }
            nobody_holds(NAME);
            open_the_gate();
            objects_become(0);
            drop(gate);
        }
        assert_eq!(one.idle().remote().get()? + two.idle().remote().get()?, 14);
        Ok::<_, Error>(())
    })
    .unwrap()
    .unwrap();
}

#[test]
fn a_reader_that_is_killed_before_it_read_holds_nothing() {
    crate::run(config(), |_| {
        let stuck = stage();
        let graph = Graph::new(|counter: Node<Actor<Counter>>| {
            let first = stuck.pass().bind(counter);
            (first, stuck.stuck().bind(first))
        });
        let graph = graph.compile()?;
        let counter = counter();
        let refs: Vec<_> = (0..5)
            .map(|_| graph.execute(counter.clone()).unwrap())
            .collect();
        drop(counter);
        // It is in its step for good, and the other lines are not read.
        drop(refs[0].0.get()?);
        maser::kill(&stuck);
        let error = refs[1].0.get().map(drop).unwrap_err();
        assert!(matches!(error.root(), Error::ActorDied { .. }), "{error}");
        drop((refs, graph));
        nobody_holds(NAME);
        Ok::<_, Error>(())
    })
    .unwrap()
    .unwrap();
}

#[test]
fn a_reader_behind_another_worker_that_is_killed_before_it_read_holds_nothing() {
    crate::run(config(), |_| {
        let (one, stuck) = (stage(), stage());
        let graph = Graph::new(|counter: Node<Actor<Counter>>| {
            let passed = one.pass().bind(counter);
            let first = stuck.pass().bind(passed);
            (first, stuck.stuck().bind(first), passed)
        });
        let graph = graph.compile()?;
        let counter = counter();
        let refs: Vec<_> = (0..5)
            .map(|_| graph.execute(counter.clone()).unwrap())
            .collect();
        drop(counter);
        drop(refs[0].0.get()?);
        // All were sent.
        drop(refs[4].2.get()?);
        maser::kill(&stuck);
        let error = refs[1].0.get().map(drop).unwrap_err();
        assert!(matches!(error.root(), Error::ActorDied { .. }), "{error}");
        drop((refs, graph));
        nobody_holds(NAME);
        assert_eq!(one.idle().remote().get()?, 7);
        Ok::<_, Error>(())
    })
    .unwrap()
    .unwrap();
}

#[test]
fn a_sender_that_dies_leaves_no_handles_behind() {
    crate::run(config(), |_| {
        let (one, two) = (stage(), stage());
        let graph = Graph::new(|counter: Node<Actor<Counter>>| {
            let passed = one.dies().bind(counter, 5);
            (two.pass().bind(passed), passed)
        });
        let graph = graph.compile()?;
        let counter = counter();
        let refs: Vec<_> = (0..10)
            .map(|_| graph.execute(counter.clone()).unwrap())
            .collect();
        drop(counter);
        refs[9].0.get().map(drop).unwrap_err();
        drop((refs, graph));
        nobody_holds(NAME);
        assert_eq!(two.idle().remote().get()?, 7);
        Ok::<_, Error>(())
    })
    .unwrap()
    .unwrap();
}

#[test]
fn a_handle_in_a_value_that_cannot_be_decoded_goes_back_and_the_graph_goes_on() {
    crate::run(config(), |_| {
        let one = stage();
        let graph = Graph::new(|value: Node<Picky>| one.refuse().bind(value)).compile()?;
        for _ in 0..3 {
            let error = graph.execute(Picky(counter()))?.get().unwrap_err();
            assert!(matches!(error.root(), Error::NotPortable { .. }), "{error}");
            nobody_holds(NAME);
        }
        graph.teardown()
    })
    .unwrap()
    .unwrap();
}
