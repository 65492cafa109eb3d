//! Labels of rules (two letters, a dash, a number), as the files that define them list them:
//! a line of a comment that begins with a dash and the label.
//!
//! One search for a label is to find the rule, the lines that enforce it and the tests that prove
//! it, so a label is defined once, and only defined ones are cited.

use crate::source::line_of;
use crate::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};

/// Labels that are defined twice, and cited ones that are not defined. A pair of letters that
/// nobody defines is something else (a standard, a part number) and not looked at.
pub fn broken(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut defined: BTreeMap<&str, String> = BTreeMap::new();
    for file in tree.rust() {
        for (at, label) in found(&file.text).filter(|&(at, _)| is_definition(&file.text, at)) {
            let place = format!("{}:{}", file.path, line_of(&file.text, at));
            if let Some(first) = defined.get(label) {
                complaints.push(format!("{place}: {label} is defined at {first} already"));
            } else {
                defined.insert(label, place);
            }
        }
    }
    let letters: BTreeSet<&str> = defined.keys().map(|label| &label[..2]).collect();
    for file in tree.rust() {
        for (at, label) in found(&file.text) {
            if letters.contains(&label[..2]) && !defined.contains_key(label) {
                let place = format!("{}:{}", file.path, line_of(&file.text, at));
                complaints.push(format!("{place}: {label} is not defined anywhere"));
            }
        }
    }
    complaints
}

/// Every label in `text` with its place.
fn found(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let bytes = text.as_bytes();
    let in_word = |at: usize| {
        bytes
            .get(at)
            .is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
    };
    text.match_indices('-').filter_map(move |(dash, _)| {
        let start = dash.checked_sub(2)?;
        let upper = bytes[start..dash].iter().all(u8::is_ascii_uppercase);
        let digits = bytes[dash + 1..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let end = dash + 1 + digits;
        let whole = start
            .checked_sub(1)
            .is_none_or(|before| !in_word(before) && bytes[before] != b'-');
        (upper && digits > 0 && whole && !in_word(end)).then(|| (start, &text[start..end]))
    })
}

/// Whether the label at `at` opens a line of a list in a comment.
fn is_definition(text: &str, at: usize) -> bool {
    let line = text[..at].rsplit('\n').next().unwrap_or_default().trim();
    matches!(line, "//! -" | "/// -" | "// -")
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made up here, so that this file neither defines nor cites a label of the tree.
    fn text(text: &str) -> String {
        text.replace('@', "Z").replace('~', "-")
    }

    #[test]
    fn a_label_defined_twice_is_found() {
        let (a, b) = (
            text("//! - @@~1 one\n//! - @@~2 two"),
            text("x\n    /// - @@~2 other"),
        );
        let tree = Tree::planted(&[("a.rs", &a), ("b.rs", &b)]);
        assert_eq!(
            broken(&tree),
            [text("b.rs:2: @@~2 is defined at a.rs:2 already")]
        );
    }

    #[test]
    fn a_cited_label_that_is_not_defined_is_found() {
        let a = text("//! - @@~1 one, see @@~3 and A@@~9, UTF~8, @@~1x, 1~@@~7, @Y~4\n");
        let b = text("// SAFETY: @@~1.\nassert!(x, \"@@~12\");");
        let tree = Tree::planted(&[("a.rs", &a), ("b.rs", &b)]);
        let expected = [
            "a.rs:1: @@~3 is not defined anywhere",
            "b.rs:2: @@~12 is not defined anywhere",
        ];
        assert_eq!(broken(&tree), expected.map(text));
    }
}
