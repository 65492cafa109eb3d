//! What gets into a recording, and what becomes of its file.

use std::io::Write;

use maser::prelude::*;
use maser::{Record, RecordError, Recording, Speed};
use maser_tests::{part, quiet, rerun_with, with_runtime};

use super::{Memory, Tape, clerk, double, refusal, story, tell, with};
use crate::actors::{Door, Refused, worker};

#[test]
fn a_graph_that_is_dropped_ends_its_recording() {
    with_runtime(quiet(2), |_| {
        let tape = Tape::new();
        let first = story(Record::to(&tape.0), None);
        tell(&first, 0..5);
        drop(first);
        let recording = Recording::open(&tape.0).unwrap();
        assert!(recording.is_whole());
        assert_eq!((recording.runs(), recording.dropped_bytes()), (5, 0));
    });
}

#[test]
fn what_was_refused_for_want_of_a_place_is_not_recorded() {
    with_runtime(quiet(2), |_| {
        let memory = Memory::default();
        struct Gate(Door);
        #[maser::actor(local)]
        impl Gate {
            fn new(door: Door) -> Self {
                Gate(door)
            }
            fn through(&mut self, value: u64) -> maser::Result<u64> {
                self.0.pass()?;
                Ok(value)
            }
        }
        let door = Door::default();
        let gate = Gate::options().scheduler(1).remote(door.clone());
        let graph = Graph::new(|x: Node<u64>| double::bind(gate.through().bind(double::bind(x))));
        let options = CompileOptions {
            max_inflight: Some(2),
            ..with(Record::later())
        };
        let graph = graph.compile_with(options).unwrap();
        graph.record_into(memory.clone()).unwrap();
        let closed = door.close();
        let held = [graph.execute(1).unwrap(), graph.execute(2).unwrap()];
        for n in 0..5 {
            let error = graph.try_execute(100 + n).unwrap_err();
            assert!(matches!(error, Error::CapacityExceeded { .. }), "{error}");
        }
        drop(closed);
        for one in held {
            one.get().unwrap();
        }
        graph.execute(3).unwrap().get().unwrap();
        assert_eq!(graph.stop_recording().unwrap().runs, 3);
        let report = graph
            .replay_recording(&memory.recording(), Speed::Full)
            .unwrap();
        assert!(report.is_same() && report.compared == 9, "{report}");
    });
}

#[maser::task(local)]
fn fails(value: u64) -> Result<u64, Refused> {
    Err(Refused(value))
}

#[maser::task(local)]
fn after(door: Door, value: u64) -> maser::Result<u64> {
    door.pass()?;
    Ok(value)
}

#[test]
fn runs_are_recorded_as_they_begin_and_those_that_never_do_are_not() {
    with_runtime(quiet(2), |_| {
        let memory = Memory::default();
        let graph = story(Record::later(), None);
        graph.record_into(memory.clone()).unwrap();
        let door = Door::default();
        let closed = door.close();
        // One that waits for its input, one behind it, one whose input is an error, and another.
        let late = after::remote(door.clone(), 70);
        let held = [
            graph.execute(&late).unwrap(),
            graph.execute(71).unwrap(),
            graph.execute(fails::remote(72)).unwrap(),
            graph.execute(73).unwrap(),
        ];
        assert_eq!(graph.recording().unwrap().unwrap().runs, 0);
        drop(closed);
        let texts = held.map(|(_count, text)| text.get());
        for (text, sum) in texts.iter().zip([141, 143, 0, 147]) {
            match text {
                Ok(text) => assert_eq!(*text, format!("sum {sum}")),
                Err(_) => assert_eq!(sum, 0),
            }
        }
        assert_eq!(graph.stop_recording().unwrap().runs, 3);
        let again = story(Record::later(), None);
        // Numbers of runs and of beginnings are not the same any more.
        drop(again.execute(fails::remote(1)).unwrap());
        let report = again
            .replay_recording(&memory.recording(), Speed::Full)
            .unwrap();
        assert!(report.is_same(), "{report}");
        assert_eq!((report.runs, report.compared, report.missing), (3, 12, 0));
    });
}

/// Takes so many bytes.
struct Room(usize);

impl Write for Room {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0 == 0 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        Ok(taken)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_ends_the_recording_and_no_run() {
    with_runtime(quiet(2), |_| {
        let graph = story(Record::later(), None);
        graph.record_into(Room(4000)).unwrap();
        tell(&graph, 0..100);
        let error = refusal(graph.recording().unwrap_err());
        assert!(
            error.to_string().contains("make room on the disk"),
            "{error}"
        );
        assert_eq!(refusal(graph.stop_recording().unwrap_err()), error);
        // It was told; another recording can begin.
        assert_eq!(graph.recording().unwrap(), None);
        let memory = Memory::default();
        graph.record_into(memory.clone()).unwrap();
        tell(&graph, 0..3);
        assert_eq!(graph.recording().unwrap().unwrap().runs, 3);
        graph.stop_recording().unwrap();
        assert_eq!(memory.recording().runs(), 3);
    });
}

/// Takes so many bytes, and panics then; also when it is dropped.
struct Mine(usize);

impl Write for Mine {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        assert!(self.0 >= bytes.len(), "a writer of a test");
        self.0 -= bytes.len();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        assert!(self.0 > 1 << 20, "the end of a writer of a test");
    }
}

#[test]
fn a_writer_that_panics_ends_the_recording_and_no_run() {
    with_runtime(quiet(2), |_| {
        let graph = story(Record::later(), None);
        graph.record_into(Mine(4000)).unwrap();
        tell(&graph, 0..100);
        let error = refusal(graph.stop_recording().unwrap_err());
        assert!(error.to_string().contains("a writer of a test"), "{error}");
        // Runs are counted as before.
        let memory = Memory::default();
        graph.record_into(memory.clone()).unwrap();
        tell(&graph, 100..103);
        assert_eq!(graph.stop_recording().unwrap().runs, 3);
        let report = graph.replay_recording(&memory.recording(), Speed::Full);
        let report = report.unwrap();
        assert_eq!((report.runs, report.missing), (3, 0));
        // One actor counts its calls.
        let mut others = report.differences.iter();
        assert!(others.all(|one| one.step.ends_with("count")), "{report}");
    });
}

#[test]
fn what_cannot_be_encoded_is_refused_when_the_graph_is_compiled() {
    with_runtime(quiet(1), |_| {
        let a = worker(0);
        let local = Graph::new(|x: Node<u64>| a.echo().bind(x));
        let error = local.compile_with(with(Record::later())).err().unwrap();
        let text = error.to_string();
        assert!(text.contains("#0 input cannot be recorded"), "{text}");
        assert!(text.contains("leave `local` out"), "{text}");
        let b = clerk(0, None);
        let local = Graph::new(|x: Node<u64>| a.echo().bind(b.add().bind(x, 1)));
        let error = local.compile_with(with(Record::later())).err().unwrap();
        assert!(
            error
                .to_string()
                .contains("#2 Worker::echo cannot be recorded"),
            "{error}"
        );
    });
}

#[test]
fn an_input_that_cannot_be_encoded_ends_the_recording_and_no_run() {
    #[derive(Clone)]
    struct Shy(u64);
    impl serde::Serialize for Shy {
        fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            assert!(self.0 != 2, "two is not for the world");
            match self.0 {
                3 => Err(serde::ser::Error::custom("three is not either")),
                n => n.serialize(to),
            }
        }
    }
    impl<'de> serde::Deserialize<'de> for Shy {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            u64::deserialize(from).map(Shy)
        }
    }
    #[maser::task]
    fn open(value: Shy) -> u64 {
        value.0
    }
    #[maser::task]
    fn shut(value: u64) -> Shy {
        Shy(value)
    }
    with_runtime(quiet(1), |_| {
        for (wrong, says) in [(2, "two is not for the world"), (3, "cannot be encoded")] {
            let graph = Graph::new(|x: Node<Shy>| open::bind(x));
            let graph = graph.compile_with(with(Record::later())).unwrap();
            graph.record_into(Memory::default()).unwrap();
            assert_eq!(graph.execute(Shy(1)).unwrap().get().unwrap(), 1);
            assert_eq!(graph.recording().unwrap().unwrap().runs, 1);
            assert_eq!(graph.execute(Shy(wrong)).unwrap().get().unwrap(), wrong);
            let error = graph.recording().unwrap_err().to_string();
            assert!(error.contains("#0 input cannot be recorded"), "{error}");
            assert!(error.contains(says), "{error}");
        }
        // A value of a step is not needed for a replay: the record says that it was no value.
        let memory = Memory::default();
        let graph = Graph::new(|x: Node<u64>| open::bind(shut::bind(x)));
        let graph = graph.compile_with(with(Record::later())).unwrap();
        graph.record_into(memory.clone()).unwrap();
        assert_eq!(graph.execute(2).unwrap().get().unwrap(), 2);
        graph.stop_recording().unwrap();
        let report = graph
            .replay_recording(&memory.recording(), Speed::Full)
            .unwrap();
        assert!(report.is_same() && report.compared == 2, "{report}");
    });
}

#[test]
fn misuse_is_an_error_that_says_what_to_do() {
    with_runtime(quiet(2), |_| {
        let a = clerk(0, None);
        let plain = Graph::new(|x: Node<u64>| a.add().bind(x, 1))
            .compile()
            .unwrap();
        assert_eq!(plain.recording().unwrap(), None);
        let tape = Tape::new();
        for error in [
            plain.record(&tape.0).unwrap_err(),
            plain.replay(&tape.0, Speed::Full).unwrap_err(),
            plain.stop_recording().unwrap_err(),
        ] {
            assert_eq!(refusal(error), RecordError::NotWatched);
        }
        let graph = story(Record::later(), None);
        assert_eq!(
            refusal(graph.stop_recording().unwrap_err()),
            RecordError::NotRecording
        );
        let error = graph.replay("/nowhere/at all", Speed::Full).unwrap_err();
        assert!(
            error.to_string().contains("cannot read the recording"),
            "{error}"
        );
        let error = graph.record("/nowhere/at all").unwrap_err().to_string();
        assert!(
            error.contains("name a file in a directory that exists"),
            "{error}"
        );
        let error = graph.record("/dev/null").unwrap_err().to_string();
        assert!(error.contains("no regular file"), "{error}");
        graph.record(&tape.0).unwrap();
        tell(&graph, 0..2);
        let error = graph.record(&tape.0).unwrap_err().to_string();
        assert!(error.contains("stop_recording"), "{error}");
        graph.stop_recording().unwrap();
        // What was there is still there.
        let recording = Recording::open(&tape.0).unwrap();
        assert_eq!(recording.runs(), 2);
        let other = Graph::new(|x: Node<u64>| a.add().bind(a.count().bind(x), 1));
        let other = other.compile_with(with(Record::later())).unwrap();
        let error = other
            .replay_recording(&recording, Speed::Full)
            .unwrap_err()
            .to_string();
        assert!(error.contains("is a recording of another graph"), "{error}");
        assert!(
            error.contains("#1 double is #1 Clerk::count here"),
            "{error}"
        );
        let missing = Graph::new(|x: Node<u64>| a.add().bind(x, 1));
        let error = missing.compile_with(with(Record::to("/nowhere/at all")));
        let error = error.err().unwrap().to_string();
        assert!(error.contains("cannot make the recording"), "{error}");
    });
}

#[test]
fn a_recording_survives_the_kill_of_its_driver() {
    const NAME: &str = "record::tapes::a_recording_survives_the_kill_of_its_driver";
    if part().is_some() {
        let path = std::env::var("MASER_TEST_TAPE").unwrap();
        with_runtime(quiet(2), |_| {
            let graph = story(Record::to(path), None);
            tell(&graph, 0..30);
            // Nothing of this process is asked or told.
            let me = rustix::process::getpid();
            rustix::process::kill_process(me, rustix::process::Signal::KILL).unwrap();
        });
        return;
    }
    let tape = Tape::new();
    let output = rerun_with(
        NAME,
        "driver",
        &[("MASER_TEST_TAPE", tape.0.to_str().unwrap())],
    );
    assert!(!output.status.success());
    with_runtime(quiet(2), |_| {
        let recording = Recording::open(&tape.0).unwrap();
        assert_eq!((recording.runs(), recording.is_whole()), (30, false));
        let report = story(Record::later(), None)
            .replay(&tape.0, Speed::Full)
            .unwrap();
        assert!(report.is_same() && !report.is_whole, "{report}");
        // The last run's values were not written any more.
        assert_eq!(report.runs, 30);
        assert!(report.compared >= 29 * 4, "{report}");
        assert!(
            report.to_string().contains("the recording was cut off"),
            "{report}"
        );
    });
}

#[test]
fn a_recording_that_is_cut_or_changed_is_an_error_or_a_shorter_one() {
    with_runtime(quiet(2), |_| {
        let memory = Memory::default();
        let graph = story(Record::later(), None);
        graph.record_into(memory.clone()).unwrap();
        tell(&graph, 0..4);
        graph.stop_recording().unwrap();
        let whole = memory.bytes();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] = !bytes[at];
            let changed = Recording::from_bytes("changed", &bytes);
            assert!(changed.is_err(), "byte {at}");
        }
        for length in (0..whole.len()).step_by(7) {
            let Ok(cut) = Recording::from_bytes("cut", &whole[..length]) else {
                continue;
            };
            let again = story(Record::later(), None);
            let report = again.replay_recording(&cut, Speed::Full).unwrap();
            assert!(report.is_same(), "{length}: {report}");
            assert_eq!(report.runs, cut.runs());
            assert_eq!(report.dropped_bytes, cut.dropped_bytes());
        }
    });
}
