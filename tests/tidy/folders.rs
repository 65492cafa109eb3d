//! The top-level folders.

use crate::tree::Tree;
use std::collections::BTreeSet;

/// What may lie at the top, and what it is for.
const FOLDERS: &[(&str, &str)] = &[
    (".ci", "what continuous integration runs"),
    (".config", "settings of cargo nextest"),
    ("bench", "maser-bench: benchmarks, floors, peers"),
    ("runtime", "maser: the public crate"),
    ("shm", "maser-shm: memory, channels, system calls"),
    (
        "transport",
        "maser-transport: transports, wire format, handshake",
    ),
    (
        "tests",
        "maser-tests: conformance, end to end, checks of the tree",
    ),
    ("tools", "maser-cli: the maser command; tools/test"),
];

/// Folders that are not listed, and listed ones that are gone.
pub fn undecided(tree: &Tree) -> Vec<String> {
    let found: BTreeSet<&str> = tree
        .files
        .iter()
        .filter_map(|file| file.path.split_once('/').map(|(folder, _)| folder))
        .collect();
    let listed = |folder: &str| FOLDERS.iter().any(|(listed, _)| *listed == folder);
    let extra = found.iter().filter(|folder| !listed(folder)).map(|folder| {
        format!(
            "{folder}/: an unknown top-level folder: put it below one of the crates, or list it"
        )
    });
    let gone = FOLDERS
        .iter()
        .filter(|(folder, _)| !found.contains(folder))
        .map(|(folder, purpose)| format!("{folder}/ ({purpose}) is gone: take it off the list"));
    extra.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_folder_and_a_missing_one_are_found() {
        let paths: Vec<String> = FOLDERS
            .iter()
            .skip(1)
            .map(|(folder, _)| format!("{folder}/x"))
            .collect();
        let mut files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "")).collect();
        files.push(("misc/x.rs", ""));
        files.push(("Cargo.toml", ""));
        let complaints = undecided(&Tree::planted(&files));
        assert_eq!(complaints.len(), 2);
        assert!(complaints[0].starts_with("misc/: an unknown"));
        assert!(complaints[1].starts_with(".ci/ ("));
    }
}
