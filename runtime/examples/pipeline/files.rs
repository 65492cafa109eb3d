//! Which files there are, and what became of each.

use crate::stages::Outcome;
use std::path::Path;
use std::sync::Arc;
use walkdir::{DirEntry, WalkDir};

/// The outcome of a file, or why there is none.
pub type Found = Result<Outcome, String>;

/// Names of unreadable files that are printed; the rest is counted.
const NAMES_MOST: usize = 10;

/// What a walk through a directory gave.
pub struct Files {
    pub files: Vec<Arc<Path>>,
    /// What could not be looked into, with the reason.
    pub unreadable: Vec<String>,
}

fn is_wanted(entry: &DirEntry) -> bool {
    !(entry.file_type().is_dir()
        && [".git", "target"]
            .iter()
            .any(|name| entry.file_name() == *name))
}

impl Files {
    /// Every plain file below `dir`, in the order of their names.
    pub fn below(dir: &Path) -> Self {
        let mut found = Self {
            files: Vec::new(),
            unreadable: Vec::new(),
        };
        let walk = WalkDir::new(dir).follow_links(false).sort_by_file_name();
        for entry in walk
            .into_iter()
            .filter_entry(|entry| entry.depth() == 0 || is_wanted(entry))
        {
            match entry {
                Ok(entry) if entry.file_type().is_file() => found.files.push(entry.path().into()),
                Ok(_) => {}
                Err(error) => found.unreadable.push(error.to_string()),
            }
        }
        found
    }
}

/// How many files had one outcome in one pass and another in the other.
pub fn count_different(one: &[Found], other: &[Found]) -> usize {
    one.iter()
        .zip(other)
        .filter(|(one, other)| one.as_ref().ok() != other.as_ref().ok())
        .count()
}

/// Names and reasons of the files without an outcome.
pub fn failures(files: &[Arc<Path>], found: &[Found]) -> Vec<String> {
    let failed = files
        .iter()
        .zip(found)
        .filter_map(|(file, found)| Some((file, found.as_ref().err()?)));
    failed
        .map(|(file, error)| format!("{}: {error}", file.display()))
        .collect()
}

/// Says which files are missing from the figures.
pub fn print_unreadable(unreadable: &[String]) {
    if unreadable.is_empty() {
        return;
    }
    println!("{} could not be read:", unreadable.len());
    for line in unreadable.iter().take(NAMES_MOST) {
        println!("  {line}");
    }
    if unreadable.len() > NAMES_MOST {
        println!("  and {} more", unreadable.len() - NAMES_MOST);
    }
}
