//! Who connected and has not said yet who it is.
//!
//! Anybody can connect, so a stranger costs little and no stranger keeps others away:
//!
//! - TS-1 there are [`MAX_STRANGERS`] at once at most; one more, and the one that has been there longest is
//!   turned away.
//! - TS-2 of a stranger a hello is kept, 80 bytes, and no more is read; what it sends beyond that stays in
//!   the window of its socket, which does not open further (64 KiB). So all of them have 1 MiB here and
//!   16 MiB of the kernel's at most.
//! - TS-3 each has the time of [`handshake_timeout`](super::TcpOptions::handshake_timeout) as a whole, and who
//!   begins with anything but a hello has none.
//! - TS-4 no event tells of strangers; they are counted.

use crate::endpoint::Endpoint;
use crate::event::EndReason;
use std::collections::VecDeque;

/// TS-1.
pub const MAX_STRANGERS: usize = 256;

/// How many strangers came, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StrangerCounts {
    /// Connected, so far.
    pub came: u64,
    /// Said who they are, and belong here.
    pub admitted: u64,
    /// Were no peers, or of another version, job or secret.
    pub refused: u64,
    /// Did not say who they are in time.
    pub late: u64,
    /// Were there longest when there were too many.
    pub too_many: u64,
    /// Went away by themselves, or their sockets failed.
    pub left: u64,
    /// Found no descriptor free.
    pub out_of_files: u64,
}

impl StrangerCounts {
    /// Those that are there now.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.came - self.admitted - self.refused - self.late - self.too_many - self.left
    }
}

/// See the module's page.
#[derive(Default)]
pub(super) struct Strangers {
    pub(super) counts: StrangerCounts,
    /// In the order in which they came, and some that are none any more.
    queue: VecDeque<Endpoint>,
}

const TOO_MANY: &str = "too many strangers, and this one has been there longest";

impl Strangers {
    /// Somebody connected.
    pub(super) fn came(&mut self, endpoint: Endpoint) {
        self.counts.came += 1;
        self.queue.push_back(endpoint);
    }

    /// Who is to be turned away for one more, and why (TS-1); `is_one` says whether somebody is still a
    /// stranger.
    pub(super) fn one_too_many(
        &mut self,
        is_one: impl Fn(Endpoint) -> bool,
    ) -> Option<(Endpoint, EndReason)> {
        // Who is none any more is passed over, here or when there are many of them.
        if self.queue.len() > 2 * MAX_STRANGERS {
            self.queue.retain(|endpoint| is_one(*endpoint));
        }
        if self.counts.now() < MAX_STRANGERS as u64 {
            return None;
        }
        let reason = || EndReason::NotAdmitted(TOO_MANY.into());
        while let Some(oldest) = self.queue.pop_front() {
            if is_one(oldest) {
                return Some((oldest, reason()));
            }
        }
        None
    }

    pub(super) fn admitted(&mut self) {
        self.counts.admitted += 1;
    }

    /// One of them is there no more.
    pub(super) fn ended(&mut self, reason: &EndReason) {
        let counts = &mut self.counts;
        let count = match reason {
            EndReason::NotAdmitted(why) if why == TOO_MANY => &mut counts.too_many,
            EndReason::NotAdmitted(_) | EndReason::Corrupt(_) => &mut counts.refused,
            EndReason::Silent { .. } => &mut counts.late,
            _ => &mut counts.left,
        };
        *count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_one_that_is_there_longest_goes_first_and_admitted_ones_stay() {
        let mut strangers = Strangers::default();
        let mut there = HashSet::new();
        let of = |n: u32| Endpoint::new(n, 1);
        for n in 0..10 * MAX_STRANGERS as u32 {
            let gone = strangers.one_too_many(|endpoint| there.contains(&endpoint));
            // Every third one was admitted, so the oldest of the others is this one.
            if let Some((oldest, reason)) = gone {
                let first = there.iter().map(|one: &Endpoint| one.index()).min();
                assert_eq!(Some(oldest.index()), first);
                there.remove(&oldest);
                strangers.ended(&reason);
            }
            strangers.came(of(n));
            match n % 3 {
                0 => strangers.admitted(),
                _ => assert!(there.insert(of(n))),
            }
            assert_eq!(strangers.counts.now(), there.len() as u64);
            assert!(there.len() <= MAX_STRANGERS);
            assert!(strangers.queue.len() <= 2 * MAX_STRANGERS + 1);
        }
        // The last one was admitted, in the place of a stranger.
        assert_eq!(there.len(), MAX_STRANGERS - 1);
    }
}
