//! Starting and ending the schedulers of a node.
//!
//! - TH-1 shutdown first marks the node as closing, which ends every wait with an error; each
//!   scheduler then fails what is queued, drops its actors and runs until none of its tasks is
//!   blocked, and only then ends.
//! - CR-1 code of users cannot panic outside of a guard (UD-1), so what unwinds to a scheduler's
//!   hub is a defect of maser. The scheduler says so and closes the node as TH-1 does, the guard
//!   settles the rest when it is dropped. Blocked tasks have coroutines of their own, so the
//!   scheduler goes on to end them. What ran in the one that is gone may never be done: threads
//!   that wait for it look now and then whether the node crashed.
#![allow(
    unsafe_code,
    reason = "owns the control blocks of the scheduler's coroutines"
)]

use super::coroutine::Co;
use super::letter::{self, Letter};
use super::local::Local;
use super::turn::fire_timers;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::task::failure::panicked;
use crate::task::raw::Header;
use maser_shm::sync::deque::Worker;
use std::any::Any;
use std::ptr::{NonNull, null};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Starts the thread of scheduler `index`.
pub(crate) fn start(
    node: &Arc<Node>,
    index: usize,
    tasks: Worker,
    cpu: Option<usize>,
) -> Result<JoinHandle<()>> {
    let node = node.clone();
    std::thread::Builder::new()
        .name(format!("maser-{index}"))
        .spawn(move || {
            pin(cpu);
            let shared = node.schedulers()[index].clone();
            run(&Local::new(node, shared, tasks), index);
        })
        .map_err(|error| Error::System {
            what: format!("cannot start the thread of scheduler {index}"),
            reason: format!("{error}; lower num_cpus or raise the limit of processes"),
        })
}

/// Runs scheduler `index` on this thread until it is asked to stop.
pub(crate) fn run(local: &Local, index: usize) {
    Local::set_current(&raw const *local);
    let _no_longer = NotCurrent;
    match local.first_loop() {
        Ok(first) => local.run_hub(first),
        Err(error) => eprintln!("maser: scheduler {index} cannot start: {error}"),
    }
    end(local);
}

/// When it goes the thread has no scheduler, also while it unwinds.
struct NotCurrent;

impl Drop for NotCurrent {
    fn drop(&mut self) {
        Local::set_current(null());
    }
}

/// CR-1: a coroutine of `local` unwound with `payload`. Gives the one to go on with.
#[cold]
pub(crate) fn survive(local: &Local, payload: Box<dyn Any + Send>) -> NonNull<Co> {
    local.frame.set(null());
    let node = &local.node;
    let index = local.shared.index;
    let fault = panicked(payload, "the loop of a scheduler", None);
    eprintln!(
        "maser: {}; this is a defect of maser, which shuts down",
        fault.0
    );
    node.errors.record(&fault.0);
    if node.crash() {
        node.graphs.close_all();
        node.collectives.close_all();
        for scheduler in 0..node.schedulers().len() {
            ask_to_stop(node, scheduler);
        }
    }
    match local.first_loop() {
        Ok(first) => first,
        Err(error) => {
            // Its blocked tasks can neither go on nor be given up.
            eprintln!("maser: scheduler {index} cannot go on: {error}");
            std::process::abort();
        }
    }
}

/// Pins the calling thread; a machine that refuses leaves it unpinned.
pub(crate) fn pin(cpu: Option<usize>) {
    if let Some(cpu) = cpu {
        drop(maser_shm::os::affinity::pin(cpu));
    }
}

/// Frees what a scheduler owned; its hub has ended.
pub(crate) fn end(local: &Local) {
    for letter in local.shared.close_mailbox() {
        // SAFETY: LT-1, the last letters; nobody will deliver them.
        unsafe { Letter::undeliverable(letter) };
    }
    local.node.remains.keep_lanes(local.sources.take());
    local.bury_all();
    local.node.rescue.let_pass();
    for co in local.coroutines.take() {
        // SAFETY: TH-1, none is blocked, so all are idle loops or have ended, and nobody waits
        // for anything here any more.
        unsafe { Co::destroy(co) };
    }
    Local::set_current(null());
}

/// Asks scheduler `index` to stop.
pub(crate) fn ask_to_stop(node: &Node, index: usize) {
    let stop = letter::closure(|local| {
        close(local);
        // The loop looks at this between turns; it goes on while tasks are blocked. The main
        // thread's ends with the main function.
        local.stopping.set(!local.has_root());
    });
    // SAFETY: LT-1, a fresh letter.
    unsafe { node.schedulers()[index].post(stop) };
}

/// TH-1 for the root's scheduler, whose thread may be anywhere in the program: it closes as soon as
/// it looks, and ends when it enters maser again (RT-1).
pub(crate) fn ask_to_close(node: &Node) {
    let root = &node.schedulers()[0];
    root.close();
    // SAFETY: LT-1, a fresh letter.
    unsafe { root.post(letter::closure(close)) };
}

/// TH-1 for one scheduler: nothing queued will start any more, everything blocked wakes.
pub(crate) fn close(local: &Local) {
    local.shared.close();
    fail_queued(local);
    local.wake_all();
}

fn fail_queued(local: &Local) {
    local.shared.stalled.fail_all();
    for source in local.sources.snapshot() {
        source.close();
    }
    for actor in local.residents.borrow().iter() {
        // SAFETY: residents are taken off before they are freed.
        unsafe { actor.as_ref() }.close();
    }
    let injected = local.node.injector.drain();
    let mine = std::iter::from_fn(|| local.tasks.take());
    for cell in injected
        .into_iter()
        .chain(mine.map(|task| task.cast::<Header>()))
    {
        // SAFETY: TC-1, taken from the queue.
        unsafe {
            let what = cell.as_ref().meta().name.to_owned();
            Header::fail(cell, Error::ShutDown { what });
        }
    }
}

/// Turns after the last task, for destructors that keep making work.
const LAST_ROUNDS: u32 = 100_000;

/// The last turns of the root's scheduler: runs until nothing is blocked any more.
pub(crate) fn drain_from_root(local: &Local) {
    local.root_panics.set(std::thread::panicking());
    close(local);
    let mut rounds = 0_u32;
    // What is blocked has been woken with an error, and may wait for other schedulers that end.
    while local.blocked.get() > 0 || (local.has_work() && rounds < LAST_ROUNDS) {
        if local.yield_now().is_err() {
            break;
        }
        fire_timers(local);
        if local.blocked.get() == 0 {
            rounds += 1;
        } else if !local.has_work() {
            maser_shm::os::sched_yield();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::letter;
    use crate::config::{Config, Mode};
    use crate::error::Error;
    use crate::executor::TURN;
    use crate::node::Node;
    use crate::object::reference::Promise;

    #[test]
    fn a_scheduler_that_unwinds_closes_the_node_and_nobody_waits_for_ever() {
        let _turn = TURN.lock().expect("no test of it failed");
        for scheduler in [0, 1] {
            let config = Config::new().num_cpus(2).mode(Mode::Silent);
            let maser = config.clone().init().expect("it starts");
            let node = Node::current("a test").expect("it runs");
            let (promise, awaited) = Promise::<u64>::new();
            let also = awaited.clone();
            let waits = std::thread::spawn(move || awaited.get());
            let selects = std::thread::spawn(move || crate::select(&[also]));
            let crash = letter::closure(|_| panic!("a defect of a test"));
            // SAFETY: LT-1, a fresh letter.
            unsafe { node.schedulers()[scheduler].post(crash) };
            let error = waits.join().expect("it does not panic");
            assert!(matches!(error, Err(Error::ShutDown { .. })), "{error:?}");
            let error = selects.join().expect("it does not panic");
            assert!(matches!(error, Err(Error::ShutDown { .. })), "{error:?}");
            assert!(node.has_crashed());
            let events = node.errors.events();
            assert!(
                events[0].message.contains("a defect of a test"),
                "{events:?}"
            );
            drop(maser);
            drop(promise);
            let again = config.init().expect("it starts again");
            drop(again);
        }
    }
}
