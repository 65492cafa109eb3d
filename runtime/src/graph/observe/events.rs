//! What the steps of a graph did when: records in rings, one for each scheduler.
//!
//! ```text
//! word 0          how many records were begun since the graph was compiled
//! word 1          how many of them are whole
//! word 16 + 4n    run
//!           + 1   bits 0..2 operation, 2.. node
//!           + 2   when it began, by the node's clock
//!           + 3   when it ended
//! ```
//!
//! - SN-10 one thread writes a ring, over its oldest records. Who reads takes the count before and after
//!   its look and leaves out what may have been written meanwhile; a node that is not there is left out
//!   too.

use super::words::Words;
use crate::graph::schedule::OperationKind;
use maser_shm::sync::atomic::{Ordering, fence};

/// Words before the first record: a line.
const HEAD_WORDS: usize = 16;
const RECORD_WORDS: usize = 4;

/// The records of one scheduler.
#[derive(Clone)]
pub(crate) struct Ring {
    words: Words,
    /// Records that it holds.
    places: usize,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) run: u64,
    pub(crate) node: usize,
    pub(crate) kind: OperationKind,
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
}

fn code(kind: OperationKind) -> u64 {
    match kind {
        OperationKind::Read => 0,
        OperationKind::Compute => 1,
        OperationKind::Write => 2,
    }
}

fn kind_of(code: u64) -> Option<OperationKind> {
    match code & 3 {
        0 => Some(OperationKind::Read),
        1 => Some(OperationKind::Compute),
        2 => Some(OperationKind::Write),
        _ => None,
    }
}

impl Ring {
    /// Words of a ring of so many records.
    pub(crate) fn words(places: usize) -> usize {
        HEAD_WORDS + places * RECORD_WORDS
    }

    /// In some words, which are as many as it takes.
    pub(crate) fn new(words: Words) -> Self {
        let places = words.len().saturating_sub(HEAD_WORDS) / RECORD_WORDS;
        assert!(places > 0, "SN-10: {} words hold no record", words.len());
        Self { words, places }
    }

    /// One in memory of this process.
    pub(crate) fn of(places: usize) -> Self {
        match Words::on_heap(1, Self::words(places)).pop() {
            Some(words) => Self::new(words),
            None => unreachable!("one was made"),
        }
    }

    /// One more record.
    pub(crate) fn push(&self, record: Record) {
        let count = self.words[0].load(Ordering::Relaxed);
        let at = HEAD_WORDS + (count as usize % self.places) * RECORD_WORDS;
        let of = code(record.kind) | (record.node as u64) << 2;
        // The count says that this place is being written before it is.
        self.words[0].store(count.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        let words = [record.run, of, record.start_ns, record.end_ns];
        for (word, value) in self.words[at..at + RECORD_WORDS].iter().zip(words) {
            word.store(value, Ordering::Relaxed);
        }
        fence(Ordering::Release);
        self.words[1].store(count.wrapping_add(1), Ordering::Release);
    }

    /// The records that are there, oldest first, and how many were written over.
    pub(crate) fn records(&self, nodes: usize) -> (Vec<Record>, u64) {
        let places = self.places as u64;
        let written = self.words[1].load(Ordering::Acquire);
        let first = written.saturating_sub(places);
        let mut records = Vec::with_capacity((written - first) as usize);
        for number in first..written {
            let at = HEAD_WORDS + (number % places) as usize * RECORD_WORDS;
            let word = |n: usize| self.words[at + n].load(Ordering::Relaxed);
            let [run, of, start_ns, end_ns] = [word(0), word(1), word(2), word(3)];
            records.push(kind_of(of).map(|kind| Record {
                run,
                node: (of >> 2) as usize,
                kind,
                start_ns,
                end_ns,
            }));
        }
        fence(Ordering::Acquire);
        let begun = self.words[0].load(Ordering::Relaxed);
        let lost = begun.saturating_sub(places).max(first);
        let gone = (lost - first).min(written - first);
        let left = records.into_iter().skip(gone as usize).flatten();
        let left: Vec<Record> = left.filter(|record| record.node < nodes).collect();
        (left, first + gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(run: u64) -> Record {
        Record {
            run,
            node: 5,
            kind: OperationKind::Write,
            start_ns: run * 10,
            end_ns: run * 10 + 3,
        }
    }

    #[test]
    fn the_last_records_are_kept_and_the_others_are_counted() {
        let ring = Ring::of(4);
        assert_eq!(ring.records(6), (Vec::new(), 0));
        (0..3).for_each(|run| ring.push(record(run)));
        assert_eq!(ring.records(6), ((0..3).map(record).collect(), 0));
        (3..10).for_each(|run| ring.push(record(run)));
        assert_eq!(ring.records(6), ((6..10).map(record).collect(), 6));
    }

    #[test]
    fn a_record_of_a_node_that_is_not_there_is_left_out() {
        let ring = Ring::of(4);
        ring.push(record(1));
        assert_eq!(ring.records(5), (Vec::new(), 0));
    }
}
