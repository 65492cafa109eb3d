//! Tuples and vectors of nodes: the inputs and outputs of a graph.

use super::build::{Node, NodeId, add_input};
use super::core::Core;
use super::driver::{AnyOutput, Output, SubmitRun};
use super::reference::GraphRef;
use super::results::Refused;
use super::segment::Head;
use super::slot::{GraphValue, Held, OutPort, Reader, Sent, Slot, cloned, line, slot_of};
use crate::executor::shared::Shared;
use crate::object::reference::Ref;
use maser_shm::channel::spsc::LineSender;
use std::any::Any;
use std::sync::Arc;

/// A value that may be given for the inputs `V` of a graph.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the input of this graph, which is `{V}`",
    note = "several inputs are given as a tuple, no input as `()`"
)]
pub trait IntoInputs<V> {
    /// The inputs.
    fn into_inputs(self) -> V;
}

impl<V> IntoInputs<V> for V {
    #[inline(always)]
    fn into_inputs(self) -> V {
        self
    }
}

impl IntoInputs<String> for &str {
    fn into_inputs(self) -> String {
        self.to_owned()
    }
}

/// Sends one input of a run to one segment.
#[repr(align(128))]
pub(crate) struct InputPort<T> {
    line: LineSender<Sent<T>>,
    target: Arc<Shared>,
}

/// What the driver holds for one input: a port for each segment that reads it.
#[doc(hidden)]
pub struct InputPorts<T>(Vec<InputPort<T>>);

impl<T: GraphValue> InputPorts<T> {
    #[inline(always)]
    fn send(&mut self, value: T, refused: &mut Refused) {
        match self.0.last_mut() {
            Some(last) => last.send(Held::new(Ok(value)), refused),
            None if std::mem::needs_drop::<T>() => refused.push(Held::new(value)),
            None => {}
        }
    }

    /// To all ports but the last.
    fn send_copies(&mut self, copies: &mut Copies<T>, refused: &mut Refused) {
        for (port, copy) in self.0.iter_mut().zip(copies.0.drain(..)) {
            port.send(copy, refused);
        }
    }

    fn copies(&self) -> usize {
        self.0.len().saturating_sub(1)
    }
}

/// Copies of one input, for all ports but the last.
#[doc(hidden)]
pub struct Copies<T>(Vec<Sent<T>>);

impl<T> Default for Copies<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: GraphValue> Copies<T> {
    fn fill(&mut self, value: &T, count: usize) {
        self.0.extend((0..count).map(|_| Held::new(cloned(value))));
    }
}

fn fan_out_of(copies: &[usize]) -> Option<Box<[usize]>> {
    copies.iter().any(|count| *count > 0).then(|| copies.into())
}

impl<T: GraphValue> InputPort<T> {
    #[inline(always)]
    fn send(&mut self, value: Sent<T>, refused: &mut Refused) {
        // As deep as there may be runs in flight, so never full.
        if let Err(error) = self.line.try_send(value) {
            refused.push(error);
        }
        self.target.event.notify();
    }
}

/// Where an input goes: for each reading segment its scheduler and its slot.
#[doc(hidden)]
pub struct Destination {
    pub(crate) target: Arc<Shared>,
    pub(crate) slot: Box<dyn Any + Send>,
    pub(crate) segment: usize,
}

/// Adds the receiving end of an input to a segment.
#[doc(hidden)]
pub type AddPort<'a> = &'a mut dyn FnMut(usize, PortBox);

/// An opaque receiving end.
#[doc(hidden)]
pub struct PortBox(pub(crate) Box<dyn super::slot::InPort>);

/// The inputs of a graph as nodes: `Node<T>`, a tuple of them, or `()`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the input of a graph",
    note = "the closure of `Graph::new` takes a `Node<T>`, a tuple of up to 8 of them, or `()` for no input"
)]
pub trait InputNodes: Sized + 'static {
    /// The values of one run.
    type Values: Send + 'static;
    #[doc(hidden)]
    type Ports: Send + 'static;
    #[doc(hidden)]
    type Copies: Default + Send + 'static;
    #[doc(hidden)]
    type Slots: Send + 'static;
    #[doc(hidden)]
    fn make() -> Self;
    #[doc(hidden)]
    fn refs(values: Self::Values) -> Vec<Box<dyn Any>>;
    #[doc(hidden)]
    fn ports(destinations: Vec<Vec<Destination>>, depth: usize, add: AddPort<'_>) -> Self::Ports;
    /// How many copies of each input a run needs; `None` if it needs none.
    #[doc(hidden)]
    fn fan_out(ports: &Self::Ports) -> Option<Box<[usize]>>;
    /// Runs `Clone` of user types.
    #[doc(hidden)]
    fn copy(values: &Self::Values, fan_out: &[usize], copies: &mut Self::Copies);
    #[doc(hidden)]
    fn send_copies(ports: &mut Self::Ports, copies: &mut Self::Copies, refused: &mut Refused);
    #[doc(hidden)]
    fn send(ports: &mut Self::Ports, values: Self::Values, refused: &mut Refused);
    #[doc(hidden)]
    fn slots(slots: &[&(dyn Any + Send)]) -> Self::Slots;
    #[doc(hidden)]
    fn fill(slots: &Self::Slots, values: Self::Values);
}

fn ports_of<T: GraphValue>(
    destinations: Vec<Destination>,
    depth: usize,
    add: AddPort<'_>,
) -> InputPorts<T> {
    InputPorts(
        destinations
            .into_iter()
            .map(|to| {
                let (sender, receiver) = line::<Sent<T>>(depth);
                add(
                    to.segment,
                    PortBox(super::slot::in_port(receiver, slot_of::<T>(&*to.slot))),
                );
                InputPort {
                    line: sender,
                    target: to.target,
                }
            })
            .collect(),
    )
}

impl<T: GraphValue> InputNodes for Node<T> {
    type Values = T;
    type Ports = InputPorts<T>;
    type Copies = Copies<T>;
    type Slots = SlotOf<T>;
    fn make() -> Self {
        add_input(0)
    }
    fn refs(value: T) -> Vec<Box<dyn Any>> {
        vec![Box::new(Ref::done(Ok(value)))]
    }
    fn ports(
        mut destinations: Vec<Vec<Destination>>,
        depth: usize,
        add: AddPort<'_>,
    ) -> InputPorts<T> {
        ports_of::<T>(destinations.pop().unwrap_or_default(), depth, add)
    }
    fn fan_out(ports: &InputPorts<T>) -> Option<Box<[usize]>> {
        fan_out_of(&[ports.copies()])
    }
    fn copy(value: &T, fan_out: &[usize], copies: &mut Copies<T>) {
        copies.fill(value, fan_out[0]);
    }
    fn send_copies(ports: &mut InputPorts<T>, copies: &mut Copies<T>, refused: &mut Refused) {
        ports.send_copies(copies, refused);
    }
    #[inline(always)]
    fn send(ports: &mut InputPorts<T>, value: T, refused: &mut Refused) {
        ports.send(value, refused);
    }
    fn slots(slots: &[&(dyn Any + Send)]) -> SlotOf<T> {
        SlotOf(slot_of::<T>(slots[0]))
    }
    #[inline(always)]
    fn fill(slot: &SlotOf<T>, value: T) {
        slot.0.set(Ok(value));
    }
}

/// An opaque slot.
#[doc(hidden)]
pub struct SlotOf<T>(Arc<Slot<T>>);

macro_rules! inputs {
    ($($name:ident $at:tt)*) => {
        impl<$($name: GraphValue),*> InputNodes for ($(Node<$name>,)*) {
            type Values = ($($name,)*);
            type Ports = ($(InputPorts<$name>,)*);
            type Copies = ($(Copies<$name>,)*);
            type Slots = ($(SlotOf<$name>,)*);
            #[allow(clippy::unused_unit, reason = "the empty tuple has no inputs")]
            fn make() -> Self {
                ($(add_input::<$name>($at),)*)
            }
            #[allow(unused_variables, reason = "the empty tuple has no inputs")]
            fn refs(values: Self::Values) -> Vec<Box<dyn Any>> {
                vec![$(Box::new(Ref::done(Ok(values.$at)))),*]
            }
            #[allow(unused_variables, unused_mut, clippy::unused_unit, reason = "the empty tuple has no inputs")]
            fn ports(destinations: Vec<Vec<Destination>>, depth: usize, add: AddPort<'_>) -> Self::Ports {
                let mut each = destinations.into_iter();
                ($(ports_of::<$name>(each.next().unwrap_or_default(), depth, add),)*)
            }
            #[inline(always)]
            #[allow(unused_variables, reason = "the empty tuple has no inputs")]
            fn send(ports: &mut Self::Ports, values: Self::Values, refused: &mut Refused) {
                $(ports.$at.send(values.$at, refused);)*
            }
            #[allow(unused_variables, reason = "the empty tuple has no inputs")]
            fn fan_out(ports: &Self::Ports) -> Option<Box<[usize]>> {
                fan_out_of(&[$(ports.$at.copies()),*])
            }
            #[allow(unused_variables, reason = "the empty tuple has no inputs")]
            fn copy(values: &Self::Values, fan_out: &[usize], copies: &mut Self::Copies) {
                $(copies.$at.fill(&values.$at, fan_out[$at]);)*
            }
            #[allow(unused_variables, reason = "the empty tuple has no inputs")]
            fn send_copies(ports: &mut Self::Ports, copies: &mut Self::Copies, refused: &mut Refused) {
                $(ports.$at.send_copies(&mut copies.$at, refused);)*
            }
            #[allow(unused_variables, clippy::unused_unit, reason = "the empty tuple has no inputs")]
            fn slots(slots: &[&(dyn Any + Send)]) -> Self::Slots {
                ($(SlotOf(slot_of::<$name>(slots[$at])),)*)
            }
            #[inline(always)]
            #[allow(unused_variables, reason = "the empty tuple has no inputs")]
            fn fill(slots: &Self::Slots, values: Self::Values) {
                $(slots.$at.0.set(Ok(values.$at));)*
            }
        }
    };
}

inputs!();
inputs!(A 0);
inputs!(A 0 B 1);
inputs!(A 0 B 1 C 2);
inputs!(A 0 B 1 C 2 D 3);
inputs!(A 0 B 1 C 2 D 3 E 4);
inputs!(A 0 B 1 C 2 D 3 E 4 F 5);
inputs!(A 0 B 1 C 2 D 3 E 4 F 5 G 6);
inputs!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7);

/// What an output needs to be wired to the driver.
#[doc(hidden)]
pub trait Wire {
    /// The erased slot of a node in the segment that fills it, and whether this reader is the
    /// last.
    fn slot(&mut self, output: OutputId) -> (Box<dyn Any + Send>, bool);
    /// Adds an edge out of that segment, behind the node's step.
    fn attach(&mut self, output: OutputId, port: OutPortBox);
    /// Runs that may be in flight.
    fn depth(&self) -> usize;
    /// The graph's core.
    fn core(&self) -> CoreBox;
}

/// An opaque position.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct OutputId(pub(crate) NodeId);

/// An opaque sending end.
#[doc(hidden)]
pub struct OutPortBox(pub(crate) Box<dyn OutPort>);

/// An opaque core.
#[doc(hidden)]
pub struct CoreBox(pub(crate) Arc<Core>);

/// An opaque result.
#[doc(hidden)]
pub struct OutputBox<T: GraphValue>(pub(crate) Arc<Output<T>>);

/// An opaque call-slot link.
#[doc(hidden)]
pub struct SlotLink<I: InputNodes, Outs> {
    pub(crate) head: Box<dyn Head>,
    pub(crate) submit: Box<dyn SubmitRun<I>>,
    pub(crate) outs: Outs,
}

/// The outputs of a graph as nodes: `Node<T>`, a tuple, a vector or an array of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the output of a graph",
    note = "the closure of `Graph::new` gives a `Node<T>`, a tuple of up to 8 of them, or a vector or array of nodes of one type; it does not nest"
)]
pub trait OutputNodes: 'static {
    /// Refs of an uncompiled run.
    type Refs;
    /// Refs of a compiled run.
    type GraphRefs;
    #[doc(hidden)]
    type Outs: Send + Sync + 'static;
    /// Whether it is a single node, which may use a call slot.
    #[doc(hidden)]
    const IS_ONE: bool = false;
    #[doc(hidden)]
    fn visit(&self, visit: &mut dyn FnMut(OutputId));
    #[doc(hidden)]
    fn refs(&self, find: &dyn Fn(OutputId) -> Box<dyn Any>) -> Self::Refs;
    #[doc(hidden)]
    fn wire(&self, wire: &mut dyn Wire) -> Self::Outs;
    /// For a graph of one segment and one output: question and answer on one line.
    #[doc(hidden)]
    fn on_call_slot<I: InputNodes>(
        &self,
        _slots: I::Slots,
        _target: TargetBox,
        _wire: &mut dyn Wire,
    ) -> Option<SlotLink<I, Self::Outs>> {
        None
    }
    #[doc(hidden)]
    fn graph_refs(outs: &Self::Outs, run: u64) -> Self::GraphRefs;
    #[doc(hidden)]
    fn visit_outs(outs: &Self::Outs, visit: &mut dyn FnMut(&dyn AnyOutput));
}

/// An opaque scheduler.
#[doc(hidden)]
pub struct TargetBox(pub(crate) Arc<Shared>);

fn find_ref<T: GraphValue>(find: &dyn Fn(OutputId) -> Box<dyn Any>, node: &Node<T>) -> Ref<T> {
    match find(OutputId(node.id)).downcast::<Ref<T>>() {
        Ok(one) => *one,
        Err(_) => unreachable!("a node's refs are of the node's type"),
    }
}

fn wire_one<T: GraphValue>(node: &Node<T>, wire: &mut dyn Wire) -> OutputBox<T> {
    let id = OutputId(node.id);
    let (slot, last) = wire.slot(id);
    let (sender, receiver) = line::<Sent<T>>(wire.depth());
    let core = wire.core().0;
    let reader = Reader {
        slot: slot_of::<T>(&*slot),
        last,
    };
    wire.attach(
        id,
        OutPortBox(Box::new(DriverPort {
            line: sender,
            reader,
            core: core.clone(),
        })),
    );
    OutputBox(Output::new(core, Box::new(receiver)))
}

/// Sends an output to the driver.
#[repr(align(128))]
struct DriverPort<T: GraphValue> {
    line: LineSender<Sent<T>>,
    reader: Reader<T>,
    core: Arc<Core>,
}

impl<T: GraphValue> OutPort for DriverPort<T> {
    #[inline]
    fn send(&mut self) {
        // As deep as there may be runs in flight, so never full.
        drop(self.line.try_send(Held::new(self.reader.read())));
        self.core.results_were_sent();
    }
}

impl<T: GraphValue> OutputNodes for Node<T> {
    type Refs = Ref<T>;
    type GraphRefs = GraphRef<T>;
    type Outs = OutputBox<T>;
    const IS_ONE: bool = true;
    fn visit(&self, visit: &mut dyn FnMut(OutputId)) {
        visit(OutputId(self.id));
    }
    fn refs(&self, find: &dyn Fn(OutputId) -> Box<dyn Any>) -> Ref<T> {
        find_ref(find, self)
    }
    fn wire(&self, wire: &mut dyn Wire) -> OutputBox<T> {
        wire_one(self, wire)
    }
    fn on_call_slot<I: InputNodes>(
        &self,
        slots: I::Slots,
        target: TargetBox,
        wire: &mut dyn Wire,
    ) -> Option<SlotLink<I, OutputBox<T>>> {
        let (slot, last) = wire.slot(OutputId(self.id));
        let core = wire.core().0;
        let reader = Reader {
            slot: slot_of::<T>(&*slot),
            last,
        };
        let (head, submit, arrivals) = super::call_slot::call_slot::<I, T>(
            slots,
            reader,
            target.0,
            wire.depth(),
            core.clone(),
        );
        Some(SlotLink {
            head,
            submit,
            outs: OutputBox(Output::new(core, arrivals)),
        })
    }
    #[inline(always)]
    fn graph_refs(outs: &OutputBox<T>, run: u64) -> GraphRef<T> {
        GraphRef::new(&outs.0, run)
    }
    fn visit_outs(outs: &OutputBox<T>, visit: &mut dyn FnMut(&dyn AnyOutput)) {
        visit(&*outs.0);
    }
}

macro_rules! outputs {
    ($($name:ident $at:tt)*) => {
        impl<$($name: GraphValue),*> OutputNodes for ($(Node<$name>,)*) {
            type Refs = ($(Ref<$name>,)*);
            type GraphRefs = ($(GraphRef<$name>,)*);
            type Outs = ($(OutputBox<$name>,)*);
            fn visit(&self, visit: &mut dyn FnMut(OutputId)) {
                $(visit(OutputId(self.$at.id));)*
            }
            fn refs(&self, find: &dyn Fn(OutputId) -> Box<dyn Any>) -> Self::Refs {
                ($(find_ref(find, &self.$at),)*)
            }
            fn wire(&self, wire: &mut dyn Wire) -> Self::Outs {
                ($(wire_one(&self.$at, wire),)*)
            }
            #[inline(always)]
            fn graph_refs(outs: &Self::Outs, run: u64) -> Self::GraphRefs {
                ($(GraphRef::new(&outs.$at.0, run),)*)
            }
            fn visit_outs(outs: &Self::Outs, visit: &mut dyn FnMut(&dyn AnyOutput)) {
                $(visit(&*outs.$at.0);)*
            }
        }
    };
}

outputs!(A 0);
outputs!(A 0 B 1);
outputs!(A 0 B 1 C 2);
outputs!(A 0 B 1 C 2 D 3);
outputs!(A 0 B 1 C 2 D 3 E 4);
outputs!(A 0 B 1 C 2 D 3 E 4 F 5);
outputs!(A 0 B 1 C 2 D 3 E 4 F 5 G 6);
outputs!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7);

impl<T: GraphValue> OutputNodes for Vec<Node<T>> {
    type Refs = Vec<Ref<T>>;
    type GraphRefs = Vec<GraphRef<T>>;
    type Outs = Vec<OutputBox<T>>;
    fn visit(&self, visit: &mut dyn FnMut(OutputId)) {
        self.iter().for_each(|node| visit(OutputId(node.id)));
    }
    fn refs(&self, find: &dyn Fn(OutputId) -> Box<dyn Any>) -> Vec<Ref<T>> {
        self.iter().map(|node| find_ref(find, node)).collect()
    }
    fn wire(&self, wire: &mut dyn Wire) -> Vec<OutputBox<T>> {
        self.iter().map(|node| wire_one(node, wire)).collect()
    }
    fn graph_refs(outs: &Self::Outs, run: u64) -> Vec<GraphRef<T>> {
        outs.iter().map(|out| GraphRef::new(&out.0, run)).collect()
    }
    fn visit_outs(outs: &Self::Outs, visit: &mut dyn FnMut(&dyn AnyOutput)) {
        outs.iter().for_each(|out| visit(&*out.0));
    }
}

impl<T: GraphValue, const N: usize> OutputNodes for [Node<T>; N] {
    type Refs = [Ref<T>; N];
    type GraphRefs = [GraphRef<T>; N];
    type Outs = [OutputBox<T>; N];
    fn visit(&self, visit: &mut dyn FnMut(OutputId)) {
        self.iter().for_each(|node| visit(OutputId(node.id)));
    }
    fn refs(&self, find: &dyn Fn(OutputId) -> Box<dyn Any>) -> [Ref<T>; N] {
        std::array::from_fn(|at| find_ref(find, &self[at]))
    }
    fn wire(&self, wire: &mut dyn Wire) -> [OutputBox<T>; N] {
        std::array::from_fn(|at| wire_one(&self[at], wire))
    }
    fn graph_refs(outs: &Self::Outs, run: u64) -> [GraphRef<T>; N] {
        std::array::from_fn(|at| GraphRef::new(&outs[at].0, run))
    }
    fn visit_outs(outs: &Self::Outs, visit: &mut dyn FnMut(&dyn AnyOutput)) {
        outs.iter().for_each(|out| visit(&*out.0));
    }
}
