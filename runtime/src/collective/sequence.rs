//! Operations in the order in which each party began them.
//!
//! Party `p`'s `n`-th contribution belongs to round `n`, whatever the others do: a party that is
//! ahead opens rounds that the others come to later.
//!
//! - GP-1 a round's number is the count of what its parties contributed before, so a failure, a
//!   mismatch or a timeout of one operation moves no other one.
//! - GP-2 rounds are full in the order of their numbers, since each party goes through them in that
//!   order; a full one leaves the list.
//! - GP-3 what a party gave may be taken back while it is the last it gave and somebody is missing:
//!   then it is as if it had not been given.

use super::operation::Contribution;
use super::round::Round;
use std::collections::VecDeque;
use std::sync::Arc;

/// See the module's page.
pub(super) struct Sequence {
    /// By party: the number of its next round.
    next: Vec<u64>,
    /// By party: when it began its last one.
    seen_ns: Vec<Option<u64>>,
    /// Rounds that are not full, from number `first` on.
    open: VecDeque<Arc<Round>>,
    first: u64,
}

/// A round that is full, with what its parties gave: to be finished by whoever has this.
pub(super) type Full = Option<Vec<Contribution>>;

impl Sequence {
    pub(super) fn new(parties: usize) -> Self {
        Self {
            next: vec![0; parties],
            seen_ns: vec![None; parties],
            open: VecDeque::new(),
            first: 0,
        }
    }

    /// GP-1, GP-2.
    pub(super) fn give(
        &mut self,
        party: usize,
        (part, token): (Contribution, u64),
        now_ns: u64,
    ) -> (Arc<Round>, Full) {
        let number = self.next[party];
        self.next[party] += 1;
        self.seen_ns[party] = Some(now_ns);
        let at = (number - self.first) as usize;
        while self.open.len() <= at {
            let number = self.first + self.open.len() as u64;
            self.open
                .push_back(Arc::new(Round::new(number, self.next.len())));
        }
        let round = self.open[at].clone();
        let full = round.give(party, part, token);
        if full.is_some() {
            assert_eq!(at, 0, "GP-2: a round is full before the one ahead of it");
            self.open.pop_front();
            self.first += 1;
        }
        (round, full)
    }

    /// GP-3.
    pub(super) fn take_back(&mut self, party: usize, token: u64) -> Option<Arc<Round>> {
        let last = self.next[party].checked_sub(1)?;
        let at = usize::try_from(last.checked_sub(self.first)?).ok()?;
        let round = self.open.get(at)?.clone();
        if !round.withdraw(party, token) {
            return None;
        }
        self.next[party] = last;
        Some(round)
    }

    /// The round that is not full to which `party` gave something under this token.
    pub(super) fn given_to(&self, party: usize, token: u64) -> Option<Arc<Round>> {
        let mut open = self.open.iter();
        open.find(|round| round.is_open_for(party, token)).cloned()
    }

    /// How many rounds `party` is ahead of the first that is not full.
    pub(super) fn ahead(&self, party: usize) -> usize {
        (self.next[party] - self.first) as usize
    }

    /// The first round that is not full.
    pub(super) fn oldest(&self) -> Option<Arc<Round>> {
        self.open.front().cloned()
    }

    /// When `party` began its last operation.
    pub(super) fn seen_ns(&self, party: usize) -> Option<u64> {
        self.seen_ns[party]
    }

    /// All rounds that are not full, which are the caller's to finish.
    pub(super) fn end(&mut self) -> impl Iterator<Item = Arc<Round>> + '_ {
        self.open.drain(..)
    }
}
