//! Module docs, and paths in documents.

use crate::tree::Tree;

/// The documents whose paths are checked.
const DOCUMENTS: &[&str] = &["README.md", "ARCHITECTURE.md"];

/// Rust sources that do not open with `//!`.
pub fn without_module_doc(tree: &Tree) -> Vec<String> {
    tree.rust()
        .filter(|file| !file.text.starts_with("//!"))
        .map(|file| {
            format!(
                "{}:1: open the file with `//!` and say what it is for",
                file.path
            )
        })
        .collect()
}

/// Paths in backticks that lead nowhere.
pub fn dangling_paths(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    for document in DOCUMENTS.iter().filter_map(|path| tree.get(path)) {
        for (number, line) in document.text.lines().enumerate() {
            // Every second piece is between backticks.
            for quoted in line.split('`').skip(1).step_by(2) {
                if is_path(tree, quoted) && !exists(tree, quoted) {
                    let place = format!("{}:{}", document.path, number + 1);
                    complaints.push(format!("{place}: there is no {quoted}"));
                }
            }
        }
    }
    complaints
}

/// Whether `text` looks like a path into this tree.
fn is_path(tree: &Tree, text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let Some((top, _)) = text.split_once('/') else {
        return false;
    };
    text.chars().all(plain)
        && tree
            .files
            .iter()
            .any(|file| file.path.split_once('/').is_some_and(|(t, _)| t == top))
}

fn exists(tree: &Tree, path: &str) -> bool {
    let folder = format!("{}/", path.trim_end_matches('/'));
    tree.get(path).is_some() || tree.files.iter().any(|file| file.path.starts_with(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_module_doc_is_found() {
        let tree = Tree::planted(&[
            ("a/good.rs", "//! Doc.\nfn f() {}"),
            ("a/bad.rs", "// Not a doc.\n//! Too late."),
            ("a/empty.rs", ""),
            ("a/readme.md", "no source"),
        ]);
        let complaints = without_module_doc(&tree);
        assert_eq!(complaints.len(), 2);
        assert!(complaints[0].starts_with("a/bad.rs:1:"));
        assert!(complaints[1].starts_with("a/empty.rs:1:"));
    }

    #[test]
    fn a_path_that_leads_nowhere_is_found() {
        let tree = Tree::planted(&[
            (
                "README.md",
                "`a/x.rs`, `a/`, `a`\n`a/gone.rs` and `b/other`, `a/<name>`, `x + 1`",
            ),
            ("NOTES.md", "`a/gone.rs`"),
            ("a/x.rs", ""),
        ]);
        assert_eq!(
            dangling_paths(&tree),
            ["README.md:2: there is no a/gone.rs"]
        );
    }
}
