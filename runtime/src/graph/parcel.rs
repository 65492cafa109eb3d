//! The inputs of one run on their way to the first segments.

use super::inputs::InputNodes;
use super::late::Late;
use super::results::Refused;
use std::sync::Arc;

/// The inputs of one run. User types are cloned before the lock is taken.
#[doc(hidden)]
pub struct Parcel<I: InputNodes> {
    pub(crate) values: I::Values,
    /// For inputs that several segments read.
    pub(crate) copies: Option<Box<I::Copies>>,
}

/// Hands a run to the first segments. Under the lock.
#[doc(hidden)]
pub trait SubmitRun<I: InputNodes>: Send {
    /// There is a place for every run that may be in flight; what a graph that ends does not take
    /// is refused. `run` is the run's number.
    fn submit(&mut self, run: u64, parcel: Parcel<I>, refused: &mut Refused);
    /// How many copies of each input a run needs; `None` if it needs none.
    fn fan_out(&self) -> Option<Box<[usize]>> {
        None
    }
    /// The queue of runs that wait for their inputs, if it goes through one.
    fn late(&self) -> Option<&Arc<Late<I>>> {
        None
    }
    /// Copies of an earlier run, gone by now: their memory is used again.
    fn spare(&mut self) -> Option<Box<I::Copies>> {
        None
    }
}

/// Runs that go over edges.
pub(crate) struct SubmitEdges<I: InputNodes> {
    ports: I::Ports,
    spare: Option<Box<I::Copies>>,
}

impl<I: InputNodes> SubmitEdges<I> {
    pub(crate) fn new(ports: I::Ports) -> Self {
        Self { ports, spare: None }
    }
}

impl<I: InputNodes> SubmitRun<I> for SubmitEdges<I> {
    #[inline]
    fn submit(&mut self, _: u64, parcel: Parcel<I>, refused: &mut Refused) {
        match parcel.copies {
            None => I::send(&mut self.ports, parcel.values, refused),
            Some(mut copies) => {
                I::send_copies(&mut self.ports, &mut copies, refused);
                I::send(&mut self.ports, parcel.values, refused);
                if self.spare.is_none() {
                    self.spare = Some(copies);
                }
            }
        }
    }

    fn fan_out(&self) -> Option<Box<[usize]>> {
        I::fan_out(&self.ports)
    }

    fn spare(&mut self) -> Option<Box<I::Copies>> {
        self.spare.take()
    }
}
