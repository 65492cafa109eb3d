//! The keeper: a thread of the driver that starts worker processes, hears from them, and settles
//! what they held when they end.
//!
//! - KP-1 workers are started by this thread alone, which lives as long as the driver's runtime: the
//!   kernel ends a worker when the thread that started it ends (`PR_SET_PDEATHSIG`).
//! - KP-2 a worker is dead when its process handle says so. That is the only sign that counts: a
//!   worker that is stopped, or whose socket is closed, may still write to shared memory.
//! - KP-4 at the end workers are asked to stop, so that their actors' destructors run, and killed
//!   `END_LIMIT` later: user code that does not come back holds nobody up for longer.
//! - KP-3 whoever asks for something puts it on the list and rings; the keeper sleeps in `poll`
//!   otherwise.

use super::bulk::estate;
use super::death::{self, Death};
use super::hello::{FromWorker, ToWorker};
use super::kept::{Kept, Start, spawn};
use super::part::{self, Request};
use super::peer::Peer;
use super::socket::Heard;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::executor::letter;
use crate::node::Node;
use maser_shm::control::ControlMemory;
use maser_shm::os::affinity;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// KP-4.
const END_LIMIT: Duration = Duration::from_secs(2);

/// What the keeper is asked to do.
pub(super) enum Errand {
    /// Starts the process of a peer.
    Start(Box<Start>),
    /// Ends the process of this id at once. Numbers of processes are used again, ids are not.
    Kill(u64),
    /// Tells a process something, with a descriptor.
    Tell(u64, ToWorker, Option<OwnedFd>),
    /// Asks a process to end.
    Stop(u64),
    /// Something for a graph.
    Graph(Box<Request>),
    /// Ends all of them, then the keeper.
    End,
}

struct Bell {
    ring: OwnedFd,
    errands: Mutex<VecDeque<Errand>>,
}

/// The other side of the thread.
pub(crate) struct Keeper {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the thread.
    pub(super) fn start(node: &Arc<Node>) -> Result<Self> {
        let system = |what: &str, reason: String| Error::System {
            what: what.into(),
            reason,
        };
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let ring = rustix::event::eventfd(0, flags).map_err(|error| {
            system(
                "cannot make the keeper's bell",
                format!("{error}; raise `ulimit -n`"),
            )
        })?;
        let bell = Arc::new(Bell {
            ring,
            errands: Mutex::default(),
        });
        let theirs = bell.clone();
        let clock = node.clock.clone();
        let node = Arc::downgrade(node);
        let thread = std::thread::Builder::new().name("maser-keeper".into());
        let thread = thread.spawn(move || Watch::new(theirs, node, clock).run());
        let thread = thread.map_err(|error| {
            system(
                "cannot start the keeper",
                format!("{error}; raise the limit of processes"),
            )
        })?;
        Ok(Self {
            bell,
            thread: Some(thread),
        })
    }

    /// KP-3.
    pub(super) fn ask(&self, errand: Errand) {
        let errands = &self.bell.errands;
        let mut errands = errands.lock().unwrap_or_else(PoisonError::into_inner);
        errands.push_back(errand);
        drop(errands);
        // A counter that is full rings already.
        let _rung = rustix::io::write(&self.bell.ring, &1_u64.to_ne_bytes());
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.ask(Errand::End);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("maser: the keeper panicked; this is a defect of maser");
        }
    }
}

/// The thread's own state.
struct Watch {
    bell: Arc<Bell>,
    node: Weak<Node>,
    kept: Vec<Kept>,
    /// Dead, and not waited for yet.
    traced: Vec<Child>,
    /// Who is to be told where who sleeps, by their numbers.
    introductions: Vec<(u64, u64)>,
    ends: bool,
    clock: Arc<dyn Clock>,
    /// KP-4: when those are killed that have not stopped; in nanoseconds of the clock.
    kills_at_ns: Option<u64>,
}

impl Watch {
    fn new(bell: Arc<Bell>, node: Weak<Node>, clock: Arc<dyn Clock>) -> Self {
        Self {
            bell,
            node,
            kept: Vec::new(),
            traced: Vec::new(),
            introductions: Vec::new(),
            ends: false,
            clock,
            kills_at_ns: None,
        }
    }

    fn run(mut self) {
        // Started by a scheduler that is pinned: what this thread starts may run anywhere.
        if let Some(node) = self.node.upgrade() {
            let cpus: Vec<usize> = node.topology.cpus.iter().map(|cpu| cpu.id).collect();
            drop(affinity::set(&cpus));
        }
        while !(self.ends && self.kept.is_empty()) {
            let ready = self.sleep();
            self.kept.iter().for_each(|kept| kept.socket.flush());
            self.traced
                .retain_mut(|child| matches!(child.try_wait(), Ok(None)));
            self.kill_those_that_stay();
            // The dead first, whatever else they have to say is in their rings.
            for at in (0..self.kept.len()).rev() {
                if ready[1 + 2 * at + 1] {
                    self.bury(at);
                } else if ready[1 + 2 * at] {
                    self.hear(at);
                }
            }
            if ready[0] {
                let mut count = [0; 8];
                let _emptied = rustix::io::read(&self.bell.ring, &mut count);
                self.run_errands();
            }
        }
    }

    /// Which of the bell, and of each worker socket and handle, has something.
    fn sleep(&mut self) -> Vec<bool> {
        let mut files = vec![PollFd::new(&self.bell.ring, PollFlags::IN)];
        for kept in &self.kept {
            let room = match kept.socket.is_full() {
                true => PollFlags::OUT,
                false => PollFlags::empty(),
            };
            // A socket that hung up would end every sleep until its process is buried.
            files.push(match kept.hung_up {
                true => PollFd::new(&kept.handle, PollFlags::empty()),
                false => PollFd::new(kept.socket.stream(), PollFlags::IN | room),
            });
            files.push(PollFd::new(&kept.handle, PollFlags::IN));
        }
        let left = self.kills_at_ns.map(|at| {
            let left = Duration::from_nanos(at.saturating_sub(self.clock.now_ns()));
            Timespec::try_from(left).unwrap_or_default()
        });
        let _interrupted = rustix::event::poll(&mut files, left.as_ref());
        let found: Vec<PollFlags> = files.iter().map(PollFd::revents).collect();
        let mut ready: Vec<bool> = found.iter().map(|of| of.contains(PollFlags::IN)).collect();
        for (at, kept) in self.kept.iter_mut().enumerate() {
            kept.hung_up |= found[1 + 2 * at].contains(PollFlags::HUP);
            // What it had still said is read when it is buried.
            ready[1 + 2 * at] &= !kept.hung_up;
        }
        ready
    }

    fn run_errands(&mut self) {
        loop {
            let errand = {
                let errands = &self.bell.errands;
                let mut errands = errands.lock().unwrap_or_else(PoisonError::into_inner);
                errands.pop_front()
            };
            match errand {
                None => return,
                Some(Errand::Start(start)) => self.start(*start),
                Some(Errand::Kill(id)) => {
                    if let Some(kept) = self.of(id) {
                        drop(kept.child.kill());
                    }
                }
                Some(Errand::Tell(id, news, file)) => {
                    if let Some(kept) = self.of(id) {
                        let files: Vec<BorrowedFd<'_>> = file.iter().map(AsFd::as_fd).collect();
                        // If it has died, that will be seen.
                        drop(kept.socket.send(&news, &files));
                    }
                }
                Some(Errand::Stop(id)) => self.stop(id),
                Some(Errand::Graph(request)) => self.run_request(*request),
                Some(Errand::End) => self.end(),
            }
        }
    }

    fn run_request(&mut self, request: Request) {
        let found = |id: u64| self.kept.iter().find(|kept| kept.peer.id == id);
        match request {
            Request::Tell {
                to,
                message,
                memory,
            } => {
                if let Some(kept) = found(to) {
                    let file = memory.as_ref().map(ControlMemory::file);
                    part::send(&kept.socket, message, file);
                }
            }
            Request::Introduce { to, other } => {
                if let (Some(kept), Some(other)) = (found(to), found(other))
                    && !part::introduce(&kept.socket, &other.peer)
                {
                    let pair = (kept.peer.id, other.peer.id);
                    self.introductions.push(pair);
                }
            }
        }
    }

    /// It is known now where the worker `other` sleeps.
    fn introduce(&mut self, other: u64) {
        let waiting = std::mem::take(&mut self.introductions);
        let (now, later) = waiting.into_iter().partition(|pair| pair.1 == other);
        self.introductions = later;
        let now: Vec<(u64, u64)> = now;
        for (to, other) in now {
            self.run_request(Request::Introduce { to, other });
        }
    }

    /// KP-4.
    fn end(&mut self) {
        self.ends = true;
        let limit = u64::try_from(END_LIMIT.as_nanos()).unwrap_or(u64::MAX);
        self.kills_at_ns = Some(self.clock.now_ns().saturating_add(limit));
        let ids: Vec<u64> = self.kept.iter().map(|kept| kept.peer.id).collect();
        ids.into_iter().for_each(|id| self.stop(id));
    }

    /// KP-4.
    fn kill_those_that_stay(&mut self) {
        if self.kills_at_ns.is_some_and(|at| self.clock.now_ns() >= at) {
            self.kills_at_ns = None;
            for kept in &mut self.kept {
                drop(kept.child.kill());
            }
        }
    }

    fn of(&mut self, id: u64) -> Option<&mut Kept> {
        self.kept.iter_mut().find(|kept| kept.peer.id == id)
    }

    fn stop(&mut self, id: u64) {
        if let Some(kept) = self.of(id) {
            drop(kept.socket.send(&ToWorker::Stop, &[]));
        }
    }

    fn start(&mut self, start: Start) {
        let peer = start.peer.clone();
        if self.ends {
            return peer.died(Death::ShutDown);
        }
        match spawn(start) {
            Ok(kept) => self.kept.push(kept),
            Err(reason) => {
                let who = peer.name();
                let how = format!("could not be started: {reason}");
                self.tell(&peer, Death::Process { who, how });
            }
        }
    }

    /// A worker said something.
    fn hear(&mut self, at: usize) {
        let kept = &mut self.kept[at];
        match kept.socket.receive::<FromWorker>() {
            Ok(Heard::Message(FromWorker::Ready { doors_bytes, .. }, files)) => {
                let known = match files.into_iter().next() {
                    Some(file) => kept.peer.doors_are_in(file, doors_bytes),
                    None => Err("no doors came with its first message".into()),
                };
                if let Err(problem) = known {
                    kept.peer.distrust(&problem);
                    drop(kept.child.kill());
                } else {
                    let id = kept.peer.id;
                    self.introduce(id);
                }
            }
            Ok(Heard::Message(FromWorker::Graph(message), files)) => {
                let Some(node) = self.node.upgrade() else {
                    return;
                };
                if let Some(forward) = part::heard(&node, &kept.peer, message, files)
                    && let Some(kept) = self.kept.iter().find(|kept| kept.peer.id == forward.to)
                {
                    forward.send(&kept.socket);
                }
            }
            Ok(Heard::Message(FromWorker::Refused { reason }, _)) => {
                kept.peer.distrust(&format!("it refused to work: {reason}"));
            }
            Ok(Heard::Message(FromWorker::Unused, _)) => {
                let id = kept.peer.id;
                self.stop(id);
            }
            Ok(Heard::Message(news, files)) => {
                let node = self.node.upgrade();
                if let Err(problem) =
                    node.map_or(Ok(()), |node| node.bulk.heard(&kept.peer, &news, files))
                {
                    kept.peer.distrust(&problem);
                    drop(kept.child.kill());
                }
            }
            // KP-2: its end will be seen.
            Ok(Heard::NotYet | Heard::End) => {}
            Err(error) => {
                kept.peer
                    .distrust(&format!("what it said is no message: {error}"));
                drop(kept.child.kill());
            }
        }
    }

    /// What a dead worker had still said of its extents.
    fn hear_last(&self, kept: &Kept) {
        let Some(node) = self.node.upgrade() else {
            return;
        };
        while let Ok(Heard::Message(news, files)) = kept.socket.receive::<FromWorker>() {
            // Of a dead process nothing more is wanted than what is right.
            drop(node.bulk.heard(&kept.peer, &news, files));
        }
        node.bulk.says_no_more(&kept.peer);
    }

    /// KP-2.
    fn bury(&mut self, at: usize) {
        let kept = self.kept.remove(at);
        self.hear_last(&kept);
        let how = death::reap(kept.child, &mut self.traced);
        let how = match &kept.limit {
            Some(limit) => limit.explains(how),
            None => how,
        };
        let how = match kept.peer.distrusted() {
            Some(why) => format!("{how}: {why}"),
            None => how,
        };
        let how = match &kept.output {
            Some(path) => format!("{how}; what it printed is in {}", path.display()),
            None => how,
        };
        let who = kept.peer.name();
        let death = match self.ends {
            true => Death::ShutDown,
            false => Death::Process { who, how },
        };
        self.tell(&kept.peer, death);
    }

    fn tell(&self, peer: &Arc<Peer>, death: Death) {
        peer.died(death);
        if let Some(node) = self.node.upgrade() {
            super::errand::peer_is_gone(&node, peer);
            node.workers.is_gone(&node, peer.slot);
            // Before what went with it is missed.
            node.graphs.peer_is_gone(peer);
            node.collectives.actor_died();
            estate::is_dead(&node.bulk, peer);
            for index in 0..node.schedulers().len() {
                let peer = peer.clone();
                node.post_to(
                    index,
                    letter::closure(move |local| local.links.remove(local, &peer)),
                );
            }
        }
    }
}
