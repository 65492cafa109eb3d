//! Cores, caches and NUMA nodes as the kernel lists them in files.
//!
//! Every reader answers "unknown" for a file that is missing or makes no sense, and its caller
//! falls back to a flat machine (TP-1).

use super::{Cpu, NumaNode};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::str::FromStr;

/// No machine numbers its CPUs or nodes beyond this; a list that does is nonsense, and expanding
/// it could fill the memory.
const MAX_ID: usize = 1 << 16;

/// A NUMA node as listed, usable or not.
pub(super) struct ListedNode {
    id: usize,
    cpus: Vec<usize>,
    /// Distance by place in the listing.
    distances: Vec<u32>,
}

/// The nodes that are online, ascending; empty if the machine does not tell.
pub(super) fn nodes(root: &Path) -> Vec<ListedNode> {
    let folder = root.join("sys/devices/system/node");
    let Ok(entries) = fs::read_dir(&folder) else {
        return Vec::new();
    };
    let mut nodes: Vec<ListedNode> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let id = number_after("node", entry.file_name().to_str()?)?;
            let cpus = list(&entry.path().join("cpulist"))?;
            let distances = fs::read_to_string(entry.path().join("distance"))
                .map(|text| {
                    text.split_whitespace()
                        .map_while(|word| word.parse().ok())
                        .collect()
                })
                .unwrap_or_default();
            Some(ListedNode {
                id,
                cpus,
                distances,
            })
        })
        .collect();
    nodes.sort_by_key(|node| node.id);
    nodes
}

/// What is known of each of the `usable` CPUs.
pub(super) fn cpus(root: &Path, usable: &[usize], nodes: &[ListedNode]) -> Vec<Cpu> {
    let node_of: BTreeMap<usize, usize> = nodes
        .iter()
        .flat_map(|node| node.cpus.iter().map(|&cpu| (cpu, node.id)))
        .collect();
    let mut cpus: Vec<Cpu> = Vec::with_capacity(usable.len());
    let mut l3_unknown = Vec::new();
    for &id in usable {
        let folder = root.join(format!("sys/devices/system/cpu/cpu{id}"));
        let topology = folder.join("topology");
        let siblings = list(&topology.join("core_cpus_list"))
            .or_else(|| list(&topology.join("thread_siblings_list")))
            .filter(|siblings| siblings.contains(&id))
            .unwrap_or_else(|| vec![id]);
        let l3 = l3_group(&folder.join("cache"));
        if l3.is_none() {
            l3_unknown.push(cpus.len());
        }
        cpus.push(Cpu {
            id,
            core: siblings[0],
            // -1 (unknown) on some platforms.
            package: value(&topology.join("physical_package_id")).unwrap_or(0),
            numa_node: node_of.get(&id).copied().unwrap_or(0),
            l3: l3.unwrap_or(0),
            siblings,
        });
    }
    for at in l3_unknown {
        let package = cpus[at].package;
        cpus[at].l3 = cpus
            .iter()
            .filter(|cpu| cpu.package == package)
            .map(|cpu| cpu.id)
            .min()
            .unwrap_or(0);
    }
    cpus
}

/// The nodes that have any of `cpus`.
pub(super) fn used_nodes(cpus: &[Cpu], listed: &[ListedNode]) -> Vec<NumaNode> {
    let mut used: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for cpu in cpus {
        used.entry(cpu.numa_node).or_default().push(cpu.id);
    }
    let place = |id: usize| listed.iter().position(|node| node.id == id);
    let distance = |from: usize, to: usize| {
        let distances = &listed[place(from)?].distances;
        distances.get(place(to)?).copied()
    };
    used.iter()
        .map(|(&id, cpus)| NumaNode {
            id,
            cpus: cpus.clone(),
            distances: used
                .keys()
                .map(|&to| distance(id, to).unwrap_or(if id == to { 10 } else { 20 }))
                .collect(),
        })
        .collect()
}

/// The affinity mask as the status file spells it: for machines too large for `CpuSet`.
pub(super) fn allowed_cpus(root: &Path) -> Vec<usize> {
    fs::read_to_string(root.join("proc/thread-self/status"))
        .ok()
        .and_then(|status| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
            parse_list(line)
        })
        .unwrap_or_else(|| vec![0])
}

/// The lowest CPU under the L3 cache described in the folder `cache`.
fn l3_group(cache: &Path) -> Option<usize> {
    // index0.. are L1d, L1i, L2, L3 on most machines; the level file decides.
    (0..8).find_map(|index| {
        let folder = cache.join(format!("index{index}"));
        let level: usize = value(&folder.join("level"))?;
        if level != 3 {
            return None;
        }
        list(&folder.join("shared_cpu_list")).map(|cpus| cpus[0])
    })
}

/// The one value in the file.
fn value<T: FromStr>(path: &Path) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The list in the file, ascending and not empty.
fn list(path: &Path) -> Option<Vec<usize>> {
    parse_list(&fs::read_to_string(path).ok()?)
}

/// Parses the kernel's list format (`0-3,8,10-11`) into ascending numbers; `None` if it is empty
/// or not in the format.
pub(super) fn parse_list(text: &str) -> Option<Vec<usize>> {
    let mut numbers = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().ok()?;
        let last: usize = last.trim().parse().ok()?;
        if first > last || last >= MAX_ID {
            return None;
        }
        numbers.extend(first..=last);
    }
    numbers.sort_unstable();
    numbers.dedup();
    (!numbers.is_empty()).then_some(numbers)
}

fn number_after(prefix: &str, name: &str) -> Option<usize> {
    name.strip_prefix(prefix)?
        .parse()
        .ok()
        .filter(|&number| number < MAX_ID)
}
