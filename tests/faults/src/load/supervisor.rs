//! The one that stays, kills, settles and starts again.

use std::collections::VecDeque;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use maser_shm::channel::{PeerFault, TryRecvError, TrySendError};
use maser_shm::control::ControlMemory;
use maser_shm::liveness::ProcessHandle;
use maser_shm::store::{Foreign, ForeignObject, HolderKind, PeerId, Store};
use rustix::process::Signal;

use super::{Announcer, GIVEN_MAX, News, Releases, Rings, open, store, worker};
use crate::child::{self, Child, End};
use crate::pattern::{fill, number_in};
use crate::random::Random;
use crate::row::{Outcome, broken, check};
use crate::stepper::PATIENCE;
use crate::wire;

/// Workers at one time.
pub const WORKERS: usize = 2;
/// Objects of a worker that are kept, to be looked at again after its death.
const HELD_MAX: usize = 6;
/// News that are taken in at once.
const BATCH: u64 = 16;

const OWN: PeerId = PeerId(1);

/// See the module's page.
pub struct Supervisor {
    store: Store,
    announcer: Arc<Announcer>,
    foreign: Foreign,
    releases: Releases,
    random: Random,
    workers: Vec<Worker>,
    peers: u32,
    huge: bool,
    /// With the planted bug: what the dead held is not settled.
    forgets: bool,
    /// The longest wait for the news of a death.
    pub death_wait_max: Duration,
    /// The longest silence of a worker that ran.
    pub silence_max: Duration,
    /// Objects that came and were whole.
    pub objects: u64,
}

struct Worker {
    peer: PeerId,
    child: Child,
    handle: ProcessHandle,
    link: UnixStream,
    rings: Rings,
    pending: VecDeque<News>,
    held: VecDeque<ForeignObject>,
    given: u64,
    heard: Instant,
    stopped: bool,
}

impl Supervisor {
    /// A supervisor and its workers.
    pub fn new(seed: u64, huge: bool, forgets: bool) -> Outcome<Self> {
        let announcer = Arc::new(Announcer::default());
        let releases = Releases(Arc::new(Mutex::default()));
        let mut new = Self {
            store: store(&announcer, OWN, huge)?,
            announcer,
            foreign: Foreign::new(Arc::new(releases.clone())),
            releases,
            random: Random::new(seed),
            workers: Vec::new(),
            peers: OWN.0,
            huge,
            forgets,
            death_wait_max: Duration::ZERO,
            silence_max: Duration::ZERO,
            objects: 0,
        };
        for _ in 0..WORKERS {
            new.start()?;
        }
        Ok(new)
    }

    /// Random numbers of the run.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// Starts one more worker.
    pub fn start(&mut self) -> Outcome<()> {
        self.peers += 1;
        let peer = PeerId(self.peers);
        let seed = self.random.next();
        let huge = self.huge;
        let (ours, theirs) = UnixStream::pair().map_err(broken)?;
        let child = child::fork(|| match worker::live(theirs, peer, OWN, huge, seed) {
            Ok(()) => 0,
            Err(stop) => {
                eprintln!("worker {peer:?}: {stop:?}");
                1
            }
        })?;
        ours.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
        let memory = ControlMemory::create(Rings::bytes()?).map_err(broken)?;
        wire::send_memory(&ours, 0, memory.bytes() as u64, memory.file())?;
        self.store.extents(|id, file, bytes| {
            // One that is dead already hears nothing.
            let _sent = wire::send_memory(&ours, u64::from(id), bytes, file);
        });
        let listener = ours.try_clone().map_err(broken)?;
        self.listeners().push((peer, listener));
        self.store.add_peer(peer, "a worker");
        self.workers.push(Worker {
            peer,
            handle: child.handle()?,
            child,
            link: ours,
            rings: Rings::open(&memory, true)?,
            pending: VecDeque::new(),
            held: VecDeque::new(),
            given: 0,
            heard: Instant::now(),
            stopped: false,
        });
        Ok(())
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, Vec<(PeerId, UnixStream)>> {
        self.announcer.0.lock().expect("nobody panics here")
    }

    /// Works with worker `index` for a moment; how much news it had.
    pub fn turn(&mut self, index: usize) -> Outcome<u64> {
        self.hand_out_releases();
        let mut count = 0;
        while count < BATCH {
            match self.workers[index].rings.receiver.try_recv() {
                Ok(line) => self.take_in(index, News::of(line)?)?,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Closed) => {
                    let fault = self.workers[index].rings.receiver.fault();
                    return Err(broken(format!(
                        "a living worker is taken for dead: {fault:?}"
                    )));
                }
            }
            count += 1;
        }
        self.give(index)?;
        let worker = &mut self.workers[index];
        while let Some(news) = worker.pending.front() {
            match worker.rings.sender.try_send(news.line()) {
                Ok(()) => drop(worker.pending.pop_front()),
                Err(TrySendError::Full(_)) => break,
                Err(TrySendError::Closed(_)) => {
                    return Err(broken("the ring to a living worker is closed"));
                }
            }
        }
        if count > 0 || worker.stopped {
            worker.heard = Instant::now();
        }
        let silence = worker.heard.elapsed();
        self.silence_max = self.silence_max.max(silence);
        if silence > PATIENCE || worker.handle.is_dead().map_err(broken)? {
            let end = worker.child.wait_for(Duration::ZERO)?;
            return Err(broken(format!(
                "a worker hangs or ended by itself: {end:?}"
            )));
        }
        if count == 0 {
            maser_shm::os::sched_yield();
        }
        Ok(count)
    }

    fn take_in(&mut self, index: usize, news: News) -> Outcome<()> {
        let worker = &mut self.workers[index];
        match news {
            News::Given(descriptor) => {
                let object = open(&self.foreign, worker.peer, descriptor, &worker.link)?;
                number_in(&object)?;
                self.objects += 1;
                worker.held.push_back(object);
                if worker.held.len() > HELD_MAX {
                    let old = worker.held.pop_front();
                    old.map_or(Ok(0), |old| number_in(&old))?;
                }
            }
            News::Released(descriptor) => {
                let back = self.store.take_back(worker.peer, descriptor, 1);
                back.map_err(broken)?;
                worker.given -= 1;
            }
        }
        Ok(())
    }

    fn give(&mut self, index: usize) -> Outcome<()> {
        let worker = &mut self.workers[index];
        if worker.given >= GIVEN_MAX || self.random.below(2) == 0 {
            return Ok(());
        }
        let bytes = 1 + self.random.below(3000) as usize;
        let mut object = self.store.try_create(bytes).map_err(broken)?;
        fill(&mut object, self.random.below(64) as usize);
        let given = self.store.give(&object.seal(), worker.peer);
        worker
            .pending
            .push_back(News::Given(given.map_err(broken)?));
        worker.given += 1;
        Ok(())
    }

    fn hand_out_releases(&mut self) {
        for (peer, descriptor) in self.releases.take() {
            // The dead need not be told.
            if let Some(worker) = self.workers.iter_mut().find(|worker| worker.peer == peer) {
                worker.pending.push_back(News::Released(descriptor));
            }
        }
    }

    /// Kills a worker at whatever it is doing, and settles everything.
    pub fn kill(&mut self, index: usize) -> Outcome<()> {
        self.workers[index].child.signal(Signal::KILL);
        let began = Instant::now();
        let dead = self.workers[index]
            .handle
            .wait(Some(PATIENCE))
            .map_err(broken)?;
        self.death_wait_max = self.death_wait_max.max(began.elapsed());
        check(dead, || "the death of a worker was not noticed".into())?;
        let receiver = &mut self.workers[index].rings.receiver;
        receiver.peer_died();
        check(receiver.fault() == Some(PeerFault::Died), || {
            "no fault".into()
        })?;
        loop {
            // What it had published counts.
            match self.workers[index].rings.receiver.try_recv() {
                Ok(line) => self.take_in(index, News::of(line)?)?,
                Err(TryRecvError::Closed) => break,
                Err(TryRecvError::Empty) => return Err(broken("the ring of the dead is open")),
            }
        }
        let mut worker = self.workers.swap_remove(index);
        self.listeners().retain(|(peer, _)| *peer != worker.peer);
        self.foreign.remove_peer(worker.peer);
        for object in &worker.held {
            number_in(object)?;
        }
        if !self.forgets {
            self.store.peer_died(worker.peer);
        }
        let end = worker.child.wait();
        check(end == End::Signal(Signal::KILL.as_raw()), || {
            format!("a worker had ended by itself: {end:?}")
        })?;
        drop(worker);
        self.releases.take();
        self.holds_what_the_living_have()
    }

    /// LD-2.
    fn holds_what_the_living_have(&self) -> Outcome<()> {
        let given: u64 = self.workers.iter().map(|worker| worker.given).sum();
        let objects = self.store.usage().objects;
        check(objects == given, || {
            format!("{objects} objects are there, and the living have {given}")
        })?;
        let dead = self
            .store
            .holders()
            .into_iter()
            .find(|holder| match holder.kind {
                HolderKind::Peer { peer, .. } => {
                    !self.workers.iter().any(|worker| worker.peer == peer)
                }
                _ => false,
            });
        check(dead.is_none(), || format!("a dead process holds: {dead:?}"))
    }

    /// Stops a worker and waits until it is.
    pub fn stop(&mut self, index: usize) -> Outcome<()> {
        let worker = &mut self.workers[index];
        child::stop(&worker.child)?;
        worker.stopped = true;
        Ok(())
    }

    /// Lets a stopped worker go on.
    pub fn go_on(&mut self, index: usize) {
        let worker = &mut self.workers[index];
        worker.stopped = false;
        worker.heard = Instant::now();
        worker.child.signal(Signal::CONT);
    }

    /// Whether a worker is said to be dead.
    pub fn is_dead(&self, index: usize) -> Outcome<bool> {
        self.workers[index].handle.is_dead().map_err(broken)
    }

    /// Kills all; nothing may be left.
    pub fn end(mut self) -> Outcome<()> {
        while !self.workers.is_empty() {
            self.kill(0)?;
        }
        let usage = self.store.usage();
        check(usage.objects == 0, || format!("left behind: {usage:?}"))
    }
}
