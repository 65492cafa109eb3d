//! Prints what became of the tests of a suite, implementation by implementation: `suite-table SUITE FILE...`.
//!
//! A suite is instantiated as `IMPLEMENTATION::PART::TEST`, where the implementation's name has the suite's
//! in it. The files are what test programs print, or reports of nextest that have it in them.
//!
//! - TZ-1 a test that was tried in several places, and passed in one of them, has passed; one that failed
//!   anywhere has failed.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use maser_tests::outcomes::{Outcome, outcomes};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(suite) = arguments.next() else {
        eprintln!("usage: suite-table SUITE FILE...");
        return ExitCode::from(2);
    };
    let mut table = Table::default();
    for path in arguments {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                eprintln!("suite-table: cannot read {path}: {error}");
                return ExitCode::FAILURE;
            }
        };
        match outcomes(&text) {
            Ok(outcomes) => outcomes
                .into_iter()
                .for_each(|(name, outcome)| table.add(&suite, &name, outcome)),
            Err(error) => {
                eprintln!("suite-table: {path} is no report: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    if table.tests.is_empty() {
        eprintln!("suite-table: no test of the suite '{suite}' ran");
        return ExitCode::FAILURE;
    }
    print!("{}", table.rendered());
    ExitCode::SUCCESS
}

/// What became of each test, by its name and by implementation.
#[derive(Default)]
struct Table {
    tests: BTreeMap<String, BTreeMap<String, Outcome>>,
}

impl Table {
    fn add(&mut self, suite: &str, name: &str, outcome: Outcome) {
        let Some((implementation, test)) = name.split_once("::") else {
            return;
        };
        if !implementation.contains(suite) || !test.contains("::") {
            return;
        }
        let short = implementation
            .replace(suite, "")
            .replace("__", "_")
            .trim_matches('_')
            .to_owned();
        let before = self.tests.entry(test.to_owned()).or_default();
        let merged = match before.remove(&short) {
            Some(before) => before.and(outcome),
            None => outcome,
        };
        before.insert(short, merged);
    }

    fn rendered(&self) -> String {
        let columns: BTreeSet<&String> = self.tests.values().flat_map(BTreeMap::keys).collect();
        let longest = self.tests.keys().map(String::len).max().unwrap_or_default();
        let mut reasons: Vec<&str> = Vec::new();
        let mut text = format!("{:longest$}", "");
        for column in &columns {
            text += &format!("  {column:>6}");
        }
        text += "\n";
        let mut passed: BTreeMap<&String, usize> = BTreeMap::new();
        for (test, of) in &self.tests {
            text += &format!("{test:longest$}");
            for column in &columns {
                let cell = match of.get(*column) {
                    None => "-".to_owned(),
                    Some(Outcome::Passed) => {
                        *passed.entry(column).or_default() += 1;
                        "ok".to_owned()
                    }
                    Some(Outcome::Failed) => "FAILED".to_owned(),
                    Some(Outcome::Skipped(reason)) => {
                        let known = reasons.iter().position(|known| known == reason);
                        let number = known.unwrap_or_else(|| {
                            reasons.push(reason);
                            reasons.len() - 1
                        });
                        format!("({})", number + 1)
                    }
                };
                let width = column.len().max(6);
                text += &format!("  {cell:>width$}");
            }
            text += "\n";
        }
        text += &format!("{:longest$}", format!("passed, of {}", self.tests.len()));
        for column in &columns {
            let width = column.len().max(6);
            let count = passed.get(column).copied().unwrap_or_default();
            text += &format!("  {count:>width$}");
        }
        text += "\n";
        for (number, reason) in reasons.iter().enumerate() {
            text += &format!("({}) skipped: {reason}\n", number + 1);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(&str, Outcome)]) -> Table {
        let mut table = Table::default();
        for (name, outcome) in rows {
            table.add("transport", name, outcome.clone());
        }
        table
    }

    fn skipped(reason: &str) -> Outcome {
        Outcome::Skipped(reason.into())
    }

    #[test]
    fn a_cell_says_what_became_of_a_test() {
        let text = table(&[
            ("tcp_transport::endings::told", Outcome::Passed),
            ("tcp_transport_sealed::endings::told", Outcome::Failed),
            ("rdma_transport::endings::told", skipped("no device")),
            ("rdma_transport::waits::woken", skipped("no device")),
            ("tcp_transport::waits::woken", skipped("no events")),
        ])
        .rendered();
        let wanted = [
            "                 rdma     tcp  tcp_sealed",
            "endings::told     (1)      ok      FAILED",
            "waits::woken      (1)     (2)           -",
            "passed, of 2        0       1           0",
            "(1) skipped: no device",
            "(2) skipped: no events",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn what_is_not_of_the_suite_does_not_stand_in_the_table() {
        let table = table(&[
            ("tcp::who_speaks_another_protocol", Outcome::Passed),
            ("transport_of::one", Outcome::Passed),
            ("perf::arguments::tests::sizes", Outcome::Passed),
            ("alone", Outcome::Passed),
        ]);
        assert!(table.tests.is_empty());
    }

    #[test]
    fn a_test_that_passed_somewhere_has_passed_unless_it_failed_elsewhere() {
        let name = "rdma_transport::waits::woken";
        let of = |outcomes: &[Outcome]| {
            let rows: Vec<_> = outcomes.iter().map(|one| (name, one.clone())).collect();
            table(&rows).tests["waits::woken"]["rdma"].clone()
        };
        let skip = skipped("no device");
        for outcomes in [
            [skip.clone(), Outcome::Passed],
            [Outcome::Passed, skip.clone()],
        ] {
            assert_eq!(of(&outcomes), Outcome::Passed, "TZ-1");
        }
        for other in [skip.clone(), Outcome::Passed] {
            assert_eq!(of(&[Outcome::Failed, other]), Outcome::Failed, "TZ-1");
        }
        let later = skipped("the device cannot");
        assert_eq!(of(&[skip, later.clone()]), later);
    }
}
