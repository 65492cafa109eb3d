//! What is proved: one row of the matrix, its canary, and how much of it is tried.

use crate::random::Random;

/// A statement about crashes, and the bug that shows it is looked at.
#[derive(Clone, Copy)]
pub struct Row {
    /// `GROUP.subject`, the name on the command line.
    pub name: &'static str,
    /// What is done to whom, and what must hold.
    pub claim: &'static str,
    /// The bug that is planted by `--canaries`; the row must then fail.
    pub canary: &'static str,
    /// Tries it, in a process of its own with one thread.
    pub run: fn(&Run) -> Outcome<Tally>,
}

/// How a row is tried.
#[derive(Clone, Debug)]
pub struct Run {
    /// With the row's planted bug.
    pub planted: bool,
    /// The part of all points that is tried, over 0 to 1.
    pub sample: f64,
    /// No more points than this.
    pub points_max: u64,
    /// No more points than cost so many single steps in all.
    pub steps_max: u64,
    /// All points of long operations too, not only a spread.
    pub all: bool,
    /// Decides which points, and everything else that is drawn.
    pub seed: u64,
}

/// What was tried.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Crashes, attacks or refusals that were tried.
    pub points: u64,
    /// All there are, if that is known.
    pub points_of: Option<u64>,
    /// What else is worth knowing; parts that this machine could not try.
    pub notes: Vec<String>,
}

/// Why a row did not hold.
#[derive(Debug)]
pub enum Stop {
    /// This machine cannot try it, and why.
    Skipped(String),
    /// It was tried and something was wrong.
    Broken(String),
}

/// A result of a row or of a part of one.
pub type Outcome<T> = Result<T, Stop>;

/// `Err` with what was wrong, unless `holds`.
pub fn check(holds: bool, wrong: impl FnOnce() -> String) -> Outcome<()> {
    if holds {
        Ok(())
    } else {
        Err(Stop::Broken(wrong()))
    }
}

/// Shorthand for [`Stop::Broken`].
pub fn broken(wrong: impl ToString) -> Stop {
    Stop::Broken(wrong.to_string())
}

impl Run {
    /// Random numbers of this run; the same for the same seed.
    pub fn random(&self) -> Random {
        Random::new(self.seed)
    }

    /// How many of `all` attempts to make.
    pub fn share_of(&self, all: u64) -> u64 {
        let share = (all as f64 * self.sample).ceil() as u64;
        share.clamp(1, self.points_max.max(1)).min(all)
    }
}

impl Tally {
    /// `points` attempts.
    pub fn of(points: u64) -> Self {
        Self {
            points,
            ..Self::default()
        }
    }
}
