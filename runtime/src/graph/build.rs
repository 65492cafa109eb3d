//! A graph as it is written: `Graph::new` and the nodes that `bind` adds.

use super::collective::Rank;
use super::given::IntoInputs;
use super::inputs::InputNodes;
use super::outputs::OutputNodes;
use super::segment::Step;
use super::slot::{GraphValue, ValueType};
use super::step_options::Reserved;
use super::transport::Wanted;
use crate::actor::address::SendCore;
use crate::error::{Error, Result};
use crate::object::reference::Ref;
use crate::resources::Demand;
use crate::task::meta::Meta;
use crate::worker::peer::Peer;
use maser_shm::sync::atomic::{AtomicU64, Ordering};
use std::any::Any;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::Arc;

/// A value of a graph that is being written: an input, or the result of a bound method or task.
pub struct Node<T> {
    pub(crate) id: NodeId,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Node<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Node<T> {}

/// Graph and position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeId {
    pub(crate) graph: u64,
    pub(crate) index: usize,
}

impl<T> Node<T> {
    pub(crate) fn new(id: NodeId) -> Self {
        Self {
            id,
            value: PhantomData,
        }
    }
}

/// Gives a step the slots of its segment: `(node, erased slot, whether it is the last reader)`.
pub(crate) type Slots<'a> = &'a mut dyn FnMut(usize) -> (Box<dyn Any + Send>, bool);

/// Makes the step of a node for its segment; the last argument is the slot it fills.
pub(crate) type MakeStep = Box<dyn Fn(Slots<'_>, &(dyn Any + Send)) -> Box<dyn Step> + Send + Sync>;

/// Runs a node as an ordinary call; gets refs of its inputs, gives a `Ref<T>`.
pub(crate) type Submit = Box<dyn Fn(&dyn Fn(usize) -> Box<dyn Any>) -> Box<dyn Any> + Send + Sync>;

/// Shows a constant argument of a node, by its position.
pub(crate) type Constant = Box<dyn Fn(usize, &mut dyn FnMut(&dyn Any)) + Send + Sync>;

/// What a node does.
pub(crate) enum Action {
    /// The `n`th input.
    Input(usize),
    /// A method (with an actor) or a task.
    Call {
        actor: Option<BoundActor>,
        place: Place,
        make: MakeStep,
        submit: Submit,
    },
}

/// What the options of a task say of its step.
#[derive(Default)]
pub(crate) struct Place {
    /// Where it runs; without one the plan decides.
    pub(crate) scheduler: Option<usize>,
    pub(crate) demand: Demand,
    pub(crate) reserved: Reserved,
}

/// The actor of a node.
pub(crate) struct BoundActor {
    pub(crate) core: SendCore,
    pub(crate) home: usize,
    pub(crate) node_id: u64,
    /// Where it is, if it is in another process.
    pub(crate) elsewhere: Option<Elsewhere>,
    /// Why it is dead, if it is. Holds a handle, so it keeps the actor while the graph is there.
    pub(crate) death: Box<dyn Fn() -> Option<Error> + Send + Sync>,
}

/// Another process, an actor's number there and its name in errors.
pub(crate) struct Elsewhere {
    pub(crate) peer: Arc<Peer>,
    pub(crate) number: u32,
    pub(crate) name: String,
}

/// One node.
pub(crate) struct NodeDef {
    pub(crate) meta: &'static Meta,
    /// The name that its options gave it.
    pub(crate) name: Option<String>,
    pub(crate) action: Action,
    /// Positions of the nodes it reads, in argument order.
    pub(crate) reads: Vec<usize>,
    /// The same for each argument, none for a constant.
    pub(crate) args: Vec<Option<usize>>,
    pub(crate) constant: Constant,
    /// How its value is to travel.
    pub(crate) wanted: Wanted,
    /// It is a member's share of a collective.
    pub(crate) rank: Option<Rank>,
    pub(crate) value: ValueType,
    /// Clones a `Ref<T>`.
    pub(crate) clone_ref: fn(&dyn Any) -> Box<dyn Any>,
}

impl NodeDef {
    /// Whether it is an input of the graph.
    pub(crate) fn is_input(&self) -> bool {
        matches!(self.action, Action::Input(_))
    }

    /// `#3 Echo::echo`.
    pub(crate) fn label(&self, index: usize) -> String {
        format!(
            "#{index} {}",
            self.name.as_deref().unwrap_or(self.meta.name)
        )
    }
}

/// Clones the `Ref<T>` behind `any`.
pub(crate) fn clone_ref<T: GraphValue>(any: &dyn Any) -> Box<dyn Any> {
    match any.downcast_ref::<Ref<T>>() {
        Some(one) => Box::new(one.clone()),
        None => unreachable!("a node's refs are of the node's type"),
    }
}

#[derive(Default)]
struct Builder {
    graph: u64,
    nodes: Vec<NodeDef>,
    problem: Option<Error>,
}

thread_local! {
    static BUILDER: RefCell<Option<Builder>> = const { RefCell::new(None) };
}

pub(super) static INPUT: Meta = Meta::plain("input");

fn next_graph() -> u64 {
    // 0 is the graph of nodes that were bound outside of any.
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Adds a node to the graph that is being written on this thread; `wrong` says of the node with
/// this label what is wrong with it by itself.
pub(crate) fn add<T: GraphValue>(
    def: NodeDef,
    reads: &[NodeId],
    wrong: impl FnOnce(String) -> Option<Error>,
) -> Node<T> {
    BUILDER.with(|builder| {
        let mut builder = builder.borrow_mut();
        let Some(builder) = builder.as_mut() else {
            return Node::new(NodeId { graph: 0, index: 0 });
        };
        let index = builder.nodes.len();
        if let Some(foreign) = reads.iter().find(|read| read.graph != builder.graph) {
            let place = if foreign.graph == 0 {
                "bound outside of Graph::new"
            } else {
                "of another graph"
            };
            builder.problem.get_or_insert(Error::Graph {
                node: def.label(index),
                problem: format!("it reads a node that was {place}"),
                remedy: "bind all nodes inside the closure of one Graph::new".into(),
            });
        }
        if builder.problem.is_none() {
            builder.problem = wrong(def.label(index));
        }
        let id = NodeId {
            graph: builder.graph,
            index,
        };
        builder.nodes.push(def);
        Node::new(id)
    })
}

/// Changes a node of the graph that is being written on this thread; `body` gets its label and says
/// what is wrong with the change.
pub(crate) fn change(node: NodeId, body: impl FnOnce(&mut NodeDef, String) -> Option<Error>) {
    BUILDER.with(|builder| {
        let mut builder = builder.borrow_mut();
        let Some(builder) = builder.as_mut() else {
            return;
        };
        if node.graph != builder.graph {
            builder.problem.get_or_insert(Error::Graph {
                node: format!("#{}", node.index),
                problem: "it is changed in a graph that it is not a node of".into(),
                remedy: "say everything of a node inside the closure of its own Graph::new".into(),
            });
        } else if let Some(def) = builder.nodes.get_mut(node.index) {
            let label = def.label(node.index);
            let problem = body(def, label);
            builder.problem = builder.problem.take().or(problem);
        }
    });
}

/// Shows the nodes of the graph that is being written on this thread, if one is.
pub(crate) fn nodes<R>(look: impl FnOnce(u64, &[NodeDef]) -> R) -> Option<R> {
    BUILDER.with(|builder| {
        let builder = builder.borrow();
        let builder = builder.as_ref()?;
        Some(look(builder.graph, &builder.nodes))
    })
}

/// The graph that is being written on this thread cannot run.
pub(crate) fn refuse(problem: Error) {
    BUILDER.with(|builder| {
        if let Some(builder) = builder.borrow_mut().as_mut() {
            builder.problem.get_or_insert(problem);
        }
    });
}

/// Adds the `n`th input.
pub(crate) fn add_input<T: GraphValue>(n: usize) -> Node<T> {
    let def = NodeDef {
        meta: &INPUT,
        name: None,
        action: Action::Input(n),
        reads: Vec::new(),
        args: Vec::new(),
        constant: Box::new(|_, _| {}),
        wanted: Wanted::default(),
        rank: None,
        value: ValueType::of::<T>(),
        clone_ref: clone_ref::<T>,
    };
    add(def, &[], |_| None)
}

/// Calls of actors and tasks, written down but not made.
///
/// ```
/// # use maser::prelude::*;
/// # struct Echo;
/// # #[maser::actor] impl Echo { fn new() -> Self { Echo } fn echo(&mut self, m: String) -> String { m } }
/// # fn main() -> maser::Result<()> {
/// let _maser = maser::Config::new().num_cpus(1).init()?;
/// let (a, b) = (Echo::remote(), Echo::remote());
/// let graph = Graph::new(|msg: Node<String>| b.echo().bind(a.echo().bind(msg)));
/// assert_eq!(graph.execute("hello")?.get()?, "hello");      // as ordinary calls
/// let compiled = graph.compile()?;
/// assert_eq!(compiled.execute("hello")?.get()?, "hello");   // over channels
/// # Ok(()) }
/// ```
pub struct Graph<I, O> {
    pub(crate) nodes: Vec<NodeDef>,
    pub(crate) outputs: O,
    pub(crate) problem: Option<Error>,
    inputs: PhantomData<fn(I)>,
}

impl<I: InputNodes, O: OutputNodes> Graph<I, O> {
    /// Writes a graph down: `body` gets a node for the input (a tuple of nodes for several, `()`
    /// for none), binds methods and tasks, and gives the node of the output (or a tuple or vector
    /// of them).
    ///
    /// What is wrong with it is an error of [`compile`](Self::compile) and
    /// [`execute`](Self::execute).
    pub fn new(body: impl FnOnce(I) -> O) -> Self {
        let builder = Builder {
            graph: next_graph(),
            ..Builder::default()
        };
        let graph = builder.graph;
        let outer = BUILDER.with(|slot| slot.borrow_mut().replace(builder));
        let restore = Restore(outer);
        let outputs = body(I::make());
        let built = BUILDER.with(|slot| slot.borrow_mut().take());
        drop(restore);
        let Builder {
            nodes, mut problem, ..
        } = built.unwrap_or_default();
        outputs.visit(&mut |id| {
            if id.0.graph != graph {
                problem.get_or_insert(Error::Graph {
                    node: "output".into(),
                    problem: "it is a node that was not bound in this graph".into(),
                    remedy: "return nodes that were bound inside the closure of this Graph::new"
                        .into(),
                });
            }
        });
        Self {
            nodes,
            outputs,
            problem,
            inputs: PhantomData,
        }
    }

    /// A graph of these nodes, which nobody wrote.
    pub(crate) fn of(nodes: Vec<NodeDef>, outputs: O) -> Self {
        Self {
            nodes,
            outputs,
            problem: None,
            inputs: PhantomData,
        }
    }

    /// Runs the graph once as ordinary calls, without compiling it.
    ///
    /// # Errors
    /// [`Error::Graph`] if it was written wrongly; errors of the calls show at `get`.
    pub fn execute<X: IntoInputs<I>>(&self, inputs: X) -> Result<O::Refs> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        let inputs = I::refs(inputs.into_inputs());
        let mut refs: Vec<Box<dyn Any>> = Vec::with_capacity(self.nodes.len());
        for def in &self.nodes {
            let made = match &def.action {
                Action::Input(n) => (def.clone_ref)(&*inputs[*n]),
                Action::Call { submit, .. } => {
                    submit(&|read| (self.nodes[read].clone_ref)(&*refs[read]))
                }
            };
            refs.push(made);
        }
        Ok(self
            .outputs
            .refs(&|id| (self.nodes[id.0.index].clone_ref)(&*refs[id.0.index])))
    }
}

/// Puts the outer graph back, also when the closure panics.
struct Restore(Option<Builder>);

impl Drop for Restore {
    fn drop(&mut self) {
        let outer = self.0.take();
        BUILDER.with(|slot| *slot.borrow_mut() = outer);
    }
}
