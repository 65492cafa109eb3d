//! Tasks and methods that give a stream of values, one ref at a time, with back-pressure.
#![allow(
    unsafe_code,
    reason = "streaming methods run on type-erased actor states"
)]

use super::args::Params;
use super::failure::Failure;
use super::meta::Function;
use super::options::TaskOptions;
use super::portable;
use super::spawn::{spawn_elsewhere, spawn_with};
use crate::actor::call::{Method, call};
use crate::actor::core::{Access, ActorCore};
use crate::actor::elsewhere::call_elsewhere;
use crate::actor::handle::{Actor, ActorType};
use crate::error::{Error, Fault, Outcome, Result};
use crate::executor::gate::Gate;
use crate::executor::local::Local;
use crate::executor::wait::interrupted;
use crate::node::Node;
use crate::object::reference::Ref;
use crate::wait_graph::{Awaited, Needs};
use crate::worker::stream::{Producer, Sink};
use std::cell::Cell;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Values that may lie between producer and consumer.
const WINDOW: usize = crate::worker::stream::WINDOW;

struct State<T> {
    items: VecDeque<Ref<T>>,
    /// The producer will add no more.
    ended: bool,
    /// The consumer is gone.
    abandoned: bool,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    gate: Gate,
    /// Of a stream that another process makes.
    producer: Option<Arc<Producer>>,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The values of a streaming task or method, in their order: an iterator of refs.
///
/// The producer runs ahead by at most 16 values; dropping the stream ends it at its next value. An
/// error of the producer is the last item.
pub struct RefStream<T: Send + Sync + 'static> {
    shared: Arc<Shared<T>>,
    name: &'static str,
    /// The end of the producer, once it is known.
    producer: Option<Ref<()>>,
    /// Waiting itself failed, which was the last item.
    broken: bool,
}

/// The producer's end.
pub(crate) struct Emitter<T: Send + Sync + 'static> {
    shared: Arc<Shared<T>>,
    name: &'static str,
    started: Cell<bool>,
}

impl<T: Send + Sync + 'static> RefStream<T> {
    fn new(name: &'static str, producer: Option<Arc<Producer>>) -> (Emitter<T>, Self) {
        let state = State {
            items: VecDeque::new(),
            ended: false,
            abandoned: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            gate: Gate::default(),
            producer,
        });
        (
            Emitter {
                shared: shared.clone(),
                name,
                started: Cell::new(false),
            },
            Self {
                shared,
                name,
                producer: None,
                broken: false,
            },
        )
    }

    /// While the producer cannot go on there is no value either.
    fn needs(&self) -> Option<Needs> {
        let producer = self.producer.as_ref()?;
        Some(Needs::One(Awaited::Task(producer.cell())))
    }

    fn try_next(&self) -> Option<Option<Ref<T>>> {
        let mut state = self.shared.lock();
        if let Some(item) = state.items.pop_front() {
            drop(state);
            self.shared.gate.notify_all();
            if let Some(producer) = &self.shared.producer {
                producer.was_taken();
            }
            return Some(Some(item));
        }
        state.ended.then_some(None)
    }

    /// The next value, waiting no longer than `limit`; `Ok(None)` at the end.
    ///
    /// # Errors
    /// [`Error::Timeout`]; [`Error::WaitCycle`], [`Error::Cancelled`] and [`Error::ShutDown`] as for
    /// [`Ref::get`].
    pub fn next_timeout(&mut self, limit: Duration) -> Result<Option<Ref<T>>> {
        self.shared
            .gate
            .wait_for(self.name, Some(limit), || self.needs(), || self.try_next())?
            .ok_or_else(|| Error::Timeout {
                what: "the next value of a stream".into(),
                from_whom: self.name.into(),
                waited: limit,
                knob: "the timeout argument",
            })
    }
}

impl<T: Send + Sync + 'static> Iterator for RefStream<T> {
    type Item = Ref<T>;

    /// Waits for the next value.
    fn next(&mut self) -> Option<Ref<T>> {
        if self.broken {
            return None;
        }
        let next = self
            .shared
            .gate
            .wait_for(self.name, None, || self.needs(), || self.try_next());
        match next {
            Ok(next) => next.flatten(),
            Err(error) => {
                self.broken = true;
                Some(Ref::done(Err(Fault::new(error))))
            }
        }
    }
}

impl<T: Send + Sync + 'static> Drop for RefStream<T> {
    fn drop(&mut self) {
        self.shared.lock().abandoned = true;
        self.shared.gate.notify_all();
        if let Some(producer) = &self.shared.producer {
            producer.stop();
        }
    }
}

impl<T: Send + Sync + 'static> Emitter<T> {
    /// Adds a value, waiting while the window is full; false if nobody wants more. Counts as a
    /// wait also when it does not: the producer ends here if it was cancelled or its actor died.
    fn emit(&self, outcome: Outcome<T>) -> Result<bool> {
        if let Some(local) = Local::current() {
            interrupted(local, self.name)?;
        }
        let mut outcome = Some(outcome);
        let emitted = self.shared.gate.wait("a stream's consumer", None, || {
            let mut state = self.shared.lock();
            if state.abandoned {
                return Some(false);
            }
            if state.items.len() >= WINDOW {
                return None;
            }
            state.items.extend(outcome.take().map(Ref::done));
            Some(true)
        })?;
        self.shared.gate.notify_all();
        Ok(emitted.unwrap_or(false))
    }

    /// Adds a last value however full it is.
    fn end_with(&self, outcome: Outcome<T>) {
        self.shared.lock().items.push_back(Ref::done(outcome));
    }
}

impl<T: Send + Sync + 'static> Drop for Emitter<T> {
    fn drop(&mut self) {
        if !self.started.get() {
            let why = super::failure::why_unstarted().unwrap_or_else(|| {
                Fault::new(Error::ObjectLost {
                    what: format!("the stream of {}", self.name),
                    reason: "its producer ended before it began".into(),
                })
            });
            self.end_with(Err(why));
        }
        self.shared.lock().ended = true;
        self.shared.gate.notify_all();
    }
}

/// What becomes of an item before it is emitted (PB-1).
fn sender<M: Function, T: 'static>() -> fn(T) -> std::result::Result<T, Failure> {
    match portable::applies_to::<M>() {
        true => |value| portable::result::<M, T>(0, value),
        false => Ok,
    }
}

/// Emits what `items` gives until it ends, fails or nobody wants more.
fn pump<M: Function, T: Send + Sync + 'static>(
    emitter: &Emitter<T>,
    items: impl Iterator<Item = std::result::Result<T, Failure>>,
) -> std::result::Result<(), Failure> {
    let send = sender::<M, T>();
    for item in items {
        match item.and_then(send) {
            Ok(value) => {
                if !emitter.emit(Ok(value)).map_err(Failure::runtime)? {
                    return Ok(());
                }
            }
            Err(failure) => {
                emitter.end_with(Err(failure.into_fault(M::META.name, None).0));
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Runs `body`; whatever ends it other than its own end is the stream's last item.
fn produce<M: Function, T: Send + Sync + 'static>(
    emitter: Emitter<T>,
    body: impl FnOnce(&Emitter<T>) -> std::result::Result<(), Failure>,
) -> std::result::Result<(), Failure> {
    emitter.started.set(true);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(&emitter)));
    let fault = match result {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(failure)) => failure.into_fault(M::META.name, None).0,
        Err(payload) => super::failure::panicked(payload, M::META.name, None),
    };
    emitter.end_with(Err(fault.clone()));
    Err(Failure(super::failure::Kind::Runtime(fault)))
}

/// Starts a streaming task.
pub fn spawn_stream<M, P, T, I, F>(mut options: TaskOptions, params: P, run: F) -> RefStream<T>
where
    M: Function,
    P: Params,
    T: Send + Sync + 'static,
    I: Iterator<Item = std::result::Result<T, Failure>>,
    F: FnOnce(P) -> std::result::Result<I, Failure> + Send + 'static,
{
    options.is_stream = true;
    if Node::current("starting a task").is_ok_and(|node| node.tasks_leave())
        && M::META.entry.is_some()
    {
        let (sink, way, mut stream) = from_elsewhere::<M, T>();
        let nothing = move |_: P| Ok(());
        stream.producer = Some(spawn_elsewhere::<M, P, (), _>(
            options, params, nothing, sink, way,
        ));
        return stream;
    }
    let (emitter, mut stream) = RefStream::new(M::META.name, None);
    let producer = spawn_with::<M, P, (), _>(options, params, move |params| {
        produce::<M, T>(emitter, |emitter| pump::<M, T>(emitter, run(params)?))
    });
    stream.producer = Some(producer);
    stream
}

/// The sink of a stream that another process makes: decodes the items of `M`.
struct FromElsewhere<M, T: Send + Sync + 'static> {
    emitter: Emitter<T>,
    /// The last item came.
    complete: bool,
    function: PhantomData<fn() -> M>,
}

impl<M: Function, T: Send + Sync + 'static> Sink for FromElsewhere<M, T> {
    fn item(&mut self, item: Outcome<&[u8]>) {
        if self.complete {
            return;
        }
        let item = item.and_then(|bytes| {
            let codec = M::META.codec.and_then(|codec| codec.results.first());
            let mut value = None;
            let decoded = match codec {
                Some(codec) => codec.decode(bytes, &mut value),
                None => Err("the function is `local`".to_owned()),
            };
            match (decoded, value) {
                (Ok(()), Some(value)) => Ok(value),
                (Err(problem), _) => Err(problem),
                (Ok(()), None) => Err("it is of another type".to_owned()),
            }
            .map_err(|problem| {
                Fault::new(Error::NotPortable {
                    function: M::META.name.into(),
                    value: "an item".into(),
                    problem,
                })
            })
        });
        self.complete = item.is_err();
        self.emitter.end_with(item);
        self.emitter.shared.gate.notify_all();
    }

    fn is_complete(&mut self) {
        self.complete = true;
    }
}

/// A stream whose items come from another process.
fn from_elsewhere<M: Function, T: Send + Sync + 'static>()
-> (Box<dyn Sink>, Arc<Producer>, RefStream<T>) {
    let producer = Arc::new(Producer::default());
    let (emitter, stream) = RefStream::new(M::META.name, Some(producer.clone()));
    emitter.started.set(true);
    let sink = FromElsewhere::<M, T> {
        emitter,
        complete: false,
        function: PhantomData,
    };
    (Box::new(sink), producer, stream)
}

/// A streaming method as a method.
struct Streaming<M, T: Send + Sync + 'static, F, const EXCLUSIVE: bool> {
    emitter: Emitter<T>,
    run: F,
    function: PhantomData<fn() -> M>,
}

impl<M, A, P, T, F, const EXCLUSIVE: bool> Method<A, P, ()> for Streaming<M, T, F, EXCLUSIVE>
where
    M: Function,
    T: Send + Sync + 'static,
    F: StreamBody<A, P, T>,
{
    const ACCESS: Access = if EXCLUSIVE {
        Access::Exclusive
    } else {
        Access::Shared
    };
    unsafe fn invoke(
        self,
        state: *mut A,
        params: P,
        _: NonNull<ActorCore>,
    ) -> std::result::Result<(), Failure> {
        let run = self.run;
        produce::<M, T>(self.emitter, |emitter| {
            let mut broken = None;
            let send = sender::<M, T>();
            let mut emit = |item: std::result::Result<T, Failure>| match item.and_then(send) {
                Ok(value) => match emitter.emit(Ok(value)) {
                    Ok(more) => more,
                    Err(error) => {
                        broken = Some(Failure::runtime(error));
                        false
                    }
                },
                Err(failure) => {
                    emitter.end_with(Err(failure.into_fault(M::META.name, None).0));
                    false
                }
            };
            // SAFETY: AC-3 for the access.
            unsafe { run.run(state, params, &mut emit)? };
            broken.map_or(Ok(()), Err)
        })
    }
}

/// Gets an item out; false when no more are wanted.
pub type Emit<'a, T> = &'a mut dyn FnMut(std::result::Result<T, Failure>) -> bool;

/// The code of a streaming method.
pub trait StreamBody<A, P, T>: Send + 'static {
    /// # Safety
    /// AC-3 for the access it is called with.
    #[doc(hidden)]
    unsafe fn run(
        self,
        state: *mut A,
        params: P,
        emit: Emit<'_, T>,
    ) -> std::result::Result<(), Failure>;
}

/// `&mut self`.
pub struct StreamMut<F>(pub F);
/// `&self`.
pub struct StreamRef<F>(pub F);

impl<A, P, T, F> StreamBody<A, P, T> for StreamMut<F>
where
    F: FnOnce(&mut A, P, Emit<'_, T>) -> std::result::Result<(), Failure> + Send + 'static,
{
    unsafe fn run(
        self,
        state: *mut A,
        params: P,
        emit: Emit<'_, T>,
    ) -> std::result::Result<(), Failure> {
        // SAFETY: AC-3, nothing else of the actor runs.
        (self.0)(unsafe { &mut *state }, params, emit)
    }
}

impl<A, P, T, F> StreamBody<A, P, T> for StreamRef<F>
where
    F: FnOnce(&A, P, Emit<'_, T>) -> std::result::Result<(), Failure> + Send + 'static,
{
    unsafe fn run(
        self,
        state: *mut A,
        params: P,
        emit: Emit<'_, T>,
    ) -> std::result::Result<(), Failure> {
        // SAFETY: AC-3, only others with `&self` run.
        (self.0)(unsafe { &*state }, params, emit)
    }
}

/// Calls a streaming method.
pub(crate) fn call_stream<M, A, P, T, F, const EXCLUSIVE: bool>(
    actor: &Actor<A>,
    params: P,
    run: F,
) -> RefStream<T>
where
    M: Function,
    A: ActorType,
    P: Params,
    T: Send + Sync + 'static,
    F: StreamBody<A, P, T>,
{
    if actor.block().remote.is_some() {
        let (sink, way, mut stream) = from_elsewhere::<M, T>();
        stream.producer = Some(call_elsewhere::<M, A, P>(actor, params, sink, way));
        return stream;
    }
    let (emitter, mut stream) = RefStream::new(M::META.name, None);
    let method = Streaming::<M, T, F, EXCLUSIVE> {
        emitter,
        run,
        function: PhantomData,
    };
    stream.producer = Some(call::<M, A, P, (), _>(actor, params, method));
    stream
}
