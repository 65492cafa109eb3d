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
    total_below(Path::new("/"))
}

fn total_below(root: &Path) -> Option<u64> {
    let limits = cgroups(root).into_iter();
    let group = limits.filter_map(|group| group.limit()).min();
    match (meminfo(root, "MemTotal:"), group) {
        (Some(machine), Some(group)) => Some(machine.min(group)),
        (one, other) => one.or(other),
    }
}

/// Bytes of huge pages that the cgroups of this process leave it; `None` without a limit. A page
/// beyond it is refused when it is touched, and not when it is reserved.
#[must_use]
pub fn huge_pages_left(pages: PageKind) -> Option<u64> {
    huge_left_below(Path::new("/"), pages)
}

fn huge_left_below(root: &Path, pages: PageKind) -> Option<u64> {
    let size = match pages {
        PageKind::Plain => return None,
        PageKind::Huge2MiB => "2MB",
        PageKind::Huge1GiB => "1GB",
    };
    let left = |group: Cgroup| {
        let limit = number(&group.folder.join(format!("hugetlb.{size}.max")))?;
        let used = number(&group.folder.join(format!("hugetlb.{size}.current")))?;
        Some(limit.saturating_sub(used))
    };
    cgroups(root).into_iter().filter_map(left).min()
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
    let left = |group: Cgroup| {
        let used = number(&group.folder.join(group.files[1]))?;
        // Pages of files that nobody has used lately go as soon as somebody needs room.
        let idle = group.stat("inactive_file").unwrap_or(0);
        Some(group.limit()?.saturating_sub(used.saturating_sub(idle)))
    };
    cgroups(root).into_iter().filter_map(left).min()
}

/// A cgroup that this process is in, or one above.
struct Cgroup {
    folder: PathBuf,
    /// Where its limit stands, and its use.
    files: [&'static str; 2],
}

impl Cgroup {
    /// Its limit of memory, if it has one: version 1 writes a number near 2^63 for none.
    fn limit(&self) -> Option<u64> {
        let limit = number(&self.folder.join(self.files[0]))?;
        (limit < 1 << 62).then_some(limit)
    }

    /// A line of its statistics.
    fn stat(&self, name: &str) -> Option<u64> {
        let text = fs::read_to_string(self.folder.join("memory.stat")).ok()?;
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        let (_, value) = lines.find(|(key, _)| *key == name)?;
        value.trim().parse().ok()
    }
}

/// The cgroups that limit this process's memory, of either version, innermost first.
fn cgroups(root: &Path) -> Vec<Cgroup> {
    let membership = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut groups = Vec::new();
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (mount, files) = if controllers.is_empty() {
            ("sys/fs/cgroup", ["memory.max", "memory.current"])
        } else if controllers.split(',').any(|name| name == "memory") {
            let files = ["memory.limit_in_bytes", "memory.usage_in_bytes"];
            ("sys/fs/cgroup/memory", files)
        } else {
            continue;
        };
        let mount = root.join(mount);
        let innermost = mount.join(path.trim_start_matches('/'));
        let folders = innermost.ancestors();
        for folder in folders.take_while(|folder| folder.starts_with(&mount)) {
            let folder = folder.to_path_buf();
            groups.push(Cgroup { folder, files });
        }
    }
    groups
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
    fn pages_of_idle_files_can_be_had_and_version_1_counts() {
        let machine = Machine::new("cgroup-1")
            .has("proc/meminfo", "MemTotal: 9000 kB\nMemAvailable: 4000 kB\n")
            .has("proc/self/cgroup", "3:cpu:/x\n4:memory,other:/job\n0::/\n")
            .has(
                "sys/fs/cgroup/memory/job/memory.limit_in_bytes",
                "1000000\n",
            )
            .has("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "900000\n")
            .has(
                "sys/fs/cgroup/memory/job/memory.stat",
                "cache 1\ninactive_file 300000\nactive_file 7\n",
            )
            .has(
                "sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            )
            .has("sys/fs/cgroup/memory/memory.usage_in_bytes", "900000\n");
        assert_eq!(available_below(&machine.0), Some(400_000));
        assert_eq!(total_below(&machine.0), Some(1_000_000));
    }

    #[test]
    #[cfg_attr(miri, ignore = "writes files")]
    fn a_limit_of_huge_pages_is_found_and_none_is_none() {
        let machine = Machine::new("cgroup-huge")
            .has("proc/self/cgroup", "0::/job\n")
            .has("sys/fs/cgroup/job/hugetlb.2MB.max", "8388608\n")
            .has("sys/fs/cgroup/job/hugetlb.2MB.current", "2097152\n")
            .has("sys/fs/cgroup/job/hugetlb.1GB.max", "max\n")
            .has("sys/fs/cgroup/job/hugetlb.1GB.current", "0\n");
        let left = |pages| huge_left_below(&machine.0, pages);
        assert_eq!(left(PageKind::Huge2MiB), Some(6 << 20));
        assert_eq!(left(PageKind::Huge1GiB), None);
        assert_eq!(left(PageKind::Plain), None);
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
