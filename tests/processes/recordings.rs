//! Recordings and drawings of graphs whose steps run in processes of their own.

use maser::prelude::*;
use maser::view::{Format, View};
use maser::{Actor, Array, Record, Speed};
use maser_tests::tape::Memory;

use crate::graph_actors::{Station, here, in_runtime, there};

fn watched() -> CompileOptions {
    CompileOptions {
        record: Some(Record::later()),
        ..CompileOptions::default()
    }
}

type Line = CompiledGraph<Node<u64>, Node<u64>>;

/// From this process over two others and back.
fn line(stations: [&Actor<Station>; 4]) -> maser::Result<Line> {
    let [a, b, c, d] = stations;
    let graph = Graph::new(|x: Node<u64>| {
        let value = b.add().bind(a.add().bind(x));
        d.add().bind(c.add().bind(value))
    });
    graph.compile_with(watched())
}

#[test]
fn steps_elsewhere_are_compared_where_their_values_come_in() {
    in_runtime(2, || {
        let memory = Memory::default();
        let (a, b, c, d) = (here(1), there(10), there(100), here(1000));
        let graph = line([&a, &b, &c, &d])?;
        graph.record_into(memory.clone())?;
        for x in 0..20 {
            assert_eq!(graph.execute(x)?.get()?, x + 1111);
        }
        assert_eq!(graph.stop_recording()?.runs, 20);
        let report = graph.replay_recording(&memory.recording(), Speed::Full)?;
        assert!(report.is_same(), "{report}");
        // What goes from one of the others to the other is not seen.
        assert_eq!((report.compared, report.missing), (60, 0));
        assert_eq!(report.at_edges, ["#3 Station::add"]);
        assert_eq!(report.unseen, ["#2 Station::add"]);
        // One that adds something else: it is seen behind it, and in what is made of it.
        let other = line([&a, &there(11), &c, &d])?;
        let report = other.replay_recording(&memory.recording(), Speed::Full)?;
        assert_eq!((report.runs, report.different), (20, 40), "{report}");
        for (at, difference) in report.differences.iter().enumerate() {
            assert_eq!(difference.run, at as u64 / 2);
            assert_eq!(difference.node, 3 + at % 2);
        }
        let printed = report.to_string();
        assert!(
            printed.contains("came into this process: #3 Station::add"),
            "{printed}"
        );
        assert!(
            printed.contains("cannot be seen here: #2 Station::add"),
            "{printed}"
        );
        Ok(())
    });
}

#[test]
fn one_step_elsewhere_is_recorded_with_its_errors_and_panics() {
    in_runtime(1, || {
        let memory = Memory::default();
        let station = there(1);
        let make = || {
            let graph = Graph::new(|x: Node<u64>| station.fails_at_3_and_4().bind(x));
            graph.compile_with(watched())
        };
        let graph = make()?;
        graph.record_into(memory.clone())?;
        for x in 0..6 {
            assert_eq!(graph.execute(x)?.get().is_ok(), x != 3 && x != 4);
        }
        graph.stop_recording()?;
        drop(graph);
        let report = make()?.replay_recording(&memory.recording(), Speed::Full)?;
        assert!(report.is_same(), "{report}");
        assert_eq!((report.runs, report.compared), (6, 6));
        Ok(())
    });
}

#[test]
fn a_step_elsewhere_that_several_read_is_compared_once() {
    in_runtime(2, || {
        let memory = Memory::default();
        let (a, b, c) = (there(1), here(10), here(100));
        let graph = Graph::new(|x: Node<u64>| {
            let value = a.add().bind(x);
            (b.add().bind(value), c.add().bind(value), value, value)
        });
        let graph = graph.compile_with(watched())?;
        graph.record_into(memory.clone())?;
        for x in 0..10 {
            let (b, c, once, twice) = graph.execute(x)?;
            assert_eq!((b.get()?, c.get()?), (x + 11, x + 101));
            assert_eq!((once.get()?, twice.get()?), (x + 1, x + 1));
        }
        graph.stop_recording()?;
        let report = graph.replay_recording(&memory.recording(), Speed::Full)?;
        assert!(report.is_same(), "{report}");
        assert_eq!((report.compared, report.missing), (30, 0));
        Ok(())
    });
}

struct Press;

#[maser::actor]
impl Press {
    fn new() -> Self {
        Press
    }
    fn half(&mut self, of: Array<u32>) -> Array<u32> {
        of[..of.len() / 2].to_vec().into()
    }
}

#[test]
fn arrays_are_recorded_as_what_is_in_them() {
    in_runtime(1, || {
        let memory = Memory::default();
        let press = Press::options().isolation(Isolation::Process).remote();
        let graph = Graph::new(|x: Node<Array<u32>>| press.half().bind(x));
        let graph = graph.compile_with(watched())?;
        graph.record_into(memory.clone())?;
        for n in 1..4_u32 {
            let numbers: Vec<u32> = (0..50_000 * n).collect();
            let half = graph.execute(Array::from(numbers))?.get()?;
            assert_eq!(half.len(), 25_000 * n as usize);
        }
        let recorded = graph.stop_recording()?;
        assert!(recorded.bytes > 4 * 50_000 * 6, "{recorded:?}");
        let report = graph.replay_recording(&memory.recording(), Speed::Full)?;
        assert!(report.is_same(), "{report}");
        assert_eq!(report.compared, 3);
        Ok(())
    });
}

#[test]
fn a_recording_goes_as_far_as_the_run_that_ended_a_process() {
    in_runtime(1, || {
        let memory = Memory::default();
        let station = there(1);
        let graph = Graph::new(|x: Node<u64>| station.abort_at().bind(7, x));
        let graph = graph.compile_with(watched())?;
        graph.record_into(memory.clone())?;
        for x in 0..7 {
            assert_eq!(graph.execute(x)?.get()?, x);
        }
        assert!(graph.execute(7)?.get().is_err());
        drop(graph);
        let recording = memory.recording();
        assert!(recording.is_whole());
        // The last one is the one to look at.
        assert_eq!(recording.runs(), 8);
        Ok(())
    });
}

#[test]
fn a_drawing_says_what_crosses_a_boundary_between_processes() {
    in_runtime(2, || {
        let (a, b, c, d) = (here(1), there(10), there(100), here(1000));
        let graph = line([&a, &b, &c, &d])?;
        let text = graph.visualize(Format::Terminal);
        assert_eq!(text.matches("shared memory").count(), 3, "{text}");
        let details = graph.visualize(View::new(Format::Terminal).channel_details(true));
        assert!(details.contains("bind 0, worker"), "{details}");
        let one = Graph::new(|x: Node<u64>| b.add().bind(x)).compile()?;
        let text = one.visualize(Format::Terminal);
        assert_eq!(text.matches("shared call slot").count(), 2, "{text}");
        Ok(())
    });
}
