//! Every system call of the crate, each behind a function that names what it is for.
//!
//! | file | holds |
//! |---|---|
//! | [`affinity`] | which CPUs this thread may use, and pinning it to one |
//! | [`file_io`] | bytes into files and out of them, through io_uring or without it |
//! | [`futex`] | sleep on a word, wake who sleeps there |
//! | [`map`] | anonymous memory, in huge pages where asked for |
//! | [`membarrier`] | a fence that costs one side nothing |
//! | [`memory`] | how much memory there is: machine, cgroup, pools of huge pages |
//! | [`process`] | descriptors that stand for processes |
//! | [`numa`] | which NUMA node memory comes from |
//! | [`shared_memory`] | files that several processes map, sealed, and descriptors on their way |
//! | [`uring`] | the io_uring ring |
//!
//! - OS-1 a call that can fail for a reason the reader can mend returns an [`OsError`] inside the
//!   `io::Error`; its message ends with what to do.
//! - OS-2 nothing here keeps a descriptor open, so nothing here survives the process.

pub mod affinity;
pub mod file_io;
pub mod futex;
pub mod map;
pub mod membarrier;
pub mod memory;
pub mod numa;
pub mod process;
pub mod shared_memory;
pub mod uring;

use std::io;

use rustix::time::{ClockId, clock_gettime};

/// Why the kernel refused, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OsError {
    /// The thread's CPU set could not be read.
    #[error(
        "cannot read the CPU affinity of this thread ({source}); \
         on a machine with more than 1024 CPUs start under `taskset -c 0-1023`"
    )]
    AffinityUnreadable {
        /// What the kernel said.
        source: io::Error,
    },
    /// The CPU is outside what this process may use.
    #[error(
        "cannot pin this thread to CPU {cpu} ({source}); allowed are {allowed:?}: \
         choose one of them or widen the set with `taskset` or the cgroup's cpuset"
    )]
    CpuNotAllowed {
        /// The CPU asked for.
        cpu: usize,
        /// The CPUs this thread may use.
        allowed: Vec<usize>,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel has no address space or no memory left to give.
    #[error(
        "cannot map {bytes} bytes of memory ({source}); check `ulimit -v`, the cgroup's \
         memory.max, and `sysctl vm.max_map_count vm.overcommit_memory`"
    )]
    MapRefused {
        /// The size asked for, in bytes.
        bytes: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file of `/proc` could not be read or understood.
    #[error("cannot read {path} ({source}); mount procfs at /proc")]
    ProcUnreadable {
        /// The file.
        path: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl From<OsError> for io::Error {
    fn from(error: OsError) -> Self {
        let kind = match &error {
            OsError::AffinityUnreadable { source }
            | OsError::CpuNotAllowed { source, .. }
            | OsError::MapRefused { source, .. }
            | OsError::ProcUnreadable { source, .. } => source.kind(),
        };
        io::Error::new(kind, error)
    }
}

/// Lets another thread run on this core; returns at once when there is none.
#[inline]
pub fn sched_yield() {
    rustix::thread::sched_yield();
}

/// CPU time this thread has used, in nanoseconds.
#[must_use]
pub fn thread_cpu_time_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // CPU time is never negative and a u64 holds 584 years of it.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Bytes of this process that are in memory now (resident set).
///
/// # Errors
/// [`OsError::ProcUnreadable`] when `/proc/self/statm` cannot be read.
pub fn resident_bytes() -> io::Result<usize> {
    const STATM: &str = "/proc/self/statm";
    let unreadable = |source| OsError::ProcUnreadable {
        path: STATM,
        source,
    };
    let statm = std::fs::read_to_string(STATM).map_err(unreadable)?;
    let pages: Option<usize> = statm
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|w| w.parse().ok());
    let pages = pages.ok_or_else(|| unreadable(io::ErrorKind::InvalidData.into()))?;
    Ok(pages * rustix::param::page_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_cpu_time_grows_with_work() {
        let before_ns = thread_cpu_time_ns();
        let mut sum = 0u64;
        while thread_cpu_time_ns() == before_ns {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(1));
        }
        assert!(thread_cpu_time_ns() > before_ns);
    }

    #[test]
    #[cfg_attr(miri, ignore = "reads /proc")]
    fn touched_memory_is_resident() {
        let before = resident_bytes().unwrap();
        let block = vec![1u8; 32 << 20];
        let after = resident_bytes().unwrap();
        assert!(
            after >= before + (16 << 20),
            "{before} -> {after}, held {}",
            block.len()
        );
    }

    #[test]
    fn messages_end_with_what_to_do() {
        let error: io::Error = OsError::MapRefused {
            bytes: 4096,
            source: io::ErrorKind::OutOfMemory.into(),
        }
        .into();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert!(
            error.to_string().ends_with("vm.overcommit_memory`"),
            "{error}"
        );
    }
}
