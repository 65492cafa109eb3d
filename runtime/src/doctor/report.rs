//! Verdicts, checks and the report they make up.

use serde::{Deserialize, Serialize};

/// How it stands with a check, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// It could not be found out (DC-3).
    Unknown,
    /// maser runs, with less speed or room than the machine has.
    Degrades,
    /// maser, or its worker processes, cannot run.
    Prevents,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at; a name that stays.
    pub name: String,
    /// How it stands.
    pub verdict: Verdict,
    /// What there is.
    pub found: String,
    /// What there should be.
    pub needed: String,
    /// What follows if there is not.
    pub effect: String,
    /// What mends it, to be run as root unless it says otherwise; `None` where nothing is to mend.
    pub command: Option<String>,
}

impl Check {
    /// A check that found what is needed until it is told otherwise.
    pub(super) fn new(name: &str, needed: impl Into<String>, effect: &str) -> Self {
        Self {
            name: name.to_owned(),
            verdict: Verdict::Fine,
            found: String::new(),
            needed: needed.into(),
            effect: effect.to_owned(),
            command: None,
        }
    }

    /// It is fine.
    pub(super) fn fine(mut self, found: impl Into<String>) -> Self {
        self.found = found.into();
        self
    }

    /// It could not be found out, and why.
    pub(super) fn unknown(mut self, found: impl Into<String>) -> Self {
        self.verdict = Verdict::Unknown;
        self.found = found.into();
        self
    }

    /// It degrades; `command` mends it (DC-2).
    pub(super) fn degrades(self, found: impl Into<String>, command: impl Into<String>) -> Self {
        self.broken(Verdict::Degrades, found, command)
    }

    /// It prevents running; `command` mends it (DC-2).
    pub(super) fn prevents(self, found: impl Into<String>, command: impl Into<String>) -> Self {
        self.broken(Verdict::Prevents, found, command)
    }

    /// It is as bad as `verdict` says; `command` mends it (DC-2).
    pub(super) fn broken(
        mut self,
        verdict: Verdict,
        found: impl Into<String>,
        command: impl Into<String>,
    ) -> Self {
        self.verdict = verdict;
        self.found = found.into();
        self.command = Some(command.into());
        self
    }
}

/// All that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The worst of the checks.
    pub verdict: Verdict,
    /// The checks, in the order of documents.
    pub checks: Vec<Check>,
}

impl Report {
    pub(super) fn of(checks: Vec<Check>) -> Self {
        let worst = checks.iter().map(|check| check.verdict).max();
        Self {
            verdict: worst.unwrap_or(Verdict::Unknown),
            checks,
        }
    }

    /// What a program that reports this ends with: 0 if nothing is known to be wrong, 1 if something
    /// degrades, 2 if something prevents running.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.verdict {
            Verdict::Fine | Verdict::Unknown => 0,
            Verdict::Degrades => 1,
            Verdict::Prevents => 2,
        }
    }

    /// The check of that name.
    #[must_use]
    pub fn check(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }
}

/// Bytes as people read them: whole units where they come out even, else one decimal.
pub(super) fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    for (shift, unit) in units {
        let one = 1_u64 << shift;
        if bytes >= one {
            return if bytes.is_multiple_of(one) {
                format!("{} {unit}", bytes / one)
            } else {
                format!("{:.1} {unit}", bytes as f64 / one as f64)
            };
        }
    }
    format!("{bytes} bytes")
}
