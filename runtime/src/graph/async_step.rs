//! An `async fn` of an actor as a step: its run is over when its future is.
//!
//! - AS-1 while the future is pending the segment waits like one whose step is blocked (SG-1): the
//!   scheduler does other work, and calls that the method's access admits run on the actor.
//! - AS-2 a future that is pending when the graph ends is dropped at once, on its scheduler. One
//!   whose actor dies, or whose node shuts down, is dropped at its next wake-up, which comes with
//!   the death.
#![allow(unsafe_code, reason = "calls methods on type-erased actor states")]

use super::segment::{Place, Step};
use super::slot::{GraphValue, Slot};
use super::source::StepInputs;
use crate::actor::core::{Access, ActorCore};
use crate::error::{Error, Fault};
use crate::executor::block_on::Alarm;
use crate::executor::local::{Frame, Local};
use crate::executor::wait::interrupted;
use crate::task::failure::{Failure, discard};
use crate::task::meta::Function;
use crate::task::spawn::run_guarded;
use std::cell::Cell;
use std::future::Future;
use std::marker::PhantomData;
use std::ptr::{NonNull, null};
use std::sync::Arc;

/// What a run of the step waits with.
pub(crate) struct Turn<'a> {
    alarm: &'a Alarm,
    place: &'a Place,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(alarm: &'a Alarm, place: &'a Place) -> Self {
        Self { alarm, place }
    }

    /// Drives `future` to its end; `None` if the graph ended before (AS-2).
    pub(crate) fn drive<T>(
        &self,
        future: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Option<T>, Failure> {
        self.alarm
            .drive(future, || self.place.removed.get())
            .map_err(Failure::runtime)?
            .transpose()
    }
}

/// See the module's page.
#[repr(align(128))]
pub(crate) struct AsyncStep<M, A, I, T, F> {
    core: NonNull<ActorCore>,
    access: Access,
    inputs: I,
    body: F,
    out: Arc<Slot<T>>,
    /// Used by one run at a time. A waker that an earlier run left behind wakes for nothing.
    alarm: Alarm,
    function: PhantomData<fn(M, A)>,
}

// SAFETY: AC-2: it moves to the actor's home with its segment and is used there alone; the graph
// holds a handle of the actor.
unsafe impl<M, A, I: Send, T: Send, F: Send> Send for AsyncStep<M, A, I, T, F> {}

impl<M, A, I, T, F> AsyncStep<M, A, I, T, F> {
    pub(crate) fn new(
        core: NonNull<ActorCore>,
        access: Access,
        inputs: I,
        body: F,
        out: Arc<Slot<T>>,
    ) -> Self {
        Self {
            core,
            access,
            inputs,
            body,
            out,
            alarm: Alarm::default(),
            function: PhantomData,
        }
    }
}

impl<M, A, I: StepInputs, T, F> AsyncStep<M, A, I, T, F> {
    /// Its turn does not come.
    #[cold]
    #[inline(never)]
    fn give_up(&self, args: I::Args, error: Error) {
        discard(args);
        self.out.set(Err(Fault::new(error)));
    }
}

impl<M, A, I, T, F> Step for AsyncStep<M, A, I, T, F>
where
    M: Function,
    A: 'static,
    I: StepInputs,
    T: GraphValue,
    F: Fn(*mut A, I::Args, &Turn<'_>) -> Result<Option<T>, Failure> + Send,
{
    fn run(&self, local: &Local, place: &Place) {
        let args = match self.inputs.take() {
            Ok(args) => args,
            Err(fault) => return self.out.set(Err(fault.through::<M>())),
        };
        // SAFETY: the graph holds a handle.
        let actor = unsafe { self.core.as_ref() };
        if !may_begin(actor, self.access)
            && let Err(error) = wait_for_turn(M::META.name, self.core, self.access, local, place)
        {
            return self.give_up(args, error);
        }
        actor.begin(self.access);
        let frame = Frame {
            header: null(),
            meta: M::META,
            actor: self.core.as_ptr(),
            access: self.access,
            ticket: null(),
            below: local.frame.get(),
            mark: Cell::default(),
        };
        let state = actor.state::<A>();
        let turn = Turn::new(&self.alarm, place);
        let outcome = run_guarded(local, &frame, || (self.body)(state, args, &turn));
        ActorCore::end(self.core, self.access, local);
        // Without a value the graph is over, and nobody looks at the slot (SG-4).
        if let Some(outcome) = outcome.transpose() {
            self.out.set(outcome);
        }
    }
}

pub(super) fn may_begin(actor: &ActorCore, access: Access) -> bool {
    actor.admits(access) && !actor.is_dead()
}

/// The actor is in the middle of a call that does not admit this one, not there yet, or dead.
#[cold]
pub(super) fn wait_for_turn(
    step: &'static str,
    core: NonNull<ActorCore>,
    access: Access,
    local: &Local,
    place: &Place,
) -> Result<(), Error> {
    let _edge = place.enter(local, step, (core, access))?;
    // SAFETY: the graph holds a handle.
    let actor = unsafe { core.as_ref() };
    while !may_begin(actor, access) {
        if let Some(error) = actor.death() {
            return Err(error);
        }
        interrupted(local, "a graph's step")?;
        actor.wait_for_end(local)?;
        if place.removed.get() {
            return Err(Error::Cancelled {
                what: "a graph's step".into(),
            });
        }
    }
    Ok(())
}
