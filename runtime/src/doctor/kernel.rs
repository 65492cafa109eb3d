//! Checks of what the kernel, or a filter before it, answers.

use super::Needs;
use super::machine::{Machine, Probe};
use super::report::{Check, Verdict};

fn by_probe(check: Check, probe: &Probe, verdict: Verdict) -> Check {
    match probe {
        Probe::Works => check.fine("works"),
        Probe::Refused { why, command } => check.broken(verdict, why, command),
    }
}

/// Shared memory without a name, with seals.
pub(super) fn sealed_memory(machine: &Machine, _needs: &Needs) -> Check {
    let check = Check::new(
        "sealed_memory",
        "memfd_create with all seals (Linux 5.1)",
        "there is no memory to share, so no worker processes and no store",
    );
    by_probe(check, &machine.kernel.sealed_memory, Verdict::Prevents)
}

/// Rings of io_uring.
pub(super) fn io_uring(machine: &Machine, _needs: &Needs) -> Check {
    let check = Check::new(
        "io_uring",
        "rings can be made (Linux 5.6)",
        "spilling to disk and back goes by plain calls, one after the other",
    );
    by_probe(check, &machine.kernel.io_uring, Verdict::Degrades)
}

/// Rings that wait for sockets, and what else rings can do.
pub(super) fn io_uring_sockets(machine: &Machine, _needs: &Needs) -> Check {
    let check = Check::new(
        "io_uring_sockets",
        "rings that accept and watch sockets (Linux 5.19)",
        "connections to other hosts are waited for by epoll",
    );
    let kernel = &machine.kernel;
    match &kernel.io_uring_sockets {
        Probe::Works => check.fine(operations(&kernel.io_uring_operations)),
        refused => by_probe(check, refused, Verdict::Degrades),
    }
}

/// What rings can do, and what they cannot.
fn operations(probed: &[(&str, bool)]) -> String {
    let those = |known| {
        let names = probed.iter().filter(|(_, is_known)| *is_known == known);
        names.map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    };
    match those(false) {
        lacking if lacking.is_empty() => format!("works: {}", those(true)),
        lacking => format!("works: {}; not: {lacking}", those(true)),
    }
}

/// The fence that costs one side nothing.
pub(super) fn membarrier(machine: &Machine, _needs: &Needs) -> Check {
    let check = Check::new(
        "membarrier",
        "expedited membarrier (Linux 4.14)",
        "each wake-up that could be skipped costs a full fence",
    );
    by_probe(check, &machine.kernel.membarrier, Verdict::Degrades)
}

/// Sleeping on a word.
pub(super) fn futex(machine: &Machine, _needs: &Needs) -> Check {
    let check = Check::new("futex", "futex", "no thread can wait for another");
    by_probe(check, &machine.kernel.futex, Verdict::Prevents)
}

/// Handles of processes.
pub(super) fn pidfd(machine: &Machine, _needs: &Needs) -> Check {
    let check = Check::new(
        "pidfd",
        "pidfd_open (Linux 5.3)",
        "the death of a worker process cannot be seen, so there are none",
    );
    by_probe(check, &machine.kernel.pidfd, Verdict::Prevents)
}
