//! The inputs of a relay's graph: as many loads as the worker's graph has inputs.

use super::load::Load;
use crate::graph::given::{Given, Settled, as_ref, settled};
use crate::graph::inputs::{
    AddPort, Copies, DestinationBox, InputNodes, InputPorts, fan_out_of, ports_of,
};
use crate::graph::results::Refused;
use crate::task::args::AnyArg;
use std::any::Any;

/// See the module's page.
pub(super) struct Loads;

impl InputNodes for Loads {
    type Values = Vec<Load>;
    type Later = (AnyArg<Vec<Load>>,);
    type Ports = Vec<InputPorts<Load>>;
    type Copies = Vec<Copies<Load>>;
    type Slots = ();

    /// Its nodes are made of the graph's text.
    fn make() -> Self {
        Self
    }

    fn refs(given: Given<Self>) -> Vec<Box<dyn Any>> {
        let (all,) = given.map_or_else(|later| later, |values| (AnyArg::Value(values),));
        vec![Box::new(as_ref(all))]
    }

    fn settle(later: Self::Later) -> Settled<Self> {
        Ok(settled(later.0)?)
    }

    fn ports(
        destinations: Vec<Vec<DestinationBox>>,
        depth: usize,
        add: AddPort<'_>,
    ) -> Self::Ports {
        let each = destinations.into_iter();
        each.map(|to| ports_of(to, depth, add)).collect()
    }

    fn fan_out(ports: &Self::Ports) -> Option<Box<[usize]>> {
        let copies: Vec<usize> = ports.iter().map(InputPorts::copies).collect();
        fan_out_of(&copies)
    }

    fn copy(values: &Self::Values, fan_out: &[usize], copies: &mut Self::Copies) {
        copies.resize_with(values.len(), Copies::default);
        for ((value, count), copies) in values.iter().zip(fan_out).zip(copies) {
            copies.fill(value, *count);
        }
    }

    fn send_copies(ports: &mut Self::Ports, copies: &mut Self::Copies, refused: &mut Refused) {
        for (port, copies) in ports.iter_mut().zip(copies) {
            port.send_copies(copies, refused);
        }
    }

    /// The relay has looked that there is one for each.
    fn send(ports: &mut Self::Ports, values: Self::Values, refused: &mut Refused) {
        for (port, value) in ports.iter_mut().zip(values) {
            port.send(value, refused);
        }
    }

    fn slots(_: &[&(dyn Any + Send)]) -> Self::Slots {}

    fn fill((): &Self::Slots, _: Self::Values) {
        unreachable!("graphs with a list of outputs have no call slot")
    }

    fn show(values: &Self::Values, to: &mut dyn FnMut(&dyn Any)) {
        values.iter().for_each(|value| to(value));
    }

    fn read(next: &mut dyn FnMut(&mut dyn Any) -> bool) -> Option<Self::Values> {
        let mut all: Option<Vec<Load>> = None;
        next(&mut all).then_some(all).flatten()
    }
}
