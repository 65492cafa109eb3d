//! What can go wrong in a group, with the ranks that it concerns.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// A member as errors name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// Its place in the group.
    pub rank: usize,
    /// Class and name or number of the actor.
    pub actor: String,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} ({})", self.rank, self.actor)
    }
}

/// A member that others wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Which one.
    pub who: Who,
    /// How long ago it began its last operation of the group; `None` if it never began one.
    pub last_seen: Option<Duration>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last_seen {
            Some(ago) => write!(f, "{}, whose last operation began {ago:?} ago", self.who),
            None => write!(f, "{}, which has not begun any operation", self.who),
        }
    }
}

struct List<'a>(&'a [Missing]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, missing) in self.0.iter().enumerate() {
            let between = if at == 0 { "" } else { "; " };
            write!(f, "{between}{missing}")?;
        }
        Ok(())
    }
}

/// An operation of a group failed, on this rank or on all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum CollectiveError {
    /// Two ranks gave what does not fit together. Every rank is told; the next operation of the
    /// group is not affected.
    #[error(
        "operation {number} of {group}: {one} gave {one_gave}, {other} gave {other_gave}; call the same operation with the same type and shape on every rank (the group goes on with the next one)"
    )]
    Mismatch {
        /// The group.
        group: String,
        /// Of the operation, from 0.
        number: u64,
        /// The first rank.
        one: Who,
        /// What it gave.
        one_gave: String,
        /// The first rank that differs from it.
        other: Who,
        /// What that one gave.
        other_gave: String,
    },
    /// Some ranks did not come in time. The call was taken back: nothing is lost, and it can be
    /// made again.
    #[error(
        "waited {waited:?} in operation {number} of {group} ({operation}) for {}; make the same call again to wait on, or raise the limit (Member::with_timeout)",
        List(missing)
    )]
    Timeout {
        /// The group.
        group: String,
        /// Of the operation, from 0.
        number: u64,
        /// What this rank gave.
        operation: String,
        /// How long this rank waited.
        waited: Duration,
        /// Who has not come.
        missing: Vec<Missing>,
    },
    /// A member ended. Nothing more can be done with this group.
    #[error(
        "{who} of {group} died: {reason}; destroy the group and make one of the actors that live"
    )]
    MemberDied {
        /// The group.
        group: String,
        /// The dead one.
        who: Who,
        /// Why it ended.
        reason: String,
    },
    /// A rank came to the operation with an error in place of its part.
    #[error(
        "operation {number} of {group}: {who} had nothing to give: {reason}; the group goes on with the next operation"
    )]
    MemberFailed {
        /// The group.
        group: String,
        /// Of the operation, from 0.
        number: u64,
        /// Who failed.
        who: Who,
        /// Its error.
        reason: String,
    },
    /// What all ranks gave alike cannot be done.
    #[error(
        "operation {number} of {group} ({operation}): {problem}; {remedy} (the group goes on with the next one)"
    )]
    Impossible {
        /// The group.
        group: String,
        /// Of the operation, from 0.
        number: u64,
        /// What was to be done.
        operation: String,
        /// Why it cannot.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// The group was destroyed.
    #[error("{group} is closed: {reason}; make another one with collective::create_group")]
    Closed {
        /// The group.
        group: String,
        /// Who closed it.
        reason: String,
    },
}

impl CollectiveError {
    /// The same, of the member `at` of a list of so many tensors.
    pub(super) fn of_member(&self, at: usize, count: usize) -> Self {
        let mut error = self.clone();
        let place = format!(", number {} of a list of {count}", at + 1);
        match &mut error {
            Self::Mismatch {
                one_gave,
                other_gave,
                ..
            } => {
                one_gave.push_str(&place);
                other_gave.push_str(&place);
            }
            Self::Impossible { operation, .. } => operation.push_str(&place),
            _ => {}
        }
        error
    }
}
