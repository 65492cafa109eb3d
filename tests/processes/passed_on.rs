//! Results of runs that are passed on to tasks, methods and graphs in other processes, and from graphs
//! that run there.

use maser::prelude::*;
use maser::{Array, CompileOptions};

use crate::graph_actors::{here, in_runtime, there};

#[maser::task]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[maser::task]
fn length(of: &Array<u8>) -> usize {
    of.len()
}

struct Maker;

#[maser::actor]
impl Maker {
    fn new() -> Self {
        Maker
    }
    fn make(&mut self, bytes: u64) -> Array<u8> {
        Array::from_vec(vec![3; bytes as usize])
    }
}

#[test]
fn a_result_is_an_argument_of_a_method_in_another_process() {
    in_runtime(2, || {
        for (first, second) in [
            (there(1), here(10)),
            (here(1), there(10)),
            (there(1), there(10)),
        ] {
            let graph = Graph::new(|x: Node<u64>| first.add().bind(x)).compile()?;
            let other = Graph::new(|x: Node<u64>| second.add().bind(x)).compile()?;
            for x in 0..50 {
                let result = graph.execute(x)?;
                let called = second.add().remote(&result);
                let task = add::remote(&result, 100);
                let run = other.execute(&result)?;
                let moved = other.execute(graph.execute(x)?)?;
                assert_eq!(called.get()?, x + 11);
                assert_eq!(task.get()?, x + 101);
                assert_eq!((run.get()?, moved.get()?), (x + 11, x + 11));
                assert_eq!(result.get()?, x + 1);
            }
            graph.teardown()?;
            other.teardown()?;
        }
        Ok(())
    });
}

#[test]
fn a_result_that_has_not_come_is_passed_on_between_processes() {
    in_runtime(2, || {
        let (slow, fast) = (there(0), there(10));
        let graph = Graph::new(|x: Node<u64>| slow.sleep().bind(x)).compile()?;
        let other = Graph::new(|x: Node<u64>| fast.add().bind(x)).compile_with(CompileOptions {
            max_inflight: Some(3),
            ..Default::default()
        })?;
        for _ in 0..5 {
            let late = graph.execute(20)?;
            let runs = [
                other.execute(&late)?,
                other.execute(1)?,
                other.execute(late)?,
            ];
            let values = runs.map(|run| run.get());
            assert!(matches!(values, [Ok(30), Ok(11), Ok(30)]), "{values:?}");
        }
        Ok(())
    });
}

#[test]
fn an_array_is_passed_on_between_processes_as_a_ref_is() {
    in_runtime(2, || {
        let maker = Maker::options()
            .isolation(maser::Isolation::Process)
            .remote();
        let graph = Graph::new(|x: Node<u64>| maker.make().bind(x)).compile()?;
        let array = graph.execute(1 << 20)?;
        assert_eq!(length::remote(&array).get()?, 1 << 20);
        assert_eq!(length::remote(array.to_ref()).get()?, 1 << 20);
        assert_eq!(array.take()?[77], 3);
        Ok(())
    });
}

#[test]
fn the_death_of_a_process_is_the_error_of_those_its_results_were_passed_to() {
    in_runtime(2, || {
        let (dying, other) = (there(0), here(1));
        let graph = Graph::new(|x: Node<u64>| dying.abort_at().bind(7, x)).compile()?;
        let next = Graph::new(|x: Node<u64>| other.add().bind(x)).compile()?;
        assert_eq!(next.execute(graph.execute(3)?)?.get()?, 4);
        let last = graph.execute(7)?;
        let (task, run) = (add::remote(&last, 1), next.execute(&last)?);
        for outcome in [task.get(), run.get(), last.get()] {
            let error = outcome.expect_err("the process ended");
            assert!(matches!(error.root(), Error::ActorDied { .. }), "{error}");
        }
        assert_eq!(next.execute(5)?.get()?, 6);
        Ok(())
    });
}
