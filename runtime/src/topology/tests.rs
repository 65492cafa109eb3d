//! Topologies of made-up machines (their tests start with `fake_`) and of this one.

use super::cgroup::parse_cpu_max;
use super::sysfs::parse_list;
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// A made-up machine: files below a temporary folder that goes with it.
struct FakeMachine(PathBuf);

impl FakeMachine {
    /// `test` keeps the folders of concurrent tests apart.
    fn new(test: &str) -> Self {
        let root = std::env::temp_dir().join(format!("maser-{}-{test}", std::process::id()));
        fs::create_dir_all(&root).expect("a temporary folder");
        Self(root)
    }

    fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
        self
    }

    fn cpu(&self, id: usize, package: i32, siblings: &str, l3: &str) -> &Self {
        let folder = format!("sys/devices/system/cpu/cpu{id}");
        self.file(
            &format!("{folder}/topology/physical_package_id"),
            &format!("{package}\n"),
        )
        .file(
            &format!("{folder}/topology/thread_siblings_list"),
            &format!("{siblings}\n"),
        )
        .file(&format!("{folder}/cache/index0/level"), "1\n")
        .file(
            &format!("{folder}/cache/index0/shared_cpu_list"),
            &format!("{siblings}\n"),
        )
        .file(&format!("{folder}/cache/index3/level"), "3\n")
        .file(
            &format!("{folder}/cache/index3/shared_cpu_list"),
            &format!("{l3}\n"),
        )
    }

    fn node(&self, id: usize, cpus: &str, distances: &str) -> &Self {
        let folder = format!("sys/devices/system/node/node{id}");
        self.file(&format!("{folder}/cpulist"), &format!("{cpus}\n"))
            .file(&format!("{folder}/distance"), &format!("{distances}\n"))
    }

    /// Two packages, one node each, of four cores with two threads: 0-3 and 8-11, 4-7 and 12-15.
    /// Each package has two L3 caches of two cores.
    fn two_packages(test: &str) -> Self {
        let machine = Self::new(test);
        for id in 0..16 {
            let core = id % 8;
            let pair = core / 2 * 2;
            let l3 = format!("{},{},{},{}", pair, pair + 1, pair + 8, pair + 9);
            machine.cpu(id, (core / 4) as i32, &format!("{core},{}", core + 8), &l3);
        }
        machine
            .node(0, "0-3,8-11", "10 21")
            .node(1, "4-7,12-15", "21 10");
        machine
    }

    fn all(&self, cpus: usize) -> Topology {
        Topology::read(&self.0, &(0..cpus).collect::<Vec<_>>())
    }
}

impl Drop for FakeMachine {
    fn drop(&mut self) {
        // Left behind at worst: a folder of small files below the temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn fake_empty_root_is_a_flat_machine() {
    let machine = FakeMachine::new("empty");
    let topology = machine.all(3);
    let flat = |id| Cpu {
        id,
        core: id,
        package: 0,
        numa_node: 0,
        l3: 0,
        siblings: vec![id],
    };
    assert_eq!(topology.cpus, [flat(0), flat(1), flat(2)]);
    let node = NumaNode {
        id: 0,
        cpus: vec![0, 1, 2],
        distances: vec![10],
    };
    assert_eq!(topology.numa_nodes, [node]);
    assert_eq!(topology.quota, None);
    assert_eq!(topology.usable_parallelism(), 3);
    assert_eq!(topology.placement(5), [0, 1, 2, 0, 1]);
}

#[test]
fn fake_no_usable_cpu_is_taken_for_cpu_0() {
    let topology = Topology::read(&FakeMachine::new("none").0, &[]);
    assert_eq!(topology.cpus.len(), 1, "TP-2");
    assert_eq!(topology.placement(2), [0, 0]);
}

#[test]
fn fake_nonsense_in_every_file_is_a_flat_machine() {
    let machine = FakeMachine::new("nonsense");
    machine
        .cpu(0, -1, "7-3", "x")
        .cpu(1, -1, "0", "0-99999999999")
        .node(0, "", "ten")
        .file("proc/self/cgroup", "nonsense\n::\n0::\n")
        .file("proc/self/mountinfo", "a b c - cgroup2\n1 2 3 /\n")
        .file("sys/fs/cgroup/cpu.max", "-3 0\n");
    let topology = machine.all(2);
    assert_eq!(
        topology.cpus[1].siblings,
        [1],
        "a core's list names the core's own CPU"
    );
    assert_eq!(topology.cpus[1].package, 0);
    assert_eq!(topology.numa_nodes.len(), 1);
    assert_eq!(topology.quota, None, "CG-1");
}

#[test]
fn fake_two_packages_are_read_in_full() {
    let machine = FakeMachine::two_packages("read");
    let topology = machine.all(16);
    assert_eq!(
        topology.cpus[14],
        Cpu {
            id: 14,
            core: 6,
            package: 1,
            numa_node: 1,
            l3: 6,
            siblings: vec![6, 14]
        }
    );
    assert_eq!(topology.numa_nodes[1].cpus, [4, 5, 6, 7, 12, 13, 14, 15]);
    assert_eq!(topology.numa_nodes[1].distances, [21, 10]);
}

#[test]
fn fake_schedulers_get_whole_cores_before_sibling_threads() {
    let machine = FakeMachine::two_packages("cores");
    let placement = machine.all(16).placement(16);
    assert_eq!(
        placement,
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        "PN-2"
    );
}

#[test]
fn fake_few_schedulers_stay_under_one_cache_and_one_node() {
    let machine = FakeMachine::two_packages("near");
    // Of node 0, only cores 1, 2 and 3 are usable: its second cache holds two, its first one.
    let usable: Vec<usize> = (1..16).filter(|&cpu| cpu != 8).collect();
    let topology = Topology::read(&machine.0, &usable);
    assert_eq!(
        topology.placement(2),
        [2, 3],
        "PN-4: the smallest node and cache that hold two"
    );
    assert_eq!(topology.placement(3), [2, 3, 1]);
    assert_eq!(
        topology.placement(4),
        [4, 5, 6, 7],
        "four cores fit node 1 alone"
    );
    assert_eq!(
        topology.placement(1),
        [1],
        "one scheduler leaves the larger cache whole"
    );
}

#[test]
fn fake_further_nodes_come_by_distance() {
    let machine = FakeMachine::new("distance");
    machine
        .node(0, "0-2", "10 30 20")
        .node(1, "3", "30 10 20")
        .node(2, "4", "20 20 10");
    assert_eq!(machine.all(5).placement(5), [0, 1, 2, 4, 3]);
}

#[test]
fn fake_nodes_without_usable_cpus_do_not_appear() {
    let machine = FakeMachine::two_packages("masked");
    let topology = Topology::read(&machine.0, &[5, 13]);
    assert_eq!(
        topology.numa_nodes,
        [NumaNode {
            id: 1,
            cpus: vec![5, 13],
            distances: vec![10]
        }]
    );
    assert_eq!(topology.placement(2), [5, 13]);
}

#[test]
fn fake_v2_quota_is_the_least_of_the_cgroup_and_its_ancestors() {
    let machine = FakeMachine::new("v2");
    machine
        .file("proc/self/cgroup", "0::/a/b/c\n")
        .file(
            "proc/self/mountinfo",
            "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        )
        .file("sys/fs/cgroup/a/cpu.max", "400000 100000\n")
        .file("sys/fs/cgroup/a/b/cpu.max", "150000 100000\n")
        .file("sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
    let topology = machine.all(8);
    assert_eq!(topology.quota, Some(1.5));
    assert_eq!(
        topology.usable_parallelism(),
        2,
        "a quota of 1.5 keeps two schedulers busy"
    );
}

#[test]
fn fake_v2_quota_of_a_container_lies_at_the_mount_point() {
    let machine = FakeMachine::new("container");
    machine
        .file("proc/self/cgroup", "0::/../other\n")
        .file(
            "proc/self/mountinfo",
            "9 8 0:2 /x /sys/fs/cgroup rw shared:4 - cgroup2 none rw\n",
        )
        .file("sys/fs/cgroup/cpu.max", "30000 100000\n");
    assert_eq!(machine.all(8).quota, Some(0.3));
    assert_eq!(machine.all(8).usable_parallelism(), 1);
}

#[test]
fn fake_v1_quota_is_read_below_the_cpu_controller() {
    let machine = FakeMachine::new("v1");
    machine
        .file(
            "proc/self/cgroup",
            "4:cpu,cpuacct:/docker/abc/inner\n3:cpuset:/\n0::/\n",
        )
        .file(
            "proc/self/mountinfo",
            "32 31 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n",
        )
        .file("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
        .file("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
        .file(
            "sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_quota_us",
            "250000\n",
        )
        .file(
            "sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_period_us",
            "50000\n",
        );
    assert_eq!(machine.all(8).quota, Some(5.0));
    assert_eq!(
        machine.all(4).usable_parallelism(),
        4,
        "the mask counts as well"
    );
}

#[test]
fn fake_quota_is_found_without_a_mount_table() {
    let machine = FakeMachine::new("unmounted");
    machine
        .file("proc/self/cgroup", "2:cpu:/\n")
        .file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n")
        .file("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    assert_eq!(machine.all(8).quota, Some(2.0));
}

#[test]
fn fake_status_file_stands_in_for_a_mask_that_is_too_large() {
    let machine = FakeMachine::new("status");
    machine.file(
        "proc/thread-self/status",
        "Name:\tx\nCpus_allowed_list:\t2-3,1500\n",
    );
    assert_eq!(sysfs::allowed_cpus(&machine.0), [2, 3, 1500]);
    assert_eq!(sysfs::allowed_cpus(&machine.0.join("nowhere")), [0]);
}

#[test]
fn this_machine_has_the_cpus_that_the_standard_library_counts() {
    let topology = Topology::detect();
    let counted = std::thread::available_parallelism().expect("a count").get();
    // The standard library rounds a quota down, this one up.
    let rounded = topology
        .quota
        .map_or(0, |quota| usize::from(quota.fract() > 0.0));
    assert!(
        (counted..=counted + rounded).contains(&topology.usable_parallelism()),
        "{counted} counted, found {topology:?}"
    );
    assert_eq!(topology.usable_parallelism(), usable_parallelism());
}

#[test]
fn the_calling_thread_can_be_pinned_where_placement_says() {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let topology = Topology::detect();
    let pinned = std::thread::spawn(move || {
        for cpu in topology.placement(topology.cpus.len()) {
            let mut set = CpuSet::new();
            set.set(cpu);
            sched_setaffinity(None, &set).expect("a usable CPU");
            assert_eq!(sched_getaffinity(None).expect("a mask").count(), 1);
            assert_eq!(Topology::detect().cpus[0].id, cpu, "TP-3");
        }
    });
    pinned
        .join()
        .expect("every CPU of the placement takes a thread");
}

#[test]
fn kernel_lists_are_expanded() {
    assert_eq!(
        parse_list("0-3,8,10-11\n"),
        Some(vec![0, 1, 2, 3, 8, 10, 11])
    );
    assert_eq!(parse_list("5,1,1-2"), Some(vec![1, 2, 5]));
    for nonsense in ["", "\n", "a", "3-1", "1-", "-", "0-4000000000", "1;2"] {
        assert_eq!(parse_list(nonsense), None, "{nonsense:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in "\\PC*", digits in "[0-9 ,max\n-]{0,40}") {
        for text in [&text, &digits] {
            let _ = parse_list(text);
            if let Some(quota) = parse_cpu_max(text) {
                prop_assert!(quota > 0.0 && quota.is_finite());
            }
        }
    }

    #[test]
    fn placement_is_a_permutation_repeated(
        shape in prop::collection::vec((0usize..4, 0usize..3, 0usize..6), 1..40),
        wanted in 0usize..100,
    ) {
        // Any assignment of CPUs to nodes, caches and cores, possible or not.
        let cpus: Vec<Cpu> = shape.iter().enumerate().map(|(id, &(numa_node, l3, core))| {
            Cpu { id, core, package: 0, numa_node, l3, siblings: vec![id] }
        }).collect();
        let count = cpus.len();
        let topology = Topology { cpus, numa_nodes: Vec::new(), quota: None };
        let placement = topology.placement(wanted);
        prop_assert_eq!(placement.len(), wanted);
        for round in placement.chunks(count) {
            let distinct: BTreeSet<usize> = round.iter().copied().collect();
            prop_assert_eq!(distinct.len(), round.len(), "PN-1");
        }
        let cores: BTreeSet<usize> = topology.cpus.iter().map(|cpu| cpu.core).collect();
        let first: BTreeSet<usize> =
            placement.iter().take(cores.len()).map(|&id| topology.cpus[id].core).collect();
        prop_assert_eq!(first.len(), cores.len().min(wanted), "PN-2");
    }
}
