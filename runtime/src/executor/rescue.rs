//! A core that is stuck in user code holds nobody else up: a thread that takes the answers from
//! the lanes of such a scheduler, and sends the calls that wait for room there.
//!
//! A scheduler looks at its lanes whenever it waits or turns. An answer that is still there after
//! a tick, with no other taken since, therefore lies in front of a scheduler that does neither.
//! No scheduler reports to anybody: the rescuer looks at the numbers the lanes keep anyway (LN-5).
//!
//! The same is done for calls whose arguments have come since their scheduler is stuck (SD-2).
//!
//! The thread starts with the first lane or the first such call. It sleeps while no call is in flight whose caller is
//! awake, so an idle runtime, and one that waits for a long call, pay nothing for it.
//!
//! - RC-1 going to sleep: the event is armed first, then every lane is looked at once more. The
//!   first call in flight of a lane, a caller that wakes with calls in flight, and an argument
//!   that has come, notify after they could be seen (the event's rules EV-*). While it ticks they need not: it sees them.
//! - RC-2 it completes calls only inside `completing`. A scheduler that ends passes there once,
//!   when none of its tasks waits any more: after that nobody here holds a coroutine of it (CO-2).
//! - RC-3 it is joined when the schedulers have ended, before their lanes are settled (RM-1). Until
//!   then it goes on, since a scheduler may be stuck until somebody gets a result.

#![allow(
    unsafe_code,
    reason = "looks at words of lanes it holds; gives letters back"
)]

use crate::actor::lane_out::{LaneOut, NONE, Settled};
use crate::executor::letter::Letter;
use crate::node::Node;
use maser_shm::channel::Probe;
use maser_shm::os::{affinity, futex};
use maser_shm::sync::atomic::{AtomicU32, Ordering};
use maser_shm::sync::event::Event;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks: what a stuck scheduler may hold others up. Long beside the microseconds
/// within which one that is not stuck takes its answers, short beside what people notice.
const TICK: Duration = Duration::from_millis(10);
/// After a look that found something: a stuck caller may have much to send.
const SHORT_TICK: Duration = Duration::from_millis(1);
/// Ticks with nothing to look after before the thread sleeps.
const LINGER: u32 = 10;

/// See the module's page.
#[derive(Default)]
pub(crate) struct Rescue {
    /// Where the thread sleeps while there is nothing to look after (RC-1).
    event: Event,
    /// 1 from the end on. Written once, Release.
    over: AtomicU32,
    watched: Mutex<Watched>,
    /// RC-2.
    completing: Mutex<()>,
}

#[derive(Default)]
struct Watched {
    lanes: Vec<Arc<LaneOut>>,
    thread: Option<JoinHandle<()>>,
    was_started: bool,
}

/// A lane, and what was seen of it at the last tick.
struct Seen {
    lane: Arc<LaneOut>,
    oldest: u64,
    /// What changes when there is something to take; `None` before the lane was entered for it.
    probe: Option<Probe>,
}

impl Rescue {
    /// The first call of a lane is in flight, a caller that has calls in flight wakes, or arguments
    /// have come (RC-1).
    #[inline(always)]
    pub(crate) fn call_is_in_flight(&self) {
        self.event.notify();
    }

    /// Looks after `lane` from now on, whose caller made no call yet.
    #[cold]
    pub(crate) fn watch(&self, node: &Arc<Node>, lane: Arc<LaneOut>) {
        let mut watched = lock(&self.watched);
        if !self.is_over() {
            watched.lanes.push(lane);
        }
        drop(watched);
        self.start(node);
    }

    /// Sees to it that there is a rescuer.
    pub(crate) fn start(&self, node: &Arc<Node>) {
        let mut watched = lock(&self.watched);
        if self.is_over() || watched.was_started {
            return;
        }
        watched.was_started = true;
        let node = node.clone();
        let thread = std::thread::Builder::new().name("maser-rescue".into());
        match thread.spawn(move || run(&node)) {
            Ok(thread) => watched.thread = Some(thread),
            Err(error) => eprintln!(
                "maser: cannot start the thread that looks after schedulers which are stuck in \
                 user code: {error}; they hold up whoever waits for their calls"
            ),
        }
    }

    /// The schedulers have ended (RC-3).
    pub(crate) fn end(&self) {
        let thread = {
            let mut watched = lock(&self.watched);
            self.over.store(1, Ordering::Release);
            watched.thread.take()
        };
        futex::wake(&self.over, 1);
        self.event.notify();
        // A value with the runtime's guard in it may be dropped on the thread itself.
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            eprintln!("maser: the rescuing thread panicked; this is a defect of maser");
        }
        lock(&self.watched).lanes.clear();
    }

    /// RC-2.
    pub(crate) fn let_pass(&self) {
        drop(lock(&self.completing));
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire) != 0
    }

    /// Adds the lanes that are new.
    fn find_new(&self, seen: &mut Vec<Seen>) {
        let watched = lock(&self.watched);
        let new = watched.lanes.iter().skip(seen.len());
        seen.extend(new.map(|lane| Seen {
            lane: lane.clone(),
            oldest: NONE,
            probe: None,
        }));
    }
}

/// The body of the thread.
fn run(node: &Node) {
    // It was started by a scheduler that may be pinned, perhaps by the one that will be stuck.
    let cpus: Vec<usize> = node.topology.cpus.iter().map(|cpu| cpu.id).collect();
    drop(affinity::set(&cpus));
    let rescue = &node.rescue;
    let (mut seen, mut settled) = (Vec::new(), Vec::new());
    let mut due = vec![0; node.schedulers().len()];
    let (mut quiet, mut tick) = (0, TICK);
    while !rescue.is_over() {
        let _woken = futex::wait(&rescue.over, 0, Some(tick));
        rescue.find_new(&mut seen);
        let mut found = false;
        for lane in &mut seen {
            found |= lane.look(rescue, &mut settled);
        }
        for (scheduler, seen_due) in node.schedulers().iter().zip(&mut due) {
            let now_due = scheduler.stalled.due();
            if now_due != 0 && std::mem::replace(seen_due, now_due) == now_due {
                let undelivered = scheduler.stalled.flush_for(node, scheduler.index, |to| {
                    // One that was made since the last tick counts as well (SD-2).
                    rescue.find_new(&mut seen);
                    let mut lanes = seen.iter().map(|seen| &seen.lane);
                    lanes
                        .find(|lane| lane.is_between(scheduler.index, to))
                        .cloned()
                });
                let _completing = lock(&rescue.completing);
                for letter in undelivered {
                    // SAFETY: LT-1, it came back.
                    unsafe { Letter::undeliverable(letter) };
                }
            }
        }
        let is_active = |seen: &[Seen]| {
            let mut schedulers = node.schedulers().iter();
            seen.iter().any(Seen::is_active) || schedulers.any(|one| one.stalled.due() != 0)
        };
        tick = if found { SHORT_TICK } else { TICK };
        quiet = match is_active(&seen) {
            true => 0,
            false => quiet + 1,
        };
        if quiet >= LINGER {
            quiet = 0;
            rescue.event.prepare_park();
            // RC-1: looked at after the event was armed.
            rescue.find_new(&mut seen);
            if rescue.is_over() || is_active(&seen) {
                rescue.event.cancel_park();
            } else {
                rescue.event.park(None);
            }
        }
    }
}

impl Seen {
    /// Whether its caller is awake with calls in flight.
    fn is_active(&self) -> bool {
        self.lane.oldest() != NONE && !self.lane.caller_is_parked()
    }

    /// One tick; true if it had to act.
    fn look(&mut self, rescue: &Rescue, settled: &mut Vec<Settled>) -> bool {
        let oldest = self.lane.oldest();
        if oldest != self.oldest {
            (self.oldest, self.probe) = (oldest, None);
            return false;
        }
        if oldest == NONE {
            return false;
        }
        if let Some(probe) = &self.probe {
            // SAFETY: the lane is here, and with it what its probes point at.
            if !unsafe { probe.has_changed() } {
                return false;
            }
        }
        self.probe = self.lane.take_over(settled);
        self.oldest = self.lane.oldest();
        if settled.is_empty() {
            return false;
        }
        let _completing = lock(&rescue.completing);
        for one in settled.drain(..) {
            // Wakers are the program's.
            drop(catch_unwind(AssertUnwindSafe(|| {
                self.lane.complete_for(one);
            })));
        }
        true
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
