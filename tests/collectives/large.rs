//! Results that are made in pieces, by all who wait.

use crate::ranks::{actors, all, assert_usable, group, processes, row};
use maser::Tensor;
use maser::collective::ReduceOp;
use maser_tests::{beside_runtime, quiet, with_runtime};

/// Some pieces and a rest.
const LEN: usize = 500_003;

fn part(rank: usize) -> Tensor {
    row((0..LEN).map(|at| (at as u32).wrapping_mul(rank as u32 + 1)))
}

#[test]
fn a_large_sum_is_the_same_whoever_made_which_piece() {
    with_runtime(quiet(2), |_| {
        for count in [1, 2, 3, 8] {
            let actors = actors(count, 2);
            let _group = group(&actors).unwrap();
            let factor = (count * (count + 1) / 2) as u32;
            let expected = row((0..LEN).map(|at| (at as u32).wrapping_mul(factor)));
            for _ in 0..5 {
                let sums = actors
                    .iter()
                    .enumerate()
                    .map(|(rank, actor)| actor.allreduce().remote(part(rank), ReduceOp::Sum));
                for sum in all(sums.collect()).unwrap() {
                    assert_eq!(sum, expected, "{count} ranks");
                }
            }
            assert_usable(&actors);
        }
    });
}

#[test]
fn a_large_gathering_has_every_part_in_its_place() {
    with_runtime(quiet(2), |_| {
        let actors = actors(3, 2);
        let _group = group(&actors).unwrap();
        let wholes = actors
            .iter()
            .enumerate()
            .map(|(rank, actor)| actor.allgather().remote(part(rank)));
        for whole in all(wholes.collect()).unwrap() {
            assert_eq!(whole.shape(), [3 * LEN]);
            for rank in 0..3 {
                let found = whole.slice(0, rank * LEN..(rank + 1) * LEN, 1).unwrap();
                assert_eq!(found, part(rank));
            }
        }
    });
}

#[test]
fn a_large_share_is_a_part_of_the_sum() {
    with_runtime(quiet(2), |_| {
        let actors = actors(2, 2);
        let _group = group(&actors).unwrap();
        let of_rank = |rank: usize| part(rank).slice(0, 0..LEN - 1, 1).unwrap();
        let shares = actors
            .iter()
            .enumerate()
            .map(|(rank, actor)| actor.reduce_scatter().remote(of_rank(rank), ReduceOp::Sum));
        let sum = row((0..LEN - 1).map(|at| (at as u32).wrapping_mul(3)));
        for (rank, share) in all(shares.collect()).unwrap().into_iter().enumerate() {
            let half = (LEN - 1) / 2;
            assert_eq!(
                share,
                sum.slice(0, rank * half..(rank + 1) * half, 1).unwrap()
            );
        }
    });
}

#[test]
fn threads_and_processes_make_large_results_together() {
    with_runtime(quiet(2), |_| {
        let actors = processes(4, 2);
        let _group = group(&actors).unwrap();
        let sums = actors
            .iter()
            .enumerate()
            .map(|(rank, actor)| actor.allreduce().remote(part(rank), ReduceOp::Sum));
        let expected = row((0..LEN).map(|at| (at as u32).wrapping_mul(10)));
        for sum in all(sums.collect()).unwrap() {
            assert_eq!(sum, expected);
        }
    });
}

#[test]
fn a_thread_of_the_program_takes_part_in_a_large_sum() {
    beside_runtime(quiet(2), |_| {
        let actors = actors(2, 2);
        let made = group(&actors).unwrap();
        let other = actors[1].allreduce().remote(part(1), ReduceOp::Sum);
        let mine = made.member(0).allreduce(&part(0), ReduceOp::Sum).unwrap();
        assert_eq!(mine, other.get().unwrap());
        assert_eq!(mine, row((0..LEN).map(|at| (at as u32).wrapping_mul(3))));
    });
}

#[test]
fn a_large_result_that_has_no_room_in_the_store_lies_on_the_heap() {
    let config = quiet(2).store_bytes(1 << 20);
    with_runtime(config, |_| {
        let actors = actors(2, 2);
        let _group = group(&actors).unwrap();
        let sums = actors
            .iter()
            .enumerate()
            .map(|(rank, actor)| actor.allreduce().remote(part(rank), ReduceOp::Sum));
        for sum in all(sums.collect()).unwrap() {
            assert!(!sum.is_in_store());
            assert_eq!(sum, row((0..LEN).map(|at| (at as u32).wrapping_mul(3))));
        }
    });
}
