//! Submitting runs whose inputs are results: of other runs, of this graph or another, of tasks and
//! methods.

use super::compiled::CompiledGraph;
use super::driver::AnyOutput;
use super::given::Why;
use super::inputs::InputNodes;
use super::late::{Late, are_there, awaited, settle};
use super::outputs::OutputNodes;
use super::parcel::Parcel;
use crate::error::{Fault, Result};

/// A run that is to be submitted; empty once it is.
pub(super) enum Begin<I: InputNodes> {
    Here(Option<Parcel<I>>),
    /// One of its inputs is an error (LA-3).
    Failed(Fault),
    Later(Option<I::Later>),
}

impl<I: InputNodes, O: OutputNodes> CompiledGraph<I, O> {
    /// What is known of `later` now.
    pub(super) fn to_begin(&self, later: I::Later) -> Begin<I> {
        if !are_there(&later) {
            return Begin::Later(Some(later));
        }
        match settle::<I>(later) {
            Ok(values) => Begin::Here(Some(self.pack(values))),
            Err(Why(fault)) => Begin::Failed(fault),
        }
    }

    /// As [`submit_once`](Self::submit_once).
    pub(super) fn submit_late_once(&self, begin: &mut Begin<I>) -> Result<Option<u64>> {
        match begin {
            Begin::Here(parcel) => self.submit_once(parcel),
            Begin::Failed(fault) => self.submit_by(|_, refused| {
                let run = self.core.submitted();
                O::visit_outs(&self.outs, &mut |output: &dyn AnyOutput| {
                    output.fail(run, Why(fault.clone()), refused);
                });
            }),
            Begin::Later(later) => {
                let mut queue = None;
                let cells = later.as_ref().map(awaited).unwrap_or_default();
                let run = self.submit_by(|submit, _| {
                    let late = Late::before(submit, &self.core, self.fan_out.as_deref(), || {
                        let mut outputs = Vec::new();
                        O::visit_outs(&self.outs, &mut |output: &dyn AnyOutput| {
                            outputs.push(output.weak());
                        });
                        outputs
                    });
                    if let Some(later) = later.take() {
                        late.push(self.core.submitted(), later);
                    }
                    queue = Some(late);
                })?;
                if let Some(late) = queue {
                    late.look_when_done(cells);
                }
                Ok(run)
            }
        }
    }
}
