//! Who is alive, and who is known to be dead.
//!
//! A process id is not enough to know: ids are used again, and a process that is dead but not
//! waited for still answers to its id.
//!
//! | type | says |
//! |---|---|
//! | [`ProcessIdentity`] | which process is meant, also after a reboot or a reuse of its id |
//! | [`ProcessHandle`] | whether that process is dead, at once and without asking twice |
//!
//! - LV-1 a process is dead when the kernel has torn it down: its memory and descriptors are gone,
//!   it writes nothing any more. A stopped process is alive; one that nobody has waited for (a
//!   zombie) is dead.
//! - LV-2 a handle stays with its process: a new process with the same id is another one.
//! - LV-3 what arrives from another process, a handle or an identity, is input and looked at.

mod handle;
mod identity;

pub use handle::ProcessHandle;
pub use identity::ProcessIdentity;

use std::io;

/// Why it cannot be known whether a process lives.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LivenessError {
    /// There is no such process any more.
    #[error("process {pid} is gone; settle what it held")]
    Gone {
        /// Its id.
        pid: u32,
    },
    /// The id now belongs to another process.
    #[error(
        "process {pid} is another one (it started at tick {found}, not {wanted}); the one that is \
         meant is dead, settle what it held"
    )]
    OtherProcess {
        /// The id.
        pid: u32,
        /// When the one that is meant started, in clock ticks after the boot.
        wanted: u64,
        /// When the one that is there started.
        found: u64,
    },
    /// The identity was made where ids mean something else.
    #[error(
        "process {pid} was named {where_}; ask for a handle of it over a socket, or run both \
         processes in one container"
    )]
    Elsewhere {
        /// The id.
        pid: u32,
        /// Before another boot or in another pid namespace.
        where_: &'static str,
    },
    /// What arrived is no handle of a process.
    #[error("a descriptor that arrived is no handle of a process; both must be of the same build")]
    NoHandle,
    /// The kernel refused.
    #[error("cannot {what}: {source}{remedy}")]
    Refused {
        /// What was to be done.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
        /// What to do, if it is known.
        remedy: &'static str,
    },
}

impl LivenessError {
    fn refused(what: &'static str, source: io::Error) -> Self {
        let remedy = match source.raw_os_error() {
            Some(libc::ENOSYS | libc::EPERM) => {
                "; Linux 5.3 or later is needed, and a sandbox must pass pidfd_open"
            }
            Some(libc::EMFILE | libc::ENFILE) => "; raise `ulimit -n`",
            _ => "",
        };
        Self::Refused {
            what,
            source,
            remedy,
        }
    }

    fn unreadable(what: &'static str, source: io::Error) -> Self {
        Self::Refused {
            what,
            source,
            remedy: "; mount procfs at /proc",
        }
    }
}
