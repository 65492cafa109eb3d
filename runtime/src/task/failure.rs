//! How a function ended when it did not give a value, before it becomes an [`Error`]; and the end of
//! values that nobody gets.
//!
//! - UD-1 a destructor of a user that panics where maser drops the value ends in [`discard`], on
//!   any thread: whether maser or the holder of a ref drops a value last is a matter of timing. Its
//!   panic is an entry of the node's list of errors.

use crate::error::{Cause, Error, Fault, Outcome, TaskError};
use crate::node::Node;
use std::any::{Any, type_name};
use std::cell::RefCell;
use std::mem::needs_drop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What the code around a user's function hands back instead of a value.
#[derive(Debug)]
pub struct Failure(pub(crate) Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    /// Argument `index` was an error.
    Argument { index: usize, fault: Fault },
    /// The function returned this.
    Returned(Box<dyn std::error::Error + Send + Sync>),
    /// maser ended it.
    Runtime(Fault),
    /// The error as everybody is to see it.
    Settled { fault: Fault, began_here: bool },
}

impl Failure {
    pub(crate) fn argument(index: usize, fault: Fault) -> Self {
        Self(Kind::Argument { index, fault })
    }

    pub(crate) fn runtime(error: Error) -> Self {
        Self(Kind::Runtime(Fault::new(error)))
    }

    /// The error that everybody sees who waits for `function`, and whether it began here.
    #[cold]
    pub(crate) fn into_fault(self, function: &str, actor: Option<String>) -> (Fault, bool) {
        let seen = |error: &Error, argument| match error {
            Error::Task(task) => Error::Task(task.through(function, argument)),
            other => {
                let task = TaskError::new(
                    function,
                    actor.clone(),
                    Cause::Runtime(Arc::new(other.clone())),
                );
                Error::Task(match argument {
                    Some(_) => task.at_argument(argument),
                    None => task,
                })
            }
        };
        match self.0 {
            Kind::Argument { index, fault } => (Fault::new(seen(&fault.0, Some(index))), false),
            Kind::Runtime(fault) => (fault, true),
            Kind::Settled { fault, began_here } => (fault, began_here),
            Kind::Returned(error) => match error.downcast::<Error>() {
                Ok(error) => {
                    let began_here = !matches!(*error, Error::Task(_));
                    (Fault::new(seen(&error, None)), began_here)
                }
                Err(error) => {
                    let cause = Cause::Returned(Arc::from(error));
                    (
                        Fault::new(Error::Task(TaskError::new(function, actor, cause))),
                        true,
                    )
                }
            },
        }
    }
}

thread_local! {
    static WHY_UNSTARTED: RefCell<Option<Fault>> = const { RefCell::new(None) };
}

/// Drops what a function was to run with, which it never will. The results and streams that it
/// was to fill are among it and end with `why`.
#[cold]
pub(crate) fn drop_unstarted<J>(job: J, why: &Fault) {
    let outer = WHY_UNSTARTED.with(|slot| slot.replace(Some(why.clone())));
    discard(job);
    WHY_UNSTARTED.with(|slot| slot.replace(outer));
}

/// Why the function that is being dropped on this thread never ran.
#[cold]
pub(crate) fn why_unstarted() -> Option<Fault> {
    WHY_UNSTARTED.with(|slot| slot.borrow().clone())
}

/// Drops a value of a user (UD-1).
#[inline]
pub(crate) fn discard<V>(value: V) {
    if needs_drop::<V>() {
        discard_with(type_name::<V>, || drop(value));
    }
}

/// Whether dropping `outcome` may run code of a user; errors may hold a user's error.
#[inline(always)]
pub(crate) fn has_destructor<T>(outcome: &Outcome<T>) -> bool {
    needs_drop::<T>() || outcome.is_err()
}

/// Runs `drop`, which drops a value of the type `of` (UD-1).
#[inline(never)]
pub(crate) fn discard_with(of: impl FnOnce() -> &'static str, drop: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(drop)) {
        destructor_panicked(payload, of());
    }
}

#[cold]
fn destructor_panicked(payload: Box<dyn Any + Send>, of: &str) {
    let fault = panicked(payload, &format!("Drop of {of}"), None);
    if let Ok(node) = Node::current("recording an error") {
        node.errors.record(&fault.0);
    }
}

/// Drops what a panic was begun with, which may panic in turn. What that one was begun with is
/// leaked: there is no end to it.
#[cold]
pub(crate) fn discard_payload(payload: Box<dyn Any + Send>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(another);
    }
}

/// Unwinds a task that was cancelled where it yields; never seen by user code that does not catch.
pub(crate) struct Unwind(pub(crate) Error);

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Remembers where the panic of a task was; called by the panic hook on its thread.
pub(crate) fn note_panic_location(location: String) {
    LAST_PANIC.with(|last| *last.borrow_mut() = Some(location));
}

/// The error of `function`, which panicked with `payload`.
#[cold]
pub(crate) fn panicked(
    payload: Box<dyn Any + Send>,
    function: &str,
    actor: Option<String>,
) -> Fault {
    let payload = match payload.downcast::<Unwind>() {
        Ok(unwind) => return Fault::new(unwind.0),
        Err(payload) => payload,
    };
    let message = if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a value that is not a string".to_owned()
    };
    let location = LAST_PANIC
        .with(|last| last.borrow_mut().take())
        .unwrap_or_else(|| "?".into());
    discard_payload(payload);
    Fault::new(Error::Task(TaskError::new(
        function,
        actor,
        Cause::Panicked { message, location },
    )))
}
