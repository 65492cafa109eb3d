//! What the maker's process of an actor with checkpoints keeps of its state: the last checkpoint,
//! and the calls after it.
//!
//! - SV-1 calls are numbered in the order in which their process got them, which is the order in
//!   which they ran. A call that was answered and is not in the checkpoint is in the log.
//! - SV-2 a checkpoint names the calls that it contains. One of them that was not answered when its
//!   process died is never run again.
//! - SV-3 what comes from a peer is input: numbers that go back or name nothing change nothing.

use super::parcel::Parcel;
use std::collections::BTreeSet;

/// A call that was answered.
pub(super) struct Done {
    pub(super) n: u64,
    pub(super) function: u32,
    /// Id and arguments.
    pub(super) parcel: Parcel,
}

/// See the module's page.
#[derive(Default)]
pub(super) struct Saved {
    checkpoint: Option<Vec<u8>>,
    /// The last call that the checkpoint contains.
    n: u64,
    log: Vec<Done>,
    /// Calls that were sent and not answered.
    out: BTreeSet<u64>,
    /// Those of them that ran before a state that could not be saved.
    ran: BTreeSet<u64>,
    /// Those of them that the checkpoint contains (SV-2).
    inside: BTreeSet<u64>,
}

impl Saved {
    pub(super) fn was_sent(&mut self, id: u64) {
        self.out.insert(id);
    }

    /// SV-1; 0 is a call that its process did not count.
    pub(super) fn was_answered(&mut self, id: u64, done: Done) {
        self.out.remove(&id);
        self.ran.remove(&id);
        self.inside.remove(&id);
        if done.n > self.n {
            self.log.push(done);
        }
    }

    /// The state after call `n`, or nothing if it could not be saved; `ids` are the calls since the
    /// one before.
    pub(super) fn has_come(&mut self, n: u64, ids: &[u64], checkpoint: Option<&[u8]>) {
        let named = ids.iter().filter(|id| self.out.contains(id));
        self.ran.extend(named);
        let Some(checkpoint) = checkpoint else { return };
        if n <= self.n {
            return;
        }
        self.checkpoint = Some(checkpoint.to_vec());
        self.n = n;
        self.log.retain(|done| done.n > n);
        self.inside.append(&mut self.ran);
    }

    /// SV-2.
    pub(super) fn contains(&self, id: u64) -> bool {
        self.inside.contains(&id)
    }

    /// Its process is dead, and what was sent to it is settled: the next one numbers the calls of
    /// the log from here.
    pub(super) fn starts_over(&mut self) {
        self.out.clear();
        self.ran.clear();
        self.inside.clear();
        self.log.sort_by_key(|done| done.n);
        for (done, n) in self.log.iter_mut().zip(self.n + 1..) {
            done.n = n;
        }
    }

    pub(super) fn checkpoint(&self) -> Option<&[u8]> {
        self.checkpoint.as_deref()
    }

    /// The last call that the checkpoint contains.
    pub(super) fn n(&self) -> u64 {
        self.n
    }

    pub(super) fn log(&self) -> &[Done] {
        &self.log
    }

    pub(super) fn log_mut(&mut self) -> &mut [Done] {
        &mut self.log
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(n: u64) -> Done {
        Done {
            n,
            function: 0,
            parcel: Parcel::in_buffer(vec![n as u8]),
        }
    }

    fn numbers(saved: &Saved) -> Vec<(u64, u8)> {
        let log = saved.log().iter();
        log.map(|done| (done.n, done.parcel.bytes[0])).collect()
    }

    #[test]
    fn a_checkpoint_takes_the_place_of_the_calls_it_contains() {
        let mut saved = Saved::default();
        for n in 1..=5 {
            saved.was_sent(n);
            saved.was_answered(n, done(n));
        }
        saved.has_come(4, &[1, 2, 3, 4], Some(b"state"));
        assert_eq!(saved.checkpoint(), Some(&b"state"[..]));
        assert_eq!(numbers(&saved), [(5, 5)]);
    }

    #[test]
    fn a_call_of_the_checkpoint_whose_answer_was_lost_is_known() {
        let mut saved = Saved::default();
        (1..=3).for_each(|id| saved.was_sent(id));
        saved.has_come(1, &[1], None);
        assert!(!saved.contains(1));
        saved.has_come(2, &[2, 99], Some(b"state"));
        assert!(saved.contains(1) && saved.contains(2));
        assert!(!saved.contains(3) && !saved.contains(99));
        saved.was_answered(2, done(2));
        assert!(!saved.contains(2));
        assert_eq!(numbers(&saved), []);
    }

    #[test]
    fn answers_that_came_in_another_order_are_replayed_in_the_order_of_the_calls() {
        let mut saved = Saved::default();
        for n in [7, 2, 9, 4] {
            saved.was_answered(n, done(n));
        }
        saved.starts_over();
        assert_eq!(numbers(&saved), [(1, 2), (2, 4), (3, 7), (4, 9)]);
    }

    #[test]
    fn a_checkpoint_that_goes_back_changes_nothing() {
        let mut saved = Saved::default();
        saved.has_come(6, &[], Some(b"new"));
        saved.has_come(3, &[], Some(b"old"));
        assert_eq!((saved.checkpoint(), saved.n()), (Some(&b"new"[..]), 6));
    }
}
