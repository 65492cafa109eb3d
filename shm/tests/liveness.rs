//! Who is dead is known at once, and nobody else is taken for dead.
#![cfg(not(any(loom, miri)))]

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use maser_shm::liveness::{LivenessError, ProcessHandle, ProcessIdentity};
use maser_shm::os::shared_memory;

/// A process that lives until its standard input ends, or is killed.
fn child() -> Child {
    let mut command = Command::new("cat");
    let quiet = command.stdin(Stdio::piped()).stdout(Stdio::null());
    quiet.spawn().expect("cat starts")
}

#[test]
fn an_unreaped_zombie_is_dead_and_its_handle_says_so() {
    let mut child = child();
    let handle = ProcessHandle::open(child.id()).unwrap();
    let identity = ProcessIdentity::of(child.id()).unwrap();
    assert!(!handle.is_dead().unwrap() && !identity.is_dead().unwrap());
    assert!(!handle.wait(Some(Duration::from_millis(1))).unwrap());
    handle.kill().unwrap();
    assert!(handle.wait(None).unwrap());
    // Nobody has waited for it: its id is still taken.
    assert!(ProcessIdentity::of(child.id()).is_ok());
    assert!(identity.is_dead().unwrap() && handle.is_dead().unwrap());
    assert!(ProcessHandle::of(&identity).unwrap().is_dead().unwrap());
    child.wait().unwrap();
    assert!(identity.is_dead().unwrap() && handle.is_dead().unwrap());
    handle.kill().unwrap();
    let error = ProcessHandle::of(&identity).unwrap_err();
    assert!(
        matches!(
            error,
            LivenessError::Gone { .. } | LivenessError::OtherProcess { .. }
        ),
        "{error}"
    );
}

#[test]
fn a_stopped_process_is_not_dead() {
    let mut child = child();
    let handle = ProcessHandle::open(child.id()).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let state = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        stat.rsplit_once(") ").unwrap().1.as_bytes()[0]
    };
    while state() != b'T' {
        std::thread::yield_now();
    }
    let identity = ProcessIdentity::of(child.id()).unwrap();
    assert!(!handle.is_dead().unwrap() && !identity.is_dead().unwrap());
    handle.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_handle_that_was_sent_watches_the_same_process() {
    let mut child = child();
    let handle = ProcessHandle::open(child.id()).unwrap();
    let (here, there) = UnixStream::pair().unwrap();
    shared_memory::send(&here, b"x", &[handle.as_fd()]).unwrap();
    drop(handle);
    let (_, mut files) = shared_memory::receive(&there, &mut [0; 4]).unwrap();
    let sent = ProcessHandle::from_file(files.pop().unwrap()).unwrap();
    assert!(!sent.is_dead().unwrap());
    drop(child.stdin.take());
    assert!(sent.wait(None).unwrap());
    child.wait().unwrap();
}

#[test]
fn a_descriptor_of_something_else_is_no_handle() {
    let (socket, _other) = UnixStream::pair().unwrap();
    let files: [OwnedFd; 2] = [File::open("/dev/null").unwrap().into(), socket.into()];
    for file in files {
        let error = ProcessHandle::from_file(file).unwrap_err();
        assert!(matches!(error, LivenessError::NoHandle), "{error}");
    }
}

#[test]
fn the_identity_of_somebody_with_the_same_id_is_another_process() {
    let mut child = child();
    let identity = ProcessIdentity::of(child.id()).unwrap();
    let earlier = ProcessIdentity {
        start_ticks: identity.start_ticks - 1,
        ..identity
    };
    let error = ProcessHandle::of(&earlier).unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error, LivenessError::OtherProcess { .. }) && text.contains("dead"),
        "{text}"
    );
    assert!(ProcessHandle::of(&identity).is_ok());
    child.kill().unwrap();
    child.wait().unwrap();
    for pid in [0, u32::MAX] {
        let error = ProcessHandle::open(pid).unwrap_err();
        assert!(matches!(error, LivenessError::Gone { .. }), "{error}");
    }
}
