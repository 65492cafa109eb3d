//! Checks of memory: huge pages, what is available, what cgroups leave.

use super::cgroup::{self, Names};
use super::machine::Machine;
use super::report::{Check, size};
use super::{Needs, Verdict};

/// Memory that the program itself needs beside the store.
const PROGRAM_BYTES: u64 = 64 << 20;

/// From this size on the store gains from 1 GiB pages: 32,768 pages of 2 MiB are more than the
/// second-level TLBs of today's processors hold (1,024 to 4,096 entries) by an order of magnitude.
const STORE_BYTES_FOR_1GIB_PAGES: u64 = 64 << 30;

/// Pages of one size: how many there are and how many a new mapping could have.
fn pool(machine: &Machine, kib: u64) -> Option<(u64, u64)> {
    let read = |name| machine.number(&format!("sys/kernel/mm/hugepages/hugepages-{kib}kB/{name}"));
    let free = read("free_hugepages")?;
    let promised = read("resv_hugepages").unwrap_or(0);
    Some((read("nr_hugepages")?, free.saturating_sub(promised)))
}

/// Huge pages of 2 MiB for the whole store.
pub(super) fn huge_pages_2mib(machine: &Machine, needs: &Needs) -> Check {
    let pages = needs.store_bytes.div_ceil(2 << 20);
    let check = Check::new(
        "huge_pages_2mib",
        format!("{pages} free, for a store of {}", size(needs.store_bytes)),
        "the store takes plain pages: more TLB misses and page faults, slower large objects",
    );
    let Some((total, free)) = pool(machine, 2048) else {
        let found = "this kernel has none of this size";
        return check.degrades(
            found,
            "apt-get install linux-image-generic (a kernel with CONFIG_HUGETLBFS), then reboot",
        );
    };
    let found = format!("{free} of {total} free ({})", size(free << 21));
    if free >= pages {
        check.fine(found)
    } else {
        let command = format!("sysctl vm.nr_hugepages={}", total + pages - free);
        check.degrades(found, command)
    }
}

/// Huge pages of 1 GiB, for stores that are large.
pub(super) fn huge_pages_1gib(machine: &Machine, needs: &Needs) -> Check {
    let is_large = needs.store_bytes >= STORE_BYTES_FOR_1GIB_PAGES;
    let pages = if is_large {
        needs.store_bytes.div_ceil(1 << 30)
    } else {
        0
    };
    let needed = match pages {
        0 => format!("none below a store of {}", size(STORE_BYTES_FOR_1GIB_PAGES)),
        _ => format!("{pages} free, for a store of {}", size(needs.store_bytes)),
    };
    let effect = "the store takes pages of 2 MiB: more TLB misses across large objects";
    let check = Check::new("huge_pages_1gib", needed, effect);
    match pool(machine, 1 << 20) {
        Some((total, free)) if free >= pages => check.fine(format!("{free} of {total} free")),
        Some((total, free)) => {
            let command = format!(
                "echo {} > /sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages",
                total + pages - free
            );
            check.degrades(format!("{free} of {total} free"), command)
        }
        None if pages == 0 => check.fine("this machine has none of this size"),
        None => check.degrades(
            "this machine has none of this size",
            "grubby --update-kernel=ALL --args=hugepagesz=1G, then reboot (a processor with pdpe1gb)",
        ),
    }
}

/// What the cgroup lets this process reserve of the pool of 2 MiB pages.
pub(super) fn huge_page_cgroup(machine: &Machine, needs: &Needs) -> Check {
    let check = Check::new(
        "huge_page_cgroup",
        format!("{} to reserve", size(needs.store_bytes)),
        "huge pages are refused to the store although the pool has some; it takes plain ones",
    );
    let names = Names {
        controller: "hugetlb",
        two: ("hugetlb.2MB.rsvd.max", "hugetlb.2MB.rsvd.current"),
        one: (
            "hugetlb.2MB.rsvd.limit_in_bytes",
            "hugetlb.2MB.rsvd.usage_in_bytes",
        ),
    };
    match cgroup::tightest(&machine.root, &names) {
        None => check.fine("no limit"),
        Some(bound) => {
            let found = format!("{} left of {}", size(bound.left()), size(bound.limit));
            if bound.left() >= needs.store_bytes {
                return check.fine(found);
            }
            let limit = bound.used.saturating_add(needs.store_bytes);
            check.degrades(
                found,
                format!("echo {limit} > {}", machine.shown(&bound.file)),
            )
        }
    }
}

/// Whether plain shared memory may become huge, where there are no huge pages for the store.
pub(super) fn shmem_huge_pages(machine: &Machine, needs: &Needs) -> Check {
    let check = Check::new(
        "shmem_huge_pages",
        "advise, within_size or always, where there are not enough pages of 2 MiB",
        "shared memory of plain pages stays in pages of 4 KiB",
    );
    let Some(text) = machine.text("sys/kernel/mm/transparent_hugepage/shmem_enabled") else {
        return check.unknown("this kernel does not say");
    };
    let chosen = text.split(['[', ']']).nth(1).unwrap_or(&text).to_owned();
    let has_huge = huge_pages_2mib(machine, needs).verdict == Verdict::Fine;
    match chosen.as_str() {
        "never" | "deny" if !has_huge => check.degrades(
            chosen,
            "echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled",
        ),
        _ => check.fine(chosen),
    }
}

/// The machine's available memory.
pub(super) fn available_memory(machine: &Machine, needs: &Needs) -> Check {
    let check = memory("available_memory", needs);
    let meminfo = machine.text("proc/meminfo").unwrap_or_default();
    let kib = meminfo.lines().find_map(|line| {
        let rest = line.strip_prefix("MemAvailable:")?;
        rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    match kib {
        None => check.unknown("/proc/meminfo does not say"),
        Some(kib) => {
            let bytes = kib.saturating_mul(1024);
            let smaller = smaller_store(bytes);
            check.by_room(bytes, needs, size(bytes), smaller)
        }
    }
}

/// The memory that cgroups leave.
pub(super) fn cgroup_memory(machine: &Machine, needs: &Needs) -> Check {
    let check = memory("cgroup_memory", needs);
    let names = Names {
        controller: "memory",
        two: ("memory.max", "memory.current"),
        one: ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    };
    match cgroup::tightest(&machine.root, &names) {
        None => check.fine("no limit"),
        Some(bound) => {
            let found = format!("{} left of {}", size(bound.left()), size(bound.limit));
            let limit = bound
                .used
                .saturating_add(needs.store_bytes)
                .saturating_add(PROGRAM_BYTES);
            let command = format!("echo {limit} > {}", machine.shown(&bound.file));
            check.by_room(bound.left(), needs, found, command)
        }
    }
}

fn memory(name: &str, needs: &Needs) -> Check {
    Check::new(
        name,
        format!(
            "{} for a store of {} and the program",
            size(needs.store_bytes.saturating_add(PROGRAM_BYTES)),
            size(needs.store_bytes)
        ),
        "the store is refused memory and spills or answers that it is full; with next to none the \
         kernel ends processes",
    )
}

/// The largest store that fits.
fn smaller_store(bytes: u64) -> String {
    let mib = bytes.saturating_sub(PROGRAM_BYTES) >> 20;
    format!("export MASER_STORE_BYTES={mib}MiB (in the shell that starts the program)")
}

impl Check {
    fn by_room(self, bytes: u64, needs: &Needs, found: String, command: String) -> Self {
        if bytes >= needs.store_bytes.saturating_add(PROGRAM_BYTES) {
            self.fine(found)
        } else if bytes >= PROGRAM_BYTES {
            self.degrades(found, command)
        } else {
            self.prevents(found, command)
        }
    }
}

/// Whether the kernel promises memory only up to a limit.
pub(super) fn overcommit(machine: &Machine, _needs: &Needs) -> Check {
    let check = Check::new(
        "overcommit",
        "vm.overcommit_memory = 0 or 1",
        "stacks of tasks count in full although little of them is touched; tasks are refused early",
    );
    match machine.number("proc/sys/vm/overcommit_memory") {
        None => check.unknown("/proc/sys/vm/overcommit_memory does not say"),
        Some(2) => check.degrades("2", "sysctl vm.overcommit_memory=0"),
        Some(other) => check.fine(other.to_string()),
    }
}

/// Room in `/dev/shm`, which maser does not use and libraries beside it do.
pub(super) fn dev_shm(machine: &Machine, _needs: &Needs) -> Check {
    const NEEDED: u64 = 256 << 20;
    let check = Check::new(
        "dev_shm",
        format!("{} free in /dev/shm", size(NEEDED)),
        "communication libraries such as NCCL and UCX fail beside maser, which needs none of it",
    );
    let command = "mount -o remount,size=1g /dev/shm (in a container: docker run --shm-size=1g)";
    match machine.dev_shm {
        None => check.degrades(
            "there is no /dev/shm",
            "mkdir -p /dev/shm && mount -t tmpfs -o size=1g tmpfs /dev/shm",
        ),
        Some(room) => {
            let found = format!("{} free of {}", size(room.free), size(room.total));
            if room.free >= NEEDED {
                check.fine(found)
            } else {
                check.degrades(found, command)
            }
        }
    }
}
