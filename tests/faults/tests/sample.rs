//! A sample of the points of every row, and every planted bug. `tools/prove` tries all points.
//!
//! What this machine cannot try is skipped by the row itself, which says why.

use std::process::Command;

/// Runs the rows with these arguments and prints what they say.
#[track_caller]
fn prove(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_prove"))
        .args(arguments)
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    println!("{text}");
    assert!(output.status.success(), "{text}\n{errors}");
    let lines = text.lines().count();
    assert!(lines > 2, "nothing was tried: {text}");
}

#[test]
fn every_row_holds_on_a_sample_of_its_points() {
    prove(&["--sample", "0.2", "--points", "100", "--steps", "40000"]);
}

#[test]
fn every_planted_bug_is_caught() {
    prove(&["--canaries", "--points", "1000", "--steps", "400000"]);
}

#[test]
fn a_row_that_there_is_not_is_an_error_and_not_a_success() {
    let output = Command::new(env!("CARGO_BIN_EXE_prove"))
        .arg("Z9.nothing")
        .output();
    let output = output.expect("the program starts");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Z9.nothing"));
}
