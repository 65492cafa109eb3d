//! The loop of a scheduler: what runs next, and when to spin, yield and park.
//!
//! One turn looks, in this order, at resumable coroutines, sources (graph segments and lanes),
//! letters, actors with calls, tasks and timers. After a turn without work come a few *looks*: one
//! `pause` each, sources and letters only, the source that did something last before the others.
//! The clock is read every [`IDLE_PER_CLOCK`]th idle turn. After the spin budget come a few
//! `sched_yield`, then the scheduler parks.
//!
//! - RL-1 parking: the event is armed first, then everything that could have been made visible
//!   before is looked at once more, then the thread sleeps. Whoever makes something visible
//!   notifies after it. So nothing is slept over (the event's rules EV-*).
//! - RL-2 where other processes can write to the event, one that writes nonsense there could keep
//!   the scheduler asleep for good (EV-8): so it looks ten times a second by itself.
#![allow(unsafe_code, reason = "takes tasks from the run queue as raw cells")]

use super::letter::Letter;
use super::local::Local;
use super::steal::Thief;
use crate::actor::core::ActorCore;
use crate::task::raw::Header;
use maser_shm::sync::hint::spin_loop;
use std::time::Duration;

/// Looks between two turns without work. A turn costs half as much as a `pause`, and what comes in
/// the middle of one waits.
const LOOKS_PER_TURN: u32 = 8;
/// Idle turns between two looks at the clock, which costs as much as a graph node (28 ns measured).
const IDLE_PER_CLOCK: u32 = 4;
/// Idle turns between two attempts to steal: a thief's look takes cache lines from the owner.
const IDLE_PER_STEAL: u32 = 16;
/// Idle turns after which references go back to other processes: longer than an answer is under way.
const IDLE_BEFORE_RETURNS: u32 = 8;
/// Turns with work between two looks at the clock.
const TURNS_PER_CLOCK: u32 = 64;
/// `sched_yield` this often between spinning and parking.
const YIELDS: u32 = 8;
/// RL-2.
const LONGEST_PARK: Duration = Duration::from_millis(100);
/// Tasks run in a row before the other queues get their turn.
const TASKS_PER_TURN: usize = 32;

/// Runs until the scheduler stops. The body of every loop coroutine.
pub(crate) fn run_loop(local: &Local) {
    let mut idle = 0_u32;
    let mut busy = 0_u32;
    let mut thief = Thief::default();
    while !local.must_stop() {
        if !turn(local) && !wait(local, &mut idle, &mut thief) {
            continue;
        }
        idle = 0;
        busy += 1;
        if busy.is_multiple_of(TURNS_PER_CLOCK) {
            fire_timers(local);
            local.bury_doomed();
            local.node.bulk.returns_may_go(local);
        }
    }
}

/// What comes after the `idle`th turn in a row without work; true if something was done.
fn wait(local: &Local, idle: &mut u32, thief: &mut Thief) -> bool {
    *idle += 1;
    if idle.is_multiple_of(IDLE_PER_CLOCK) && fire_timers(local)
        || *idle == IDLE_BEFORE_RETURNS && local.node.bulk.returns_may_go(local)
        || *idle % IDLE_PER_STEAL == 1 && thief.look(local)
    {
        return true;
    }
    let budget = local.node.idle.spin_looks();
    let spun = budget.div_ceil(LOOKS_PER_TURN);
    if *idle <= spun {
        return linger(local, budget.min(LOOKS_PER_TURN));
    }
    if *idle <= spun + YIELDS {
        maser_shm::os::sched_yield();
    } else {
        // The thief keeps what it saw: a task that is still there after a park waits indeed.
        park(local);
        *idle = 0;
    }
    false
}

/// Looks at what others can change, and serves a source that was waited for; true if it did
/// something. A turn comes after it, whatever it was.
fn linger(local: &Local, looks: u32) -> bool {
    for _ in 0..looks {
        spin_loop();
        if let Some((at, source)) = local.sources.changed_at_last() {
            return local.sources.serve(source, at, local);
        }
        if local.shared.has_letters() {
            break;
        }
    }
    false
}

/// One turn; true if something was done.
fn turn(local: &Local) -> bool {
    let mut worked = false;
    if !local.hops.is_now()
        && let Some(co) = local.pop_ready()
    {
        local.resume_blocked(co);
        worked = true;
    }
    let mut look = local.sources.turn();
    while let Some((at, source)) = local.sources.next_changed(&mut look) {
        worked |= local.sources.serve(source, at, local);
    }
    // RL-3.
    if local.hops.is_now() {
        local.hops.end();
        if let Some(co) = local.pop_ready() {
            local.resume_blocked(co);
            return true;
        }
    }
    worked |= local.serve_watches();
    if local.shared.has_letters() {
        for letter in local.shared.letters() {
            // SAFETY: LT-1, the letter was just taken from this scheduler's mailbox.
            unsafe { Letter::deliver(letter, local) };
        }
        worked = true;
    }
    if let Some(actor) = local.pop_actor() {
        ActorCore::run_next(actor, local);
        worked = true;
    }
    if !local.node.injector.is_empty() {
        worked |= local.node.injector.take(&local.tasks);
    }
    for _ in 0..TASKS_PER_TURN {
        let Some(task) = local.tasks.take() else {
            break;
        };
        // SAFETY: what is in the deque are cells of tasks that have not started, and taking one
        // out is the right to start it.
        unsafe { Header::run(task.cast(), local) };
        worked = true;
    }
    if !worked {
        local.bury_doomed();
    }
    worked
}

/// Wakes everybody whose time has come; true if there was one.
pub(crate) fn fire_timers(local: &Local) -> bool {
    let watched = !local.watches.borrow().is_empty();
    let earliest = local.timers.earliest_ns();
    if earliest.is_none() && !watched {
        return false;
    }
    let now = local.node.clock.now_ns();
    let mut any = watched && local.expire_watches(now);
    if earliest.is_some_and(|earliest| now >= earliest) {
        while let Some(co) = local.timers.pop_due(now) {
            // SAFETY: CO-2, control blocks live as long as their scheduler.
            unsafe { co.as_ref() }.wake_local(local);
        }
        any = true;
    }
    any
}

fn park(local: &Local) {
    if local.node.bulk.returns_may_go(local) {
        return;
    }
    local.node.idle.enter_park();
    local.arm_watches(true);
    local.shared.event.prepare_park();
    // RL-1: looked at after the event was armed.
    if local.has_work() || local.stopping.get() || local.node.has_stealable(local.shared.index) {
        local.shared.event.cancel_park();
    } else {
        let deadline = local
            .next_deadline_ns()
            .map(|at| Duration::from_nanos(at.saturating_sub(local.node.clock.now_ns())));
        let timeout = match local.node.workers.share_doors() {
            true => Some(deadline.map_or(LONGEST_PARK, |left| left.min(LONGEST_PARK))),
            false => deadline,
        };
        local.node.parker.park(&local.shared.event, timeout);
    }
    local.arm_watches(false);
    local.node.idle.leave_park();
    if local.lanes.in_flight() {
        local.node.rescue.call_is_in_flight();
    }
    fire_timers(local);
}
