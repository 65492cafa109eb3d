//! Results of one output that come from the graph's process, in the order of the runs (DR-2).
//!
//! - IL-1 runs are numbered here as they are accepted; each gives one result, be it an error. A result
//!   that comes before those of earlier runs waits for them.

use super::coded::Coded;
use crate::error::{Error, Fault, Outcome};
use crate::executor::letter;
use crate::graph::core::Core;
use crate::graph::results::Arrivals;
use crate::graph::slot::{GraphValue, Held, Sent, cloned};
use crate::object::reference::Ref;
use crate::object::when_done::when_done;
use maser_shm::channel::Probe;
use maser_shm::sync::atomic::{AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

struct State<V> {
    /// Run whose result is taken next.
    next: u64,
    came: BTreeMap<u64, Ref<V>>,
}

/// See the module's page.
pub(crate) struct Inlet<V = Coded> {
    core: Arc<Core>,
    state: Mutex<State<V>>,
    /// How often something came. Written after the state (Release), read before it (Acquire).
    news: AtomicU64,
}

impl<V: Send + Sync + 'static> Inlet<V> {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            state: Mutex::new(State {
                next: 0,
                came: BTreeMap::new(),
            }),
            news: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The result of `run` is that of `given`, once it is there.
    pub(crate) fn expect(self: &Arc<Self>, run: u64, given: Ref<V>, home: usize) {
        if given.is_ready() {
            return self.arrived(run, given);
        }
        let (inlet, own) = (self.clone(), given.clone());
        when_done(given.cell(), move || {
            let node = inlet.core.node.clone();
            let news = letter::closure(move |_| inlet.arrived(run, own));
            node.post_to(home, news);
        });
    }

    /// The result of `run` is there.
    pub(crate) fn arrived(&self, run: u64, given: Ref<V>) {
        self.lock().came.insert(run, given);
        self.news.fetch_add(1, Ordering::Release);
        self.core.results_were_sent();
    }

    /// How many results came.
    pub(crate) fn count(&self) -> u64 {
        self.news.load(Ordering::Acquire)
    }
}

/// The results as the driver's end of an output takes them, and what makes them values.
pub(crate) struct FarArrivals<V, F> {
    inlet: Arc<Inlet<V>>,
    open: F,
}

impl<V, F> FarArrivals<V, F> {
    pub(crate) fn new(inlet: Arc<Inlet<V>>, open: F) -> Self {
        Self { inlet, open }
    }
}

impl<T, V, F> Arrivals<T> for FarArrivals<V, F>
where
    T: GraphValue,
    V: Clone + Send + Sync + 'static,
    F: FnMut(V) -> Outcome<T> + Send,
{
    fn idle(&self) -> Option<Probe> {
        let news = &self.inlet.news;
        let seen = news.load(Ordering::Acquire);
        let state = self.inlet.lock();
        let is_here = state.came.contains_key(&state.next);
        (!is_here).then(|| Probe::new(news, seen))
    }

    fn take(&mut self) -> Option<Sent<T>> {
        let mut state = self.inlet.lock();
        let next = state.next;
        let given = state.came.remove(&next)?;
        state.next += 1;
        drop(state);
        Some(Held::new(given.into_value().and_then(&mut self.open)))
    }
}

/// The value of a handle's result.
pub(crate) fn value_of<T: GraphValue>(coded: Coded) -> Outcome<T> {
    match coded.downcast::<T>() {
        // Whoever passed it on may not have let go of it yet (SL-2).
        Ok(value) => Arc::try_unwrap(value).or_else(|shared| cloned(&*shared)),
        Err(problem) => Err(Fault::new(Error::NotPortable {
            function: "the graph of a handle".into(),
            value: "its result".into(),
            problem,
        })),
    }
}
