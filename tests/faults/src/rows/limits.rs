//! Limits of the process that are too low: each is an error that says so, and what to do.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use maser_shm::channel::spsc::{line_bytes, line_receiver_in, line_sender_in};
use maser_shm::control::ControlMemory;
use maser_shm::liveness::ProcessHandle;
use maser_shm::os::memory;
use maser_shm::os::shared_memory::{self, PageKind};
use maser_shm::store::extent::{Extent, ExtentError};
use maser_shm::store::{HugePages, Store, StoreConfig, StoreError};
use rustix::process::{Resource, Rlimit};

use crate::child;
use crate::level::Level;
use crate::row::{Outcome, Row, Run, Stop, Tally, broken, check};

const LIMIT: Duration = Duration::from_secs(60);

/// The rows of this file.
pub const ROWS: [Row; 1] = [Row {
    name: "B2.limits",
    claim: "too few descriptors, too little address space, memory or locked memory, files that may \
            not be large: an error of its own with what to do, nothing half made, no signal",
    canary: "an error of the kernel is passed on bare",
    run,
}];

type Case = (&'static str, fn(bool) -> Outcome<()>);

const CASES: [Case; 6] = [
    ("open files", descriptors),
    ("address space", address_space),
    ("size of files", file_size),
    ("locked memory", locked_memory),
    ("memory of the machine", memory_of_the_machine),
    ("budget of the store", budget),
];

fn run(run: &Run) -> Outcome<Tally> {
    let mut tally = Tally::default();
    for (name, case) in CASES {
        let planted = run.planted;
        let tried = child::in_a_child(LIMIT, || case(planted).map(|()| String::new()));
        match tried {
            Ok(_) => tally.points += 1,
            Err(Stop::Skipped(reason)) => tally.notes.push(format!("{name}: {reason}")),
            Err(Stop::Broken(wrong)) => return Err(broken(format!("{name}: {wrong}"))),
        }
    }
    Ok(tally)
}

fn limit(resource: Resource, most: u64) -> Outcome<()> {
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    rustix::process::setrlimit(resource, limit).map_err(broken)
}

/// The error's text must name the remedy.
fn says<T, E: std::fmt::Display>(result: Result<T, E>, remedy: &str) -> Outcome<()> {
    match result {
        Ok(_) => Err(broken(format!(
            "it succeeded, where `{remedy}` should be said"
        ))),
        Err(error) => {
            let text = error.to_string();
            check(text.contains(remedy), || {
                format!("`{remedy}` is not in: {text}")
            })
        }
    }
}

fn descriptors(planted: bool) -> Outcome<()> {
    let (here, there) = UnixStream::pair().map_err(broken)?;
    let file = std::fs::File::open("/dev/null").map_err(broken)?;
    for _ in 0..3 {
        shared_memory::send(&here, b"x", &[file.as_fd()]).map_err(broken)?;
    }
    let level = Level::now()?;
    // What the count itself needs is free again.
    limit(Resource::Nofile, level.descriptors as u64 + 1)?;
    let mut hold: Vec<std::fs::File> = Vec::new();
    while let Ok(more) = file.try_clone() {
        hold.push(more);
    }
    if planted {
        return says(std::fs::File::open("/dev/null"), "ulimit -n");
    }
    says(Extent::create(4096, PageKind::Plain), "ulimit -n")?;
    says(ControlMemory::create(4096), "ulimit -n")?;
    says(ProcessHandle::open(std::process::id()), "ulimit -n")?;
    // A descriptor that finds no room is an error, not silence.
    let received = shared_memory::receive(&there, &mut [0; 1]);
    check(received.is_err(), || {
        "a descriptor was lost without a word".into()
    })?;
    hold.clear();
    drop(Extent::create(4096, PageKind::Plain).map_err(broken)?);
    level.is_back()
}

fn address_space(_planted: bool) -> Outcome<()> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(broken)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    let used = kib.ok_or_else(|| broken("no VmSize"))? << 10;
    let level = Level::now()?;
    limit(Resource::As, used + (24 << 20))?;
    says(Extent::create(64 << 20, PageKind::Plain), "ulimit -v")?;
    says(ControlMemory::create(64 << 20), "ulimit -v")?;
    // Enough huge pages, and no room to map them: the pool is not to blame.
    let pages = 16;
    let enough = |pool: memory::HugePool| pool.available() >= pages + 16;
    if memory::huge_pool(PageKind::Huge2MiB).is_some_and(enough) {
        let bytes = pages as usize * PageKind::Huge2MiB.bytes();
        match Extent::create(bytes, PageKind::Huge2MiB) {
            // Somebody else took them in between.
            Err(ExtentError::HugePagesShort { asked, free, .. }) if free < asked => {}
            // They are refused to this process.
            Err(ExtentError::NoHugePages { .. }) => {}
            other => says(other, "ulimit -v")?,
        }
    }
    level.is_back()
}

/// The kernel would answer a file that is too large with SIGXFSZ.
fn file_size(_planted: bool) -> Outcome<()> {
    let level = Level::now()?;
    limit(Resource::Fsize, 64 << 10)?;
    says(Extent::create(128 << 10, PageKind::Plain), "ulimit -f")?;
    says(ControlMemory::create(128 << 10), "ulimit -f")?;
    drop(Extent::create(64 << 10, PageKind::Plain).map_err(broken)?);
    drop(ControlMemory::create(64 << 10).map_err(broken)?);
    level.is_back()
}

/// Nothing of this crate locks memory, so all works with none.
fn locked_memory(_planted: bool) -> Outcome<()> {
    limit(Resource::Memlock, 0)?;
    let bytes = line_bytes::<u64>(4).map_err(broken)?;
    let control = ControlMemory::create(bytes).map_err(broken)?;
    let mut sender = line_sender_in::<u64>(&control.whole(), 4).map_err(broken)?;
    let mut receiver = line_receiver_in::<u64>(&control.whole(), 4).map_err(broken)?;
    sender
        .try_send(5)
        .map_err(|error| broken(format!("{error:?}")))?;
    check(receiver.try_recv() == Ok(5), || {
        "the ring does not work".into()
    })?;
    let store = Store::new(StoreConfig::new(8 << 20)).map_err(broken)?;
    let mut object = store.try_create(1 << 20).map_err(broken)?;
    object.fill(1);
    drop(object.seal());
    Ok(())
}

fn memory_of_the_machine(_planted: bool) -> Outcome<()> {
    let available = memory::available_bytes().ok_or_else(|| Stop::Skipped("not known".into()))?;
    let level = Level::now()?;
    let asked = usize::try_from(available.saturating_mul(2)).map_err(broken)?;
    match Extent::create(asked, PageKind::Plain) {
        Err(ExtentError::MemoryShort { available, .. }) => {
            check(available < asked as u64, || {
                format!("{available} of {asked} are there")
            })?;
        }
        other => return Err(broken(format!("for twice the memory: {other:?}"))),
    }
    says(ControlMemory::create(asked), "memory")?;
    let store = Store::new(StoreConfig::new(asked.saturating_mul(4))).map(drop);
    check(matches!(store, Err(StoreError::Budget { .. })), || {
        format!("a store larger than the machine: {store:?}")
    })?;
    level.is_back()
}

fn budget(_planted: bool) -> Outcome<()> {
    let config = StoreConfig {
        huge_pages: HugePages::Off,
        extent_bytes_first: 64 << 10,
        populate: false,
        ..StoreConfig::new(1 << 20)
    };
    let store = Store::new(config).map_err(broken)?;
    let mut objects = Vec::new();
    let full = loop {
        match store.try_create(50_000) {
            Ok(object) => objects.push(object.seal()),
            Err(StoreError::Full(full)) => break full,
            Err(other) => return Err(broken(other)),
        }
        check(objects.len() < 100, || {
            "the budget of the store is not kept".into()
        })?;
    };
    check(
        full.asked == 50_000 && full.budget == 1 << 20 && !full.holders.is_empty(),
        || format!("the error is {full:?}"),
    )?;
    objects.clear();
    drop(store.try_create(50_000).map_err(broken)?);
    Ok(())
}
