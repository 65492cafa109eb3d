//! `put`, `get` of many and `wait`.
#![allow(unsafe_code, reason = "links wait nodes that live in the waiting call")]

use super::reference::Ref;
use crate::error::{Error, Result};
use crate::executor::coroutine::Co;
use crate::executor::local::Local;
use crate::executor::wait::{LentCpus, check_may_block, deadline_ns, interrupted, thread_event};
use crate::node::Node;
use crate::wait_graph::{Awaited, Edge, Needs};
use maser_shm::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use maser_shm::sync::completion::{Notify, WaitNode};
use maser_shm::sync::event::Event;
use std::collections::HashSet;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

/// Makes an object of `value`. Nothing is copied or encoded until another process needs it, and it
/// stays in memory while there is a ref of it: for arrays that may go to disk meanwhile there is
/// [`Shelved`](crate::Shelved).
#[inline]
pub fn put<T: Send + Sync + 'static>(value: T) -> Ref<T> {
    Ref::done(Ok(value))
}

/// The values of all `refs`, in their order; waits for each.
///
/// # Errors
/// The first error in order; see [`Ref::get`].
pub fn get<T: Clone>(refs: &[Ref<T>]) -> Result<Vec<T>> {
    refs.iter().map(Ref::get).collect()
}

/// As [`get`], with one limit for all of them.
///
/// # Errors
/// As [`get`], and [`Error::Timeout`]; the values that are there stay to be had.
pub fn get_timeout<T: Clone>(refs: &[Ref<T>], limit: Duration) -> Result<Vec<T>> {
    let node = Node::current("get_timeout")?;
    let end = node
        .clock
        .now_ns()
        .saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX));
    refs.iter()
        .map(|one| {
            one.get_timeout(Duration::from_nanos(
                end.saturating_sub(node.clock.now_ns()),
            ))
        })
        .collect()
}

/// The ready refs of a [`wait`], and the rest.
pub type Waited<T> = (Vec<Ref<T>>, Vec<Ref<T>>);

/// Waits until `num_returns` of `refs` are ready, or until `timeout` is over (`None`: for ever).
///
/// Gives the ready ones (at most `num_returns`) and the rest, both in the order of `refs`.
///
/// ```
/// # use maser::prelude::*;
/// # fn main() -> maser::Result<()> {
/// let _maser = maser::Config::new().num_cpus(1).init()?;
/// let refs = [maser::put(1), maser::put(2), maser::put(3)];
/// let (ready, rest) = maser::wait(&refs, 2, None)?;
/// assert_eq!((ready.len(), rest.len()), (2, 1));
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::InvalidArgument`] if `num_returns` is 0 or more than there are refs, or if a ref is
/// there twice; [`Error::ShutDown`], [`Error::Cancelled`] as for [`Ref::get`];
/// [`Error::WaitCycle`] if there is no timeout and so many can never come that `num_returns` cannot
/// be reached. A timeout is not an error: fewer are ready then.
pub fn wait<T>(
    refs: &[Ref<T>],
    num_returns: usize,
    timeout: Option<Duration>,
) -> Result<Waited<T>> {
    if refs.is_empty() && num_returns <= 1 {
        return Ok((Vec::new(), Vec::new()));
    }
    check_arguments(refs, num_returns)?;
    if refs.iter().filter(|one| one.is_ready()).count() < num_returns {
        wait_for_some(refs, num_returns, timeout)?;
    }
    let mut ready = Vec::new();
    let mut rest = Vec::new();
    for one in refs {
        if ready.len() < num_returns && one.is_ready() {
            ready.push(one.clone());
        } else {
            rest.push(one.clone());
        }
    }
    Ok((ready, rest))
}

fn check_arguments<T>(refs: &[Ref<T>], num_returns: usize) -> Result<()> {
    let wrong = |problem: String, remedy: &str| {
        Err(Error::InvalidArgument {
            argument: "wait",
            problem,
            remedy: remedy.into(),
        })
    };
    if num_returns == 0 {
        return wrong("num_returns is 0".into(), "ask for at least 1");
    }
    if num_returns > refs.len() {
        return wrong(
            format!(
                "num_returns is {num_returns} and there are {} refs",
                refs.len()
            ),
            "ask for no more than there are",
        );
    }
    let mut seen = HashSet::with_capacity(refs.len());
    for (at, one) in refs.iter().enumerate() {
        if !seen.insert(one.cell()) {
            return wrong(format!("ref {at} is there twice"), "pass every ref once");
        }
    }
    Ok(())
}

/// Shared by the nodes of one call; the last of them frees it.
struct Group {
    ready: AtomicUsize,
    wanted: usize,
    reached: AtomicBool,
    target: Target,
}

enum Target {
    Coroutine(NonNull<Co>),
    Thread(Arc<Event>),
}

// SAFETY: a `Co` may be woken from any thread (`Co::wake`), and outlives its wake-ups (CO-2).
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

/// # Safety
/// `data` came from `Arc::<Group>::into_raw`, and the count is given to this call.
unsafe fn one_is_ready(data: *const ()) {
    // SAFETY: the caller's promise.
    let group = unsafe { Arc::from_raw(data.cast::<Group>()) };
    if group.ready.fetch_add(1, Ordering::AcqRel) + 1 == group.wanted {
        group.reached.store(true, Ordering::Release);
        match &group.target {
            // SAFETY: CO-2.
            Target::Coroutine(co) => unsafe { co.as_ref() }.wake(),
            Target::Thread(event) => event.notify(),
        }
    }
}

fn wait_for_some<T>(refs: &[Ref<T>], num_returns: usize, timeout: Option<Duration>) -> Result<()> {
    let local = Local::entered();
    if let Some(local) = local {
        check_may_block(local, "wait")?;
    }
    let node = Node::current("wait")?;
    let target = match local {
        Some(local) => Target::Coroutine(local.current_co()),
        None => Target::Thread(thread_event()),
    };
    let group = Arc::new(Group {
        ready: AtomicUsize::new(0),
        wanted: num_returns,
        reached: AtomicBool::new(false),
        target,
    });
    let mut nodes: Vec<WaitNode> = refs
        .iter()
        .map(|_| {
            WaitNode::new(Notify {
                call: one_is_ready,
                data: Arc::into_raw(group.clone()).cast(),
            })
        })
        .collect();
    let first = nodes.as_mut_ptr();
    let mut linked = vec![false; refs.len()];
    for (at, one) in refs.iter().enumerate() {
        // SAFETY: WT-1: the vector does not move before every node is removed or notified.
        unsafe {
            linked[at] = one.completion().add(first.add(at));
            if !linked[at] {
                one_is_ready(Arc::as_ptr(&group).cast());
            }
        }
    }
    let outcome = match local {
        Some(local) => block_on_group(local, &group, refs, timeout),
        None => park_on_group(&node, &group, timeout),
    };
    for (at, one) in refs.iter().enumerate() {
        // SAFETY: linked above; a node that was still linked leaves its count to us.
        unsafe {
            if linked[at] && one.completion().remove(first.add(at)) {
                drop(Arc::from_raw(Arc::as_ptr(&group)));
            }
        }
    }
    outcome
}

fn block_on_group<T>(
    local: &Local,
    group: &Group,
    refs: &[Ref<T>],
    timeout: Option<Duration>,
) -> Result<()> {
    // A wait with a timeout ends without an error, whatever it waits for.
    let edge = match timeout {
        None if !group.reached.load(Ordering::Acquire) => {
            let all = refs.iter().map(|one| Awaited::Task(one.cell())).collect();
            let needs = Needs::Some(all, group.wanted);
            Some(local.node.waits.enter(local, needs, false)?)
        }
        _ => None,
    };
    let _lent = LentCpus::of_this_stack(local);
    let deadline = deadline_ns(local, timeout);
    let timer = deadline.map(|deadline| local.timers.arm(deadline, local.current_co()));
    let outcome = loop {
        if group.reached.load(Ordering::Acquire)
            || deadline.is_some_and(|deadline| local.node.clock.now_ns() >= deadline)
        {
            break Ok(());
        }
        let mut blocked = edge.as_ref().map_or(Ok(()), Edge::check);
        if blocked.is_ok() {
            blocked = interrupted(local, "wait").and_then(|()| local.block());
        }
        if let Err(error) = blocked {
            break Err(error);
        }
    };
    if let Some(timer) = timer {
        local.timers.disarm(timer);
    }
    outcome
}

fn park_on_group(node: &Node, group: &Group, timeout: Option<Duration>) -> Result<()> {
    let Target::Thread(event) = &group.target else {
        return Ok(());
    };
    let end = timeout.map(|timeout| {
        node.clock
            .now_ns()
            .saturating_add(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX))
    });
    loop {
        event.prepare_park();
        let left = end.map(|end| Duration::from_nanos(end.saturating_sub(node.clock.now_ns())));
        if group.reached.load(Ordering::Acquire) || left.is_some_and(|left| left.is_zero()) {
            event.cancel_park();
            return Ok(());
        }
        if node.is_closed() {
            event.cancel_park();
            return Err(Error::ShutDown {
                what: "wait".into(),
            });
        }
        event.park(left);
    }
}
