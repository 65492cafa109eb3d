//! Graphs that workers compile: what cannot be is said when the graph is compiled.

use super::graph_actors::{Station, here, in_runtime, there};
use maser::{Actor, Error, Graph, Isolation, Node};

/// Compiles graphs where it is.
struct Giver {
    own: Option<Actor<Station>>,
}

#[maser::actor]
impl Giver {
    fn new() -> Self {
        Giver { own: None }
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn make(&mut self) -> Actor<Station> {
        let made = Station::remote(3);
        self.own = Some(made.clone());
        made
    }

    /// Compiles a graph here, over an actor of this process and one that came.
    fn compile(&self, other: Option<Actor<Station>>) -> Result<u64, Error> {
        let own = self.own.as_ref().expect("it was made");
        let graph = Graph::new(|x: Node<u64>| match &other {
            Some(other) => other.add().bind(own.add().bind(x)),
            None => own.add().bind(x),
        });
        let graph = graph.compile()?;
        graph.execute(4)?.get()
    }
}

fn giver(isolation: Isolation) -> Actor<Giver> {
    Giver::options().isolation(isolation).remote()
}

#[test]
fn a_worker_compiles_graphs_of_its_own_actors_and_of_others() {
    in_runtime(2, || {
        let worker = giver(Isolation::Process);
        let made = worker.make().remote().get()?;
        assert_eq!(worker.compile().remote(None).get()?, 7);
        for other in [here(10), there(10)] {
            assert_eq!(worker.compile().remote(Some(other)).get()?, 17);
        }
        // In the driver an actor that a worker made is as good as any.
        let graph = Graph::new(|x: Node<u64>| here(10).add().bind(made.add().bind(x)));
        let graph = graph.compile()?;
        assert_eq!(graph.execute(4)?.get()?, 17);
        graph.teardown()?;
        assert_ne!(worker.pid().remote().get()?, std::process::id());
        Ok(())
    });
}
