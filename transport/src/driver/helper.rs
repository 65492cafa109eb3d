//! The thread that stands in for schedulers which are stuck.

use super::Drive;
use super::shared::{Shared, Ticked, Watched};
use maser_shm::os::{affinity, futex};
use maser_shm::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use maser_shm::sync::event::Event;
use maser_shm::sync::owner_lock::thread_number;
use maser_shm::sync::stand_in::Seen;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks at schedulers that turn. Far below the limits of transports, which are seconds; a look
/// costs a load for each transport, and the wake-up some microseconds.
const TICK: Duration = Duration::from_millis(10);
/// While it stands in and something happens.
const SHORT_TICK: Duration = Duration::from_micros(50);
/// While it stands in and nothing is told: a transport may serve a get of a peer's and tell nobody, so this is
/// short as well. A tick costs 5 to 10 us.
const QUIET_TICK: Duration = Duration::from_millis(1);
/// Quiet ticks before they are `QUIET_TICK` apart.
const LINGER: u32 = 200;

/// Where the helper sleeps.
#[derive(Default)]
pub(super) struct Asleep {
    pub(super) event: Event,
    /// Not 0: it ends.
    over: AtomicU32,
    watched: Mutex<Watching>,
    stood_in: AtomicU64,
}

#[derive(Default)]
struct Watching {
    all: Vec<Weak<dyn Watched>>,
    /// Counts changes of the list.
    version: u64,
    thread: Option<JoinHandle<()>>,
}

impl Asleep {
    fn lock(&self) -> MutexGuard<'_, Watching> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The helper of one worker: one thread, from the first transport that is shared on.
///
/// # Ends
/// Dropping it ends the thread.
pub struct Helper {
    asleep: Arc<Asleep>,
    now_ns: Arc<dyn Fn() -> u64 + Send + Sync>,
    cpus: Vec<usize>,
}

impl Helper {
    /// One that reads the time from `now_ns` and may run on `cpus`, or where its starter may if there are
    /// none. There is no thread yet.
    pub fn new(now_ns: impl Fn() -> u64 + Send + Sync + 'static, cpus: &[usize]) -> Self {
        Self {
            asleep: Arc::default(),
            now_ns: Arc::new(now_ns),
            cpus: cpus.to_vec(),
        }
    }

    /// Looks after `driven` from now on, which the calling thread owns.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn share<D: Drive>(&self, driven: D) -> io::Result<Arc<Shared<D>>> {
        let shared = Arc::new(Shared::new(driven, self.asleep.clone()));
        let watched: Arc<dyn Watched> = shared.clone();
        let mut watching = self.asleep.lock();
        watching.all.retain(|one| one.strong_count() > 0);
        watching.all.push(Arc::downgrade(&watched));
        watching.version += 1;
        if watching.thread.is_none() {
            let (asleep, now_ns) = (self.asleep.clone(), self.now_ns.clone());
            let cpus = self.cpus.clone();
            let thread = std::thread::Builder::new().name("maser-transport".into());
            watching.thread = Some(thread.spawn(move || run(&asleep, &*now_ns, &cpus))?);
        }
        Ok(shared)
    }

    /// How often it stood in so far.
    #[must_use]
    pub fn stood_in(&self) -> u64 {
        self.asleep.stood_in.load(Ordering::Relaxed)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let thread = self.asleep.lock().thread.take();
        self.asleep.over.store(1, Ordering::Release);
        futex::wake(&self.asleep.over, 1);
        self.asleep.event.notify();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            eprintln!("maser: the helper of transports panicked; this is a defect of maser");
        }
    }
}

/// The body of the thread.
fn run(asleep: &Asleep, now_ns: &dyn Fn() -> u64, cpus: &[usize]) {
    if !cpus.is_empty() {
        // A machine that refuses leaves it where its starter was.
        drop(affinity::set(cpus));
    }
    let helper = thread_number();
    let mut seen: Vec<(Weak<dyn Watched>, Seen)> = Vec::new();
    let mut version = 0;
    let is_over = || asleep.over.load(Ordering::Acquire) != 0;
    let (mut tick, mut quiet) = (TICK, 0);
    while !is_over() {
        let _woken = futex::wait(&asleep.over, 0, Some(tick));
        find_new(asleep, &mut seen, &mut version);
        let (mut is_needed, mut stands_in, mut has_worked) = (false, false, false);
        for (watched, seen) in &mut seen {
            let Some(watched) = watched.upgrade() else {
                continue;
            };
            match watched.tick(seen, helper, now_ns) {
                Ticked::Idle => {}
                Ticked::Moves => is_needed = true,
                Ticked::StoodIn(worked) => {
                    asleep.stood_in.fetch_add(1, Ordering::Relaxed);
                    (is_needed, stands_in) = (true, true);
                    has_worked |= worked;
                }
            }
        }
        quiet = if has_worked { 0 } else { quiet + 1 };
        tick = match stands_in {
            true if quiet < LINGER => SHORT_TICK,
            true => QUIET_TICK,
            false => TICK,
        };
        if is_needed {
            continue;
        }
        // SI-3: armed, then looked at once more.
        asleep.event.prepare_park();
        find_new(asleep, &mut seen, &mut version);
        let mut all = seen.iter().filter_map(|(watched, _)| watched.upgrade());
        if is_over() || all.any(|watched| watched.is_needed()) {
            asleep.event.cancel_park();
        } else {
            asleep.event.park(None);
        }
    }
}

fn find_new(asleep: &Asleep, seen: &mut Vec<(Weak<dyn Watched>, Seen)>, version: &mut u64) {
    let watching = asleep.lock();
    if *version == watching.version {
        return;
    }
    *version = watching.version;
    // Those that were seen stay as they are.
    let known = std::mem::take(seen);
    seen.extend(watching.all.iter().map(|one| {
        let known = known.iter().find(|(known, _)| known.ptr_eq(one));
        (
            one.clone(),
            known.map_or_else(Seen::default, |(_, seen)| *seen),
        )
    }));
}
