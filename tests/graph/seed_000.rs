//! The programs of the quickstart of compiled graphs, and what that page says of each.

use maser::prelude::*;
use maser::{Timeout, get_graph};
use maser_tests::{both_ways, quiet};

struct SimpleActor;

#[maser::actor]
impl SimpleActor {
    fn new() -> Self {
        SimpleActor
    }
    fn echo(&mut self, msg: String) -> String {
        msg
    }
}

#[test]
fn hello_world_by_call_by_graph_and_compiled() {
    both_ways(quiet(2), |_| {
        let a = SimpleActor::remote();
        for _ in 0..5 {
            assert_eq!(a.echo().remote("hello").get()?, "hello");
        }
        let graph = Graph::new(|inp: Node<String>| a.echo().bind(inp));
        for _ in 0..5 {
            assert_eq!(graph.execute("hello")?.get()?, "hello");
        }
        let graph = graph.compile()?;
        for _ in 0..5 {
            assert_eq!(graph.execute("hello")?.get()?, "hello");
        }
        graph.teardown()
    });
}

#[test]
fn a_message_passes_from_one_actor_to_another() {
    both_ways(quiet(2), |_| {
        let (a, b) = (SimpleActor::remote(), SimpleActor::remote());
        let graph = Graph::new(|inp: Node<String>| b.echo().bind(a.echo().bind(inp))).compile()?;
        assert_eq!(graph.execute("hello")?.get()?, "hello");
        Ok(())
    });
}

#[test]
fn a_message_goes_to_both_actors_and_there_is_a_ref_for_each() {
    both_ways(quiet(2), |_| {
        let (a, b) = (SimpleActor::remote(), SimpleActor::remote());
        let graph = Graph::new(|inp: Node<String>| vec![a.echo().bind(inp), b.echo().bind(inp)])
            .compile()?;
        assert_eq!(get_graph(&graph.execute("hello")?)?, ["hello", "hello"]);
        Ok(())
    });
}

struct EchoActor;

#[maser::actor]
impl EchoActor {
    fn new() -> Self {
        EchoActor
    }
    fn echo(&mut self, msg: i64) -> i64 {
        msg
    }
}

#[test]
fn execute_async_gives_a_future_for_the_result() {
    both_ways(quiet(2), |_| {
        let actor = EchoActor::remote();
        let graph = Graph::new(|inp: Node<i64>| actor.echo().bind(inp)).compile()?;
        pollster::block_on(async {
            let future = graph.execute_async(42).await?;
            assert_eq!(future.await?, 42);
            Ok(())
        })
    });
}

#[test]
fn the_actors_that_live_on_after_a_kill_are_all_but_the_first() {
    both_ways(quiet(2), |_| {
        let actors: Vec<_> = (0..4).map(|_| EchoActor::remote()).collect();
        let graph = Graph::new(|inp: Node<i64>| {
            actors
                .iter()
                .map(|actor| actor.echo().bind(inp))
                .collect::<Vec<_>>()
        })
        .compile()?;
        maser::kill(&actors[0]);
        let outcome = graph.execute(1).and_then(|refs| get_graph(&refs));
        let mut live_actors = Vec::new();
        match outcome {
            Err(Error::ActorDied { .. }) => {
                for actor in &actors {
                    match actor.echo().remote(7).get() {
                        Ok(answer) => {
                            assert_eq!(answer, 7);
                            live_actors.push(actor.clone());
                        }
                        Err(error) => {
                            assert!(matches!(error.root(), Error::ActorDied { .. }), "{error}");
                        }
                    }
                }
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(live_actors, actors[1..]);
        let graph = Graph::new(|inp: Node<i64>| {
            live_actors
                .iter()
                .map(|actor| actor.echo().bind(inp))
                .collect::<Vec<_>>()
        })
        .compile()?;
        assert_eq!(get_graph(&graph.execute(5)?)?, [5; 3]);
        Ok(())
    });
}

#[test]
fn submit_and_get_wait_ten_seconds_by_default() {
    let settings = Config::new().resolve(&|_| None).unwrap();
    let ten = Timeout::After(std::time::Duration::from_secs(10));
    assert_eq!(
        (settings.graph_submit_timeout, settings.graph_get_timeout),
        (ten, ten)
    );
}

struct Sender;

#[maser::actor]
impl Sender {
    fn new() -> Self {
        Sender
    }
    fn send(&mut self, shape: (usize,)) -> Vec<f32> {
        vec![0.0; shape.0]
    }
}

struct Receiver;

#[maser::actor]
impl Receiver {
    fn new() -> Self {
        Receiver
    }
    fn recv(&mut self, tensor: Vec<f32>) -> (usize,) {
        (tensor.len(),)
    }
}

#[test]
fn a_sender_and_a_receiver_on_host_memory() {
    both_ways(quiet(2), |_| {
        let (sender, receiver) = (Sender::remote(), Receiver::remote());
        let graph =
            Graph::new(|shape: Node<(usize,)>| receiver.recv().bind(sender.send().bind(shape)))
                .compile()?;
        assert_eq!(graph.execute((10,))?.get()?, (10,));
        Ok(())
    });
}
