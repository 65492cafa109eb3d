//! What a runtime leaves behind: nothing but the values that somebody still holds.

use std::path::Path;

use maser::RefStream;
use maser::prelude::*;
use maser_shm::arena::pool;
use maser_tests::{alone, part, quiet, rerun, with_runtime};

use crate::program::{Echo, Keeper, count_to, double, gets, sleeps, takes, trickles, two};
use crate::support::{Count, gate, held};

/// What this process has: threads, descriptors, mappings, blocks of the pool.
fn possessions() -> [usize; 4] {
    let entries = |path: &str| Path::new(path).read_dir().expect("it is there").count();
    let maps = std::fs::read_to_string("/proc/self/maps").expect("it is there");
    [
        entries("/proc/self/task"),
        entries("/proc/self/fd"),
        maps.lines().count(),
        pool::stats().live_blocks_total(),
    ]
}

/// A little of everything, some of it left unfinished.
fn live_a_little(round: u64) -> maser::Result<()> {
    let count = Count::default();
    let gate = gate();
    let closed = gate.lock()?;
    let refs: Vec<_> = (0..20).map(double::remote).collect();
    let keeper = Keeper::options().name("keeper").remote();
    for _ in 0..10 {
        drop(keeper.keep().remote(count.make()));
    }
    let never = held::remote(gate.clone(), 1);
    drop(gets::remote(
        count.make(),
        maser::put(maser::put(never.clone())),
    ));
    drop(sleeps::remote(count.make()));
    drop(takes::remote(count.make(), &never));
    drop(trickles::remote(gate.clone()));
    assert_eq!(maser::get(&refs)?[3], 6);
    let graph = Graph::new(|x: Node<u64>| keeper.echo().bind(double::bind(x))).compile()?;
    assert_eq!(graph.execute(round)?.get()?, 2 * round);
    drop(closed);
    Ok(())
}

#[test]
fn a_hundred_runtimes_leave_nothing_behind() {
    let name = "leftovers::a_hundred_runtimes_leave_nothing_behind";
    if part().is_none() {
        // Counted in a process where nothing else begins or ends.
        let output = rerun(name, "count");
        assert!(output.status.success(), "{output:?}");
        return;
    }
    alone(|| {
        let cycle = |round| {
            maser::run(quiet(2), |_| live_a_little(round))
                .expect("it starts")
                .expect("it lives");
            let maser = quiet(3).init().expect("it starts");
            live_a_little(round).expect("it lives");
            drop(maser);
        };
        // The first ones fill pools and caches.
        (0..10).for_each(cycle);
        let before = possessions();
        (10..60).for_each(cycle);
        let after = possessions();
        assert_eq!(before[0], after[0], "threads: {before:?} {after:?}");
        assert_eq!(before[1], after[1], "descriptors: {before:?} {after:?}");
        assert!(after[2] <= before[2] + 16, "mappings: {before:?} {after:?}");
        assert_eq!(before[3], after[3], "blocks: {before:?} {after:?}");
    });
}

#[test]
fn values_of_an_old_runtime_stay_readable_and_its_handles_are_refused() {
    let leave = || {
        let keeper = Keeper::options().scheduler(2).name("old").remote();
        let value = double::remote(21);
        let error = double::options().num_cpus(99).remote(1);
        maser::wait(&[value.clone(), error.clone()], 2, None).expect("they end");
        keeper.echo().remote(1).get().expect("it lives");
        let graph = Graph::new(|x: Node<u64>| keeper.echo().bind(x))
            .compile()
            .expect("it compiles");
        let result = graph.execute(4).expect("it runs");
        result.get().expect("it runs");
        (keeper, value, error, graph, result, count_to::remote(3))
    };
    let look = |new_runtime: bool| {
        let refused = |result: maser::Result<u64>| {
            let error = result.expect_err("its runtime is gone");
            let typed = matches!(
                error.root(),
                Error::NotRunning { .. }
                    | Error::ShutDown { .. }
                    | Error::ActorDied { .. }
                    | Error::ChannelClosed { .. }
            );
            assert!(typed, "{error:?}");
        };
        #[allow(clippy::type_complexity, reason = "one handle of every kind")]
        move |(keeper, value, error, graph, result, stream): (
            Actor<Keeper>,
            Ref<u64>,
            Ref<u64>,
            CompiledGraph<Node<u64>, Node<u64>>,
            GraphRef<u64>,
            RefStream<u64>,
        )| {
            assert_eq!(value.get().expect("it was finished"), 42);
            assert_eq!(value.read().copied().expect("it was finished"), 42);
            assert!(matches!(error.get(), Err(Error::Infeasible { .. })));
            if new_runtime {
                assert_eq!(double::remote(&value).get().expect("it runs"), 84);
            }
            for _ in 0..3 {
                refused(keeper.echo().remote(1).get());
                refused(keeper.echo().remote(&value).get());
                let (one, other) = keeper.clone().two().remote(1);
                refused(one.get());
                refused(other.get());
            }
            maser::kill(&keeper);
            assert!(maser::get_actor::<Keeper>("old").is_err());
            refused(graph.execute(1).and_then(|result| result.get()));
            assert_eq!(result.get().expect("it was finished"), 4);
            drop(graph.teardown());
            assert!(stream.count() <= 4, "it ends");
            assert_eq!(value.take().expect("it was finished"), 42);
        }
    };
    alone(|| {
        let left = maser::run(quiet(3), |_| leave()).expect("it starts");
        look(false)(left);
        let left = maser::run(quiet(3), |_| leave()).expect("it starts");
        // The new one has fewer schedulers than the old actor's number.
        maser::run(quiet(1), |_| look(true)(left)).expect("it starts");
        let maser = quiet(3).init().expect("it starts");
        let left = leave();
        drop(maser);
        let maser = quiet(2).init().expect("it starts");
        look(true)(left);
        drop(maser);
    });
}

#[test]
fn ten_thousand_mixed_operations_leave_no_block_behind() {
    fn operations(schedulers: usize) -> maser::Result<()> {
        let echoes: Vec<_> = (0..schedulers)
            .map(|at| Echo::options().scheduler(at).remote())
            .collect();
        for round in 0..10_000 {
            let echo = &echoes[round as usize % schedulers];
            match round % 10 {
                0 => drop(maser::put(round)),
                1 => drop(double::remote(round)),
                2 => assert_eq!(double::remote(maser::put(round)).take()?, 2 * round),
                3 => drop(echo.echo().remote(double::remote(round))),
                4 => assert_eq!(echo.echo().remote(round).get()?, round),
                5 => assert_eq!(count_to::remote(round % 20).count() as u64, round % 20),
                6 => drop(two::remote(round)),
                7 => drop(maser::wait(
                    &[double::remote(1), double::remote(2)],
                    1,
                    None,
                )?),
                8 => drop(Echo::remote().echo().remote(round)),
                _ => assert!(!double::remote(round).clone().get()?.is_multiple_of(2) || round > 0),
            }
        }
        Ok(())
    }
    for schedulers in [1, 2] {
        alone(|| {
            let before = pool::stats().live_blocks;
            let done = maser::run(quiet(schedulers), |_| operations(schedulers));
            done.expect("it starts").expect("all succeed");
            assert_eq!(pool::stats().live_blocks, before);
            let maser = quiet(schedulers).init().expect("it starts");
            operations(schedulers).expect("all succeed");
            drop(maser);
            assert_eq!(pool::stats().live_blocks, before);
        });
    }
    // While it runs, too: what is dropped is given back without a shutdown.
    with_runtime(quiet(2), |_| {
        operations(2).expect("all succeed");
        let before = pool::stats().live_blocks_total();
        for _ in 0..3 {
            operations(2).expect("all succeed");
        }
        // Calls whose refs were dropped may still be under way.
        while pool::stats().live_blocks_total() > before + 50 {
            maser::yield_now();
        }
    });
}

#[test]
fn actors_that_were_made_without_a_runtime_leave_no_block_behind() {
    alone(|| {
        let none = || {
            let echo = Echo::remote();
            let error = echo.echo().remote(1).get();
            assert!(matches!(error, Err(Error::NotRunning { .. })), "{error:?}");
        };
        none();
        let before = pool::stats().live_blocks_total();
        (0..100).for_each(|_| none());
        assert_eq!(pool::stats().live_blocks_total(), before);
    });
}
