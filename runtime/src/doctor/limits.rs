//! Checks of CPUs and of limits on this process.

use super::Needs;
use super::cgroup::{self, Names};
use super::machine::{Limit, Machine};
use super::report::{Check, Verdict, size};
use crate::topology::Topology;

/// Mappings of the program beside the stacks of blocked tasks, as the default of
/// `max_blocked_tasks` leaves them.
const OTHER_MAPPINGS: u64 = 2048;

/// Threads and processes of a node beside its schedulers.
const OTHER_THREADS: u64 = 256;

/// The CPUs that this process may use.
pub(super) fn cores(machine: &Machine, _needs: &Needs) -> Check {
    let check = Check::new(
        "cores",
        "2 usable CPUs",
        "schedulers take turns on one core; every answer from another costs a switch of threads",
    );
    let online = machine.text("sys/devices/system/cpu/online");
    let online = online.unwrap_or_else(|| "unknown".to_owned());
    let found = format!("{} usable; online are {online}", machine.cpus.len());
    match machine.cpus.len() {
        0 => check.unknown("the affinity mask cannot be read"),
        1 if online == "0" => check.degrades(
            found,
            "none on this machine: it has one CPU; choose another",
        ),
        1 => check.degrades(
            found,
            format!("taskset -pc {online} $$ (in the shell that starts the program)"),
        ),
        _ => check.fine(found),
    }
}

/// The quota of CPU time against the CPUs.
pub(super) fn cpu_quota(machine: &Machine, _needs: &Needs) -> Check {
    let check = Check::new(
        "cpu_quota",
        "as many CPUs' worth of time as there are usable CPUs, or no limit",
        "fewer schedulers, and all of them stand still for the rest of a period once it is used up",
    );
    let topology = Topology::read(&machine.root, &machine.cpus);
    let cpus = topology.cpus.len();
    let Some(quota) = topology.quota else {
        return check.fine(format!("no limit, {cpus} usable CPUs"));
    };
    let found = format!("{quota:.2} of {cpus} usable CPUs");
    if quota >= cpus as f64 {
        return check.fine(found);
    }
    let root = &machine.root;
    let two = cgroup::files(root, "cpu", "cpu.max", true);
    let is_limited = |text: &str| !text.starts_with("max") && !text.starts_with('-');
    let limits = |file: &std::path::PathBuf| {
        std::fs::read_to_string(file).is_ok_and(|text| is_limited(&text))
    };
    let one = cgroup::files(root, "cpu", "cpu.cfs_quota_us", false);
    let commands = two
        .iter()
        .filter(|&file| limits(file))
        .map(|file| format!("echo max > {}", machine.shown(file)));
    let older = one
        .iter()
        .filter(|&file| limits(file))
        .map(|file| format!("echo -1 > {}", machine.shown(file)));
    let commands: Vec<String> = commands.chain(older).collect();
    let command = match commands.is_empty() {
        true => format!("docker run --cpus={cpus}"),
        false => commands.join(" && "),
    };
    check.degrades(found, command)
}

/// Memory that may be locked.
pub(super) fn locked_memory(machine: &Machine, _needs: &Needs) -> Check {
    const NEEDED: u64 = 8 << 20;
    let check = Check::new(
        "locked_memory",
        format!("{} (RLIMIT_MEMLOCK)", size(NEEDED)),
        "memory cannot be registered with network devices, nor with rings before Linux 5.12",
    );
    let limit = machine.limits.locked_bytes;
    by_limit(check, limit, NEEDED, 0, size, "memlock")
}

/// Descriptors.
pub(super) fn open_files(machine: &Machine, _needs: &Needs) -> Check {
    const NEEDED: u64 = 1024;
    let check = Check::new(
        "open_files",
        format!("{NEEDED} (RLIMIT_NOFILE)"),
        "extents of the store, worker processes and connections are refused",
    );
    let limit = machine.limits.open_files;
    by_limit(check, limit, NEEDED, 64, |n| n.to_string(), "nofile")
}

/// Virtual memory.
pub(super) fn address_space(machine: &Machine, needs: &Needs) -> Check {
    let needed = needs.store_bytes.saturating_mul(2).saturating_add(16 << 30);
    let check = Check::new(
        "address_space",
        format!("{} or no limit (RLIMIT_AS)", size(needed)),
        "stacks of tasks and extents of the store are refused although there is memory",
    );
    let limit = machine.limits.address_space_bytes;
    by_limit(check, limit, needed, 256 << 20, size, "as")
}

/// Processes and threads of this user.
pub(super) fn processes(machine: &Machine, _needs: &Needs) -> Check {
    let schedulers = machine.cpus.len().max(1) as u64;
    let needed = schedulers + OTHER_THREADS;
    let check = Check::new(
        "processes",
        format!("{needed} (RLIMIT_NPROC, for all processes and threads of the user)"),
        "schedulers and worker processes cannot be started",
    );
    let limit = machine.limits.processes;
    by_limit(
        check,
        limit,
        needed,
        schedulers + 8,
        |n| n.to_string(),
        "nproc",
    )
}

fn by_limit(
    check: Check,
    limit: Limit,
    needed: u64,
    least: u64,
    shown: impl Fn(u64) -> String,
    name: &str,
) -> Check {
    let Some(limit) = limit else {
        return check.fine("no limit");
    };
    if limit >= needed {
        return check.fine(shown(limit));
    }
    let verdict = if limit < least {
        Verdict::Prevents
    } else {
        Verdict::Degrades
    };
    let command = format!("prlimit --pid $$ --{name}={needed}:{needed}");
    check.broken(verdict, shown(limit), command)
}

/// Mappings, of which a blocked task holds two.
pub(super) fn max_map_count(machine: &Machine, needs: &Needs) -> Check {
    let needed = needs.blocked_tasks * 2 + OTHER_MAPPINGS;
    let check = Check::new(
        "max_map_count",
        format!("{needed}, for {} blocked tasks", needs.blocked_tasks),
        "fewer tasks may be blocked at once (max_blocked_tasks)",
    );
    match machine.number("proc/sys/vm/max_map_count") {
        None => check.unknown("/proc/sys/vm/max_map_count does not say"),
        Some(count) if count >= needed => check.fine(count.to_string()),
        Some(count) => {
            let command = format!("sysctl vm.max_map_count={needed}");
            // Without any room for stacks nothing runs.
            if count <= OTHER_MAPPINGS {
                check.prevents(count.to_string(), command)
            } else {
                check.degrades(count.to_string(), command)
            }
        }
    }
}

/// Processes and threads that the cgroup lets start.
pub(super) fn cgroup_pids(machine: &Machine, _needs: &Needs) -> Check {
    let schedulers = machine.cpus.len().max(1) as u64;
    let needed = schedulers + OTHER_THREADS;
    let check = Check::new(
        "cgroup_pids",
        format!("{needed} more"),
        "schedulers and worker processes cannot be started",
    );
    let names = Names {
        controller: "pids",
        two: ("pids.max", "pids.current"),
        one: ("pids.max", "pids.current"),
    };
    let Some(bound) = cgroup::tightest(&machine.root, &names) else {
        return check.fine("no limit");
    };
    let found = format!("{} more of {}", bound.left(), bound.limit);
    if bound.left() >= needed {
        return check.fine(found);
    }
    let command = format!(
        "echo {} > {}",
        bound.used + needed,
        machine.shown(&bound.file)
    );
    if bound.left() < schedulers + 8 {
        check.prevents(found, command)
    } else {
        check.degrades(found, command)
    }
}
