//! The outputs of a graph: a node, or a tuple, a vector or an array of nodes.

use super::build::{Node, NodeId};
use super::call_slot::{Answerer, Noted, call_slot};
use super::core::Core;
use super::driver::{AnyOutput, Output};
use super::handle::inlet::Inlet;
use super::inputs::InputNodes;
use super::observe::driver_watch::{OutputWatch, SubmitNotes, watched, watched_box};
use super::parcel::SubmitRun;
use super::record::watch::Watch;
use super::reference::GraphRef;
use super::relay::ends::relayed;
use super::relay::load::Load;
use super::remote::edge::EdgeReceiver;
use super::remote::ports::{self, NodeCodec};
use super::schedule::ChannelKind;
use super::segment::Step;
use super::slot::{GraphValue, Held, OutPort, Reader, Sent, line, slot_of};
use crate::executor::shared::Shared;
use crate::object::reference::Ref;
use maser_shm::channel::spsc::LineSender;
use std::any::{Any, TypeId};
use std::sync::Arc;

/// What an output needs to be wired to the driver.
#[doc(hidden)]
pub trait Wire {
    /// The erased slot of a node in the segment that fills it, and whether this reader is the
    /// last.
    fn slot(&mut self, output: OutputId) -> (Box<dyn Any + Send>, bool);
    /// The edge of an output whose node runs in another process.
    fn far_output(&mut self, output: OutputId) -> Option<FarOutput>;
    /// Where the results of an output come from, if another process drives the graph.
    fn relayed(&mut self, _output: OutputId) -> Option<RelayedOutput> {
        None
    }
    /// What is noted of the next output, made of such a channel, if that was asked for.
    fn output_watch(&mut self, output: OutputId, channel: ChannelKind) -> OutputWatchBox;
    /// What is noted where runs are submitted, if that was asked for.
    fn submit_notes(&mut self) -> SubmitNotesBox {
        SubmitNotesBox(None)
    }
    /// The one step of the graph, if it answers the questions of a call slot whose end is of this type.
    fn step_for(&mut self, _end: TypeId) -> Option<StepBox> {
        None
    }
    /// Adds an edge out of that segment, behind the node's step.
    fn attach(&mut self, output: OutputId, port: OutPortBox);
    /// Runs that may be in flight.
    fn depth(&self) -> usize;
    /// The graph's core.
    fn core(&self) -> CoreBox;
}

/// An opaque edge.
#[doc(hidden)]
pub struct FarOutput(
    pub(crate) EdgeReceiver,
    pub(crate) NodeCodec,
    pub(crate) Option<Watch>,
);

/// Opaque results.
#[doc(hidden)]
pub struct RelayedOutput(
    pub(crate) Arc<Inlet<Load>>,
    pub(crate) NodeCodec,
    pub(crate) Option<Watch>,
);

/// An opaque position.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct OutputId(pub(crate) NodeId);

/// An opaque sending end.
#[doc(hidden)]
pub struct OutPortBox(pub(crate) Box<dyn OutPort>);

/// What may be noted of an output.
#[doc(hidden)]
pub struct OutputWatchBox(pub(crate) Option<OutputWatch>);

/// What may be noted where runs are submitted.
#[doc(hidden)]
pub struct SubmitNotesBox(pub(crate) Option<SubmitNotes>);

/// An opaque step.
#[doc(hidden)]
pub struct StepBox(pub(crate) Box<dyn Step>);

/// An opaque core.
#[doc(hidden)]
pub struct CoreBox(pub(crate) Arc<Core>);

/// An opaque result.
#[doc(hidden)]
pub struct OutputBox<T: GraphValue>(pub(crate) Arc<Output<T>>);

/// An opaque call-slot link.
#[doc(hidden)]
pub struct SlotLink<I: InputNodes, Outs> {
    pub(crate) answerer: Answerer,
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
    /// The number of their run.
    #[doc(hidden)]
    fn run_of(refs: &Self::GraphRefs) -> u64;
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
    if let Some(RelayedOutput(inlet, codec, watch)) = wire.relayed(id) {
        let arrivals = relayed(inlet, codec);
        let arrivals = match watch {
            Some(watch) => watch.arrivals(arrivals),
            None => arrivals,
        };
        return OutputBox(Output::new(wire.core().0, arrivals));
    }
    if let Some(FarOutput(edge, codec, watch)) = wire.far_output(id) {
        let arrivals = ports::arrivals(edge, codec);
        let arrivals = match watch {
            Some(watch) => watch.arrivals(arrivals),
            None => arrivals,
        };
        let OutputWatchBox(watch) = wire.output_watch(id, ChannelKind::SharedMemory);
        let arrivals = watched_box(arrivals, watch);
        return OutputBox(Output::new(wire.core().0, arrivals));
    }
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
    let OutputWatchBox(watch) = wire.output_watch(id, ChannelKind::Ring);
    OutputBox(Output::new(core, watched(receiver, watch)))
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
        let OutputWatchBox(output) = wire.output_watch(OutputId(self.id), ChannelKind::CallSlot);
        let SubmitNotesBox(submit) = wire.submit_notes();
        let (answerer, submit, arrivals) = call_slot::<I, T>(
            (slots, reader),
            target.0,
            wire.depth(),
            core.clone(),
            |end| wire.step_for(end).map(|StepBox(step)| step),
            Noted { submit, output },
        );
        Some(SlotLink {
            answerer,
            submit,
            outs: OutputBox(Output::new(core, arrivals)),
        })
    }
    #[inline(always)]
    fn graph_refs(outs: &OutputBox<T>, run: u64) -> GraphRef<T> {
        GraphRef::new(&outs.0, run)
    }
    fn run_of(refs: &GraphRef<T>) -> u64 {
        refs.run()
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
            fn run_of(refs: &Self::GraphRefs) -> u64 {
                refs.0.run()
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
    fn run_of(refs: &Self::GraphRefs) -> u64 {
        refs.first().map_or(u64::MAX, GraphRef::run)
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
    fn run_of(refs: &Self::GraphRefs) -> u64 {
        refs.first().map_or(u64::MAX, GraphRef::run)
    }
    fn visit_outs(outs: &Self::Outs, visit: &mut dyn FnMut(&dyn AnyOutput)) {
        outs.iter().for_each(|out| visit(&*out.0));
    }
}
