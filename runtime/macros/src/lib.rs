//! The attribute macros of maser: `#[maser::task]`, `#[maser::actor]` and `#[maser::main]`.
//!
//! A macro leaves the user's item as it was written and puts generated items beside it:
//!
//! | attribute | beside the item |
//! |---|---|
//! | `task` on `fn add` | a type `add {}` (functions and types have different name spaces) with `remote`, `options`, `bind` |
//! | `actor` on `impl Echo` | `Echo::remote`, `Echo::options`, `impl ActorType for Echo` and the methods of the handle |
//! | `main` on `fn main` | nothing: the body becomes the root task |
//!
//! - MAC-1 generated code names things through `::maser` and `::core` alone: no import is needed, and nothing the user
//!   has in scope can change its meaning.
//! - MAC-2 everything but the type of a task stands in `const _`, with names that start with two underscores: an item
//!   works inside a function body, and no generated name hides one of the user's.
//! - MAC-3 parameters keep the names the user gave them but not their hygiene: a parameter called as its own function
//!   hides nothing.
//! - MAC-4 a rule that is broken is an error on the offending token which says the rule and the remedy, and the user's
//!   item is still emitted, so that one mistake is one error.
//! - MAC-5 every argument and result type is asserted to be `Value` (`LocalValue` with `local`) on the user's own tokens.
//! - MAC-6 generated code holds no `unsafe`.
//! - MAC-7 generated documentation holds no code block: it would run again as a test of the user's crate.
//! - MAC-8 what only `bind` demands (`GraphValue`) is checked where `bind` is called, and what `remote` demands of a
//!   result is checked by MAC-5 alone.
//!
//! Proofs: `runtime/tests/ui/` (what is accepted, and every error text), `runtime/tests/macros.rs` (what it does).

#![deny(unsafe_code)]

mod actor;
mod args;
mod borrowed;
mod bounds;
mod checkpoint;
mod entry;
mod errors;
mod main_fn;
mod method;
mod options;
mod output;
mod param;
mod rules;
mod self_type;
mod task;

use proc_macro::TokenStream;

/// Makes a function a task: something that can be started on any scheduler.
///
/// The function itself stays and is called as before. Beside it comes a type of the same name, with
/// `remote(..)` (start it, get a `Ref` to the result), `options()` (the same after setting resources, retries, a name)
/// and `bind(..)` (make it a step of a graph). Each argument of `remote` is a value or a `Ref` to one.
///
/// Arguments and results are `maser::Value`s. A parameter `&T`, `&str` or `&[T]` reads the object in place, without
/// a clone. A function that returns a `Result` gives a `Ref` to the value in it, and its error is the task's error.
///
/// # Arguments
///
/// | argument | meaning | default |
/// |---|---|---|
/// | `num_cpus = 2` | schedulers the task takes while it runs | 1 |
/// | `num_gpus = 0.5` | GPUs it takes | 0 |
/// | `max_retries = 3` | how often it is started again when its worker dies; -1 = without limit | the runtime's |
/// | `retry_errors` | it runs again after its own errors and panics too; `retry_errors = [A, B]`: after errors of these types | never |
/// | `max_calls = 10` | its worker process is replaced after that many calls; 0 = never | 0 |
/// | `num_returns = 2` | the function returns a tuple of that length (up to 8), and each part has a `Ref` of its own | 1 |
/// | `stream` | the function returns an iterator, and each item has a `Ref` of its own as soon as it is made | |
/// | `local` | values need not be `Serialize`; the task stays in this process | |
#[proc_macro_attribute]
pub fn task(args: TokenStream, item: TokenStream) -> TokenStream {
    task::expand(args.into(), item.into()).into()
}

/// Makes the methods of an `impl` block callable on an actor: a value that lives on one scheduler.
///
/// `fn new(..) -> Self` (or `-> Result<Self, E>`) is the constructor, called by `Type::remote(..)`, which gives the
/// handle, an `Actor<Type>`. Every method with `&mut self` or `&self`, `async` ones too, is a method of the
/// handle: `a.echo().remote(..)` calls it, `a.echo().bind(..)` makes it a step of a graph. Other functions without
/// `self`, constants and types stay as they are.
///
/// # Arguments
///
/// | argument | meaning | default |
/// |---|---|---|
/// | `num_cpus = 2` | schedulers the actor takes for as long as it lives | 0 |
/// | `num_gpus = 0.5` | GPUs it takes | 0 |
/// | `max_concurrency = 4` | how many `&self` calls may be under way at once | 1; 1000 for `async` ones |
/// | `max_restarts = 3` | how often it is made again, in a new process, when its process died; -1 = without limit | 0; -1 with `checkpoint_interval` |
/// | `max_task_retries = 1` | how often a call that had no answer by then is sent again; -1 = without limit | 0 |
/// | `checkpoint_interval = 10` | its state is saved after every that many calls, and it is made again from there | |
/// | `local` | values need not be `Serialize`; the actor stays in this process | |
///
/// With `checkpoint_interval` the block has a method `save(&self) -> S` and a function `restore(saved: S) -> Option<Self>`
/// (or `-> Result<Self, E>`, or `-> Self`). Saved state is kept outside of the actor's process, with the calls after it: an
/// actor that is made again by `restore` runs these again and goes on. Restarts and checkpoints are for actors in
/// processes of their own; a thread's guest has the same attribute and shares the fate of its process.
///
/// On a method: `#[maser(num_returns = 2)]` and `#[maser(stream)]` as for `task`, `#[maser(max_task_retries = 1)]`, and `#[maser(skip)]` for one that
/// is not called from outside.
#[proc_macro_attribute]
pub fn actor(args: TokenStream, item: TokenStream) -> TokenStream {
    actor::expand(args.into(), item.into()).into()
}

/// Makes the main thread scheduler 0 and the body of `main` its first task.
///
/// It also turns this executable into a worker when it is started as one. Knobs are set where the runtime is
/// started, with `maser::Config`.
#[proc_macro_attribute]
pub fn main(args: TokenStream, item: TokenStream) -> TokenStream {
    main_fn::expand(args.into(), item.into()).into()
}
