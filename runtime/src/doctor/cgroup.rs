//! Limits of the cgroups around this process, both versions.
//!
//! Each controller has one hierarchy: that of version 2, or one of version 1 by its name. The limits
//! of all cgroups from the process's own to the top bind, so what counts is the one that leaves
//! least.

use std::fs;
use std::path::{Path, PathBuf};

/// Names of the files that hold a limit and what is used of it.
pub(super) struct Names {
    /// The controller, as version 1 spells it.
    pub controller: &'static str,
    /// Limit and use in version 2.
    pub two: (&'static str, &'static str),
    /// Limit and use in version 1.
    pub one: (&'static str, &'static str),
}

/// A limit of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    /// The file that holds it.
    pub file: PathBuf,
    pub limit: u64,
    pub used: u64,
}

impl Bound {
    /// What can still be had.
    pub fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

/// The limit that leaves least; `None` if nothing limits.
pub(super) fn tightest(root: &Path, names: &Names) -> Option<Bound> {
    let one = folders(root, names.controller, false).into_iter();
    let two = folders(root, names.controller, true).into_iter();
    let bounds = one
        .filter_map(|folder| bound(&folder, names.one))
        .chain(two.filter_map(|folder| bound(&folder, names.two)));
    bounds.min_by_key(Bound::left)
}

/// The files of that name in all cgroups around this process that have one, its own first.
pub(super) fn files(root: &Path, controller: &str, name: &str, is_two: bool) -> Vec<PathBuf> {
    let folders = folders(root, controller, is_two);
    let files = folders.into_iter().map(|folder| folder.join(name));
    files.filter(|file| file.exists()).collect()
}

fn bound(folder: &Path, (limit, used): (&str, &str)) -> Option<Bound> {
    /// Version 1 has the largest multiple of a page for no limit.
    const NO_LIMIT: u64 = i64::MAX as u64 - (1 << 20);
    let number = |name: &str| -> Option<u64> {
        let text = fs::read_to_string(folder.join(name)).ok()?;
        text.trim().parse().ok()
    };
    let file = folder.join(limit);
    let limit = number(limit).filter(|&limit| limit < NO_LIMIT)?;
    let used = number(used).unwrap_or(0);
    Some(Bound { file, limit, used })
}

/// The folders of the process's cgroup and of those around it, its own first.
fn folders(root: &Path, controller: &str, is_two: bool) -> Vec<PathBuf> {
    let Some((top, mount)) = mount(root, controller, is_two) else {
        return Vec::new();
    };
    let membership = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let own = membership.lines().find_map(|line| {
        let (_id, line) = line.split_once(':')?;
        let (controllers, path) = line.split_once(':')?;
        let is_this = match is_two {
            true => controllers.is_empty(),
            false => controllers.split(',').any(|name| name == controller),
        };
        is_this.then_some(path)
    });
    let own = own.unwrap_or("/");
    // In a container the path may count from the machine's top while the mount shows less.
    let below = own.strip_prefix(top.trim_end_matches('/')).unwrap_or(own);
    let mut folders = vec![mount.clone()];
    let mut folder = mount;
    for name in below.split('/').filter(|name| !name.is_empty()) {
        if name == ".." {
            break;
        }
        folder = folder.join(name);
        folders.push(folder.clone());
    }
    folders.reverse();
    folders
}

/// The cgroup at the top of a hierarchy, and the folder where that is mounted.
fn mount(root: &Path, controller: &str, is_two: bool) -> Option<(String, PathBuf)> {
    let table = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
    table.lines().find_map(|line| {
        let (place, system) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (top, at) = (place.next()?, place.next()?);
        let mut system = system.split(' ');
        let is_this = match (system.next()?, is_two) {
            ("cgroup2", true) => true,
            ("cgroup", false) => system.nth(1)?.split(',').any(|name| name == controller),
            _ => false,
        };
        let at = root.join(at.trim_start_matches('/'));
        is_this.then(|| (top.to_owned(), at))
    })
}
