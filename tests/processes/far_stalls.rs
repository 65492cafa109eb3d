//! Waits that are too long for a graph of another process say what that graph waits for.

use super::graph_actors::{Station, in_runtime, there};
use maser::prelude::*;
use maser::{CompileOptions, GraphHandle, Timeout};
use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;

type Adder = GraphHandle<Node<u64>, Node<u64>>;

/// Has a handle of a graph that another process compiled.
#[derive(Default)]
struct Holder {
    graph: Option<Adder>,
    kept: Vec<GraphRef<u64>>,
}

#[maser::actor]
impl Holder {
    fn new() -> Self {
        Self::default()
    }

    fn take(&mut self, graph: Adder) {
        self.graph = Some(graph);
    }

    fn begin(&mut self, x: u64) -> Result<(), Error> {
        let graph = self.graph.as_ref().expect("it was given");
        self.kept.push(graph.execute(x)?);
        Ok(())
    }

    fn end(&mut self, millis: u64) -> Result<u64, Error> {
        let oldest = &self.kept[0];
        oldest.get_timeout(Duration::from_millis(millis))
    }
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

/// Holder and graph of one run over an actor whose process is stopped.
fn stopped() -> Result<(Actor<Holder>, Actor<Station>, u32), Error> {
    let station = there(5);
    let pid = station.pid().remote(0).get()?;
    let holder: Actor<Holder> = Holder::options().isolation(Isolation::Process).remote();
    let options = CompileOptions {
        max_inflight: Some(1),
        submit_timeout: Some(Timeout::After(Duration::from_secs(1))),
        ..Default::default()
    };
    let graph = Graph::new(|x: Node<u64>| station.add().bind(x));
    let graph = graph.compile_with(options)?.into_handle();
    holder.take().remote(graph).get()?;
    signal(pid, Signal::STOP);
    holder.begin().remote(1).get()?;
    Ok((holder, station, pid))
}

fn says(error: &Error, words: &[&str]) {
    let error = error.downcast_ref::<Error>().unwrap_or(error);
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn a_wait_for_a_result_of_a_graph_elsewhere_says_which_step_it_waits_for() {
    in_runtime(2, || {
        let (holder, _station, pid) = stopped()?;
        let error = holder.end().remote(300).get().unwrap_err();
        let words = [
            "the result of run 0",
            "Station",
            "run 0 waits for",
            "::add",
            "another process",
        ];
        says(&error, &words);
        signal(pid, Signal::CONT);
        assert_eq!(holder.end().remote(60_000).get()?, 6);
        Ok(())
    });
}

#[test]
fn a_wait_for_a_place_in_a_graph_elsewhere_says_which_step_it_waits_for() {
    in_runtime(2, || {
        let (holder, _station, pid) = stopped()?;
        let error = holder.begin().remote(2).get().unwrap_err();
        says(
            &error,
            &["a place for a run", "Station", "run 0 waits for", "::add"],
        );
        signal(pid, Signal::CONT);
        assert_eq!(holder.end().remote(60_000).get()?, 6);
        Ok(())
    });
}

#[test]
fn who_does_not_wait_at_all_is_told_no_more_than_where_the_graph_is() {
    in_runtime(2, || {
        let (holder, _station, pid) = stopped()?;
        says(
            &holder.end().remote(0).get().unwrap_err(),
            &["a graph in another process"],
        );
        signal(pid, Signal::CONT);
        assert_eq!(holder.end().remote(60_000).get()?, 6);
        Ok(())
    });
}

/// Compiles a graph over an actor of its own process.
struct Owner;

#[maser::actor]
impl Owner {
    fn new() -> Self {
        Self
    }

    fn make(&self) -> Result<Adder, Error> {
        let station = Station::remote(5);
        let options = CompileOptions {
            submit_timeout: Some(Timeout::After(Duration::from_secs(2))),
            teardown_timeout: Some(Timeout::After(Duration::from_millis(300))),
            ..Default::default()
        };
        let graph = Graph::new(|x: Node<u64>| station.add().bind(x));
        Ok(graph.compile_with(options)?.into_handle())
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }
}

#[test]
fn nothing_waits_for_ever_for_a_graph_whose_process_is_stopped() {
    in_runtime(2, || {
        let owner: Actor<Owner> = Owner::options().isolation(Isolation::Process).remote();
        let graph = owner.make().remote().get()?;
        assert!(!graph.is_here());
        assert_eq!(graph.try_execute(1)?.get()?, 6);
        let pid = owner.pid().remote().get()?;
        signal(pid, Signal::STOP);
        says(
            &graph.try_execute(2).unwrap_err(),
            &["the answer of a graph", "its process", "submit_timeout"],
        );
        assert_eq!(graph.free_capacity(), 0);
        says(
            &graph.teardown().unwrap_err(),
            &["the teardown of a graph", "its process", "teardown_timeout"],
        );
        signal(pid, Signal::CONT);
        // It goes on there.
        graph.teardown()
    });
}
