//! Handles on the edges of graphs that others have handles of or drive, and what is no edge.

use super::graph_actors::there;
use super::handles_in_graphs::{NAME, config, counter, nobody_holds, stage, stage_here};
use maser::{Error, Graph, GraphHandle, Node};

#[test]
fn a_handle_of_a_graph_goes_along_the_edges_of_another_one() {
    crate::run(config(), |_| {
        let (one, station) = (stage(), there(3));
        let inner = Graph::new(|x: Node<u64>| station.add().bind(x)).compile()?;
        let inner = inner.into_handle();
        let outer =
            Graph::new(|graph: Node<GraphHandle<Node<u64>, Node<u64>>>| one.run().bind(graph));
        let outer = outer.compile()?;
        for _ in 0..3 {
            assert_eq!(outer.execute(inner.clone())?.get()?, 7);
        }
        outer.teardown()?;
        inner.teardown()
    })
    .unwrap()
    .unwrap();
}

#[test]
fn a_constant_that_is_a_handle_is_refused_at_compile() {
    crate::run(config(), |_| {
        let one = stage();
        let counter = counter();
        let graph = Graph::new(|at: Node<u64>| one.dies().bind(counter.clone(), at));
        let error = graph.compile().map(drop).unwrap_err();
        assert!(error.to_string().contains("ordinary call"), "{error}");
        drop(counter);
        nobody_holds(NAME);
    })
    .unwrap();
}

#[test]
fn a_worker_drives_a_graph_with_handles_on_its_edges() {
    crate::run(config(), |_| {
        let driver = stage();
        for stages in [
            vec![stage(), stage()],
            vec![stage_here(), stage()],
            vec![stage(), stage_here()],
            vec![stage_here(), stage_here()],
        ] {
            let counter = counter();
            let counted = driver.drive().remote(stages, counter.clone());
            assert_eq!(counted.get()?, 1 + 2 + 3);
            drop((counter, counted));
            nobody_holds(NAME);
        }
        Ok::<_, Error>(())
    })
    .unwrap()
    .unwrap();
}
