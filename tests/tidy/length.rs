//! How long files are.

use crate::tree::Tree;

/// A file longer than this usually holds two nouns; it is printed.
const GROWING_LINES: usize = 400;

/// A file longer than this fails the test unless it is in [`EXEMPT`].
const MOST_LINES: usize = 500;

/// Files that may be longer, each with the reason.
pub const EXEMPT: &[(&str, &str)] = &[
    ("transport/rdma-sys/src/bindings.rs", "generated"),
    ("transport/ucx-sys/src/bindings.rs", "generated"),
];

/// Rust sources over [`MOST_LINES`] that are not in `exempt`, and exemptions nobody needs.
pub fn too_long(tree: &Tree, exempt: &[(&str, &str)]) -> Vec<String> {
    let is_exempt = |path: &str| exempt.iter().any(|(exempt, _)| *exempt == path);
    let long = lines(tree)
        .filter(|&(path, lines)| lines > MOST_LINES && !is_exempt(path))
        .map(|(path, lines)| format!("{path}: {lines} lines, {MOST_LINES} at most: split it"));
    let needed = |path: &str| lines(tree).any(|(long, lines)| long == path && lines > MOST_LINES);
    let unneeded = exempt
        .iter()
        .filter(|(path, _)| !needed(path))
        .map(|(path, _)| format!("{path}: is short enough, or gone: end its exemption"));
    long.chain(unneeded).collect()
}

/// Rust sources over [`GROWING_LINES`], for the reader of the output.
pub fn growing(tree: &Tree) -> Vec<String> {
    lines(tree)
        .filter(|&(_, lines)| lines > GROWING_LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines, over {GROWING_LINES}"))
        .collect()
}

fn lines(tree: &Tree) -> impl Iterator<Item = (&str, usize)> {
    tree.rust()
        .map(|file| (file.path.as_str(), file.text.lines().count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_found_unless_it_has_a_reason() {
        let (long, short) = ("x\n".repeat(501), "x\n".repeat(401));
        let tree = Tree::planted(&[("a.rs", &long), ("b.rs", &short), ("c.txt", &long)]);
        assert_eq!(
            too_long(&tree, &[]),
            ["a.rs: 501 lines, 500 at most: split it"]
        );
        assert_eq!(
            too_long(&tree, &[("a.rs", "generated")]),
            Vec::<String>::new()
        );
        assert_eq!(growing(&tree).len(), 2);
    }

    #[test]
    fn an_exemption_that_is_not_needed_is_found() {
        let tree = Tree::planted(&[("a.rs", "x\n")]);
        let complaints = too_long(&tree, &[("a.rs", "was long"), ("gone.rs", "was there")]);
        assert_eq!(complaints.len(), 2);
    }
}
