//! Results of one output with the driver, found by the number of their run (DR-2).

use super::aside::{Aside, Leftovers, Owed};
use super::slot::{Held, Sent};
use crate::error::{Error, Fault};
use crate::executor::sources::due;
use crate::object::reference::Promise;
use maser_shm::channel::Probe;
use maser_shm::channel::spsc::LineReceiver;
use std::any::Any;
use std::collections::VecDeque;

/// Values of users that turned up under the lock, for its holder to drop outside of it (DR-1).
#[doc(hidden)]
#[derive(Default)]
pub struct Refused(Option<Box<(Box<dyn Any + Send>, Refused)>>);

impl Refused {
    #[cold]
    pub(crate) fn push(&mut self, value: impl Any + Send) {
        let before = std::mem::take(self);
        self.0 = Some(Box::new((Box::new(value), before)));
    }
}

/// Where the results of one output come from, in the order of the runs.
pub(crate) trait Arrivals<T>: Send {
    /// `None` if the next result is there; else what changes when it is.
    fn idle(&self) -> Option<Probe>;
    fn take(&mut self) -> Option<Sent<T>>;
    /// Moves the next one there, where nothing is; false if there is none. A value is copied once less
    /// than by [`take`](Self::take).
    fn take_to(&mut self, to: &mut Option<Sent<T>>) -> bool {
        *to = self.take();
        to.is_some()
    }
}

impl<T: Send> Arrivals<T> for LineReceiver<Sent<T>> {
    #[inline]
    fn idle(&self) -> Option<Probe> {
        LineReceiver::idle(self)
    }
    #[inline]
    fn take(&mut self) -> Option<Sent<T>> {
        self.try_recv().ok()
    }
}

/// A result with the driver.
pub(crate) enum Kept<T> {
    Here(Sent<T>),
    /// Taken or dropped.
    Gone,
}

/// What a look at a result found.
pub(crate) enum Found<T> {
    Here(Sent<T>),
    NotYet,
    Gone,
}

/// A result that has not arrived.
#[derive(Clone, Copy)]
pub(crate) struct Awaited {
    /// Changes when the next result arrives.
    pub(crate) next: Probe,
    /// Whether that is this one.
    pub(crate) is_next: bool,
}

pub(crate) struct Results<T: Send + Sync + 'static> {
    arrivals: Box<dyn Arrivals<T>>,
    /// Results of the runs `first..first + kept.len()`.
    kept: VecDeque<Kept<T>>,
    first: u64,
    /// How many of `kept` are there.
    pub(crate) held: usize,
    /// What is unusual, if anything is.
    aside: Option<Box<Aside<T>>>,
}

impl<T: Send + Sync + 'static> Results<T> {
    pub(crate) fn new(arrivals: Box<dyn Arrivals<T>>, max_inflight: usize) -> Self {
        Self {
            arrivals,
            kept: VecDeque::with_capacity(max_inflight * 2),
            first: 0,
            held: 0,
            aside: None,
        }
    }

    /// As [`awaited`](Self::awaited), if that is known without moving results.
    #[inline(always)]
    pub(crate) fn awaited_next(&self, run: u64) -> Option<Option<Awaited>> {
        if run < self.arrived() {
            return Some(None);
        }
        let is_next = run == self.arrived();
        match self.arrivals.idle() {
            Some(_) if self.is_late(run) => Some(Some(Awaited {
                next: due(),
                is_next: false,
            })),
            Some(next) => Some(Some(Awaited { next, is_next })),
            None => is_next.then_some(None),
        }
    }

    /// Whether `run` was not begun yet: no channel says whether it ever is (UN-1).
    #[inline(always)]
    fn is_late(&self, run: u64) -> bool {
        let late = self.aside.as_ref().and_then(|aside| aside.late);
        late.is_some_and(|late| run >= late)
    }

    /// `None` if the result of `run` has arrived. The very next one stays where it is: whoever asks
    /// takes it from there.
    pub(crate) fn awaited(&mut self, run: u64) -> Option<Awaited> {
        loop {
            if let Some(known) = self.awaited_next(run) {
                return known;
            }
            self.pull(run + 1);
        }
    }

    fn aside(&mut self) -> &mut Aside<T> {
        self.aside.get_or_insert_default()
    }

    /// What arrived and nobody wants, or goes on.
    #[inline(always)]
    #[must_use = "dropped outside of the lock"]
    pub(crate) fn leftovers(&mut self) -> Option<Leftovers<T>> {
        match self.aside {
            None => None,
            Some(_) => self.take_leftovers(),
        }
    }

    #[cold]
    fn take_leftovers(&mut self) -> Option<Leftovers<T>> {
        let aside = self.aside.as_mut()?;
        let refused = std::mem::take(&mut aside.refused);
        let owed = std::mem::take(&mut aside.owed);
        if aside.is_empty() {
            self.aside = None;
        }
        let is_any = !(refused.is_empty() && owed.is_empty());
        is_any.then_some(Leftovers {
            refused,
            owed,
            core: None,
            orphan: None,
        })
    }

    /// The result of `run`, which has not arrived, is to be dropped when it does.
    pub(crate) fn drop_on_arrival(&mut self, run: u64) {
        self.aside().unwanted.insert(run);
    }

    /// The result of `run`, which has not arrived, goes to `promise` when it does. True if nobody
    /// looks out for such results yet: the caller does from now on.
    #[must_use]
    pub(crate) fn promise(&mut self, run: u64, promise: Promise<T>) -> bool {
        let aside = self.aside();
        aside.promised.insert(run, promise);
        !std::mem::replace(&mut aside.is_listening, true)
    }

    /// Whoever looks out for what is promised is told of news from now on.
    pub(crate) fn is_told(&mut self) {
        self.aside().is_told = true;
    }

    /// Takes in what is promised and has arrived; all the rest ends with `over`. True if nothing is
    /// promised any more: the caller stops looking out. Never before whoever looks out is told of news,
    /// for then there is nothing to stop.
    #[must_use]
    pub(crate) fn keep_promises(&mut self, over: Option<&Error>) -> bool {
        let promised = |aside: &Aside<T>| aside.promised.last_key_value().map(|(run, _)| *run);
        if let Some(last) = self.aside.as_deref().and_then(promised) {
            self.pull(last + 1);
        }
        let Some(aside) = &mut self.aside else {
            return false;
        };
        if let Some(error) = over {
            let broken = std::mem::take(&mut aside.promised);
            aside.unwanted.extend(broken.keys());
            aside.owed.extend(broken.into_values().map(|promise| Owed {
                promise,
                outcome: Held::new(Err(Fault::new(error.clone()))),
            }));
        }
        let is_done = aside.promised.is_empty() && aside.is_told;
        if is_done {
            (aside.is_listening, aside.is_told) = (false, false);
        }
        is_done
    }

    /// `run` is not begun, because of `why`.
    pub(crate) fn fail(&mut self, run: u64, why: Fault) {
        self.aside().failed.insert(run, why);
        self.absorb();
    }

    /// Runs from `run` on have not been begun yet; none if all of them have.
    pub(crate) fn are_late(&mut self, run: Option<u64>) {
        match run {
            None => {
                if let Some(aside) = &mut self.aside {
                    aside.late = None;
                }
            }
            Some(_) => self.aside().late = run,
        }
    }

    #[inline(always)]
    pub(crate) fn arrived(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    /// Takes in what has arrived of the first `runs` runs; gives how many of them have. What another
    /// process says of a run that nobody submitted is left alone.
    #[inline(always)]
    pub(crate) fn pull(&mut self, runs: u64) -> u64 {
        while self.arrived() < runs {
            let Some(outcome) = self.arrivals.take() else {
                break;
            };
            match self.aside {
                None => self.keep(outcome),
                Some(_) => {
                    self.put_aside(outcome);
                    self.absorb();
                }
            }
        }
        self.arrived()
    }

    fn keep(&mut self, outcome: Sent<T>) {
        self.kept.push_back(Kept::Here(outcome));
        self.held += 1;
    }

    /// The next result, of a graph where something is unusual.
    #[cold]
    fn put_aside(&mut self, outcome: Sent<T>) {
        let run = self.arrived();
        let Some(aside) = &mut self.aside else {
            return self.keep(outcome);
        };
        if aside.unwanted.remove(&run) {
            aside.refused.push(outcome);
        } else if let Some(promise) = aside.promised.remove(&run) {
            aside.owed.push(Owed { promise, outcome });
        } else {
            return self.keep(outcome);
        }
        self.kept.push_back(Kept::Gone);
        self.trim();
    }

    /// UN-1.
    #[cold]
    fn absorb(&mut self) {
        loop {
            let next = self.arrived();
            let Some(why) = self
                .aside
                .as_mut()
                .and_then(|aside| aside.failed.remove(&next))
            else {
                return;
            };
            self.put_aside(Held::new(Err(why)));
        }
    }

    #[inline(always)]
    fn trim(&mut self) {
        while let Some(Kept::Gone) = self.kept.front() {
            self.kept.pop_front();
            self.first += 1;
        }
    }

    /// Moves the result of `run` to where nothing is, in the usual case, the next result while none is
    /// kept, past the queue; false if there is none yet. `None` is any other case:
    /// [`take`](Self::take).
    #[inline(always)]
    pub(crate) fn take_next_to(&mut self, run: u64, to: &mut Option<Sent<T>>) -> Option<bool> {
        if !(self.kept.is_empty() && run == self.first && self.aside.is_none()) {
            return None;
        }
        let is_there = self.arrivals.take_to(to);
        self.first += u64::from(is_there);
        Some(is_there)
    }

    /// Moves the result of `run` out, in any case.
    pub(crate) fn take(&mut self, run: u64) -> Found<T> {
        let Some(kept) = self.find(run) else {
            return if run < self.arrived() {
                Found::Gone
            } else {
                Found::NotYet
            };
        };
        match std::mem::replace(kept, Kept::Gone) {
            Kept::Here(outcome) => {
                self.held -= 1;
                self.trim();
                Found::Here(outcome)
            }
            Kept::Gone => Found::Gone,
        }
    }

    /// The place of the result of `run`, if it has arrived.
    #[inline(always)]
    pub(crate) fn find(&mut self, run: u64) -> Option<&mut Kept<T>> {
        if run >= self.arrived() {
            self.pull(run + 1);
        }
        let at = run.checked_sub(self.first)?;
        self.kept.get_mut(at as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::{Arrivals, Results};
    use crate::error::Error;
    use crate::executor::sources::never;
    use crate::graph::slot::Sent;
    use crate::object::reference::Promise;
    use maser_shm::channel::Probe;

    /// Nothing comes.
    struct Nothing;

    impl Arrivals<u64> for Nothing {
        fn idle(&self) -> Option<Probe> {
            Some(never())
        }
        fn take(&mut self) -> Option<Sent<u64>> {
            None
        }
    }

    #[test]
    fn who_looks_out_for_promised_results_is_not_sent_away_before_it_is_told_of_news() {
        let over = Error::ShutDown {
            what: "a test".into(),
        };
        let mut results = Results::new(Box::new(Nothing), 4);
        let (promise, given) = Promise::new();
        assert!(results.promise(0, promise), "it is the first");
        // Another thread hears of the graph's end first.
        assert!(!results.keep_promises(Some(&over)));
        drop(results.leftovers());
        assert!(given.is_ready());
        results.is_told();
        assert!(results.keep_promises(Some(&over)), "nothing is left");
        assert!(!results.keep_promises(Some(&over)), "it was sent away");
        let (promise, _given) = Promise::new();
        assert!(results.promise(1, promise), "it is the first again");
    }
}
