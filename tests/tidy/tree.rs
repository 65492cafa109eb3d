//! The files of the workspace, as version control has them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One text file.
pub struct File {
    /// From the root of the workspace, with `/`.
    pub path: String,
    /// The contents; bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// All files, ascending by path.
pub struct Tree {
    /// The files.
    pub files: Vec<File>,
}

impl Tree {
    /// The workspace this test belongs to.
    pub fn of_the_workspace() -> Self {
        // The runner sets it; what was compiled in may name a checkout that has moved.
        let package = std::env::var("CARGO_MANIFEST_DIR")
            .unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
        Self::read(Path::new(&package).parent().expect("a workspace around"))
    }

    /// Everything below `root` that git tracks or would track; where git does not answer (a
    /// source archive), everything but build outputs and hidden folders other than `.ci` and
    /// `.config`.
    pub fn read(root: &Path) -> Self {
        let paths = listed(root).unwrap_or_else(|| walked(root));
        let files = paths.into_iter().filter_map(|path| {
            // A tracked file may have been deleted since.
            let bytes = fs::read(root.join(&path)).ok()?;
            Some(File {
                path,
                text: String::from_utf8_lossy(&bytes).into_owned(),
            })
        });
        Self::sorted(files.collect())
    }

    /// A made-up tree.
    #[cfg(test)]
    pub fn planted(files: &[(&str, &str)]) -> Self {
        let file = |&(path, text): &(&str, &str)| File {
            path: path.into(),
            text: text.into(),
        };
        Self::sorted(files.iter().map(file).collect())
    }

    fn sorted(mut files: Vec<File>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self { files }
    }

    /// The file at `path`.
    pub fn get(&self, path: &str) -> Option<&File> {
        let at = self
            .files
            .binary_search_by(|file| file.path.as_str().cmp(path))
            .ok()?;
        Some(&self.files[at])
    }

    /// The Rust sources, but for the cases of compile tests that must fail: each of those is a
    /// mistake on purpose, and its expected message names its lines.
    pub fn rust(&self) -> impl Iterator<Item = &File> {
        let rust = self.files.iter().filter(|file| file.path.ends_with(".rs"));
        rust.filter(|file| !file.path.contains("/tests/ui/fail/"))
    }
}

impl File {
    /// Whether the file belongs to a test, an example or a benchmark, which stand for programs of
    /// users and for the world outside, so that rules for libraries do not bind them.
    pub fn is_program(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.next() == Some("bench")
            || self.path.split('/').any(|part| {
                matches!(
                    part,
                    "tests" | "examples" | "benches" | "tests.rs" | "build.rs"
                )
            })
    }
}

fn listed(root: &Path) -> Option<Vec<String>> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ])
        .current_dir(root)
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    let names = String::from_utf8_lossy(&output.stdout);
    let mut paths: Vec<String> = names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    paths.dedup();
    (!paths.is_empty()).then_some(paths)
}

fn walked(root: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let name = entry.file_name().to_string_lossy().into_owned();
            if kind.is_dir() {
                let hidden = name.starts_with('.') && name != ".ci" && name != ".config";
                if !hidden && name != "target" {
                    folders.push(entry.path());
                }
            } else if kind.is_file()
                && let Ok(path) = entry.path().strip_prefix(root)
            {
                paths.push(path.to_string_lossy().into_owned());
            }
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_without_git_is_walked() {
        let root = std::env::temp_dir().join(format!("maser-tidy-{}", std::process::id()));
        for file in [
            "a.rs",
            "b/c.rs",
            "b/target/no.rs",
            ".ci/run",
            ".git/no",
            "d/.e/no",
        ] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, "text").expect("a file");
        }
        let mut found = walked(&root);
        found.sort();
        fs::remove_dir_all(&root).expect("the folder goes");
        assert_eq!(found, [".ci/run", "a.rs", "b/c.rs"]);
    }

    #[test]
    fn programs_are_told_from_libraries() {
        let program = |path: &str| {
            File {
                path: path.into(),
                text: String::new(),
            }
            .is_program()
        };
        for path in [
            "bench/src/x.rs",
            "tests/tidy/x.rs",
            "a/examples/x.rs",
            "a/src/b/tests.rs",
        ] {
            assert!(program(path), "{path}");
        }
        for path in [
            "shm/src/bench/x.rs",
            "runtime/src/testsuite.rs",
            "tools/src/main.rs",
        ] {
            assert!(!program(path), "{path}");
        }
    }
}
