//! The CPUs this process may use, how near they are to each other, and how much of them it may
//! use at a time.
//!
//! | source | gives |
//! |---|---|
//! | `sched_getaffinity`, else `/proc/thread-self/status` | which CPUs are usable |
//! | `/sys/devices/system/cpu` | cores, packages, hardware threads, shared L3 caches |
//! | `/sys/devices/system/node` | NUMA nodes and the distances between them |
//! | `/proc/self/{cgroup,mountinfo}` and the cgroup file systems, v1 and v2 | the CPU quota |
//!
//! - TP-1 what cannot be read is assumed flat: every CPU a core of its own, one package, one node,
//!   no quota. Detection never fails.
//! - TP-2 only CPUs of the affinity mask appear; there is always at least one.
//! - TP-3 the mask is that of the calling *thread*, so it has to be read before that thread is
//!   pinned.
//!
//! Everything but the mask is read below a root directory, so that tests hand in made-up machines.

mod cgroup;
mod placement;
mod sysfs;
#[cfg(test)]
mod tests;

use std::path::Path;

/// One usable CPU: a hardware thread, by the kernel's numbering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// The kernel's number, as pinning takes it.
    pub id: usize,
    /// The physical core, named by the lowest CPU number on it: unique in the machine.
    pub core: usize,
    /// The physical package (socket).
    pub package: usize,
    /// The NUMA node.
    pub numa_node: usize,
    /// The group of CPUs under one L3 cache, named by the lowest CPU number in it; the package's
    /// lowest where the machine does not tell.
    pub l3: usize,
    /// All hardware threads of the core, this one included, usable or not.
    pub siblings: Vec<usize>,
}

/// One NUMA node with usable CPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumaNode {
    /// The kernel's number.
    pub id: usize,
    /// The usable CPUs, ascending.
    pub cpus: Vec<usize>,
    /// Distance to each node in the order of [`Topology::numa_nodes`]; 10 is local (ACPI SLIT).
    pub distances: Vec<u32>,
}

/// The part of the machine that this process may use.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    /// The usable CPUs, ascending by number, never empty.
    pub cpus: Vec<Cpu>,
    /// The NUMA nodes that have any of them, ascending by number, never empty.
    pub numa_nodes: Vec<NumaNode>,
    /// How many CPUs' worth of time the cgroups grant, if they limit it.
    pub quota: Option<f64>,
}

impl Topology {
    /// Looks at the machine: a few small files per CPU, so a few milliseconds on a large one.
    /// Call it before the calling thread is pinned (TP-3).
    pub fn detect() -> Self {
        let root = Path::new("/");
        Self::read(root, &usable_cpus(root))
    }

    /// The machine described below `root` (which has `proc` and `sys` in it), of which the CPUs
    /// `usable` may be used; none is taken for CPU 0 alone.
    pub fn read(root: &Path, usable: &[usize]) -> Self {
        let mut usable = usable.to_vec();
        usable.sort_unstable();
        usable.dedup();
        if usable.is_empty() {
            usable.push(0);
        }
        let nodes = sysfs::nodes(root);
        let mut cpus = sysfs::cpus(root, &usable, &nodes);
        cpus.sort_by_key(|cpu| cpu.id);
        let numa_nodes = sysfs::used_nodes(&cpus, &nodes);
        Self {
            cpus,
            numa_nodes,
            quota: cgroup::quota(root),
        }
    }

    /// How many threads can make progress at once: the usable CPUs or the quota rounded up,
    /// whichever is less, and never below 1.
    pub fn usable_parallelism(&self) -> usize {
        limit(self.cpus.len(), self.quota)
    }

    /// Where to pin `n` schedulers: CPU numbers in the order in which schedulers get them.
    ///
    /// Each gets a physical core of its own as long as there are any, near each other: first
    /// those of one L3 cache and one NUMA node, starting with the smallest that holds `n`, then
    /// the nearest nodes. Hardware threads that share a core with an earlier one come after that,
    /// and when `n` exceeds the usable CPUs the order starts again.
    pub fn placement(&self, n: usize) -> Vec<usize> {
        let order = placement::order(&self.cpus, &self.numa_nodes, n);
        order.iter().copied().cycle().take(n).collect()
    }
}

/// [`Topology::usable_parallelism`] of this machine without reading the rest of it.
pub fn usable_parallelism() -> usize {
    let root = Path::new("/");
    limit(usable_cpus(root).len(), cgroup::quota(root))
}

fn limit(cpus: usize, quota: Option<f64>) -> usize {
    let cpus = cpus.max(1);
    match quota {
        // Saturating: a float beyond usize is no limit.
        Some(quota) => cpus.min(quota.ceil() as usize).max(1),
        None => cpus,
    }
}

/// The affinity mask of the calling thread, ascending; CPU 0 if nothing tells.
fn usable_cpus(root: &Path) -> Vec<usize> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    // The set has room for 1,024 CPUs; the kernel refuses it on machines that have more.
    let mask = sched_getaffinity(None).map(|mask| {
        (0..CpuSet::MAX_CPU)
            .filter(|&cpu| mask.is_set(cpu))
            .collect::<Vec<_>>()
    });
    match mask {
        Ok(cpus) if !cpus.is_empty() => cpus,
        _ => sysfs::allowed_cpus(root),
    }
}
