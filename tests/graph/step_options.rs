//! Tasks with options as steps: where they run, what they hold, and what makes no sense.

use maser::Cause;
use maser::prelude::*;
use maser_tests::{both_ways, quiet, with_runtime};

use crate::actors::{Door, Refused, behind, runs, worker};

#[maser::task]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[maser::task]
fn refuse(value: u64, refused: u64) -> Result<u64, Refused> {
    assert!(value != 100, "cannot stand {value}");
    match value == refused {
        true => Err(Refused(value)),
        false => Ok(value),
    }
}

/// The thread it runs on.
#[maser::task]
fn place(_: u64) -> String {
    std::thread::current().name().unwrap_or("").to_owned()
}

/// Stays where it was put, which an ordinary task need not: an idle scheduler may take it.
struct Resident;

#[maser::actor]
impl Resident {
    fn new() -> Self {
        Self
    }

    fn home(&mut self) -> String {
        place(0)
    }
}

#[maser::task(num_cpus = 2)]
fn heavy(value: u64) -> u64 {
    value
}

#[maser::task(max_retries = 3, max_calls = 9)]
fn tried(value: u64) -> u64 {
    value
}

#[track_caller]
fn assert_refused<T>(outcome: maser::Result<T>, node: &str, problem: &str) {
    match outcome.err() {
        Some(Error::Graph {
            node: its_node,
            problem: its_problem,
            remedy,
        }) => {
            assert_eq!(its_node, node);
            assert!(its_problem.contains(problem), "{its_problem}");
            assert!(!remedy.is_empty());
        }
        other => panic!("{other:?}"),
    }
}

/// How much of `name` is free.
fn free(maser: &Maser, name: &str) -> f64 {
    maser.resources().1.get(name).copied().unwrap_or(0.0)
}

#[test]
fn options_and_arguments_are_bound_together() {
    both_ways(quiet(2), |_| {
        for depth in [1, 4] {
            let graph = Graph::new(|(x, y): (Node<u64>, Node<u64>)| {
                let sum = add::options().num_cpus(0.5).scheduler(1).bind(x, y);
                add::options().name("twice").bind(sum, sum)
            });
            assert_eq!(graph.execute((1, 2))?.get()?, 6);
            let graph = graph.compile_with(runs(depth))?;
            for n in 0..50 {
                assert_eq!(graph.execute((n, 1))?.get()?, 2 * (n + 1));
            }
        }
        Ok(())
    });
}

#[test]
fn a_step_runs_on_the_scheduler_it_was_given() {
    both_ways(quiet(2), |_| {
        let homes: Vec<String> = [0, 1]
            .map(|at| {
                Resident::options()
                    .scheduler(at)
                    .remote()
                    .home()
                    .remote()
                    .get()
            })
            .into_iter()
            .collect::<Result<_, _>>()?;
        assert_ne!(homes[0], homes[1]);
        for depth in [1, 4] {
            for actor in [0, 1] {
                // Without the option a step is where its input is made.
                let actor = worker(actor);
                let graph = Graph::new(|x: Node<u64>| {
                    let x = actor.echo().bind(x);
                    [1, 0, 1].map(|at| place::options().scheduler(at).bind(x))
                })
                .compile_with(runs(depth))?;
                for n in 0..10 {
                    let places = maser::get_graph(&graph.execute(n)?)?;
                    assert_eq!(places, [1, 0, 1].map(|at| homes[at].clone()));
                }
            }
        }
        Ok(())
    });
}

#[test]
fn a_compiled_graph_holds_the_resources_of_its_tasks_until_it_ends() {
    with_runtime(quiet(2).num_gpus(2.0).resource("arm", 4.0), |maser| {
        let graph = Graph::new(|x: Node<u64>| {
            let x = add::options().num_gpus(1).resource("arm", 3).bind(x, 1);
            heavy::bind(x)
        });
        assert_eq!(graph.execute(1)?.get()?, 2);
        assert_eq!(free(maser, "arm"), 4.0, "ordinary calls give it back");
        let graph = graph.compile()?;
        assert_eq!(free(maser, "CPU"), 0.0, "the attribute's demand");
        assert_eq!((free(maser, "GPU"), free(maser, "arm")), (1.0, 1.0));
        for n in 0..5 {
            assert_eq!(graph.execute(n)?.get()?, n + 1);
        }
        let second = Graph::new(|x: Node<u64>| add::options().resource("arm", 2).bind(x, 1));
        assert_refused(second.compile(), "#1 add", "in use");
        graph.teardown()?;
        assert_eq!(free(maser, "CPU"), 2.0);
        assert_eq!((free(maser, "GPU"), free(maser, "arm")), (2.0, 4.0));
        let second = Graph::new(|x: Node<u64>| add::options().resource("arm", 2).bind(x, 1));
        let second = second.compile()?;
        assert_eq!(second.execute(1)?.get()?, 2);
        drop(second);
        assert_eq!(free(maser, "arm"), 4.0);
        Ok::<_, Error>(())
    })
    .expect("no error");
}

#[test]
fn a_graph_that_is_not_compiled_after_all_holds_nothing() {
    with_runtime(quiet(2).resource("arm", 4.0), |maser| {
        let beyond = Graph::new(|x: Node<u64>| {
            let x = add::options().resource("arm", 3).bind(x, 1);
            add::options().resource("arm", 3).name("greedy").bind(x, 1)
        });
        assert_refused(beyond.compile(), "#2 greedy", "in use");
        assert_eq!(free(maser, "arm"), 4.0);
        let beyond = Graph::new(|x: Node<u64>| add::options().resource("arm", 5).bind(x, 1));
        let outcome = beyond.execute(1)?.get();
        assert!(
            matches!(outcome, Err(Error::Infeasible { .. })),
            "{outcome:?}"
        );
        match beyond.compile().err() {
            Some(Error::Infeasible { what, resource, .. }) => {
                assert_eq!((what.as_str(), resource.as_str()), ("#1 add", "arm"));
            }
            other => panic!("{other:?}"),
        }
        let limit = Graph::new(|x: Node<u64>| add::options().resource("arm", 3).bind(x, 1));
        assert!(limit.compile_with(runs(0)).is_err());
        assert_eq!(free(maser, "arm"), 4.0);
        Ok::<_, Error>(())
    })
    .expect("no error");
}

#[test]
fn a_scheduler_that_is_not_there_is_told_by_compile() {
    both_ways(quiet(2), |_| {
        let graph = Graph::new(|x: Node<u64>| add::options().scheduler(2).bind(x, 1));
        let outcome = graph.execute(1)?.get();
        assert!(matches!(outcome, Err(Error::InvalidArgument { .. })));
        match graph.compile().err() {
            Some(Error::InvalidArgument {
                argument, problem, ..
            }) => {
                assert_eq!(argument, "scheduler");
                assert!(problem.contains('2'), "{problem}");
            }
            other => panic!("{other:?}"),
        }
        Ok(())
    });
}

#[test]
fn options_of_single_calls_make_no_sense_in_a_graph() {
    both_ways(quiet(2), |_| {
        let retried = Graph::new(|x: Node<u64>| {
            let x = add::bind(x, 1);
            add::options().max_retries(3).bind(x, 1)
        });
        assert_refused(retried.execute(1).map(drop), "#2 add", "max_retries(3)");
        assert_refused(retried.compile().map(drop), "#2 add", "max_retries(3)");
        let endless = Graph::new(|x: Node<u64>| add::options().max_retries(-1).bind(x, 1));
        assert_refused(endless.compile().map(drop), "#1 add", "max_retries(-1)");
        let recycled =
            Graph::new(|x: Node<u64>| add::options().max_calls(5).name("five").bind(x, 1));
        assert_refused(recycled.compile().map(drop), "#1 five", "max_calls(5)");
        // Said of what is so anyway, and said of the function, they are fine.
        let none = Graph::new(|x: Node<u64>| {
            tried::bind(add::options().max_retries(0).max_calls(0).bind(x, 1))
        });
        assert_eq!(none.compile()?.execute(1)?.get()?, 2);
        Ok(())
    });
}

#[test]
fn a_demand_that_is_no_number_is_told_by_compile() {
    both_ways(quiet(2), |_| {
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            let graph = Graph::new(|x: Node<u64>| add::options().num_cpus(wrong).bind(x, 1));
            assert!(matches!(
                graph.compile().err(),
                Some(Error::InvalidArgument { .. })
            ));
        }
        let named = Graph::new(|x: Node<u64>| add::options().resource("CPU", 1).bind(x, 1));
        assert!(matches!(
            named.compile().err(),
            Some(Error::InvalidArgument { .. })
        ));
        Ok(())
    });
}

#[test]
fn a_step_fails_under_the_name_it_was_given() {
    with_runtime(quiet(2), |_| {
        let graph = Graph::new(|x: Node<u64>| refuse::options().name("gate").bind(x, 5));
        let Err(Error::Task(error)) = graph.execute(5)?.get() else {
            panic!("it is refused");
        };
        assert_eq!(error.function(), "gate", "as an ordinary call");
        let graph = graph.compile()?;
        let before = maser::error_info()?.len();
        let Err(Error::Task(error)) = graph.execute(5)?.get() else {
            panic!("it is refused");
        };
        assert_eq!(error.function(), "gate");
        assert_eq!(error.downcast_ref(), Some(&Refused(5)));
        let Err(Error::Task(error)) = graph.execute(100)?.get() else {
            panic!("it panics");
        };
        assert_eq!(error.function(), "gate");
        assert!(
            matches!(error.cause(), Cause::Panicked { message, .. } if message == "cannot stand 100")
        );
        assert_eq!(maser::error_info()?.len(), before + 2, "each is told once");
        assert_eq!(graph.execute(6)?.get()?, 6);
        Ok::<_, Error>(())
    })
    .expect("no error");
}

#[test]
fn resources_come_back_also_when_a_step_is_blocked_at_teardown() {
    with_runtime(quiet(2).resource("arm", 4.0), |maser| {
        let door = Door::default();
        let closed = door.close();
        let actor = behind(&door, 1);
        let graph = Graph::new(|x: Node<u64>| {
            let x = add::options().resource("arm", 3).bind(x, 1);
            actor.through().bind(x)
        })
        .compile()?;
        let _pending = graph.execute(1)?;
        door.wait_for(1);
        assert_eq!(free(maser, "arm"), 1.0);
        graph.teardown()?;
        drop(closed);
        while free(maser, "arm") < 4.0 {
            maser::yield_now();
        }
        Ok::<_, Error>(())
    })
    .expect("no error");
}
