//! `sleep` and `yield_now`: a task waits, its core does not.

use crate::error::Error;
use crate::executor::local::Local;
use crate::executor::wait::{interrupted, thread_event};
use crate::node::Node;
use crate::task::failure::Unwind;
use std::time::Duration;

/// Waits for `duration`. In a task, other work goes on meanwhile; on a foreign thread, and in a
/// destructor that runs because of a panic, the thread sleeps.
///
/// # Cancel safety
/// A task that is cancelled while it sleeps ends here: its stack unwinds.
pub fn sleep(duration: Duration) {
    match Local::entered() {
        Some(local) if !local.is_unwinding() => sleep_on_scheduler(local, duration),
        _ => sleep_on_thread(duration),
    }
}

fn sleep_on_scheduler(local: &Local, duration: Duration) {
    let deadline = local
        .node
        .clock
        .now_ns()
        .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    let timer = local.timers.arm(deadline, local.current_co());
    while local.node.clock.now_ns() < deadline {
        if let Err(error) = interrupted(local, "sleep").and_then(|()| local.block()) {
            local.timers.disarm(timer);
            // Returns in the root task alone, which goes on awake.
            return give_up(local, error);
        }
    }
    local.timers.disarm(timer);
    if let Err(error) = interrupted(local, "sleep") {
        give_up(local, error);
    }
}

fn sleep_on_thread(duration: Duration) {
    let Ok(node) = Node::current("sleep") else {
        return std::thread::park_timeout(duration);
    };
    let end = node
        .clock
        .now_ns()
        .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    let event = thread_event();
    loop {
        let left = end.saturating_sub(node.clock.now_ns());
        if left == 0 {
            return;
        }
        event.prepare_park();
        event.park(Some(Duration::from_nanos(left)));
    }
}

/// Lets other tasks of this core have their turn.
///
/// # Cancel safety
/// A task that is cancelled ends here: its stack unwinds.
pub fn yield_now() {
    match Local::current() {
        Some(local) if !local.is_unwinding() => {
            if let Err(error) = interrupted(local, "yield_now").and_then(|()| local.yield_now()) {
                give_up(local, error);
            }
        }
        _ => maser_shm::os::sched_yield(),
    }
}

/// Ends the task where it stands. The root task goes on instead: it has nobody who could catch
/// this.
fn give_up(local: &Local, error: Error) {
    if !local.frame.get().is_null() {
        std::panic::resume_unwind(Box::new(Unwind(error)));
    }
}
