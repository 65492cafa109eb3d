//! What the macros expand to. Not for use by hand: it may change with any version.
#![allow(
    unsafe_code,
    reason = "a macro's text: the table it makes is repr(transparent)"
)]

pub use crate::actor::call::{ByAsync, ByAsyncMut, ByMut, ByRef};
pub use crate::actor::create::{create, create_with_end};
pub use crate::actor::handle::{MethodTable, RawActor, actor_of};
pub use crate::graph::bind::{
    Source, bind_async, bind_async_mut, bind_mut, bind_ref, bind_task, bind_task_with,
};
pub use crate::graph::remote::plain::{IsPlain, NotPlain, PlainProbe};
pub use crate::graph::remote::step::{StepAccess, StepEntry, StepTurn};
pub use crate::runtime::run_main;
pub use crate::task::args::{AnyArg, Arg, ArgRef};
pub use crate::task::failure::Failure;
pub use crate::task::meta::{Defaults, Function, Meta};
pub use crate::task::portable::{Codec, ValueCodec};
pub use crate::task::retry::{Retried, is as is_error};
pub use crate::task::returns::Returns;
pub use crate::task::spawn::{spawn, spawn_with};
pub use crate::task::stream::spawn_stream;
pub use crate::worker::checkpoint::Keeping;
pub use crate::worker::errand::named;
pub use crate::worker::incoming::{Answering, Incoming};
pub use crate::worker::registry::{Entry, FUNCTIONS};
pub use crate::worker::wire_error::{ErrorCodec, ErrorProbe, OpaqueError, PortableError};
pub use linkme;

use crate::actor::call::{CallOptions, call, call_with};
use crate::actor::handle::{Actor, ActorType};
use crate::executor::letter;
use crate::node::Node;
use crate::object::reference::Ref;
use crate::object::when_done::when_done;
use crate::task::args::{IntoArg, Params};
use crate::task::options::TaskOptions;
use crate::task::portable;
use crate::task::returns::settle;
use crate::task::stream::{Emit, RefStream, StreamMut, StreamRef, call_stream};
use std::sync::Arc;

/// What a function may return as its error.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a task or method",
    note = "an error implements `std::error::Error` and is `Send + Sync + 'static`: whoever waits for the result gets it, on any thread",
    note = "`maser::Error`, `String` and `Box<dyn std::error::Error + Send + Sync>` are such errors; `thiserror` derives one"
)]
pub trait ErrorValue {
    /// The error with its type erased.
    fn into_boxed(self) -> Box<dyn std::error::Error + Send + Sync>;
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> ErrorValue for E {
    fn into_boxed(self) -> Box<dyn std::error::Error + Send + Sync> {
        self.into()
    }
}

/// A function's own error.
#[cold]
pub fn user_error<E: ErrorValue>(error: E) -> Failure {
    Failure(crate::task::failure::Kind::Returned(error.into_boxed()))
}

/// `Result` under any name.
pub trait ResultLike {
    /// The value.
    type Ok;
    /// The error.
    type Err;
    /// The plain `Result`.
    fn into_std(self) -> Result<Self::Ok, Self::Err>;
}

impl<T, E> ResultLike for Result<T, E> {
    type Ok = T;
    type Err = E;
    #[inline(always)]
    fn into_std(self) -> Result<T, E> {
        self
    }
}

/// Starts a task with several results.
pub fn spawn_many<M, P, R, F>(options: TaskOptions, params: P, run: F) -> R::Refs
where
    M: Function,
    P: Params,
    R: Returns,
    F: FnOnce(P) -> Result<R, Failure> + Send + 'static,
{
    let (promises, refs) = R::promise();
    let in_one_piece = |node: Arc<Node>| {
        let wanted = options.retry_errors.as_ref();
        let retries = crate::task::retry::here(&node, wanted, M::META, false);
        node.tasks_leave() || retries.is_ok_and(|errors| errors.is_some())
    };
    if M::META.entry.is_some() && Node::current("starting a task").is_ok_and(in_one_piece) {
        settle_when_done(spawn_with::<M, P, R, _>(options, params, run), promises);
        return refs;
    }
    drop(spawn_with::<M, P, (), _>(options, params, move |params| {
        let outcome = settled::<M, R>(|| run(params));
        let result = outcome.as_ref().map(|_| ()).map_err(Clone::clone);
        settle(promises, outcome);
        result.map_err(|fault| Failure(crate::task::failure::Kind::Runtime(fault)))
    }));
    refs
}

/// The parts of a result that comes from another process in one piece.
fn settle_when_done<R: Returns>(whole: Ref<R>, promises: R::Promises) {
    let cell = whole.cell();
    when_done(cell, move || {
        // Not inside of the completion, which still has the cell. Without a runtime the promises
        // end with an error.
        if let Ok(node) = Node::current("a result of several parts") {
            let parts = letter::closure(move |_| settle(promises, whole.into_value_once()));
            node.post_to(0, parts);
        }
    });
}

/// The outcome of `run`, panics included.
fn settled<M: Function, R: Returns>(
    run: impl FnOnce() -> Result<R, Failure>,
) -> crate::error::Outcome<R> {
    let run = || {
        let values = run()?;
        match portable::applies_to::<M>() {
            true => values.travel::<M>(),
            false => Ok(values),
        }
    };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
        Ok(Ok(values)) => Ok(values),
        Ok(Err(failure)) => Err(failure.into_fault(M::META.name, None).0),
        Err(payload) => Err(crate::task::failure::panicked(payload, M::META.name, None)),
    }
}

/// Calls a method with `&mut self`.
#[inline(always)]
pub fn call_mut<M, A, P, T, F>(actor: &Actor<A>, options: CallOptions, params: P, run: F) -> Ref<T>
where
    M: Function,
    A: ActorType,
    P: Params,
    T: Send + Sync + 'static,
    F: FnOnce(&mut A, P) -> Result<T, Failure> + Send + 'static,
{
    call_with::<M, A, P, T, _>(actor, options, params, ByMut(run))
}

/// Calls a method with `&self`.
#[inline(always)]
pub fn call_ref<M, A, P, T, F>(actor: &Actor<A>, options: CallOptions, params: P, run: F) -> Ref<T>
where
    M: Function,
    A: ActorType,
    P: Params,
    T: Send + Sync + 'static,
    F: FnOnce(&A, P) -> Result<T, Failure> + Send + 'static,
{
    call_with::<M, A, P, T, _>(actor, options, params, ByRef(run))
}

/// Calls an `async fn` with `&self`.
pub fn call_async<M, A, P, T, F>(
    actor: &Actor<A>,
    options: CallOptions,
    params: P,
    run: F,
) -> Ref<T>
where
    M: Function,
    A: ActorType,
    P: Params,
    T: Send + Sync + 'static,
    F: AsyncFnOnce(&A, P) -> Result<T, Failure> + Send + 'static,
{
    call_with::<M, A, P, T, _>(actor, options, params, ByAsync(run))
}

/// Calls an `async fn` with `&mut self`.
pub fn call_async_mut<M, A, P, T, F>(
    actor: &Actor<A>,
    options: CallOptions,
    params: P,
    run: F,
) -> Ref<T>
where
    M: Function,
    A: ActorType,
    P: Params,
    T: Send + Sync + 'static,
    F: AsyncFnOnce(&mut A, P) -> Result<T, Failure> + Send + 'static,
{
    call_with::<M, A, P, T, _>(actor, options, params, ByAsyncMut(run))
}

/// Calls a method with `&mut self` and several results.
pub fn call_many_mut<M, A, P, R, F>(
    actor: &Actor<A>,
    options: CallOptions,
    params: P,
    run: F,
) -> R::Refs
where
    M: Function,
    A: ActorType,
    P: Params,
    R: Returns,
    F: FnOnce(&mut A, P) -> Result<R, Failure> + Send + 'static,
{
    let (promises, refs) = R::promise();
    if actor.block().remote.is_some() {
        settle_when_done(
            call_with::<M, A, P, R, _>(actor, options, params, ByMut(run)),
            promises,
        );
        return refs;
    }
    let many = move |this: &mut A, params: P| {
        let outcome = settled::<M, R>(|| run(this, params));
        let result = outcome.as_ref().map(|_| ()).map_err(Clone::clone);
        settle(promises, outcome);
        result.map_err(|fault| Failure(crate::task::failure::Kind::Runtime(fault)))
    };
    drop(call::<M, A, P, (), _>(actor, params, ByMut(many)));
    refs
}

/// Calls a method with `&self` and several results.
pub fn call_many_ref<M, A, P, R, F>(
    actor: &Actor<A>,
    options: CallOptions,
    params: P,
    run: F,
) -> R::Refs
where
    M: Function,
    A: ActorType,
    P: Params,
    R: Returns,
    F: FnOnce(&A, P) -> Result<R, Failure> + Send + 'static,
{
    let (promises, refs) = R::promise();
    if actor.block().remote.is_some() {
        settle_when_done(
            call_with::<M, A, P, R, _>(actor, options, params, ByRef(run)),
            promises,
        );
        return refs;
    }
    let many = move |this: &A, params: P| {
        let outcome = settled::<M, R>(|| run(this, params));
        let result = outcome.as_ref().map(|_| ()).map_err(Clone::clone);
        settle(promises, outcome);
        result.map_err(|fault| Failure(crate::task::failure::Kind::Runtime(fault)))
    };
    drop(call::<M, A, P, (), _>(actor, params, ByRef(many)));
    refs
}

/// Calls a streaming method with `&mut self`.
pub fn call_stream_mut<M, A, P, T, F>(
    actor: &Actor<A>,
    _: CallOptions,
    params: P,
    run: F,
) -> RefStream<T>
where
    M: Function,
    A: ActorType,
    P: Params,
    T: Send + Sync + 'static,
    F: FnOnce(&mut A, P, Emit<'_, T>) -> Result<(), Failure> + Send + 'static,
{
    call_stream::<M, A, P, T, _, true>(actor, params, StreamMut(run))
}

/// Calls a streaming method with `&self`.
pub fn call_stream_ref<M, A, P, T, F>(
    actor: &Actor<A>,
    _: CallOptions,
    params: P,
    run: F,
) -> RefStream<T>
where
    M: Function,
    A: ActorType,
    P: Params,
    T: Send + Sync + 'static,
    F: FnOnce(&A, P, Emit<'_, T>) -> Result<(), Failure> + Send + 'static,
{
    call_stream::<M, A, P, T, _, false>(actor, params, StreamRef(run))
}

/// What `restore` may return.
#[diagnostic::on_unimplemented(
    message = "`restore` cannot return `{Self}`",
    note = "it makes the actor: `-> Option<Self>`, `-> Result<Self, E>` or `-> Self`"
)]
pub trait Restored<A> {
    /// The actor, or why there is none.
    fn actor(self) -> Result<A, Failure>;
}

impl<A> Restored<A> for A {
    fn actor(self) -> Result<A, Failure> {
        Ok(self)
    }
}

impl<A> Restored<A> for Option<A> {
    fn actor(self) -> Result<A, Failure> {
        self.ok_or_else(|| user_error("`restore` gave None"))
    }
}

impl<A, E: ErrorValue> Restored<A> for Result<A, E> {
    fn actor(self) -> Result<A, Failure> {
        self.map_err(user_error)
    }
}

/// What `restore` returned.
pub fn restored<A, R: Restored<A>>(made: R) -> Result<A, Failure> {
    made.actor()
}

/// Calls the method `save`, whose marker is `M`.
pub fn save<M: Function>(incoming: &mut Incoming<'_>) -> crate::Result<Answering> {
    match M::META.entry {
        Some(entry) => (entry.invoke)(incoming),
        None => unreachable!("a class with checkpoints is not `local`"),
    }
}

/// Makes an actor of what its `save` gave.
pub fn restore<A, S, F>(incoming: &mut Incoming<'_>, make: F) -> crate::Result<Answering>
where
    A: ActorType,
    S: crate::Value,
    F: FnOnce(S) -> Result<A, Failure> + Send + 'static,
{
    let saved = incoming.argument::<S>("saved")?;
    incoming.end()?;
    let options = incoming.options();
    let params = (IntoArg::<S>::into_holder(saved),);
    let made = create_with_end::<A, _, _>(options, params, move |(saved,)| {
        make(Arg::<S>::value(saved, 0)?)
    });
    Ok(Answering::actor(made))
}

/// Makes the methods type of a handle.
#[doc(hidden)]
#[macro_export]
macro_rules! __method_table {
    ($actor:ty, $table:ident) => {
        #[doc(hidden)]
        #[repr(transparent)]
        pub struct $table($crate::__private::RawActor<$actor>);
        // SAFETY: the type above is repr(transparent) over `RawActor<$actor>`.
        unsafe impl $crate::__private::MethodTable<$actor> for $table {}
    };
}

pub use crate::__method_table as method_table;
