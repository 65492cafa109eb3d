//! How a process ended, in words that an error can use.

use crate::error::Error;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};

/// The end of a process that others waited for.
#[derive(Clone, Debug)]
pub(crate) enum Death {
    /// It ended without being asked to.
    Process {
        /// `worker 2 (pid 4711)`.
        who: String,
        /// `was killed by signal 9 (SIGKILL)`.
        how: String,
    },
    /// This runtime ends.
    ShutDown,
}

impl Death {
    /// This runtime ends.
    pub(crate) fn shut_down() -> Self {
        Self::ShutDown
    }

    /// The error for those who wait for `what`: the method of `actor`, or a task.
    pub(crate) fn error(&self, what: &str, actor: Option<String>) -> Error {
        match (self, actor) {
            (Self::ShutDown, _) => Error::ShutDown { what: what.into() },
            (Self::Process { who, how }, Some(actor)) => Error::ActorDied {
                actor,
                reason: format!("its process, {who}, {how}"),
            },
            (Self::Process { who, how }, None) => Error::WorkerCrashed {
                what: what.into(),
                worker: who.clone(),
                how: how.clone(),
            },
        }
    }
}

/// The name of a signal, where it has one.
fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGABRT => " (SIGABRT)",
        libc::SIGBUS => " (SIGBUS)",
        libc::SIGFPE => " (SIGFPE)",
        libc::SIGILL => " (SIGILL)",
        libc::SIGINT => " (SIGINT)",
        libc::SIGKILL => " (SIGKILL; perhaps the kernel was short of memory: see dmesg)",
        libc::SIGSEGV => " (SIGSEGV)",
        libc::SIGTERM => " (SIGTERM)",
        _ => "",
    }
}

/// The handle of a child that was not waited for, so the number is still its own.
pub(super) fn handle(child: &Child) -> std::io::Result<OwnedFd> {
    let pid = rustix::process::Pid::from_child(child);
    let handle = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?;
    Ok(handle)
}

/// Waits for a process that is dead, and says how it ended. Nobody can wait for one that is traced
/// before its tracer lets it go: it is to be waited for later.
pub(super) fn reap(mut child: Child, later: &mut Vec<Child>) -> String {
    match child.try_wait() {
        Ok(Some(status)) => how(status),
        Ok(None) => {
            later.push(child);
            "ended, and its tracer alone knows how".into()
        }
        Err(error) => format!("ended ({error})"),
    }
}

/// `was killed by signal 9 (SIGKILL)`, `ended with code 3`.
fn how(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was killed by signal {signal}{}", signal_name(signal)),
        (None, Some(code)) => format!("ended with code {code}"),
        (None, None) => "ended".to_owned(),
    }
}
