//! A task as a step of a segment.

use super::bind::StepInputs;
use super::segment::{Place, Step};
use super::slot::{GraphValue, Slot};
use crate::actor::core::Access;
use crate::executor::local::{Frame, Local};
use crate::task::failure::Failure;
use crate::task::meta::Function;
use crate::task::spawn::run_guarded;
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::null;
use std::sync::Arc;

/// A task as a step.
#[repr(align(128))]
pub(crate) struct TaskStep<M, I, T, F> {
    inputs: I,
    body: F,
    out: Arc<Slot<T>>,
    function: PhantomData<fn(M)>,
}

impl<M, I, T, F> TaskStep<M, I, T, F> {
    pub(crate) fn new(inputs: I, body: F, out: Arc<Slot<T>>) -> Self {
        Self {
            inputs,
            body,
            out,
            function: PhantomData,
        }
    }
}

impl<M, I, T, F> Step for TaskStep<M, I, T, F>
where
    M: Function,
    I: StepInputs,
    T: GraphValue,
    F: Fn(I::Args) -> Result<T, Failure> + Send,
{
    fn run(&self, local: &Local, _: &Place) {
        let args = match self.inputs.take() {
            Ok(args) => args,
            Err(fault) => return self.out.set(Err(fault.through::<M>())),
        };
        let frame = Frame {
            header: null(),
            meta: M::META,
            actor: null(),
            access: Access::Exclusive,
            ticket: null(),
            below: local.frame.get(),
            mark: Cell::default(),
        };
        self.out
            .set(run_guarded(local, &frame, || (self.body)(args)));
    }
}
