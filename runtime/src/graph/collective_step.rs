//! The two kinds of steps of a collective (CN-1): the one that makes one of all, and the shares.
//!
//! - CN-3 what is large is made by all shares together, in pieces. A share waits for nothing but pieces
//!   that others of this process are making, so it never waits for a step.

use super::segment::{Place, Step};
use super::slot::{GraphValue, Reader, Slot};
use super::source::InputFault;
use crate::actor::core::Access;
use crate::collective::combine::{Naming, Shared, combine};
use crate::collective::make::Made;
use crate::collective::work::{Step as Piece, Work};
use crate::collective::{CollectiveValue, Contribution, Operation, Who};
use crate::error::Error;
use crate::executor::gate::Gate;
use crate::executor::local::{Frame, Local};
use crate::task::failure::Failure;
use crate::task::meta::Function;
use crate::task::spawn::run_guarded;
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::null;
use std::sync::{Arc, OnceLock};

/// What a collective came to, for all its members.
#[derive(Clone)]
pub(crate) enum Combined {
    Done(Shared),
    /// What there is left to do (CN-3).
    Left(Arc<Left>),
}

/// Work of all members, and what came of it.
pub(crate) struct Left {
    work: Arc<dyn Work>,
    shared: OnceLock<Shared>,
    gate: Gate,
}

impl Left {
    fn finish(&self) -> crate::error::Result<Shared> {
        loop {
            match self.work.step() {
                Piece::Done => {}
                Piece::Last(shared) => {
                    let shared = self.shared.get_or_init(|| shared).clone();
                    self.gate.notify_all();
                    return Ok(shared);
                }
                Piece::Nothing => break,
            }
        }
        let what = "the pieces of a collective";
        let made = self.gate.wait(what, None, || self.shared.get().cloned())?;
        Ok(made.unwrap_or_else(|| unreachable!("there is no limit")))
    }
}

impl Combined {
    /// What `rank` gets.
    pub(crate) fn share<T: CollectiveValue>(self, rank: usize) -> Result<T, Failure> {
        let shared = match self {
            Self::Done(shared) => shared,
            Self::Left(left) => left.finish().map_err(Failure::runtime)?,
        };
        let tensor = shared.of(rank);
        let tensor = tensor.map_or_else(
            || unreachable!("every member gets a tensor"),
            T::from_tensors,
        );
        tensor.map_err(Failure::runtime)
    }
}

/// A collective of a graph.
pub(crate) struct About {
    /// `#3 allreduce (sum)`.
    pub(crate) label: String,
    pub(crate) operation: Operation,
    /// By rank.
    pub(crate) who: Vec<Who>,
}

/// Makes one of the values of all members, by rank.
pub(crate) fn combined<T: CollectiveValue>(
    values: &[T],
    about: &About,
    run: u64,
) -> Result<Combined, Failure> {
    let operation = about.operation;
    let mut given = Vec::with_capacity(values.len());
    for (rank, value) in values.iter().enumerate() {
        let tensor = match operation.takes_from(rank) {
            true => Some(value.to_tensors().map_err(Failure::runtime)?),
            false => None,
        };
        given.push(Contribution::Part(operation, tensor));
    }
    let naming = Naming {
        group: &about.label,
        number: run,
        who: &|rank| about.who[rank].clone(),
    };
    match combine(given, &naming) {
        Ok(Made::Done(shared)) => Ok(Combined::Done(shared)),
        Ok(Made::Left(work)) => Ok(Combined::Left(Arc::new(Left {
            work,
            shared: OnceLock::new(),
            gate: Gate::default(),
        }))),
        Err(error) => Err(Failure::runtime(Error::Collective(error))),
    }
}

/// The step of all members.
#[repr(align(128))]
pub(crate) struct Combine<F, T> {
    inputs: Vec<Reader<T>>,
    about: Arc<About>,
    out: Arc<Slot<Combined>>,
    function: PhantomData<fn(F)>,
}

impl<F, T> Combine<F, T> {
    pub(crate) fn new(inputs: Vec<Reader<T>>, about: Arc<About>, out: Arc<Slot<Combined>>) -> Self {
        Self {
            inputs,
            about,
            out,
            function: PhantomData,
        }
    }
}

fn frame<F: Function>(local: &Local) -> Frame {
    Frame {
        header: null(),
        meta: F::META,
        actor: null(),
        access: Access::Exclusive,
        ticket: null(),
        below: local.frame.get(),
        mark: Cell::default(),
    }
}

impl<F: Function, T: CollectiveValue + GraphValue> Step for Combine<F, T> {
    fn run(&self, local: &Local, place: &Place) {
        let mut values = Vec::with_capacity(self.inputs.len());
        let mut wrong = None;
        // Each is read, also behind an error: a slot is emptied in every run (SL-1).
        for (rank, input) in self.inputs.iter().enumerate() {
            match input.read() {
                Ok(value) => values.push(value),
                Err(fault) => {
                    wrong.get_or_insert(InputFault(rank, fault));
                }
            }
        }
        if let Some(wrong) = wrong {
            return self.out.set(Err(wrong.through::<F>()));
        }
        let run = place.run();
        let body = || combined(&values, &self.about, run);
        self.out.set(run_guarded(local, &frame::<F>(local), body));
    }
}

/// The step of one member.
#[repr(align(128))]
pub(crate) struct Share<F, T> {
    input: Reader<Combined>,
    rank: usize,
    out: Arc<Slot<T>>,
    function: PhantomData<fn(F)>,
}

impl<F, T> Share<F, T> {
    pub(crate) fn new(input: Reader<Combined>, rank: usize, out: Arc<Slot<T>>) -> Self {
        Self {
            input,
            rank,
            out,
            function: PhantomData,
        }
    }
}

impl<F: Function, T: CollectiveValue + GraphValue> Step for Share<F, T> {
    fn run(&self, local: &Local, _: &Place) {
        let outcome = match self.input.read() {
            // The same error for all.
            Err(fault) => Err(fault),
            Ok(all) => run_guarded(local, &frame::<F>(local), || all.share(self.rank)),
        };
        self.out.set(outcome);
    }
}
