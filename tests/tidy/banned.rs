//! Names that have a replacement in this workspace.

use crate::source::{self, code_only, line_of, without_unit_tests};
use crate::tree::{File, Tree};

/// A name that must not be used.
struct Ban {
    name: &'static str,
    instead: &'static str,
    /// The only files of libraries that may use it.
    except: &'static [&'static str],
    scope: Scope,
}

enum Scope {
    /// Everywhere.
    All,
    /// Not in tests, examples and benchmarks.
    Libraries,
}

const CLOCK: &str = "take a `&dyn Clock` (runtime/src/clock.rs)";
const ATOMICS: &str = "`maser_shm::sync::atomic`, which loom can replace";

const BANS: &[Ban] = &[
    library("Instant::now", CLOCK, &["runtime/src/clock.rs"]),
    library("SystemTime::now", CLOCK, &["runtime/src/clock.rs"]),
    library("ClockId::Monotonic", CLOCK, &["runtime/src/clock.rs"]),
    library("ClockId::Realtime", CLOCK, &["runtime/src/clock.rs"]),
    library(
        "thread::sleep",
        "wait for what is to happen, with a deadline",
        &[],
    ),
    library("std::sync::atomic", ATOMICS, &["shm/src/sync/mod.rs"]),
    library("core::sync::atomic", ATOMICS, &["shm/src/sync/mod.rs"]),
    everywhere("todo!", "write it, or return a typed error"),
    everywhere("unimplemented!", "write it, or return a typed error"),
    everywhere("dbg!", "an assertion, or nothing"),
];

const fn library(
    name: &'static str,
    instead: &'static str,
    except: &'static [&'static str],
) -> Ban {
    Ban {
        name,
        instead,
        except,
        scope: Scope::Libraries,
    }
}

const fn everywhere(name: &'static str, instead: &'static str) -> Ban {
    Ban {
        name,
        instead,
        except: &[],
        scope: Scope::All,
    }
}

/// Every use of a banned name in the file.
fn in_file(file: &File) -> Vec<String> {
    let code = code_only(&file.text);
    let library = if file.is_program() {
        ""
    } else {
        without_unit_tests(&code)
    };
    let complain = |at: usize, name: &str, instead: &str| {
        format!(
            "{}:{}: {name} is banned: {instead}",
            file.path,
            line_of(&code, at)
        )
    };
    let mut complaints = Vec::new();
    for ban in BANS
        .iter()
        .filter(|ban| !ban.except.contains(&file.path.as_str()))
    {
        let part = match ban.scope {
            Scope::All => code.as_str(),
            Scope::Libraries => library,
        };
        complaints
            .extend(source::uses(part, ban.name).map(|at| complain(at, ban.name, ban.instead)));
        // `std::sync::atomic` also hides in `use std::sync::{Arc, atomic::AtomicBool}`.
        if let Some((parent, child)) = ban.name.rsplit_once("::") {
            let group = format!("{parent}::{{");
            let grouped = source::uses(part, &group)
                .filter(|&at| {
                    source::uses(group_at(&part[at + group.len()..]), child)
                        .next()
                        .is_some()
                })
                .map(|at| complain(at, ban.name, ban.instead));
            complaints.extend(grouped);
        }
    }
    complaints
}

/// Every use of a banned name in the tree.
pub fn uses(tree: &Tree) -> Vec<String> {
    tree.rust().flat_map(in_file).collect()
}

/// The text up to the brace that closes the group it begins in.
fn group_at(text: &str) -> &str {
    let mut depth = 1;
    let end = text.find(|c| {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        depth == 0
    });
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> usize {
        uses(&Tree::planted(&[(path, text)])).len()
    }

    #[test]
    fn each_banned_name_is_found_in_a_library_with_its_line() {
        for ban in BANS {
            let tree = format!("\nfn f() {{ {}(); }}", ban.name);
            let found = uses(&Tree::planted(&[("shm/src/x.rs", &tree)]));
            assert_eq!(found.len(), 1, "{}", ban.name);
            assert!(found[0].starts_with("shm/src/x.rs:2: "), "{}", found[0]);
            assert!(found[0].contains(ban.instead));
        }
    }

    #[test]
    fn names_in_comments_and_strings_are_not_uses() {
        let text = "//! Instant::now\nconst S: &str = \"todo!()\"; /* dbg!(x) */";
        assert_eq!(complaints("shm/src/x.rs", text), 0);
    }

    #[test]
    fn the_one_door_may_use_what_it_wraps() {
        assert_eq!(complaints("runtime/src/clock.rs", "Instant::now()"), 0);
        assert_eq!(
            complaints("shm/src/sync/mod.rs", "pub use std::sync::atomic::fence;"),
            0
        );
        assert_eq!(
            complaints("shm/src/sync/event.rs", "use std::sync::atomic::fence;"),
            1
        );
    }

    #[test]
    fn grouped_imports_do_not_hide_a_name() {
        let hidden = "use std::sync::{Arc, atomic::{AtomicBool, Ordering}};";
        assert_eq!(complaints("shm/src/x.rs", hidden), 1);
        assert_eq!(
            complaints("shm/src/x.rs", "use std::{thread::{self, sleep}};"),
            1
        );
        assert_eq!(
            complaints("shm/src/x.rs", "use std::sync::{Arc}; mod atomic {}"),
            0
        );
    }

    #[test]
    fn tests_examples_and_benches_may_look_at_the_clock_but_leave_nothing_undone() {
        let text = "fn f() { Instant::now(); thread::sleep(x); todo!() }";
        for path in ["bench/src/x.rs", "shm/tests/x.rs", "runtime/examples/x.rs"] {
            assert_eq!(complaints(path, text), 1, "{path}");
        }
        let unit_test = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{ {text} }}");
        assert_eq!(complaints("shm/src/x.rs", &unit_test), 1);
    }
}
