//! The CPU quota that cgroups put on this process.
//!
//! A process is in one cgroup per hierarchy, and every ancestor's limit binds as well, so the
//! quota is the least of them all. Version 2 has one hierarchy, version 1 one per controller, and
//! a machine may have both; whichever says less counts.
//!
//! - CG-1 a limit that cannot be read or makes no sense is no limit.

use std::fs;
use std::path::{Path, PathBuf};

/// A mounted hierarchy that can hold CPU limits.
struct Mount {
    version: Version,
    /// The cgroup that appears at the mount point: `/`, or a deeper one in a container.
    top: String,
    at: PathBuf,
}

#[derive(Clone, Copy, PartialEq)]
enum Version {
    One,
    Two,
}

/// How many CPUs' worth of time this process may use; `None` if nothing limits it.
pub(super) fn quota(root: &Path) -> Option<f64> {
    let memberships = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mounts = mounts(root);
    memberships
        .lines()
        .filter_map(parse_membership)
        .flat_map(|(version, path)| {
            mounts
                .iter()
                .filter(move |mount| mount.version == version)
                .filter_map(move |mount| least(mount, path))
        })
        .min_by(f64::total_cmp)
}

/// One line of `/proc/self/cgroup`, `id:controllers:path`, if that hierarchy can limit CPU.
fn parse_membership(line: &str) -> Option<(Version, &str)> {
    let mut parts = line.splitn(3, ':');
    let (_id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    if controllers.is_empty() {
        Some((Version::Two, path))
    } else {
        controllers
            .split(',')
            .any(|name| name == "cpu")
            .then_some((Version::One, path))
    }
}

/// The least limit of the cgroup `path` and its ancestors, as far as the mount shows them.
fn least(mount: &Mount, path: &str) -> Option<f64> {
    // A container may show its own cgroup as the top, while the path counts from the machine's.
    let below = match path.strip_prefix(mount.top.trim_end_matches('/')) {
        Some(below) if below.is_empty() || below.starts_with('/') => below,
        _ => path,
    };
    let mut folder = mount.at.clone();
    let mut least = limit(mount.version, &folder);
    // `..` leads out of what this process may see.
    for name in below
        .split('/')
        .filter(|name| !name.is_empty() && *name != "..")
    {
        folder.push(name);
        if let Some(limit) = limit(mount.version, &folder) {
            least = Some(least.map_or(limit, |least: f64| least.min(limit)));
        }
    }
    least
}

/// The limit of one cgroup by itself.
fn limit(version: Version, folder: &Path) -> Option<f64> {
    let read = |name| fs::read_to_string(folder.join(name)).ok();
    match version {
        Version::Two => parse_cpu_max(&read("cpu.max")?),
        Version::One => ratio(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?),
    }
}

/// `max 100000` or `150000 100000`: microseconds of CPU time per microseconds of time.
pub(super) fn parse_cpu_max(text: &str) -> Option<f64> {
    let mut words = text.split_whitespace();
    let quota = words.next()?;
    // The kernel's default period, if it names none.
    ratio(quota, words.next().unwrap_or("100000"))
}

/// `max` and -1 (no limit) fall through as what does not parse or is not positive.
fn ratio(quota_us: &str, period_us: &str) -> Option<f64> {
    let quota_us: i64 = quota_us.trim().parse().ok()?;
    let period_us: i64 = period_us.trim().parse().ok()?;
    (quota_us > 0 && period_us > 0).then(|| quota_us as f64 / period_us as f64)
}

/// The mounted hierarchies; the usual places if the machine does not tell.
fn mounts(root: &Path) -> Vec<Mount> {
    let table = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
    let mounts: Vec<Mount> = table
        .lines()
        .filter_map(|line| parse_mount(root, line))
        .collect();
    if !mounts.is_empty() {
        return mounts;
    }
    let usual = [
        (Version::Two, "sys/fs/cgroup"),
        (Version::Two, "sys/fs/cgroup/unified"),
        (Version::One, "sys/fs/cgroup/cpu"),
        (Version::One, "sys/fs/cgroup/cpu,cpuacct"),
    ];
    usual
        .into_iter()
        .map(|(version, at)| Mount {
            version,
            top: "/".to_owned(),
            at: root.join(at),
        })
        .collect()
}

/// One line of `/proc/self/mountinfo`:
/// `id parent major:minor top mount-point options [tags] - type source super-options`.
fn parse_mount(root: &Path, line: &str) -> Option<Mount> {
    let (mount, kind) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (top, at) = (mount.next()?, mount.next()?);
    let mut kind = kind.split(' ');
    let version = match kind.next()? {
        "cgroup2" => Version::Two,
        "cgroup" => {
            let options = kind.nth(1)?;
            options
                .split(',')
                .any(|name| name == "cpu")
                .then_some(Version::One)?
        }
        _ => return None,
    };
    let at = root.join(at.trim_start_matches('/'));
    Some(Mount {
        version,
        top: top.to_owned(),
        at,
    })
}
