//! The command `maser doctor`, as a user runs it, here and where less is allowed.

use std::process::{Command, Output};

use maser_tests::sandbox::{limit, refuse, without_io_uring};
use serde_json::Value;

fn doctor(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maser"));
    command.arg("doctor").args(arguments);
    command
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Runs the command and gives its exit code and the check of that name.
fn examined(command: &mut Command, name: &str) -> (i32, Value) {
    let output = command.output().expect("it starts");
    let report = json(&output);
    let checks = report["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["name"] == name);
    let code = output.status.code().expect("it ends by itself");
    (code, check.expect("a check of that name").clone())
}

#[test]
fn every_check_is_complete_and_the_exit_code_is_the_worst() {
    let output = doctor(&["--json"]).output().expect("it starts");
    let report = json(&output);
    let mut worst = 0;
    for check in report["checks"].as_array().expect("checks") {
        for field in ["name", "found", "needed", "effect"] {
            let text = check[field].as_str().expect("a text");
            assert!(!text.is_empty(), "{check}");
        }
        let badness = match check["verdict"].as_str().expect("a text") {
            "fine" | "unknown" => 0,
            "degrades" => 1,
            "prevents" => 2,
            other => panic!("{other}"),
        };
        assert_eq!(check["command"].is_string(), badness > 0, "{check}");
        worst = worst.max(badness);
    }
    assert_eq!(output.status.code(), Some(worst));
}

#[test]
fn the_text_names_every_check_and_what_mends_the_bad_ones() {
    let output = doctor(&[]).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let report = json(&doctor(&["--json"]).output().expect("it starts"));
    for check in report["checks"].as_array().expect("checks") {
        assert!(
            text.contains(check["name"].as_str().expect("a text")),
            "{text}"
        );
    }
    assert!(text.contains("22 checks: "), "{text}");
}

#[test]
fn refused_rings_degrade_and_the_filter_is_named() {
    for errno in [libc::EPERM, libc::ENOSYS] {
        let (code, check) = examined(
            without_io_uring(errno, &mut doctor(&["--json"])),
            "io_uring",
        );
        assert!(code >= 1);
        assert_eq!(check["verdict"], "degrades");
        let found = check["found"].as_str().expect("a text");
        assert!(found.contains("seccomp"), "{found}");
        assert!(
            check["command"]
                .as_str()
                .expect("a text")
                .contains("seccomp=unconfined")
        );
    }
}

#[test]
fn calls_that_are_refused_are_found() {
    let calls = [
        ("sealed_memory", libc::SYS_memfd_create, 2, "prevents"),
        ("pidfd", libc::SYS_pidfd_open, 2, "prevents"),
        ("membarrier", libc::SYS_membarrier, 1, "degrades"),
    ];
    for (name, call, least_code, verdict) in calls {
        let mut command = doctor(&["--json"]);
        let (code, check) = examined(refuse(&mut command, &[call], libc::EPERM), name);
        assert!(code >= least_code, "{name}: {code}");
        assert_eq!(check["verdict"], verdict, "{check}");
    }
}

#[test]
fn lowered_limits_are_found() {
    let limits = [
        ("locked_memory", libc::RLIMIT_MEMLOCK, 64 << 10, "64 KiB", 1),
        ("open_files", libc::RLIMIT_NOFILE, 100, "100", 1),
        ("open_files", libc::RLIMIT_NOFILE, 32, "32", 2),
        ("address_space", libc::RLIMIT_AS, 2 << 30, "2 GiB", 1),
    ];
    for (name, resource, value, found, least_code) in limits {
        let mut command = doctor(&["--json"]);
        let (code, check) = examined(limit(&mut command, resource, value), name);
        assert!(code >= least_code, "{name}: {code}");
        assert_eq!(check["found"], found, "{check}");
        assert!(
            check["command"]
                .as_str()
                .expect("a text")
                .starts_with("prlimit ")
        );
    }
}

#[test]
fn a_store_that_no_machine_has_room_for_is_told_with_figures() {
    let (code, check) = examined(
        &mut doctor(&["--json", "--store-bytes", "1024TiB"]),
        "huge_pages_2mib",
    );
    assert!(code >= 1);
    assert_eq!(check["verdict"], "degrades");
    let needed = check["needed"].as_str().expect("a text");
    assert!(needed.starts_with("536870912 free"), "{needed}");
}

#[test]
fn a_size_that_is_none_is_refused() {
    let output = doctor(&["--store-bytes", "many"])
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        message.contains("`many` is no size; write for instance 64GiB"),
        "{message}"
    );
}
