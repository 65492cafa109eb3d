//! Where unsafe code may be.
//!
//! Crate roots deny it; a module that needs it opens with
//! `#![allow(unsafe_code, reason = "...")]`, which holds for the modules below it as well. The
//! files that then have unsafe code are the audit list. Those of them that are libraries stand in
//! `ARCHITECTURE.md`, by themselves or by their folder, so that a new one is a decision somebody
//! has seen.

use crate::source::{code_only, line_of, uses};
use crate::tree::{File, Tree};

/// The files that hold unsafe code and may.
pub fn audit_list(tree: &Tree) -> Vec<&str> {
    tree.rust()
        .filter(|file| first_unsafe(file).is_some() && may(tree, file))
        .map(|file| file.path.as_str())
        .collect()
}

/// Unsafe code where it may not be, and permissions that nobody below them uses.
pub fn strays(tree: &Tree) -> Vec<String> {
    let complaint = |file: &File| {
        let path = &file.path;
        match first_unsafe(file) {
            Some(line) if !may(tree, file) => Some(format!(
                "{path}:{line}: unsafe code, but neither the file nor a module around it opens \
                 with `#![allow(unsafe_code, reason = ...)]`"
            )),
            None if allows(file) && !used_below(tree, path) => Some(format!(
                "{path}: holds no unsafe code: drop `#![allow(unsafe_code)]`"
            )),
            _ => None,
        }
    };
    tree.rust().filter_map(complaint).collect()
}

/// Files of libraries that are on the list but not in `ARCHITECTURE.md`.
pub fn not_in_the_architecture(tree: &Tree) -> Vec<String> {
    let text = tree
        .get("ARCHITECTURE.md")
        .map_or("", |file| section(&file.text));
    // A module stands for those below it.
    let is_listed = |path: &str| {
        let around = path
            .match_indices('/')
            .map(|(at, _)| &path[..at])
            .flat_map(|folder| {
                [
                    format!("`{folder}/`"),
                    format!("`{folder}.rs`"),
                    format!("`{folder}/mod.rs`"),
                ]
            });
        around
            .chain([format!("`{path}`")])
            .any(|quoted| text.contains(&quoted))
    };
    tree.rust()
        .filter(|file| first_unsafe(file).is_some() && !file.is_program())
        .filter(|file| !is_listed(&file.path))
        .map(|file| {
            format!(
                "ARCHITECTURE.md: the unsafe audit list lacks `{}`",
                file.path
            )
        })
        .collect()
}

/// The list in the document: from its heading to the next.
fn section(text: &str) -> &str {
    let Some((_, after)) = text.split_once("\n## Unsafe code\n") else {
        return "";
    };
    after.split("\n## ").next().unwrap_or_default()
}

/// The line of the first unsafe code of the file.
fn first_unsafe(file: &File) -> Option<usize> {
    let code = code_only(&file.text);
    uses(&code, "unsafe").next().map(|at| line_of(&code, at))
}

/// Whether the file or a module around it asks for unsafe code.
fn may(tree: &Tree, file: &File) -> bool {
    let folders = file.path.match_indices('/').map(|(at, _)| &file.path[..at]);
    let around = folders.flat_map(|folder| [format!("{folder}/mod.rs"), format!("{folder}.rs")]);
    allows(file) || around.filter_map(|path| tree.get(&path)).any(allows)
}

/// Whether the file opens with the permission.
fn allows(file: &File) -> bool {
    let mut code = code_only(&file.text);
    code.retain(|c| !c.is_whitespace());
    code.contains("#![allow(unsafe_code")
}

/// Whether a file below the module at `path` has unsafe code.
fn used_below(tree: &Tree, path: &str) -> bool {
    let folder = path.strip_suffix("mod.rs").map(str::to_owned);
    let folder = folder.unwrap_or_else(|| format!("{}/", path.trim_end_matches(".rs")));
    tree.rust()
        .any(|file| file.path.starts_with(&folder) && first_unsafe(file).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "//! Doc.\n#![allow(\n    unsafe_code,\n    reason = \"x\"\n)]\n";

    #[test]
    fn unsafe_code_off_the_list_is_found() {
        let good = format!("{HEADER}unsafe fn f() {{}}");
        let tree = Tree::planted(&[
            ("a/good.rs", &good),
            (
                "a/bad.rs",
                "//! unsafe is only named here.\n\nfn f() { unsafe { g() } }",
            ),
            (
                "a/root.rs",
                "#![deny(unsafe_code)]\nconst S: &str = \"unsafe\";",
            ),
        ]);
        assert_eq!(audit_list(&tree), ["a/good.rs"]);
        let complaints = strays(&tree);
        assert_eq!(complaints.len(), 1);
        assert!(
            complaints[0].starts_with("a/bad.rs:3: "),
            "{}",
            complaints[0]
        );
    }

    #[test]
    fn a_permission_nobody_uses_is_found() {
        let complaints = strays(&Tree::planted(&[("a/x.rs", HEADER)]));
        assert_eq!(
            complaints,
            ["a/x.rs: holds no unsafe code: drop `#![allow(unsafe_code)]`"]
        );
    }

    #[test]
    fn a_permission_holds_for_the_modules_below() {
        let tree = Tree::planted(&[
            ("a/m/mod.rs", HEADER),
            ("a/m/n/x.rs", "unsafe fn f() {}"),
            ("a/o.rs", HEADER),
            ("a/o/x.rs", "unsafe fn f() {}"),
            ("a/other.rs", ""),
        ]);
        assert_eq!(strays(&tree), Vec::<String>::new());
        assert_eq!(audit_list(&tree), ["a/m/n/x.rs", "a/o/x.rs"]);
    }

    #[test]
    fn a_file_the_architecture_does_not_list_is_found() {
        let text = format!("{HEADER}unsafe fn f() {{}}");
        let tree = Tree::planted(&[
            (
                "ARCHITECTURE.md",
                "`a/y.rs`\n## Unsafe code\n`a/x.rs`, `a/m/`, `a/n.rs`\n## More\n`a/y.rs`",
            ),
            ("a/x.rs", &text),
            ("a/m/z.rs", &text),
            ("a/n/z.rs", &text),
            ("a/y.rs", &text),
            ("a/tests/z.rs", &text),
        ]);
        let complaints = not_in_the_architecture(&tree);
        assert_eq!(
            complaints,
            ["ARCHITECTURE.md: the unsafe audit list lacks `a/y.rs`"]
        );
    }
}
