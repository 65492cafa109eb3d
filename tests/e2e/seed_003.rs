//! The programs of the tutorial, each with the output that it gives there.
//!
//! Each runs with schedulers for workers, and then with a process for each worker, as there. Where
//! it draws random numbers, fixed ones stand here, so that the sums can be checked. On threads alone:
//! one scheduler for tasks that sleep, because a worker process has one task at a time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use maser::{Actor, Isolation, Ref};
use maser_tests::{both_ways, in_threads_and_processes, quiet};

#[maser::task]
fn add2(a: i64, b: i64) -> i64 {
    a + b
}

#[test]
fn starting_with_ten_workers_gives_ten_schedulers() {
    in_threads_and_processes(maser::Config::new().num_workers(10), |maser| {
        assert_eq!(maser.num_cpus(), 10);
        Ok(())
    });
}

/// Says in which process it ran, once there were as many tasks at the gate as `all`.
#[maser::task]
fn process_of_one(gate: Actor<Gate>, all: usize) -> maser::Result<u32> {
    gate.enter().remote().get()?;
    while gate.entered().remote().get()? < all {
        maser::yield_now();
    }
    Ok(std::process::id())
}

/// Counts who has come.
#[derive(Default)]
struct Gate(usize);

#[maser::actor]
impl Gate {
    fn new() -> Self {
        Self::default()
    }

    fn enter(&mut self) {
        self.0 += 1;
    }

    fn entered(&self) -> usize {
        self.0
    }
}

#[test]
fn ten_workers_are_ten_processes_that_end_with_the_driver_s_runtime() {
    let config = quiet(10).isolation(Isolation::Process);
    let workers = std::sync::Mutex::new(BTreeSet::new());
    both_ways(config, |_| {
        let gate = Gate::remote();
        let refs: Vec<Ref<u32>> = (0..10)
            .map(|_| process_of_one::remote(gate.clone(), 10))
            .collect();
        let here: BTreeSet<u32> = maser::get(&refs)?.into_iter().collect();
        assert_eq!(here.len(), 10, "{here:?}");
        assert!(!here.contains(&std::process::id()));
        workers.lock().unwrap().extend(here);
        Ok(())
    });
    for pid in workers.into_inner().unwrap() {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = status
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split(' ').nth(2));
        let us = std::process::id().to_string();
        assert_ne!(parent, Some(us.as_str()), "{pid} is still there: {status}");
    }
}

#[test]
fn what_was_put_can_be_got() {
    in_threads_and_processes(quiet(2), |_| {
        let x = vec![1, 2, 3];
        let x_id = maser::put(x);
        assert_eq!(x_id.get()?, [1, 2, 3]);
        Ok(())
    });
}

#[test]
fn ten_puts_are_got_as_a_list() {
    in_threads_and_processes(quiet(2), |_| {
        let result_ids: Vec<Ref<i64>> = (0..10).map(maser::put).collect();
        assert_eq!(maser::get(&result_ids)?, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        Ok(())
    });
}

#[test]
fn a_remote_function_gives_a_ref_and_the_plain_call_its_value() {
    in_threads_and_processes(quiet(2), |_| {
        assert_eq!(add2(1, 2), 3);
        let x_id: Ref<i64> = add2::remote(1, 2);
        assert_eq!(x_id.get()?, 3);
        Ok(())
    });
}

#[test]
fn arguments_are_values_or_refs_in_any_mixture() {
    in_threads_and_processes(quiet(2), |_| {
        assert_eq!(add2::remote(1, 2).get()?, 3);
        assert_eq!(add2::remote(1, maser::put(2)).get()?, 3);
        assert_eq!(add2::remote(maser::put(1), 2).get()?, 3);
        assert_eq!(add2::remote(maser::put(1), maser::put(2)).get()?, 3);
        Ok(())
    });
}

/// The serial program takes ten seconds; that this one takes less than five is its whole meaning.
fn takes_far_less_than_ten_seconds(refs: impl FnOnce() -> Vec<Ref<()>>) -> maser::Result<()> {
    let started = Instant::now();
    maser::get(&refs())?;
    let elapsed = started.elapsed();
    assert!(elapsed >= Duration::from_secs(1), "{elapsed:?}");
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
    Ok(())
}

#[test]
fn ten_tasks_that_block_their_threads_for_a_second_take_about_one() {
    #[maser::task]
    fn f2() {
        std::thread::sleep(Duration::from_secs(1));
    }
    in_threads_and_processes(quiet(10), |_| {
        takes_far_less_than_ten_seconds(|| (0..10).map(|_| f2::remote()).collect())
    });
}

#[test]
fn ten_tasks_that_sleep_for_a_second_take_about_one_on_a_single_scheduler() {
    #[maser::task]
    fn f2() {
        maser::sleep(Duration::from_secs(1));
    }
    both_ways(quiet(1), |_| {
        takes_far_less_than_ten_seconds(|| (0..10).map(|_| f2::remote()).collect())
    });
}

#[test]
fn a_function_gives_three_refs() {
    #[maser::task(num_returns = 3)]
    fn return_multiple() -> (i64, i64, i64) {
        (1, 2, 3)
    }
    in_threads_and_processes(quiet(2), |_| {
        let (a_id, b_id, c_id) = return_multiple::remote();
        assert_eq!((a_id.get()?, b_id.get()?, c_id.get()?), (1, 2, 3));
        Ok(())
    });
}

#[test]
fn a_chain_of_three_tasks_gives_three() {
    #[maser::task]
    fn f(x: i64) -> i64 {
        x + 1
    }
    in_threads_and_processes(quiet(2), |_| {
        let x = f::remote(0);
        let y = f::remote(x);
        let z = f::remote(y);
        assert_eq!(z.get()?, 3);
        Ok(())
    });
}

/// What stands for the tutorial's random numbers.
fn number(vector: u64, at: u64) -> f64 {
    (vector.wrapping_mul(2_654_435_761).wrapping_add(at * 40_503) % 1_000) as f64
}

#[maser::task]
fn generate_data(vector: u64) -> Vec<f64> {
    (0..1000).map(|at| number(vector, at)).collect()
}

#[maser::task]
fn aggregate_data(x: &[f64], y: &[f64]) -> Vec<f64> {
    x.iter().zip(y).map(|(x, y)| x + y).collect()
}

#[test]
fn a_tree_of_tasks_sums_a_hundred_vectors() {
    in_threads_and_processes(quiet(2), |_| {
        let mut data: std::collections::VecDeque<Ref<Vec<f64>>> =
            (0..100).map(generate_data::remote).collect();
        while data.len() > 1 {
            let (Some(x), Some(y)) = (data.pop_front(), data.pop_front()) else {
                unreachable!("there are two")
            };
            data.push_back(aggregate_data::remote(x, y));
        }
        let sums = data[0].get()?;
        let expected: Vec<f64> = (0..1000)
            .map(|at| (0..100).map(|vector| number(vector, at)).sum())
            .collect();
        assert_eq!(sums, expected);
        Ok(())
    });
}

#[maser::task]
fn sub_experiment(i: i64, j: i64) -> i64 {
    i + j
}

#[maser::task]
fn run_experiment(i: i64) -> maser::Result<i64> {
    let sub_results: Vec<Ref<i64>> = (0..10).map(|j| sub_experiment::remote(i, j)).collect();
    Ok(maser::get(&sub_results)?.into_iter().sum())
}

#[test]
fn tasks_run_experiments_of_ten_tasks_each() {
    for schedulers in [1, 2, 4] {
        in_threads_and_processes(quiet(schedulers), |_| {
            let results: Vec<Ref<i64>> = (0..5).map(run_experiment::remote).collect();
            assert_eq!(maser::get(&results)?, [45, 55, 65, 75, 85]);
            Ok(())
        });
    }
}
