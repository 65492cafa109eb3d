//! A descriptor that stands for a process, whatever becomes of its id.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::LivenessError;
use super::identity::{self, ProcessIdentity};
use crate::os::process;

/// A process, to be watched (LV-2): a pidfd.
///
/// Its descriptor ([`AsFd`]) becomes readable when the process is dead, so it fits into any `poll`,
/// and it can be sent to another process, which then watches the same process without a right to
/// look it up.
#[derive(Debug)]
pub struct ProcessHandle {
    file: OwnedFd,
}

impl ProcessHandle {
    /// The process that has this id now. Right for a child that nobody has waited for; otherwise
    /// the id may have gone to another process, which [`of`](Self::of) sees.
    ///
    /// # Errors
    /// [`LivenessError::Gone`] if there is none, [`LivenessError::Refused`] where the kernel does
    /// not let us.
    pub fn open(pid: u32) -> Result<Self, LivenessError> {
        match process::open(pid) {
            Ok(file) => Ok(Self { file }),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {
                Err(LivenessError::Gone { pid })
            }
            Err(error) => Err(LivenessError::refused("watch a process", error)),
        }
    }

    /// The process that is meant, and no other that has its id now.
    ///
    /// # Errors
    /// [`LivenessError::Gone`] and [`LivenessError::OtherProcess`] mean that it is dead; the others
    /// that nothing is known.
    pub fn of(meant: &ProcessIdentity) -> Result<Self, LivenessError> {
        meant.check_here()?;
        let handle = Self::open(meant.pid)?;
        // The handle is of whoever had the id when it was opened. If that one lives now, after the
        // look, then the id was its own during the look.
        let found = identity::stat(meant.pid)?.ok_or(LivenessError::Gone { pid: meant.pid })?;
        if found.start_ticks != meant.start_ticks {
            return Err(LivenessError::OtherProcess {
                pid: meant.pid,
                wanted: meant.start_ticks,
                found: found.start_ticks,
            });
        }
        if handle.is_dead()? && !found.is_dead() {
            return Err(LivenessError::Gone { pid: meant.pid });
        }
        Ok(handle)
    }

    /// Takes a descriptor that arrived from another process (LV-3).
    ///
    /// # Errors
    /// [`LivenessError::NoHandle`] if it is something else.
    pub fn from_file(file: OwnedFd) -> Result<Self, LivenessError> {
        let is_handle = process::is_pidfd(file.as_fd());
        match is_handle.map_err(|source| LivenessError::unreadable("look at a handle", source))? {
            true => Ok(Self { file }),
            false => Err(LivenessError::NoHandle),
        }
    }

    /// Whether the process is dead (LV-1).
    ///
    /// # Errors
    /// [`LivenessError::Refused`] with what the kernel said.
    pub fn is_dead(&self) -> Result<bool, LivenessError> {
        self.wait(Some(Duration::ZERO))
    }

    /// Waits until the process is dead, and says whether it is. `None` waits for ever; a signal
    /// makes a limited wait end early, so look at your own clock.
    ///
    /// # Errors
    /// [`LivenessError::Refused`] with what the kernel said.
    pub fn wait(&self, limit: Option<Duration>) -> Result<bool, LivenessError> {
        let dead = process::wait_readable(self.file.as_fd(), limit);
        dead.map_err(|source| LivenessError::refused("wait for the death of a process", source))
    }

    /// Ends the process with `SIGKILL`; one that is dead stays so.
    ///
    /// # Errors
    /// [`LivenessError::Refused`] with what the kernel said.
    pub fn kill(&self) -> Result<(), LivenessError> {
        match process::kill(self.file.as_fd()) {
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                Err(LivenessError::refused("kill a process", error))
            }
            _ => Ok(()),
        }
    }
}

impl AsFd for ProcessHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
