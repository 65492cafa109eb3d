//! Handles of compiled graphs in other processes: what is submitted there, and who ends what.

use super::graph_actors::{Station, config, here, in_runtime, there};
use maser::prelude::*;
use maser::{Array, CompileOptions, GraphHandle};
use rustix::process::{Pid, Signal, kill_process};
use std::future::Future;
use std::task::Poll;
use std::time::Duration;

type Adder = GraphHandle<Node<u64>, Node<u64>>;
type Pair = GraphHandle<(Node<String>, Node<u64>), (Node<String>, Node<u64>)>;
type Bulk = GraphHandle<Node<Array<f32>>, Vec<Node<Array<f32>>>>;

const LONG: Duration = Duration::from_secs(60);
/// For a place that does not come.
const SOON: Duration = Duration::from_millis(50);

/// Has a handle of a graph, and does what a driver would.
#[derive(Default)]
struct Owner {
    graph: Option<Adder>,
    kept: Vec<GraphRef<u64>>,
    station: Option<Actor<Station>>,
}

#[maser::actor]
impl Owner {
    fn new() -> Self {
        Self::default()
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn take(&mut self, graph: Adder) -> bool {
        let is_here = graph.is_here();
        self.graph = Some(graph);
        is_here
    }

    fn give(&self) -> Adder {
        self.graph().clone()
    }

    fn let_go(&mut self) {
        self.graph = None;
    }

    fn run(&self, x: u64) -> Result<u64, Error> {
        self.graph().execute(x)?.get()
    }

    fn try_run(&self, x: u64) -> Result<u64, Error> {
        self.graph().try_execute(x)?.get()
    }

    fn run_soon(&self, x: u64) -> Result<u64, Error> {
        self.graph().execute_timeout(x, SOON)?.get()
    }

    async fn run_async(&self, x: u64) -> Result<u64, Error> {
        self.graph().execute_async(x).await?.await
    }

    /// Asks for a run and gives up; whether it had to wait.
    async fn give_up(&self, x: u64) -> bool {
        let mut asked = Box::pin(self.graph().execute_async(x));
        std::future::poll_fn(|context| Poll::Ready(asked.as_mut().poll(context).is_pending())).await
    }

    /// Submits runs and keeps their results.
    fn keep(&mut self, xs: Vec<u64>) -> Result<(), Error> {
        for x in xs {
            let result = self.graph().execute(x)?;
            self.kept.push(result);
        }
        Ok(())
    }

    fn kept(&self, at: u64, millis: u64) -> Result<u64, Error> {
        self.kept[at as usize].get_timeout(Duration::from_millis(millis))
    }

    fn drop_kept(&mut self) {
        self.kept.clear();
    }

    fn free(&self) -> usize {
        self.graph().free_capacity()
    }

    fn teardown(&self) -> Result<(), Error> {
        self.graph().teardown()
    }

    /// Compiles a graph over an actor of this process and gives its handle away.
    fn make(&mut self) -> Result<Adder, Error> {
        let station = Station::remote(10);
        let graph = Graph::new(|x: Node<u64>| station.add().bind(x)).compile()?;
        self.station = Some(station);
        Ok(graph.into_handle())
    }

    fn pair(&self, graph: Pair, text: String) -> Result<(String, u64, String), Error> {
        let (said, number) = graph.execute((text, 3))?;
        Ok((said.get()?, number.get()?, said.get()?))
    }

    fn bulk(&self, graph: Bulk, numbers: Array<f32>) -> Result<Vec<Array<f32>>, Error> {
        let results = graph.execute(numbers)?;
        results.iter().map(GraphRef::get).collect()
    }

    fn abort(&self) {
        std::process::abort();
    }
}

impl Owner {
    fn graph(&self) -> &Adder {
        self.graph.as_ref().expect("it was given")
    }
}

/// Gives what it gets.
struct Mirror;

#[maser::actor]
impl Mirror {
    fn new() -> Self {
        Self
    }

    fn numbers(&self, numbers: Array<f32>) -> Array<f32> {
        numbers
    }
}

fn owner() -> Actor<Owner> {
    Owner::options()
        .isolation(Isolation::Process)
        .max_concurrency(8)
        .remote()
}

fn adder(station: &Actor<Station>, max_inflight: usize) -> Adder {
    let options = CompileOptions {
        max_inflight: Some(max_inflight),
        ..Default::default()
    };
    let graph = Graph::new(|x: Node<u64>| station.add().bind(x));
    graph.compile_with(options).unwrap().into_handle()
}

fn told(error: &Error) -> &Error {
    error.downcast_ref::<Error>().unwrap_or(error)
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

/// Until `look` says yes.
fn until(mut look: impl FnMut() -> bool) {
    while !look() {
        maser::yield_now();
    }
}

#[test]
fn a_graph_is_executed_by_its_driver_and_by_another_process_in_turn() {
    in_runtime(2, || {
        for station in [here(5), there(5)] {
            let (graph, other) = (adder(&station, 8), owner());
            assert!(!other.take().remote(graph.clone()).get()?);
            for x in 0..20 {
                assert_eq!(graph.execute(x)?.get()?, x + 5);
                assert_eq!(other.run().remote(x).get()?, x + 5);
                assert_eq!(other.try_run().remote(x).get()?, x + 5);
                assert_eq!(other.run_async().remote(x).get()?, x + 5);
            }
            graph.teardown()?;
        }
        Ok(())
    });
}

#[test]
fn a_graph_lives_on_when_who_compiled_it_drops_it_and_goes_with_the_last_handle() {
    in_runtime(2, || {
        let (station, other) = (here(5), owner());
        let graph = adder(&station, 8);
        other.take().remote(graph).get()?;
        assert_eq!(other.run().remote(1).get()?, 6);
        let copy = other.give().remote().get()?;
        assert!(copy.is_here(), "it came home");
        assert_eq!(copy.execute(2)?.get()?, 7);
        drop(copy);
        assert_eq!(other.run().remote(3).get()?, 8);
        other.let_go().remote().get()
    });
}

#[test]
fn a_graph_is_torn_down_when_its_last_handle_goes_in_another_process() {
    in_runtime(2, || {
        let (station, other) = (there(5), owner());
        let pid = station.pid().remote(0).get()?;
        let graph = adder(&station, 8);
        other.take().remote(graph.clone()).get()?;
        signal(pid, Signal::STOP);
        let run = graph.execute(1)?;
        drop(graph);
        let error = run.get_timeout(Duration::from_millis(20)).unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
        other.let_go().remote().get()?;
        let error = run.get_timeout(LONG).unwrap_err();
        assert!(matches!(error, Error::ChannelClosed { .. }), "{error}");
        signal(pid, Signal::CONT);
        assert_eq!(station.add().remote(1).get()?, 6);
        Ok(())
    });
}

#[test]
fn several_outputs_and_inputs_come_through_as_they_are() {
    in_runtime(2, || {
        let (near, far, other) = (here(1), there(2), owner());
        let graph = Graph::new(|(text, x): (Node<String>, Node<u64>)| {
            (near.turn().bind(text), far.add().bind(near.add().bind(x)))
        });
        let graph: Pair = graph.compile()?.into_handle();
        let long = "x".repeat(100_000);
        for text in ["", "short", &long] {
            let got = other.pair().remote(graph.clone(), text.to_owned()).get()?;
            assert_eq!(got, (text.to_owned(), 6, text.to_owned()));
        }
        graph.teardown()
    });
}

#[test]
fn arrays_go_into_a_graph_of_another_process_and_come_out_of_it() {
    in_runtime(2, || {
        let isolated = Mirror::options().isolation(Isolation::Process).remote();
        let (near, other) = (Mirror::remote(), owner());
        let graph = Graph::new(|x: Node<Array<f32>>| {
            vec![near.numbers().bind(x), isolated.numbers().bind(x)]
        });
        let graph: Bulk = graph.compile()?.into_handle();
        let numbers = Array::from((0..100_000).map(|x| x as f32).collect::<Vec<_>>());
        let results = other.bulk().remote(graph.clone(), numbers.clone()).get()?;
        assert_eq!(results.len(), 2);
        for result in results {
            assert_eq!(&result[..], &numbers[..]);
        }
        graph.teardown()
    });
}

#[test]
fn capacity_is_counted_across_all_who_submit() {
    in_runtime(2, || {
        let (station, other) = (there(1), owner());
        let pid = station.pid().remote(0).get()?;
        let graph = adder(&station, 3);
        other.take().remote(graph.clone()).get()?;
        assert_eq!(other.free().remote().get()?, 3);
        signal(pid, Signal::STOP);
        other.keep().remote(vec![1, 2]).get()?;
        assert_eq!(graph.free_capacity(), 1);
        let own = graph.try_execute(3)?;
        assert_eq!(other.free().remote().get()?, 0);
        let error = graph.try_execute(4).unwrap_err();
        assert!(matches!(error, Error::CapacityExceeded { .. }), "{error}");
        let theirs = other.try_run().remote(4).get().unwrap_err();
        assert_eq!(told(&theirs).to_string(), error.to_string());
        let error = graph.execute_timeout(4, SOON).unwrap_err();
        let theirs = other.run_soon().remote(4).get().unwrap_err();
        // At home it is known as well who holds the runs up.
        let common = "a place for a run (3 in flight) from a graph";
        for error in [&error, told(&theirs)] {
            assert!(matches!(error, Error::Timeout { .. }), "{error}");
            assert!(error.to_string().contains(common), "{error}");
        }
        // A result in another process can be late, and is asked for again.
        let late = other.kept().remote(0, 1).get().unwrap_err();
        assert!(matches!(told(&late), Error::Timeout { .. }), "{late}");
        signal(pid, Signal::CONT);
        assert_eq!(other.kept().remote(0, 60_000).get()?, 2);
        assert_eq!(other.kept().remote(1, 60_000).get()?, 3);
        assert_eq!(other.kept().remote(0, 0).get()?, 2);
        assert_eq!(own.get_timeout(LONG)?, 4);
        until(|| graph.free_capacity() == 3);
        assert_eq!(other.run().remote(9).get()?, 10);
        graph.teardown()
    });
}

#[test]
fn who_waits_in_another_process_for_a_place_gets_the_next_one() {
    in_runtime(2, || {
        let (station, other) = (there(1), owner());
        let pid = station.pid().remote(0).get()?;
        let graph = adder(&station, 1);
        other.take().remote(graph.clone()).get()?;
        signal(pid, Signal::STOP);
        let first = graph.try_execute(1)?;
        let waits = other.run_async().remote(2);
        assert!(waits.get_timeout(Duration::from_millis(20)).is_err());
        signal(pid, Signal::CONT);
        assert_eq!(first.get_timeout(LONG)?, 2);
        assert_eq!(waits.get_timeout(LONG)?, 3);
        graph.teardown()
    });
}

#[test]
fn an_error_of_a_step_is_the_same_in_another_process_and_the_graph_goes_on() {
    in_runtime(2, || {
        let (station, other) = (here(0), owner());
        let graph = Graph::new(|x: Node<u64>| station.fails_at_3_and_4().bind(x));
        let graph = graph.compile()?.into_handle();
        other.take().remote(graph.clone()).get()?;
        for x in 1..6 {
            let home = graph.execute(x)?.get();
            let away = other.run().remote(x).get();
            match (home, away) {
                (Ok(home), Ok(away)) => assert_eq!(home, away),
                (Err(home), Err(away)) => {
                    // The method it came through is named behind.
                    let (home, away) = (home.to_string(), away.to_string());
                    assert!(away.starts_with(&home), "{away} is not {home}");
                    assert!(away.contains("Owner::run"), "{away}");
                }
                (home, away) => panic!("{home:?} at home, {away:?} elsewhere"),
            }
        }
        graph.teardown()
    });
}

#[test]
fn a_dead_holder_gives_back_its_places_and_its_handle() {
    in_runtime(2, || {
        let (station, other) = (there(1), owner());
        let pid = station.pid().remote(0).get()?;
        let graph = adder(&station, 4);
        other.take().remote(graph.clone()).get()?;
        signal(pid, Signal::STOP);
        other.keep().remote(vec![1, 2, 3]).get()?;
        signal(other.pid().remote().get()?, Signal::KILL);
        assert!(other.pid().remote().get().is_err());
        assert_eq!(graph.free_capacity(), 1);
        signal(pid, Signal::CONT);
        until(|| graph.free_capacity() == 4);
        assert_eq!(graph.execute(1)?.get()?, 2);
        let heir = owner();
        heir.take().remote(graph.clone()).get()?;
        assert_eq!(heir.run().remote(5).get()?, 6);
        graph.teardown()
    });
}

#[test]
fn the_death_of_a_graphs_process_is_an_error_that_names_it() {
    in_runtime(2, || {
        let maker = owner();
        let graph = maker.make().remote().get()?;
        assert!(!graph.is_here());
        assert_eq!(graph.execute(1)?.get()?, 11);
        let copy = graph.clone();
        let pid = maker.pid().remote().get()?;
        signal(pid, Signal::STOP);
        let waits = std::thread::spawn(move || copy.execute(2).map(|result| result.run()));
        signal(pid, Signal::KILL);
        let error = waits.join().unwrap().unwrap_err();
        for error in [
            error,
            graph.execute(3).unwrap_err(),
            graph.teardown().unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(matches!(error.root(), Error::ActorDied { .. }), "{error:?}");
            assert!(
                text.contains("SIGKILL") && text.contains(&pid.to_string()),
                "{text}"
            );
        }
        assert_eq!(graph.free_capacity(), 0);
        Ok(())
    });
}

#[test]
fn a_handle_goes_from_one_worker_to_another() {
    in_runtime(2, || {
        let (maker, user) = (owner(), owner());
        let graph = maker.make().remote();
        assert!(!user.take().remote(graph.clone()).get()?);
        for x in 0..10 {
            assert_eq!(user.run().remote(x).get()?, x + 10);
        }
        // Home again, by a way of its own.
        let back = user.give().remote().get()?;
        assert!(maker.take().remote(back).get()?);
        assert_eq!(maker.run().remote(1).get()?, 11);
        drop(graph);
        user.keep().remote(vec![1, 2]).get()?;
        user.let_go().remote().get()?;
        assert_eq!(user.kept().remote(1, 60_000).get()?, 12);
        user.drop_kept().remote().get()?;
        Ok(())
    });
}

#[test]
fn a_teardown_from_another_process_ends_the_graph_for_all() {
    in_runtime(2, || {
        let (station, other) = (here(1), owner());
        let graph = adder(&station, 4);
        other.take().remote(graph.clone()).get()?;
        assert_eq!(other.run().remote(1).get()?, 2);
        other.teardown().remote().get()?;
        let error = graph.execute(1).unwrap_err();
        assert!(matches!(error, Error::ChannelClosed { .. }), "{error}");
        let theirs = other.run().remote(1).get().unwrap_err();
        assert_eq!(told(&theirs).to_string(), error.to_string());
        other.teardown().remote().get()?;
        graph.teardown()?;
        let again = adder(&station, 4);
        assert_eq!(again.execute(1)?.get()?, 2);
        again.teardown()
    });
}

#[test]
fn a_crash_of_the_holder_during_a_run_leaves_the_graph_to_others() {
    in_runtime(2, || {
        let (station, other) = (here(1), owner());
        let graph = adder(&station, 4);
        other.take().remote(graph.clone()).get()?;
        other.keep().remote(vec![1, 2, 3, 4]).get()?;
        assert!(other.abort().remote().get().is_err());
        until(|| graph.free_capacity() == 4);
        assert_eq!(graph.execute(7)?.get()?, 8);
        graph.teardown()
    });
}

#[test]
fn who_gives_up_in_another_process_while_it_waits_for_a_place_submits_nothing() {
    in_runtime(2, || {
        let (station, other) = (there(1), owner());
        let pid = station.pid().remote(0).get()?;
        let options = CompileOptions {
            max_inflight: Some(1),
            ..Default::default()
        };
        let graph = Graph::new(|x: Node<u64>| station.note().bind(x, 0));
        let graph = graph.compile_with(options)?.into_handle();
        other.take().remote(graph.clone()).get()?;
        signal(pid, Signal::STOP);
        let first = graph.try_execute(1)?;
        assert!(other.give_up().remote(2).get()?);
        // Its next call comes behind the news that it gave up.
        assert_eq!(other.free().remote().get()?, 0);
        signal(pid, Signal::CONT);
        assert_eq!(first.get_timeout(LONG)?, 1);
        assert_eq!(other.run().remote(3).get()?, 3);
        assert_eq!(station.notes().remote().get()?, [(1, 0), (3, 0)]);
        graph.teardown()
    });
}

#[maser::task]
fn runs_it(graph: Adder, x: u64) -> Result<(u64, u32), Error> {
    Ok((graph.execute(x)?.get()?, std::process::id()))
}

#[test]
fn tasks_in_processes_of_their_own_execute_a_graph_of_the_driver() {
    let config = config(2).num_workers(2).isolation(Isolation::Process);
    crate::run(config, |_| {
        let station = Station::options().isolation(Isolation::Thread).remote(5);
        let graph = adder(&station, 8);
        let runs: Vec<_> = (0..20).map(|x| runs_it::remote(graph.clone(), x)).collect();
        for (x, run) in (0..).zip(runs) {
            let (sum, pid) = run.get()?;
            assert_eq!(sum, x + 5);
            assert_ne!(pid, std::process::id());
        }
        graph.teardown()
    })
    .unwrap()
    .unwrap();
}
