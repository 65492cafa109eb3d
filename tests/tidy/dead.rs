//! Source files that no target compiles.

use crate::source::{code_only, uses};
use crate::tree::{File, Tree};
use std::collections::BTreeSet;

/// Rust sources that can be reached from no target by `mod` lines. The cases of compile tests
/// (`tests/ui/`) are programs that a test finds by itself.
pub fn unreachable(tree: &Tree) -> Vec<String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<(&File, bool)> = roots(tree).into_iter().map(|file| (file, true)).collect();
    while let Some((file, is_root)) = open.pop() {
        if reached.insert(file.path.as_str()) {
            open.extend(
                modules(tree, file, is_root)
                    .into_iter()
                    .map(|file| (file, false)),
            );
        }
    }
    tree.rust()
        .map(|file| file.path.as_str())
        .filter(|path| !reached.contains(path) && !path.contains("/tests/ui/"))
        .map(|path| format!("{path}: no `mod` line and no target reaches it"))
        .collect()
}

/// What cargo compiles without being told, and what the manifests name.
fn roots(tree: &Tree) -> Vec<&File> {
    let mut roots = Vec::new();
    for manifest in tree
        .files
        .iter()
        .filter(|file| file_name(&file.path) == "Cargo.toml")
    {
        let package = folder(&manifest.path);
        let named: Vec<String> = manifest
            .text
            .lines()
            .filter_map(|line| {
                let (key, value) = line.split_once('=')?;
                let path = value.trim().trim_matches('"');
                let is_source = key.trim() == "path" && path.ends_with(".rs");
                is_source.then(|| join(package, path))
            })
            .collect();
        roots.extend(tree.rust().filter(|file| {
            let inside = match package {
                "" => Some(file.path.as_str()),
                _ => file
                    .path
                    .strip_prefix(package)
                    .and_then(|path| path.strip_prefix('/')),
            };
            inside.is_some_and(is_found_by_cargo) || named.contains(&file.path)
        }));
    }
    roots
}

/// Whether cargo takes the file at `path` in a package for the root of a target.
fn is_found_by_cargo(path: &str) -> bool {
    let is_program = |kind: &str| matches!(kind, "tests" | "examples" | "benches");
    match path.split('/').collect::<Vec<_>>()[..] {
        ["build.rs"] | ["src", "lib.rs" | "main.rs"] => true,
        ["src", "bin", _] | ["src", "bin", _, "main.rs"] => true,
        [kind, _] | [kind, _, "main.rs"] => is_program(kind),
        _ => false,
    }
}

/// The files that the `mod name;` lines of `file` stand for. Lines inside inline modules are
/// taken for lines of the file.
fn modules<'a>(tree: &'a Tree, file: &File, is_root: bool) -> Vec<&'a File> {
    let code = code_only(&file.text);
    let here = folder(&file.path);
    let below = if is_root || file_name(&file.path) == "mod.rs" {
        here.to_owned()
    } else {
        file.path.trim_end_matches(".rs").to_owned()
    };
    uses(&code, "mod")
        .filter_map(|at| {
            let rest = code[at + "mod".len()..].trim_start();
            let (name, _) = rest.split_once(';')?;
            let name = name.trim().trim_start_matches("r#");
            let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_');
            is_name.then(|| match path_attribute(&file.text, &code, at) {
                Some(path) => tree.get(&join(here, path)),
                None => [
                    join(&below, &format!("{name}.rs")),
                    join(&below, &format!("{name}/mod.rs")),
                ]
                .iter()
                .find_map(|path| tree.get(path)),
            })?
        })
        .collect()
}

/// The value of a `#[path = "..."]` among the attributes right before the item at `at`. `code`
/// has its value blanked, `text` has it at the same place.
fn path_attribute<'a>(text: &'a str, code: &str, at: usize) -> Option<&'a str> {
    // Attributes of this item come after the end of the one before it.
    let from = code[..at].rfind([';', '}', '{']).map_or(0, |end| end + 1);
    let attribute = from + code[from..at].find("#[path")?;
    text[attribute..at].split('"').nth(1)
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// `path` as seen from `folder`.
fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_nothing_names_is_found() {
        let tree = Tree::planted(&[
            ("p/Cargo.toml", "[package]\nname = \"p\"\n"),
            (
                "p/src/lib.rs",
                "pub mod a;\n// mod dead;\nmod c { fn mod_x() {} }",
            ),
            ("p/src/a/mod.rs", "mod b;"),
            ("p/src/a/b.rs", "mod deep;"),
            ("p/src/a/b/deep.rs", ""),
            ("p/src/dead.rs", "mod buried;"),
            ("p/src/dead/buried.rs", ""),
        ]);
        let complaints = unreachable(&tree);
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(complaints[0].starts_with("p/src/dead.rs:"));
        assert!(complaints[1].starts_with("p/src/dead/buried.rs:"));
    }

    #[test]
    fn every_kind_of_target_is_a_root() {
        let tree = Tree::planted(&[
            ("Cargo.toml", "[workspace]"),
            (
                "p/Cargo.toml",
                "[[test]]\nname = \"t\"\npath = \"odd/t.rs\"\n",
            ),
            ("p/build.rs", ""),
            ("p/src/main.rs", ""),
            ("p/src/bin/tool.rs", ""),
            (
                "p/tests/it.rs",
                "#[path = \"../shared/help.rs\"]\nmod help;",
            ),
            ("p/shared/help.rs", ""),
            ("p/tests/big/main.rs", "mod part;"),
            ("p/tests/big/part.rs", ""),
            ("p/examples/e.rs", ""),
            ("p/benches/b.rs", ""),
            ("p/odd/t.rs", "mod u;"),
            ("p/odd/u.rs", ""),
            ("p/tests/ui/case.rs", ""),
        ]);
        assert_eq!(unreachable(&tree), Vec::<String>::new());
    }
}
