//! Descriptors that stand for processes.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

/// A descriptor of the process that has this id now.
///
/// # Errors
/// `ESRCH` if there is none (a thread of one is none), `ENOSYS` before Linux 5.3.
pub fn open(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(Errno::SRCH)?;
    match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        // The id of a thread that leads no process.
        Err(Errno::INVAL | Errno::NOENT) => Err(Errno::SRCH.into()),
        other => Ok(other?),
    }
}

/// Whether the descriptor is one of a process.
///
/// # Errors
/// What the kernel said of `/proc/self/fdinfo`.
pub fn is_pidfd(file: BorrowedFd<'_>) -> io::Result<bool> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?;
    Ok(info.lines().any(|line| line.starts_with("Pid:")))
}

/// Waits until there is something to read; whether there is. A signal ends a limited wait early.
///
/// # Errors
/// What the kernel said.
pub fn wait_readable(file: BorrowedFd<'_>, limit: Option<Duration>) -> io::Result<bool> {
    // Longer than the kernel can count is for ever.
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    loop {
        let mut polled = [PollFd::from_borrowed_fd(file.as_fd(), PollFlags::IN)];
        match rustix::event::poll(&mut polled, limit.as_ref()) {
            Err(Errno::INTR) if limit.is_none() => {}
            Err(Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(!polled[0].revents().is_empty()),
        }
    }
}

/// Kills the process.
///
/// # Errors
/// `ESRCH` if it is dead and waited for.
pub fn kill(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::process::pidfd_send_signal(file, Signal::KILL)?)
}
