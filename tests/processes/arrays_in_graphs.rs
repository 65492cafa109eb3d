//! Arrays on the edges of compiled graphs between processes: read where they were written, and nothing
//! of them left when nobody holds them, however the graph ends.

use crate::arrays::{
    Batch, MIB, Picky, Reader, Whereabouts, batch, config, numbers, objects, objects_become,
    reader, sum_to, whereabouts,
};
use maser::{Array, Error, Graph, Isolation, Node};

/// More than goes along an edge as its bytes.
const LEN: usize = 1000;

/// Stages of a graph.
struct Stage {
    gate: bool,
    kept: Vec<Array<u64>>,
}

#[maser::actor]
impl Stage {
    fn new() -> Self {
        Stage {
            gate: true,
            kept: Vec::new(),
        }
    }

    /// The same array.
    fn pass(&mut self, array: Array<u64>) -> Array<u64> {
        array
    }

    /// Another one, made here; its first element says where it is.
    fn doubled(&mut self, array: Array<u64>) -> Array<u64> {
        let mut doubled = Array::in_store(array.len()).unwrap();
        for (to, from) in doubled.iter_mut().zip(&array) {
            *to = 2 * from;
        }
        doubled.seal()
    }

    fn place(&mut self, array: Array<u64>) -> (u64, Whereabouts) {
        (array.iter().sum(), whereabouts(&array))
    }

    fn both(&mut self, one: Array<u64>, other: Array<u64>) -> (Array<u64>, u64) {
        let sum = one.iter().chain(&other).sum();
        (other, sum)
    }

    fn keep(&mut self, array: Array<u64>) -> usize {
        self.kept.push(array);
        self.kept.len()
    }

    fn sum_of_kept(&mut self) -> u64 {
        self.kept.iter().flatten().sum()
    }

    fn forget(&mut self) {
        self.kept.clear();
    }

    /// Does not come back while the gate is shut.
    fn slow(&mut self, array: Array<u64>) -> Array<u64> {
        if self.gate {
            loop {
                std::thread::yield_now();
            }
        }
        array
    }

    fn dies(&mut self, array: Array<u64>) -> Array<u64> {
        if array[0] == 1 {
            std::process::abort();
        }
        array
    }

    fn collected(&mut self, len: u64) -> Array<u64> {
        (0..len).collect()
    }

    fn used(&self) -> u64 {
        maser::store_usage().unwrap().objects
    }
}

fn stage() -> maser::Actor<Stage> {
    Stage::options().isolation(Isolation::Process).remote()
}

/// Waits until nothing is left in the store of an actor's process.
fn nothing_is_left_of(stage: &maser::Actor<Stage>) {
    while stage.used().remote().get().unwrap() != 0 {}
}

#[test]
fn an_array_is_read_in_place_at_the_other_end_of_an_edge() {
    crate::run(config(), |_| {
        let stage = stage();
        let graph = Graph::new(|array: Node<Array<u64>>| stage.place().bind(array));
        let graph = graph.compile().unwrap();
        let array = numbers(LEN);
        let (sum, place) = graph.execute(array.clone()).unwrap().get().unwrap();
        let here = whereabouts(&array);
        assert_eq!(sum, sum_to(LEN));
        assert_eq!((place.file, place.offset), (here.file, here.offset));
        assert!(here.writable && !place.writable);
        drop(array);
        objects_become(0);
        graph.teardown().unwrap();
    })
    .unwrap();
}

#[test]
fn a_large_array_that_comes_home_over_edges_is_the_one_that_left() {
    crate::run(config(), |_| {
        let stage = stage();
        let graph = Graph::new(|array: Node<Array<u64>>| stage.pass().bind(array));
        let graph = graph.compile().unwrap();
        let array = numbers(64 * MIB / 8);
        for _ in 0..20 {
            let back = graph.execute(array.clone()).unwrap().get().unwrap();
            assert_eq!(back.as_ptr(), array.as_ptr());
            assert!(!back.is_foreign());
        }
        assert_eq!(objects(), 1);
        drop(array);
        objects_become(0);
        assert_eq!(stage.used().remote().get().unwrap(), 0);
    })
    .unwrap();
}

#[test]
fn an_array_of_a_worker_is_read_in_place_by_the_next_one() {
    crate::run(config(), |_| {
        let (one, two, three) = (stage(), stage(), stage());
        let graph = Graph::new(|array: Node<Array<u64>>| {
            let doubled = one.doubled().bind(array);
            (
                two.place().bind(doubled),
                three.place().bind(doubled),
                doubled,
            )
        });
        let graph = graph.compile().unwrap();
        for _ in 0..5 {
            let refs = graph.execute(numbers(LEN)).unwrap();
            let (sum, place) = refs.0.get().unwrap();
            assert_eq!((sum, place.writable), (2 * sum_to(LEN), false));
            assert_eq!(refs.1.get().unwrap(), (sum, place));
            let doubled = refs.2.get().unwrap();
            let here = whereabouts(&doubled);
            assert_eq!((place.file, place.offset), (here.file, here.offset));
        }
        objects_become(0);
        nothing_is_left_of(&one);
        graph.teardown().unwrap();
    })
    .unwrap();
}

#[test]
fn what_a_worker_passes_on_to_another_one_is_a_copy_of_its_own() {
    crate::run(config(), |_| {
        let (one, two, three) = (stage(), stage(), stage());
        let graph = Graph::new(|array: Node<Array<u64>>| {
            let passed = two.pass().bind(one.pass().bind(array));
            (three.place().bind(passed), passed)
        });
        let graph = graph.compile().unwrap();
        let array = numbers(LEN);
        let refs = graph.execute(array.clone()).unwrap();
        let (sum, place) = refs.0.get().unwrap();
        assert_eq!(sum, sum_to(LEN));
        assert_ne!(place.file, whereabouts(&array).file);
        let back = refs.1.get().unwrap();
        assert_eq!(back, array);
        drop((array, back, refs));
        objects_become(0);
        nothing_is_left_of(&one);
        nothing_is_left_of(&two);
    })
    .unwrap();
}

#[test]
fn an_array_goes_past_another_actor_and_back_to_its_own() {
    crate::run(config(), |_| {
        let (one, two) = (stage(), stage());
        let graph = Graph::new(|array: Node<Array<u64>>| {
            let first = one.doubled().bind(array);
            one.both().bind(first, two.doubled().bind(first))
        });
        let graph = graph.compile().unwrap();
        for _ in 0..5 {
            let (array, sum) = graph.execute(numbers(LEN)).unwrap().get().unwrap();
            assert_eq!(sum, 6 * sum_to(LEN));
            assert_eq!(array.iter().sum::<u64>(), 4 * sum_to(LEN));
        }
        objects_become(0);
        nothing_is_left_of(&one);
        nothing_is_left_of(&two);
    })
    .unwrap();
}

#[test]
fn small_and_large_arrays_come_through_any_value_on_an_edge() {
    crate::run(config(), |_| {
        let (one, other) = (reader(), reader());
        let graph = Graph::new(|batch: Node<Batch>| other.echo().bind(one.echo().bind(batch)));
        let graph = graph.compile().unwrap();
        let mut batch = batch();
        for len in [0, 256, 257, 100_000] {
            let column = (0..len).map(|at| at as f32).collect::<Array<f32>>();
            batch.columns.push(column.clone());
            batch.columns.push(column.slice(len / 3..len));
            for _ in 0..3 {
                assert_eq!(graph.execute(batch.clone()).unwrap().get().unwrap(), batch);
            }
        }
        drop(batch);
        objects_become(0);
        graph.teardown().unwrap();
    })
    .unwrap();
}

#[test]
fn an_actor_keeps_an_array_of_an_edge_beyond_the_graph() {
    crate::run(config(), |_| {
        let (one, two) = (stage(), stage());
        let graph = Graph::new(|array: Node<Array<u64>>| {
            let doubled = one.doubled().bind(array);
            (one.keep().bind(array), two.keep().bind(doubled))
        });
        let graph = graph.compile().unwrap();
        let refs = graph.execute(numbers(LEN)).unwrap();
        assert_eq!((refs.0.get().unwrap(), refs.1.get().unwrap()), (1, 1));
        graph.teardown().unwrap();
        drop((refs, graph));
        assert_eq!(objects(), 1);
        assert_eq!(one.sum_of_kept().remote().get().unwrap(), sum_to(LEN));
        assert_eq!(two.sum_of_kept().remote().get().unwrap(), 2 * sum_to(LEN));
        one.forget().remote().get().unwrap();
        objects_become(0);
        assert_eq!(one.used().remote().get().unwrap(), 1);
        two.forget().remote().get().unwrap();
        nothing_is_left_of(&one);
    })
    .unwrap();
}

#[test]
fn values_that_nobody_took_go_back_when_the_graph_is_torn_down() {
    crate::run(config(), |_| {
        let (one, two) = (stage(), stage());
        for round in 0..6 {
            let graph = Graph::new(|array: Node<Array<u64>>| {
                let doubled = one.doubled().bind(array);
                (two.doubled().bind(doubled), one.pass().bind(array), doubled)
            });
            let graph = graph.compile().unwrap();
            let refs: Vec<_> = (0..30)
                .map(|_| graph.execute(numbers(LEN)).unwrap())
                .collect();
            match round % 3 {
                0 => {
                    graph.teardown().unwrap();
                    drop(refs);
                }
                1 => {
                    drop(refs);
                    graph.teardown().unwrap();
                }
                _ => {
                    drop(refs[20].0.get().unwrap());
                    drop(graph);
                    drop(refs);
                }
            }
            objects_become(0);
            nothing_is_left_of(&one);
            nothing_is_left_of(&two);
        }
    })
    .unwrap();
}

#[test]
fn a_reader_that_dies_in_mid_flight_holds_nothing() {
    crate::run(config(), |_| {
        let one = stage();
        let victim = stage();
        let graph = Graph::new(|array: Node<Array<u64>>| {
            let doubled = one.doubled().bind(array);
            (victim.dies().bind(array), victim.place().bind(doubled))
        });
        let graph = graph.compile().unwrap();
        let refs: Vec<_> = (0..10)
            .map(|at| {
                let mut array = Array::in_store(LEN).unwrap();
                array.fill(u64::from(at == 5));
                graph.execute(array.seal()).unwrap()
            })
            .collect();
        let error = refs[9].0.get().unwrap_err();
        assert!(matches!(error, Error::ActorDied { .. }), "{error}");
        drop((refs, graph));
        objects_become(0);
        nothing_is_left_of(&one);
    })
    .unwrap();
}

#[test]
fn what_a_worker_sent_before_it_died_stays_readable_and_then_goes() {
    crate::run(config(), |_| {
        let (one, two) = (stage(), stage());
        let graph = Graph::new(|array: Node<Array<u64>>| {
            let doubled = one.doubled().bind(array);
            let died = one.dies().bind(array);
            (two.keep().bind(doubled), doubled, died)
        });
        let graph = graph.compile().unwrap();
        let refs = graph.execute(numbers(LEN)).unwrap();
        assert_eq!(refs.0.get().unwrap(), 1);
        let doubled = refs.1.get().unwrap();
        let mut ones = Array::in_store(LEN).unwrap();
        ones.fill(1);
        let last = graph.execute(ones.seal()).unwrap();
        let error = last.2.get().unwrap_err();
        assert!(matches!(error, Error::ActorDied { .. }), "{error}");
        assert_eq!(doubled.iter().sum::<u64>(), 2 * sum_to(LEN));
        // Whether the array of the last run got through is a matter of timing.
        let kept = two.sum_of_kept().remote().get().unwrap();
        assert!(
            [0, 2 * LEN as u64].contains(&(kept - 2 * sum_to(LEN))),
            "{kept}"
        );
        drop((graph, refs, last, doubled));
        two.forget().remote().get().unwrap();
        objects_become(0);
        nothing_is_left_of(&two);
    })
    .unwrap();
}

#[test]
fn a_step_that_never_ends_keeps_what_it_reads_and_no_more() {
    crate::run(config(), |_| {
        let (one, stuck) = (stage(), stage());
        let graph = Graph::new(|array: Node<Array<u64>>| {
            let doubled = one.doubled().bind(array);
            (stuck.place().bind(doubled), stuck.slow().bind(doubled))
        });
        let options = maser::CompileOptions {
            teardown_timeout: Some(maser::Timeout::After(std::time::Duration::from_millis(100))),
            ..Default::default()
        };
        let graph = graph.compile_with(options).unwrap();
        let refs: Vec<_> = (0..5)
            .map(|_| graph.execute(numbers(LEN)).unwrap())
            .collect();
        // The next step has begun when this one's result is there.
        assert_eq!(refs[0].0.get().unwrap().0, 2 * sum_to(LEN));
        graph.teardown().unwrap_err();
        maser::kill(&stuck);
        drop((refs, graph));
        objects_become(0);
        nothing_is_left_of(&one);
    })
    .unwrap();
}

#[test]
fn an_array_that_finds_no_room_on_its_way_is_the_error_of_its_run() {
    crate::run(config().store_bytes(16 * MIB), |_| {
        let stage = stage();
        let graph = Graph::new(|len: Node<u64>| stage.collected().bind(len));
        let graph = graph.compile().unwrap();
        let error = graph.execute(3 * MIB as u64).unwrap().get().unwrap_err();
        let Error::StoreFull(full) = error.root() else {
            panic!("{error}");
        };
        assert_eq!((full.asked, full.budget), (24 * MIB, 16 * MIB));
        let array = graph.execute(1000_u64).unwrap().get().unwrap();
        assert_eq!(array.iter().sum::<u64>(), sum_to(1000));
    })
    .unwrap();
}

#[test]
fn what_cannot_be_decoded_at_the_end_of_an_edge_gives_its_arrays_back() {
    crate::run(config(), |_| {
        let reader: maser::Actor<Reader> = reader();
        let graph = Graph::new(|value: Node<Picky>| reader.refuse().bind(value));
        let graph = graph.compile().unwrap();
        let error = graph
            .execute(Picky(numbers(LEN)))
            .unwrap()
            .get()
            .unwrap_err();
        assert!(matches!(error.root(), Error::NotPortable { .. }), "{error}");
        objects_become(0);
    })
    .unwrap();
}
