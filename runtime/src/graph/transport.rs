//! How the value of a node travels to the steps that read it: what is asked for, and what is refused.
//!
//! | transport | is |
//! |---|---|
//! | `auto` | what fits; values in CPU memory go by `shm` |
//! | `shm` | slots and rings, which hold as many runs as may be in flight |
//! | `gloo` | a synchronous pair: the writer goes on only when the reader has taken the value |
//! | `nccl`, `accelerator` | memory of GPUs, which a build without them refuses |

use super::build::{Action, Node, NodeDef, change};
use super::slot::GraphValue;
use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// How the value of a node travels between actors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TensorTransport {
    /// What fits: [`Shm`](Self::Shm), as long as values are in CPU memory.
    #[default]
    Auto,
    /// Rings in memory, which hold a value for every run that may be in flight.
    Shm,
    /// A synchronous pair: the step that writes goes on only when the step that reads has taken the
    /// value.
    Gloo,
    /// From GPU to GPU with NCCL.
    Nccl,
    /// From accelerator to accelerator, whichever there are.
    Accelerator,
}

/// Where the value of a node is to lie for the step that reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Device {
    /// Where the step is: CPU memory for an actor without a GPU.
    #[default]
    Default,
    /// CPU memory.
    Cpu,
    /// The memory of the actor's GPU.
    Gpu,
    /// The same, by its other name.
    Cuda,
}

/// What was asked for one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) transport: TensorTransport,
    pub(crate) device: Device,
}

impl TensorTransport {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Auto, "auto"),
        (Self::Shm, "shm"),
        (Self::Gloo, "gloo"),
        (Self::Nccl, "nccl"),
        (Self::Accelerator, "accelerator"),
    ];
}

impl Device {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Default, "default"),
        (Self::Cpu, "cpu"),
        (Self::Gpu, "gpu"),
        (Self::Cuda, "cuda"),
    ];
}

fn name_of<T: PartialEq>(all: &[(T, &'static str)], one: &T) -> &'static str {
    let found = all.iter().find(|(other, _)| other == one);
    found.map_or("", |(_, name)| name)
}

fn parsed<T: Copy>(
    all: &[(T, &'static str)],
    text: &str,
    argument: &'static str,
    what: &str,
) -> Result<T> {
    if let Some((one, _)) = all.iter().find(|(_, name)| *name == text) {
        return Ok(*one);
    }
    let names: Vec<String> = all.iter().map(|(_, name)| format!("'{name}'")).collect();
    Err(Error::InvalidArgument {
        argument,
        problem: format!("invalid {what} '{text}'"),
        remedy: format!("valid are {}", names.join(", ")),
    })
}

impl fmt::Display for TensorTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(name_of(&Self::ALL, self))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(name_of(&Self::ALL, self))
    }
}

impl FromStr for TensorTransport {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        parsed(&Self::ALL, text, "transport", "tensor transport")
    }
}

impl FromStr for Device {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        parsed(&Self::ALL, text, "device", "device")
    }
}

/// A value of `T`, or its name.
pub trait OrName<T> {
    /// The value.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a name that nothing has.
    fn named(self) -> Result<T>;
}

impl<T> OrName<T> for T {
    fn named(self) -> Result<T> {
        Ok(self)
    }
}

impl OrName<TensorTransport> for &str {
    fn named(self) -> Result<TensorTransport> {
        self.parse()
    }
}

impl OrName<Device> for &str {
    fn named(self) -> Result<Device> {
        self.parse()
    }
}

impl<T: GraphValue> Node<T> {
    /// How the value of this node travels to the steps of other actors that read it, by value or by
    /// name: `auto`, `shm`, `gloo`, `nccl` or `accelerator`. It may be a different one for each node;
    /// the last one that is said of a node counts.
    ///
    /// What is wrong with it is an error of compile. As an ordinary call
    /// ([`Graph::execute`](crate::Graph::execute)) a graph pays no heed to it.
    ///
    /// ```
    /// # use maser::prelude::*;
    /// # struct Echo;
    /// # #[maser::actor] impl Echo { fn new() -> Self { Echo } fn echo(&mut self, m: String) -> String { m } }
    /// # fn main() -> maser::Result<()> {
    /// let _maser = maser::Config::new().num_cpus(2).init()?;
    /// let (sender, receiver) = (Echo::remote(), Echo::remote());
    /// let graph = Graph::new(|msg: Node<String>| {
    ///     let sent = sender.echo().bind(msg).with_tensor_transport("gloo");
    ///     receiver.echo().bind(sent)
    /// })
    /// .compile()?;
    /// assert_eq!(graph.execute("hello")?.get()?, "hello");
    /// # Ok(()) }
    /// ```
    pub fn with_tensor_transport(self, transport: impl OrName<TensorTransport>) -> Self {
        self.with_tensor_transport_to(transport, Device::Default)
    }

    /// As [`with_tensor_transport`](Self::with_tensor_transport), to the memory of a device: `default`,
    /// `cpu`, `gpu` or `cuda`.
    pub fn with_tensor_transport_to(
        self,
        transport: impl OrName<TensorTransport>,
        device: impl OrName<Device>,
    ) -> Self {
        let transport = transport.named();
        let wanted = transport.and_then(|transport| {
            Ok(Wanted {
                transport,
                device: device.named()?,
            })
        });
        change(self.id, |def, label| {
            match wanted {
                Ok(wanted) => def.wanted = wanted,
                Err(error) => return Some(at_node(label, error)),
            }
            None
        });
        self
    }
}

/// The error of a name, with the node that it was given for.
fn at_node(node: String, error: Error) -> Error {
    match error {
        Error::InvalidArgument {
            problem, remedy, ..
        } => Error::Graph {
            node,
            problem,
            remedy,
        },
        other => other,
    }
}

/// Whether the edge between two nodes is a synchronous pair. Within one actor a value stays where it
/// is.
pub(crate) fn is_pair(nodes: &[NodeDef], from: usize, to: usize) -> bool {
    let (writer, reader) = (&nodes[from], &nodes[to]);
    let is_one_actor = writer.owner().is_some() && writer.owner() == reader.owner();
    writer.wanted.transport == TensorTransport::Gloo && !is_one_actor
}

/// Refuses transports that cannot be.
pub(crate) fn check(nodes: &[NodeDef], outputs: &[usize]) -> Result<()> {
    for (index, def) in nodes.iter().enumerate() {
        if def.wanted != Wanted::default() {
            check_one(nodes, outputs, index)?;
        }
    }
    Ok(())
}

fn check_one(nodes: &[NodeDef], outputs: &[usize], index: usize) -> Result<()> {
    let def = &nodes[index];
    let Wanted { transport, device } = def.wanted;
    let wrong = |problem: String, remedy: &str| {
        Err(Error::Graph {
            node: def.label(index),
            problem,
            remedy: remedy.into(),
        })
    };
    let is_on_gpu = matches!(device, Device::Gpu | Device::Cuda);
    let is_accelerator = matches!(
        transport,
        TensorTransport::Nccl | TensorTransport::Accelerator
    );
    if is_accelerator && device == Device::Cpu {
        return wrong(
            format!("transport '{transport}' does not lead to device 'cpu'"),
            "take device 'default' or 'gpu', or transport 'gloo' or 'shm'",
        );
    }
    if transport == TensorTransport::Gloo && is_on_gpu {
        return wrong(
            format!("transport 'gloo' carries CPU memory, and device is '{device}'"),
            "take device 'default' or 'cpu', or transport 'nccl'",
        );
    }
    if (is_accelerator || transport == TensorTransport::Gloo)
        && let Action::Input(n) = def.action
    {
        return wrong(
            format!(
                "input {n} cannot be transferred via '{transport}', because the driver cannot \
                 participate in the communicator group"
            ),
            "leave the transport of inputs to 'auto' or 'shm'; actors have 'gloo' among themselves",
        );
    }
    if is_accelerator {
        let library = match transport {
            TensorTransport::Nccl => "NCCL",
            _ => "an accelerator's library",
        };
        return wrong(
            format!(
                "transport '{transport}' needs {library} and memory of GPUs, and this build of maser \
                 has no GPU support"
            ),
            "take 'gloo' or 'shm' for values in CPU memory, or 'auto', which picks what fits",
        );
    }
    if is_on_gpu {
        return wrong(
            format!(
                "device '{device}' needs memory of a GPU, and this build of maser has no GPU support"
            ),
            "take device 'default' or 'cpu'",
        );
    }
    if transport == TensorTransport::Gloo {
        return check_gloo(nodes, outputs, index);
    }
    Ok(())
}

fn check_gloo(nodes: &[NodeDef], outputs: &[usize], index: usize) -> Result<()> {
    let def = &nodes[index];
    let wrong = |problem: String, remedy: &str| {
        Err(Error::Graph {
            node: def.label(index),
            problem,
            remedy: remedy.into(),
        })
    };
    if let Some(output) = outputs.iter().position(|output| *output == index) {
        return wrong(
            format!(
                "it is output {output}, which the driver reads, and the driver cannot participate in \
                 the communicator group of transport 'gloo'"
            ),
            "bind a step of an actor to it and return that one, or take transport 'shm'",
        );
    }
    let mut readers = (0..nodes.len()).filter(|reader| nodes[*reader].reads.contains(&index));
    if !readers.any(|reader| is_pair(nodes, index, reader)) {
        return wrong(
            "all readers are from the same actor, so transport 'gloo' has nothing to do".into(),
            "leave the transport out: values of one actor stay where they are",
        );
    }
    Ok(())
}
