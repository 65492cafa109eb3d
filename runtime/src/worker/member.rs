//! A worker's own life: it says hello, works, and ends with its driver.
//!
//! - WM-1 a worker ends when its driver does, however that ends: the kernel kills it
//!   (`PR_SET_PDEATHSIG`, set by the keeper's child before it looks whether its parent still is
//!   who it was), and the end of the socket tells it too.
//! - WM-2 a worker of another build is refused before any call is made.
#![allow(unsafe_code, reason = "hands type-erased cells on")]

use super::doors::{Doors, OwnDoors};
use super::hello::{FromWorker, Hello, PROTOCOL, ToWorker};
use super::part::FromPart;
use super::peer::Peer;
use super::{limit, part_here, registry, remote, socket};
use crate::config::Mode;
use crate::executor::local::Local;
use crate::executor::shared::Shared;
use crate::executor::{letter, overflow, thread};
use crate::node::Node;
use crate::task::raw::Header;
use crate::topology::Topology;
use maser_shm::control::ControlMemory;
use maser_shm::store::PeerId;
use maser_shm::sync::deque;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

/// What stands in the way of being a worker, in words.
type Problem = String;

/// What a worker knows of its driver.
pub(crate) struct Membership {
    /// One message at a time.
    socket: Mutex<UnixStream>,
    /// The driver.
    pub(crate) driver: Arc<Peer>,
    pool: bool,
}

impl Membership {
    /// Asks the driver to run a task (WP-2). The caller hands the right to start over.
    pub(crate) fn submit(&self, cell: NonNull<Header>) {
        match Local::current() {
            Some(local) => remote::ask(local, &self.driver, cell),
            None => {
                let node = match Node::current("starting a task") {
                    Ok(node) => node,
                    // SAFETY: TC-1, the caller's right.
                    Err(error) => return unsafe { Header::fail(cell, error) },
                };
                let cell = remote::Unsent(cell);
                let driver = self.driver.clone();
                let errand = letter::closure(move |local| {
                    let whole = cell;
                    remote::ask(local, &driver, whole.0);
                });
                node.post_to(0, errand);
            }
        }
    }

    /// Whether it lives as long as the actor that was made in it.
    pub(crate) fn is_for_an_actor(&self) -> bool {
        !self.pool
    }

    /// Says something about a graph to the keeper, with the descriptor that belongs to it.
    pub(crate) fn say(&self, message: FromPart, file: Option<BorrowedFd<'_>>) {
        let files: Vec<BorrowedFd<'_>> = file.into_iter().collect();
        self.tell(&FromWorker::Graph(message), &files);
    }

    /// Tells the keeper that nobody holds anything of this worker any more.
    pub(crate) fn is_unused(&self) {
        self.tell(&FromWorker::Unused, &[]);
    }

    /// Tells the keeper something, with descriptors.
    pub(super) fn tell(&self, news: &FromWorker, files: &[BorrowedFd<'_>]) {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        // If the driver is gone this process ends by itself (WM-1).
        drop(socket::send(&socket, news, files));
    }
}

/// Works for the process `parent` until told to stop.
pub(super) fn work(parent: u32, socket: UnixStream) -> Result<(), Problem> {
    die_with_parent(parent)?;
    // Short of memory, the kernel takes a worker before its driver. Where that is not to be had, it
    // takes whom it likes.
    drop(std::fs::write("/proc/self/oom_score_adj", "300"));
    let hello = socket::receive::<ToWorker>(&socket)
        .map_err(|error| format!("the keeper's first message is none: {error}"))?;
    let Some((ToWorker::Hello(hello), files)) = hello else {
        return Err("the keeper is gone".to_owned());
    };
    if let Err(reason) = check(&hello) {
        let refused = FromWorker::Refused {
            reason: reason.clone(),
        };
        drop(socket::send(&socket, &refused, &[]));
        return Err(reason);
    }
    let wrong = |error: &dyn std::fmt::Display| error.to_string();
    let mut files = files.into_iter();
    let pair = files
        .next()
        .ok_or("no memory came with the first message")?;
    let pair = ControlMemory::attach(pair, hello.pair_bytes, "the driver");
    let pair = pair.map_err(|error| wrong(&error))?;
    let links = hello.driver_schedulers as usize;
    let driver = Peer::new(
        0,
        hello.id,
        format!("the driver (pid {})", hello.driver_pid),
        pair,
        false,
        links,
        Doors::unknown(links),
    );
    let doors = files.next().ok_or("no doors came with the first message")?;
    driver.doors_are_in(doors, hello.doors_bytes)?;
    if let Some(bytes) = hello.memory_bytes {
        let words = files.next().ok_or("nothing came for its last words")?;
        limit::hold(bytes, words)?;
    }
    let node = start_node(&hello, &socket, driver.clone()).map_err(|error| wrong(&error))?;
    let doors = node.workers.doors().map_err(|error| wrong(&error))?;
    let ready = FromWorker::Ready {
        fingerprint: registry::fingerprint(),
        doors_bytes: doors.bytes() as u64,
    };
    socket::send(&socket, &ready, &[doors.file()]).map_err(|error| wrong(&error))?;
    listen(&node, socket).map_err(|error| wrong(&error))?;
    run(&node, &driver, links, hello.cpu);
    Ok(())
}

/// WM-1.
fn die_with_parent(parent: u32) -> Result<(), Problem> {
    let signal = Some(rustix::process::Signal::KILL);
    rustix::process::set_parent_process_death_signal(signal)
        .map_err(|error| format!("it cannot be made to end with its driver: {error}"))?;
    match std::os::unix::process::parent_id() {
        now if now == parent => Ok(()),
        _ => Err("its driver has ended".to_owned()),
    }
}

/// WM-2.
fn check(hello: &Hello) -> Result<(), Problem> {
    let own = registry::fingerprint();
    if hello.protocol != PROTOCOL || hello.fingerprint != own {
        return Err(format!(
            "it is of another build than its driver (protocol {PROTOCOL} and functions {own:016x} \
             here, {} and {:016x} there); start both from the same executable",
            hello.protocol, hello.fingerprint
        ));
    }
    Ok(())
}

fn start_node(hello: &Hello, socket: &UnixStream, driver: Arc<Peer>) -> crate::Result<Arc<Node>> {
    let mut settings = hello.settings.clone();
    settings.num_cpus = 1;
    if settings.mode == Mode::Script {
        // Its errors go to the driver, which prints them.
        settings.mode = Mode::Silent;
    }
    let system = |error: std::io::Error| crate::Error::System {
        what: "cannot copy the keeper's socket".into(),
        reason: error.to_string(),
    };
    let membership = Membership {
        socket: Mutex::new(UnixStream::from(
            socket.as_fd().try_clone_to_owned().map_err(system)?,
        )),
        driver,
        pool: hello.pool,
    };
    let (worker, stealer) = deque::new();
    let overflows = settings.name_stack_overflows;
    let doors = OwnDoors::new(1);
    let shared = Arc::new(Shared::new(0, stealer, doors.door(0)));
    let topology = Topology::detect();
    let threads = hello.threads as usize;
    let node = Node::new(settings, topology, vec![shared], threads, Some(doors));
    node.bulk.is_peer(PeerId(hello.store_id));
    node.bulk.has_peer(&membership.driver, PeerId(0));
    node.workers.is_member(membership, worker);
    Node::install(&node)?;
    if overflows {
        overflow::install();
    }
    crate::panic_hook::install();
    Ok(node)
}

/// The thread that reads what the keeper says.
fn listen(node: &Arc<Node>, socket: UnixStream) -> std::io::Result<()> {
    let node = node.clone();
    let listener = std::thread::Builder::new().name("maser-member".into());
    listener.stack_size(64 << 10).spawn(move || {
        loop {
            match socket::receive::<ToWorker>(&socket) {
                Ok(Some((ToWorker::Stop, _))) => {
                    node.begin_closing();
                    node.graphs.close_all();
                    node.collectives.close_all();
                    thread::ask_to_stop(&node, 0);
                }
                Ok(Some((ToWorker::Graph(message), files))) => {
                    part_here::heard(&node, message, files);
                }
                Ok(Some((news, files))) => node.bulk.told(&news, files),
                // WM-1.
                Ok(None) | Err(_) => node.process.exit_now(),
            }
        }
    })?;
    Ok(())
}

/// The main thread is the worker's scheduler.
fn run(node: &Arc<Node>, driver: &Arc<Peer>, links: usize, cpu: Option<u32>) {
    thread::pin(cpu.map(|cpu| cpu as usize));
    let shared = node.schedulers()[0].clone();
    let Some(tasks) = node.workers.take_queue() else {
        return;
    };
    let driver = driver.clone();
    let open = letter::closure(move |local: &Local| {
        for there in 0..links {
            if let Err(error) = local.links.get(local, &driver, there) {
                eprintln!("maser: {error}");
            }
        }
    });
    node.post_to(0, open);
    let local = Box::new(Local::new(node.clone(), shared, tasks));
    thread::run(&local, 0);
    node.rescue.end();
    node.errors.finish();
    node.ended();
    node.finish_closing();
}

/// An actor of this process has ended: if it was the last, and the process is there for it alone,
/// the process is not needed any more.
pub(crate) fn an_actor_is_gone(local: &Local) {
    if let Some(membership) = local.node.workers.membership()
        && membership.is_for_an_actor()
        && local.residents.borrow().is_empty()
        && membership.driver.holds_nothing()
    {
        membership.is_unused();
    }
}
