//! `store_bytes` holds for all processes of a node together, and whoever finds it full waits.

use crate::arrays::{MIB, Reader, config, numbers, objects_become, reader};
use maser::{Actor, Array, Config, Error, Isolation, StoreFull, Timeout};
use rustix::process::{Pid, Signal, kill_process};
use std::sync::Arc;
use std::time::Duration;

/// Makes arrays and keeps them.
struct Maker {
    kept: Vec<Array<u8>>,
}

#[maser::actor]
impl Maker {
    fn new() -> Self {
        Maker { kept: Vec::new() }
    }

    /// Keeps one of so many bytes, or says why not.
    fn make(&mut self, bytes: usize) -> Result<usize, Error> {
        let mut array = Array::in_store(bytes)?;
        array.fill(7);
        self.kept.push(array.seal());
        Ok(self.kept.len())
    }

    fn kept(&self) -> Vec<Array<u8>> {
        self.kept.clone()
    }

    fn pid(&self) -> i32 {
        std::process::id().cast_signed()
    }

    fn forget(&mut self) {
        self.kept.clear();
    }

    /// Makes arrays until it is killed.
    fn make_for_ever(&mut self) {
        for at in 0.. {
            let array = Array::<u8>::in_store((1 + at % 7) * MIB).unwrap();
            if at % 3 == 0 {
                self.kept.clear();
            }
            self.kept.push(array.seal());
        }
    }
}

fn maker() -> Actor<Maker> {
    Maker::options().isolation(Isolation::Process).remote()
}

/// 64 MiB, and an answer soon.
fn small() -> Config {
    let soon = Timeout::After(Duration::from_millis(20));
    config().store_bytes(64 * MIB).graph_submit_timeout(soon)
}

/// As [`small`], for those who wait until there is room.
fn patient() -> Config {
    config()
        .store_bytes(64 * MIB)
        .graph_submit_timeout(Timeout::Never)
}

fn full(error: &Error) -> Arc<StoreFull> {
    match error.root() {
        Error::StoreFull(full) => full.clone(),
        other => panic!("{other}"),
    }
}

/// Waits until the driver can have nearly all of the budget: nobody else has any of it.
fn all_of_it_comes_back() {
    while Array::<u8>::in_store(60 * MIB).is_err() {
        maser::yield_now();
    }
}

#[test]
fn what_one_worker_has_another_one_cannot_have_and_the_error_names_it() {
    crate::run(small(), |_| {
        let (one, other) = (maker(), maker());
        one.make().remote(40 * MIB).get().unwrap();
        let error = other.make().remote(40 * MIB).get().unwrap_err();
        let full = full(&error);
        assert_eq!((full.asked, full.budget), (40 * MIB, 64 * MIB));
        assert!(full.free < 40 * MIB, "{full:?}");
        assert!(error.to_string().contains("worker 1 (pid"), "{error}");
        let error = Array::<u8>::in_store(40 * MIB).unwrap_err();
        assert!(error.to_string().contains("worker 1 (pid"), "{error}");
        one.forget().remote().get().unwrap();
        // What it keeps in reserve goes when another one needs it.
        other.make().remote(40 * MIB).get().unwrap();
        other.forget().remote().get().unwrap();
        all_of_it_comes_back();
    })
    .unwrap();
}

#[test]
fn what_the_driver_has_a_worker_cannot_have_and_the_error_names_it() {
    crate::run(small(), |_| {
        let maker = maker();
        let own = numbers(40 * MIB / 8);
        let error = maker.make().remote(40 * MIB).get().unwrap_err();
        assert!(error.to_string().contains("the driver: "), "{error}");
        drop(own);
        maker.make().remote(40 * MIB).get().unwrap();
    })
    .unwrap();
}

#[test]
fn the_memory_of_a_dead_worker_counts_while_somebody_has_it() {
    crate::run(small(), |_| {
        let (victim, other): (_, Actor<Reader>) = (maker(), reader());
        victim.make().remote(40 * MIB).get().unwrap();
        let kept = victim.kept().remote().get().unwrap();
        maser::kill(&victim);
        while victim.kept().remote().get().is_ok() {}
        let error = Array::<u8>::in_store(40 * MIB).unwrap_err();
        let error_text = error.to_string();
        assert!(error_text.contains("arrays of worker 1 (pid"), "{error}");
        let error = other.collect().remote(5 * MIB as u64).get().unwrap_err();
        let error_text = error.to_string();
        assert!(error_text.contains("processes that have ended"), "{error}");
        assert_eq!(kept[0][MIB], 7);
        drop(kept);
        all_of_it_comes_back();
    })
    .unwrap();
}

#[test]
fn workers_that_are_killed_while_they_make_arrays_leave_nothing() {
    crate::run(patient(), |_| {
        for round in 0..8 {
            let victims: Vec<_> = (0..3).map(|_| maker()).collect();
            for victim in &victims {
                assert!(victim.make().remote(MIB).get().is_ok());
                drop(victim.make_for_ever().remote());
            }
            // Wherever they are by now.
            let mut made = 0;
            while made < round {
                drop(numbers(MIB / 8));
                made += 1;
            }
            victims.iter().for_each(maser::kill);
        }
        all_of_it_comes_back();
        objects_become(0);
    })
    .unwrap();
}

#[test]
fn who_finds_the_store_full_waits_until_somebody_lets_go() {
    crate::run(patient(), |_| {
        let (one, other) = (maker(), maker());
        one.make().remote(40 * MIB).get().unwrap();
        let waits = other.make().remote(40 * MIB);
        assert!(waits.get_timeout(Duration::from_millis(50)).is_err());
        one.forget().remote().get().unwrap();
        assert_eq!(waits.get().unwrap(), 1);
        // The driver itself, on a scheduler and on a thread.
        let there = other.clone();
        let lets_go = std::thread::spawn(move || there.forget().remote().get().unwrap());
        let array = Array::<u8>::in_store(50 * MIB).unwrap().seal();
        while !lets_go.is_finished() {
            maser::yield_now();
        }
        lets_go.join().unwrap();
        let thread = std::thread::spawn(|| Array::<u8>::in_store(50 * MIB).map(drop));
        maser::yield_now();
        drop(array);
        while !thread.is_finished() {
            maser::yield_now();
        }
        thread.join().unwrap().unwrap();
    })
    .unwrap();
}

#[test]
fn a_worker_that_is_stopped_keeps_nobody_waiting_for_its_memory() {
    crate::run(small(), |_| {
        let (stopped, other) = (maker(), maker());
        stopped.make().remote(MIB).get().unwrap();
        let pid = Pid::from_raw(stopped.pid().remote().get().unwrap()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        let error = other.make().remote(63 * MIB).get().unwrap_err();
        assert_eq!(full(&error).asked, 63 * MIB);
        assert_eq!(other.make().remote(40 * MIB).get().unwrap(), 1);
        kill_process(pid, Signal::CONT).unwrap();
        assert_eq!(stopped.make().remote(MIB).get().unwrap(), 2);
    })
    .unwrap();
}

/// As [`small`], with a place on disk.
fn with_disk() -> Config {
    small().spill_directory(std::env::temp_dir())
}

#[test]
fn shelved_arrays_go_to_disk_and_come_back() {
    crate::run(with_disk(), |_| {
        let reader: Actor<Reader> = reader();
        let shelved: Vec<_> = (0..5_u64)
            .map(|seed| {
                let array: Array<u64> = (seed..seed + 3 * MIB as u64).collect();
                array.shelve().unwrap()
            })
            .collect();
        assert!(maser::store_usage().unwrap().spilled >= 3);
        assert!(shelved.iter().any(|array| !array.is_in_memory()));
        let refs: Vec<_> = shelved.into_iter().map(maser::put).collect();
        for (seed, array) in (0..).zip(&refs) {
            let array = array.get().unwrap();
            assert_eq!(array.len(), 3 * MIB);
            let array = array.get().unwrap();
            assert!((seed..).zip(&array).all(|(wanted, found)| wanted == *found));
            // Another process reads it where it is now.
            let (sum, _, foreign) = reader.sum().remote(array).get().unwrap();
            assert!(foreign && sum > 0);
        }
        drop(refs);
        objects_become(0);
        assert_eq!(maser::store_usage().unwrap().spilled, 0);
    })
    .unwrap();
}

#[test]
fn an_array_that_somebody_has_stays_in_memory() {
    crate::run(with_disk(), |_| {
        let array = numbers(40 * MIB / 8);
        let shelved = array.clone().shelve().unwrap();
        let error = Array::<u8>::in_store(40 * MIB).unwrap_err();
        assert_eq!(full(&error).asked, 40 * MIB);
        drop(array);
        drop(Array::<u8>::in_store(40 * MIB).unwrap());
        assert!(!shelved.is_in_memory());
        let part = shelved.get().unwrap().slice(10..20).shelve().unwrap();
        drop(shelved);
        drop(Array::<u8>::in_store(40 * MIB).unwrap());
        assert!(!part.is_in_memory());
        assert_eq!(
            part.get().unwrap()[..],
            [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
        );
    })
    .unwrap();
}

#[test]
fn an_array_cannot_be_shelved_without_a_place_on_disk() {
    crate::run(small(), |_| {
        let error = numbers(10).shelve().unwrap_err();
        assert!(error.to_string().contains("spill_directory"), "{error}");
    })
    .unwrap();
}
