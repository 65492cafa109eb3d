//! Who waits for results of a graph: threads that sleep, schedulers that park, futures, and outputs
//! whose results go on by themselves.
//!
//! - DR-4 waiting: a parked waiter registers first (`waiting`), then looks again after the heavy
//!   barrier of its event; a segment sends first, then reads `waiting` after a light barrier.
//!   A future's waker is registered once however often it is polled, and goes with the future.
//! - DR-6 a listener stays registered over many results, so only the first of them costs a barrier:
//!   it registers, passes the barrier and then looks; later ones see it under the core's lock.

use super::core::Core;
use crate::executor::shared::Shared;
use crate::task::failure::discard_with;
use maser_shm::os::membarrier;
use maser_shm::sync::atomic::Ordering;
use maser_shm::sync::event::Event;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

/// All of them, but for how many there are.
#[derive(Default)]
pub(super) struct Waiters {
    sleepers: Mutex<Vec<Arc<Event>>>,
    wakers: Mutex<Wakers>,
    schedulers: Mutex<Vec<Arc<Shared>>>,
    listeners: Mutex<Vec<Arc<dyn Listener>>>,
    /// Those that have to hear of the graph's end alone.
    at_end: Mutex<Vec<Weak<dyn Listener>>>,
}

/// Looks for results whenever there may be some (DR-6). On any thread, under no lock.
pub(crate) trait Listener: Send + Sync {
    fn news(&self);
}

fn locked<T>(one: &Mutex<T>) -> MutexGuard<'_, T> {
    one.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Futures that wait.
#[derive(Default)]
struct Wakers {
    /// By ascending key.
    list: Vec<(u64, Waker)>,
    last_key: u64,
}

impl Wakers {
    fn find(&self, key: u64) -> Result<usize, usize> {
        self.list.binary_search_by_key(&key, |(key, _)| *key)
    }
}

/// A future that waits for a graph (DR-4); dropped with it.
pub(crate) struct Polls<'a> {
    core: &'a Core,
    key: PollKey,
}

impl Polls<'_> {
    pub(crate) fn are_of(&self, core: &Core) -> bool {
        std::ptr::eq(self.core, core)
    }

    /// Looks, registers, looks again.
    pub(crate) fn poll_until<R>(
        &mut self,
        context: &Context<'_>,
        look: impl FnMut() -> Option<R>,
    ) -> Poll<R> {
        self.key.poll_until(self.core, context, look)
    }
}

impl Drop for Polls<'_> {
    fn drop(&mut self) {
        self.key.withdraw(self.core);
    }
}

/// Where the waker of a future is, unless it was woken since; 0 is nowhere. Whoever has it withdraws
/// it at the end.
#[derive(Default)]
pub(crate) struct PollKey(u64);

impl PollKey {
    /// Looks, registers, looks again.
    pub(crate) fn poll_until<R>(
        &mut self,
        core: &Core,
        context: &Context<'_>,
        mut look: impl FnMut() -> Option<R>,
    ) -> Poll<R> {
        if let Some(value) = look() {
            return Poll::Ready(value);
        }
        self.register(core, context.waker());
        membarrier::heavy();
        look().map_or(Poll::Pending, Poll::Ready)
    }

    fn register(&mut self, core: &Core, waker: &Waker) {
        // Wakers are the program's: cloned and dropped outside of the lock.
        let mut fresh = Some(waker.clone());
        let mut wakers = locked(&core.waiters.wakers);
        match wakers.find(self.0) {
            Ok(at) if wakers.list[at].1.will_wake(waker) => {}
            Ok(at) => {
                fresh = fresh.map(|fresh| std::mem::replace(&mut wakers.list[at].1, fresh));
            }
            Err(_) => {
                wakers.last_key += 1;
                self.0 = wakers.last_key;
                wakers
                    .list
                    .extend(fresh.take().map(|fresh| (self.0, fresh)));
                core.add_waiting(1);
            }
        }
        drop(wakers);
        drop(fresh);
    }

    /// The future waits no more.
    pub(crate) fn withdraw(&mut self, core: &Core) {
        if self.0 == 0 {
            return;
        }
        let mut wakers = locked(&core.waiters.wakers);
        let waker = wakers.find(self.0).ok().map(|at| wakers.list.remove(at));
        drop(wakers);
        if waker.is_some() {
            core.remove_waiting(1);
        }
        self.0 = 0;
    }
}

impl Core {
    /// So many more waiters may be asleep.
    fn add_waiting(&self, count: u32) {
        self.waiting.fetch_add(count, Ordering::Relaxed);
        self.parts.add_waiting(count);
    }

    /// So many fewer.
    fn remove_waiting(&self, count: u32) {
        self.waiting.fetch_sub(count, Ordering::Relaxed);
        self.parts.remove_waiting(count);
    }

    /// A segment sent results.
    #[inline(always)]
    pub(crate) fn results_were_sent(&self) {
        membarrier::light();
        if self.waiting.load(Ordering::Relaxed) != 0 {
            self.wake_waiters();
        }
    }

    /// Whoever waits looks again.
    #[cold]
    pub(crate) fn wake_waiters(&self) {
        for event in locked(&self.waiters.sleepers).iter() {
            event.notify();
        }
        for scheduler in locked(&self.waiters.schedulers).iter() {
            scheduler.event.notify();
        }
        let wakers = std::mem::take(&mut locked(&self.waiters.wakers).list);
        self.remove_waiting(wakers.len() as u32);
        for (_, waker) in wakers {
            // Wakers are the program's, and this may be a scheduler (UD-1).
            discard_with(|| "a waker", || waker.wake());
        }
        // They take the core's lock and complete refs.
        let listeners = locked(&self.waiters.listeners).clone();
        for listener in listeners {
            listener.news();
        }
    }

    /// The registration of a future that waits for this graph.
    pub(crate) fn polls(&self) -> Polls<'_> {
        Polls {
            core: self,
            key: PollKey::default(),
        }
    }

    /// A foreign thread is about to sleep (DR-4).
    pub(crate) fn add_sleeper(&self, event: &Arc<Event>) {
        locked(&self.waiters.sleepers).push(event.clone());
        self.add_waiting(1);
    }

    /// It sleeps no more.
    pub(crate) fn remove_sleeper(&self, event: &Arc<Event>) {
        self.remove_waiting(1);
        remove_one(&self.waiters.sleepers, event);
    }

    /// A scheduler with a task that waits for this graph is about to park, or runs again (DR-4).
    pub(crate) fn arm(&self, scheduler: &Arc<Shared>, armed: bool) {
        if armed {
            locked(&self.waiters.schedulers).push(scheduler.clone());
            self.add_waiting(1);
        } else if remove_one(&self.waiters.schedulers, scheduler) {
            self.remove_waiting(1);
        }
    }

    /// DR-6: `listener` hears of results from now on; it has to look after this.
    pub(crate) fn add_listener(&self, listener: Arc<dyn Listener>) {
        locked(&self.waiters.listeners).push(listener);
        self.add_waiting(1);
        membarrier::heavy();
    }

    /// `listener` hears of the graph's end; if that has come it has to look after this.
    pub(crate) fn add_at_end(&self, listener: Weak<dyn Listener>) {
        locked(&self.waiters.at_end).push(listener);
    }

    /// The graph is over, and whoever waits for it was woken.
    pub(super) fn tell_of_end(&self) {
        let listeners = std::mem::take(&mut *locked(&self.waiters.at_end));
        for listener in listeners.iter().filter_map(Weak::upgrade) {
            listener.news();
        }
    }

    /// Once less. Not under the core's lock: it may be the last handle.
    pub(crate) fn remove_listener(&self, listener: &Arc<dyn Listener>) {
        if remove_one(&self.waiters.listeners, listener) {
            self.remove_waiting(1);
        }
    }
}

/// Takes one of `which` out; false if there is none.
fn remove_one<T: ?Sized>(of: &Mutex<Vec<Arc<T>>>, which: &Arc<T>) -> bool {
    let mut list = locked(of);
    let at = list.iter().position(|other| Arc::ptr_eq(other, which));
    let gone = at.map(|at| list.swap_remove(at));
    drop(list);
    gone.is_some()
}
