//! Destructors and `Clone` of users that look at the very graph whose values they are.

use super::*;

type PassGraph = Arc<CompiledGraph<Node<Value>, Node<Value>>>;

/// A graph of one actor, and values whose destructors look at that very graph.
fn looking(actor: &Actor<Holder>, options: CompileOptions) -> maser::Result<(PassGraph, Drops)> {
    let graph = Graph::new(|value: Node<Value>| actor.pass().bind(value));
    let graph = Arc::new(graph.compile_with(options)?);
    let looked_at = Arc::downgrade(&graph);
    let drops = Drops::run(move || {
        if let Some(graph) = looked_at.upgrade() {
            assert!(graph.free_capacity() < usize::MAX);
        }
    });
    Ok((graph, drops))
}

#[test]
fn an_unwanted_result_may_look_at_its_graph_when_it_is_dropped() {
    both_ways(quiet(2), |maser| {
        for scheduler in 0..2 {
            let actor = Holder::options().scheduler(scheduler).remote(None);
            let options = CompileOptions {
                max_inflight: Some(8),
                ..CompileOptions::default()
            };
            let (graph, drops) = looking(&actor, options)?;
            let calm = || Drops::default().value();
            for round in 1..=20 {
                // Found by a get of another result, by a take, by a look at the capacity, and by
                // whoever waits for a place.
                drop(graph.execute(drops.value())?);
                let kept = graph.execute(calm())?;
                kept.get()?;
                drop(kept);
                drop(graph.execute(drops.value())?);
                graph.execute(calm())?.take()?;
                drop(graph.execute(drops.value())?);
                while graph.free_capacity() < 8 {
                    maser::yield_now();
                }
                drop(graph.execute(drops.value())?);
                for _ in 0..8 {
                    drop(graph.execute(calm())?);
                }
                drops.wait_for(4 * round);
            }
            graph.teardown()?;
        }
        all_go_on(maser)
    });
}

#[test]
fn an_unwanted_result_may_panic_and_its_graph_goes_on() {
    both_ways(quiet(2), |maser| {
        let actor = Holder::options().scheduler(1).remote(None);
        let graph = Graph::new(|value: Node<Value>| actor.pass().bind(value)).compile()?;
        let drops = Drops::panic();
        for round in 1..=20 {
            drop(graph.execute(drops.value())?);
            let kept = graph.execute(Drops::default().value())?;
            kept.get()?;
            kept.get()?;
            kept.take()?;
            assert_eq!(drops.count(), round);
        }
        all_go_on(maser)
    });
}

/// An input whose `Clone` looks at the graph it goes into.
struct Curious(Arc<dyn Fn() + Send + Sync>);

impl Clone for Curious {
    fn clone(&self) -> Self {
        (self.0)();
        Curious(self.0.clone())
    }
}

struct Reader;

#[maser::actor(local)]
impl Reader {
    fn new() -> Self {
        Reader
    }
    fn read(&mut self, _input: Curious) -> u64 {
        1
    }
}

#[test]
fn an_input_of_two_actors_may_look_at_its_graph_when_it_is_cloned() {
    both_ways(quiet(2), |_| {
        let readers = [0, 1].map(|at| Reader::options().scheduler(at).remote());
        let graph = Graph::new(|input: Node<Curious>| {
            let [here, there] = &readers;
            (here.read().bind(input), there.read().bind(input))
        });
        let graph = Arc::new(graph.compile()?);
        let looked_at = graph.clone();
        let clones = Arc::new(AtomicUsize::new(0));
        let counted = clones.clone();
        let look: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
            counted.fetch_add(1, Ordering::AcqRel);
            assert!(looked_at.free_capacity() > 0);
        });
        for run in 1..=20 {
            let (here, there) = graph.execute(Curious(look.clone()))?;
            assert_eq!((here.take()?, there.take()?), (1, 1));
            assert_eq!(clones.load(Ordering::Acquire), run);
        }
        graph.teardown()
    });
}

#[test]
fn inputs_of_a_graph_that_just_ended_may_look_at_it_when_they_are_dropped() {
    both_ways(quiet(2), |maser| {
        let actor = Holder::options().scheduler(1).remote(None);
        for _ in 0..100 {
            let (graph, drops) = looking(&actor, CompileOptions::default())?;
            let ending = graph.clone();
            let ends = std::thread::spawn(move || ending.teardown());
            while let Ok(result) = graph.execute(drops.value()) {
                drop(result.take());
            }
            while !ends.is_finished() {
                maser::yield_now();
            }
            ends.join().expect("it does not panic")?;
        }
        all_go_on(maser)
    });
}
