//! The command `maser bench`, as a user runs it.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_maser"))
        .arg("bench")
        .args(arguments)
        .output()
        .expect("the command starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file of this test that does not exist yet.
fn fresh_file(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("maser-cli-{}-{name}", std::process::id()));
    assert!(!path.exists());
    path
}

/// What stands first in each line of a list, before two spaces or more.
fn names(list: &str) -> Vec<&str> {
    let first = |line| str::split(line, "  ").next();
    list.lines().filter_map(first).collect()
}

#[test]
fn an_unknown_filter_is_refused_before_anything_runs() {
    let output = bench(&["channel", "chanel/spsc"]);
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(
        message.contains("no row begins with `chanel/spsc`"),
        "{message}"
    );
    assert!(message.contains("--list"), "{message}");
    assert!(output.stdout.is_empty());
}

#[test]
fn the_list_names_every_row_once() {
    let output = bench(&["--list"]);
    assert!(output.status.success());
    let list = text(&output.stdout);
    let mut names = names(&list);
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "{list}");
    for name in ["floor/line_pair", "channel/call_slot", "jitter"] {
        assert!(names.contains(&name), "{name} is missing in\n{list}");
    }
}

#[test]
fn every_row_runs_with_tiny_inputs_and_stands_in_the_report() {
    let path = fresh_file("all.json");
    let list = text(&bench(&["--list"]).stdout);
    // By name, because some run only on request.
    let listed = names(&list);
    let mut arguments = vec!["--quick", "--json", path.to_str().expect("a name in UTF-8")];
    arguments.extend(&listed);
    let output = bench(&arguments);
    let table = text(&output.stdout);
    assert!(output.status.success(), "{table}\n{}", text(&output.stderr));
    let report = std::fs::read(&path).expect("the report");
    std::fs::remove_file(&path).expect("the report can go");
    let rows: Vec<Value> = serde_json::from_slice(&report).expect("an array of rows");
    assert_eq!(rows.len(), listed.len());
    for row in &rows {
        assert!(row.get("error").is_none(), "{row}");
        let is_measured = row["n"].as_u64().is_some_and(|n| n > 0);
        assert!(
            is_measured || row["skipped"].is_string() || row["dropped"] != 0,
            "{row}"
        );
    }
}
