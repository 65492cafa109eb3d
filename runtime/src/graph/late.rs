//! Runs whose inputs are results that are not there yet.
//!
//! Such a run has its number and its refs at once, and waits here; the runs that are submitted after
//! it wait behind it. A graph that was never given one has no such queue: it is put before the
//! submitting end with the first.
//!
//! - LA-1 runs begin in the order of their numbers. One thread at a time takes them out of the queue
//!   (`is_draining`), for the user's `Clone` runs outside of the core's lock (DR-1).
//! - LA-2 what a run waits for posts a letter when it is done, after whatever completes it is through
//!   with the cell; whoever finds the queue being drained leaves it to that one, which looks at the
//!   first run again before it stops.
//! - LA-3 a run whose input is an error is not begun: it is the result of each of its outputs (UN-1).
//! - LA-4 a graph that ends drops what waits here.
#![allow(
    unsafe_code,
    reason = "the queue is protected by the core's lock (DR-1)"
)]

use super::core::Core;
use super::driver::AnyOutput;
use super::given::{Settled, Why};
use super::inputs::InputNodes;
use super::parcel::{Parcel, SubmitRun};
use super::results::Refused;
use super::waiters::Listener;
use crate::executor::block_on::Handle;
use crate::executor::letter;
use crate::object::when_done::when_done;
use crate::task::args::{CellPtr, Params};
use crate::task::failure::{discard, panicked};
use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

/// See the module's page.
pub(crate) struct Late<I: InputNodes> {
    core: Arc<Core>,
    fan_out: Option<Box<[usize]>>,
    outputs: Vec<Weak<dyn AnyOutput>>,
    state: UnsafeCell<State<I>>,
}

struct State<I: InputNodes> {
    /// The submitting end proper.
    submit: Box<dyn SubmitRun<I>>,
    queue: VecDeque<Queued<I>>,
    is_draining: bool,
    /// The run that is out of the queue and not yet begun.
    beginning: Option<u64>,
}

// SAFETY: DR-1, everything in it is used under the core's lock; inputs are `Send`.
unsafe impl<I: InputNodes> Send for Late<I> {}
// SAFETY: as above.
unsafe impl<I: InputNodes> Sync for Late<I> {}

/// A run that was not begun.
struct Queued<I: InputNodes> {
    run: u64,
    inputs: Inputs<I>,
}

enum Inputs<I: InputNodes> {
    Here(Parcel<I>),
    Later(I::Later),
}

/// What to do about the first run of the queue.
enum Next<I: InputNodes> {
    /// Nothing, or somebody else does it.
    Nothing,
    /// Its inputs are there, and the run is to begin.
    Begin(u64, I::Later),
    /// The graph is over: to be dropped.
    Over(VecDeque<Queued<I>>),
}

/// The submitting end of a graph that has a queue.
struct Behind<I: InputNodes>(Arc<Late<I>>);

impl<I: InputNodes> SubmitRun<I> for Behind<I> {
    fn submit(&mut self, run: u64, parcel: Parcel<I>, refused: &mut Refused) {
        // SAFETY: DR-1, the callers hold the lock.
        let state = unsafe { &mut *self.0.state.get() };
        if state.is_draining || !state.queue.is_empty() {
            let inputs = Inputs::Here(parcel);
            state.queue.push_back(Queued { run, inputs });
        } else {
            state.submit.submit(run, parcel, refused);
        }
    }

    fn late(&self) -> Option<&Arc<Late<I>>> {
        Some(&self.0)
    }

    fn spare(&mut self) -> Option<Box<I::Copies>> {
        // SAFETY: DR-1, the callers hold the lock.
        unsafe { &mut *self.0.state.get() }.submit.spare()
    }
}

/// A submitting end that is being put behind a queue.
struct Nowhere;

impl<I: InputNodes> SubmitRun<I> for Nowhere {
    fn submit(&mut self, _: u64, _: Parcel<I>, _: &mut Refused) {
        unreachable!("it stands for another one under the lock alone");
    }
}

impl<I: InputNodes> Late<I> {
    /// The queue before `submit`, which is put there if there is none. Under the lock.
    pub(super) fn before(
        submit: &mut Box<dyn SubmitRun<I>>,
        core: &Arc<Core>,
        fan_out: Option<&[usize]>,
        outputs: impl FnOnce() -> Vec<Weak<dyn AnyOutput>>,
    ) -> Arc<Self> {
        if let Some(late) = submit.late() {
            return late.clone();
        }
        let state = State {
            submit: std::mem::replace(submit, Box::new(Nowhere)),
            queue: VecDeque::new(),
            is_draining: false,
            beginning: None,
        };
        let late = Arc::new(Self {
            core: core.clone(),
            fan_out: fan_out.map(Into::into),
            outputs: outputs(),
            state: UnsafeCell::new(state),
        });
        *submit = Box::new(Behind(late.clone()));
        let for_end: Weak<Self> = Arc::downgrade(&late);
        core.add_at_end(for_end);
        late
    }

    /// Queues `run`. Under the lock.
    pub(super) fn push(&self, run: u64, later: I::Later) {
        // SAFETY: DR-1, the caller holds the lock.
        let state = unsafe { &mut *self.state.get() };
        let inputs = Inputs::Later(later);
        state.queue.push_back(Queued { run, inputs });
        self.mark(state);
    }

    /// Looks at the queue when `cells` are done (LA-2). Not under the lock.
    pub(super) fn look_when_done(self: &Arc<Self>, cells: Vec<Handle>) {
        for handle in cells {
            let late = self.clone();
            when_done(handle.cell(), move || {
                let core = late.core.clone();
                let home = core.homes.first().copied().unwrap_or_default();
                let look = letter::closure(move |_| {
                    drop(handle);
                    late.drain();
                });
                core.node.post_to(home, look);
            });
        }
        // They may have been done before, and the graph may have ended (LA-4).
        self.drain();
    }

    /// Says which runs were not begun. Under the lock.
    fn mark(&self, state: &State<I>) {
        let queued = state.queue.front().map(|queued| queued.run);
        let first = state.beginning.or(queued);
        for output in self.outputs.iter().filter_map(Weak::upgrade) {
            output.are_late(first);
        }
    }

    /// Begins every run of the queue that can begin, in their order.
    fn drain(&self) {
        let mut refused = Refused::default();
        let mut goes_on = false;
        loop {
            match self.core.locked(|| self.next(goes_on, &mut refused)) {
                Next::Nothing => break,
                Next::Over(queue) => {
                    discard(queue);
                    break;
                }
                Next::Begin(run, later) => self.begin(run, later, &mut refused),
            }
            goes_on = true;
        }
        drop(refused);
    }

    /// Under the lock. `goes_on`: the caller is the one that drains.
    fn next(&self, goes_on: bool, refused: &mut Refused) -> Next<I> {
        // SAFETY: DR-1, the caller holds the lock.
        let state = unsafe { &mut *self.state.get() };
        if state.is_draining && !goes_on {
            return Next::Nothing;
        }
        state.is_draining = false;
        state.beginning = None;
        if self.core.is_over() {
            let queue = std::mem::take(&mut state.queue);
            self.mark(state);
            return Next::Over(queue);
        }
        while let Some(Queued { run, inputs }) = state.queue.pop_front() {
            match inputs {
                Inputs::Here(parcel) => state.submit.submit(run, parcel, refused),
                Inputs::Later(later) if are_there(&later) => {
                    state.is_draining = true;
                    state.beginning = Some(run);
                    return Next::Begin(run, later);
                }
                inputs @ Inputs::Later(_) => {
                    state.queue.push_front(Queued { run, inputs });
                    break;
                }
            }
        }
        self.mark(state);
        Next::Nothing
    }

    /// LA-1, LA-3. Not under the lock.
    fn begin(&self, run: u64, later: I::Later, refused: &mut Refused) {
        let packed = settle::<I>(later).map(|values| {
            let copies = self.fan_out.as_deref().map(|fan_out| {
                let mut copies = Box::<I::Copies>::default();
                I::copy(&values, fan_out, &mut copies);
                copies
            });
            Parcel { values, copies }
        });
        let is_begun = packed.is_ok();
        self.core.locked(|| match packed {
            // SAFETY: DR-1, under the lock.
            Ok(parcel) => unsafe { &mut *self.state.get() }
                .submit
                .submit(run, parcel, refused),
            Err(Why(fault)) => {
                for output in self.outputs.iter().filter_map(Weak::upgrade) {
                    output.fail(run, Why(fault.clone()), refused);
                }
            }
        });
        if !is_begun {
            self.core.wake_waiters();
        }
    }
}

impl<I: InputNodes> Listener for Late<I> {
    /// LA-4.
    fn news(&self) {
        if self.core.is_over() {
            self.drain();
        }
    }
}

impl<I: InputNodes> Drop for Late<I> {
    fn drop(&mut self) {
        discard(std::mem::take(&mut self.state.get_mut().queue));
    }
}

/// Whether all that `later` waits for is there.
pub(super) fn are_there(later: &impl Params) -> bool {
    awaited(later).is_empty()
}

/// What `later` waits for.
pub(super) fn awaited(later: &impl Params) -> Vec<Handle> {
    let mut cells = Vec::new();
    later.cells(&mut |CellPtr(cell)| {
        // SAFETY: the holder has a handle.
        if !unsafe { cell.as_ref() }.completion.is_done() {
            cells.push(Handle::of(cell));
        }
    });
    cells
}

/// The values of `later`, which are there.
pub(super) fn settle<I: InputNodes>(later: I::Later) -> Settled<I> {
    // What is dropped there may be a user's as well.
    catch_unwind(AssertUnwindSafe(|| I::settle(later)))
        .unwrap_or_else(|payload| Err(Why(panicked(payload, "the inputs of a run", None))))
}
