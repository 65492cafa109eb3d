//! What a scheduler polls on every turn: segments of graphs, lanes of calls.
//!
//! - SR-1 a source that was found idle says which words have to change before it can be ready, and
//!   is left alone until one does: a look costs a load or two, whatever the source.
//! - SR-2 no borrow of the list is held while a source is served.
//! - SR-3 a long list is not looked through at once: a look takes the few behind the one that did
//!   something last, where the next step of a graph is, and the next few of all in turn. So what a
//!   step costs does not grow with the graph, and every source is looked at within a bounded number of
//!   looks. Before a scheduler parks it looks at all (RL-1).
#![allow(unsafe_code, reason = "reads words of channels that the sources own")]

use super::local::Local;
use maser_shm::channel::Probe;
use maser_shm::sync::atomic::AtomicU64;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Changes for nobody: what it says is what it always said.
static STILL: AtomicU64 = AtomicU64::new(0);

/// What looks at a channel that will never have anything more.
pub(crate) fn never() -> Probe {
    Probe::new(&STILL, 0)
}

/// What always says that a proper look is due.
pub(crate) fn due() -> Probe {
    Probe::new(&STILL, 1)
}

/// What an idle source, or a task that waits, looks at (SR-1).
#[derive(Clone, Copy)]
pub(crate) struct Probes {
    words: [Probe; 2],
    /// What comes is answered on the same line (PR-2).
    are_answered: bool,
}

impl Probes {
    /// Either of two words.
    #[inline(always)]
    pub(crate) fn either(words: [Probe; 2]) -> Self {
        Self {
            words,
            are_answered: false,
        }
    }

    /// Questions that are answered where they are, in either of two words.
    #[inline(always)]
    pub(crate) fn questions(words: [Probe; 2]) -> Self {
        Self {
            words,
            are_answered: true,
        }
    }

    /// One word.
    #[inline(always)]
    pub(crate) fn one(probe: Probe) -> Self {
        Self::either([probe, Probe::new(&STILL, 0)])
    }

    /// Something that is no word of a channel: look each time.
    #[inline(always)]
    pub(crate) fn always() -> Self {
        Self::either([due(); 2])
    }

    /// Whether a proper look is due.
    ///
    /// # Safety
    /// The ends that the probes came from are alive.
    #[inline(always)]
    pub(crate) unsafe fn have_changed(&self) -> bool {
        let [first, second] = &self.words;
        // SAFETY: this function's contract; `STILL` is static.
        unsafe { first.has_changed() || second.has_changed() }
    }

    /// As [`have_changed`](Self::have_changed), for a scheduler with nothing else to do.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn have_changed_at_last(&self) -> bool {
        if self.are_answered {
            self.words.iter().for_each(Probe::prepare_write);
        }
        // SAFETY: this function's contract.
        unsafe { self.have_changed() }
    }
}

/// Something a scheduler looks at on every turn.
///
/// # Safety
/// The words that [`idle`](Self::idle) names live as long as the source.
pub(crate) unsafe trait Source {
    /// `None` if [`serve`](Self::serve) would do something; else what changes before it would.
    fn idle(&self) -> Option<Probes>;
    /// Does what is ready, if anything; may run user code and block. True if something was done.
    fn serve(self: Rc<Self>, local: &Local) -> bool;
    /// How many calls it has taken so far.
    fn taken(&self) -> u64 {
        0
    }
    /// Whether every call is taken that was there when [`taken`](Self::taken) gave `mark`.
    fn has_passed(&self, _mark: u64) -> bool {
        true
    }
    /// Whether it is part of this graph.
    fn belongs_to(&self, _graph: u64) -> bool {
        false
    }
    /// It was taken off its scheduler, perhaps in the middle of something.
    fn was_removed(&self, _local: &Local) {}
    /// The node shuts down.
    fn close(&self) {}
    /// Whether it has calls that another scheduler may still answer or ask.
    fn is_lane(&self) -> bool {
        false
    }
    /// RM-1: completes the calls of a lane, on the thread that closes the node.
    fn settle(&self) {}
}

struct Entry {
    source: Rc<dyn Source>,
    probes: Probes,
}

impl Entry {
    #[inline(always)]
    fn is_ready(&mut self) -> bool {
        // SAFETY: the source is here, and with it what its probes point at.
        if !unsafe { self.probes.have_changed() } {
            return false;
        }
        match self.source.idle() {
            None => true,
            Some(probes) => {
                self.probes = probes;
                false
            }
        }
    }
}

/// SR-3: a list of so many is looked through at once.
const WHOLE: usize = 32;
/// SR-3: so many are looked at behind the one that did something last.
const NEAR: usize = 8;
/// SR-3: and so many of all in turn.
const IN_TURN: usize = 16;

/// The places of one look (SR-3), from 1: a place is behind its entry.
pub(crate) struct Look {
    /// Places from `at` on, `left` of them, round a list of `len`.
    at: usize,
    left: usize,
    /// And then these, in turn.
    then: Option<usize>,
    len: usize,
}

impl Iterator for Look {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        if self.left == 0 {
            (self.at, self.left) = (self.then.take()?, IN_TURN);
        }
        self.left -= 1;
        self.at = if self.at < self.len { self.at + 1 } else { 1 };
        Some(self.at)
    }
}

/// The sources of one scheduler.
#[derive(Default)]
pub(crate) struct Sources {
    entries: RefCell<Vec<Entry>>,
    /// The place behind the one that did something last.
    hot: Cell<usize>,
    /// SR-3: the last place that was looked at in turn.
    in_turn: Cell<usize>,
}

impl Sources {
    pub(crate) fn push(&self, source: Rc<dyn Source>) {
        let probes = Probes::always();
        self.entries.borrow_mut().push(Entry { source, probes });
    }

    /// The places of a turn of the loop: all, or some (SR-3).
    #[inline(always)]
    pub(crate) fn turn(&self) -> Look {
        let len = self.entries.borrow().len();
        if len <= WHOLE {
            return Look {
                at: 0,
                left: len,
                then: None,
                len,
            };
        }
        self.long_look(len)
    }

    /// Those behind the one that did something last, then some in turn.
    fn long_look(&self, len: usize) -> Look {
        let in_turn = self.in_turn.get().min(len);
        self.in_turn.set((in_turn + IN_TURN) % len);
        Look {
            at: self.hot.get().min(len),
            left: NEAR,
            then: Some(in_turn),
            len,
        }
    }

    /// The next one of a look that may be ready, and the place behind it.
    #[inline(always)]
    pub(crate) fn next_changed(&self, look: &mut Look) -> Option<(usize, Rc<dyn Source>)> {
        let entries = self.entries.borrow();
        look.find_map(|at| {
            let entry = entries.get(at - 1)?;
            // SAFETY: the source is here, and with it what its probes point at.
            let changed = unsafe { entry.probes.have_changed() };
            changed.then(|| (at, entry.source.clone()))
        })
    }

    /// The first one that may be ready and the place behind it, after the one that did something
    /// last.
    #[inline(always)]
    pub(crate) fn changed_at_last(&self) -> Option<(usize, Rc<dyn Source>)> {
        let entries = self.entries.borrow();
        let hot = self.hot.get();
        let changed = |at: usize| {
            let entry = entries.get(at.wrapping_sub(1))?;
            // SAFETY: the source is here, and with it what its probes point at.
            let changed = unsafe { entry.probes.have_changed_at_last() };
            changed.then(|| (at, entry.source.clone()))
        };
        changed(hot).or_else(|| match entries.len() {
            len if len <= WHOLE => (1..=len).filter(|at| *at != hot).find_map(&changed),
            len => self.long_look(len).find_map(&changed),
        })
    }

    /// Serves the one before place `at`, and leaves it alone then until something changes (SR-1);
    /// true if it did something.
    #[inline(always)]
    pub(crate) fn serve(&self, source: Rc<dyn Source>, at: usize, local: &Local) -> bool {
        let worked = source.serve(local);
        if worked {
            self.hot.set(at);
        }
        self.rest(at);
        worked
    }

    #[inline(always)]
    fn rest(&self, at: usize) {
        let mut entries = self.entries.borrow_mut();
        if let Some(entry) = at.checked_sub(1).and_then(|at| entries.get_mut(at)) {
            let _is_ready = entry.is_ready();
        }
    }

    #[inline(always)]
    pub(crate) fn any_ready(&self) -> bool {
        let ready = self
            .entries
            .borrow_mut()
            .iter_mut()
            .position(Entry::is_ready);
        // The next look comes by it.
        ready.inspect(|at| self.in_turn.set(*at)).is_some()
    }

    /// Whether the first one of a look that is ready is a part of `graph`; `None` if none is ready.
    #[inline(always)]
    pub(crate) fn first_ready_is_of(&self, graph: u64) -> Option<bool> {
        let mut entries = self.entries.borrow_mut();
        let len = entries.len();
        let ready = if len <= WHOLE {
            let mut each = entries.iter_mut();
            each.find_map(|entry| entry.is_ready().then_some(entry))
        } else {
            let at = self.long_look(len).find(|at| {
                let entry = entries.get_mut(at - 1);
                entry.is_some_and(Entry::is_ready)
            });
            at.and_then(|at| entries.get_mut(at - 1))
        };
        ready.map(|entry| entry.source.belongs_to(graph))
    }

    /// Those that are ready, and how far they are.
    pub(crate) fn ready_marks(&self) -> Vec<(Rc<dyn Source>, u64)> {
        let entries = self.entries.borrow();
        let ready = entries.iter().filter(|entry| entry.source.idle().is_none());
        ready
            .map(|entry| (entry.source.clone(), entry.source.taken()))
            .collect()
    }

    pub(crate) fn snapshot(&self) -> Vec<Rc<dyn Source>> {
        let entries = self.entries.borrow();
        entries.iter().map(|entry| entry.source.clone()).collect()
    }

    pub(crate) fn take(&self) -> Vec<Rc<dyn Source>> {
        let entries = self.entries.take().into_iter();
        entries.map(|entry| entry.source).collect()
    }

    /// Takes out the segments of a graph.
    pub(crate) fn remove_graph(&self, graph: u64) -> Vec<Rc<dyn Source>> {
        let mut entries = self.entries.borrow_mut();
        let (gone, kept) = std::mem::take(&mut *entries)
            .into_iter()
            .partition(|entry| entry.source.belongs_to(graph));
        *entries = kept;
        gone.into_iter().map(|entry: Entry| entry.source).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Still;

    // SAFETY: it names a static.
    unsafe impl Source for Still {
        fn idle(&self) -> Option<Probes> {
            Some(Probes::one(never()))
        }
        fn serve(self: Rc<Self>, _: &Local) -> bool {
            false
        }
    }

    fn of(count: usize) -> Sources {
        let sources = Sources::default();
        (0..count).for_each(|_| sources.push(Rc::new(Still)));
        sources
    }

    #[test]
    fn a_short_list_is_looked_through_at_once() {
        for count in [0, 1, WHOLE] {
            assert!(of(count).turn().eq(1..=count), "{count}");
        }
    }

    #[test]
    fn a_long_list_is_looked_through_within_as_many_looks_as_its_length_takes() {
        for count in [WHOLE + 1, 100, 1_000] {
            let sources = of(count);
            sources.hot.set(count);
            let looks = count.div_ceil(IN_TURN);
            let mut seen: Vec<usize> = (0..looks).flat_map(|_| sources.turn()).collect();
            seen.sort_unstable();
            seen.dedup();
            assert!(seen.iter().copied().eq(1..=count), "{count}: {seen:?}");
        }
    }

    #[test]
    fn behind_the_one_that_did_something_last_comes_the_next_round_the_end() {
        let sources = of(100);
        sources.hot.set(97);
        let near: Vec<usize> = sources.turn().take(NEAR).collect();
        assert_eq!(near, [98, 99, 100, 1, 2, 3, 4, 5]);
        // A list that became shorter.
        let sources = of(40);
        sources.hot.set(97);
        assert_eq!(sources.turn().next(), Some(1));
    }

    #[test]
    fn a_look_at_all_brings_the_next_look_to_what_it_found() {
        let sources = of(100);
        assert!(!sources.any_ready());
        let found = sources.entries.borrow_mut().get_mut(70).map(|entry| {
            entry.source = Rc::new(Ready);
            entry.probes = Probes::always();
        });
        assert!(found.is_some() && sources.any_ready());
        assert_eq!(sources.turn().nth(NEAR), Some(71));
    }

    struct Ready;

    // SAFETY: it names nothing.
    unsafe impl Source for Ready {
        fn idle(&self) -> Option<Probes> {
            None
        }
        fn serve(self: Rc<Self>, _: &Local) -> bool {
            true
        }
    }
}
