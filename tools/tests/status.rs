//! The command `maser status`, as a user runs it.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

use maser_transport::select::{Preference, SelectOptions, Transports};
use maser_transport::sm::SmOptions;
use serde_json::Value;

fn status(forced: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maser"));
    command
        .arg("status")
        .args(arguments)
        .env_remove("MASER_TRANSPORT");
    if let Some(names) = forced {
        command.env("MASER_TRANSPORT", names);
    }
    command.output().expect("it starts")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn chosen(selection: &Value) -> Option<&str> {
    let mut all = selection["candidates"].as_array().expect("a list").iter();
    all.find(|one| one["verdict"] == "chosen")?["kind"].as_str()
}

#[test]
fn every_transport_is_told_of_and_memory_is_chosen_within_the_host() {
    let output = status(None, &["--json"]);
    assert!(output.status.success(), "{output:?}");
    let told = json(&output);
    let transports = told["transports"].as_array().expect("a list");
    let names: Vec<_> = transports.iter().map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["sm", "rdma", "ucx", "tcp"].map(Some));
    for one in transports {
        assert!(!one["found"].as_str().expect("a text").is_empty(), "{one}");
    }
    assert_eq!(chosen(&told["within_the_host"]), Some("sm"));
    assert_ne!(chosen(&told["between_hosts"]), Some("sm"));
    assert!(chosen(&told["between_hosts"]).is_some(), "{told}");
    let text = String::from_utf8(status(None, &[]).stdout).expect("a text");
    assert!(text.contains("within this host: sm"), "{text}");
}

#[test]
fn the_variable_forces_what_it_names() {
    let told = json(&status(Some("tcp"), &["--json"]));
    assert_eq!(told["is_forced"], true);
    for pair in ["within_the_host", "between_hosts"] {
        assert_eq!(chosen(&told[pair]), Some("tcp"), "{told}");
    }
}

#[test]
fn a_variable_that_makes_no_sense_is_an_error() {
    let output = status(Some("infiniband"), &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    for word in ["MASER_TRANSPORT", "infiniband", "rdma"] {
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn what_a_running_process_chose_is_shown() {
    let open = || {
        let options = SelectOptions {
            preference: Preference::forced("sm").expect("a transport"),
            sm: Some(SmOptions::default()),
            ..SelectOptions::default()
        };
        Transports::open(&options).expect("a Unix socket")
    };
    let (mut a, mut b) = (open(), open());
    a.publish().expect("a Unix socket");
    a.join(&b.offer());
    while a.joined().is_none() {
        a.poll();
        b.poll();
    }
    let is_over = AtomicBool::new(false);
    let told = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                a.poll();
            }
        });
        let output = status(None, &["--json"]);
        is_over.store(true, Ordering::Release);
        output
    });
    let told = json(&told);
    let own = u64::from(std::process::id());
    let mut processes = told["processes"].as_array().expect("a list").iter();
    let process = processes
        .find(|one| one["pid"] == own)
        .expect("this process");
    assert_eq!(process["connections"][0]["kind"], "sm", "{process}");
    assert_eq!(process["is_forced"], true);
}
