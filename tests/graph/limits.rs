//! Limits: runs in flight, results kept, timeouts; and where each is set.

use std::time::{Duration, Instant};

use maser::prelude::*;
use maser::{CompileOptions, Timeout};
use maser_tests::{alone, both_ways, part, quiet, with_runtime};

use crate::actors::{Door, behind, gated, runs, worker};

const SOON: Duration = Duration::from_millis(20);

#[test]
fn try_execute_says_how_many_runs_are_in_flight() {
    both_ways(quiet(2), |_| {
        for limit in [1, 2, 7] {
            let (door, graph) = gated(runs(limit))?;
            let closed = door.close();
            assert_eq!(graph.free_capacity(), limit);
            let refs: Vec<_> = (0..limit as u64)
                .map(|n| graph.try_execute(n))
                .collect::<Result<_, _>>()?;
            assert_eq!(graph.free_capacity(), 0);
            match graph.try_execute(99).map(drop) {
                Err(Error::CapacityExceeded {
                    what,
                    in_flight,
                    limit: is_limit,
                    remedy,
                }) => {
                    assert_eq!((in_flight, is_limit), (limit, limit));
                    assert!(what.contains("runs"), "{what}");
                    assert!(remedy.contains("max_inflight"), "{remedy}");
                }
                other => panic!("{other:?}"),
            }
            drop(closed);
            for (n, result) in (0..).zip(&refs) {
                assert_eq!(result.get()?, n);
            }
            assert_eq!(graph.free_capacity(), limit);
            assert_eq!(
                graph.try_execute(99)?.get()?,
                99,
                "what was refused ran never"
            );
        }
        Ok(())
    });
}

#[test]
fn execute_waits_for_a_place() {
    both_ways(quiet(2), |_| {
        let (a, b) = (worker(1), worker(0));
        let graph =
            Graph::new(|x: Node<u64>| b.echo().bind(a.echo().bind(x))).compile_with(runs(2))?;
        let refs: Vec<_> = (0..50)
            .map(|n| graph.execute(n))
            .collect::<Result<_, _>>()?;
        for (n, result) in (0..).zip(refs) {
            assert_eq!(result.get()?, n);
        }
        Ok(())
    });
}

#[test]
fn execute_gives_up_after_the_submit_timeout_and_submits_nothing() {
    both_ways(quiet(2), |_| {
        let door = Door::default();
        let a = behind(&door, 1);
        let submit_timeout = Some(Timeout::After(SOON));
        let graph =
            Graph::new(|x: Node<u64>| a.through().bind(x)).compile_with(CompileOptions {
                submit_timeout,
                ..runs(2)
            })?;
        let closed = door.close();
        let refs = [graph.execute(1)?, graph.execute(2)?];
        for _ in 0..2 {
            let began = Instant::now();
            match graph.execute(3).map(drop) {
                Err(Error::Timeout {
                    what,
                    from_whom,
                    waited,
                    knob,
                }) => {
                    assert!(what.contains("2 in flight"), "{what}");
                    assert!(!from_whom.is_empty());
                    assert_eq!(waited, SOON);
                    assert!(knob.contains("MASER_CGRAPH_SUBMIT_TIMEOUT"), "{knob}");
                }
                other => panic!("{other:?}"),
            }
            assert!(began.elapsed() >= SOON, "it waited");
        }
        drop(closed);
        assert_eq!([refs[0].get()?, refs[1].get()?], [1, 2]);
        assert_eq!(graph.execute(4)?.get()?, 4);
        Ok(())
    });
}

#[test]
fn execute_timeout_has_a_limit_of_its_own() {
    both_ways(quiet(2), |_| {
        let (door, graph) = gated(runs(1))?;
        let closed = door.close();
        let first = graph.execute_timeout(1, SOON)?;
        for limit in [Duration::ZERO, SOON] {
            let refused = graph.execute_timeout(2, limit).map(drop);
            assert!(matches!(refused, Err(Error::Timeout { waited, .. }) if waited == limit));
        }
        drop(closed);
        assert_eq!(first.get()?, 1);
        assert_eq!(graph.execute_timeout(3, Duration::from_secs(50))?.get()?, 3);
        Ok(())
    });
}

#[test]
fn a_waiting_execute_goes_on_as_soon_as_a_run_is_over() {
    with_runtime(quiet(3), |_| {
        let door = Door::default();
        let a = behind(&door, 1);
        let submit_timeout = Some(Timeout::Never);
        let graph = Graph::new(|x: Node<u64>| a.through().bind(x))
            .compile_with(CompileOptions {
                submit_timeout,
                ..runs(1)
            })
            .unwrap();
        let closed = door.close();
        let first = graph.execute(1).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| graph.execute(2)?.get());
            door.wait_for(1);
            drop(closed);
            assert_eq!(first.get().unwrap(), 1);
            while !waiting.is_finished() {
                maser::yield_now();
            }
            assert_eq!(waiting.join().unwrap().unwrap(), 2);
        });
    });
}

#[test]
fn results_that_nobody_fetches_are_limited() {
    both_ways(quiet(2), |_| {
        let a = worker(1);
        let graph = Graph::new(|x: Node<u64>| a.echo().bind(x)).compile_with(CompileOptions {
            max_buffered_results: Some(5),
            ..runs(2)
        })?;
        let mut held = Vec::new();
        let refused = loop {
            match graph.execute(held.len() as u64) {
                Ok(result) => held.push(result),
                Err(error) => break error,
            }
            assert!(held.len() <= 8, "five results and two runs");
        };
        match refused {
            Error::CapacityExceeded {
                what,
                in_flight,
                limit,
                remedy,
            } => {
                assert!(in_flight > limit && limit == 5, "{in_flight} of {limit}");
                assert!(what.contains("results"), "{what}");
                assert!(remedy.contains("max_buffered_results"), "{remedy}");
            }
            other => panic!("{other}"),
        }
        assert!(held.len() >= 5);
        for (n, result) in (0..).zip(&held) {
            assert_eq!(result.get()?, n);
        }
        // A result that was fetched is its ref's, and waits no more.
        assert_eq!(graph.execute(77)?.get()?, 77);
        assert_eq!(held[0].get()?, 0);
        Ok(())
    });
}

#[test]
fn the_limits_of_the_configuration_hold_where_a_graph_sets_none() {
    let short = Duration::from_millis(30);
    let config = quiet(2)
        .graph_max_inflight(3)
        .graph_max_buffered_results(4)
        .graph_submit_timeout(short)
        .graph_get_timeout(short);
    both_ways(config, |_| {
        let door = Door::default();
        let a = behind(&door, 1);
        let graph = Graph::new(|x: Node<u64>| a.through().bind(x)).compile()?;
        assert_eq!(graph.free_capacity(), 3);
        let closed = door.close();
        let refs: Vec<_> = (0..3).map(|n| graph.execute(n)).collect::<Result<_, _>>()?;
        let submit = graph.execute(9).map(drop);
        assert!(matches!(submit, Err(Error::Timeout { waited, .. }) if waited == short));
        assert!(matches!(refs[0].get(), Err(Error::Timeout { waited, .. }) if waited == short));
        // A graph's own limit wins, and the limit of a call over both.
        let options = CompileOptions {
            get_timeout: Some(Timeout::After(SOON)),
            ..runs(1)
        };
        let other = Graph::new(|x: Node<u64>| a.through().bind(x)).compile_with(options)?;
        let result = other.execute(1)?;
        assert!(matches!(result.get(), Err(Error::Timeout { waited, .. }) if waited == SOON));
        let shorter = Duration::from_millis(1);
        let limited = result.get_timeout(shorter);
        assert!(matches!(limited, Err(Error::Timeout { waited, .. }) if waited == shorter));
        drop(closed);
        assert_eq!(
            (refs[2].get_timeout(Duration::from_secs(50))?, result.get()?),
            (2, 1)
        );
        Ok(())
    });
}

/// Variables of the environment, and what has to hold with them.
const ENVIRONMENTS: &[(&str, &[(&str, &str)])] = &[
    (
        "fractions",
        &[
            ("SUBMIT_TIMEOUT", "0.03"),
            ("GET_TIMEOUT", "0.04"),
            ("MAX_INFLIGHT", "2"),
        ],
    ),
    (
        "never",
        &[
            ("SUBMIT_TIMEOUT", "-1"),
            ("GET_TIMEOUT", "-1"),
            ("MAX_INFLIGHT", "1"),
        ],
    ),
    ("wrong", &[("GET_TIMEOUT", "-3")]),
];

#[test]
fn the_environment_sets_the_limits() {
    match part().as_deref() {
        Some("fractions") => with_runtime(quiet(2), |_| {
            let (door, graph) = gated(CompileOptions::default()).unwrap();
            let closed = door.close();
            let refs = [graph.execute(0).unwrap(), graph.execute(1).unwrap()];
            let submit = graph.execute(2).map(drop);
            let limit = Duration::from_millis(30);
            assert!(matches!(submit, Err(Error::Timeout { waited, .. }) if waited == limit));
            let limit = Duration::from_millis(40);
            assert!(matches!(refs[0].get(), Err(Error::Timeout { waited, .. }) if waited == limit));
            drop(closed);
        }),
        Some("never") => with_runtime(quiet(2), |_| {
            let (door, graph) = gated(CompileOptions::default()).unwrap();
            let closed = door.close();
            let first = graph.execute(0).unwrap();
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| graph.execute(1)?.get());
                maser::sleep(SOON);
                assert!(!waiting.is_finished());
                drop(closed);
                assert_eq!(first.get().unwrap(), 0);
                while !waiting.is_finished() {
                    maser::yield_now();
                }
                assert_eq!(waiting.join().unwrap().unwrap(), 1);
            });
        }),
        Some("wrong") => alone(|| {
            let refused = quiet(1).init().map(drop).unwrap_err();
            assert!(matches!(refused, Error::Config(_)));
            assert!(
                refused.to_string().contains("MASER_CGRAPH_GET_TIMEOUT"),
                "{refused}"
            );
        }),
        Some(other) => panic!("no part {other}"),
        None => {
            for (name, variables) in ENVIRONMENTS {
                let variables = variables
                    .iter()
                    .map(|(name, value)| (format!("MASER_CGRAPH_{name}"), *value));
                let test = "limits::the_environment_sets_the_limits";
                let output = rerun_with(test, name, variables);
                assert!(output.status.success(), "{name}: {output:?}");
                let text = String::from_utf8_lossy(&output.stdout);
                assert!(text.contains("1 passed"), "{name}: {text}");
            }
        }
    }
}

/// [`maser_tests::rerun`], with variables of the environment set for the process alone.
fn rerun_with(
    test: &str,
    part: &str,
    variables: impl Iterator<Item = (String, &'static str)>,
) -> std::process::Output {
    std::process::Command::new(std::env::current_exe().expect("this program's path"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("MASER_TEST_PART", part)
        .envs(variables)
        .output()
        .expect("this program starts again")
}

#[test]
fn a_limit_has_one_range_whoever_sets_it() {
    let config = quiet(1)
        .graph_max_inflight(1_000)
        .graph_max_buffered_results(1_000_000_000);
    with_runtime(config, |_| {
        let compile = |options| {
            let a = worker(0);
            let graph = Graph::new(|x: Node<u64>| a.echo().bind(x)).compile_with(options);
            graph.map(drop)
        };
        compile(CompileOptions::default()).expect("init took it");
        for (max_inflight, max_buffered_results, range) in [
            (Some(0), None, "max_inflight: 0; give 1 to 1000000"),
            (Some(1_000_001), None, "1000001; give 1 to 1000000"),
            (
                None,
                Some(0),
                "max_buffered_results: 0; give 1 to 1000000000",
            ),
            (None, Some(usize::MAX), "give 1 to 1000000000"),
        ] {
            let error = compile(CompileOptions {
                max_inflight,
                max_buffered_results,
                ..Default::default()
            });
            let error = error.expect_err("out of range").to_string();
            assert!(error.contains(range), "{error}");
        }
    });
}
