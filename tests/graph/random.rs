//! Random graphs beside a sequential evaluation: any shape, any places, any pipelining.

use std::io;

use maser::prelude::*;
use maser::{CompileOptions, OutputNodes};
use maser_tests::{quiet, with_runtime};
use proptest::prelude::*;
use proptest::sample::Index;

/// One step: an actor's method, or a plain task.
#[derive(Clone, Debug)]
struct Step {
    actor: Option<Index>,
    /// Which of the nodes before it.
    first: Index,
    /// The same, or a constant.
    second: Result<Index, u64>,
    /// Fails where its value is a multiple of this.
    fails: u64,
    /// Waits for a task in the middle.
    waits: bool,
    /// An output also if another step reads it.
    is_output: bool,
    /// Its value goes by synchronous pairs, if they can take it.
    is_gloo: bool,
}

#[derive(Clone, Debug)]
struct Case {
    schedulers: usize,
    /// The scheduler of each actor.
    homes: Vec<Index>,
    steps: Vec<Step>,
    max_inflight: usize,
    /// READs of pairs are moved up.
    overlap: bool,
    /// Of each run: how many runs are submitted before its results are asked for, and whether its
    /// refs are dropped instead.
    runs: Vec<(usize, bool)>,
}

fn step() -> impl Strategy<Value = Step> {
    (
        prop::option::weighted(0.85, any::<Index>()),
        any::<Index>(),
        prop_oneof![4 => any::<Index>().prop_map(Ok), 1 => any::<u64>().prop_map(Err)],
        prop_oneof![12 => Just(0), 1 => 2..5_u64],
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
    )
        .prop_map(
            |(actor, first, second, fails, waits, is_output, is_gloo)| Step {
                actor,
                first,
                second,
                fails,
                waits,
                is_output,
                is_gloo,
            },
        )
}

fn case() -> impl Strategy<Value = Case> {
    (
        1..=4_usize,
        prop::collection::vec(any::<Index>(), 1..6),
        prop::collection::vec(step(), 1..24),
        1..8_usize,
        any::<bool>(),
        prop::collection::vec((0..12_usize, prop::bool::weighted(0.2)), 1..24),
    )
        .prop_map(
            |(schedulers, homes, mut steps, max_inflight, overlap, runs)| {
                // The input has to be read.
                steps[0].second = Ok(steps[0].first);
                Case {
                    schedulers,
                    homes,
                    steps,
                    max_inflight,
                    overlap,
                    runs,
                }
            },
        )
}

impl Case {
    /// Positions of the outputs among the nodes, of which 0 is the input.
    fn outputs(&self) -> Vec<usize> {
        let mut read = vec![false; self.steps.len() + 1];
        for (before, step) in (1..).zip(&self.steps) {
            read[step.first.index(before)] = true;
            if let Ok(second) = step.second {
                read[second.index(before)] = true;
            }
        }
        let is_output = |at: &usize| self.steps[at - 1].is_output || !read[*at];
        (1..=self.steps.len()).filter(is_output).collect()
    }
}

impl Case {
    /// Whether a synchronous pair can take the value of the node at `at`: the driver does not read it,
    /// and somebody else than its own actor does.
    fn is_gloo(&self, at: usize) -> bool {
        let actor_of = |step: &Step| step.actor.map(|actor| actor.index(self.homes.len()));
        let writer = &self.steps[at - 1];
        let is_read = |(before, step): (usize, &Step)| {
            let reads = step.first.index(before) == at
                || step.second.is_ok_and(|second| second.index(before) == at);
            reads && (actor_of(step).is_none() || actor_of(step) != actor_of(writer))
        };
        let is_output = self.outputs().contains(&at);
        writer.is_gloo && !is_output && (1..).zip(&self.steps).any(is_read)
    }
}

/// What a step computes. It depends on how often its actor was called, so the order of an actor's
/// steps shows in every value.
fn compute(calls: u64, a: u64, b: u64, fails: u64) -> Option<u64> {
    let value = a
        .wrapping_mul(31)
        .wrapping_add(b)
        .wrapping_mul(31)
        .wrapping_add(calls);
    (fails == 0 || !value.is_multiple_of(fails)).then_some(value)
}

fn computed(calls: u64, a: u64, b: u64, fails: u64) -> io::Result<u64> {
    compute(calls, a, b, fails).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[maser::task]
fn same(value: u64) -> u64 {
    value
}

#[maser::task]
fn plain(a: u64, b: u64, fails: u64, waits: bool) -> io::Result<u64> {
    let a = if waits {
        same::remote(a).get().map_err(io::Error::other)?
    } else {
        a
    };
    computed(0, a, b, fails)
}

struct Calculator {
    calls: u64,
}

#[maser::actor]
impl Calculator {
    fn new() -> Self {
        Self { calls: 0 }
    }

    fn step(&mut self, a: u64, b: u64, fails: u64, waits: bool) -> io::Result<u64> {
        self.calls += 1;
        let calls = self.calls;
        let a = if waits {
            same::remote(a).get().map_err(io::Error::other)?
        } else {
            a
        };
        assert_eq!(calls, self.calls, "nobody else came in");
        computed(calls, a, b, fails)
    }
}

/// The sequential evaluation: the calls of each actor so far.
struct Model(Vec<u64>);

impl Model {
    /// The values of all nodes of one run; nothing where there is an error.
    fn run(&mut self, case: &Case, input: u64) -> Vec<Option<u64>> {
        let mut values = vec![Some(input)];
        for step in &case.steps {
            let first = values[step.first.index(values.len())];
            let second = match step.second {
                Ok(second) => values[second.index(values.len())],
                Err(constant) => Some(constant),
            };
            // A step whose input is an error does not run.
            values.push(first.zip(second).and_then(|(a, b)| {
                let calls = step.actor.map_or(0, |actor| {
                    let calls = &mut self.0[actor.index(case.homes.len())];
                    *calls += 1;
                    *calls
                });
                compute(calls, a, b, step.fails)
            }));
        }
        values
    }
}

fn write(case: &Case, actors: &[Actor<Calculator>], input: Node<u64>) -> Vec<Node<u64>> {
    let mut nodes = vec![input];
    for step in &case.steps {
        let first = nodes[step.first.index(nodes.len())];
        let (fails, waits) = (step.fails, step.waits);
        let actor = step.actor.map(|actor| &actors[actor.index(actors.len())]);
        nodes.push(match (actor, step.second) {
            (Some(actor), Ok(second)) => {
                actor
                    .step()
                    .bind(first, nodes[second.index(nodes.len())], fails, waits)
            }
            (Some(actor), Err(constant)) => actor.step().bind(first, constant, fails, waits),
            (None, Ok(second)) => {
                plain::bind(first, nodes[second.index(nodes.len())], fails, waits)
            }
            (None, Err(constant)) => plain::bind(first, constant, fails, waits),
        });
        let at = nodes.len() - 1;
        if case.is_gloo(at) {
            nodes[at] = nodes[at].with_tensor_transport("gloo");
        }
    }
    case.outputs().into_iter().map(|at| nodes[at]).collect()
}

type Refs = <Vec<Node<u64>> as OutputNodes>::GraphRefs;

fn run(case: &Case) -> maser::Result<Vec<Option<Vec<Option<u64>>>>> {
    let homes = case.homes.iter().map(|home| home.index(case.schedulers));
    let actors: Vec<_> = homes
        .map(|at| Calculator::options().scheduler(at).remote())
        .collect();
    let compile = |overlap| {
        let options = CompileOptions {
            max_inflight: Some(case.max_inflight),
            overlap_communication: Some(overlap),
            ..Default::default()
        };
        Graph::new(|input: Node<u64>| write(case, &actors, input)).compile_with(options)
    };
    let graph = match compile(case.overlap) {
        // With overlap no order deadlocks.
        Err(Error::Graph { problem, .. }) if !case.overlap && problem.contains("deadlock") => {
            compile(true)?
        }
        other => other?,
    };
    let values = |refs: Refs| {
        refs.into_iter()
            .rev()
            .map(|result| result.get().ok())
            .rev()
            .collect()
    };
    let mut found = vec![None; case.runs.len()];
    let mut waiting: Vec<(usize, usize, Refs)> = Vec::new();
    for (number, (delay, is_dropped)) in case.runs.iter().enumerate() {
        let refs = graph.execute(number as u64)?;
        if !is_dropped {
            waiting.push((number + delay, number, refs));
        }
        while let Some(at) = waiting.iter().position(|(due, ..)| *due <= number) {
            let (_, run, refs) = waiting.swap_remove(at);
            found[run] = Some(values(refs));
        }
    }
    while let Some((_, run, refs)) = waiting.pop() {
        found[run] = Some(values(refs));
    }
    Ok(found)
}

fn expected(case: &Case) -> Vec<Option<Vec<Option<u64>>>> {
    let (mut model, outputs) = (Model(vec![0; case.homes.len()]), case.outputs());
    let runs = (0..).zip(&case.runs);
    runs.map(|(number, (_, is_dropped))| {
        let values = model.run(case, number);
        (!is_dropped).then(|| outputs.iter().map(|at| values[*at]).collect())
    })
    .collect()
}

proptest! {
    #[test]
    fn a_random_graph_gives_what_its_steps_give_one_after_the_other(case in case()) {
        let found = with_runtime(quiet(case.schedulers), |_| run(&case)).unwrap();
        prop_assert_eq!(found, expected(&case));
    }
}
