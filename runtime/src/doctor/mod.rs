//! What this machine lacks to run maser well, and the commands that mend it.
//!
//! | file | holds |
//! |---|---|
//! | `report` | verdicts, checks and the report they make up |
//! | `machine` | what the checks look at: files below a root, limits, answers of the kernel |
//! | `cgroup` | limits of the cgroups around this process, both versions |
//! | `memory`, `kernel`, `limits` | the checks |
//!
//! ```
//! let report = maser::doctor::examine();
//! for check in &report.checks {
//!     println!("{}: {:?}, {}", check.name, check.verdict, check.found);
//! }
//! assert!(report.exit_code() <= 2);
//! ```
//!
//! - DC-1 a check is a function of the machine's view and of what is needed, so that each of them is
//!   tested on made-up machines.
//! - DC-2 a verdict that is not fine comes with a command that mends it, figures included.
//! - DC-3 what cannot be read is unknown, not fine and not broken.
//! - DC-4 examining changes nothing that stays: what is tried out is undone at once.

mod cgroup;
mod kernel;
mod limits;
mod machine;
mod memory;
mod report;
#[cfg(test)]
mod tests;

pub use report::{Check, Report, Verdict};

use machine::Machine;

/// What the machine is to be good for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Needs {
    /// Bytes of objects in shared memory; default 64 MiB, enough to begin with.
    pub store_bytes: u64,
    /// Tasks that may be blocked at once; default 30,000, as many as the runtime allows by itself.
    pub blocked_tasks: u64,
}

impl Default for Needs {
    fn default() -> Self {
        Self {
            store_bytes: 64 << 20,
            blocked_tasks: 30_000,
        }
    }
}

/// Examines this machine for the usual needs.
///
/// Reads some small files of `/proc` and `/sys` and tries a few system calls: milliseconds. Needs no
/// runtime and no privileges.
#[must_use]
pub fn examine() -> Report {
    examine_for(&Needs::default())
}

/// Examines this machine for these needs; see [`examine`].
#[must_use]
pub fn examine_for(needs: &Needs) -> Report {
    examined(&Machine::this(), needs)
}

/// DC-1.
fn examined(machine: &Machine, needs: &Needs) -> Report {
    let checks: [fn(&Machine, &Needs) -> Check; 22] = [
        memory::huge_pages_2mib,
        memory::huge_pages_1gib,
        memory::huge_page_cgroup,
        memory::shmem_huge_pages,
        memory::available_memory,
        memory::cgroup_memory,
        memory::overcommit,
        memory::dev_shm,
        kernel::sealed_memory,
        kernel::io_uring,
        kernel::io_uring_sockets,
        kernel::membarrier,
        kernel::futex,
        kernel::pidfd,
        limits::cores,
        limits::cpu_quota,
        limits::locked_memory,
        limits::open_files,
        limits::address_space,
        limits::max_map_count,
        limits::processes,
        limits::cgroup_pids,
    ];
    Report::of(checks.iter().map(|check| check(machine, needs)).collect())
}
