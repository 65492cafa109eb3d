//! Running a task again after an error of its own.
//!
//! - TA-1 the arguments are encoded once, before the first run; each further run is a call of the
//!   function with fresh values from these bytes. So the function may use its arguments up, and no
//!   run sees what another did to them.
//! - TA-2 what is not an error of the function itself is not tried again: an argument that is an
//!   error, a cancellation, the end of the runtime.
//! - TA-3 a task that another process runs for us is tried once there: who asked tries again.
//! - TA-4 each run that fails is an entry of `error_info`.
#![allow(unsafe_code, reason = "reads the cell of a task that runs")]

use super::args::Params;
use super::failure::{Failure, Kind, panicked};
use super::meta::{Function, Meta};
use super::options::MAX_RETRIES;
use super::portable;
use super::raw::Header;
use crate::actor::create::ActorOptions;
use crate::error::{Cause, Error, Fault, Outcome, Result};
use crate::executor::local::Local;
use crate::executor::wait::wait_done;
use crate::node::Node;
use crate::object::scope::{self, Table};
use crate::worker::incoming::{Answer, Incoming, Kind as Given};
use crate::worker::parcel::Parcel;
use crate::worker::pool::Stays;
use crate::worker::values;
use crate::worker::wire_error::ErrorCodec;
use std::any::type_name;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

/// Whether an error is of some type.
type Is = fn(&Error) -> bool;

/// After which of its own errors a task runs again.
///
/// ```
/// use maser::RetryErrors;
/// let all = RetryErrors::All;
/// let two = RetryErrors::of::<std::io::Error>().or::<std::fmt::Error>();
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum RetryErrors {
    /// After none.
    #[default]
    Never,
    /// After every error and every panic.
    All,
    /// After errors of these types.
    #[doc(hidden)]
    Types(Vec<ErrorKind>),
}

/// A type of errors.
#[doc(hidden)]
#[derive(Clone)]
pub enum ErrorKind {
    /// Known here; its name is for other processes.
    Here(Is, fn() -> &'static str),
    /// Of a task that another process made.
    Named(String, Option<&'static ErrorCodec>),
}

impl ErrorKind {
    /// One of an attribute, which all processes know.
    fn of(is: Is) -> Self {
        Self::Here(is, || "")
    }

    /// Of a name that came (AO-1).
    pub(crate) fn named(name: String) -> Self {
        let codec = ErrorCodec::of(&name);
        Self::Named(name, codec)
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Here(_, name) => name(),
            Self::Named(name, _) => name,
        }
    }

    fn is(&self, error: &Error) -> bool {
        match self {
            Self::Here(is, _) => is(error),
            Self::Named(_, Some(codec)) => match error {
                Error::Task(task) => match task.cause() {
                    Cause::Returned(error) => codec.is_of(&**error),
                    _ => false,
                },
                _ => false,
            },
            Self::Named(name, None) => name == type_name::<Error>() && is::<Error>(error),
        }
    }
}

/// What the attribute says of it.
#[derive(Clone, Copy, Debug)]
pub enum Retried {
    /// Nothing.
    Never,
    /// `retry_errors`.
    All,
    /// `retry_errors = [A, B]`.
    Types(&'static [Is]),
}

impl From<Retried> for RetryErrors {
    fn from(retried: Retried) -> Self {
        match retried {
            Retried::Never => Self::Never,
            Retried::All => Self::All,
            Retried::Types(types) => {
                Self::Types(types.iter().copied().map(ErrorKind::of).collect())
            }
        }
    }
}

impl fmt::Debug for RetryErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("Never"),
            Self::All => f.write_str("All"),
            Self::Types(types) => f
                .debug_list()
                .entries(types.iter().map(ErrorKind::name))
                .finish(),
        }
    }
}

impl RetryErrors {
    /// After errors of type `E`.
    #[must_use]
    pub fn of<E: std::error::Error + 'static>() -> Self {
        Self::Types(vec![ErrorKind::Here(is::<E>, type_name::<E>)])
    }

    /// After errors of type `E` too.
    #[must_use]
    pub fn or<E: std::error::Error + 'static>(self) -> Self {
        match self {
            Self::All => Self::All,
            Self::Never => Self::of::<E>(),
            Self::Types(mut types) => {
                types.push(ErrorKind::Here(is::<E>, type_name::<E>));
                Self::Types(types)
            }
        }
    }

    /// Whether a task that ended with `error` runs again (TA-2).
    pub(crate) fn covers(&self, error: &Error) -> bool {
        let Error::Task(task) = error else {
            return false;
        };
        let is_its_own = task.is_first() && !matches!(task.cause(), Cause::Runtime(_));
        is_its_own
            && match self {
                Self::Never => false,
                Self::All => true,
                Self::Types(types) => types.iter().any(|kind| kind.is(error)),
            }
    }
}

/// Whether the error that a task returned is an `E`.
pub fn is<E: std::error::Error + 'static>(error: &Error) -> bool {
    error.downcast_ref::<E>().is_some()
}

/// The errors after which a task that stays in this process runs again; `None` if after none.
///
/// # Errors
/// [`Error::InvalidArgument`] if it cannot: its arguments have no bytes, or it gives a stream.
pub(crate) fn here(
    node: &Node,
    wanted: Option<&RetryErrors>,
    meta: &'static Meta,
    is_stream: bool,
) -> Result<Option<RetryErrors>> {
    let errors = match wanted {
        Some(errors) => errors.clone(),
        None => meta.defaults.retry_errors.into(),
    };
    if matches!(errors, RetryErrors::Never) {
        return Ok(None);
    }
    if meta.entry.is_none() {
        return Err(Error::InvalidArgument {
            argument: "retry_errors",
            problem: format!(
                "{} is `local`: its arguments cannot be made again",
                meta.name
            ),
            remedy: "remove `local`, or run it again yourself".into(),
        });
    }
    if is_stream {
        return Err(Error::InvalidArgument {
            argument: "retry_errors",
            problem: format!(
                "{} gives a stream, whose items are not taken back",
                meta.name
            ),
            remedy: "give the items as one value, or run it again yourself".into(),
        });
    }
    // TA-3.
    let is_asked = Local::current().is_some_and(|local| local.stays.get() == Stays::Here);
    Ok((!is_asked && !node.tasks_leave()).then_some(errors))
}

/// The error of a task that was run so often.
pub(crate) fn after_tries(fault: Fault, tries: u32) -> Fault {
    match &*fault.0 {
        Error::Task(task) if tries > 1 => Fault::new(Error::Task(task.after_tries(tries))),
        _ => fault,
    }
}

/// What a task was told about its errors.
pub(crate) struct Plan {
    cell: NonNull<Header>,
    errors: RetryErrors,
    retries: i32,
    name: String,
}

impl Plan {
    /// # Safety
    /// The task is starting, and its cell outlives the plan.
    pub(crate) unsafe fn of(cell: NonNull<Header>) -> Self {
        // SAFETY: the caller's promise.
        let (header, extra) = unsafe { (cell.as_ref(), cell.as_ref().extra.as_ref()) };
        let meta = header.meta();
        let retries = extra.and_then(|extra| extra.max_retries);
        let errors = extra.and_then(|extra| extra.retry_errors.clone());
        let name = extra.and_then(|extra| extra.name.clone());
        Self {
            cell,
            errors: errors.unwrap_or_default(),
            retries: retries.or(meta.defaults.max_retries).unwrap_or(MAX_RETRIES),
            name: name.unwrap_or_else(|| meta.name.to_owned()),
        }
    }

    fn is_cancelled(&self) -> bool {
        // SAFETY: the promise of `of`.
        unsafe { self.cell.as_ref() }
            .completion
            .is_cancel_requested()
    }
}

/// Runs a task as often as its plan says.
#[cold]
pub(crate) fn run<M: Function, P: Params, T: Send + Sync + 'static>(
    local: &Local,
    mut plan: Plan,
    params: P,
    function: impl FnOnce(P) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut parcel = Parcel::default();
    let encode = || values::arguments::<M, P>(&params, &mut parcel);
    let (encoded, mut table) = scope::beside(Table::new(), encode);
    encoded?;
    let inline = local.node.runs_inline();
    let first = || match inline {
        true => portable::call::<M, P, T>(params, function),
        false => function(params),
    };
    let mut outcome = guarded(&plan.name, first);
    let mut tries = 1;
    loop {
        let (fault, began_here) = match outcome {
            Ok(value) => return Ok(value),
            Err(failed) => failed,
        };
        let is_over = plan.is_cancelled() || local.node.is_closing();
        if is_over || plan.retries == 0 || !plan.errors.covers(&fault.0) {
            let fault = after_tries(fault, tries);
            return Err(Failure(Kind::Settled { fault, began_here }));
        }
        if tries == 1 && began_here {
            local.node.errors.record(&fault.0);
        }
        plan.retries = (plan.retries - 1).max(-1);
        tries = tries.saturating_add(1);
        let (next, used) = scope::beside(table, || call::<M>(local, &parcel.bytes));
        table = used;
        outcome = next
            .and_then(|answers| value::<M, T>(&answers))
            // It is remembered where it was run.
            .map_err(|fault| (fault, false));
    }
}

/// The outcome of one run, panics included, and whether an error began in it.
fn guarded<T>(
    name: &str,
    run: impl FnOnce() -> Result<T, Failure>,
) -> std::result::Result<T, (Fault, bool)> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(failure)) => Err(failure.into_fault(name, None)),
        Err(payload) => Err((panicked(payload, name, None), true)),
    }
}

/// Calls the function once more, with arguments from their bytes.
fn call<M: Function>(local: &Local, bytes: &[u8]) -> Outcome<Vec<Answer>> {
    let Some(entry) = M::META.entry else {
        unreachable!("`here` refused it");
    };
    let mut incoming = Incoming::new(M::META.name, bytes, None, ActorOptions::default());
    let given = Stays::Here.during(local, || (entry.invoke)(&mut incoming));
    match given?.0 {
        Given::One(answer) => Ok(vec![answer]),
        Given::Many(answers) => Ok(answers),
        Given::Stream(_) | Given::Actor(..) => {
            unreachable!("the macro refuses `retry_errors` of others")
        }
    }
}

/// Waits for the parts of a result, and puts them together.
fn value<M: Function, T: 'static>(answers: &[Answer]) -> Outcome<T> {
    for answer in answers {
        wait_done(answer.cell(), None)?;
    }
    let mut parcel = Parcel::default();
    let through = || {
        answers
            .iter()
            .try_for_each(|answer| answer.encode(&mut parcel))?;
        values::result::<M, T>(&parcel.bytes)
    };
    scope::beside(Table::new(), through).0
}
