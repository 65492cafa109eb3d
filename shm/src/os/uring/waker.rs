//! Ends the sleep of a ring's owner from any thread.
//!
//! - UR-9 a wake-up is a message to the ring: a completion without an operation, which the ring takes for
//!   itself. The sender needs no ring of its own.
#![allow(unsafe_code, reason = "makes a system call that has no wrapper")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use io_uring::squeue::Entry;
use io_uring::{opcode, types};

/// User data of a wake-up.
pub(super) const WAKE: u64 = u64::MAX - 1;

/// `IORING_REGISTER_SEND_MSG_RING`.
const REGISTER_SEND_MSG_RING: libc::c_uint = 31;

/// See the module's page. It keeps the ring's memory in the kernel.
#[derive(Debug)]
pub struct RingWaker(OwnedFd);

impl RingWaker {
    /// One of this ring.
    ///
    /// # Errors
    /// The kernel cannot do it: Linux 6.13 or later can.
    pub(super) fn new(ring: OwnedFd) -> io::Result<Self> {
        let waker = Self(ring);
        waker.wake()?;
        Ok(waker)
    }

    /// Ends the sleep that is under way, or the next one.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn wake(&self) -> io::Result<()> {
        let ring = types::Fd(self.0.as_raw_fd());
        let entry: Entry = opcode::MsgRingData::new(ring, 0, WAKE, None).build();
        // SAFETY: the entry lives here, and the call only reads it.
        let outcome = unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                -1_i32,
                REGISTER_SEND_MSG_RING,
                &raw const entry,
                1_u32,
            )
        };
        match outcome {
            0.. => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
