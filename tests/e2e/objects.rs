//! Objects: get, take, read, timeouts, wait, refs inside values, and when values are dropped.

use std::time::Duration;

use maser::{Error, Ref};
use maser_tests::{both_ways, quiet};
use serde::{Deserialize, Serialize};

use crate::support::{Count, Counted, Gate, Refused, gate, held};

#[maser::task]
fn double(x: u64) -> u64 {
    2 * x
}

#[maser::task]
fn refuse(x: u64) -> Result<u64, Refused> {
    Err(Refused(x))
}

#[test]
fn get_can_be_repeated_and_is_the_same_for_every_handle() {
    both_ways(quiet(2), |_| {
        let one = double::remote(21);
        let other = one.clone();
        for _ in 0..3 {
            assert_eq!((one.get()?, other.get()?), (42, 42));
        }
        drop(one);
        assert_eq!(other.get()?, 42);
        Ok(())
    });
}

#[test]
fn read_gives_the_value_where_it_lies() {
    both_ways(quiet(2), |_| {
        let text = maser::put(String::from("text"));
        let other = text.clone();
        assert!(std::ptr::eq(text.read()?, other.read()?));
        assert_eq!(text.read()?, "text");
        let pending = double::remote(4);
        assert_eq!(*pending.read()?, 8, "it waits");
        Ok(())
    });
}

#[test]
fn take_moves_the_value_out_of_the_only_handle() {
    both_ways(quiet(2), |_| {
        let count = Count::default();
        let value: Counted = maser::put(count.make()).take()?;
        assert_eq!(count.alive(), 1);
        drop(value);
        assert_eq!(
            (count.alive(), count.dropped()),
            (0, 1),
            "moved, not cloned"
        );
        assert_eq!(double::remote(4).take()?, 8, "it waits");
        Ok(())
    });
}

#[test]
fn take_of_a_shared_value_is_an_error_and_leaves_it_to_the_others() {
    both_ways(quiet(2), |_| {
        let value = double::remote(4);
        let other = value.clone();
        let error = value.take().expect_err("it is shared");
        assert!(matches!(error, Error::ValueShared { .. }), "{error}");
        assert!(error.to_string().contains("double"), "{error}");
        assert_eq!(other.get()?, 8);
        assert_eq!(other.take()?, 8, "the failed take gave its handle back");
        Ok(())
    });
}

#[test]
fn take_of_a_failed_task_gives_its_error() {
    both_ways(quiet(2), |_| {
        let error = refuse::remote(7).take().expect_err("it failed");
        assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused(7)));
        Ok(())
    });
}

#[test]
fn a_get_that_times_out_loses_nothing() {
    both_ways(quiet(2), |_| {
        let gate = gate();
        let closed = gate.lock()?;
        let value = held::remote(gate.clone(), 5);
        for limit in [Duration::ZERO, Duration::from_millis(2)] {
            let error = value.get_timeout(limit).expect_err("the gate is closed");
            assert!(error.is_timeout(), "{error}");
            assert!(error.to_string().contains("held"), "{error}");
        }
        drop(closed);
        assert_eq!(value.get_timeout(Duration::from_secs(3600))?, 5);
        assert_eq!(value.get_timeout(Duration::ZERO)?, 5, "it is there");
        Ok(())
    });
}

#[test]
fn get_of_many_keeps_the_order_and_raises_the_first_error() {
    both_ways(quiet(2), |_| {
        let refs: Vec<Ref<u64>> = (0..100).map(double::remote).collect();
        let expected: Vec<u64> = (0..100).map(|x| 2 * x).collect();
        assert_eq!(maser::get(&refs)?, expected);
        assert_eq!(
            maser::get_timeout(&refs, Duration::from_secs(3600))?,
            expected
        );
        assert_eq!(maser::get::<u64>(&[])?, []);
        let mixed = [double::remote(1), refuse::remote(2), refuse::remote(3)];
        let error = maser::get(&mixed).expect_err("two failed");
        assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused(2)));
        Ok(())
    });
}

#[test]
fn get_of_many_has_one_limit_for_all() {
    both_ways(quiet(2), |_| {
        let gate = gate();
        let closed = gate.lock()?;
        let refs = [double::remote(1), held::remote(gate.clone(), 5)];
        let error = maser::get_timeout(&refs, Duration::from_millis(2));
        assert!(error.is_err_and(|error| error.is_timeout()));
        drop(closed);
        assert_eq!(maser::get(&refs)?, [2, 5]);
        Ok(())
    });
}

#[test]
fn wait_keeps_the_order_of_both_lists() {
    both_ways(quiet(2), |_| {
        let gate = gate();
        let closed = gate.lock()?;
        let refs: Vec<Ref<u64>> = (0..8)
            .map(|x| match x % 2 {
                0 => held::remote(gate.clone(), x),
                _ => maser::put(x),
            })
            .collect();
        let (ready, rest) = maser::wait(&refs, 4, None)?;
        assert_eq!(maser::get(&ready)?, [1, 3, 5, 7]);
        // More are ready than were asked for: the first ones, in order.
        let (ready, mut others) = maser::wait(&refs, 2, None)?;
        assert_eq!(maser::get(&ready)?, [1, 3]);
        let (ready, none) = maser::wait(&refs, 8, Some(Duration::from_millis(2)))?;
        assert_eq!((ready.len(), none.len()), (4, 4), "a timeout is no error");
        drop(closed);
        assert_eq!(maser::get(&rest)?, [0, 2, 4, 6]);
        others.swap(0, 1);
        assert_eq!(maser::get(&others)?, [2, 0, 4, 5, 6, 7]);
        let (ready, rest) = maser::wait(&others, 6, None)?;
        assert_eq!(maser::get(&ready)?, [2, 0, 4, 5, 6, 7]);
        assert!(rest.is_empty());
        Ok(())
    });
}

#[test]
fn wait_refuses_arguments_that_make_no_sense() {
    both_ways(quiet(2), |_| {
        let one = maser::put(1);
        let says = |refs: &[Ref<i32>], num_returns, words: &[&str]| {
            let error = maser::wait(refs, num_returns, Some(Duration::ZERO));
            let error = error.expect_err("the arguments are wrong");
            assert!(matches!(error, Error::InvalidArgument { .. }), "{error}");
            for word in words {
                assert!(error.to_string().contains(word), "{error}");
            }
        };
        says(
            std::slice::from_ref(&one),
            0,
            &["num_returns is 0", "at least 1"],
        );
        says(
            &[one.clone(), maser::put(2)],
            3,
            &["num_returns is 3", "2 refs"],
        );
        says(
            &[one.clone(), maser::put(2), one.clone()],
            1,
            &["ref 2", "twice"],
        );
        let (ready, rest) = maser::wait::<Ref<i32>>(&[], 1, None)?;
        assert!(ready.is_empty() && rest.is_empty());
        Ok(())
    });
}

#[test]
fn wait_counts_failed_tasks_as_ready() {
    both_ways(quiet(2), |_| {
        let (ready, _) = maser::wait(&[refuse::remote(1)], 1, None)?;
        assert!(ready[0].get().is_err());
        Ok(())
    });
}

#[test]
fn many_threads_wait_for_one_value() {
    both_ways(quiet(2), |_| {
        let gate = gate();
        let closed = gate.lock()?;
        let value = held::remote(gate.clone(), 5);
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..8)
                .map(|at| {
                    let value = value.clone();
                    scope.spawn(move || match at % 3 {
                        0 => value.get(),
                        1 => value.get_timeout(Duration::from_secs(3600)),
                        _ => maser::wait(&[value], 1, None).and_then(|(ready, _)| ready[0].get()),
                    })
                })
                .collect();
            let mine = double::remote(&value);
            drop(closed);
            // A scheduler's thread must not be blocked by a join while its tasks are needed.
            assert_eq!(mine.get()?, 10);
            for thread in waiting {
                assert_eq!(thread.join().expect("it does not panic")?, 5);
            }
            Ok(())
        })
    });
}

#[derive(Clone, Serialize, Deserialize)]
struct Basket {
    label: String,
    first: Ref<u64>,
    rest: Vec<Ref<u64>>,
}

#[maser::task]
fn sum_of(basket: Basket) -> maser::Result<u64> {
    Ok(basket.first.get()? + maser::get(&basket.rest)?.into_iter().sum::<u64>())
}

#[maser::task]
fn sum_of_list(list: Vec<Ref<u64>>) -> maser::Result<u64> {
    Ok(maser::get(&list)?.into_iter().sum())
}

#[maser::task]
fn fill_basket(count: u64) -> Basket {
    Basket {
        label: format!("{count} refs"),
        first: double::remote(0),
        rest: (1..count).map(double::remote).collect(),
    }
}

#[test]
fn refs_travel_inside_values_into_tasks_and_out_of_them() {
    both_ways(quiet(2), |_| {
        let gate = gate();
        let closed = gate.lock()?;
        let list = vec![
            maser::put(1),
            double::remote(2),
            held::remote(gate.clone(), 3),
        ];
        let by_value = sum_of_list::remote(list.clone());
        let by_ref = sum_of_list::remote(maser::put(list.clone()));
        let basket = Basket {
            label: "mixed".into(),
            first: maser::put(10),
            rest: list,
        };
        let of_basket = sum_of::remote(basket.clone());
        let of_put = sum_of::remote(maser::put(basket));
        drop(closed);
        assert_eq!((by_value.get()?, by_ref.get()?), (8, 8));
        assert_eq!((of_basket.get()?, of_put.get()?), (18, 18));

        let filled = fill_basket::remote(10);
        assert_eq!(filled.read()?.label, "10 refs");
        assert_eq!(sum_of::remote(&filled).get()?, 90);
        assert_eq!(maser::get(&filled.get()?.rest)?[8], 18);
        Ok(())
    });
}

#[test]
fn a_ref_that_is_the_parameter_is_passed_unresolved() {
    #[maser::task]
    fn is_ready(value: Ref<u64>) -> bool {
        value.is_ready()
    }
    both_ways(quiet(2), |_| {
        let gate = gate();
        let closed = gate.lock()?;
        let value = held::remote(gate.clone(), 5);
        assert!(!is_ready::remote(value.clone()).get()?);
        drop(closed);
        value.get()?;
        assert!(is_ready::remote(value).get()?);
        Ok(())
    });
}

#[maser::task(local)]
fn keep(gate: Gate, value: Counted) -> maser::Result<Counted> {
    drop(gate.lock()?);
    Ok(value)
}

#[maser::task(local)]
fn lose(_value: Counted, by_panic: bool) -> Result<Counted, Refused> {
    assert!(!by_panic, "lost on purpose");
    Err(Refused(1))
}

#[maser::task(local)]
fn look_at(value: &Counted, other: &Counted) -> bool {
    !std::ptr::eq(value, other)
}

#[test]
fn the_last_handle_that_is_dropped_frees_the_value() {
    both_ways(quiet(2), |_| {
        let count = Count::default();
        let value = maser::put(count.make());
        let other = value.clone();
        drop(value);
        assert_eq!(count.alive(), 1);
        drop(other);
        assert_eq!(count.alive(), 0);

        let made = keep::remote(gate(), count.make());
        maser::wait(std::slice::from_ref(&made), 1, None)?;
        assert_eq!(count.alive(), 1);
        drop(made);
        assert_eq!(count.alive(), 0);
        Ok(())
    });
}

#[test]
fn a_value_whose_refs_went_before_it_came_is_freed_when_it_comes() {
    both_ways(quiet(2), |_| {
        let count = Count::default();
        let gate = gate();
        let closed = gate.lock()?;
        drop(keep::remote(gate.clone(), count.make()));
        let passed_on = keep::remote(gate.clone(), count.make());
        drop(look_at::remote(&passed_on, maser::put(count.make())));
        drop(passed_on);
        assert_eq!(count.alive(), 3, "the tasks still need them");
        drop(closed);
        count.wait_for_alive(0);
        assert_eq!(count.dropped(), 3, "each once");
        Ok(())
    });
}

#[test]
fn arguments_of_a_task_that_fails_are_freed() {
    both_ways(quiet(2), |_| {
        let count = Count::default();
        for by_panic in [false, true] {
            let lost = lose::remote(count.make(), by_panic);
            assert!(lost.read().is_err());
            assert_eq!(count.alive(), 0);
            // The error travels on, and the other argument is freed though nobody looks at it.
            let fed = look_at::remote(&lost, count.make());
            assert!(fed.get().is_err());
            assert_eq!(count.alive(), 0);
        }
        Ok(())
    });
}

#[test]
fn a_value_that_is_passed_by_ref_is_moved_into_the_last_user_and_cloned_for_others() {
    both_ways(quiet(2), |_| {
        let count = Count::default();
        let only = maser::put(count.make());
        let moved = keep::remote(gate(), only);
        moved.read()?;
        assert_eq!((count.alive(), count.dropped()), (1, 0));
        let cloned = keep::remote(gate(), &moved);
        cloned.read()?;
        assert_eq!((count.alive(), count.dropped()), (2, 0));
        drop((moved, cloned));
        assert_eq!(count.alive(), 0);
        Ok(())
    });
}

#[test]
fn values_of_any_size_and_alignment_are_kept_whole() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(align(128))]
    struct Aligned(u8);
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Nothing;

    #[maser::task(local)]
    fn pass(value: Aligned, big: [u64; 300], nothing: Nothing) -> (Aligned, [u64; 300], Nothing) {
        (value, big, nothing)
    }
    both_ways(quiet(2), |_| {
        let aligned = maser::put(Aligned(7));
        assert_eq!(std::ptr::from_ref(aligned.read()?).addr() % 128, 0);
        let big: [u64; 300] = std::array::from_fn(|at| at as u64);
        let passed = pass::remote(&aligned, big, Nothing);
        assert_eq!(passed.get()?, (Aligned(7), big, Nothing));
        assert_eq!(std::ptr::from_ref(passed.read()?).addr() % 128, 0);
        Ok(())
    });
}
