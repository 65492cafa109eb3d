//! What the checks look at: files below a root, limits of this process, answers of the kernel.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use maser_shm::os::shared_memory::{self, PageKind, View};
use maser_shm::os::uring::{Refusal, availability, probed, waiting_available};
use maser_shm::sync::atomic::AtomicU32;
use rustix::process::{PidfdFlags, Resource, getrlimit};
use rustix::thread::{MembarrierQuery, futex, membarrier_query};

/// A limit of this process: the soft one; `None` for none.
pub(super) type Limit = Option<u64>;

/// The limits of this process that are looked at.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub locked_bytes: Limit,
    pub open_files: Limit,
    pub address_space_bytes: Limit,
    pub processes: Limit,
}

/// An answer of the kernel: it works, or why it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    Works,
    Refused { why: String, command: String },
}

impl Probe {
    fn of<T>(result: Result<T, impl ToString>, command: &str) -> Self {
        match result {
            Ok(_) => Self::Works,
            Err(error) => Self::Refused {
                why: error.to_string(),
                command: command.to_owned(),
            },
        }
    }
}

/// The kernel's answers.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    pub sealed_memory: Probe,
    pub io_uring: Probe,
    /// Rings that wait for sockets.
    pub io_uring_sockets: Probe,
    /// What was asked of rings, and whether they can do it.
    pub io_uring_operations: Vec<(&'static str, bool)>,
    pub membarrier: Probe,
    pub futex: Probe,
    pub pidfd: Probe,
}

/// Room of a file system in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub total: u64,
    pub free: u64,
}

/// The machine as this process sees it.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// Has `proc` and `sys` in it.
    pub root: PathBuf,
    /// The CPUs that this process may use.
    pub cpus: Vec<usize>,
    pub limits: Limits,
    pub kernel: Kernel,
    /// Of `/dev/shm`.
    pub dev_shm: Option<Room>,
}

impl Machine {
    /// The machine that this process runs on.
    pub fn this() -> Self {
        let limit = |resource| getrlimit(resource).current;
        Self {
            root: PathBuf::from("/"),
            cpus: maser_shm::os::affinity::current().unwrap_or_default(),
            limits: Limits {
                locked_bytes: limit(Resource::Memlock),
                open_files: limit(Resource::Nofile),
                address_space_bytes: limit(Resource::As),
                processes: limit(Resource::Nproc),
            },
            kernel: Kernel {
                sealed_memory: sealed_memory(),
                io_uring: io_uring(availability()),
                io_uring_sockets: io_uring(waiting_available()),
                io_uring_operations: probed()
                    .unwrap_or_default()
                    .iter()
                    .map(|one| (one.name, one.is_known))
                    .collect(),
                membarrier: membarrier(),
                futex: futex_wake(),
                pidfd: pidfd(),
            },
            dev_shm: rustix::fs::statvfs("/dev/shm").ok().map(|system| Room {
                total: system.f_blocks.saturating_mul(system.f_frsize),
                free: system.f_bavail.saturating_mul(system.f_frsize),
            }),
        }
    }

    /// The text of a file, without the white space around it.
    pub fn text(&self, file: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join(file)).ok()?;
        Some(text.trim().to_owned())
    }

    /// The number in a file.
    pub fn number(&self, file: &str) -> Option<u64> {
        self.text(file)?.parse().ok()
    }

    /// The path of a file below the root, as commands have it.
    pub fn shown(&self, file: &Path) -> String {
        let below = file.strip_prefix(&self.root).unwrap_or(file);
        format!("/{}", below.display())
    }
}

/// What lets a container's process make system calls that its profile refuses.
const NO_FILTER: &str = "docker run --security-opt seccomp=unconfined";

/// A small file of shared memory, mapped and sealed as those of the store.
fn sealed_memory() -> Probe {
    let made = || {
        let bytes = PageKind::Plain.bytes();
        let file = shared_memory::create("maser-doctor", PageKind::Plain, bytes)?;
        shared_memory::allocate(file.as_fd(), bytes)?;
        let _view = View::map(file.as_fd(), bytes, true)?;
        shared_memory::seal(file.as_fd())?;
        match shared_memory::is_sealed(file.as_fd())? {
            true => Ok(()),
            false => Err(std::io::Error::other("the seals do not hold")),
        }
    };
    Probe::of(made(), NO_FILTER)
}

fn io_uring(answer: Result<(), &Refusal>) -> Probe {
    let command = |refusal: &Refusal| match refusal {
        Refusal::Disabled { .. } => "sysctl kernel.io_uring_disabled=0",
        Refusal::Filtered { .. } => NO_FILTER,
        Refusal::Limit { .. } => "ulimit -n 65536 (in the shell that starts the program)",
        _ => "apt-get install linux-image-generic (Linux 5.6 or later), then reboot",
    };
    match answer {
        Ok(()) => Probe::Works,
        Err(refusal) => Probe::of(Err::<(), _>(refusal), command(refusal)),
    }
}

fn membarrier() -> Probe {
    let expedited = MembarrierQuery::PRIVATE_EXPEDITED;
    let known = membarrier_query().contains(expedited);
    let answer = known.then_some(()).ok_or("no expedited membarrier");
    Probe::of(answer, NO_FILTER)
}

fn futex_wake() -> Probe {
    let word = AtomicU32::new(0);
    Probe::of(futex::wake(&word, futex::Flags::PRIVATE, 1), NO_FILTER)
}

fn pidfd() -> Probe {
    let own = rustix::process::getpid();
    let opened = rustix::process::pidfd_open(own, PidfdFlags::empty());
    Probe::of(opened, NO_FILTER)
}
