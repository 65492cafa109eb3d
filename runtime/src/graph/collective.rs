//! Collectives as nodes of graphs: `allreduce::bind(nodes, op)` and its kin give a node for each member.
//!
//! ```text
//! x0 (actor a) --\                                /--> rank 0 (actor a)
//!                 >--> the collective, one step --
//! x1 (actor b) --/                                \--> rank 1 (actor b)
//! ```
//!
//! - CN-1 a collective is a step that reads the values of all members, and one step a member that takes
//!   its share and stands on the actor's scheduler. Nobody waits in the middle of a step, so members may
//!   share a scheduler, and errors, deaths, limits and ends are those of any step.
//! - CN-2 without overlap the next step of a member's actor stands behind the member's share, as if the
//!   actor waited for it; with overlap it does not, and the actor goes on while the collective waits.
//!
//! What does not fit together is found when it is there: an error of the run for every member.

use super::build::{Action, Node, NodeDef, NodeId, Place, Slots, add, clone_ref, nodes, refuse};
use super::collective_step::{About, Combine, Combined, Share, combined};
use super::members::Members;
use super::plan::actor_key;
use super::segment::Step;
use super::slot::{GraphValue, Reader, ValueType, slot_of};
use super::transport::Wanted;
use crate::collective::{CollectiveValue, Operation, ReduceOp, Who};
use crate::error::{Error, Fault};
use crate::object::reference::Ref;
use crate::task::failure::Failure;
use crate::task::meta::{Function, Meta};
use crate::task::spawn::spawn;
use crate::worker::remote::FIRST_HOME;
use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

macro_rules! collective {
    ($(#[$doc:meta])* $name:ident, $marker:ident, ($($argument:ident: $type:ty),*) => $operation:expr) => {
        struct $marker;

        impl Function for $marker {
            const META: &'static Meta = &Meta::plain(stringify!($name));
        }

        $(#[$doc])*
        pub mod $name {
            use super::*;

            /// A node of each member with what it gets; `members` are steps of different actors.
            ///
            /// What is wrong with them is an error of compile. Tensors that do not fit together are
            /// an error of their run on every member, and the graph goes on.
            pub fn bind<M: Members>(members: M, $($argument: $type),*) -> M::Nodes {
                bound::<$marker, M>(&members, $operation)
            }
        }
    };
}

collective! {
    /// Every member gets the tensors of all, made one element by element. A value that is several tensors,
    /// a vector, an array or a tuple of them, is done member by member in one step.
    ///
    /// ```
    /// # use maser::prelude::*;
    /// use maser::collective::{ReduceOp, allreduce};
    /// use maser::Tensor;
    /// # struct Worker(f32);
    /// # #[maser::actor] impl Worker {
    /// #     fn new(by: f32) -> Self { Worker(by) }
    /// #     fn gradient(&self, n: usize) -> Tensor { Tensor::from_vec(vec![self.0; n], &[n]).unwrap() }
    /// #     fn first(&self, of: Tensor) -> f32 { of.view::<f32>().unwrap().iter().next().unwrap() }
    /// # }
    /// # fn main() -> maser::Result<()> {
    /// let _maser = maser::Config::new().num_cpus(2).init()?;
    /// let workers = [1.0, 2.0].map(Worker::remote);
    /// let graph = Graph::new(|n: Node<usize>| {
    ///     let gradients = workers.each_ref().map(|worker| worker.gradient().bind(n));
    ///     let sums = allreduce::bind(gradients, ReduceOp::Sum);
    ///     [0, 1].map(|rank| workers[rank].first().bind(sums[rank]))
    /// })
    /// .compile()?;
    /// assert_eq!(maser::get_graph(&graph.execute(1000)?)?, [3.0, 3.0]);
    /// # Ok(()) }
    /// ```
    allreduce, Allreduce, (op: ReduceOp) => Operation::Allreduce(op)
}

collective! {
    /// Every member gets the tensors of all, one after the other along the first dimension.
    allgather, Allgather, () => Operation::Allgather
}

collective! {
    /// As [`allreduce`](crate::collective::allreduce), but each member gets its part of the first
    /// dimension alone.
    reduce_scatter, ReduceScatter, (op: ReduceOp) => Operation::ReduceScatter(op)
}

collective! {
    /// Every member gets the tensor of `root`; those of the others say no more than that they are
    /// there.
    broadcast, Broadcast, (root: usize) => Operation::Broadcast { root }
}

/// The share of a member.
pub(crate) struct Rank {
    /// The member's actor (see [`NodeDef::owner`]).
    actor: usize,
    name: String,
    /// Its scheduler, in this process.
    scheduler: Option<usize>,
}

impl NodeDef {
    /// The actor that it is a step of or that it is the share of.
    pub(crate) fn owner(&self) -> Option<usize> {
        match &self.rank {
            Some(rank) => Some(rank.actor),
            None => actor_key(self),
        }
    }

    fn member(&self) -> Option<Rank> {
        if let Some(rank) = &self.rank {
            return Some(Rank {
                actor: rank.actor,
                name: rank.name.clone(),
                scheduler: rank.scheduler,
            });
        }
        match &self.action {
            Action::Call {
                actor: Some(actor), ..
            } => Some(Rank {
                actor: actor.core.get().addr().get(),
                name: actor.name(),
                scheduler: (actor.home < FIRST_HOME).then_some(actor.home),
            }),
            _ => None,
        }
    }
}

/// The members' actors, if these can be members.
fn ranks(
    ids: &[NodeId],
    graph: u64,
    nodes: &[NodeDef],
) -> std::result::Result<Vec<Rank>, [String; 2]> {
    if ids.is_empty() {
        return Err([
            "expected members, but the list is empty".into(),
            "give one node of each actor that takes part".into(),
        ]);
    }
    let mut ranks: Vec<Rank> = Vec::new();
    let mut seen: HashMap<usize, usize> = HashMap::new();
    let mut actors: HashMap<usize, usize> = HashMap::new();
    for (rank, id) in ids.iter().enumerate() {
        let Some(def) = nodes.get(id.index).filter(|_| id.graph == graph) else {
            return Err([
                format!("rank {rank} is a node that was not bound in this graph"),
                "bind all nodes inside the closure of one Graph::new".into(),
            ]);
        };
        let label = def.label(id.index);
        if let Some(other) = seen.insert(id.index, rank) {
            return Err([
                format!("expected different nodes, but ranks {other} and {rank} are both {label}"),
                "give one node of each actor that takes part".into(),
            ]);
        }
        let Some(member) = def.member() else {
            return Err([
                format!("expected steps of actors, but rank {rank}, {label}, is none"),
                "bind it to a method of the actor that is to take part".into(),
            ]);
        };
        if let Some(other) = actors.insert(member.actor, rank) {
            let (at, name) = (ids[other].index, &member.name);
            return Err([
                format!(
                    "expected different actors, but ranks {other} and {rank} ({} and {label}) are both \
                     of {name}",
                    nodes[at].label(at)
                ),
                "give one node of each actor that takes part".into(),
            ]);
        }
        ranks.push(member);
    }
    Ok(ranks)
}

fn bound<F: Function, M: Members>(members: &M, operation: Operation) -> M::Nodes {
    let given = members.given();
    let ids: Vec<NodeId> = given.iter().map(|node| node.id).collect();
    let found = nodes(|graph, nodes| (nodes.len(), ranks(&ids, graph, nodes)));
    let (label, ranks) = match found {
        Some((at, Ok(ranks))) => (format!("#{at} {operation}"), ranks),
        Some((at, Err([problem, remedy]))) => {
            refuse(Error::Graph {
                node: format!("#{at} {operation}"),
                problem,
                remedy,
            });
            return M::made(given.to_vec());
        }
        None => return M::made(given.to_vec()),
    };
    let who = (0..).zip(&ranks).map(|(rank, member)| Who {
        rank,
        actor: member.name.clone(),
    });
    let about = Arc::new(About {
        label,
        operation,
        who: who.collect(),
    });
    let scheduler = ranks.iter().find_map(|rank| rank.scheduler);
    let all = all::<F, M::Value>(&ids, about, scheduler);
    let shares = (0..)
        .zip(ranks)
        .map(|(rank, member)| share::<F, M::Value>(all, operation, rank, member));
    M::made(shares.collect())
}

/// The step that reads the values of all.
fn all<F: Function, T: CollectiveValue + GraphValue>(
    ids: &[NodeId],
    about: Arc<About>,
    scheduler: Option<usize>,
) -> Node<Combined> {
    let reads: Vec<usize> = ids.iter().map(|id| id.index).collect();
    let name = about.operation.to_string();
    let (inputs, given, step_about) = (reads.clone(), reads.clone(), about.clone());
    let make = move |slots: Slots<'_>, out: &(dyn Any + Send)| -> Box<dyn Step> {
        let inputs = inputs.iter().map(|input| reader::<T>(slots, *input));
        let inputs = inputs.collect();
        let (about, out) = (step_about.clone(), slot_of::<Combined>(out));
        Box::new(Combine::<F, T>::new(inputs, about, out))
    };
    let submit = move |refs: &dyn Fn(usize) -> Box<dyn Any>| -> Box<dyn Any> {
        let refs: Vec<Ref<T>> = given.iter().map(|read| ref_of::<T>(refs, *read)).collect();
        let about = about.clone();
        Box::new(spawn::<F, (), Combined, _>((), move |()| {
            let mut values = Vec::with_capacity(refs.len());
            for (rank, one) in refs.iter().enumerate() {
                let value = one.get();
                values.push(value.map_err(|error| Failure::argument(rank, Fault::new(error)))?);
            }
            combined(&values, &about, 0)
        }))
    };
    let def = NodeDef {
        meta: F::META,
        name: Some(name),
        action: Action::Call {
            actor: None,
            place: placed(scheduler),
            make: Box::new(make),
            submit: Box::new(submit),
        },
        args: reads.iter().map(|read| Some(*read)).collect(),
        reads,
        constant: Box::new(|_, _| {}),
        wanted: Wanted::default(),
        rank: None,
        value: ValueType::of::<Combined>(),
        clone_ref: clone_ref::<Combined>,
    };
    add(def, ids, |_| None)
}

/// The step that takes a member's share.
fn share<F: Function, T: CollectiveValue + GraphValue>(
    all: Node<Combined>,
    operation: Operation,
    rank: usize,
    member: Rank,
) -> Node<T> {
    let read = all.id.index;
    let make = move |slots: Slots<'_>, out: &(dyn Any + Send)| -> Box<dyn Step> {
        let input = reader::<Combined>(slots, read);
        Box::new(Share::<F, T>::new(input, rank, slot_of::<T>(out)))
    };
    let submit = move |refs: &dyn Fn(usize) -> Box<dyn Any>| -> Box<dyn Any> {
        let all = ref_of::<Combined>(refs, read);
        Box::new(spawn::<F, (), T, _>((), move |()| {
            let all = all.get();
            let all = all.map_err(|error| Failure::argument(0, Fault::new(error)))?;
            all.share(rank)
        }))
    };
    let def = NodeDef {
        meta: F::META,
        name: Some(format!("{operation}, rank {rank}")),
        action: Action::Call {
            actor: None,
            place: placed(member.scheduler),
            make: Box::new(make),
            submit: Box::new(submit),
        },
        reads: vec![read],
        args: vec![Some(read)],
        constant: Box::new(|_, _| {}),
        wanted: Wanted::default(),
        rank: Some(member),
        value: ValueType::of::<T>(),
        clone_ref: clone_ref::<T>,
    };
    add(def, &[all.id], |_| None)
}

fn placed(scheduler: Option<usize>) -> Place {
    Place {
        scheduler,
        ..Place::default()
    }
}

fn reader<T: GraphValue>(
    slots: &mut dyn FnMut(usize) -> (Box<dyn Any + Send>, bool),
    node: usize,
) -> Reader<T> {
    let (slot, last) = slots(node);
    Reader {
        slot: slot_of::<T>(&*slot),
        last,
    }
}

fn ref_of<T: GraphValue>(refs: &dyn Fn(usize) -> Box<dyn Any>, node: usize) -> Ref<T> {
    match refs(node).downcast::<Ref<T>>() {
        Ok(one) => *one,
        Err(_) => unreachable!("a node's refs are of the node's type"),
    }
}
