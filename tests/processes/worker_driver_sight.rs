//! What a worker sees of the graphs that it drives: counts and times, events, stalls, recordings.

use super::graph_actors::{Station, here, in_runtime, there};
use maser::prelude::*;
use maser::view::Format;
use maser::{CompileOptions, CompiledGraph, Record, Speed};
use maser_tests::tape::Memory;
use rustix::process::{Pid, Signal, kill_process};

/// Looks at a graph over actors of others.
#[derive(Default)]
struct Watcher {
    graph: Option<CompiledGraph<Node<u64>, Node<u64>>>,
    kept: Vec<GraphRef<u64>>,
}

/// What was seen of some runs.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Seen {
    submitted: u64,
    finished: u64,
    measured: u64,
    failed: Option<u64>,
    steps: Vec<String>,
    edges: usize,
    computed: Vec<(u64, String, Option<String>)>,
    dropped: u64,
    schedule: String,
    drawing: String,
}

fn chain(a: &Actor<Station>, b: &Actor<Station>) -> Graph<Node<u64>, Node<u64>> {
    Graph::new(|x: Node<u64>| b.add().bind(a.fails_at_3_and_4().bind(x)))
}

#[maser::actor]
impl Watcher {
    fn new() -> Self {
        Self::default()
    }

    fn look(&self, a: Actor<Station>, b: Actor<Station>, runs: u64) -> Result<Seen, Error> {
        let options = CompileOptions {
            stats: Some(true),
            stats_every: Some(1),
            profile: Some(1000),
            ..Default::default()
        };
        let graph = chain(&a, &b).compile_with(options)?;
        for x in 0..runs {
            let _maybe = graph.execute(x)?.get();
        }
        let (stats, events) = (graph.stats(), graph.events());
        let computed = events.events.iter();
        let computed = computed
            .filter(|event| event.operation == maser::OperationKind::Compute)
            .map(|event| (event.run, event.method.to_owned(), event.process.clone()));
        let steps = stats.steps.iter();
        Ok(Seen {
            submitted: stats.runs.submitted,
            finished: stats.runs.finished,
            measured: stats.end_to_end.count,
            failed: stats.runs.failed,
            steps: steps
                .map(|step| format!("{} {}", step.step, step.compute.count))
                .collect(),
            edges: stats.edges.len(),
            computed: computed.collect(),
            dropped: events.dropped,
            schedule: graph.schedule().to_string(),
            drawing: graph.visualize(Format::Mermaid),
        })
    }

    fn compile(&mut self, a: Actor<Station>, b: Actor<Station>) -> Result<(), Error> {
        self.graph = Some(chain(&a, &b).compile()?);
        Ok(())
    }

    fn keep(&mut self, x: u64) -> Result<(), Error> {
        let graph = self.graph.as_ref().expect("it was compiled");
        let result = graph.execute(x)?;
        self.kept.push(result);
        Ok(())
    }

    fn stalls(&self) -> String {
        let graph = self.graph.as_ref().expect("it was compiled");
        graph.stalls().to_string()
    }

    fn last(&self) -> Result<u64, Error> {
        self.kept.last().expect("there is one").get()
    }

    /// Records runs and plays them again: how many, and how many values were compared.
    fn record(&self, a: Actor<Station>, b: Actor<Station>) -> Result<(u64, u64), Error> {
        let options = CompileOptions {
            record: Some(Record::later()),
            ..Default::default()
        };
        let (graph, memory) = (chain(&a, &b).compile_with(options)?, Memory::default());
        graph.record_into(memory.clone())?;
        for x in 10..20 {
            graph.execute(x)?.get()?;
        }
        graph.stop_recording()?;
        let report = graph.replay_recording(&memory.recording(), Speed::Full)?;
        assert!(report.is_same(), "{report}");
        Ok((report.runs, report.compared))
    }
}

fn watcher() -> Actor<Watcher> {
    Watcher::options()
        .isolation(Isolation::Process)
        .max_concurrency(4)
        .remote()
}

#[test]
fn a_worker_sees_times_and_events_of_its_graph_wherever_the_steps_run() {
    in_runtime(2, || {
        let watcher = watcher();
        for (a, b) in [
            (here(1), there(2)),
            (there(1), there(2)),
            (here(1), here(2)),
        ] {
            let seen = watcher.look().remote(a, b, 10).get()?;
            assert_eq!((seen.submitted, seen.finished), (10, 10));
            assert_eq!((seen.measured, seen.failed), (10, Some(2)));
            let steps = ["#1 Station::fails_at_3_and_4 10", "#2 Station::add 10"];
            assert_eq!(seen.steps, steps);
            assert!(seen.edges >= 2, "{}", seen.edges);
            assert_eq!((seen.computed.len(), seen.dropped), (20, 0));
            for (at, (run, _, process)) in seen.computed.iter().enumerate() {
                assert!(*run < 10 && process.is_some(), "{at}");
            }
            for text in [&seen.schedule, &seen.drawing] {
                assert!(text.contains("Station"), "{text}");
            }
        }
        Ok(())
    });
}

#[test]
fn a_worker_sees_who_its_graph_waits_for() {
    in_runtime(2, || {
        let (watcher, near, far) = (watcher(), here(1), there(2));
        let pid = far.pid().remote(0).get()?;
        let pid = Pid::from_raw(pid.cast_signed()).unwrap();
        watcher.compile().remote(near, far).get()?;
        assert_eq!(watcher.stalls().remote().get()?, "no run is in flight");
        kill_process(pid, Signal::STOP).unwrap();
        watcher.keep().remote(7).get()?;
        let told = loop {
            let told = watcher.stalls().remote().get()?;
            // The step before it may still be under way.
            if !told.contains("fails_at_3_and_4 on") {
                break told;
            }
        };
        for word in ["run 0", "#2 Station::add"] {
            assert!(told.contains(word), "{word}: {told}");
        }
        kill_process(pid, Signal::CONT).unwrap();
        assert_eq!(watcher.last().remote().get()?, 9);
        assert_eq!(watcher.stalls().remote().get()?, "no run is in flight");
        Ok(())
    });
}

#[test]
fn a_worker_records_its_graph_and_plays_it_again() {
    in_runtime(2, || {
        let watcher = watcher();
        for (a, b) in [(here(1), there(2)), (there(1), here(2))] {
            // The outputs come here, and nothing else does.
            assert_eq!(watcher.record().remote(a, b).get()?, (10, 10));
        }
        Ok(())
    });
}
