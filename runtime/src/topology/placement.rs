//! The order in which schedulers get CPUs.
//!
//! - PN-1 the order is a permutation of the usable CPUs.
//! - PN-2 no core gives its second hardware thread before every core has given its first.
//! - PN-3 within one round of PN-2, CPUs of one NUMA node are together, and within a node those of
//!   one L3 cache.
//! - PN-4 the first node, and the first L3 cache of each node, is the smallest that holds what is
//!   still to be placed, else the largest; further nodes follow by distance from the first.

use super::{Cpu, NumaNode};
use std::collections::BTreeMap;

/// All of `cpus`, best first for `wanted` schedulers.
pub(super) fn order(cpus: &[Cpu], nodes: &[NumaNode], wanted: usize) -> Vec<usize> {
    let mut rounds: Vec<Vec<&Cpu>> = Vec::new();
    let mut given: BTreeMap<usize, usize> = BTreeMap::new();
    for cpu in cpus {
        let round = given.entry(cpu.core).or_default();
        if rounds.len() == *round {
            rounds.push(Vec::new());
        }
        rounds[*round].push(cpu);
        *round += 1;
    }
    let Some(first) = rounds.first() else {
        return Vec::new();
    };

    // Nodes and caches are ranked once, by their cores, so that the later rounds revisit them in
    // the same order: the second threads of the nearest cores come first.
    let node_rank = rank_nodes(first, nodes, wanted);
    let l3_rank = rank_caches(first, &node_rank, wanted);
    let mut order = Vec::with_capacity(cpus.len());
    for mut round in rounds {
        round.sort_by_key(|cpu| {
            (
                rank(&node_rank, cpu.numa_node),
                rank(&l3_rank, cpu.l3),
                cpu.id,
            )
        });
        order.extend(round.iter().map(|cpu| cpu.id));
    }
    order
}

/// Node number to its place in the order.
fn rank_nodes(cores: &[&Cpu], nodes: &[NumaNode], wanted: usize) -> BTreeMap<usize, usize> {
    let sizes = count(cores, |cpu| cpu.numa_node);
    let Some(start) = best_fit(&sizes, wanted) else {
        return BTreeMap::new();
    };
    let distances = nodes
        .iter()
        .find(|node| node.id == start)
        .map(|node| &node.distances);
    let distance = |id: usize| {
        let place = nodes.iter().position(|node| node.id == id)?;
        distances?.get(place).copied()
    };
    let mut ids: Vec<usize> = sizes.into_keys().collect();
    // A node of unknown distance comes last.
    ids.sort_by_key(|&id| (id != start, distance(id).unwrap_or(u32::MAX), id));
    ids.into_iter()
        .enumerate()
        .map(|(rank, id)| (id, rank))
        .collect()
}

/// L3 group to its place in the order among those of its node.
fn rank_caches(
    cores: &[&Cpu],
    node_rank: &BTreeMap<usize, usize>,
    wanted: usize,
) -> BTreeMap<usize, usize> {
    let mut by_node: BTreeMap<usize, Vec<&Cpu>> = BTreeMap::new();
    for cpu in cores {
        by_node
            .entry(rank(node_rank, cpu.numa_node))
            .or_default()
            .push(cpu);
    }
    let mut left = wanted;
    let mut ranks = BTreeMap::new();
    for cores in by_node.values() {
        let mut sizes = count(cores, |cpu| cpu.l3);
        while let Some(group) = best_fit(&sizes, left) {
            // A cache that spans nodes keeps the place it got in the first.
            let next = ranks.len();
            ranks.entry(group).or_insert(next);
            left = left.saturating_sub(sizes.remove(&group).unwrap_or(0));
        }
    }
    ranks
}

/// A group that has no first thread of any core comes last: no real machine has one.
fn rank(ranks: &BTreeMap<usize, usize>, group: usize) -> usize {
    ranks.get(&group).copied().unwrap_or(usize::MAX)
}

fn count(cores: &[&Cpu], group: impl Fn(&Cpu) -> usize) -> BTreeMap<usize, usize> {
    let mut sizes = BTreeMap::new();
    for cpu in cores {
        *sizes.entry(group(cpu)).or_default() += 1;
    }
    sizes
}

/// PN-4: the smallest group that holds `wanted`, else the largest; of equals the lowest number.
fn best_fit(sizes: &BTreeMap<usize, usize>, wanted: usize) -> Option<usize> {
    let fits = sizes
        .iter()
        .filter(|&(_, &size)| size >= wanted)
        .min_by_key(|&(_, &size)| size);
    let largest = || sizes.iter().rev().max_by_key(|&(_, &size)| size);
    fits.or_else(largest).map(|(&group, _)| group)
}
