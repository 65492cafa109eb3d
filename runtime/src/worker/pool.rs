//! Tasks in worker processes: which worker runs which task, and what becomes of those of a worker
//! that dies.
//!
//! - WP-1 the runtime with `Isolation::Process` has a place for each of its CPUs; the worker of a
//!   place is started when a task needs it. A place runs one task at a time, those
//!   apart that wait for something there; tasks that find none free wait in the order in which they were made.
//! - WP-2 a task that a task of a worker made goes to the place with the fewest at once: its parent
//!   may wait for it, and keeps its place meanwhile.
//! - WP-3 a task keeps its arguments' bytes until it is answered. If its worker dies it runs again,
//!   as often as `max_retries` says, and may then have had effects more than once.
//! - WP-4 with `max_calls` a worker that has run a function that often gets no more tasks, and ends
//!   when it has answered those it has.
#![allow(unsafe_code, reason = "type-erased cells of tasks")]

use super::death::Death;
use super::message::{Head, Kind};
use super::parcel::Parcel;
use super::peer::Peer;
use super::serving::{HAS_BACK, LENDS_NOW};
use super::tickets::InFlight;
use super::{answered, registry, serve};
use crate::actor::lane::shut_down;
use crate::error::{Error, Fault};
use crate::executor::letter;
use crate::executor::local::Local;
use crate::node::Node;
use crate::resources::{Grant, Lent, Loan};
use crate::task::options::{MAX_RETRIES, TaskOptions};
use crate::task::raw::Header;
use crate::task::retry::{self, RetryErrors};
use std::collections::{HashMap, VecDeque};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What becomes of tasks that are made on a scheduler now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stays {
    /// As the configuration says.
    #[default]
    No,
    /// It runs here: this process was asked to run it.
    Here,
    /// It goes to a worker on behalf of another (WP-2).
    Nested,
}

impl Stays {
    /// Runs `body`, and this holds for what it makes.
    pub(crate) fn during<R>(self, local: &Local, body: impl FnOnce() -> R) -> R {
        let outer = local.stays.replace(self);
        let value = body();
        local.stays.set(outer);
        value
    }
}

/// A task on its way to a worker, or in one.
pub(crate) struct Job {
    cell: NonNull<Header>,
    /// If it was given one.
    name: Option<String>,
    function: u32,
    parcel: Parcel,
    /// Runs that are left after this one; negative is no limit.
    retries: i32,
    /// Errors after which it runs again.
    errors: RetryErrors,
    /// Runs that have begun.
    tries: u32,
    max_calls: u32,
    /// WP-2.
    is_nested: bool,
    /// The place it asked for.
    wanted: Option<usize>,
    at: Option<(usize, Arc<Peer>)>,
    /// Its CPUs, which others have while it waits for a result.
    lent: Option<Lent>,
    pool: Arc<Pool>,
}

// SAFETY: a job is the right to complete its cell (TC-1), which any thread may use.
unsafe impl Send for Job {}

#[derive(Default)]
struct Place {
    worker: Option<Arc<Peer>>,
    running: usize,
    /// WP-4, by function.
    calls: HashMap<u32, u32>,
    leaves: bool,
}

#[derive(Default)]
struct State {
    places: Vec<Place>,
    waiting: VecDeque<Job>,
    closed: bool,
}

/// See the module's page.
pub(crate) struct Pool {
    node: Weak<Node>,
    state: Mutex<State>,
}

impl Place {
    fn is_alive(&self) -> bool {
        let worker = self.worker.as_ref();
        worker.is_some_and(|worker| worker.death().is_none()) && !self.leaves
    }
}

impl Pool {
    /// A pool of so many places.
    pub(super) fn new(node: &Arc<Node>, places: usize) -> Arc<Self> {
        Arc::new(Self {
            node: Arc::downgrade(node),
            state: Mutex::new(State {
                places: (0..places).map(|_| Place::default()).collect(),
                ..State::default()
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a task to a worker. The caller hands the right to start over.
    pub(super) fn submit(self: &Arc<Self>, cell: NonNull<Header>) {
        let stays = Local::current().map_or(Stays::No, |local| local.stays.get());
        let is_nested = stays == Stays::Nested;
        // SAFETY: TC-1, the caller's right; the arguments are there.
        let (vtable, extra) = unsafe { (cell.as_ref().vtable(), cell.as_ref().extra.as_ref()) };
        let Some(entry) = vtable.meta.entry else {
            unreachable!("a `local` task stays in its process");
        };
        let mut parcel = Parcel::default();
        let name = extra.and_then(|extra| extra.name.clone());
        if let Some(name) = &name {
            TaskOptions::default().name(name).encode(&mut parcel.bytes);
        }
        // SAFETY: as above.
        if let Err(fault) = unsafe { (vtable.travel.encode)(cell, &mut parcel) } {
            // SAFETY: TC-1, not sent.
            return unsafe { (vtable.fail)(cell, fault) };
        }
        // SAFETY: VL-1.
        unsafe { (vtable.travel.depart)(cell) };
        let defaults = &vtable.meta.defaults;
        let retries = extra.and_then(|extra| extra.max_retries);
        let max_calls = extra.and_then(|extra| extra.max_calls);
        let errors = extra.and_then(|extra| extra.retry_errors.clone());
        self.place(Job {
            cell,
            name,
            function: registry::place_of(entry),
            parcel,
            // The items of a stream that came are not taken back.
            retries: match extra.is_some_and(|extra| extra.stream.is_some()) {
                true => 0,
                false => retries.or(defaults.max_retries).unwrap_or(MAX_RETRIES),
            },
            errors: errors.unwrap_or_else(|| defaults.retry_errors.into()),
            tries: 1,
            max_calls: max_calls.unwrap_or(defaults.max_calls),
            is_nested,
            wanted: extra.and_then(|extra| extra.scheduler),
            at: None,
            lent: None,
            pool: self.clone(),
        });
    }

    /// Gives a job its place, or lets it wait (WP-1).
    fn place(self: &Arc<Self>, job: Job) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return job.fail(Fault::new(shut_down()));
        }
        let place = state.choose(&job);
        let Some(at) = place else {
            return state.waiting.push_back(job);
        };
        self.send(state, job, at);
    }

    /// Sends a job to the worker of place `at`, which is started if there is none.
    fn send(self: &Arc<Self>, mut state: MutexGuard<'_, State>, mut job: Job, at: usize) {
        let Some(node) = self.node.upgrade() else {
            drop(state);
            return job.fail(Fault::new(shut_down()));
        };
        let place = &mut state.places[at];
        if !place.is_alive() {
            let started = match node.workers.start(&node, true, None) {
                Ok(worker) => worker,
                Err(error) => {
                    drop(state);
                    return job.fail(Fault::new(error));
                }
            };
            *place = Place {
                worker: Some(started),
                ..Place::default()
            };
        }
        let Some(worker) = place.worker.clone() else {
            unreachable!("a place that is alive has a worker");
        };
        place.running += 1;
        if job.max_calls > 0 {
            let calls = place.calls.entry(job.function).or_default();
            *calls += 1;
            place.leaves = *calls >= job.max_calls;
        }
        drop(state);
        job.at = Some((at, worker.clone()));
        match Local::current() {
            Some(local) if Arc::ptr_eq(&local.node, &node) => go(local, job, &worker),
            _ => {
                let gate = node.door(usize::MAX);
                let errand = letter::closure(move |local| go(local, job, &worker));
                // SAFETY: LT-1, a fresh letter.
                unsafe { gate.post(errand) };
            }
        }
    }

    /// A job is not in its worker any more, or waits there: the next one gets its place.
    fn frees(self: &Arc<Self>, (at, worker): &(usize, Arc<Peer>)) {
        let mut state = self.lock();
        let Some(place) = state.places.get_mut(*at) else {
            return;
        };
        // The worker that comes after a dead one has a count of its own.
        if place
            .worker
            .as_ref()
            .is_some_and(|now| Arc::ptr_eq(now, worker))
        {
            place.running -= 1;
            if place.leaves && place.running == 0 {
                place.worker = None;
                place.leaves = false;
                if let Some(node) = self.node.upgrade() {
                    node.workers.stop(worker.id);
                }
            }
        }
        let next = state.waiting.iter().enumerate().find_map(|(index, job)| {
            let place = state.choose(job)?;
            Some((index, place))
        });
        if let Some((index, place)) = next
            && let Some(job) = state.waiting.remove(index)
        {
            self.send(state, job, place);
        }
    }

    /// The runtime ends: nothing is sent any more.
    pub(super) fn close(&self) {
        let waiting = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        for job in waiting {
            job.fail(Fault::new(shut_down()));
        }
    }
}

impl State {
    /// The place for a job: the one it asked for, one that is free, one that is not made yet, or
    /// for a nested one (WP-2) the one with the fewest.
    fn choose(&self, job: &Job) -> Option<usize> {
        let load = |place: &Place| if place.is_alive() { place.running } else { 0 };
        let open = |place: &Place| !(place.leaves && place.running > 0);
        if let Some(wanted) = job.wanted {
            let place = self.places.get(wanted)?;
            return (job.is_nested || load(place) == 0).then_some(wanted);
        }
        let places = self.places.iter().enumerate();
        let best = places
            .filter(|(_, place)| open(place))
            // A worker that is there before one that is to be started.
            .min_by_key(|(_, place)| (load(place), !place.is_alive()));
        let (at, place) = best?;
        (job.is_nested || load(place) == 0).then_some(at)
    }
}

/// Puts a job on the link of this scheduler to its worker.
fn go(local: &Local, mut job: Job, worker: &Arc<Peer>) {
    // SAFETY: a job that is not done is alive.
    if unsafe { job.cell.as_ref() }
        .completion
        .is_cancel_requested()
    {
        let what = job.name().into();
        return job.give_up(Fault::new(Error::Cancelled { what }));
    }
    let mut head = Head {
        kind: Kind::Task,
        flag: 0,
        a: 0,
        b: serve::joined(job.function, 0),
    };
    match local.links.get(local, worker, 0) {
        Ok(link) => {
            head.flag = job.parcel.give(worker, local);
            if job.name.is_some() {
                head.flag |= serve::WITH_OPTIONS;
            }
            if job.grant().is_some_and(Grant::has_cpus) {
                head.flag |= serve::LENDS;
            }
            let bytes = job.parcel.bytes.clone();
            let call = InFlight {
                cell: job.cell,
                actor: None,
                job: Some(Box::new(job)),
                sent: None,
            };
            if let Err(call) = link.call(head, &bytes, call) {
                answered::orphaned(call, worker.death().unwrap_or(&Death::ShutDown));
            }
        }
        Err(error) => match worker.death() {
            Some(death) => job.lost(death),
            None => job.give_up(Fault::new(error)),
        },
    }
}

/// What a job that waits in its worker leaves to others.
pub(super) enum Freed {
    /// Its place.
    Place(Arc<Pool>, (usize, Arc<Peer>)),
    /// Its CPUs.
    Cpus(Loan),
}

impl Freed {
    /// Another job may have it.
    pub(super) fn give(self) {
        match self {
            Self::Place(pool, place) => pool.frees(&place),
            Self::Cpus(loan) => loan.begin(),
        }
    }
}

impl Job {
    fn name(&self) -> &str {
        // SAFETY: a job that is not done is alive.
        let function = unsafe { self.cell.as_ref() }.meta().name;
        self.name.as_deref().unwrap_or(function)
    }

    /// Completes a job that is in no worker.
    fn fail(self, fault: Fault) {
        // SAFETY: TC-1: the arguments have departed, and the job is nowhere else.
        unsafe {
            if let Some((sink, _)) = Header::stream(self.cell) {
                sink.item(Err(fault.clone()));
            }
            (self.cell.as_ref().vtable().travel.arrive)(self.cell, Err(fault))
        };
    }

    fn give_up(mut self, fault: Fault) {
        self.leaves();
        self.fail(fault);
    }

    /// It is not in its worker any more.
    fn leaves(&mut self) {
        self.lent = None;
        if let Some(place) = self.at.take() {
            self.pool.frees(&place);
        }
    }

    /// It waits in its worker (WP-1), or with a flag it waits for a result, or goes on: what is free
    /// now that was not before.
    pub(super) fn waits(&mut self, flag: u8) -> Option<Freed> {
        match flag {
            LENDS_NOW => {
                let (loan, lent) = self.grant().and_then(Grant::loan)?;
                self.lent = Some(lent);
                Some(Freed::Cpus(loan))
            }
            HAS_BACK => {
                self.lent = None;
                None
            }
            _ => Some(Freed::Place(self.pool.clone(), self.at.take()?)),
        }
    }

    fn grant(&self) -> Option<&Grant> {
        // SAFETY: a job that is not done is alive, and its grant untouched until then.
        let extra = unsafe { self.cell.as_ref().extra.as_ref() };
        extra.and_then(|extra| extra.grant.as_ref())
    }

    /// It was answered: its place is free. The cell is completed by the caller.
    pub(super) fn answered(&mut self) {
        self.leaves();
    }

    /// Its worker died (WP-3).
    pub(super) fn lost(mut self, death: &Death) {
        self.leaves();
        if matches!(death, Death::ShutDown) || !self.may_run_again() {
            let error = match death.error(self.name(), None) {
                Error::WorkerCrashed { what, worker, how } if self.tries > 1 => {
                    let how = format!("{how}, the last of {} tries", self.tries);
                    Error::WorkerCrashed { what, worker, how }
                }
                error => error,
            };
            return self.fail(Fault::new(error));
        }
        self.again();
    }

    /// It was answered, with an error: runs it again if that is asked for, else gives back what to
    /// complete it with.
    pub(super) fn failed(self, fault: Fault) -> Option<Fault> {
        if self.may_run_again() && self.errors.covers(&fault.0) {
            self.again();
            return None;
        }
        Some(retry::after_tries(fault, self.tries))
    }

    fn may_run_again(&self) -> bool {
        // SAFETY: a job that is not done is alive.
        let completion = &unsafe { self.cell.as_ref() }.completion;
        self.retries != 0 && !completion.is_cancel_requested()
    }

    fn again(mut self) {
        self.at = None;
        self.retries = (self.retries - 1).max(-1);
        self.tries = self.tries.saturating_add(1);
        self.pool.clone().place(self);
    }
}
