//! A call that came from another process, and what is sent back.
#![allow(
    unsafe_code,
    reason = "holds counted pointers to cells and reads their outcomes"
)]

use super::parcel::Parcel;
use crate::actor::call::CallOptions;
use crate::actor::core::ActorCore;
use crate::actor::create::ActorOptions;
use crate::actor::handle::{Actor, ActorType};
use crate::error::{Error, Fault, Outcome};
use crate::object::reference::Ref;
use crate::object::{codec, scope};
use crate::task::options::TaskOptions;
use crate::task::portable::{Codec, ValueCodec};
use crate::task::raw::Header;
use crate::task::stream::RefStream;
use std::any::{TypeId, type_name};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// The arguments of a call, and the actor that it is for.
pub struct Incoming<'a> {
    function: &'static str,
    bytes: &'a [u8],
    actor: Option<NonNull<ActorCore>>,
    options: ActorOptions,
    /// Of a task, if its caller said any.
    asked: Option<TaskOptions>,
    /// Of a call, if its caller said it.
    retries: Option<i32>,
}

impl<'a> Incoming<'a> {
    /// The bytes of a call of `function`; the caller holds a handle of `actor` for as long as this
    /// lives.
    pub(crate) fn new(
        function: &'static str,
        bytes: &'a [u8],
        actor: Option<NonNull<ActorCore>>,
        options: ActorOptions,
    ) -> Self {
        Self {
            function,
            bytes,
            actor,
            options,
            asked: None,
            retries: None,
        }
    }

    /// With what the caller of a task said of it.
    pub(crate) fn asked(mut self, options: Option<TaskOptions>) -> Self {
        self.asked = options;
        self
    }

    fn wrong(&self, value: &str, problem: String) -> Error {
        scope::explained(Error::NotPortable {
            function: self.function.into(),
            value: value.into(),
            problem,
        })
    }

    /// The next argument.
    ///
    /// # Errors
    /// [`Error::NotPortable`] if its bytes are not those of a `T`.
    pub fn argument<T: crate::Value>(&mut self, name: &str) -> Result<T, Error> {
        codec::read(&mut self.bytes)
            .map_err(|problem| self.wrong(&format!("argument `{name}`"), problem))
    }

    /// The next argument, of place `index` in its function's codec.
    ///
    /// # Errors
    /// As [`argument`](Self::argument).
    pub fn coded<T: 'static>(
        &mut self,
        codec: Option<&'static Codec>,
        index: usize,
    ) -> Result<T, Error> {
        let codec = codec.and_then(|codec| codec.args.get(index));
        let mut value: Option<T> = None;
        let decoded = match codec {
            Some(codec) => codec.decode_next(&mut self.bytes, &mut value),
            None => Err("the function is `local`".to_owned()),
        };
        match (decoded, value) {
            (Ok(()), Some(value)) => return Ok(value),
            (Ok(()), None) => Err(codec::other_type::<T>()),
            (Err(problem), _) => Err(problem),
        }
        .map_err(|problem| {
            let name = codec.map_or("", ValueCodec::name);
            self.wrong(&format!("argument `{name}`"), problem)
        })
    }

    /// There are no more arguments.
    ///
    /// # Errors
    /// [`Error::NotPortable`] if there are.
    pub fn end(&self) -> Result<(), Error> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(self.wrong("the arguments", format!("{left} bytes are left over"))),
        }
    }

    /// The actor whose method is called.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if it is of another class.
    pub fn actor<A: ActorType>(&self) -> Result<&Actor<A>, Error> {
        let class = self
            .actor
            // SAFETY: AC-1, the caller of `new` holds a handle.
            .filter(|core| unsafe { core.as_ref() }.class == TypeId::of::<A>());
        match class {
            // SAFETY: `Actor<A>` is a counted pointer to the block and nothing else; the field
            // lives as long as the reference, and no handle is given up.
            Some(_) => Ok(unsafe { &*(&raw const self.actor).cast::<Actor<A>>() }),
            None => Err(Error::InvalidArgument {
                argument: "actor",
                problem: format!(
                    "a call of {} came for an actor that is no {}",
                    self.function,
                    type_name::<A>()
                ),
                remedy: "both processes must be of the same build".into(),
            }),
        }
    }

    /// How often the caller of a method wants it sent again.
    pub(crate) fn retries(&mut self, retries: Option<i32>) {
        self.retries = retries;
    }

    /// What the caller of a method said of the call.
    pub fn call_options(&self) -> CallOptions {
        let options = CallOptions::new();
        self.retries.map_or_else(CallOptions::new, |retries| {
            options.max_task_retries(retries)
        })
    }

    /// The options with which a task is made, if its caller said any.
    pub fn task_options(&mut self) -> Option<TaskOptions> {
        self.asked.take()
    }

    /// The options with which an actor is made.
    pub fn options(&mut self) -> ActorOptions {
        std::mem::take(&mut self.options)
    }
}

/// A result that will be sent back: a counted cell, and how its outcome becomes bytes.
pub(crate) struct Answer {
    cell: NonNull<Header>,
    codec: Option<&'static ValueCodec>,
    encode: unsafe fn(&Self, &mut Parcel) -> Outcome<()>,
}

// SAFETY: it owns a handle of a cell whose value is `Send + Sync` (`Value`).
unsafe impl Send for Answer {}
// SAFETY: as above.
unsafe impl Sync for Answer {}

impl Answer {
    pub(crate) fn of<T: crate::Value>(result: Ref<T>) -> Self {
        Self::coded(result, Some(const { &ValueCodec::unnamed::<T>() }))
    }

    /// One of a type that this codec is for, which alone demands that it is a value.
    fn coded<T: 'static>(result: Ref<T>, codec: Option<&'static ValueCodec>) -> Self {
        unsafe fn encode<T: 'static>(answer: &Answer, parcel: &mut Parcel) -> Outcome<()> {
            // SAFETY: the caller's promise; the handle stays the answer's.
            let result = ManuallyDrop::new(unsafe { Ref::<T>::from_cell(answer.cell) });
            let value = result.outcome_ref()?;
            let encoded = match answer.codec {
                Some(codec) => codec.encode(value, parcel),
                None => Err("the function is `local`".to_owned()),
            };
            encoded.map_err(|problem| {
                Fault::new(scope::explained(Error::NotPortable {
                    function: result.made_by().into(),
                    value: "the result".into(),
                    problem,
                }))
            })
        }
        Self {
            cell: result.into_cell(),
            codec,
            encode: encode::<T>,
        }
    }

    /// The cell.
    pub(crate) fn cell(&self) -> NonNull<Header> {
        self.cell
    }

    /// Appends the value, or gives the error; it must be there.
    pub(crate) fn encode(&self, parcel: &mut Parcel) -> Outcome<()> {
        // SAFETY: made with the function for its type; it holds a handle.
        unsafe { (self.encode)(self, parcel) }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: it owns a handle.
        unsafe { Header::release_any(self.cell) };
    }
}

/// What a call gave.
pub struct Answering(pub(crate) Kind);

pub(crate) enum Kind {
    One(Answer),
    Many(Vec<Answer>),
    Stream(Box<dyn Iterator<Item = Answer> + Send>),
    Actor(HeldActor, Option<Answer>),
}

/// A counted handle of an actor whose class is not known.
pub(crate) struct HeldActor(NonNull<ActorCore>);

// SAFETY: AC-1, a handle may go to any thread.
unsafe impl Send for HeldActor {}
// SAFETY: as above; a shared reference only tells where the block is.
unsafe impl Sync for HeldActor {}

impl HeldActor {
    /// One more handle of it.
    pub(crate) fn of<A: ActorType>(actor: &Actor<A>) -> Self {
        // SAFETY: AC-1, the caller's handle.
        unsafe { actor.core().as_ref() }.retain();
        Self(actor.core())
    }

    /// # Safety
    /// The caller owns a handle and uses it no more.
    pub(crate) unsafe fn from_core(core: NonNull<ActorCore>) -> Self {
        Self(core)
    }

    /// Whether it lives in this process.
    pub(crate) fn is_here(&self) -> bool {
        self.block().remote.is_none()
    }

    /// The block.
    pub(crate) fn block(&self) -> &ActorCore {
        // SAFETY: AC-1, our handle.
        unsafe { self.0.as_ref() }
    }

    /// The block; ours for as long as this lives.
    pub(crate) fn core(&self) -> NonNull<ActorCore> {
        self.0
    }
}

impl Drop for HeldActor {
    fn drop(&mut self) {
        // SAFETY: our handle.
        unsafe { ActorCore::release(self.0) };
    }
}

/// Tuples of refs.
pub trait AnswerTuple {
    #[doc(hidden)]
    fn into_answers(self, codecs: &'static [ValueCodec]) -> AnswersOf;
}

/// Opaque answers.
#[doc(hidden)]
pub struct AnswersOf(Vec<Answer>);

macro_rules! tuple {
    ($($name:ident)*) => {
        impl<$($name: 'static),*> AnswerTuple for ($(Ref<$name>,)*) {
            #[allow(non_snake_case, reason = "the type parameter names the ref")]
            fn into_answers(self, codecs: &'static [ValueCodec]) -> AnswersOf {
                let ($($name,)*) = self;
                let mut codecs = codecs.iter();
                AnswersOf(vec![$(Answer::coded($name, codecs.next())),*])
            }
        }
    };
}

tuple!(A);
tuple!(A B);
tuple!(A B C);
tuple!(A B C D);
tuple!(A B C D E);
tuple!(A B C D E F);
tuple!(A B C D E F G);
tuple!(A B C D E F G H);

fn results(codec: Option<&'static Codec>) -> &'static [ValueCodec] {
    codec.map_or(&[], |codec| codec.results)
}

impl Answering {
    /// A value that is no function's result.
    pub(crate) fn value<T: crate::Value>(value: Ref<T>) -> Self {
        Self(Kind::One(Answer::of(value)))
    }

    /// One result of the function that `codec` is for.
    pub fn one<T: 'static>(codec: Option<&'static Codec>, result: Ref<T>) -> Self {
        Self(Kind::One(Answer::coded(result, results(codec).first())))
    }

    /// Several results.
    pub fn many(codec: Option<&'static Codec>, several: impl AnswerTuple) -> Self {
        Self(Kind::Many(several.into_answers(results(codec)).0))
    }

    /// One result after the other.
    pub fn stream<T: Send + Sync + 'static>(
        codec: Option<&'static Codec>,
        items: RefStream<T>,
    ) -> Self {
        let codec = results(codec).first();
        let answers = items.map(move |item| Answer::coded(item, codec));
        Self(Kind::Stream(Box::new(answers)))
    }

    /// An actor, and the end of its construction if that has begun.
    pub fn actor<A: ActorType>((actor, made): (Actor<A>, Option<Ref<()>>)) -> Self {
        Self(Kind::Actor(HeldActor::of(&actor), made.map(Answer::of)))
    }
}
