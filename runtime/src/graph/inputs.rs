//! The inputs of a graph: a node, a tuple of nodes, or none.

use super::build::{Node, add_input};
use super::given::{Given, Settled, as_ref, settled};
use super::relay::ends::{RelayedPort, Tray};
use super::remote::edge::EdgeSender;
use super::remote::ports::{NodeCodec, Outgoing};
use super::results::Refused;
use super::slot::{GraphValue, Held, Sent, Slot, cloned, line, slot_of};
use crate::executor::shared::Shared;
use crate::task::args::{AnyArg, Params};
use maser_shm::channel::spsc::LineSender;
use std::any::Any;
use std::sync::Arc;

/// Sends one input of a run to one segment.
#[repr(align(128))]
pub(crate) struct InputPort<T>(Port<T>);

enum Port<T> {
    Here {
        line: LineSender<Sent<T>>,
        target: Arc<Shared>,
    },
    There(Box<Outgoing<T>>),
    Relayed(Box<RelayedPort<T>>),
}

/// What the driver holds for one input: a port for each segment that reads it.
#[doc(hidden)]
pub struct InputPorts<T>(Vec<InputPort<T>>);

impl<T: GraphValue> InputPorts<T> {
    #[inline(always)]
    pub(super) fn send(&mut self, value: T, refused: &mut Refused) {
        match self.0.last_mut() {
            Some(last) => last.send(Held::new(Ok(value)), refused),
            None if std::mem::needs_drop::<T>() => refused.push(Held::new(value)),
            None => {}
        }
    }

    /// To all ports but the last.
    pub(super) fn send_copies(&mut self, copies: &mut Copies<T>, refused: &mut Refused) {
        for (port, copy) in self.0.iter_mut().zip(copies.0.drain(..)) {
            port.send(copy, refused);
        }
    }

    pub(super) fn copies(&self) -> usize {
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
    pub(super) fn fill(&mut self, value: &T, count: usize) {
        self.0.extend((0..count).map(|_| Held::new(cloned(value))));
    }
}

pub(super) fn fan_out_of(copies: &[usize]) -> Option<Box<[usize]>> {
    copies.iter().any(|count| *count > 0).then(|| copies.into())
}

impl<T: GraphValue> InputPort<T> {
    #[inline(always)]
    fn send(&mut self, value: Sent<T>, refused: &mut Refused) {
        match &mut self.0 {
            Port::Here { line, target } => {
                // As deep as there may be runs in flight, so never full.
                if let Err(error) = line.try_send(value) {
                    refused.push(error);
                }
                target.event.notify();
            }
            Port::There(out) => {
                out.send(value.get());
                if std::mem::needs_drop::<T>() {
                    refused.push(value);
                }
            }
            Port::Relayed(port) => {
                port.send(value.get());
                refused.push(value);
            }
        }
    }
}

/// Where an input goes: for each reading segment its scheduler and its slot, or an edge.
pub(crate) enum Destination {
    Here {
        target: Arc<Shared>,
        slot: Box<dyn Any + Send>,
        segment: usize,
    },
    There(Box<EdgeSender>, NodeCodec),
    /// With the other inputs of the run, to the process that drives the graph (GY-1).
    Relayed(Tray, NodeCodec),
}

/// An opaque destination.
#[doc(hidden)]
pub struct DestinationBox(pub(crate) Destination);

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
    /// The same while some of them are results that are not there yet.
    #[doc(hidden)]
    type Later: Params;
    #[doc(hidden)]
    type Ports: Send + 'static;
    #[doc(hidden)]
    type Copies: Default + Send + 'static;
    #[doc(hidden)]
    type Slots: Send + 'static;
    #[doc(hidden)]
    fn make() -> Self;
    #[doc(hidden)]
    fn refs(given: Given<Self>) -> Vec<Box<dyn Any>>;
    /// The values of results that are all there; the first error among them otherwise. Runs `Clone`
    /// of user types.
    #[doc(hidden)]
    fn settle(later: Self::Later) -> Settled<Self>;
    #[doc(hidden)]
    fn ports(destinations: Vec<Vec<DestinationBox>>, depth: usize, add: AddPort<'_>)
    -> Self::Ports;
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
    /// Shows each value, in its order.
    #[doc(hidden)]
    fn show(values: &Self::Values, to: &mut dyn FnMut(&dyn Any));
    /// Values that `next` puts, in their order, into an `Option` of each type; false ends it.
    #[doc(hidden)]
    fn read(next: &mut dyn FnMut(&mut dyn Any) -> bool) -> Option<Self::Values>;
}

fn read_one<T: GraphValue>(next: &mut dyn FnMut(&mut dyn Any) -> bool) -> Option<T> {
    let mut slot: Option<T> = None;
    next(&mut slot).then_some(slot).flatten()
}

pub(super) fn ports_of<T: GraphValue>(
    destinations: Vec<DestinationBox>,
    depth: usize,
    add: AddPort<'_>,
) -> InputPorts<T> {
    let port = |DestinationBox(to)| match to {
        Destination::Here {
            target,
            slot,
            segment,
        } => {
            let (line, receiver) = line::<Sent<T>>(depth);
            let slot = slot_of::<T>(&*slot);
            add(segment, PortBox(super::slot::in_port(receiver, slot)));
            InputPort(Port::Here { line, target })
        }
        Destination::There(edge, codec) => {
            InputPort(Port::There(Box::new(Outgoing::new(*edge, codec))))
        }
        Destination::Relayed(tray, codec) => {
            InputPort(Port::Relayed(Box::new(RelayedPort::new(tray, codec))))
        }
    };
    InputPorts(destinations.into_iter().map(port).collect())
}

impl<T: GraphValue> InputNodes for Node<T> {
    type Values = T;
    type Later = (AnyArg<T>,);
    type Ports = InputPorts<T>;
    type Copies = Copies<T>;
    type Slots = SlotOf<T>;
    fn make() -> Self {
        add_input(0)
    }
    fn refs(given: Given<Self>) -> Vec<Box<dyn Any>> {
        let (one,) = given.map_or_else(|later| later, |value| (AnyArg::Value(value),));
        vec![Box::new(as_ref(one))]
    }
    fn settle((one,): (AnyArg<T>,)) -> Settled<Self> {
        Ok(settled(one)?)
    }
    fn ports(
        mut destinations: Vec<Vec<DestinationBox>>,
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
    fn show(value: &T, to: &mut dyn FnMut(&dyn Any)) {
        to(value);
    }
    fn read(next: &mut dyn FnMut(&mut dyn Any) -> bool) -> Option<T> {
        read_one(next)
    }
}

/// An opaque slot.
#[doc(hidden)]
pub struct SlotOf<T>(Arc<Slot<T>>);

macro_rules! inputs {
    ($($name:ident $at:tt)*) => {
        impl<$($name: GraphValue),*> InputNodes for ($(Node<$name>,)*) {
            type Values = ($($name,)*);
            type Later = ($(AnyArg<$name>,)*);
            type Ports = ($(InputPorts<$name>,)*);
            type Copies = ($(Copies<$name>,)*);
            type Slots = ($(SlotOf<$name>,)*);
            #[allow(clippy::unused_unit, reason = "the empty tuple has no inputs")]
            fn make() -> Self {
                ($(add_input::<$name>($at),)*)
            }
            #[allow(unused_variables, clippy::unused_unit, reason = "the empty tuple has no inputs")]
            fn refs(given: Given<Self>) -> Vec<Box<dyn Any>> {
                let later = given.map_or_else(|later| later, |values| ($(AnyArg::Value(values.$at),)*));
                vec![$(Box::new(as_ref(later.$at))),*]
            }
            #[allow(unused_variables, clippy::unused_unit, reason = "the empty tuple has no inputs")]
            fn settle(later: Self::Later) -> Settled<Self> {
                Ok(($(settled(later.$at)?,)*))
            }
            #[allow(unused_variables, unused_mut, clippy::unused_unit, reason = "the empty tuple has no inputs")]
            fn ports(destinations: Vec<Vec<DestinationBox>>, depth: usize, add: AddPort<'_>) -> Self::Ports {
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
            #[allow(unused_variables, reason = "the empty tuple has no inputs")]
            fn show(values: &Self::Values, to: &mut dyn FnMut(&dyn Any)) {
                $(to(&values.$at);)*
            }
            #[allow(unused_variables, clippy::unused_unit, reason = "the empty tuple has no inputs")]
            fn read(next: &mut dyn FnMut(&mut dyn Any) -> bool) -> Option<Self::Values> {
                Some(($(read_one::<$name>(next)?,)*))
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
