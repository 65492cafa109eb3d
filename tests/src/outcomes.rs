//! What became of tests, read from what their programs printed.

use std::collections::VecDeque;

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran to its end.
    Passed,
    /// It printed that it could not, and why.
    Skipped(String),
    /// It did not end well, or not at all.
    Failed,
}

impl Outcome {
    /// What became of a test that was run twice. Of two reasons the later one stays.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Failed, _) | (_, Self::Failed) => Self::Failed,
            (Self::Passed, _) | (_, Self::Passed) => Self::Passed,
            (Self::Skipped(_), later) => later,
        }
    }
}

/// Names and outcomes, in the order of the text: what test programs print with `--nocapture`, or a report of
/// nextest that has it in it.
///
/// # Errors
/// If it is a report, and none that can be read.
pub fn outcomes(text: &str) -> Result<Vec<(String, Outcome)>, roxmltree::Error> {
    if !text.trim_start().starts_with("<?xml") {
        return Ok(of_lines(text));
    }
    let report = roxmltree::Document::parse(text)?;
    let printed = report
        .descendants()
        .filter(|node| node.has_tag_name("system-out"))
        .filter_map(|node| node.text());
    Ok(printed.flat_map(of_lines).collect())
}

/// A test begins with `test NAME ... `, and ends with `ok` or something else at the end of a line; between
/// stands what it printed.
fn of_lines(text: &str) -> Vec<(String, Outcome)> {
    let mut found = Vec::new();
    let mut lines: VecDeque<&str> = text.lines().collect();
    while let Some(line) = lines.pop_front() {
        let Some((name, rest)) = begun(line) else {
            continue;
        };
        let mut reason = None;
        let mut outcome = Outcome::Failed;
        let mut printed = Some(rest);
        while let Some(line) = printed {
            if let Some(why) = line.strip_prefix("skipped: ") {
                reason.get_or_insert_with(|| why.to_owned());
            }
            if line == "ok" {
                outcome = reason.map_or(Outcome::Passed, Outcome::Skipped);
                break;
            }
            if line == "FAILED" || lines.front().is_some_and(|next| begun(next).is_some()) {
                break;
            }
            printed = lines.pop_front();
        }
        found.push((name.to_owned(), outcome));
    }
    found
}

fn begun(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ...")?;
    let is_path = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || "_:".contains(c))
    };
    is_path(name).then_some((name, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(found: &[(String, Outcome)]) -> Vec<(&str, &Outcome)> {
        found
            .iter()
            .map(|(name, outcome)| (name.as_str(), outcome))
            .collect()
    }

    const PRINTED: &str = "
running 5 tests
test a::good ... ok
test a::talks ... a word
another word
ok
test a::skips ... skipped: there is no device
ok
test a::says_why_it_fails ... FAILED
test a::is_stuck ... skipped: part of it
test a::last ... ok

test result: FAILED. 3 passed; 2 failed; 0 ignored
";

    #[test]
    fn what_a_program_printed_is_read() {
        let no_device = Outcome::Skipped("there is no device".into());
        let wanted = [
            ("a::good", &Outcome::Passed),
            ("a::talks", &Outcome::Passed),
            ("a::skips", &no_device),
            ("a::says_why_it_fails", &Outcome::Failed),
            ("a::is_stuck", &Outcome::Failed),
            ("a::last", &Outcome::Passed),
        ];
        assert_eq!(named(&of_lines(PRINTED)), wanted);
    }

    #[test]
    fn a_report_is_read_with_its_escapes() {
        let report = "<?xml version=\"1.0\"?>\n<testsuites><testsuite name=\"p::t\">\
            <testcase name=\"x\"><system-out>\nrunning 1 test\n\
            test a::skips ... skipped: `ulimit` &lt; 5 &amp; it&apos;s too low\nok\n</system-out>\
            <system-err>test b::not_of_this ... ok</system-err></testcase>\
            <testcase name=\"y\"><system-out>test a::good ... ok</system-out></testcase>\
            </testsuite></testsuites>";
        let why = Outcome::Skipped("`ulimit` < 5 & it's too low".into());
        let found = outcomes(report).expect("it is one");
        assert_eq!(
            named(&found),
            [("a::skips", &why), ("a::good", &Outcome::Passed)]
        );
    }

    #[test]
    fn a_report_that_is_cut_off_is_an_error() {
        outcomes("<?xml version=\"1.0\"?>\n<testsuites><system-out>test a ... ok")
            .expect_err("cut");
    }
}
