//! What the operations come to.

use crate::ranks::{actors, all, assert_usable, group, row};
use maser::collective::ReduceOp;
use maser::{Tensor, TensorView};
use maser_tests::{quiet, with_runtime};

/// Sizes at the edges of blocks and vectors.
const SIZES: [usize; 9] = [0, 1, 7, 64, 1023, 1025, 4096, 4097, 100_003];

fn elements<T: maser::Element>(tensor: &Tensor) -> Vec<T> {
    tensor
        .view::<T>()
        .map(|view: TensorView<'_, T>| view.iter().collect())
        .unwrap()
}

#[test]
fn an_allreduce_of_any_size_by_any_number_of_ranks_is_the_same_on_every_rank() {
    with_runtime(quiet(2), |_| {
        for ranks in 1..=8_usize {
            let actors = actors(ranks, 2);
            let _group = group(&actors).unwrap();
            for size in SIZES {
                let of_rank = |rank: usize| row((0..size).map(|at| (at * (rank + 1)) as u64));
                let sums = actors
                    .iter()
                    .enumerate()
                    .map(|(rank, actor)| actor.allreduce().remote(of_rank(rank), ReduceOp::Sum));
                let factor = ranks * (ranks + 1) / 2;
                let expected = row((0..size).map(|at| (at * factor) as u64));
                for sum in all(sums.collect()).unwrap() {
                    assert_eq!(sum, expected, "{ranks} ranks, {size} elements");
                }
            }
        }
    });
}

#[test]
fn ranks_that_share_one_core_wait_for_each_other() {
    with_runtime(quiet(1), |_| {
        let actors = actors(8, 1);
        let _group = group(&actors).unwrap();
        assert_usable(&actors);
        let waits = actors.iter().map(|actor| actor.barrier().remote());
        all(waits.collect()).unwrap();
    });
}

#[test]
fn a_group_of_one_has_what_it_gave() {
    with_runtime(quiet(1), |_| {
        let actors = actors(1, 1);
        let _group = group(&actors).unwrap();
        let tensor = row([1.5_f32, -2.0]);
        for op in ReduceOp::ALL {
            let one = actors[0].allreduce().remote(tensor.clone(), op);
            assert_eq!(one.get().unwrap(), tensor, "{op}");
        }
        assert_eq!(
            actors[0].allgather().remote(tensor.clone()).get().unwrap(),
            tensor
        );
        actors[0].barrier().remote().get().unwrap();
    });
}

#[test]
fn gathered_tensors_lie_one_after_the_other_along_the_first_dimension() {
    with_runtime(quiet(2), |_| {
        let actors = actors(3, 2);
        let _group = group(&actors).unwrap();
        let of_rank = |rank: i64| {
            Tensor::from_vec((0..6).map(|at| at + 10 * rank).collect(), &[2, 3]).unwrap()
        };
        let parts = actors.iter().zip(0..);
        let parts = parts.map(|(actor, rank)| actor.allgather().remote(of_rank(rank)));
        let expected: Vec<i64> = (0..3)
            .flat_map(|rank| (0..6).map(move |at| at + 10 * rank))
            .collect();
        for whole in all(parts.collect()).unwrap() {
            assert_eq!(whole.shape(), [6, 3]);
            assert_eq!(elements::<i64>(&whole), expected);
        }
        let scalars = actors.iter().zip(0..);
        let scalars = scalars.map(|(actor, rank)| {
            actor
                .allgather()
                .remote(Tensor::from_vec(vec![rank], &[]).unwrap())
        });
        for whole in all(scalars.collect()).unwrap() {
            assert_eq!(whole, row(0..3));
        }
    });
}

#[test]
fn each_rank_has_its_share_of_a_reduce_scatter() {
    with_runtime(quiet(2), |_| {
        let actors = actors(4, 2);
        let _group = group(&actors).unwrap();
        let tensor = Tensor::from_vec((0..24_i32).collect(), &[8, 3]).unwrap();
        let shares = actors
            .iter()
            .map(|actor| actor.reduce_scatter().remote(tensor.clone(), ReduceOp::Sum));
        for (rank, share) in all(shares.collect()).unwrap().iter().enumerate() {
            assert_eq!(share.shape(), [2, 3]);
            let first = 6 * rank as i32;
            let expected: Vec<i32> = (first..first + 6).map(|at| 4 * at).collect();
            assert_eq!(elements::<i32>(share), expected);
        }
    });
}

#[test]
fn a_broadcast_gives_the_memory_of_the_root_to_all() {
    with_runtime(quiet(2), |_| {
        let actors = actors(3, 2);
        let _group = group(&actors).unwrap();
        for root in 0..3 {
            let tensor = row(0..1000_u32);
            let copies = actors.iter().enumerate().map(|(rank, actor)| {
                actor
                    .broadcast()
                    .remote(root, (rank == root).then(|| tensor.clone()))
            });
            for copy in all(copies.collect()).unwrap() {
                let address = |tensor: &Tensor| tensor.to_array::<u32>().unwrap().as_ptr();
                assert_eq!(address(&copy), address(&tensor));
            }
        }
    });
}

#[test]
fn the_result_is_one_array_for_all_ranks_of_a_process() {
    with_runtime(quiet(2), |_| {
        let actors = actors(3, 2);
        let _group = group(&actors).unwrap();
        let sums = actors
            .iter()
            .map(|actor| actor.allreduce().remote(row(0..1000_u32), ReduceOp::Sum));
        let sums = all(sums.collect()).unwrap();
        let address = |tensor: &Tensor| tensor.to_array::<u32>().unwrap().as_ptr();
        assert!(sums.iter().all(|sum| address(sum) == address(&sums[0])));
    });
}

#[test]
fn views_that_do_not_lie_in_a_row_are_reduced_as_they_read() {
    with_runtime(quiet(2), |_| {
        let actors = actors(2, 2);
        let _group = group(&actors).unwrap();
        let tensor = Tensor::from_vec((0..6_i32).collect(), &[2, 3]).unwrap();
        let across = tensor.transpose();
        let straight = across.to_contiguous().unwrap();
        let sums = [
            actors[0].allreduce().remote(across, ReduceOp::Sum),
            actors[1].allreduce().remote(straight, ReduceOp::Sum),
        ];
        for sum in sums {
            let sum = sum.get().unwrap();
            assert_eq!(sum.shape(), [3, 2]);
            assert_eq!(elements::<i32>(&sum), [0, 6, 2, 8, 4, 10]);
        }
    });
}

#[test]
fn operations_of_one_rank_are_numbered_also_when_it_is_far_ahead() {
    with_runtime(quiet(2), |_| {
        let actors = actors(3, 2);
        let _group = group(&actors).unwrap();
        // Messages leave the sequence of the others alone.
        actors[0].send().remote(row([1_u8]), 1_usize).get().unwrap();
        let sums = actors
            .iter()
            .map(|actor| actor.sums().remote(0_u64, 200_u64));
        let expected: Vec<u64> = (0..200).map(|number| 3 * number).collect();
        for sums in all(sums.collect()).unwrap() {
            assert_eq!(sums, expected);
        }
        assert_eq!(actors[1].recv().remote(0_usize).get().unwrap(), row([1_u8]));
    });
}
