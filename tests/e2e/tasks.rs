//! Tasks: arguments, results, placement, nesting and stealing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use maser::{Error, Ref};
use maser_tests::{beside_runtime, both_ways, quiet, with_runtime};

#[maser::task]
fn join(a: String, b: &str, c: Option<u8>, (d, e): (i8, bool), f: &[u16]) -> String {
    format!("{a} {b} {c:?} {d} {e} {f:?}")
}

#[test]
fn every_argument_is_a_value_or_a_ref() {
    both_ways(quiet(2), |_| {
        let expected = "a b Some(1) -2 true [3, 4]";
        let a = maser::put(String::from("a"));
        let b = maser::put(String::from("b"));
        let c = maser::put(Some(1));
        let d = maser::put((-2, true));
        let f = maser::put(vec![3, 4]);
        let of_values = join::remote("a", "b", Some(1), (-2, true), vec![3, 4]);
        assert_eq!(of_values.get()?, expected);
        let of_refs = join::remote(&a, &b, &c, &d, &f);
        assert_eq!(of_refs.get()?, expected);
        let mixed = join::remote(a, "b", c, (-2, true), f);
        assert_eq!(mixed.get()?, expected);
        assert_eq!(
            join("a".into(), "b", Some(1), (-2, true), &[3, 4]),
            expected
        );
        Ok(())
    });
}

#[maser::task]
fn parse(text: &str) -> Result<u64, std::num::ParseIntError> {
    text.parse()
}

#[maser::task(num_returns = 2)]
fn halves(x: u64) -> Result<(u64, String), std::io::Error> {
    if x % 2 == 1 {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    Ok((x / 2, format!("half of {x}")))
}

#[test]
fn results_and_tuples_come_as_they_are_declared() {
    both_ways(quiet(2), |_| {
        assert_eq!(parse::remote("12").get()?, 12);
        assert!(parse::remote("twelve").get().is_err());
        let (half, text) = halves::remote(parse::remote("12"));
        assert_eq!((half.get()?, text.get()?), (6, "half of 12".into()));
        let (half, text) = halves::remote(7);
        for error in [half.get().map(drop), text.get().map(drop)] {
            let error = error.expect_err("7 is odd");
            let io = error.downcast_ref::<std::io::Error>();
            assert_eq!(
                io.map(std::io::Error::kind),
                Some(std::io::ErrorKind::InvalidInput)
            );
        }
        Ok(())
    });
}

#[maser::task]
fn fibonacci(n: u64) -> maser::Result<u64> {
    if n < 2 {
        return Ok(n);
    }
    let (a, b) = (fibonacci::remote(n - 1), fibonacci::remote(n - 2));
    Ok(a.get()? + b.get()?)
}

#[maser::task]
fn nest(levels: u64) -> maser::Result<u64> {
    match levels {
        0 => Ok(0),
        _ => Ok(1 + nest::remote(levels - 1).get()?),
    }
}

/// As `nest`, but the awaited task is never the newest of its queue.
#[maser::task]
fn nest_beside(levels: u64) -> maser::Result<u64> {
    match levels {
        0 => Ok(0),
        _ => {
            let below = nest_beside::remote(levels - 1);
            let beside = nest::remote(1);
            Ok(below.get()? + beside.get()?)
        }
    }
}

#[test]
fn tasks_wait_for_tasks_to_any_depth() {
    for schedulers in [1, 2] {
        both_ways(quiet(schedulers), |_| {
            assert_eq!(fibonacci::remote(15).get()?, 610);
            assert_eq!(nest::remote(1_000).get()?, 1_000);
            assert_eq!(nest_beside::remote(1_000).get()?, 1_000);
            Ok(())
        });
    }
}

#[maser::task]
fn grow(levels: u64) -> Option<Ref<u64>> {
    (levels > 0).then(|| double::remote(levels))
}

#[maser::task]
fn double(x: u64) -> u64 {
    2 * x
}

#[test]
fn a_task_may_return_refs_of_tasks_it_started() {
    both_ways(quiet(2), |_| {
        let refs: Vec<_> = (0..100).map(grow::remote).collect();
        for (levels, grown) in maser::get(&refs)?.into_iter().enumerate() {
            match grown {
                None => assert_eq!(levels, 0),
                Some(inner) => assert_eq!(inner.get()?, 2 * levels as u64),
            }
        }
        Ok(())
    });
}

#[test]
fn ten_thousand_tasks_from_four_threads_all_run_once() {
    #[maser::task(local)]
    fn count(ran: Arc<AtomicU64>, x: u64) -> u64 {
        ran.fetch_add(1, Ordering::Relaxed);
        x
    }
    for schedulers in [1, 2, 4] {
        beside_runtime(quiet(schedulers), |_| {
            let ran = Arc::new(AtomicU64::new(0));
            let sum: u64 = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4_u64)
                    .map(|thread| {
                        let ran = &ran;
                        scope.spawn(move || {
                            let refs: Vec<_> = (0..2_500)
                                .map(|x| count::remote(ran.clone(), 2_500 * thread + x))
                                .collect();
                            let got = maser::get(&refs).expect("all succeed");
                            assert!(got.iter().zip(got.iter().skip(1)).all(|(a, b)| a + 1 == *b));
                            got.into_iter().sum::<u64>()
                        })
                    })
                    .collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().expect("no panic"))
                    .sum()
            });
            assert_eq!(sum, (0..10_000).sum());
            assert_eq!(ran.load(Ordering::Relaxed), 10_000);
        });
    }
}

#[maser::task]
fn thread_name() -> String {
    std::thread::current().name().unwrap_or("").to_owned()
}

#[test]
fn a_task_runs_on_the_scheduler_it_was_given() {
    beside_runtime(quiet(3), |_| {
        for index in [0, 1, 2, 1, 0] {
            let name = thread_name::options().scheduler(index).remote();
            assert_eq!(name.get().expect("it runs"), format!("maser-{index}"));
        }
    });
    with_runtime(quiet(2), |_| {
        let here = std::thread::current().name().unwrap_or("").to_owned();
        let mine = thread_name::options().scheduler(0).remote();
        let other = thread_name::options().scheduler(1).remote();
        assert_eq!(mine.get().expect("it runs"), here);
        assert_eq!(other.get().expect("it runs"), "maser-1");
    });
}

#[test]
fn a_scheduler_that_does_not_exist_is_an_error_that_says_how_many_there_are() {
    both_ways(quiet(2), |_| {
        let error = thread_name::options().scheduler(2).remote().get();
        let error = error.expect_err("there are two");
        assert!(matches!(error, Error::InvalidArgument { .. }), "{error}");
        assert!(error.to_string().contains("there are 2"), "{error}");
        Ok(())
    });
}

#[maser::task(local)]
fn raise(flag: Arc<AtomicBool>) {
    flag.store(true, Ordering::Release);
}

/// Keeps its core, as user code that never waits does.
#[maser::task(local)]
fn spin_until(flag: Arc<AtomicBool>) {
    while !flag.load(Ordering::Acquire) {
        std::hint::spin_loop();
    }
}

#[test]
fn a_task_queued_behind_one_that_keeps_its_core_is_run_by_another_scheduler() {
    for schedulers in [2, 3, 4] {
        both_ways(quiet(schedulers), |_| {
            let flag = Arc::new(AtomicBool::new(false));
            let spinning = spin_until::remote(flag.clone());
            let raising = raise::remote(flag);
            spinning.get()?;
            raising.get()
        });
    }
}

#[test]
fn a_task_started_by_one_that_keeps_its_core_is_run_by_another_scheduler() {
    #[maser::task]
    fn start_and_spin() -> bool {
        let flag = Arc::new(AtomicBool::new(false));
        let raising = raise::remote(flag.clone());
        spin_until(flag);
        raising.is_ready() || raising.get().is_ok()
    }
    for schedulers in [2, 3, 4] {
        both_ways(quiet(schedulers), |_| {
            assert!(start_and_spin::remote().get()?);
            Ok(())
        });
    }
}

#[test]
fn tasks_of_foreign_threads_wait_for_no_scheduler_that_is_stuck() {
    beside_runtime(quiet(2), |_| {
        let flag = Arc::new(AtomicBool::new(false));
        let spinning = spin_until::remote(flag.clone());
        for x in 0..100 {
            assert_eq!(double::remote(x).get().expect("it runs"), 2 * x);
        }
        assert!(!spinning.is_ready());
        flag.store(true, Ordering::Release);
        spinning.get().expect("it ends");
    });
}

#[test]
fn idle_schedulers_take_their_share_of_one_queue() {
    #[maser::task(local)]
    fn meet(arrived: Arc<AtomicU64>) -> String {
        // Nobody leaves before all have come: each must have a scheduler of its own.
        arrived.fetch_add(1, Ordering::AcqRel);
        while arrived.load(Ordering::Acquire) < 4 {
            std::thread::yield_now();
        }
        thread_name()
    }
    both_ways(quiet(4), |_| {
        let arrived = Arc::new(AtomicU64::new(0));
        let refs: Vec<_> = (0..4).map(|_| meet::remote(arrived.clone())).collect();
        let names: BTreeSet<String> = maser::get(&refs)?.into_iter().collect();
        assert_eq!(names.len(), 4, "{names:?}");
        Ok(())
    });
}

#[test]
fn values_of_the_standard_library_travel() {
    type Readings = BTreeMap<String, Vec<Option<f64>>>;
    #[maser::task]
    fn turn(
        map: Readings,
        pair: (char, [u8; 3]),
        text: Box<str>,
    ) -> (Box<str>, (char, [u8; 3]), Readings) {
        (text, pair, map)
    }
    both_ways(quiet(2), |_| {
        let map = BTreeMap::from([("k".to_owned(), vec![Some(0.5), None])]);
        let text: Box<str> = "text".into();
        let turned = turn::remote(map.clone(), ('x', [1, 2, 3]), text.clone());
        assert_eq!(turned.get()?, (text, ('x', [1, 2, 3]), map));
        Ok(())
    });
}
