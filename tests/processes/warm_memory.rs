//! Memory of the object store in which nothing lies: it goes back to the system in every process that is
//! left alone, and stays where that is asked for.

use crate::arrays::{MIB, config};
use maser::{Array, Isolation, Timeout, store_usage};
use std::time::Duration;

/// Makes arrays and drops them.
struct Burst;

#[maser::actor]
impl Burst {
    fn new() -> Self {
        Burst
    }

    fn make(&mut self, bytes: usize) -> maser::Result<usize> {
        let mut array = Array::<u8>::in_store(bytes)?;
        array.fill(7);
        Ok(array.seal().len())
    }

    /// Of the store of its process.
    fn extents(&self) -> maser::Result<usize> {
        Ok(store_usage()?.extents)
    }
}

#[test]
fn a_process_that_is_left_alone_gives_empty_memory_back() {
    let config = config().store_warm_time(Duration::from_millis(1));
    crate::run(config, |_| {
        let burst = Burst::options().isolation(Isolation::Process).remote();
        for _ in 0..3 {
            assert_eq!(burst.make().remote(20 * MIB).get().unwrap(), 20 * MIB);
            drop(Array::<u8>::in_store(20 * MIB).unwrap());
            while burst.extents().remote().get().unwrap() > 0 {
                maser::yield_now();
            }
            while store_usage().unwrap().extents > 0 {
                maser::yield_now();
            }
        }
    })
    .unwrap();
}

#[test]
fn empty_memory_stays_for_ever_where_that_is_asked_for() {
    let config = config().store_warm_time(Timeout::Never);
    crate::run(config, |_| {
        let burst = Burst::options().isolation(Isolation::Process).remote();
        for _ in 0..100 {
            burst.make().remote(20 * MIB).get().unwrap();
            assert_eq!(burst.extents().remote().get().unwrap(), 1);
        }
    })
    .unwrap();
}

#[test]
fn what_is_kept_warm_has_a_limit() {
    let config = config().store_warm_bytes(0).store_warm_time(Timeout::Never);
    crate::run(config, |_| {
        for _ in 0..3 {
            let arrays = [20, 30, 40].map(|size| Array::<u8>::in_store(size * MIB).unwrap());
            assert!(store_usage().unwrap().extents >= 2);
            drop(arrays);
            assert_eq!(store_usage().unwrap().extents, 1, "one stays in any case");
        }
    })
    .unwrap();
}
