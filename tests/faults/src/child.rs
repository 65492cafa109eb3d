//! Processes that are made to be killed.
//!
//! - FK-1 only a process with one thread forks: another thread could hold a lock that the child
//!   then waits for in vain. A child may start threads of its own.
//! - FK-2 a child leaves by `_exit`, whatever happens in it, so that nothing of its parent's is
//!   dropped twice or flushed twice.
//! - FK-3 a child dies with its parent, and is killed and waited for when its handle is dropped.
#![allow(unsafe_code, reason = "forks, waits and leaves without destructors")]

use std::any::Any;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use maser_shm::liveness::ProcessHandle;
use rustix::process::{Pid, Signal, WaitOptions};

use crate::row::{Outcome, Stop, broken};

/// Exit code of a child whose body panicked.
const PANICKED: i32 = 101;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

/// A child that is not waited for yet.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    end: Option<End>,
}

/// Runs `body` in a new process; its result is the exit code.
pub fn fork(body: impl FnOnce() -> i32) -> Outcome<Child> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads != 1 {
        return Err(broken(format!("{threads} threads, and one must fork")));
    }
    let parent = rustix::process::getpid();
    // SAFETY: FK-1.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            die_with(parent);
            body()
        }));
        // SAFETY: FK-2; leaves no destructor to run.
        unsafe { libc::_exit(outcome.unwrap_or(PANICKED)) };
    }
    match Pid::from_raw(pid) {
        Some(pid) if pid.as_raw_nonzero().get() > 0 => Ok(Child { pid, end: None }),
        _ => Err(broken(format!("fork: {}", std::io::Error::last_os_error()))),
    }
}

/// Runs `body` in a process that outlives its parent, and ends when `body` does.
pub fn fork_orphan(body: impl FnOnce() -> i32) -> Outcome<()> {
    // SAFETY: FK-1, as the caller is itself such a child.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let code = catch_unwind(AssertUnwindSafe(body)).unwrap_or(PANICKED);
        // SAFETY: FK-2.
        unsafe { libc::_exit(code) };
    }
    if pid < 0 {
        return Err(broken(format!("fork: {}", std::io::Error::last_os_error())));
    }
    Ok(())
}

/// FK-3.
fn die_with(parent: Pid) {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).expect("prctl");
    // It may have died before; its successor is somebody else. (It has no id in a new namespace.)
    if rustix::process::getppid().is_some_and(|now| now != parent) {
        // SAFETY: FK-2.
        unsafe { libc::_exit(PANICKED) };
    }
}

impl Child {
    /// Its id, which stays its own until it is waited for.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// A handle of it, to watch it or to send it to another process.
    pub fn handle(&self) -> Outcome<ProcessHandle> {
        ProcessHandle::open(self.pid.as_raw_nonzero().get().unsigned_abs()).map_err(broken)
    }

    /// Sends it a signal, if it has not been waited for.
    pub fn signal(&self, signal: Signal) {
        if self.end.is_none() {
            // It can be a zombie, which takes any signal.
            let _sent = rustix::process::kill_process(self.pid, signal);
        }
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> End {
        loop {
            if let Some(end) = self.end {
                return end;
            }
            match rustix::process::waitpid(Some(self.pid), WaitOptions::empty()) {
                Ok(Some((_, status))) => {
                    let exit = status.exit_status().map(End::Exit);
                    self.end = exit.or(status.terminating_signal().map(End::Signal));
                }
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("waitpid: {error}"),
            }
        }
    }

    /// Waits for its end, or kills it after `limit`: `None`.
    pub fn wait_for(&mut self, limit: Duration) -> Outcome<Option<End>> {
        if self.handle()?.wait(Some(limit)).map_err(broken)? {
            return Ok(Some(self.wait()));
        }
        self.kill();
        Ok(None)
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) -> End {
        self.signal(Signal::KILL);
        self.wait()
    }

    /// Somebody else has waited for it.
    pub fn has_ended(&mut self, end: End) {
        self.end = Some(end);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.end.is_none() {
            self.kill();
        }
    }
}

/// Runs `body` in a child and gives back what it returned as text, or how it died instead.
///
/// A death by a signal is an error that names the signal: nothing may end by `SIGBUS`.
pub fn in_a_child(limit: Duration, body: impl FnOnce() -> Outcome<String>) -> Outcome<String> {
    let (mut said, mut says) = std::io::pipe().map_err(broken)?;
    let mut child = fork(|| {
        let (kind, text) = match body() {
            Ok(text) => (b'+', text),
            Err(Stop::Skipped(text)) => (b'?', text),
            Err(Stop::Broken(text)) => (b'-', text),
        };
        let written = says
            .write_all(&[kind])
            .and_then(|()| says.write_all(text.as_bytes()));
        i32::from(written.is_err())
    })?;
    drop(says);
    // What is said fits the pipe, so the child ends without being read.
    let end = child.wait_for(limit)?;
    let mut text = String::new();
    let read = said.read_to_string(&mut text);
    read.map_err(broken)?;
    match (end, text.chars().next()) {
        (None, _) => Err(broken(format!("a process was still busy after {limit:?}"))),
        (Some(End::Exit(0)), Some('+')) => Ok(text.split_off(1)),
        (Some(End::Exit(0)), Some('?')) => Err(Stop::Skipped(text.split_off(1))),
        (Some(End::Exit(0)), Some('-')) => Err(broken(text.split_off(1))),
        (Some(End::Exit(PANICKED)), _) => Err(broken("a process panicked")),
        (Some(End::Signal(signal)), _) => Err(broken(format!(
            "a process died of signal {signal} ({})",
            signal_name(signal)
        ))),
        (Some(end), _) => Err(broken(format!("a process ended with {end:?}"))),
    }
}

/// The name of the signals that matter here.
pub fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGBUS => "SIGBUS",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGKILL => "SIGKILL",
        libc::SIGABRT => "SIGABRT",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGILL => "SIGILL",
        _ => "another",
    }
}

/// Stops a child, and waits until it is stopped.
pub fn stop(victim: &Child) -> Outcome<()> {
    victim.signal(Signal::STOP);
    let path = format!("/proc/{}/stat", victim.pid().as_raw_nonzero());
    loop {
        let stat = std::fs::read_to_string(&path).map_err(broken)?;
        if stat
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('T'))
        {
            return Ok(());
        }
        std::thread::yield_now();
    }
}

/// Waits for the children of dead children, until there are none.
pub fn wait_for_orphans(limit: Duration) -> Outcome<()> {
    let began = Instant::now();
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CHILD) => return Ok(()),
            Err(error) => return Err(broken(error)),
            Ok(None) if began.elapsed() > limit => {
                return Err(broken(format!(
                    "a process lives on {limit:?} after its parent"
                )));
            }
            Ok(None) => std::thread::yield_now(),
        }
    }
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or(panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
    text.unwrap_or_else(|| "a panic".into())
}
