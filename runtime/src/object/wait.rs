//! `wait` and `select`: which of several refs are ready, from tasks, methods and foreign threads.
//!
//! - WA-1 what is waited for tells the waiter: a cell through a wait node in its list (WT-1), a graph
//!   through the waiters of its core (DR-4) or, on a scheduler, through a watch that its loop polls. The
//!   waiter then looks which of them are there; if there are cells alone they count for it.
//! - WA-2 the waiter registers with what is not there, and then looks again before it sleeps: what came
//!   in between was not registered with.
#![allow(unsafe_code, reason = "links wait nodes that live in the waiting call")]

use super::ready::{Awaited, Ready, RunOf, Waitable, What};
use crate::error::{Error, Result};
use crate::executor::coroutine::Co;
use crate::executor::local::Local;
use crate::executor::wait::{
    CRASH_LOOK, LentCpus, check_may_block, deadline_ns, interrupted, thread_event,
};
use crate::executor::watch::Watch;
use crate::graph::core::Core;
use crate::graph::observe::chart::LOOK_EVERY;
use crate::node::Node;
use crate::wait_graph::{self, Edge, Needs};
use maser_shm::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use maser_shm::sync::completion::{Notify, WaitNode};
use maser_shm::sync::event::Event;
use std::cell::Cell;
use std::collections::HashSet;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

/// The ready refs of a [`wait`], and the rest.
pub type Waited<R> = (Vec<R>, Vec<R>);

/// Waits until `num_returns` of `refs` are ready, or until `timeout` is over (`None`: for ever).
///
/// Gives the ready ones (at most `num_returns`) and the rest, both in the order of `refs`: refs of
/// tasks and objects as themselves, results of runs by reference.
///
/// ```
/// # use maser::prelude::*;
/// # #[maser::task] fn double(n: i64) -> i64 { n * 2 }
/// # fn main() -> maser::Result<()> {
/// let _maser = maser::Config::new().num_cpus(1).init()?;
/// let refs = [maser::put(1), maser::put(2), maser::put(3)];
/// let (ready, rest) = maser::wait(&refs, 2, None)?;
/// assert_eq!((ready.len(), rest.len()), (2, 1));
///
/// let graph = Graph::new(|n: Node<i64>| double::bind(n)).compile()?;
/// let runs = [graph.execute(1)?, graph.execute(2)?];
/// let (ready, rest) = maser::wait(&runs, 1, None)?;
/// assert_eq!((ready[0].get()?, rest.len()), (2, 1));
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::InvalidArgument`] if `num_returns` is 0 or more than there are refs, or if a ref is
/// there twice; [`Error::ShutDown`], [`Error::Cancelled`] as for [`Ref::get`](crate::Ref::get);
/// [`Error::WaitCycle`] if there is no timeout and so many can never come that `num_returns` cannot
/// be reached. A timeout is not an error: fewer are ready then.
pub fn wait<'a, R: Waitable>(
    refs: &'a [R],
    num_returns: usize,
    timeout: Option<Duration>,
) -> Result<Waited<R::Given<'a>>> {
    if refs.is_empty() && num_returns <= 1 {
        return Ok((Vec::new(), Vec::new()));
    }
    let all = all_of(refs, num_returns)?;
    until(&all, num_returns, timeout)?;
    Ok(sorted(refs, num_returns))
}

/// Waits until one of `refs` is ready; gives the place of the first that is.
///
/// ```
/// # use maser::prelude::*;
/// # use maser::Ready;
/// # #[maser::task] fn double(n: i64) -> i64 { n * 2 }
/// # fn main() -> maser::Result<()> {
/// let _maser = maser::Config::new().num_cpus(1).init()?;
/// let graph = Graph::new(|n: Node<i64>| double::bind(n)).compile()?;
/// let (run, text) = (graph.execute(1)?, maser::put("text"));
/// let any: [&dyn Ready; 2] = [&run, &text];       // refs of all kinds
/// match maser::select(&any)? {
///     0 => assert_eq!(run.get()?, 2),
///     _ => assert_eq!(text.get()?, "text"),
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
/// As [`wait`]; [`Error::InvalidArgument`] if there are no refs.
pub fn select<R: Ready>(refs: &[R]) -> Result<usize> {
    loop {
        if let Some(first) = select_within(refs, None)? {
            return Ok(first);
        }
    }
}

/// As [`select`], but waits no longer than `limit`: `None` if none is ready by then.
///
/// # Errors
/// As [`select`].
pub fn select_timeout<R: Ready>(refs: &[R], limit: Duration) -> Result<Option<usize>> {
    select_within(refs, Some(limit))
}

fn select_within<R: Ready>(refs: &[R], limit: Option<Duration>) -> Result<Option<usize>> {
    let all = all_of(refs, 1)?;
    until(&all, 1, limit)?;
    Ok(all.iter().position(Awaited::is_there))
}

/// `refs` as [`wait`] gives them.
pub(super) fn sorted<R: Waitable>(refs: &[R], num_returns: usize) -> Waited<R::Given<'_>> {
    let mut ready = Vec::new();
    let mut rest = Vec::new();
    for one in refs {
        if ready.len() < num_returns && one.is_ready() {
            ready.push(one.given());
        } else {
            rest.push(one.given());
        }
    }
    (ready, rest)
}

/// What there is to wait for in `refs`.
///
/// # Errors
/// See [`wait`].
pub(super) fn all_of<R: Ready>(refs: &[R], num_returns: usize) -> Result<Vec<Awaited<'_>>> {
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
    let all: Vec<_> = refs.iter().map(Ready::awaited).collect();
    let mut seen = HashSet::with_capacity(all.len());
    for (at, one) in all.iter().enumerate() {
        if !seen.insert(one.key) {
            return wrong(format!("ref {at} is there twice"), "pass every ref once");
        }
    }
    Ok(all)
}

/// Shared by the nodes of one call; the last of them frees it.
struct Group {
    ready: AtomicUsize,
    wanted: usize,
    /// There are results of runs as well: whoever waits looks itself, whenever a cell is done.
    has_runs: bool,
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
    let ready = group.ready.fetch_add(1, Ordering::AcqRel) + 1;
    if group.has_runs || ready == group.wanted {
        group.reached.store(true, Ordering::Release);
        match &group.target {
            // SAFETY: CO-2.
            Target::Coroutine(co) => unsafe { co.as_ref() }.wake(),
            Target::Thread(event) => event.notify(),
        }
    }
}

/// One call that waits.
struct Call<'a> {
    all: &'a [Awaited<'a>],
    wanted: usize,
    group: Arc<Group>,
}

impl Call<'_> {
    fn is_over(&self) -> bool {
        if self.group.has_runs {
            are_there(self.all.iter(), self.wanted)
        } else {
            self.group.reached.load(Ordering::Acquire)
        }
    }

    /// The first run that is not there, of each output.
    fn runs(&self) -> Vec<(&dyn RunOf, u64)> {
        let mut runs: Vec<((usize, u64), &dyn RunOf)> = Vec::new();
        for one in self.all {
            let What::Run(output, run) = one.what else {
                continue;
            };
            let (output_key, _) = one.key;
            match runs.iter_mut().find(|((key, _), _)| *key == output_key) {
                Some(((_, first), _)) if *first <= run => {}
                _ if output.is_there(run) => {}
                Some(((_, first), _)) => *first = run,
                None => runs.push(((output_key, run), output)),
            }
        }
        let of = |((_, run), output): ((usize, u64), _)| (output, run);
        runs.into_iter().map(of).collect()
    }

    /// The graphs whose results are waited for.
    fn graphs(&self) -> Vec<&Core> {
        let mut graphs: Vec<&Core> = Vec::new();
        for one in self.all {
            if let What::Run(output, _) = one.what
                && !graphs.iter().any(|core| std::ptr::eq(*core, output.core()))
            {
                graphs.push(output.core());
            }
        }
        graphs
    }

    /// What the graph of waits is told, if it can tell anything: what it does not know may come.
    fn needs(&self) -> Option<Needs> {
        let mut known = Vec::with_capacity(self.all.len());
        let mut unknown = 0;
        for one in self.all {
            let needed = match one.what {
                What::Here => None,
                What::Cell(cell) => Some(wait_graph::Awaited::Task(cell)),
                What::Run(output, run) => output.needed(run),
            };
            match needed {
                Some(needed) => known.push(needed),
                None => unknown += 1,
            }
        }
        let wanted = self
            .wanted
            .checked_sub(unknown)
            .filter(|wanted| *wanted > 0)?;
        Some(Needs::Some(known, wanted))
    }
}

/// Whether so many of `all` are there.
pub(super) fn are_there<'a, 'b: 'a>(
    all: impl Iterator<Item = &'a Awaited<'b>>,
    wanted: usize,
) -> bool {
    let mut there = all.filter(|one| one.is_there());
    wanted == 0 || there.nth(wanted - 1).is_some()
}

/// Waits until `wanted` of `all` are there, or `timeout` is over.
///
/// # Errors
/// See [`wait`].
pub(crate) fn until(all: &[Awaited<'_>], wanted: usize, timeout: Option<Duration>) -> Result<()> {
    if are_there(all.iter(), wanted) {
        return Ok(());
    }
    let local = Local::entered();
    if let Some(local) = local {
        check_may_block(local, "wait")?;
        local.count_wait();
    }
    let node = Node::current("wait")?;
    let target = match local {
        Some(local) => Target::Coroutine(local.current_co()),
        None => Target::Thread(thread_event()),
    };
    let group = Arc::new(Group {
        ready: AtomicUsize::new(0),
        wanted,
        has_runs: all.iter().any(|one| matches!(one.what, What::Run(..))),
        reached: AtomicBool::new(false),
        target,
    });
    let mut nodes: Vec<WaitNode> = Vec::with_capacity(all.len());
    let mut linked = vec![false; all.len()];
    for _ in all {
        nodes.push(WaitNode::new(Notify {
            call: one_is_ready,
            data: Arc::as_ptr(&group).cast(),
        }));
    }
    let first = nodes.as_mut_ptr();
    for (at, one) in all.iter().enumerate() {
        let count = || Arc::into_raw(group.clone()).cast::<()>();
        // SAFETY: WT-1: the vector does not move before every node is removed or notified; each
        // notification has a count of the group.
        unsafe {
            match one.what {
                What::Here => one_is_ready(count()),
                What::Cell(cell) => {
                    let data = count();
                    linked[at] = (*cell.as_ptr()).completion.add(first.add(at));
                    if !linked[at] {
                        one_is_ready(data);
                    }
                }
                What::Run(..) => {}
            }
        }
    }
    let call = Call {
        all,
        wanted,
        group: group.clone(),
    };
    let outcome = match local {
        Some(local) => block(local, &call, timeout),
        None => park(&node, &call, timeout),
    };
    for (at, one) in all.iter().enumerate() {
        // SAFETY: linked above; a node that was still linked leaves its count to us.
        unsafe {
            if let What::Cell(cell) = one.what
                && linked[at]
                && (*cell.as_ptr()).completion.remove(first.add(at))
            {
                drop(Arc::from_raw(Arc::as_ptr(&group)));
            }
        }
    }
    outcome
}

fn block(local: &Local, call: &Call<'_>, timeout: Option<Duration>) -> Result<()> {
    // A wait with a timeout ends without an error, whatever it waits for.
    let needs = match timeout {
        None if !call.is_over() => call.needs(),
        _ => None,
    };
    let edge = match needs {
        Some(needs) => Some(local.node.waits.enter(local, needs, false)?),
        None => None,
    };
    let _lent = LentCpus::of_this_stack(local);
    let me = local.current_co();
    let deadline = deadline_ns(local, timeout);
    let timer = deadline.map(|deadline| local.timers.arm(deadline, me));
    let outcome = loop {
        let are_watched = watch(local, call);
        // WA-2.
        if call.is_over() || deadline.is_some_and(|deadline| local.node.clock.now_ns() >= deadline)
        {
            break Ok(());
        }
        if !are_watched {
            continue;
        }
        let mut blocked = edge.as_ref().map_or(Ok(()), Edge::check);
        if blocked.is_ok() {
            blocked = interrupted(local, "wait").and_then(|()| local.block());
        }
        if let Err(error) = blocked {
            break Err(error);
        }
    };
    unwatch(local, me);
    if let Some(timer) = timer {
        local.timers.disarm(timer);
    }
    outcome
}

/// Has the loop look for the results of runs that are not there, and for no others any more; false if
/// one of them came meanwhile.
fn watch(local: &Local, call: &Call<'_>) -> bool {
    let me = local.current_co();
    unwatch(local, me);
    for (output, run) in call.runs() {
        let watched = output.pollable();
        let probes = watched.as_ref().and_then(|result| result.idle(run));
        let (Some(result), Some(probes)) = (watched, probes) else {
            return false;
        };
        local.watches.borrow_mut().push(Watch {
            result,
            run,
            probes: Cell::new(probes),
            co: me,
            limit: None,
            deadline_ns: Cell::new(None),
        });
    }
    true
}

/// The loop looks for nothing that `co` waits for.
fn unwatch(local: &Local, co: NonNull<Co>) {
    local.watches.borrow_mut().retain(|watch| watch.co != co);
}

fn park(node: &Node, call: &Call<'_>, timeout: Option<Duration>) -> Result<()> {
    let Target::Thread(event) = &call.group.target else {
        return Ok(());
    };
    if let [(output, run)] = call.runs()[..]
        && output.looks(run)
        && call.is_over()
    {
        return Ok(());
    }
    let end = timeout.map(|timeout| {
        node.clock
            .now_ns()
            .saturating_add(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX))
    });
    let graphs = call.graphs();
    graphs.iter().for_each(|core| core.add_sleeper(event));
    let outcome = loop {
        event.prepare_park();
        let now = node.clock.now_ns();
        let left = end.map(|end| Duration::from_nanos(end.saturating_sub(now)));
        if call.is_over() || left.is_some_and(|left| left.is_zero()) {
            event.cancel_park();
            break Ok(());
        }
        if node.is_closed() || node.has_crashed() {
            event.cancel_park();
            break Err(Error::ShutDown {
                what: "wait".into(),
            });
        }
        graphs.iter().for_each(|core| core.looks_on(now));
        let slice = match graphs.is_empty() {
            true => CRASH_LOOK,
            false => LOOK_EVERY,
        };
        event.park(Some(left.map_or(slice, |left| left.min(slice))));
    };
    graphs.iter().for_each(|core| core.remove_sleeper(event));
    outcome
}
