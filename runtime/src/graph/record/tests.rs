//! Files of recordings, without a graph.

use super::entry::{Given, Inputs};
use super::error::RecordError;
use super::frame::VERSION;
use super::outline::{Outline, OutlineNode, Seen};
use super::recording::Recording;
use super::report::{MOST_KEPT, ReplayReport};
use super::tape::Tape;
use crate::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// What was written, also after its writer is gone.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn node(label: &str, seen: Seen, args: &[Option<u32>]) -> OutlineNode {
    OutlineNode {
        label: label.into(),
        value: "u64".into(),
        args: args.into(),
        actor: (seen != Seen::Input).then_some(0),
        seen,
    }
}

fn outline() -> Outline {
    Outline {
        build: 7,
        nodes: vec![
            node("#0 input", Seen::Input, &[]),
            node("#1 A::one", Seen::Step, &[Some(0)]),
            node("#2 A::two", Seen::Step, &[Some(1), None]),
        ],
        outputs: vec![2],
    }
}

fn inputs(run: u8) -> Inputs {
    let values = vec![run; usize::from(run)];
    let bytes = vec![u32::from(run)];
    Inputs { values, bytes }
}

/// A recording of three runs.
fn small(ends: bool) -> Vec<u8> {
    let memory = Memory::default();
    let to = Box::new(memory.clone());
    let mut tape = Tape::begin(to, PathBuf::from("m"), &outline(), 10, 1000).unwrap();
    tape.input(vec![], &inputs(0), 1000).unwrap();
    let given = vec![
        (9, 1, Given::value(b"of no run of it")),
        (10, 1, Given::value(b"one")),
        (10, 2, Given::Error("two: refused".into())),
    ];
    tape.input(given, &inputs(1), 1500).unwrap();
    tape.input(vec![(11, 1, Given::value(b"1"))], &inputs(2), 2500)
        .unwrap();
    if ends {
        let recorded = tape.end(vec![(12, 2, Given::value(b"2"))]).unwrap();
        assert_eq!(recorded.runs, 3);
        assert_eq!(recorded.bytes, memory.bytes().len() as u64);
    }
    memory.bytes()
}

fn error_of(bytes: &[u8]) -> RecordError {
    match Recording::from_bytes("it", bytes) {
        Err(Error::Record(error)) => (*error).clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_written_is_read() {
    let recording = Recording::from_bytes("it", &small(true)).unwrap();
    assert!(recording.is_whole());
    assert_eq!((recording.runs(), recording.dropped_bytes()), (3, 0));
    assert_eq!(recording.duration().as_nanos(), 1500);
    assert_eq!(recording.runs[1].inputs, [[1]]);
    assert_eq!(recording.runs[2].inputs, [[2, 2]]);
    assert_eq!(recording.runs[0].given.len(), 2);
    assert_eq!(recording.runs[0].given[0], (1, Given::value(b"one")));
    assert_eq!(recording.runs[2].given, [(2, Given::value(b"2"))]);
    assert_eq!(recording.graph().lines().last(), Some("#2 A::two: u64"));
}

#[test]
fn every_byte_that_is_changed_is_an_error() {
    let whole = small(true);
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let error = error_of(&bytes);
            let known = matches!(
                error,
                RecordError::Damaged { .. }
                    | RecordError::NotARecording { .. }
                    | RecordError::OtherVersion { .. }
                    | RecordError::NothingInIt { .. }
            );
            assert!(known, "byte {at} bit {bit}: {error}");
        }
    }
}

#[test]
fn a_file_that_ends_anywhere_gives_its_whole_runs() {
    let whole = small(true);
    let mut runs = 0;
    let mut in_head = 0;
    for length in 0..whole.len() {
        match Recording::from_bytes("it", &whole[..length]) {
            Ok(cut) => {
                assert!(cut.runs() >= runs, "{length}");
                assert!(cut.dropped_bytes() < length as u64);
                assert!(!cut.is_whole());
                runs = cut.runs();
            }
            Err(Error::Record(error)) => {
                let in_it = RecordError::NothingInIt {
                    what: "it".into(),
                    bytes: length as u64,
                };
                assert_eq!(*error, in_it);
                assert_eq!(in_head, length, "no error behind the head");
                in_head += 1;
            }
            Err(other) => panic!("{length}: {other}"),
        }
    }
    assert_eq!(runs, 3);
    let cut = Recording::from_bytes("it", &small(false)).unwrap();
    assert_eq!((cut.runs(), cut.dropped_bytes()), (3, 0));
    assert!(!cut.is_whole());
}

#[test]
fn frames_that_were_moved_or_doubled_are_found() {
    let whole = small(true);
    let head = Recording::from_bytes("it", &whole).unwrap();
    drop(head);
    // The first frame begins behind the head and its check.
    let head_bytes = u32::from_le_bytes(whole[12..16].try_into().unwrap()) as usize;
    let first = 16 + head_bytes + 8;
    let bytes_of = |at: usize| {
        let length = u32::from_le_bytes(whole[at..at + 4].try_into().unwrap());
        8 + length as usize + 8
    };
    let second = first + bytes_of(first);
    let third = second + bytes_of(second);
    let doubled = [&whole[..second], &whole[first..]].concat();
    let lost = [&whole[..first], &whole[second..]].concat();
    let moved = [
        &whole[..first],
        &whole[second..third],
        &whole[first..second],
        &whole[third..],
    ]
    .concat();
    for bytes in [doubled, lost, moved] {
        assert!(matches!(error_of(&bytes), RecordError::Damaged { .. }));
    }
}

#[test]
fn other_files_are_no_recordings() {
    for bytes in [&b"PNG\r\n"[..], b"maserred", b"{\"a\": 1}", &[0; 100]] {
        assert!(matches!(error_of(bytes), RecordError::NotARecording { .. }));
    }
    for bytes in [&b""[..], b"m", b"maserrec", b"maserrec\x01\0\0"] {
        assert!(matches!(error_of(bytes), RecordError::NothingInIt { .. }));
    }
    let mut newer = small(true);
    newer[8..12].copy_from_slice(&(VERSION + 1).to_le_bytes());
    let error = error_of(&newer);
    let RecordError::OtherVersion { found, known, .. } = error else {
        panic!("{error}");
    };
    assert_eq!((found, known), (VERSION + 1, VERSION));
}

#[test]
fn what_is_different_between_two_graphs_is_said_by_its_label() {
    let one = outline();
    assert_eq!(one.differences(&outline()), None);
    let mut other = outline();
    other.build = 8;
    assert_eq!(one.differences(&other), None, "builds may differ");
    other.nodes[2].label = "#2 B::two".into();
    let text = one.differences(&other).unwrap();
    assert_eq!(text, "#2 A::two is #2 B::two here");
    let mut other = outline();
    other.nodes[1].value = "u32".into();
    other.nodes[2].args[0] = Some(0);
    other.outputs = vec![1, 2];
    let text = one.differences(&other).unwrap();
    for part in [
        "#1 A::one is a u64 and here a u32",
        "#2 A::two gets other arguments",
        "its outputs are #2 and this graph's #1 #2",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let mut other = outline();
    other.nodes.pop();
    let text = one.differences(&other).unwrap();
    assert!(
        text.contains("it has 3 nodes and this graph has 2"),
        "{text}"
    );
    let mut other = outline();
    other.nodes[2].actor = Some(1);
    assert!(
        one.differences(&other)
            .unwrap()
            .contains("shares its actor")
    );
}

#[test]
fn a_disk_that_is_full_is_an_error_that_says_so() {
    let full = std::fs::File::options().write(true).open("/dev/full");
    let begun = Tape::begin(Box::new(full.unwrap()), "f".into(), &outline(), 0, 0);
    let text = begun.err().unwrap().to_string();
    assert!(text.contains("make room on the disk"), "{text}");
}

#[test]
fn a_report_compares_what_both_have_and_counts_what_one_has() {
    let mut report = ReplayReport::default();
    let [a, b, c] = [&b"a"[..], b"b", b"c"].map(Given::value);
    let label = |node: u32| format!("#{node}");
    report.compare(
        0,
        vec![(3, a.clone()), (1, b.clone())],
        vec![(1, b.clone()), (3, a.clone())],
        label,
    );
    assert!(report.is_same());
    assert_eq!((report.compared, report.missing), (2, 0));
    report.compare(
        1,
        vec![(1, a.clone()), (2, a.clone()), (4, a.clone())],
        vec![(0, a.clone()), (2, c.clone()), (4, a.clone()), (5, a)],
        label,
    );
    assert_eq!(
        (report.compared, report.missing, report.different),
        (4, 3, 1)
    );
    let difference = &report.differences[0];
    assert_eq!((difference.run, difference.node), (1, 2));
    assert_eq!(difference.step, "#2");
    for run in 0..2 * MOST_KEPT as u64 {
        report.compare(run, vec![(0, b.clone())], vec![(0, c.clone())], label);
    }
    assert_eq!(report.differences.len(), MOST_KEPT);
    assert_eq!(report.different, 1 + 2 * MOST_KEPT as u64);
    let text = report.to_string();
    assert!(
        text.contains("run 1: #2 gave a value with digest"),
        "{text}"
    );
    assert!(text.contains("and 1981 more"), "{text}");
}
