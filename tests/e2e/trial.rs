//! What a new user tries sooner or later, again and again: many threads, odd values, restarts.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::panic_any;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use maser::prelude::*;
use maser::{Cause, Error, Ref};
use maser_tests::{alone, beside_runtime, both_ways, quiet};

#[maser::task]
fn same(x: u64) -> u64 {
    x
}

#[maser::task(stream)]
fn count_to(n: u64) -> impl Iterator<Item = u64> {
    0..n
}

#[maser::task]
fn sum(values: Vec<Ref<u64>>) -> maser::Result<u64> {
    Ok(maser::get(&values)?.iter().sum())
}

struct Echo;

#[maser::actor]
impl Echo {
    fn new() -> Self {
        Echo
    }
    fn echo(&mut self, x: u64) -> u64 {
        x
    }
    fn echo_late(&mut self, x: u64) -> u64 {
        maser::yield_now();
        x
    }
    async fn later(&self, x: Ref<u64>) -> maser::Result<u64> {
        x.await
    }
    #[maser(num_returns = 2)]
    fn two(&mut self, x: u64) -> (u64, u64) {
        (x, x + 1)
    }
}

/// What a thread that knows nothing of the runtime's life does over and over.
fn uses_everything(
    round: u64,
    mut check: impl FnMut(maser::Result<u64>, u64),
) -> maser::Result<()> {
    let refs: Vec<_> = (0..10).map(|x| same::remote(x + round)).collect();
    check(sum::remote(refs).get(), 45 + 10 * round);
    for (expected, item) in (0..).zip(count_to::remote(40)) {
        let item = item.get();
        let ended = item.is_err();
        check(item, expected);
        if ended {
            break;
        }
    }
    let echo = Echo::remote();
    let late = same::remote(round);
    check(echo.echo().remote(&late).get(), round);
    check(echo.later().remote(maser::put(late)).get(), round);
    let (one, other) = echo.two().remote(round);
    check(pollster::block_on(async { one.await }), round);
    check(other.take(), round + 1);
    let refs: Vec<_> = (0..20).map(|x| echo.echo_late().remote(x)).collect();
    let (ready, rest) = maser::wait(&refs, 15, None)?;
    assert_eq!((ready.len(), rest.len()), (15, 5));
    Ok(())
}

fn tells_of_the_end(error: &Error) -> bool {
    matches!(
        error.root(),
        Error::ShutDown { .. } | Error::NotRunning { .. }
    )
}

#[test]
fn threads_get_right_answers_or_the_reason_while_runtimes_come_and_go() {
    alone(|| {
        let over = AtomicBool::new(false);
        let answers = AtomicUsize::new(0);
        let surprises = Mutex::new(BTreeMap::<String, u64>::new());
        let surprise = |error: Error| {
            let mut surprises = surprises.lock().expect("no panic");
            *surprises.entry(error.to_string()).or_default() += 1;
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut round = 0;
                    while !over.load(Ordering::Acquire) {
                        round += 1;
                        let used = uses_everything(round, |result, expected| match result {
                            Ok(value) => {
                                assert_eq!(value, expected);
                                answers.fetch_add(1, Ordering::AcqRel);
                            }
                            Err(error) if tells_of_the_end(&error) => (),
                            Err(error) => surprise(error),
                        });
                        if let Err(error) = used
                            && !tells_of_the_end(&error)
                        {
                            surprise(error);
                        }
                    }
                });
            }
            for round in 0..60_usize {
                let maser = quiet(1 + round % 4).init().expect("it starts");
                let before = answers.load(Ordering::Acquire);
                // Odd ones end at once, the others in the middle of work.
                while round % 2 == 0 && answers.load(Ordering::Acquire) < before + 20 * round {
                    std::thread::yield_now();
                }
                drop(maser);
            }
            over.store(true, Ordering::Release);
        });
        let surprises = surprises.into_inner().expect("no panic");
        assert!(surprises.is_empty(), "{surprises:#?}");
    });
}

static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// Uses the runtime when it is dropped.
#[derive(Clone)]
struct LastWish;

impl Drop for LastWish {
    fn drop(&mut self) {
        let echo = Echo::options().name("last wish").remote();
        let other = Echo::remote();
        drop(other.echo().remote(same::remote(1)).get());
        drop(echo.echo().remote(2).get());
        maser::yield_now();
        drop(
            Graph::new(|x: Node<u64>| other.echo().bind(x))
                .compile()
                .and_then(|graph| graph.execute(3)?.get()),
        );
        drop(count_to::remote(100).next());
        maser::kill(&echo);
        DROPPED.fetch_add(1, Ordering::AcqRel);
    }
}

#[maser::task(local)]
fn make() -> LastWish {
    LastWish
}

#[maser::task(local)]
fn panics(_wish: LastWish) {
    panic!("with a value that has a last wish");
}

#[maser::task(local, stream)]
fn wishes() -> impl Iterator<Item = LastWish> {
    (0..40).map(|_| LastWish)
}

struct Wishful {
    _wish: LastWish,
}

#[maser::actor(local)]
impl Wishful {
    fn new() -> Self {
        Wishful { _wish: LastWish }
    }
    fn pass(&mut self, wish: LastWish) -> LastWish {
        maser::yield_now();
        wish
    }
}

#[test]
fn destructors_use_the_runtime_wherever_values_are_dropped() {
    alone(|| {
        for round in 0..30_usize {
            let maser = quiet(1 + round % 3).init().expect("it starts");
            let outlives = Wishful::remote();
            for _ in 0..5 {
                drop(make::remote());
                panics::remote(LastWish).get().expect_err("it panics");
                let stream = wishes::remote();
                drop(stream);
                let actor = Wishful::remote();
                drop(actor.pass().remote(LastWish));
                let killed = Wishful::remote();
                drop(killed.pass().remote(make::remote()));
                maser::kill(&killed);
                let graph = Graph::new(|wish: Node<LastWish>| actor.pass().bind(wish));
                let graph = graph.compile().expect("it compiles");
                let in_flight = graph.execute(LastWish).expect("there is room");
                let result = graph.execute(LastWish).expect("there is room").get();
                drop(result.expect("the actor lives"));
                drop(graph);
                drop(in_flight);
            }
            drop(maser);
            drop(outlives);
        }
        assert!(DROPPED.load(Ordering::Acquire) > 30 * 5 * 5);
    });
}

#[test]
fn the_longest_limit_is_no_limit() {
    #[maser::task]
    fn yields(x: u64) -> u64 {
        for _ in 0..100 {
            maser::yield_now();
        }
        x
    }
    both_ways(quiet(2), |_| {
        let echo = Echo::remote();
        let graph = Graph::new(|x: Node<u64>| echo.echo_late().bind(yields::bind(x)));
        let graph = graph.compile_with(CompileOptions {
            submit_timeout: Some(maser::Timeout::After(Duration::MAX)),
            get_timeout: Some(maser::Timeout::After(Duration::MAX)),
            teardown_timeout: Some(maser::Timeout::After(Duration::MAX)),
            max_inflight: Some(1),
            ..Default::default()
        })?;
        for x in 0..100 {
            let late = yields::remote(x);
            let (ready, _) = maser::wait(&[late], 1, Some(Duration::MAX))?;
            assert_eq!(ready[0].get()?, x);
            assert_eq!(yields::remote(x).get_timeout(Duration::MAX)?, x);
            let both = [yields::remote(x), yields::remote(x)];
            assert_eq!(maser::get_timeout(&both, Duration::MAX)?, [x, x]);
            let first = graph.execute(x)?;
            let second = graph.execute_timeout(x + 1, Duration::MAX)?;
            assert_eq!(second.get_timeout(Duration::MAX)?, x + 1);
            assert_eq!(first.get()?, x);
        }
        graph.teardown()
    });
}

#[test]
fn a_panic_may_carry_anything() {
    #[maser::task]
    fn panics_with(kind: u64) -> u64 {
        match kind {
            0 => panic_any(5_u32),
            1 => panic_any(String::from("a string of its own")),
            2 => panic_any("a literal"),
            3 => panic_any(Box::new(7_u8) as Box<dyn Any + Send>),
            4 => std::panic::resume_unwind(Box::new(9_u8)),
            _ => [1, 2, 3][kind as usize],
        }
    }
    both_ways(quiet(2), |_| {
        for _ in 0..20 {
            for kind in 0..6 {
                let error = panics_with::remote(kind).get().expect_err("it panics");
                let Error::Task(task) = &error else {
                    panic!("{error}")
                };
                let Cause::Panicked { message, .. } = task.cause() else {
                    panic!("{error}")
                };
                let expected = match kind {
                    1 => "a string of its own",
                    2 => "a literal",
                    5 => "index out of bounds",
                    _ => "not a string",
                };
                assert!(message.contains(expected), "{message}");
            }
            assert_eq!(same::remote(1).get()?, 1);
        }
        Ok(())
    });
}

#[test]
fn futures_that_are_given_up_at_any_point_leave_every_place_free() {
    for schedulers in [1, 2, 5] {
        beside_runtime(quiet(schedulers), |_| {
            let first = Echo::options().scheduler(0).remote();
            let last = Echo::options().scheduler(schedulers - 1).remote();
            let graph = Graph::new(|x: Node<u64>| last.echo_late().bind(first.echo().bind(x)));
            let graph = graph.compile_with(CompileOptions {
                max_inflight: Some(2),
                ..Default::default()
            });
            let graph = std::sync::Arc::new(graph.expect("it compiles"));
            let tokio = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_time()
                .build()
                .expect("it starts");
            tokio.block_on(async {
                let clients: Vec<_> = (0..6_u64)
                    .map(|client| {
                        let graph = graph.clone();
                        tokio::spawn(async move {
                            for at in 0..500 {
                                let x = client << 32 | at;
                                let run = async {
                                    let result = graph.execute_async(x).await?;
                                    assert_eq!(result.await?, x);
                                    Ok::<_, Error>(())
                                };
                                match at % 3 {
                                    0 => run.await.expect("it runs"),
                                    1 => tokio::select! {
                                        biased;
                                        () = tokio::task::yield_now() => (),
                                        ended = run => ended.expect("it runs"),
                                    },
                                    _ => {
                                        let limit = Duration::from_micros(at % 60);
                                        if let Ok(ended) = tokio::time::timeout(limit, run).await {
                                            ended.expect("it runs");
                                        }
                                    }
                                }
                            }
                        })
                    })
                    .collect();
                for client in clients {
                    client.await.expect("no panic");
                }
            });
            while graph.free_capacity() < 2 {
                std::thread::yield_now();
            }
            for x in 0..10 {
                let result = graph.execute(x).and_then(|result| result.get());
                assert_eq!(result.expect("it runs"), x);
            }
        });
    }
}

#[test]
fn either_actor_may_die_with_runs_in_flight() {
    for schedulers in [1, 2, 5] {
        both_ways(quiet(schedulers), |_| {
            for round in 0..100_u64 {
                let first = Echo::options().scheduler(0).remote();
                let last = Echo::options().scheduler(schedulers - 1).remote();
                let graph = Graph::new(|x: Node<u64>| last.echo().bind(first.echo_late().bind(x)));
                let graph = graph.compile()?;
                let beside = Graph::new(|x: Node<u64>| last.echo().bind(x)).compile()?;
                let results: Vec<_> = (0..5).map(|x| graph.execute(x)).collect::<Result<_, _>>()?;
                let first_dies = round % 2 == 0;
                maser::kill(if first_dies { &first } else { &last });
                for (expected, result) in (0..).zip(&results) {
                    match result.get() {
                        Ok(value) => assert_eq!(value, expected),
                        Err(error) => {
                            assert!(matches!(error.root(), Error::ActorDied { .. }), "{error}");
                        }
                    }
                }
                if first_dies {
                    assert_eq!(beside.execute(7)?.get()?, 7);
                    let again = Graph::new(|x: Node<u64>| last.echo().bind(x)).compile()?;
                    assert_eq!(again.execute(8)?.get()?, 8);
                }
            }
            Ok(())
        });
    }
}
