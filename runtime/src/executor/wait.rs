//! Waiting until a result is there: on a scheduler (other work goes on), or on a foreign thread
//! (which spins, then sleeps).
//!
//! - WT-1 a wait first looks, then links a node, then blocks; it leaves only with its node out of
//!   the list or notified (CP-4).
//! - WT-2 a wait on a scheduler ends early when its task is cancelled or the runtime shuts down.
#![allow(
    unsafe_code,
    reason = "links wait nodes that live on the waiter's stack"
)]

use super::coroutine::Co;
use super::local::Local;
use crate::error::{Error, Result};
use crate::resources::Grant;
use crate::task::raw::Header;
use crate::wait_graph::{Awaited, Edge, Needs};
use maser_shm::sync::completion::{Completion, Notify, WaitNode};
use maser_shm::sync::event::Event;
use maser_shm::sync::hint::spin_loop;
use std::cell::OnceCell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

/// Looks between two looks at the clock while spinning.
const LOOKS_PER_CLOCK: u32 = 256;

/// Waits until `cell` is done.
#[inline(always)]
pub(crate) fn wait_done(cell: NonNull<Header>, limit: Option<Duration>) -> Result<()> {
    // SAFETY: the caller holds a handle of the cell for the whole call.
    if unsafe { cell.as_ref() }.completion.is_done() {
        Ok(())
    } else {
        wait_pending(cell, limit)
    }
}

#[inline(never)]
fn wait_pending(cell: NonNull<Header>, limit: Option<Duration>) -> Result<()> {
    // SAFETY: as above.
    let header = unsafe { cell.as_ref() };
    match Local::entered() {
        Some(local) => {
            let may_run = limit.is_none() && local.may_run_inline();
            // A waiter runs the newest task of its own queue on its own stack: it cannot go on
            // before that task is done anyway.
            if may_run && local.tasks.pop_if_newest(cell.cast()) {
                // SAFETY: TC-1, taken from the queue.
                unsafe { Header::run(cell, local) };
                return Ok(());
            }
            // SAFETY: `cell` is alive and of its vtable's types.
            unsafe { (header.vtable().progress)(cell, Some(local), may_run) };
            if header.completion.is_done() {
                return Ok(());
            }
            wait_on_scheduler(local, cell, limit)
        }
        // The main thread may have left its scheduler just now, and ended `cell` with it (RT-1).
        None if header.completion.is_done() => Ok(()),
        None => wait_foreign(&header.completion, limit, header.meta().name),
    }
}

/// The deadline of a wait that begins now.
pub(crate) fn deadline_ns(local: &Local, limit: Option<Duration>) -> Option<u64> {
    limit.map(|limit| {
        local
            .node
            .clock
            .now_ns()
            .saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX))
    })
}

fn wait_on_scheduler(local: &Local, cell: NonNull<Header>, limit: Option<Duration>) -> Result<()> {
    // SAFETY: the caller holds a handle.
    let header = unsafe { cell.as_ref() };
    let name = header.meta().name;
    check_may_block(local, name)?;
    local.count_wait();
    let deadline = deadline_ns(local, limit);
    let budget = local.node.idle.spin_looks();
    for look in 0..budget {
        if header.completion.is_done() {
            return Ok(());
        }
        if local.has_work() {
            // What it saw may be our own answer.
            // SAFETY: as in `wait_pending`.
            unsafe { (header.vtable().progress)(cell, Some(local), false) };
            if header.completion.is_done() {
                return Ok(());
            }
            break;
        }
        spin_loop();
        if look % LOOKS_PER_CLOCK == LOOKS_PER_CLOCK - 1 {
            let now = local.node.clock.now_ns();
            if deadline.is_some_and(|deadline| now >= deadline)
                || local.timers.earliest_ns().is_some_and(|at| now >= at)
            {
                break;
            }
        }
    }
    let needs = Needs::One(Awaited::Task(cell));
    let edge = local.node.waits.enter(local, needs, limit.is_some())?;
    let _lent = LentCpus::of_this_stack(local);
    let mut waited = Waited {
        limit,
        deadline,
        name,
    };
    block_on(local, &header.completion, &mut waited, &edge)
}

/// The CPUs of the tasks on this stack that have demands of their own, lent out while it is
/// blocked: those below wait for the innermost one.
#[must_use = "the CPUs are taken back when this is dropped"]
pub(crate) struct LentCpus<'a>(&'a Local);

impl<'a> LentCpus<'a> {
    #[inline]
    pub(crate) fn of_this_stack(local: &'a Local) -> Self {
        let lent = Self(local);
        lent.each(true, Grant::lend_cpus);
        lent
    }

    #[inline]
    fn each(&self, waits: bool, with: impl Fn(&Grant)) {
        let serving = &self.0.links.serving;
        let is_asked = serving.has_lenders();
        let mut frame = self.0.frame.get();
        // SAFETY: frames live on the stack of the running coroutine; the cell of each is alive and
        // its extra untouched until its task ends.
        while let Some(one) = unsafe { frame.as_ref() } {
            // SAFETY: as above.
            let extra = unsafe { one.header.as_ref().and_then(|header| header.extra.as_ref()) };
            if let Some(grant) = extra.and_then(|extra| extra.grant.as_ref()) {
                with(grant);
            }
            if is_asked {
                serving.tell_lender(one.header, waits);
            }
            frame = one.below;
        }
    }
}

impl Drop for LentCpus<'_> {
    #[inline]
    fn drop(&mut self) {
        self.each(false, Grant::reclaim_cpus);
    }
}

/// Refuses to block where that can only do harm.
pub(crate) fn check_may_block(local: &Local, what: &str) -> Result<()> {
    if local.is_unwinding() {
        return Err(Error::GetWhilePanicking { what: what.into() });
    }
    interrupted(local, what)
}

/// WT-2.
pub(crate) fn interrupted(local: &Local, what: &str) -> Result<()> {
    if local.node.is_closing() {
        return Err(Error::ShutDown { what: what.into() });
    }
    // SAFETY: frames live on the stack of the task they name, which is the running one.
    if let Some(frame) = unsafe { local.frame.get().as_ref() } {
        // SAFETY: a running task's cell is not DONE, hence alive (CP-2).
        if let Some(header) = unsafe { frame.header.as_ref() }
            && header.completion.is_cancel_requested()
        {
            return Err(Error::Cancelled {
                what: frame.meta.name.into(),
            });
        }
        // SAFETY: an actor's block outlives the calls that run on it.
        if let Some(actor) = unsafe { frame.actor.as_ref() }
            && let Some(died) = actor.death()
        {
            return Err(died);
        }
    }
    Ok(())
}

struct Waited<'a> {
    limit: Option<Duration>,
    deadline: Option<u64>,
    name: &'a str,
}

fn block_on(
    local: &Local,
    completion: &Completion,
    waited: &mut Waited<'_>,
    edge: &Edge<'_>,
) -> Result<()> {
    let me = local.current_co();
    let mut node = WaitNode::new(Notify {
        call: Co::wake_raw,
        data: me.as_ptr().cast_const().cast(),
    });
    let node: *mut WaitNode = &raw mut node;
    // SAFETY: WT-1, the node stays on this stack until it is removed or notified; the caller
    // holds a handle of the entry.
    if !unsafe { completion.add(node) } {
        return Ok(());
    }
    let timer = waited
        .deadline
        .map(|deadline| local.timers.arm(deadline, me));
    let outcome = loop {
        // SAFETY: the node is this function's.
        if unsafe { (*node).is_notified() } {
            break Ok(());
        }
        if let Some(deadline) = waited.deadline
            && local.node.clock.now_ns() >= deadline
        {
            break Err(timed_out(waited.name, waited.limit.unwrap_or_default()));
        }
        let mut blocked = edge.check();
        if blocked.is_ok() {
            blocked = interrupted(local, waited.name).and_then(|()| local.block());
        }
        if let Err(error) = blocked {
            break Err(error);
        }
    };
    if let Some(timer) = timer {
        local.timers.disarm(timer);
    }
    if outcome.is_err() {
        // SAFETY: the node was added above.
        let _was_linked = unsafe { completion.remove(node) };
        if completion.is_done() {
            return Ok(());
        }
    }
    outcome
}

/// A timed-out get.
pub(crate) fn timed_out(name: &str, waited: Duration) -> Error {
    Error::Timeout {
        what: format!("the result of {name}"),
        from_whom: name.into(),
        waited,
        knob: "the timeout argument",
    }
}

thread_local! {
    static THREAD_EVENT: OnceCell<Arc<Event>> = const { OnceCell::new() };
}

/// The event on which this foreign thread sleeps.
pub(crate) fn thread_event() -> Arc<Event> {
    THREAD_EVENT.with(|event| event.get_or_init(|| Arc::new(Event::new())).clone())
}

/// # Safety
/// `data` came from `Arc::<Event>::into_raw`, and the count is given to this call.
unsafe fn notify_event(data: *const ()) {
    // SAFETY: the caller's promise.
    unsafe { Arc::from_raw(data.cast::<Event>()) }.notify();
}

/// How often a foreign thread that sleeps looks whether the node crashed (CR-1).
pub(crate) const CRASH_LOOK: Duration = Duration::from_secs(1);

/// Waits on a thread that no scheduler runs on.
pub(crate) fn wait_foreign(
    completion: &Completion,
    limit: Option<Duration>,
    name: &str,
) -> Result<()> {
    let node = crate::node::Node::current("get")?;
    let started = node.clock.now_ns();
    let deadline = limit
        .map(|limit| started.saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)));
    for look in 0..node.idle.spin_looks() {
        if completion.is_done() {
            return Ok(());
        }
        spin_loop();
        if look % LOOKS_PER_CLOCK == 0
            && deadline.is_some_and(|deadline| node.clock.now_ns() >= deadline)
        {
            break;
        }
    }
    let event = thread_event();
    let data = Arc::into_raw(event.clone()).cast();
    let mut wait_node = WaitNode::new(Notify {
        call: notify_event,
        data,
    });
    let wait_node: *mut WaitNode = &raw mut wait_node;
    // SAFETY: WT-1 as above; the count behind `data` goes to the notifier.
    if !unsafe { completion.add(wait_node) } {
        // SAFETY: nobody was given the count.
        unsafe { drop(Arc::from_raw(data.cast::<Event>())) };
        return Ok(());
    }
    let outcome = loop {
        event.prepare_park();
        // SAFETY: the node is this function's.
        if unsafe { (*wait_node).is_notified() } {
            event.cancel_park();
            break Ok(());
        }
        if node.is_closed() || node.has_crashed() {
            event.cancel_park();
            break Err(Error::ShutDown { what: name.into() });
        }
        let timeout = match deadline {
            None => Some(CRASH_LOOK),
            Some(deadline) => {
                let now = node.clock.now_ns();
                if now >= deadline {
                    event.cancel_park();
                    break Err(timed_out(name, limit.unwrap_or_default()));
                }
                Some(CRASH_LOOK.min(Duration::from_nanos(deadline - now)))
            }
        };
        event.park(timeout);
    };
    if outcome.is_err() {
        // SAFETY: added above; a node that was still linked leaves its count to us.
        unsafe {
            if completion.remove(wait_node) {
                drop(Arc::from_raw(data.cast::<Event>()));
            }
        }
        if completion.is_done() {
            return Ok(());
        }
    }
    outcome
}
