//! A step of a relay's graph in the relay's own process: it runs as in a worker, and only its ends differ.

use super::load::Load;
use crate::error::Fault;
use crate::executor::local::Local;
use crate::graph::remote::step::{PackedSlot, PartStepHere};
use crate::graph::segment::{Place, Step};
use crate::graph::slot::{Reader, Slot};
use crate::resources::Grant;
use std::sync::Arc;

/// What errors say of where a value came from.
const FROM: &str = "this process";

/// See the module's page.
#[repr(align(128))]
pub(super) struct LoadStep {
    /// Each fills one of the inner step's slots.
    pub(super) inputs: Vec<(Reader<Load>, Arc<PackedSlot>)>,
    pub(super) inner: PartStepHere,
    pub(super) out: Arc<Slot<Load>>,
    /// What a task asked for (SO-1).
    pub(super) _held: Option<Grant>,
}

impl Step for LoadStep {
    fn run(&self, local: &Local, place: &Place) {
        for (reader, slot) in &self.inputs {
            let outcome = reader.read();
            slot.with(|packed| match outcome {
                Ok(load) => *packed = load.0,
                Err(fault) => packed.set_error(&fault.0),
            });
        }
        self.inner.run(local, place);
        for (_, slot) in &self.inputs {
            slot.with(|packed| packed.was_read());
        }
        let given = self.inner.out.with(std::mem::take);
        self.out.set(match given.is_error() {
            false => Ok(Load(given)),
            true => Err(Fault::new(given.error(FROM))),
        });
    }
}
