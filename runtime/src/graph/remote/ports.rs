//! The ends of edges where the type of their values is known: in the process that compiled the graph.
//!
//! - RP-1 values go through bytes where the graph's lock may be held (DR-1): a `Serialize` or
//!   `Deserialize` that panics is an error of that run, and one that waits for the graph it is part of
//!   waits for itself.

use super::edge::{EdgeReceiver, EdgeSender};
use super::packet::Packed;
use super::plain::IsPlain;
use crate::error::{Error, Fault, Outcome};
use crate::graph::results::Arrivals;
use crate::graph::slot::{GraphValue, Held, InPort, OutPort, Reader, Sent, Slot};
use crate::object::scope;
use crate::task::failure::{discard, has_destructor, panicked};
use crate::task::portable::ValueCodec;
use maser_shm::channel::Probe;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// How the values of one node travel.
#[derive(Clone, Copy)]
pub(crate) struct NodeCodec {
    pub(crate) codec: &'static ValueCodec,
    /// The function that makes them, or gets them.
    pub(crate) function: &'static str,
}

/// How values of type `T` become bytes, and memory to do it in.
pub(crate) struct Wire<T> {
    plain: IsPlain<T>,
    node: NodeCodec,
    packed: Packed,
}

impl<T: 'static> Wire<T> {
    pub(crate) fn new(node: NodeCodec) -> Self {
        Self {
            plain: IsPlain::from_codec(node.codec.plain()),
            node,
            packed: Packed::default(),
        }
    }

    #[cold]
    fn not_portable(&self, problem: String) -> Fault {
        Fault::new(scope::explained(Error::NotPortable {
            function: self.node.function.into(),
            value: "a value of a compiled graph".into(),
            problem,
        }))
    }

    /// `outcome` as bytes, until the next.
    #[inline(always)]
    pub(crate) fn pack(&mut self, outcome: &Outcome<T>) -> &Packed {
        match outcome {
            Ok(value) if self.plain.pack(value, &mut self.packed) => {}
            other => self.encode(other),
        }
        &self.packed
    }

    #[inline(never)]
    fn encode(&mut self, outcome: &Outcome<T>) {
        let value = match outcome {
            Ok(value) => value,
            Err(fault) => return self.packed.set_error(&fault.0),
        };
        // RP-1.
        let (packed, codec) = (&mut self.packed, self.node.codec);
        let filled = catch_unwind(AssertUnwindSafe(|| codec.pack_encoded(value, packed)));
        let fault = match filled {
            Ok(Ok(())) => return,
            Ok(Err(problem)) => self.not_portable(problem),
            Err(payload) => panicked(payload, "Serialize", None),
        };
        self.packed.set_error(&fault.0);
    }

    /// Where a value goes that is about to be read.
    #[inline(always)]
    pub(crate) fn packed(&mut self) -> &mut Packed {
        &mut self.packed
    }

    /// The value that was put there.
    #[inline(always)]
    pub(crate) fn value(&self, from: &str) -> Outcome<T> {
        if self.plain.inline_head() == Some(self.packed.head())
            && let Some(value) = self.plain.unpack(self.packed.bytes())
        {
            return Ok(value);
        }
        self.decode(from)
    }

    #[inline(never)]
    fn decode(&self, from: &str) -> Outcome<T> {
        if self.packed.is_error() {
            return Err(Fault::new(self.packed.error(from)));
        }
        if let Some(value) = self.plain.unpack(self.packed.bytes()) {
            return Ok(value);
        }
        let mut value: Option<T> = None;
        // RP-1.
        let decoded = catch_unwind(AssertUnwindSafe(|| {
            self.node.codec.unpack(&self.packed, &mut value)
        }));
        match (decoded, value) {
            (Ok(Ok(())), Some(value)) => Ok(value),
            (Ok(Ok(())), None) => Err(self.not_portable("it is of another type".into())),
            (Ok(Err(problem)), _) => Err(self.not_portable(problem)),
            (Err(payload), _) => Err(panicked(payload, "Deserialize", None)),
        }
    }
}

/// Sends values of one type.
pub(crate) struct Outgoing<T> {
    edge: EdgeSender,
    wire: Wire<T>,
}

impl<T: 'static> Outgoing<T> {
    pub(crate) fn new(edge: EdgeSender, node: NodeCodec) -> Self {
        Self {
            edge,
            wire: Wire::new(node),
        }
    }

    #[inline]
    pub(crate) fn send(&mut self, outcome: &Outcome<T>) {
        if let Ok(value) = outcome
            && let Some(packet) = self.wire.plain.packet(value)
        {
            return self.edge.send_packet(packet);
        }
        let packed = self.wire.pack(outcome);
        self.edge.send(packed);
        self.wire.packed.was_read();
    }
}

#[repr(align(128))]
struct RemoteOut<T: GraphValue> {
    out: Outgoing<T>,
    reader: Reader<T>,
}

impl<T: GraphValue> OutPort for RemoteOut<T> {
    #[inline]
    fn send(&mut self) {
        let outcome = self.reader.read();
        self.out.send(&outcome);
        if has_destructor(&outcome) {
            discard(outcome);
        }
    }
}

/// An edge from a slot of this process to another one.
pub(crate) fn out_port<T: GraphValue>(
    edge: EdgeSender,
    node: NodeCodec,
    reader: Reader<T>,
) -> Box<dyn OutPort> {
    Box::new(RemoteOut {
        out: Outgoing::new(edge, node),
        reader,
    })
}

/// Receives values of one type.
#[repr(align(128))]
struct Incoming<T> {
    edge: EdgeReceiver,
    wire: Wire<T>,
}

impl<T: 'static> Incoming<T> {
    #[inline]
    fn take(&mut self) -> Option<Outcome<T>> {
        let is_here = self.edge.take(self.wire.packed());
        is_here.then(|| {
            let value = self.wire.value(&self.edge.origin().name);
            self.wire.packed.was_read();
            value
        })
    }
}

struct RemoteIn<T: GraphValue> {
    from: Incoming<T>,
    slot: Arc<Slot<T>>,
}

impl<T: GraphValue> InPort for RemoteIn<T> {
    #[inline]
    fn idle(&self) -> Option<Probe> {
        self.from.edge.idle()
    }

    #[inline]
    fn load(&mut self) -> bool {
        let outcome = self.from.take();
        let is_here = outcome.is_some();
        if let Some(outcome) = outcome {
            self.slot.set(outcome);
        }
        is_here
    }
}

/// An edge from another process to a slot of this one.
pub(crate) fn in_port<T: GraphValue>(
    edge: EdgeReceiver,
    node: NodeCodec,
    slot: Arc<Slot<T>>,
) -> Box<dyn InPort> {
    let wire = Wire::new(node);
    Box::new(RemoteIn {
        from: Incoming { edge, wire },
        slot,
    })
}

impl<T: GraphValue> Arrivals<T> for Incoming<T> {
    #[inline]
    fn idle(&self) -> Option<Probe> {
        self.edge.idle()
    }

    #[inline]
    fn take(&mut self) -> Option<Sent<T>> {
        Incoming::take(self).map(Held::new)
    }
}

/// The results of a node that runs in another process.
pub(crate) fn arrivals<T: GraphValue>(edge: EdgeReceiver, node: NodeCodec) -> Box<dyn Arrivals<T>> {
    let wire = Wire::new(node);
    Box::new(Incoming { edge, wire })
}
