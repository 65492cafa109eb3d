//! Checks of the tree itself: what no compiler looks at.
//!
//! | file | finds |
//! |---|---|
//! | [`docs`] | source files that do not say what they are for; documents that name what is gone |
//! | [`labels`] | rules whose label means two things or nothing |
//! | [`length`] | files that have grown past one noun |
//! | [`banned`] | names that have a replacement in this workspace |
//! | [`unsafety`] | unsafe code outside the modules that are known to hold it |
//! | [`dead`] | source files that no target compiles |
//! | [`folders`] | top-level folders nobody decided on |
//!
//! Each check is a function from a [`Tree`] to complaints, one line each, and is tested on a
//! planted tree in its own file. The tests here run them on the real one.

mod banned;
mod dead;
mod docs;
mod folders;
mod labels;
mod length;
mod source;
mod tree;
mod unsafety;

use tree::Tree;

/// Fails with every complaint on a line of its own.
#[track_caller]
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn the_tree_is_found_whole() {
    let tree = Tree::of_the_workspace();
    for known in [
        "Cargo.toml",
        "tests/tidy/main.rs",
        "runtime/src/lib.rs",
        "tools/test",
    ] {
        assert!(
            tree.get(known).is_some(),
            "{known} is missing from {} files",
            tree.files.len()
        );
    }
}

#[test]
fn every_source_file_says_what_it_is_for() {
    none(docs::without_module_doc(&Tree::of_the_workspace()));
}

#[test]
fn documents_name_only_what_exists() {
    none(docs::dangling_paths(&Tree::of_the_workspace()));
}

#[test]
fn labels_of_rules_mean_one_thing() {
    none(labels::broken(&Tree::of_the_workspace()));
}

#[test]
fn files_are_short_enough_to_hold_one_noun() {
    let tree = Tree::of_the_workspace();
    for line in length::growing(&tree) {
        println!("{line}");
    }
    none(length::too_long(&tree, length::EXEMPT));
}

#[test]
fn banned_names_do_not_appear() {
    none(banned::uses(&Tree::of_the_workspace()));
}

#[test]
fn unsafe_code_stays_on_the_audit_list() {
    let tree = Tree::of_the_workspace();
    println!("files that may hold unsafe code:");
    for path in unsafety::audit_list(&tree) {
        println!("  {path}");
    }
    none(unsafety::strays(&tree));
    none(unsafety::not_in_the_architecture(&tree));
}

#[test]
fn every_source_file_is_compiled() {
    none(dead::unreachable(&Tree::of_the_workspace()));
}

#[test]
fn top_level_folders_are_the_decided_ones() {
    none(folders::undecided(&Tree::of_the_workspace()));
}
