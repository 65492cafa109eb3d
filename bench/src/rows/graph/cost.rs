//! What a graph costs besides its runs: compile and teardown, and each node of a large one.
//!
//! Every graph that is compiled here is run once, and its answer checked, before it is torn down.

use maser::{Actor, CompiledGraph, Graph, Isolation, Node};

use crate::harness::{BenchError, Clock, Contender, Lineup, Peer, Row, Summed, Window, check};

/// Actors of the graphs, in turn on the schedulers.
const ACTORS: usize = 10;

/// Gives back what it is told.
struct Mixer;

#[maser::actor]
impl Mixer {
    fn new() -> Self {
        Self
    }

    /// The mean of both: the input of the graph, wherever both come from it unchanged.
    fn mean(&mut self, a: u64, b: u64) -> u64 {
        a.midpoint(b)
    }
}

type Written = Graph<Node<u64>, Vec<Node<u64>>>;
type Compiled = CompiledGraph<Node<u64>, Vec<Node<u64>>>;

/// How the nodes of a graph hang together.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Each reads the one before it.
    Chain,
    /// As many in a layer as there are actors, each of which reads two of the layer before.
    Layers,
}

/// Graphs of `nodes` nodes.
struct Maker {
    actors: Vec<Actor<Mixer>>,
    nodes: usize,
    shape: Shape,
}

impl Maker {
    /// Actors in turn on the first `schedulers` schedulers.
    fn new(nodes: usize, shape: Shape, schedulers: usize) -> Self {
        let on = |at: usize| Mixer::options().scheduler(at % schedulers).remote();
        Self {
            actors: (0..ACTORS).map(on).collect(),
            nodes,
            shape,
        }
    }

    fn write(&self) -> Written {
        let actors = &self.actors;
        let step = |at: usize, a, b| actors[at % actors.len()].mean().bind(a, b);
        Graph::new(|input: Node<u64>| match self.shape {
            Shape::Chain => {
                let nodes = 0..self.nodes;
                vec![nodes.fold(input, |value, at| step(at, value, value))]
            }
            Shape::Layers => {
                let mut layer = vec![input; actors.len()];
                for _ in 0..self.nodes / actors.len() {
                    let places = 0..layer.len();
                    layer = places
                        .map(|at| step(at, layer[at], layer[(at + 1) % layer.len()]))
                        .collect();
                }
                layer
            }
        })
    }
}

/// One run with the input `value`; 1 if all answers are right.
fn run(graph: &Compiled, value: u64) -> maser::Result<u64> {
    let refs = graph.execute(value)?;
    let mut right = !refs.is_empty();
    for one in refs {
        right &= one.get()? == value;
    }
    Ok(u64::from(right))
}

/// What of a graph's life is timed.
#[derive(Clone, Copy, Debug)]
enum What {
    Write,
    Compile,
    Teardown,
    /// From compile to the first answer.
    FirstAnswer,
}

/// Times one part of the life of graphs.
struct Life {
    name: &'static str,
    maker: Maker,
    what: What,
    /// Figures are for each of so many.
    per: usize,
}

impl Life {
    fn whole(name: &'static str, maker: Maker, what: What) -> Self {
        Self {
            name,
            maker,
            what,
            per: 1,
        }
    }

    fn per_node(name: &'static str, nodes: usize) -> Self {
        let maker = Maker::new(nodes, Shape::Layers, 2);
        Self {
            name,
            maker,
            what: What::Compile,
            per: nodes,
        }
    }

    /// The time of one graph's part and whether its answer was right.
    fn one(&self, clock: Clock, value: u64) -> maser::Result<(f64, u64)> {
        let began = clock.now();
        let graph = self.maker.write();
        let written = clock.now();
        let graph = graph.compile()?;
        let compiled = clock.now();
        let right = run(&graph, value)?;
        let answered = clock.now();
        graph.teardown()?;
        let gone = clock.now();
        let (first, last) = match self.what {
            What::Write => (began, written),
            What::Compile => (written, compiled),
            What::Teardown => (answered, gone),
            What::FirstAnswer => (written, answered),
        };
        Ok((clock.span_ns(first, last) / self.per as f64, right))
    }
}

impl Contender for Life {
    fn name(&self) -> &'static str {
        self.name
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let (shape, clock) = (window.shape(), window.clock());
        let mut sum = 0;
        for call in 0..shape.calls() {
            let found = self.one(clock, call);
            let (ns, right) = found.map_err(|error| BenchError::contender(self.name, error))?;
            sum += right;
            if call >= shape.warm * shape.batch {
                window.record(ns);
            }
        }
        check(self.name, shape.calls(), sum)
    }
}

/// Runs of a large graph, timed for each of its nodes.
fn running(
    name: &'static str,
    nodes: usize,
    shape: Shape,
    schedulers: usize,
) -> Result<impl Contender, BenchError> {
    let maker = Maker::new(nodes, shape, schedulers);
    let compiled = maker.write().compile();
    let graph = compiled.map_err(|error| BenchError::contender(name, error))?;
    let mut value = 0;
    let operation = move || {
        value += 1;
        Ok::<_, maser::Error>(run(&graph, value)? * nodes as u64)
    };
    Ok(Summed::many(name, nodes as u64, operation))
}

/// A graph of 1,000 nodes beside smaller and larger ones, a node of each.
fn flat(shape: Shape, schedulers: usize) -> Result<Lineup, BenchError> {
    let lineup = Lineup::of(running("maser", 1_000, shape, schedulers)?)
        .peer(Peer::of(running("100 nodes", 100, shape, schedulers)?))
        .peer(Peer::of(running("10000 nodes", 10_000, shape, schedulers)?));
    Ok(lineup)
}

/// The compile of a chain through two actors in processes of their own.
fn compile_process() -> Result<Lineup, BenchError> {
    let there = || Mixer::options().isolation(Isolation::Process).remote();
    let maker = || Maker {
        actors: vec![there(), there()],
        nodes: 2,
        shape: Shape::Chain,
    };
    Ok(Lineup::of(Life::whole("maser", maker(), What::Compile))
        .peer(Peer::of(Life::whole("teardown", maker(), What::Teardown)))
        .peer(Peer::of(Life::whole(
            "to first answer",
            maker(),
            What::FirstAnswer,
        ))))
}

fn ten() -> Maker {
    Maker::new(ACTORS, Shape::Chain, 2)
}

/// Rows of the costs of graphs.
pub const ROWS: &[Row] = &[
    Row::latency(
        "graph/compile",
        2,
        "compile of a chain of ten actors on two cores",
        |_| {
            Ok(Ok(Lineup::of(Life::whole("maser", ten(), What::Compile))
                .peer(Peer::of(Life::whole("Graph::new", ten(), What::Write)))
                .peer(Peer::of(Life::whole(
                    "to first answer",
                    ten(),
                    What::FirstAnswer,
                )))))
        },
    )
    .in_runtime(2),
    Row::latency("graph/teardown", 2, "teardown of the same graph", |_| {
        Ok(Ok(Lineup::of(Life::whole("maser", ten(), What::Teardown))))
    })
    .in_runtime(2),
    Row::latency(
        "graph/compile/1000",
        2,
        "compile of 1,000 nodes in layers of ten on two cores",
        |_| {
            let maker = || Maker::new(1_000, Shape::Layers, 2);
            Ok(Ok(Lineup::of(Life::whole("maser", maker(), What::Compile))
                .peer(Peer::of(Life::whole(
                    "teardown",
                    maker(),
                    What::Teardown,
                )))))
        },
    )
    .in_runtime(2),
    Row::latency(
        "graph/compile/per_node",
        2,
        "the same for each node, beside 100 and 10,000 nodes",
        |_| {
            Ok(Ok(Lineup::of(Life::per_node("maser", 1_000))
                .peer(Peer::of(Life::per_node("100 nodes", 100)))
                .peer(Peer::of(Life::per_node("10000 nodes", 10_000)))))
        },
    )
    .in_runtime(2)
    .on_request(),
    Row::latency(
        "graph/compile/process",
        2,
        "compile of a chain of two actors in processes of their own",
        |_| compile_process().map(Ok),
    )
    .in_runtime(1)
    .on_request(),
    Row::latency(
        "graph/node/same_core",
        1,
        "a node of a chain of 1,000 on one core, beside 100 and 10,000",
        |_| flat(Shape::Chain, 1).map(Ok),
    )
    .in_runtime(1)
    .on_request(),
    Row::latency(
        "graph/node/cross_core",
        2,
        "a node of a chain of 1,000 on alternating cores, beside 100 and 10,000",
        |_| flat(Shape::Chain, 2).map(Ok),
    )
    .in_runtime(2)
    .on_request(),
    Row::latency(
        "graph/node/layers",
        2,
        "a node of 1,000 in layers of ten on two cores, beside 100 and 10,000",
        |_| flat(Shape::Layers, 2).map(Ok),
    )
    .in_runtime(2)
    .on_request(),
];
