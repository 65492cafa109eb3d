//! Each check on a machine that is made up and broken in one place.

use std::collections::BTreeSet;
use std::fs;

use super::machine::{Kernel, Limits, Probe, Room};
use super::*;

const HUGE: &str = "sys/kernel/mm/hugepages/hugepages-2048kB";
const GIGANTIC: &str = "sys/kernel/mm/hugepages/hugepages-1048576kB";

/// A machine below a temporary folder that goes with it, fine in all respects.
struct MadeUp(Machine);

impl MadeUp {
    fn new(test: &str) -> Self {
        let unique = format!("maser-doctor-{}-{test}", std::process::id());
        let made_up = Self(Machine {
            root: std::env::temp_dir().join(unique),
            cpus: (0..8).collect(),
            limits: Limits {
                locked_bytes: Some(8 << 20),
                open_files: Some(20_000),
                address_space_bytes: None,
                processes: Some(4096),
            },
            kernel: Kernel {
                sealed_memory: Probe::Works,
                io_uring: Probe::Works,
                io_uring_sockets: Probe::Works,
                io_uring_operations: vec![("accept", true), ("send without a copy", false)],
                membarrier: Probe::Works,
                futex: Probe::Works,
                pidfd: Probe::Works,
            },
            dev_shm: Some(Room {
                total: 8 << 30,
                free: 8 << 30,
            }),
        });
        made_up
            .file(&format!("{HUGE}/nr_hugepages"), "512\n")
            .file(&format!("{HUGE}/free_hugepages"), "500\n")
            .file(&format!("{HUGE}/resv_hugepages"), "100\n")
            .file(&format!("{GIGANTIC}/nr_hugepages"), "0\n")
            .file(&format!("{GIGANTIC}/free_hugepages"), "0\n")
            .file(&format!("{GIGANTIC}/resv_hugepages"), "0\n")
            .file(
                "sys/kernel/mm/transparent_hugepage/shmem_enabled",
                "always within_size [advise] never deny force\n",
            )
            .file(
                "proc/meminfo",
                "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n",
            )
            .file("proc/sys/vm/overcommit_memory", "0\n")
            .file("proc/sys/vm/max_map_count", "65530\n")
            .file("sys/devices/system/cpu/online", "0-7\n")
            .file(
                "proc/self/cgroup",
                "4:memory:/job\n3:pids:/job\n0::/job/step\n",
            )
            .file(
                "proc/self/mountinfo",
                "30 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                 31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                 32 25 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n",
            )
            .file("sys/fs/cgroup/unified/job/memory.max", "max\n")
            .file("sys/fs/cgroup/unified/job/cpu.max", "max 100000\n")
            .file(
                "sys/fs/cgroup/memory/job/memory.limit_in_bytes",
                "9223372036854771712\n",
            );
        made_up
    }

    fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.0.root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
        self
    }

    fn report(&self) -> Report {
        examined(&self.0, &Needs::default())
    }

    /// The only check that is not fine, as bad as `verdict` says, with a way to mend it (DC-2).
    #[track_caller]
    fn only(&self, name: &str, verdict: Verdict) -> Check {
        let report = self.report();
        let others: Vec<&Check> = report
            .checks
            .iter()
            .filter(|check| check.verdict != Verdict::Fine && check.name != name)
            .collect();
        assert!(others.is_empty(), "{others:?}");
        let check = report.check(name).expect("a check").clone();
        assert_eq!(check.verdict, verdict, "{check:?}");
        assert_eq!(report.verdict, verdict);
        let code = match verdict {
            Verdict::Fine | Verdict::Unknown => 0,
            Verdict::Degrades => 1,
            Verdict::Prevents => 2,
        };
        assert_eq!(report.exit_code(), code);
        assert_eq!(check.command.is_some(), code > 0, "{check:?}");
        check
    }

    /// As [`Self::only`], with what it found and what mends it.
    #[track_caller]
    fn only_with(&self, name: &str, verdict: Verdict, found: &str, command: &str) {
        let check = self.only(name, verdict);
        assert_eq!(check.found, found);
        assert_eq!(check.command.as_deref(), Some(command));
    }
}

impl Drop for MadeUp {
    fn drop(&mut self) {
        // Left behind at worst: a folder of small files below the temporary folder.
        let _removed = fs::remove_dir_all(&self.0.root);
    }
}

use Verdict::{Degrades, Fine, Prevents, Unknown};

#[test]
fn a_machine_that_lacks_nothing_is_fine() {
    let report = MadeUp::new("fine").report();
    let others: Vec<&Check> = report.checks.iter().filter(|c| c.verdict != Fine).collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!((report.verdict, report.exit_code()), (Fine, 0));
    let names: BTreeSet<&str> = report.checks.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names.len(), report.checks.len(), "each name once");
    for check in &report.checks {
        let texts = [&check.found, &check.needed, &check.effect];
        assert!(texts.iter().all(|text| !text.is_empty()), "{check:?}");
        assert_eq!(check.command, None);
    }
}

#[test]
fn an_empty_machine_is_unknown_rather_than_broken_or_fine() {
    let made_up = MadeUp::new("empty");
    fs::remove_dir_all(&made_up.0.root).expect("the folder");
    let report = made_up.report();
    for name in ["available_memory", "overcommit", "max_map_count"] {
        assert_eq!(
            report.check(name).expect("a check").verdict,
            Unknown,
            "DC-3"
        );
    }
    // What is not there is known: no huge pages.
    assert_eq!(
        report.check("huge_pages_2mib").expect("a check").verdict,
        Degrades
    );
}

#[test]
fn too_few_huge_pages() {
    let made_up = MadeUp::new("huge");
    // 110 free, of which 100 are promised.
    made_up.file(&format!("{HUGE}/free_hugepages"), "110\n");
    let (found, command) = ("10 of 512 free (20 MiB)", "sysctl vm.nr_hugepages=534");
    made_up.only_with("huge_pages_2mib", Degrades, found, command);
}

#[test]
fn too_few_gigantic_pages_for_a_large_store() {
    let made_up = MadeUp::new("gigantic");
    made_up
        .file(&format!("{HUGE}/nr_hugepages"), "99999\n")
        .file(&format!("{HUGE}/free_hugepages"), "99999\n")
        .file("proc/meminfo", "MemAvailable: 838860800 kB\n");
    let needs = Needs {
        store_bytes: 100 << 30,
        ..Needs::default()
    };
    let report = examined(&made_up.0, &needs);
    let check = report.check("huge_pages_1gib").expect("a check");
    assert_eq!(
        (check.verdict, check.found.as_str()),
        (Degrades, "0 of 0 free")
    );
    let command = check.command.as_deref().expect("DC-2");
    assert!(
        command.starts_with("echo 100 > ") && command.contains(GIGANTIC),
        "{command}"
    );
    assert_eq!(made_up.report().exit_code(), 0, "a small store needs none");
}

#[test]
fn a_cgroup_that_lets_nobody_reserve_huge_pages() {
    let made_up = MadeUp::new("rsvd");
    let group = "sys/fs/cgroup/unified/job";
    made_up
        .file(&format!("{group}/hugetlb.2MB.rsvd.max"), "67108864\n")
        .file(&format!("{group}/hugetlb.2MB.rsvd.current"), "33554432\n")
        .file(&format!("{group}/step/hugetlb.2MB.rsvd.max"), "max\n");
    let found = "32 MiB left of 64 MiB";
    let command = format!("echo 100663296 > /{group}/hugetlb.2MB.rsvd.max");
    made_up.only_with("huge_page_cgroup", Degrades, found, &command);
}

#[test]
fn shared_memory_that_never_becomes_huge_matters_without_huge_pages() {
    let made_up = MadeUp::new("thp");
    let setting = "sys/kernel/mm/transparent_hugepage/shmem_enabled";
    made_up.file(setting, "always within_size advise [never] deny force\n");
    assert_eq!(made_up.only("shmem_huge_pages", Fine).found, "never");
    made_up.file(&format!("{HUGE}/free_hugepages"), "100\n");
    let report = made_up.report();
    let check = report.check("shmem_huge_pages").expect("a check");
    assert_eq!(check.verdict, Degrades);
    assert_eq!(
        check.command.as_deref(),
        Some(&*format!("echo advise > /{setting}"))
    );
}

#[test]
fn too_little_memory() {
    let made_up = MadeUp::new("memory");
    made_up.file("proc/meminfo", "MemAvailable: 102400 kB\n");
    let command = "export MASER_STORE_BYTES=36MiB (in the shell that starts the program)";
    made_up.only_with("available_memory", Degrades, "100 MiB", command);
    made_up.file("proc/meminfo", "MemAvailable: 4096 kB\n");
    assert_eq!(made_up.only("available_memory", Prevents).found, "4 MiB");
}

#[test]
fn a_tight_memory_cgroup_of_either_version() {
    let made_up = MadeUp::new("memory_cgroup");
    let one = "sys/fs/cgroup/memory/job";
    made_up
        .file(&format!("{one}/memory.limit_in_bytes"), "209715200\n")
        .file(&format!("{one}/memory.usage_in_bytes"), "104857600\n");
    let command = format!("echo 239075328 > /{one}/memory.limit_in_bytes");
    made_up.only_with(
        "cgroup_memory",
        Degrades,
        "100 MiB left of 200 MiB",
        &command,
    );
    // The tighter of both counts.
    let two = "sys/fs/cgroup/unified/job/step";
    made_up
        .file(&format!("{two}/memory.max"), "33554432\n")
        .file(&format!("{two}/memory.current"), "0\n");
    let command = format!("echo 134217728 > /{two}/memory.max");
    made_up.only_with("cgroup_memory", Prevents, "32 MiB left of 32 MiB", &command);
}

#[test]
fn a_container_that_shows_its_own_cgroup_as_the_top() {
    let made_up = MadeUp::new("container");
    let at = "sys/fs/cgroup";
    made_up
        .file("proc/self/cgroup", "0::/pod/abc\n")
        .file(
            "proc/self/mountinfo",
            "30 25 0:26 /pod/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
        )
        .file(&format!("{at}/pids.max"), "100\n")
        .file(&format!("{at}/pids.current"), "60\n");
    let command = "echo 324 > /sys/fs/cgroup/pids.max";
    made_up.only_with("cgroup_pids", Degrades, "40 more of 100", command);
}

#[test]
fn strict_accounting_of_memory() {
    let made_up = MadeUp::new("overcommit");
    made_up.file("proc/sys/vm/overcommit_memory", "2\n");
    made_up.only_with("overcommit", Degrades, "2", "sysctl vm.overcommit_memory=0");
}

#[test]
fn a_small_dev_shm() {
    let mut made_up = MadeUp::new("dev_shm");
    made_up.0.dev_shm = Some(Room {
        total: 64 << 20,
        free: 63 << 20,
    });
    assert_eq!(
        made_up.only("dev_shm", Degrades).found,
        "63 MiB free of 64 MiB"
    );
    made_up.0.dev_shm = None;
    made_up.only("dev_shm", Degrades);
}

#[test]
fn calls_that_the_kernel_refuses() {
    type Place = fn(&mut Kernel) -> &mut Probe;
    let calls: [(&str, Verdict, Place); 6] = [
        ("sealed_memory", Prevents, |kernel| {
            &mut kernel.sealed_memory
        }),
        ("io_uring", Degrades, |kernel| &mut kernel.io_uring),
        ("io_uring_sockets", Degrades, |kernel| {
            &mut kernel.io_uring_sockets
        }),
        ("membarrier", Degrades, |kernel| &mut kernel.membarrier),
        ("futex", Prevents, |kernel| &mut kernel.futex),
        ("pidfd", Prevents, |kernel| &mut kernel.pidfd),
    ];
    for (name, verdict, place) in calls {
        let mut made_up = MadeUp::new(name);
        *place(&mut made_up.0.kernel) = Probe::Refused {
            why: "not permitted".to_owned(),
            command: "permit".to_owned(),
        };
        made_up.only_with(name, verdict, "not permitted", "permit");
    }
}

#[test]
fn what_rings_can_do_is_listed() {
    let made_up = MadeUp::new("rings");
    let report = examined(&made_up.0, &Needs::default());
    let mut checks = report.checks.iter();
    let check = checks.find(|check| check.name == "io_uring_sockets");
    let found = &check.expect("it is there").found;
    assert_eq!(found, "works: accept; not: send without a copy");
}

#[test]
fn one_core_of_many_and_one_core_at_all() {
    let mut made_up = MadeUp::new("cores");
    made_up.0.cpus = vec![3];
    let command = "taskset -pc 0-7 $$ (in the shell that starts the program)";
    made_up.only_with("cores", Degrades, "1 usable; online are 0-7", command);
    made_up.0.cpus = vec![0];
    made_up.file("sys/devices/system/cpu/online", "0\n");
    made_up.only("cores", Degrades);
    made_up.0.cpus.clear();
    made_up.only("cores", Unknown);
}

#[test]
fn less_time_than_cpus() {
    let made_up = MadeUp::new("quota");
    let file = "sys/fs/cgroup/unified/job/cpu.max";
    made_up.file(file, "250000 100000\n");
    let command = format!("echo max > /{file}");
    made_up.only_with("cpu_quota", Degrades, "2.50 of 8 usable CPUs", &command);
    made_up.file(file, "800000 100000\n");
    made_up.only("cpu_quota", Fine);
}

#[test]
fn limits_of_the_process() {
    type Place = fn(&mut Limits) -> &mut Option<u64>;
    let limits: [(&str, Verdict, u64, &str, &str, Place); 6] = [
        (
            "locked_memory",
            Degrades,
            64 << 10,
            "64 KiB",
            "memlock=8388608:8388608",
            |l| &mut l.locked_bytes,
        ),
        (
            "open_files",
            Degrades,
            256,
            "256",
            "nofile=1024:1024",
            |l| &mut l.open_files,
        ),
        ("open_files", Prevents, 16, "16", "nofile=1024:1024", |l| {
            &mut l.open_files
        }),
        (
            "address_space",
            Degrades,
            4 << 30,
            "4 GiB",
            "as=17314086912:17314086912",
            |l| &mut l.address_space_bytes,
        ),
        ("processes", Degrades, 100, "100", "nproc=264:264", |l| {
            &mut l.processes
        }),
        ("processes", Prevents, 10, "10", "nproc=264:264", |l| {
            &mut l.processes
        }),
    ];
    for (name, verdict, limit, found, command, place) in limits {
        let mut made_up = MadeUp::new(&format!("{name}-{limit}"));
        *place(&mut made_up.0.limits) = Some(limit);
        let command = format!("prlimit --pid $$ --{command}");
        made_up.only_with(name, verdict, found, &command);
    }
}

#[test]
fn too_few_mappings() {
    let made_up = MadeUp::new("maps");
    made_up.file("proc/sys/vm/max_map_count", "30000\n");
    made_up.only_with(
        "max_map_count",
        Degrades,
        "30000",
        "sysctl vm.max_map_count=62048",
    );
    made_up.file("proc/sys/vm/max_map_count", "1000\n");
    made_up.only("max_map_count", Prevents);
}

#[test]
fn too_few_processes_in_the_cgroup() {
    let made_up = MadeUp::new("pids");
    let group = "sys/fs/cgroup/pids/job";
    made_up
        .file(&format!("{group}/pids.max"), "50\n")
        .file(&format!("{group}/pids.current"), "40\n");
    let command = format!("echo 304 > /{group}/pids.max");
    made_up.only_with("cgroup_pids", Prevents, "10 more of 50", &command);
}

#[test]
fn this_machine_can_be_examined() {
    let report = examine();
    assert_eq!(report.checks.len(), 22);
    for check in &report.checks {
        let is_bad = matches!(check.verdict, Degrades | Prevents);
        assert_eq!(check.command.is_some(), is_bad, "DC-2: {check:?}");
    }
    let futex = report.check("futex").expect("a check");
    assert_eq!(futex.verdict, Fine, "or no test would run");
}
