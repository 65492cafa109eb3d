//! A step in the process of its actor: the function takes its arguments out of bytes and puts its
//! result into bytes.
//!
//! Nothing here knows the types of values; the function that the macros made for the table of functions
//! does, so a value that two steps read is read twice and need not be `Clone`.
//!
//! - PS-1 as SL-1: slots belong to one segment and are touched on its scheduler alone, by one run at a
//!   time.
#![allow(unsafe_code, reason = "slots, and steps on type-erased actor states")]

use super::packet::Packed;
use super::plain::IsPlain;
use crate::actor::core::{Access, ActorCore};
use crate::actor::handle::ActorType;
use crate::error::{Error, Fault};
use crate::executor::block_on::Alarm;
use crate::executor::local::{Frame, Local};
use crate::graph::async_step::{Turn, may_begin, wait_for_turn};
use crate::graph::observe::progress::Progress;
use crate::graph::segment::{Place, Step};
use crate::object::scope;
use crate::task::args::ValueArg;
use crate::task::failure::Failure;
use crate::task::meta::Meta;
use crate::task::portable::{Codec, ValueCodec};
use crate::task::spawn::run_guarded;
use std::any::TypeId;
use std::cell::{Cell, UnsafeCell};
use std::ptr::{NonNull, null};
use std::sync::Arc;

/// How another process runs one function as a step of a graph.
#[derive(Debug)]
pub struct StepEntry {
    /// How it uses the actor's state.
    pub access: StepAccess,
    /// Takes its arguments, runs, gives its result.
    pub run: fn(&mut StepTurn<'_>) -> Result<(), Failure>,
}

/// How a step uses an actor's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepAccess {
    /// It is a task.
    None,
    /// Nothing else runs on the actor.
    Exclusive,
    /// `async fn` with `&self`.
    Async,
}

impl StepAccess {
    fn of_actor(self) -> Access {
        match self {
            Self::None | Self::Exclusive => Access::Exclusive,
            Self::Async => Access::Async,
        }
    }
}

/// Where a value lies between two steps (PS-1).
#[repr(align(128))]
#[derive(Default)]
pub(crate) struct PackedSlot(UnsafeCell<Packed>);

// SAFETY: PS-1; slots move to their scheduler with their segment.
unsafe impl Send for PackedSlot {}
// SAFETY: PS-1.
unsafe impl Sync for PackedSlot {}

impl PackedSlot {
    /// The value; the caller is the one that runs.
    #[inline(always)]
    pub(crate) fn get(&self) -> &Packed {
        // SAFETY: PS-1: nobody writes while the run that reads goes on.
        unsafe { &*self.0.get() }
    }

    /// Changes it.
    #[inline(always)]
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut Packed) -> R) -> R {
        // SAFETY: PS-1: `get`'s borrows end before the next write of the same run.
        change(unsafe { &mut *self.0.get() })
    }
}

/// Where an argument comes from.
pub(crate) enum PartInput {
    Slot(Arc<PackedSlot>),
    Constant(Packed),
}

impl PartInput {
    #[inline(always)]
    fn get(&self) -> &Packed {
        match self {
            Self::Slot(slot) => slot.get(),
            Self::Constant(packed) => packed,
        }
    }
}

/// One run of a step.
pub struct StepTurn<'a> {
    inputs: &'a [PartInput],
    next: usize,
    meta: &'static Meta,
    codec: &'static Codec,
    actor: Option<&'a ActorCore>,
    turn: Turn<'a>,
    out: &'a mut Packed,
}

impl StepTurn<'_> {
    #[cold]
    fn wrong(&self, value: String, problem: String) -> Failure {
        Failure::runtime(scope::explained(Error::NotPortable {
            function: self.meta.name.into(),
            value,
            problem,
        }))
    }

    /// The next argument.
    ///
    /// # Errors
    /// [`Error::NotPortable`] if its bytes are not those of a `T`.
    #[inline(always)]
    pub fn argument<T: 'static>(&mut self, plain: IsPlain<T>) -> Result<ValueArg<T>, Failure> {
        let at = self.next;
        self.next += 1;
        if let Some(input) = self.inputs.get(at)
            && let Some(value) = plain.unpack(input.get().bytes())
        {
            return Ok(ValueArg(value));
        }
        self.decode(at).map(ValueArg)
    }

    #[inline(never)]
    fn decode<T: 'static>(&self, at: usize) -> Result<T, Failure> {
        let mut value: Option<T> = None;
        let arg = self.codec.args.get(at);
        let (decoded, name) = match (arg, self.inputs.get(at)) {
            (Some(arg), Some(input)) => (arg.unpack(input.get(), &mut value), arg.name()),
            _ => (Err("it did not come".to_owned()), "?"),
        };
        match (decoded, value) {
            (Ok(()), Some(value)) => Ok(value),
            (Ok(()), None) => Err(self.wrong(format!("argument `{name}`"), "it is missing".into())),
            (Err(problem), _) => Err(self.wrong(format!("argument `{name}`"), problem)),
        }
    }

    #[inline(always)]
    fn state<A: ActorType>(&self) -> Result<*mut A, Failure> {
        match self.actor {
            Some(actor) if actor.class == TypeId::of::<A>() => Ok(actor.state::<A>()),
            _ => Err(self.wrong("the actor".into(), "it is of another class".into())),
        }
    }

    /// Calls a method with `&mut self`.
    ///
    /// # Errors
    /// Those of the method.
    #[inline(always)]
    pub fn call_mut<A: ActorType, T>(
        &mut self,
        run: impl FnOnce(&mut A) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let state = self.state::<A>()?;
        // SAFETY: AC-3, the step has begun an exclusive call; the state is there (`may_begin`).
        run(unsafe { &mut *state })
    }

    /// Calls a method with `&self`.
    ///
    /// # Errors
    /// Those of the method.
    #[inline(always)]
    pub fn call_ref<A: ActorType, T>(
        &mut self,
        run: impl FnOnce(&A) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let state = self.state::<A>()?;
        // SAFETY: as above.
        run(unsafe { &*state })
    }

    /// Calls an `async fn` with `&mut self`.
    ///
    /// # Errors
    /// Those of the method.
    pub fn call_async_mut<A: ActorType, T>(
        &mut self,
        run: impl AsyncFnOnce(&mut A) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let state = self.state::<A>()?;
        // SAFETY: as above.
        let value = self.turn.drive(run(unsafe { &mut *state }))?;
        value.ok_or_else(over)
    }

    /// Calls an `async fn` with `&self`.
    ///
    /// # Errors
    /// Those of the method.
    pub fn call_async<A: ActorType, T>(
        &mut self,
        run: impl AsyncFnOnce(&A) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let state = self.state::<A>()?;
        // SAFETY: AC-3, the step has begun a call beside others with `&self`.
        let value = self.turn.drive(run(unsafe { &*state }))?;
        value.ok_or_else(over)
    }

    /// The result.
    ///
    /// # Errors
    /// [`Error::NotPortable`] if it cannot be encoded.
    #[inline(always)]
    pub fn give<T: 'static>(&mut self, value: T, plain: IsPlain<T>) -> Result<(), Failure> {
        if plain.pack(&value, self.out) {
            return Ok(());
        }
        self.encode(&value)
    }

    #[inline(never)]
    fn encode<T: 'static>(&mut self, value: &T) -> Result<(), Failure> {
        let encoded = match result_codec(self.codec) {
            Some(result) => result.pack_encoded(value, self.out),
            None => Err("it has no codec".to_owned()),
        };
        encoded.map_err(|problem| self.wrong("the result".into(), problem))
    }
}

/// The graph was over before the future was (SG-4): nobody looks at the result.
#[cold]
fn over() -> Failure {
    Failure::runtime(Error::Cancelled {
        what: "a graph's step".into(),
    })
}

/// The codec of the result as one value.
pub(crate) fn result_codec(codec: &'static Codec) -> Option<&'static ValueCodec> {
    codec.whole.as_ref().or(codec.results.first())
}

/// A step in this process of a graph that another one compiled.
#[repr(align(128))]
pub(crate) struct PartStepHere {
    pub(crate) entry: &'static StepEntry,
    pub(crate) meta: &'static Meta,
    pub(crate) codec: &'static Codec,
    /// Of a method; the part holds a handle.
    pub(crate) actor: Option<NonNull<ActorCore>>,
    pub(crate) inputs: Vec<PartInput>,
    pub(crate) out: Arc<PackedSlot>,
    /// Used by one run at a time.
    pub(crate) alarm: Alarm,
    /// What the driver sees of the segment (SN-5), and the number of this step in it.
    pub(crate) shown: Progress,
    pub(crate) number: usize,
}

// SAFETY: AC-2: it is made and used on the actor's home; the part holds a handle of the actor.
unsafe impl Send for PartStepHere {}

impl PartStepHere {
    #[cold]
    #[inline(never)]
    fn give_up(&self, fault: &Fault) {
        self.out.with(|out| out.set_error(&fault.0));
    }

    /// An argument that is an error goes on as the error of this step (SG-3).
    #[cold]
    fn pass_on(&self, at: usize, input: &Packed) {
        let fault = Fault::new(input.error("another process"));
        let failure = Failure::argument(at, fault);
        let (fault, _) = failure.into_fault(self.meta.name, None);
        self.give_up(&fault);
    }
}

impl Step for PartStepHere {
    #[inline]
    fn run(&self, local: &Local, place: &Place) {
        self.shown.step(self.number);
        let mut inputs = self.inputs.iter().map(PartInput::get).enumerate();
        if let Some((at, input)) = inputs.find(|(_, input)| input.is_error()) {
            return self.pass_on(at, input);
        }
        let access = self.entry.access.of_actor();
        // SAFETY: the part holds a handle.
        let actor = self.actor.as_ref().map(|actor| unsafe { actor.as_ref() });
        if let (Some(core), Some(actor)) = (self.actor, actor) {
            if !may_begin(actor, access) {
                self.shown.is_held_up(local.node.clock.now_ns());
                let turn = wait_for_turn(self.meta.name, core, access, local, place);
                self.shown.goes_on();
                if let Err(error) = turn {
                    return self.give_up(&Fault::new(error));
                }
            }
            actor.begin(access);
        }
        let frame = Frame {
            header: null(),
            meta: self.meta,
            actor: self
                .actor
                .map_or(null(), |actor| actor.as_ptr().cast_const()),
            access,
            ticket: null(),
            below: local.frame.get(),
            mark: Cell::default(),
        };
        let mut turn = StepTurn {
            inputs: &self.inputs,
            next: 0,
            meta: self.meta,
            codec: self.codec,
            actor,
            turn: Turn::new(&self.alarm, place),
            // SAFETY: PS-1: a step's slot is none of those that it reads (GX-1).
            out: unsafe { &mut *self.out.0.get() },
        };
        let outcome = run_guarded(local, &frame, || (self.entry.run)(&mut turn));
        if let Some(core) = self.actor {
            ActorCore::end(core, access, local);
        }
        if let Err(fault) = outcome {
            self.give_up(&fault);
        }
    }
}
