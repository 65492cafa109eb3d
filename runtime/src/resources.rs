//! Accounting of CPUs, GPUs and custom resources of this node.
//!
//! A task of default demand holds the scheduler that runs it and is not counted here: the number
//! of schedulers is the number of CPUs. What asks for anything else is admitted when all of its
//! demand is free, in order of arrival, and keeps it until it ends; its CPUs are lent out while
//! it is blocked in `get`, so that a parent never keeps its own children from running.
//! Quantities are exact to 1/10,000.
#![allow(unsafe_code, reason = "queued cells move between threads")]

use crate::error::{Error, Result};
use crate::task::raw::Header;
use crate::worker::errand::Taken;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const UNIT: f64 = 10_000.0;
/// Name under which CPUs are counted.
pub(crate) const CPU: &str = "CPU";
/// Name under which GPUs are counted.
pub(crate) const GPU: &str = "GPU";

/// How much of what: names with quantities in 1/10,000.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Demand(BTreeMap<String, i64>);

impl Demand {
    /// What options ask for; `None` is not asked for.
    pub(crate) fn of(
        cpus: Option<f64>,
        gpus: Option<f64>,
        custom: &[(String, f64)],
    ) -> Result<Self> {
        let mut demand = Self::default();
        for (argument, name, asked) in [("num_cpus", CPU, cpus), ("num_gpus", GPU, gpus)] {
            if let Some(quantity) = asked {
                check_quantity(argument, name, quantity)?;
                demand.set(name, quantity);
            }
        }
        for (at, (name, quantity)) in custom.iter().enumerate() {
            let refuse = |problem: String, remedy: &str| {
                Err(Error::InvalidArgument {
                    argument: "resource",
                    problem,
                    remedy: remedy.into(),
                })
            };
            if name.is_empty() {
                return refuse(
                    "\"\" names no resource".into(),
                    "give a name that Config::resource has",
                );
            }
            if name == CPU || name == GPU {
                return refuse(
                    format!("{name} is not a custom resource"),
                    "use num_cpus or num_gpus",
                );
            }
            if custom[..at].iter().any(|(other, _)| other == name) {
                return refuse(
                    format!("{name:?} is asked for twice"),
                    "ask for it once, with the whole quantity",
                );
            }
            check_quantity("resource", name, *quantity)?;
            demand.set(name, *quantity);
        }
        Ok(demand)
    }

    /// Adds `quantity` of `name`; 0 removes it.
    fn set(&mut self, name: &str, quantity: f64) {
        let units = (quantity * UNIT).round() as i64;
        if units == 0 {
            self.0.remove(name);
        } else {
            self.0.insert(name.to_owned(), units);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is one: what came from another process may be anything.
    pub(crate) fn is_sound(&self) -> bool {
        self.0.values().all(|units| *units > 0)
    }
}

/// Rejects quantities that are not numbers of something, or less than can be counted.
fn check_quantity(argument: &'static str, name: &str, quantity: f64) -> Result<()> {
    let remedy = if !(quantity.is_finite() && quantity >= 0.0) {
        "give a finite quantity of 0 or more".to_owned()
    } else if quantity > 0.0 && quantity < 1.0 / UNIT {
        format!("give 0, or {} or more: finer is not counted", 1.0 / UNIT)
    } else {
        return Ok(());
    };
    Err(Error::InvalidArgument {
        argument,
        problem: format!("{name} = {quantity}"),
        remedy,
    })
}

struct Waiting {
    demand: Demand,
    start: NonNull<Header>,
}

// SAFETY: TC-1: a queued cell is the right to start it, which any thread may use; its arguments
// are `Send`.
unsafe impl Send for Waiting {}

struct State {
    total: BTreeMap<String, i64>,
    free: BTreeMap<String, i64>,
    waiting: VecDeque<Waiting>,
}

/// The node's ledger.
pub(crate) struct Resources {
    state: Mutex<State>,
}

/// A demand that was met; gives everything back when dropped.
pub(crate) struct Grant {
    demand: Demand,
    node: Arc<crate::node::Node>,
    held: bool,
    /// In a worker: the driver holds it.
    _taken: Option<Taken>,
}

/// What became of a demand.
pub(crate) enum Admission {
    /// It is met.
    Granted,
    /// It waits its turn.
    Queued,
}

impl Resources {
    pub(crate) fn new(cpus: usize, gpus: f64, custom: &BTreeMap<String, f64>) -> Self {
        let mut total = Demand::default();
        total.set(CPU, cpus as f64);
        total.set(GPU, gpus);
        for (name, quantity) in custom {
            total.set(name, *quantity);
        }
        Self {
            state: Mutex::new(State {
                free: total.0.clone(),
                total: total.0,
                waiting: VecDeque::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All there is and all that is free, by name.
    pub(crate) fn snapshot(&self) -> (BTreeMap<String, f64>, BTreeMap<String, f64>) {
        let state = self.lock();
        let plain = |map: &BTreeMap<String, i64>| {
            map.iter()
                .map(|(name, units)| (name.clone(), *units as f64 / UNIT))
                .collect()
        };
        (plain(&state.total), plain(&state.free))
    }

    /// An error if `demand` can never be met.
    pub(crate) fn check_feasible(&self, demand: &Demand, what: &str) -> Result<()> {
        let state = self.lock();
        for (name, asked) in &demand.0 {
            let total = state.total.get(name).copied().unwrap_or(0);
            if *asked > total {
                return Err(Error::Infeasible {
                    what: what.to_owned(),
                    resource: name.clone(),
                    asked: *asked as f64 / UNIT,
                    total: total as f64 / UNIT,
                    knob: match name.as_str() {
                        CPU => "num_cpus".into(),
                        GPU => "num_gpus".into(),
                        other => format!("Config::resource({other:?}, ..)"),
                    },
                });
            }
        }
        Ok(())
    }

    /// Takes `demand` now, or queues `start` until it is free.
    pub(crate) fn admit(&self, demand: &Demand, start: NonNull<Header>) -> Admission {
        let mut state = self.lock();
        if state.waiting.is_empty() && state.take(demand) {
            return Admission::Granted;
        }
        state.waiting.push_back(Waiting {
            demand: demand.clone(),
            start,
        });
        Admission::Queued
    }

    /// Takes `demand` if it is free now.
    pub(crate) fn try_take(&self, demand: &Demand) -> bool {
        self.lock().take(demand)
    }

    /// Gives `demand` back; returns what can start now.
    fn give_back(&self, demand: &Demand) -> Vec<NonNull<Header>> {
        let mut state = self.lock();
        for (name, units) in &demand.0 {
            *state.free.entry(name.clone()).or_default() += units;
        }
        state.admit_waiting()
    }

    /// Takes the CPUs of `demand`, if need be above the total.
    fn take_cpus(&self, demand: &Demand) {
        if let Some(units) = demand.0.get(CPU) {
            *self.lock().free.entry(CPU.into()).or_default() -= units;
        }
    }

    /// Takes `start` out of the queue, if it is there; those behind it may be started then.
    pub(crate) fn withdraw(&self, start: NonNull<Header>, node: &crate::node::Node) -> bool {
        let mut state = self.lock();
        let Some(at) = state.waiting.iter().position(|one| one.start == start) else {
            return false;
        };
        state.waiting.remove(at);
        let started = state.admit_waiting();
        drop(state);
        for start in started {
            node.start_granted(start);
        }
        true
    }

    /// Everything that still waits, at shutdown.
    pub(crate) fn drain(&self) -> Vec<NonNull<Header>> {
        self.lock()
            .waiting
            .drain(..)
            .map(|waiting| waiting.start)
            .collect()
    }
}

impl State {
    /// What can start now.
    fn admit_waiting(&mut self) -> Vec<NonNull<Header>> {
        let mut started = Vec::new();
        while let Some(first) = self.waiting.pop_front() {
            if self.take(&first.demand) {
                started.push(first.start);
            } else {
                self.waiting.push_front(first);
                break;
            }
        }
        started
    }

    fn take(&mut self, demand: &Demand) -> bool {
        let fits = demand
            .0
            .iter()
            .all(|(name, units)| self.free.get(name).is_some_and(|free| free >= units));
        if fits {
            for (name, units) in &demand.0 {
                if let Some(free) = self.free.get_mut(name) {
                    *free -= units;
                }
            }
        }
        fits
    }
}

impl Grant {
    /// A demand that is not met yet.
    pub(crate) fn pending(demand: Demand, node: Arc<crate::node::Node>) -> Self {
        Self {
            demand,
            node,
            held: false,
            _taken: None,
        }
    }

    /// What an actor asks for, if it asks for anything.
    ///
    /// # Errors
    /// [`Error::Infeasible`], [`Error::ActorUnavailable`].
    pub(crate) fn for_actor(
        node: &Arc<crate::node::Node>,
        demand: Demand,
        what: &str,
    ) -> Result<Option<Self>> {
        if demand.is_empty() {
            return Ok(None);
        }
        node.resources.check_feasible(&demand, what)?;
        if !node.resources.try_take(&demand) {
            return Err(Error::ActorUnavailable {
                actor: what.into(),
                reason: "its resources are in use by others; end some of them first".into(),
            });
        }
        let mut grant = Self::pending(demand, node.clone());
        grant.mark_held();
        Ok(Some(grant))
    }

    /// What the driver holds for an actor of this worker.
    pub(crate) fn of_driver(node: &Arc<crate::node::Node>, taken: Taken) -> Self {
        let mut grant = Self::pending(Demand::default(), node.clone());
        grant._taken = Some(taken);
        grant
    }

    pub(crate) fn demand(&self) -> &Demand {
        &self.demand
    }

    pub(crate) fn node(&self) -> &Arc<crate::node::Node> {
        &self.node
    }

    /// The ledger has taken the demand.
    pub(crate) fn mark_held(&mut self) {
        self.held = true;
    }

    fn cpus(&self) -> Demand {
        let mut cpus = Demand::default();
        if let Some(units) = self.demand.0.get(CPU) {
            cpus.0.insert(CPU.into(), *units);
        }
        cpus
    }

    /// Whether there is something to lend.
    pub(crate) fn has_cpus(&self) -> bool {
        self.demand.0.contains_key(CPU)
    }

    /// Lends the CPUs out while the task is blocked.
    pub(crate) fn lend_cpus(&self) {
        let cpus = self.cpus();
        if !cpus.is_empty() {
            for start in self.node.resources.give_back(&cpus) {
                self.node.start_granted(start);
            }
        }
    }

    /// As [`lend_cpus`](Self::lend_cpus), for a task in another process: the loan, and what ends it.
    pub(crate) fn loan(&self) -> Option<(Loan, Lent)> {
        let cpus = self.cpus();
        let node = self.node.clone();
        let loan = Loan {
            cpus: cpus.clone(),
            node: node.clone(),
        };
        (!cpus.is_empty()).then_some((loan, Lent { cpus, node }))
    }

    /// Takes the CPUs back, if need be above the total: the task goes on at once.
    pub(crate) fn reclaim_cpus(&self) {
        self.node.resources.take_cpus(&self.demand);
    }
}

/// CPUs that are about to be lent out.
pub(crate) struct Loan {
    cpus: Demand,
    node: Arc<crate::node::Node>,
}

impl Loan {
    /// Others may have them from now on; what waits for them is started.
    pub(crate) fn begin(self) {
        for start in self.node.resources.give_back(&self.cpus) {
            self.node.start_granted(start);
        }
    }
}

/// CPUs that are lent out; taken back when it is dropped, also if the loan has not begun.
pub(crate) struct Lent {
    cpus: Demand,
    node: Arc<crate::node::Node>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.node.resources.take_cpus(&self.cpus);
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if self.held {
            for start in self.node.resources.give_back(&self.demand) {
                self.node.start_granted(start);
            }
        }
    }
}
