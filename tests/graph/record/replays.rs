//! What a replay gives: the same, or what was not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use maser::collective::{ReduceOp, allreduce};
use maser::prelude::*;
use maser::view::Format;
use maser::{Given, Record, Speed, Tensor};
use maser_tests::{both_ways, quiet, with_runtime};

use super::{Memory, Tape, clerk, double, story, tell, with};

#[test]
fn a_recording_that_is_replayed_gives_the_same() {
    both_ways(quiet(2), |_| {
        let tape = Tape::new();
        let first = story(Record::to(&tape.0), None);
        tell(&first, 0..50);
        let recorded = first.stop_recording()?;
        assert_eq!(recorded.runs, 50);
        assert_eq!(recorded.bytes, std::fs::metadata(&tape.0).unwrap().len());
        drop(first);
        for speed in [Speed::Full, Speed::Original] {
            let report = story(Record::later(), None).replay(&tape.0, speed)?;
            assert!(report.is_same() && report.is_whole, "{report}");
            assert!(!report.other_build);
            // The task and three methods.
            assert_eq!((report.runs, report.compared, report.missing), (50, 200, 0));
        }
        Ok(())
    });
}

#[test]
fn runs_are_compared_with_themselves_and_never_with_others() {
    with_runtime(quiet(2), |_| {
        let memory = Memory::default();
        let first = story(Record::later(), None);
        // These are not recorded, so the counts that are begin at four.
        tell(&first, 0..3);
        first.record_into(memory.clone()).unwrap();
        tell(&first, 0..20);
        first.stop_recording().unwrap();
        let again = story(Record::later(), None);
        tell(&again, 0..3);
        let report = again
            .replay_recording(&memory.recording(), Speed::Full)
            .unwrap();
        assert!(report.is_same(), "{report}");
        assert_eq!(report.compared, 80);
        // By now the counts are higher: each run differs in that step alone.
        let report = again
            .replay_recording(&memory.recording(), Speed::Full)
            .unwrap();
        assert_eq!(report.different, 20, "{report}");
        for (run, difference) in report.differences.iter().enumerate() {
            assert_eq!(difference.run, run as u64);
            assert!(difference.step.ends_with("Clerk::count"), "{difference}");
        }
    });
}

#[test]
fn a_step_that_gives_something_else_is_found_by_run_and_step() {
    with_runtime(quiet(2), |_| {
        let tape = Tape::new();
        let first = story(Record::to(&tape.0), None);
        tell(&first, 0..20);
        first.stop_recording().unwrap();
        let odd = story(Record::later(), Some(13));
        let report = odd.replay(&tape.0, Speed::Full).unwrap();
        // The odd sum, and the text that was made of it.
        assert_eq!(report.different, 2, "{report}");
        let [sum, text] = &report.differences[..] else {
            panic!("{report}");
        };
        assert_eq!((sum.run, text.run), (13, 13));
        assert!(sum.step.ends_with("Clerk::add"), "{report}");
        assert!(text.step.ends_with("Clerk::text"), "{report}");
        assert!(matches!(sum.expected, Given::Value(_)) && sum.expected != sum.found);
        let printed = report.to_string();
        assert!(printed.contains("run 13: #2 Clerk::add gave"), "{printed}");
    });
}

#[test]
fn errors_and_panics_are_a_part_of_the_record() {
    with_runtime(quiet(1), |_| {
        let memory = Memory::default();
        let make = || {
            let a = clerk(0, None);
            let graph = Graph::new(|x: Node<u64>| {
                let value = a.refuse().bind(x);
                a.add().bind(value, 1)
            });
            graph.compile_with(with(Record::later())).unwrap()
        };
        let first = make();
        first.record_into(memory.clone()).unwrap();
        for n in 0..9 {
            assert_eq!(first.execute(n).unwrap().get().is_ok(), n % 3 == 2);
        }
        first.stop_recording().unwrap();
        let report = make()
            .replay_recording(&memory.recording(), Speed::Full)
            .unwrap();
        assert!(report.is_same(), "{report}");
        assert_eq!((report.runs, report.compared), (9, 18));
        // The same inputs to a graph that adds before: other runs fail.
        let a = clerk(0, None);
        let other = Graph::new(|x: Node<u64>| {
            let value = a.refuse().bind(x);
            a.add().bind(value, 2)
        });
        let other = other.compile_with(with(Record::later())).unwrap();
        let report = other
            .replay_recording(&memory.recording(), Speed::Full)
            .unwrap();
        assert_eq!(report.different, 3, "{report}");
        assert!(report.differences.iter().all(|one| one.run % 3 == 2));
    });
}

#[test]
fn an_error_in_place_of_a_value_is_a_difference_that_says_both() {
    with_runtime(quiet(1), |_| {
        let memory = Memory::default();
        let switch = Arc::new(AtomicU64::new(0));
        struct Moody(Arc<AtomicU64>);
        #[maser::actor(local)]
        impl Moody {
            fn new(switch: Arc<AtomicU64>) -> Self {
                Moody(switch)
            }
            fn pass(&mut self, value: u64) -> u64 {
                assert!(self.0.load(Ordering::Relaxed) != value, "not {value}");
                value
            }
        }
        let moody = Moody::remote(switch.clone());
        // The task after it says how its values are encoded.
        let graph = Graph::new(|x: Node<u64>| double::bind(moody.pass().bind(double::bind(x))));
        let graph = graph.compile_with(with(Record::later())).unwrap();
        graph.record_into(memory.clone()).unwrap();
        for n in 1..5 {
            assert_eq!(graph.execute(n).unwrap().get().unwrap(), 4 * n);
        }
        graph.stop_recording().unwrap();
        switch.store(6, Ordering::Relaxed);
        let report = graph
            .replay_recording(&memory.recording(), Speed::Full)
            .unwrap();
        assert_eq!(report.different, 2, "{report}");
        let first = report.differences[0].to_string();
        assert!(
            first.starts_with("run 2: #2 Moody::pass gave the error"),
            "{first}"
        );
        assert!(first.contains("panicked: not 6"), "{first}");
        assert!(first.contains("recorded is a value with digest"), "{first}");
    });
}

#[test]
fn graphs_of_several_inputs_and_of_none_are_recorded() {
    with_runtime(quiet(2), |_| {
        let memory = Memory::default();
        let several = || {
            let (a, b) = (clerk(0, None), clerk(1, None));
            let graph = Graph::new(|(x, name, y): (Node<u64>, Node<String>, Node<u64>)| {
                vec![
                    a.text().bind(name, x),
                    b.text().bind(name, b.add().bind(x, y)),
                ]
            });
            graph.compile_with(with(Record::later())).unwrap()
        };
        let first = several();
        first.record_into(memory.clone()).unwrap();
        for n in 0..10 {
            drop(first.execute((n, format!("n{n}"), 3 * n)).unwrap());
        }
        first.stop_recording().unwrap();
        let report = several()
            .replay_recording(&memory.recording(), Speed::Full)
            .unwrap();
        assert!(report.is_same() && report.runs == 10, "{report}");

        let memory = Memory::default();
        let none = || {
            let (a, b) = (clerk(0, None), clerk(1, None));
            let graph = Graph::new(|()| b.add().bind(a.seven().bind(), 1));
            graph.compile_with(with(Record::later())).unwrap()
        };
        let first = none();
        first.record_into(memory.clone()).unwrap();
        for _ in 0..10 {
            assert_eq!(first.execute(()).unwrap().get().unwrap(), 8);
        }
        first.stop_recording().unwrap();
        let report = none()
            .replay_recording(&memory.recording(), Speed::Full)
            .unwrap();
        assert!(report.is_same() && report.compared == 20, "{report}");
    });
}

#[test]
fn synchronous_pairs_are_recorded_with_and_without_overlap() {
    with_runtime(quiet(2), |_| {
        for overlaps in [false, true] {
            let memory = Memory::default();
            let make = || {
                let (a, b) = (clerk(0, None), clerk(1, None));
                let graph = Graph::new(|x: Node<u64>| {
                    let counted = b.count().bind(x);
                    let sent = a.add().bind(x, 1).with_tensor_transport("gloo");
                    (b.add().bind(sent, counted), a.count().bind(x))
                });
                let options = CompileOptions {
                    overlap_communication: Some(overlaps),
                    ..with(Record::later())
                };
                graph.compile_with(options).unwrap()
            };
            let first = make();
            first.record_into(memory.clone()).unwrap();
            let held: Vec<_> = (0..10).map(|n| first.execute(n).unwrap()).collect();
            for (n, (sum, _count)) in held.iter().enumerate() {
                // Counts are one, three, five and so on.
                assert_eq!(sum.get().unwrap(), 3 * n as u64 + 2);
            }
            drop(held);
            first.execute(10).unwrap().1.get().unwrap();
            first.stop_recording().unwrap();
            let report = make()
                .replay_recording(&memory.recording(), Speed::Full)
                .unwrap();
            assert!(report.is_same(), "{report}");
            assert!(report.compared >= 40, "{report}");
        }
    });
}

struct Trainer(f32);

#[maser::actor]
impl Trainer {
    fn new(by: f32) -> Self {
        Trainer(by)
    }
    fn give(&mut self, run: u64) -> maser::Result<Tensor> {
        Tensor::from_vec(vec![self.0 + run as f32; 8], &[8])
    }
}

#[test]
fn collectives_are_recorded_and_drawn() {
    with_runtime(quiet(2), |_| {
        let memory = Memory::default();
        let make = |second: f32| {
            let at = |at, by: f32| Trainer::options().scheduler(at).remote(by);
            let (a, b) = (at(0, 1.0), at(1, second));
            let graph = Graph::new(|run: Node<u64>| {
                let given = [a.give().bind(run), b.give().bind(run)];
                allreduce::bind(given, ReduceOp::Sum)
            });
            graph.compile_with(with(Record::later())).unwrap()
        };
        let first = make(2.0);
        let drawing = first.visualize(Format::Terminal);
        assert_eq!(drawing.matches("  collective").count(), 1, "{drawing}");
        assert_eq!(drawing.matches("  share").count(), 2, "{drawing}");
        first.record_into(memory.clone()).unwrap();
        for n in 0..10 {
            let [a, b] = first.execute(n).unwrap();
            assert_eq!(a.get().unwrap().shape(), b.get().unwrap().shape());
        }
        first.stop_recording().unwrap();
        let report = make(2.0)
            .replay_recording(&memory.recording(), Speed::Full)
            .unwrap();
        assert!(report.is_same(), "{report}");
        // What each gives and gets; what all made of it is nobody's value.
        assert_eq!(
            (report.compared, report.missing, report.unseen.len()),
            (40, 0, 1)
        );
        let report = make(3.0)
            .replay_recording(&memory.recording(), Speed::Full)
            .unwrap();
        assert_eq!(report.different, 30, "{report}");
        assert!(
            report.differences[0].step.ends_with("Trainer::give"),
            "{report}"
        );
    });
}

#[test]
fn other_runs_may_be_in_flight_while_a_recording_is_replayed() {
    with_runtime(quiet(2), |_| {
        let memory = Memory::default();
        let a = clerk(0, None);
        let b = clerk(1, None);
        let graph = Graph::new(|x: Node<u64>| b.add().bind(a.add().bind(x, 1), 1));
        let graph = graph.compile_with(with(Record::later())).unwrap();
        graph.record_into(memory.clone()).unwrap();
        for n in 0..200 {
            assert_eq!(graph.execute(n).unwrap().get().unwrap(), n + 2);
        }
        graph.stop_recording().unwrap();
        let held: Vec<_> = (0..3).map(|n| graph.execute(1000 + n).unwrap()).collect();
        let recording = memory.recording();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                for n in 0..200 {
                    assert_eq!(graph.execute(5000 + n).unwrap().get().unwrap(), 5002 + n);
                }
            });
            let report = graph.replay_recording(&recording, Speed::Full).unwrap();
            assert!(report.is_same(), "{report}");
            assert_eq!((report.runs, report.compared), (200, 400));
            while !other.is_finished() {
                maser::yield_now();
            }
        });
        for (n, one) in held.into_iter().enumerate() {
            assert_eq!(one.get().unwrap(), 1002 + n as u64);
        }
    });
}

#[test]
fn a_replay_can_be_recorded_and_gives_the_same_recording() {
    with_runtime(quiet(2), |_| {
        let (one, two) = (Memory::default(), Memory::default());
        let first = story(Record::later(), None);
        first.record_into(one.clone()).unwrap();
        tell(&first, 0..10);
        first.stop_recording().unwrap();
        let again = story(Record::later(), None);
        again.record_into(two.clone()).unwrap();
        let report = again
            .replay_recording(&one.recording(), Speed::Full)
            .unwrap();
        assert!(report.is_same(), "{report}");
        again.stop_recording().unwrap();
        let third = story(Record::later(), None);
        let report = third
            .replay_recording(&two.recording(), Speed::Full)
            .unwrap();
        assert!(report.is_same() && report.runs == 10, "{report}");
    });
}

#[test]
fn original_speed_takes_as_long_as_the_recording_took() {
    both_ways(quiet(1), |_| {
        let memory = Memory::default();
        let a = clerk(0, None);
        let graph = Graph::new(|x: Node<u64>| a.add().bind(x, 1));
        let graph = graph.compile_with(with(Record::later()))?;
        graph.record_into(memory.clone())?;
        for n in 0..4 {
            drop(graph.execute(n)?);
            maser::sleep(Duration::from_millis(10));
        }
        graph.stop_recording()?;
        let recording = memory.recording();
        assert!(recording.duration() >= Duration::from_millis(30));
        let report = graph.replay_recording(&recording, Speed::Original)?;
        assert!(
            report.is_same() && report.elapsed >= recording.duration(),
            "{report}"
        );
        Ok(())
    });
}
