//! What can go wrong in a run.

use std::fmt::Debug;

use rustix::io::Errno;
use thiserror::Error;

/// Why a row has no figure. A row that the machine cannot run is not an error but a skip.
#[derive(Debug, Error)]
pub enum BenchError {
    /// The affinity mask could not be read or set.
    #[error("cannot read or set the affinity mask: {errno}")]
    Affinity {
        /// Answer of the system call.
        errno: Errno,
    },
    /// A contender computed something else than it had to: its time means nothing.
    #[error("{what}: expected {expected}, found {found}; the figure is void")]
    WrongAnswer {
        /// What was checked.
        what: String,
        /// What had to come out.
        expected: String,
        /// What came out.
        found: String,
    },
    /// The helper thread of the second core ended inside a job.
    #[error("the job on the second core panicked: {message}")]
    Partner {
        /// Text of the panic.
        message: String,
    },
    /// A contender refused to work.
    #[error("{who}: {why}")]
    Contender {
        /// The contender.
        who: String,
        /// Its own error.
        why: String,
    },
    /// A filter that no row's name begins with.
    #[error("no row begins with `{filter}`; `maser bench --list` names them all")]
    UnknownFilter {
        /// The filter as given.
        filter: String,
    },
    /// A file or pipe of the suite.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// A row that ran in a process of its own ended badly.
    #[error("the process of row {row} failed ({status}): {stderr}")]
    Child {
        /// The row.
        row: String,
        /// How the process ended.
        status: String,
        /// What it said.
        stderr: String,
    },
}

impl BenchError {
    /// An error of contender `who`.
    pub fn contender(who: &str, why: impl ToString) -> Self {
        Self::Contender {
            who: who.to_owned(),
            why: why.to_string(),
        }
    }
}

/// Compares a contender's result with what had to come out.
///
/// # Errors
/// [`BenchError::WrongAnswer`] where they differ.
pub fn check<T: PartialEq + Debug>(what: &str, expected: T, found: T) -> Result<(), BenchError> {
    if expected == found {
        return Ok(());
    }
    Err(BenchError::WrongAnswer {
        what: what.to_owned(),
        expected: format!("{expected:?}"),
        found: format!("{found:?}"),
    })
}

/// Why a row or a contender was left out on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip(pub String);

/// What a builder of contenders answers.
pub type Offer<T> = Result<T, Skip>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_answer_is_an_error_that_shows_both_values() {
        let error = check("sum of the ring", 3, 4).unwrap_err();
        assert_eq!(
            error.to_string(),
            "sum of the ring: expected 3, found 4; the figure is void"
        );
        check("sum of the ring", 3, 3).unwrap();
    }
}
