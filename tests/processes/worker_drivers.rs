//! Graphs that an actor or a task in a process of its own compiles over actors that live elsewhere, and
//! drives.

use super::graph_actors::{Station, here, in_runtime, there};
use maser::prelude::*;
use maser::{Array, CompileOptions, Config, GraphHandle, Mode, get_graph};

/// Builds graphs over actors of others, and loops.
struct Pilot {
    own: Actor<Station>,
}

fn chain(a: &Actor<Station>, b: &Actor<Station>) -> Graph<Node<u64>, Node<u64>> {
    Graph::new(|x: Node<u64>| b.add().bind(a.add().bind(x)))
}

#[maser::actor]
impl Pilot {
    fn new() -> Self {
        let own = Station::remote(100);
        Self { own }
    }

    /// What a user writes: a graph over two other actors, and many runs of it.
    fn fly(&self, a: Actor<Station>, b: Actor<Station>, runs: u64) -> Result<u64, Error> {
        let graph = chain(&a, &b).compile()?;
        let mut sum = 0;
        for x in 0..runs {
            sum += graph.execute(x)?.get()?;
        }
        graph.teardown()?;
        Ok(sum)
    }

    /// Several runs at once, and asked for in another order.
    fn pipelined(&self, a: Actor<Station>, b: Actor<Station>) -> Result<Vec<u64>, Error> {
        let graph = chain(&a, &b).compile()?;
        let refs = (0..8)
            .map(|x| graph.execute(x))
            .collect::<Result<Vec<_>, _>>()?;
        let mut got = refs
            .iter()
            .rev()
            .map(GraphRef::get)
            .collect::<Result<Vec<_>, _>>()?;
        got.reverse();
        Ok(got)
    }

    /// Several inputs and outputs of several types.
    fn pair(
        &self,
        a: Actor<Station>,
        b: Actor<Station>,
        text: String,
    ) -> Result<(String, u64, String), Error> {
        let graph = Graph::new(|(text, x): (Node<String>, Node<u64>)| {
            let turned = a.turn().bind(text);
            let sum = b.add().bind(a.add().bind(x));
            (b.turn().bind(turned), sum, a.turn().bind(text))
        });
        let graph = graph.compile()?;
        let (first, number, second) = graph.execute((text, 3))?;
        Ok((first.get()?, number.get()?, second.get()?))
    }

    /// Constants, tasks, `async` methods, inputs that several read, and an actor of this process between.
    fn mixed(&self, a: Actor<Station>, b: Actor<Station>) -> Result<Vec<u64>, Error> {
        let graph = Graph::new(|x: Node<u64>| {
            let own = self.own.add().bind(a.later().bind(x));
            let noted = self.own.add().bind(own);
            let twice = double::options()
                .name("twice")
                .bind(b.later_alone().bind(x));
            let many = b.repeat().bind("ab", noted);
            vec![own, noted, twice, length::bind(many)]
        });
        let graph = graph.compile()?;
        let mut all = Vec::new();
        for x in [0, 1] {
            all.extend(get_graph(&graph.execute(x)?)?);
        }
        Ok(all)
    }

    /// A graph without inputs.
    fn ticks(&self, a: Actor<Station>, b: Actor<Station>) -> Result<Vec<(u64, u64)>, Error> {
        let graph = Graph::new(|()| (a.next().bind(), b.add().bind(b.next().bind())));
        let graph = graph.compile()?;
        (0..3)
            .map(|_| {
                let (left, right) = graph.execute(())?;
                Ok((left.get()?, right.get()?))
            })
            .collect()
    }

    fn arrays(&self, a: Actor<Mirror>, b: Actor<Mirror>, few: Array<f32>) -> Result<f32, Error> {
        let graph = Graph::new(|x: Node<Array<f32>>| {
            vec![b.same().bind(a.same().bind(x)), a.same().bind(x)]
        });
        let graph = graph.compile()?;
        let mut sum = 0.0;
        for numbers in [few, (0..100_000).map(|x| (x % 7) as f32).collect()] {
            for _ in 0..3 {
                for result in graph.execute(numbers.clone())? {
                    let got = result.get()?;
                    assert_eq!(got[..], numbers[..]);
                    sum += got[1];
                }
            }
        }
        Ok(sum)
    }

    /// What became of runs of 1 to 5, and of another after them.
    fn faults(&self, a: Actor<Station>, b: Actor<Station>) -> Result<Vec<String>, Error> {
        let graph = Graph::new(|x: Node<u64>| b.add().bind(a.fails_at_3_and_4().bind(x)));
        let graph = graph.compile()?;
        let runs = (1..=5)
            .map(|x| graph.execute(x))
            .collect::<Result<Vec<_>, _>>()?;
        let told = |run: GraphRef<u64>| match run.get() {
            Ok(value) => value.to_string(),
            Err(error) => error.to_string(),
        };
        let mut all: Vec<String> = runs.into_iter().map(told).collect();
        all.push(told(graph.execute(6)?));
        graph.teardown()?;
        Ok(all)
    }

    /// What a result is where it goes on: to a task, to another graph, to who awaits it.
    async fn go_on(&self, a: Actor<Station>, b: Actor<Station>) -> Result<Vec<u64>, Error> {
        let (first, second) = (chain(&a, &b).compile()?, chain(&b, &a).compile()?);
        let doubled = double::remote(first.execute(1)?);
        let behind = second.execute(first.execute(2)?)?;
        let awaited = first.execute_async(3).await?.await?;
        let several = [first.execute(4)?, first.execute(5)?, second.execute(6)?];
        let several = get_graph(&several)?;
        let runs = [first.execute(7)?, first.execute(8)?];
        let (ready, left) = maser::wait(&runs, 2, None)?;
        assert!(left.is_empty());
        let mut all = vec![doubled.await?, behind.await?, awaited];
        all.extend(several);
        for one in ready {
            all.push(one.get()?);
        }
        let broken = Graph::new(|x: Node<u64>| a.fails_at_3_and_4().bind(x)).compile()?;
        let error = second.execute(broken.execute(3)?)?.get().unwrap_err();
        assert!(error.to_string().contains("no 3"), "{error}");
        all.push(second.execute(9)?.get()?);
        Ok(all)
    }

    /// What a graph says that is torn down, and again.
    fn ends(&self, a: Actor<Station>, b: Actor<Station>) -> Result<(), Error> {
        let graph = chain(&a, &b).compile()?;
        let got = graph.execute(1)?;
        assert_eq!(got.get()?, 1 + sum_of(&a, &b));
        let late = graph.execute(2)?;
        graph.teardown()?;
        graph.teardown()?;
        assert!(graph.is_torn_down());
        assert_eq!(got.get()?, 1 + sum_of(&a, &b));
        if let Err(error) = late.get() {
            assert!(matches!(error, Error::ChannelClosed { .. }), "{error}");
        }
        let error = graph.execute(3).unwrap_err();
        assert!(matches!(error, Error::ChannelClosed { .. }), "{error}");
        drop(graph);
        assert_eq!(got.get()?, 1 + sum_of(&a, &b));
        // The actors take another one at once.
        assert_eq!(chain(&b, &a).compile()?.execute(1)?.get()?, got.get()?);
        Ok(())
    }

    /// A graph's handle goes to whoever asks.
    fn share(&self, a: Actor<Station>) -> Result<GraphHandle<Node<u64>, Node<u64>>, Error> {
        Ok(Graph::new(|x: Node<u64>| a.add().bind(x))
            .compile()?
            .into_handle())
    }

    fn use_shared(&self, graph: GraphHandle<Node<u64>, Node<u64>>, x: u64) -> Result<u64, Error> {
        graph.execute(x)?.get()
    }

    /// What is said of a graph that cannot be.
    fn refused(&self, a: Actor<Station>, which: u64) -> String {
        let compiled = match which {
            0 => Graph::new(|x: Node<u64>| stays::bind(a.add().bind(x))).compile(),
            1 => Graph::new(|x: Node<u64>| {
                let unused = a.add().bind(x);
                let _ = a.add().bind(unused);
                a.add().bind(x)
            })
            .compile(),
            _ => Graph::new(|x: Node<u64>| a.add().bind(x)).compile_with(CompileOptions {
                max_inflight: Some(0),
                ..Default::default()
            }),
        };
        compiled.map(drop).unwrap_err().to_string()
    }
}

fn sum_of(a: &Actor<Station>, b: &Actor<Station>) -> u64 {
    let by = |station: &Actor<Station>| station.add().remote(0).get().unwrap();
    by(a) + by(b)
}

#[maser::task]
fn double(x: u64) -> u64 {
    2 * x
}

#[maser::task]
fn length(text: String) -> u64 {
    text.len() as u64
}

#[maser::task(local)]
fn stays(x: u64) -> u64 {
    x
}

/// A task that drives a graph, as an actor does.
#[maser::task]
fn drive(a: Actor<Station>, b: Actor<Station>) -> Result<u64, Error> {
    let graph = chain(&a, &b).compile()?;
    let mut x = 0;
    for _ in 0..100 {
        x = graph.execute(x)?.get()?;
    }
    Ok(x)
}

/// Gives what it gets.
struct Mirror;

#[maser::actor]
impl Mirror {
    fn new() -> Self {
        Self
    }

    fn same(&self, numbers: Array<f32>) -> Array<f32> {
        numbers
    }
}

fn pilot() -> Actor<Pilot> {
    Pilot::options()
        .isolation(Isolation::Process)
        .max_concurrency(8)
        .remote()
}

/// Pairs of stations of this process and of others.
fn pairs() -> [[Actor<Station>; 2]; 4] {
    [
        [here(1), here(2)],
        [there(1), there(2)],
        [here(1), there(2)],
        [there(1), here(2)],
    ]
}

#[test]
fn an_actor_in_a_process_drives_a_graph_over_two_actors_elsewhere() {
    in_runtime(2, || {
        let pilot = pilot();
        for [a, b] in pairs() {
            let sum = pilot.fly().remote(a.clone(), b.clone(), 100).get()?;
            assert_eq!(sum, 100 * 99 / 2 + 100 * 3);
            // They are free for another graph.
            assert_eq!(chain(&a, &b).compile()?.execute(1)?.get()?, 4);
        }
        Ok(())
    });
}

#[test]
fn a_task_in_a_process_drives_a_graph_over_two_actors_elsewhere() {
    let config = Config::new()
        .num_workers(2)
        .isolation(Isolation::Process)
        .mode(Mode::Silent);
    let near = |by| Station::options().isolation(Isolation::Thread).remote(by);
    crate::run(config, |_| -> maser::Result<()> {
        for [a, b] in [
            [near(1), near(2)],
            [there(1), there(2)],
            [near(1), there(2)],
        ] {
            assert_eq!(drive::remote(a, b).get()?, 300);
        }
        Ok(())
    })
    .unwrap()
    .unwrap();
}

#[test]
fn runs_of_a_worker_are_pipelined_and_asked_for_in_any_order() {
    in_runtime(2, || {
        let pilot = pilot();
        for [a, b] in pairs() {
            let got = pilot.pipelined().remote(a, b).get()?;
            assert_eq!(got, (3..11).collect::<Vec<_>>());
        }
        Ok(())
    });
}

#[test]
fn several_inputs_and_outputs_of_a_worker_come_as_they_are() {
    in_runtime(2, || {
        let pilot = pilot();
        for [a, b] in pairs() {
            for text in ["", "short", &"x".repeat(100_000)] {
                let got = pilot.pair().remote(a.clone(), b.clone(), text.to_owned());
                assert_eq!(got.get()?, (text.to_owned(), 6, text.to_owned()));
            }
        }
        Ok(())
    });
}

#[test]
fn steps_of_all_kinds_are_in_a_graph_of_a_worker_its_own_actors_too() {
    in_runtime(2, || {
        let pilot = pilot();
        for [a, b] in pairs() {
            let got = pilot.mixed().remote(a, b).get()?;
            assert_eq!(got, [101, 201, 4, 402, 102, 202, 6, 404]);
        }
        Ok(())
    });
}

#[test]
fn a_graph_of_a_worker_may_have_no_input() {
    in_runtime(2, || {
        let pilot = pilot();
        for [a, b] in pairs() {
            let got = pilot.ticks().remote(a, b).get()?;
            assert_eq!(got, [(1, 4), (2, 5), (3, 6)]);
        }
        Ok(())
    });
}

#[test]
fn arrays_go_through_a_graph_of_a_worker_wherever_its_steps_are() {
    in_runtime(2, || {
        let pilot = pilot();
        let mirror = |isolation| Mirror::options().isolation(isolation).remote();
        for a in [Isolation::Thread, Isolation::Process] {
            for b in [Isolation::Thread, Isolation::Process] {
                let few = Array::from(vec![1.0, 2.0]);
                let sum = pilot.arrays().remote(mirror(a), mirror(b), few).get()?;
                assert_eq!(sum, 18.0);
            }
        }
        Ok(())
    });
}

#[test]
fn an_error_of_a_run_of_a_worker_is_that_runs_alone() {
    in_runtime(2, || {
        let pilot = pilot();
        for [a, b] in pairs() {
            let told = pilot.faults().remote(a, b).get()?;
            assert_eq!(
                [&told[0], &told[1], &told[4], &told[5]],
                ["3", "4", "7", "8"]
            );
            for (at, why) in [(2, "no 3"), (3, "no 4 at all")] {
                for word in [why, "Station::fails_at_3_and_4", "Station::add"] {
                    assert!(told[at].contains(word), "{word}: {}", told[at]);
                }
            }
        }
        Ok(())
    });
}

#[test]
fn results_of_a_workers_graph_go_wherever_those_of_any_graph_go() {
    in_runtime(2, || {
        let pilot = pilot();
        for [a, b] in pairs() {
            let got = pilot.go_on().remote(a, b).get()?;
            assert_eq!(got, [8, 8, 6, 7, 8, 9, 10, 11, 12]);
        }
        Ok(())
    });
}

#[test]
fn a_worker_tears_its_graph_down_once_and_again() {
    in_runtime(2, || {
        let pilot = pilot();
        for [a, b] in pairs() {
            pilot.ends().remote(a, b).get()?;
        }
        Ok(())
    });
}

#[test]
fn a_handle_of_a_workers_graph_is_executed_in_other_processes() {
    in_runtime(2, || {
        let (first, second) = (pilot(), pilot());
        for station in [here(1), there(1)] {
            let graph = first.share().remote(station).get()?;
            for x in 0..10 {
                assert_eq!(graph.execute(x)?.get()?, x + 1);
                assert_eq!(second.use_shared().remote(graph.clone(), x).get()?, x + 1);
                assert_eq!(first.use_shared().remote(graph.clone(), x).get()?, x + 1);
            }
            graph.teardown()?;
            let error = second.use_shared().remote(graph, 1).get().unwrap_err();
            assert!(error.to_string().contains("torn down"), "{error}");
        }
        Ok(())
    });
}

#[test]
fn what_cannot_be_in_a_workers_graph_is_said_when_it_is_compiled() {
    in_runtime(1, || {
        let (pilot, station) = (pilot(), here(1));
        let words = [
            &["#2 stays", "`local`"][..],
            &["#2 Station::add", "nothing reads its result"],
            &["max_inflight", "1 to 1000000"],
        ];
        for (which, words) in (0..).zip(words) {
            let told = pilot.refused().remote(station.clone(), which).get()?;
            for word in words {
                assert!(told.contains(word), "{word}: {told}");
            }
        }
        assert_eq!(pilot.fly().remote(station.clone(), station, 1).get()?, 2);
        Ok(())
    });
}
