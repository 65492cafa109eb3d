//! Ranks that do not fit together: an error of that operation on every rank, which names both and
//! what each gave, and the next operation goes on.

use crate::ranks::{Rank, actors, assert_usable, group, refused, row};
use maser::collective::{CollectiveError, ReduceOp};
use maser::{Actor, Complex, Ref, Tensor};
use maser_tests::{quiet, with_runtime};

/// Two ranks that differ; both are told the same, and go on.
#[track_caller]
fn assert_mismatch(
    one: impl Fn(&Actor<Rank>) -> Ref<Tensor> + Sync,
    other: impl Fn(&Actor<Rank>) -> Ref<Tensor> + Sync,
    one_text: &str,
    other_text: &str,
) {
    with_runtime(quiet(2), |_| {
        let actors = actors(3, 2);
        let _group = group(&actors).unwrap();
        assert_usable(&actors);
        let outcomes = [one(&actors[0]), one(&actors[1]), other(&actors[2])];
        for outcome in &outcomes {
            let error = refused(outcome.get());
            let text = error.to_string();
            let CollectiveError::Mismatch {
                number,
                one,
                one_gave,
                other,
                other_gave,
                ..
            } = error
            else {
                panic!("{error:?}");
            };
            assert_eq!((number, one.rank, other.rank), (3, 0, 2));
            assert_eq!((&*one_gave, &*other_gave), (one_text, other_text));
            assert!(
                text.contains(one_text) && text.contains(other_text),
                "{text}"
            );
        }
        assert_usable(&actors);
    });
}

fn sum(tensor: Tensor) -> impl Fn(&Actor<Rank>) -> Ref<Tensor> + Sync {
    move |actor| actor.allreduce().remote(tensor.clone(), ReduceOp::Sum)
}

#[test]
fn another_shape_is_told_to_all() {
    assert_mismatch(
        sum(row([1_f32, 2.0])),
        sum(row([1_f32, 2.0, 3.0])),
        "allreduce (sum) of float32 [2]",
        "allreduce (sum) of float32 [3]",
    );
}

#[test]
fn another_shape_of_as_many_elements_is_told_to_all() {
    assert_mismatch(
        sum(row(0..6_i32)),
        sum(row(0..6_i32).reshape(&[2, 3]).unwrap()),
        "allreduce (sum) of int32 [6]",
        "allreduce (sum) of int32 [2, 3]",
    );
}

#[test]
fn another_type_is_told_to_all() {
    assert_mismatch(
        sum(row([1_f32])),
        sum(row([1_f64])),
        "allreduce (sum) of float32 [1]",
        "allreduce (sum) of float64 [1]",
    );
}

#[test]
fn another_op_is_told_to_all() {
    assert_mismatch(
        sum(row([1_u8])),
        |actor| actor.allreduce().remote(row([1_u8]), ReduceOp::Min),
        "allreduce (sum) of uint8 [1]",
        "allreduce (min) of uint8 [1]",
    );
}

#[test]
fn another_operation_is_told_to_all() {
    assert_mismatch(
        sum(row([1_u8])),
        |actor| actor.allgather().remote(row([1_u8])),
        "allreduce (sum) of uint8 [1]",
        "allgather of uint8 [1]",
    );
}

#[test]
fn another_root_is_told_to_all() {
    assert_mismatch(
        |actor| {
            let (rank, _) = actor.place().remote().get().unwrap();
            actor
                .broadcast()
                .remote(1_usize, (rank == 1).then(|| row([1_u8])))
        },
        |actor| actor.broadcast().remote(2_usize, Some(row([1_u8]))),
        "broadcast from rank 1",
        "broadcast from rank 2 of uint8 [1]",
    );
}

#[test]
fn rows_that_cannot_be_divided_are_told_to_all() {
    with_runtime(quiet(2), |_| {
        let actors = actors(3, 2);
        let _group = group(&actors).unwrap();
        for (tensor, part) in [
            (
                row(0..4_i16),
                "the first dimension, 4, is not divisible by the world size 3",
            ),
            (
                Tensor::from_vec(vec![1_i16], &[]).unwrap(),
                "a scalar has no first dimension",
            ),
        ] {
            let outcomes = actors
                .iter()
                .map(|actor| actor.reduce_scatter().remote(tensor.clone(), ReduceOp::Sum));
            for outcome in outcomes.collect::<Vec<_>>() {
                let error = refused(outcome.get());
                assert!(
                    matches!(error, CollectiveError::Impossible { .. }),
                    "{error:?}"
                );
                assert!(error.to_string().contains(part), "{error}");
            }
        }
        assert_usable(&actors);
    });
}

#[test]
fn types_that_are_not_reduced_are_told_to_all_and_can_be_gathered() {
    with_runtime(quiet(2), |_| {
        let actors = actors(2, 2);
        let _group = group(&actors).unwrap();
        let tensor = row([Complex { re: 1_f32, im: 2.0 }]);
        let outcomes = [
            sum(tensor.clone())(&actors[0]),
            sum(tensor.clone())(&actors[1]),
        ];
        for outcome in outcomes {
            let error = refused(outcome.get());
            assert!(
                error.to_string().contains("complex64 are not reduced"),
                "{error}"
            );
        }
        let gathered = [
            actors[0].allgather().remote(tensor.clone()),
            actors[1].allgather().remote(tensor),
        ];
        for one in gathered {
            assert_eq!(one.get().unwrap(), row([Complex { re: 1_f32, im: 2.0 }; 2]));
        }
    });
}

#[test]
fn a_root_that_gives_nothing_and_another_rank_that_gives_are_refused_before_anybody_waits() {
    with_runtime(quiet(2), |_| {
        let actors = actors(2, 2);
        let _group = group(&actors).unwrap();
        let none: Option<Tensor> = None;
        for (rank, root, tensor) in [(0, 0, none), (0, 1, Some(row([1_u8]))), (0, 7, None)] {
            let outcome = actors[rank].broadcast().remote(root, tensor).get();
            let error = outcome.unwrap_err();
            let ours = error.downcast_ref::<maser::Error>().unwrap();
            assert!(
                matches!(ours, maser::Error::InvalidArgument { .. }),
                "{ours}"
            );
        }
        assert_usable(&actors);
    });
}
