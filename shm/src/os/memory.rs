//! How much memory there is: of the machine, of the cgroup, of the pools of huge pages.

use std::fs;
use std::path::{Path, PathBuf};

use super::shared_memory::PageKind;

/// Pages of the kernel's pool of huge pages of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HugePool {
    /// Pages in the pool.
    pub total: u64,
    /// Pages that nobody uses.
    pub free: u64,
    /// Free pages that are promised to a mapping.
    pub reserved: u64,
}

impl HugePool {
    /// Pages that a new mapping could have.
    #[must_use]
    pub fn available(&self) -> u64 {
        self.free.saturating_sub(self.reserved)
    }
}

/// The pool of `pages`; `None` where the machine has no such pages.
#[must_use]
pub fn huge_pool(pages: PageKind) -> Option<HugePool> {
    huge_pool_below(Path::new("/"), pages)
}

fn huge_pool_below(root: &Path, pages: PageKind) -> Option<HugePool> {
    let kib = pages.bytes() >> 10;
    let folder = root.join(format!("sys/kernel/mm/hugepages/hugepages-{kib}kB"));
    let read = |name: &str| number(&folder.join(name));
    Some(HugePool {
        total: read("nr_hugepages")?,
        free: read("free_hugepages")?,
        reserved: read("resv_hugepages")?,
    })
}

/// Bytes that this process can still take without pushing anybody out: the machine's available
/// memory, or what its cgroups (version 2) leave it if that is less. `None` if nothing can be read.
#[must_use]
pub fn available_bytes() -> Option<u64> {
    available_below(Path::new("/"))
}

fn available_below(root: &Path) -> Option<u64> {
    let machine = machine_available(root);
    let group = cgroup_left(root);
    match (machine, group) {
        (Some(machine), Some(group)) => Some(machine.min(group)),
        (one, other) => one.or(other),
    }
}

/// Bytes of memory that this process could have at best: the machine's, or the limit of its cgroups
/// if that is less. `None` if nothing can be read.
#[must_use]
pub fn total_bytes() -> Option<u64> {
    let root = Path::new("/");
    let limits = cgroups(root).into_iter();
    let group = limits
        .filter_map(|folder| number(&folder.join("memory.max")))
        .min();
    match (meminfo(root, "MemTotal:"), group) {
        (Some(machine), Some(group)) => Some(machine.min(group)),
        (one, other) => one.or(other),
    }
}

fn machine_available(root: &Path) -> Option<u64> {
    meminfo(root, "MemAvailable:")
}

fn meminfo(root: &Path, field: &str) -> Option<u64> {
    let meminfo = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.saturating_mul(1024))
}

/// The least that any cgroup above this process leaves.
fn cgroup_left(root: &Path) -> Option<u64> {
    let left = |folder: PathBuf| {
        let limit = number(&folder.join("memory.max"))?;
        let used = number(&folder.join("memory.current"))?;
        Some(limit.saturating_sub(used))
    };
    cgroups(root).into_iter().filter_map(left).min()
}

/// The folders of the cgroups (version 2) this process is in, innermost first.
fn cgroups(root: &Path) -> Vec<PathBuf> {
    let membership = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let line = membership
        .lines()
        .find_map(|line| line.strip_prefix("0::/"));
    let Some(path) = line else { return Vec::new() };
    let mount = root.join("sys/fs/cgroup");
    let innermost = mount.join(path);
    let folders = innermost.ancestors();
    let inside = folders.take_while(|folder| folder.starts_with(&mount));
    inside.map(Path::to_path_buf).collect()
}

/// The number in a file; `None` for `max` and whatever is no number.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A made-up machine below a temporary folder.
    struct Machine(PathBuf);

    impl Machine {
        fn new(name: &str) -> Self {
            let unique = format!("maser-memory-{name}-{}", std::process::id());
            let root = std::env::temp_dir().join(unique);
            fs::create_dir_all(&root).unwrap();
            Self(root)
        }
        fn has(self, file: &str, text: &str) -> Self {
            let path = self.0.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            self
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _removed = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "writes files")]
    fn the_tightest_cgroup_above_counts() {
        let machine = Machine::new("cgroup")
            .has(
                "proc/meminfo",
                "MemTotal: 9000 kB\nMemAvailable:   4000 kB\n",
            )
            .has("proc/self/cgroup", "0::/job/step\n")
            .has("sys/fs/cgroup/job/memory.max", "1000000\n")
            .has("sys/fs/cgroup/job/memory.current", "400000\n")
            .has("sys/fs/cgroup/job/step/memory.max", "max\n")
            .has("sys/fs/cgroup/job/step/memory.current", "300000\n");
        assert_eq!(available_below(&machine.0), Some(600_000));
    }

    #[test]
    #[cfg_attr(miri, ignore = "writes files")]
    fn without_a_cgroup_the_machine_counts() {
        let machine = Machine::new("machine").has("proc/meminfo", "MemAvailable: 4 kB\n");
        assert_eq!(available_below(&machine.0), Some(4096));
        assert_eq!(available_below(Path::new("/nowhere")), None);
    }

    #[test]
    #[cfg_attr(miri, ignore = "writes files")]
    fn promised_pages_are_not_available() {
        let folder = "sys/kernel/mm/hugepages/hugepages-2048kB";
        let machine = Machine::new("pool")
            .has(&format!("{folder}/nr_hugepages"), "10\n")
            .has(&format!("{folder}/free_hugepages"), "7\n")
            .has(&format!("{folder}/resv_hugepages"), "3\n");
        let pool = huge_pool_below(&machine.0, PageKind::Huge2MiB).unwrap();
        assert_eq!((pool.total, pool.available()), (10, 4));
        assert_eq!(huge_pool_below(&machine.0, PageKind::Huge1GiB), None);
    }
}
