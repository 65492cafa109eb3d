//! What a compiled graph says of itself, and the teardown that ends its actors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use maser::prelude::*;
use maser::{CompileOptions, Timeout};
use maser_tests::{both_ways, quiet, with_runtime};

use crate::actors::{Door, behind, worker};

#[test]
fn a_graph_tells_its_number_its_capacity_and_whether_it_is_over() {
    both_ways(quiet(2), |_| {
        let door = Door::default();
        let a = behind(&door, 1);
        let graph =
            Graph::new(|x: Node<u64>| a.through().bind(x)).compile_with(CompileOptions {
                max_inflight: Some(3),
                ..Default::default()
            })?;
        let other = Graph::new(|x: Node<u64>| a.echo().bind(x)).compile()?;
        assert_ne!(graph.id(), other.id());
        let name = format!("CompiledGraph({:016x})", graph.id());
        assert_eq!(graph.to_string(), name);
        assert_eq!((graph.max_inflight(), graph.in_flight()), (3, 0));
        assert!(!graph.is_torn_down());

        let closed = door.close();
        let runs = [graph.execute(1)?, graph.execute(2)?];
        assert_eq!((graph.in_flight(), graph.free_capacity()), (2, 1));
        assert_eq!(
            format!("{graph:?}"),
            format!("{name}, 2 of 3 runs in flight")
        );
        drop(closed);
        assert_eq!(maser::get_graph(&runs)?, [1, 2]);
        assert_eq!((graph.in_flight(), graph.free_capacity()), (0, 3));
        graph.teardown()?;
        assert!(graph.is_torn_down() && !other.is_torn_down());
        assert_eq!(
            format!("{graph:?}"),
            format!("{name}, 0 of 3 runs in flight, over")
        );
        maser::kill(&a);
        while !other.is_torn_down() {
            maser::yield_now();
        }
        Ok(())
    });
}

#[test]
fn a_ref_tells_its_graph_its_run_and_its_place_among_several_outputs() {
    with_runtime(quiet(2), |_| {
        let a = worker(1);
        let graph = Graph::new(|x: Node<u64>| (a.echo().bind(x), a.text().bind("b")));
        let graph = graph.compile().unwrap();
        drop(graph.execute(1).unwrap());
        let (number, text) = graph.execute(2).unwrap();
        let id = format!("{:016x}", graph.id());
        assert_eq!(
            number.to_string(),
            format!("GraphRef({id}, run=1, output=0)")
        );
        assert_eq!(text.to_string(), format!("GraphRef({id}, run=1, output=1)"));
    });
}

#[test]
fn teardown_and_kill_ends_the_actors_of_the_graph_and_no_others() {
    both_ways(quiet(2), |_| {
        let (a, b, outside) = (worker(0), worker(1), worker(1));
        let graph = Graph::new(|x: Node<u64>| b.add().bind(a.add().bind(x, 1), 1)).compile()?;
        let of_a = Graph::new(|x: Node<u64>| a.echo().bind(x)).compile()?;
        let result = graph.execute(1)?;
        assert_eq!(result.get()?, 3);
        graph.teardown_and_kill()?;
        for dead in [&a, &b] {
            let error = dead.echo().remote(1).get().expect_err("it was ended");
            assert!(matches!(error.root(), Error::ActorDied { .. }), "{error}");
        }
        assert_eq!(outside.echo().remote(5).get()?, 5);
        assert_eq!(result.get()?, 3, "what arrived before stays to be had");
        assert!(matches!(graph.execute(1), Err(Error::ChannelClosed { .. })));
        let told = of_a.execute(1).and_then(GraphRef::take);
        let told = told.expect_err("its actor was ended");
        assert!(matches!(told.root(), Error::ActorDied { .. }), "{told}");
        // Again, and after a teardown.
        graph.teardown_and_kill()?;
        graph.teardown()
    });
}

#[test]
fn teardown_and_kill_keeps_its_limit_and_ends_the_actors_all_the_same() {
    /// 1: the step runs; 2: it may end.
    type Stage = Arc<AtomicU64>;
    struct Stuck;
    #[maser::actor(local)]
    impl Stuck {
        fn new() -> Self {
            Stuck
        }
        fn spin(&mut self, stage: Stage) -> u64 {
            stage.fetch_max(1, Ordering::AcqRel);
            while stage.load(Ordering::Acquire) < 2 {
                std::hint::spin_loop();
            }
            1
        }
    }
    both_ways(quiet(2), |_| {
        let stuck = Stuck::options().scheduler(1).remote();
        let stage = Stage::default();
        let graph = Graph::new(|stage: Node<Stage>| stuck.spin().bind(stage)).compile_with(
            CompileOptions {
                teardown_timeout: Some(Timeout::After(Duration::from_millis(20))),
                ..Default::default()
            },
        )?;
        let run = graph.execute(stage.clone())?;
        while stage.load(Ordering::Acquire) < 1 {
            std::thread::yield_now();
        }
        let error = graph
            .teardown_and_kill()
            .expect_err("its scheduler is stuck");
        assert!(error.is_timeout(), "{error}");
        assert!(run.get().is_err());
        stage.store(2, Ordering::Release);
        let dead = stuck.spin().remote(stage).get().expect_err("it was ended");
        assert!(matches!(dead.root(), Error::ActorDied { .. }), "{dead}");
        Ok(())
    });
}

/// What readers of one value do with it is their own business.
#[test]
fn two_readers_of_one_value_never_share_it() {
    #[maser::task(local)]
    fn append(mut list: Vec<u64>) -> Vec<u64> {
        list.push(1);
        list
    }
    #[maser::task(local)]
    #[allow(clippy::ptr_arg, reason = "its input is a vector, and it only reads")]
    fn length(list: &Vec<u64>) -> usize {
        list.len()
    }
    struct Lists;
    #[maser::actor(local)]
    impl Lists {
        fn new() -> Self {
            Lists
        }
        fn echo(&mut self, list: Vec<u64>) -> Vec<u64> {
            list
        }
        fn append(&mut self, mut list: Vec<u64>) -> Vec<u64> {
            list.push(1);
            list
        }
        fn length(&mut self, list: Vec<u64>) -> usize {
            list.len()
        }
    }
    both_ways(quiet(2), |_| {
        let lists = Lists::options().scheduler(1).remote();
        let graph = Graph::new(|x: Node<Vec<u64>>| {
            let list = lists.echo().bind(x);
            (
                lists.append().bind(list),
                lists.length().bind(list),
                append::bind(list),
                length::bind(list),
            )
        })
        .compile()?;
        for _ in 0..10 {
            let told = maser::get_graph(&graph.execute(Vec::new())?)?;
            assert_eq!(told, (vec![1], 0, vec![1], 0));
        }
        Ok(())
    });
}

/// A first step that loads or compiles something takes longer than any default: each wait has a limit
/// of its own, and one that was too short is no loss.
#[test]
fn a_slow_first_run_needs_no_other_configuration_and_costs_no_result() {
    both_ways(quiet(2).graph_get_timeout(Duration::from_millis(5)), |_| {
        let door = Door::default();
        let a = behind(&door, 1);
        let graph = Graph::new(|x: Node<u64>| a.through().bind(x)).compile()?;
        let closed = door.close();
        let runs = [graph.execute(1)?, graph.execute(2)?];
        for _ in 0..3 {
            assert!(runs[0].get().is_err_and(|error| error.is_timeout()));
            let several = maser::get_graph(&runs);
            assert!(several.is_err_and(|error| error.is_timeout()));
        }
        std::thread::scope(|scope| {
            let patient = scope.spawn(|| runs[0].get_timeout(Duration::from_secs(1000)));
            drop(closed);
            assert_eq!(patient.join().unwrap().unwrap(), 1);
        });
        assert_eq!(runs[1].get_timeout(Duration::from_secs(1000))?, 2);
        Ok(())
    });
}
