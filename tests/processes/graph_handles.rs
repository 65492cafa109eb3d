//! Refs, handles and workers in compiled graphs: what cannot be is said when the graph is compiled.

use super::graph_actors::{Station, here, in_runtime, there};
use maser::{Actor, Error, Graph, Isolation, Node, Ref};

/// Gives and takes what no edge between processes carries.
struct Giver {
    own: Option<Actor<Station>>,
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Wrapped {
    value: Option<Ref<u64>>,
}

#[maser::actor]
impl Giver {
    fn new() -> Self {
        Giver { own: None }
    }

    fn refs(&self, value: u64) -> Vec<Ref<u64>> {
        vec![maser::put(value)]
    }

    fn sum(&self, values: Vec<Ref<u64>>) -> u64 {
        values.iter().map(|value| value.get().unwrap()).sum()
    }

    fn handle(&self, _: u64) -> Actor<Station> {
        Station::remote(1)
    }

    fn wrap(&self, value: u64) -> Wrapped {
        Wrapped {
            value: (value > 0).then(|| maser::put(value)),
        }
    }

    fn unwrap(&self, wrapped: Wrapped) -> u64 {
        wrapped.value.map_or(0, |value| value.get().unwrap())
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

fn refused(error: &Error, words: &[&str]) {
    let error = error.downcast_ref::<Error>().unwrap_or(error);
    assert!(matches!(error, Error::Graph { .. }), "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
}

#[test]
fn a_ref_or_a_handle_on_an_edge_between_processes_is_refused_at_compile() {
    in_runtime(1, || {
        let (here, there) = (giver(Isolation::Thread), giver(Isolation::Process));
        let error = Graph::new(|x: Node<u64>| here.sum().bind(there.refs().bind(x)))
            .compile()
            .map(drop)
            .unwrap_err();
        refused(&error, &["Giver::refs", "a ref cannot", "ordinary call"]);
        let error = Graph::new(|x: Node<u64>| there.sum().bind(here.refs().bind(x)))
            .compile()
            .map(drop)
            .unwrap_err();
        refused(&error, &["Giver::refs", "a ref cannot"]);
        let error = Graph::new(|x: Node<u64>| there.handle().bind(x))
            .compile()
            .map(drop)
            .unwrap_err();
        refused(&error, &["Giver::handle", "an actor's handle cannot"]);
        let error = Graph::new(|x: Node<Vec<Ref<u64>>>| there.sum().bind(x))
            .compile()
            .map(drop)
            .unwrap_err();
        refused(&error, &["a ref cannot"]);
        // Within one process nothing is encoded.
        let graph = Graph::new(|x: Node<u64>| here.sum().bind(here.refs().bind(x))).compile()?;
        assert_eq!(graph.execute(5)?.get()?, 5);
        graph.teardown()
    });
}

#[test]
fn a_ref_inside_of_a_value_is_an_error_of_its_run_alone() {
    in_runtime(1, || {
        let (here, there) = (giver(Isolation::Thread), giver(Isolation::Process));
        let graph = Graph::new(|x: Node<u64>| here.unwrap().bind(there.wrap().bind(x)));
        let graph = graph.compile()?;
        assert_eq!(graph.execute(0)?.get()?, 0);
        let error = graph.execute(1)?.get().unwrap_err().to_string();
        assert!(error.contains("ordinary call"), "{error}");
        assert_eq!(graph.execute(0)?.get()?, 0);
        graph.teardown()
    });
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
