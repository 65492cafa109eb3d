//! Every operation on every type, compared with the same thing written element by element.

use crate::ranks::{Rank, actors, all, group, row};
use maser::collective::ReduceOp;
use maser::dtype::{bf16, f16};
use maser::{Actor, Element};
use maser_tests::{quiet, with_runtime};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// A type of elements, one at a time.
trait Scalar: Element + std::fmt::Debug {
    /// The elements of one place, in the order of the ranks, made one.
    fn reference(op: ReduceOp, of_ranks: &[Self]) -> Self;
    /// From bits at random.
    fn of_bits(bits: u64) -> Self;
    /// Its bits; all NaNs are alike.
    fn bits(self) -> u64;
}

macro_rules! integers {
    ($($type:ty)*) => { $(
        impl Scalar for $type {
            fn reference(op: ReduceOp, of_ranks: &[Self]) -> Self {
                let all = of_ranks.iter().copied();
                match op {
                    ReduceOp::Sum => all.fold(0, Self::wrapping_add),
                    ReduceOp::Product => all.fold(1, Self::wrapping_mul),
                    ReduceOp::Max => all.max().unwrap(),
                    ReduceOp::Min => all.min().unwrap(),
                    ReduceOp::Average => {
                        (all.map(i128::from).sum::<i128>() / of_ranks.len() as i128) as Self
                    }
                }
            }
            fn of_bits(bits: u64) -> Self {
                bits as Self
            }
            fn bits(self) -> u64 {
                self as u64
            }
        }
    )* };
}

integers! { u8 i8 u16 i16 u32 i32 u64 i64 }

macro_rules! floats {
    ($($type:ty as $wide:ty, $from:ident, $bits:ty;)*) => { $(
        impl Scalar for $type {
            fn reference(op: ReduceOp, of_ranks: &[Self]) -> Self {
                let nan_or = |a: $wide, b: $wide, chosen: bool| {
                    if a.is_nan() { a } else if b.is_nan() { b } else if chosen { a } else { b }
                };
                let all = of_ranks.iter().map(|one| <$wide>::from(*one));
                let folded = match op {
                    ReduceOp::Sum => all.reduce(|a, b| a + b),
                    ReduceOp::Product => all.reduce(|a, b| a * b),
                    ReduceOp::Max => all.reduce(|a, b| nan_or(a, b, a > b)),
                    ReduceOp::Min => all.reduce(|a, b| nan_or(a, b, a < b)),
                    ReduceOp::Average => {
                        all.reduce(|a, b| a + b).map(|sum| sum / of_ranks.len() as $wide)
                    }
                };
                $from(folded.unwrap())
            }
            fn of_bits(bits: u64) -> Self {
                Self::from_bits(bits as $bits)
            }
            fn bits(self) -> u64 {
                if self.is_nan() { u64::MAX } else { u64::from(self.to_bits()) }
            }
        }
    )* };
}

fn same<T>(value: T) -> T {
    value
}

fn to_f16(value: f32) -> f16 {
    f16::from_f32(value)
}

fn to_bf16(value: f32) -> bf16 {
    bf16::from_f32(value)
}

floats! {
    f16 as f32, to_f16, u16;
    bf16 as f32, to_bf16, u16;
    f32 as f32, same, u32;
    f64 as f64, same, u64;
}

/// Small numbers as often as any bits.
fn bits() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0..100_u64, Just(u64::MAX), Just(0)]
}

/// Ranks by elements.
fn parts() -> impl Strategy<Value = Vec<Vec<u64>>> {
    (2..=4_usize, 0..70_usize)
        .prop_flat_map(|(ranks, len)| vec(vec(bits(), len..=len), ranks..=ranks))
}

use proptest::collection::vec;

fn check<T: Scalar>(groups: &[Vec<Actor<Rank>>], parts: &[Vec<u64>]) {
    let of_ranks: Vec<Vec<T>> = parts
        .iter()
        .map(|part| part.iter().map(|bits| T::of_bits(*bits)).collect())
        .collect();
    let actors = &groups[parts.len()];
    for op in ReduceOp::ALL {
        let results = actors
            .iter()
            .zip(&of_ranks)
            .map(|(actor, part)| actor.allreduce().remote(row(part.clone()), op));
        let results = all(results.collect()).unwrap();
        for result in results {
            let result: Vec<T> = result.view::<T>().unwrap().iter().collect();
            assert_eq!(result.len(), parts[0].len());
            for (at, found) in result.into_iter().enumerate() {
                let column: Vec<T> = of_ranks.iter().map(|part| part[at]).collect();
                let expected = T::reference(op, &column);
                assert_eq!(
                    found.bits(),
                    expected.bits(),
                    "{op} of {column:?}: {found:?}"
                );
            }
        }
    }
}

fn every_operation_is_right<T: Scalar>() {
    with_runtime(quiet(2), |_| {
        // By the number of ranks.
        let groups: Vec<_> = (0..=4).map(|ranks| actors(ranks, 2)).collect();
        let _made: Vec<_> = groups[2..]
            .iter()
            .map(|actors| group(actors).unwrap())
            .collect();
        let mut runner = TestRunner::new(Config::with_cases(40));
        runner
            .run(&parts(), |parts| {
                check::<T>(&groups, &parts);
                Ok(())
            })
            .unwrap();
    });
}

macro_rules! types {
    ($($name:ident: $type:ty,)*) => { $(
        #[test]
        fn $name() {
            every_operation_is_right::<$type>();
        }
    )* };
}

types! {
    every_operation_on_u8_is_what_its_elements_come_to: u8,
    every_operation_on_i8_is_what_its_elements_come_to: i8,
    every_operation_on_u16_is_what_its_elements_come_to: u16,
    every_operation_on_i16_is_what_its_elements_come_to: i16,
    every_operation_on_u32_is_what_its_elements_come_to: u32,
    every_operation_on_i32_is_what_its_elements_come_to: i32,
    every_operation_on_u64_is_what_its_elements_come_to: u64,
    every_operation_on_i64_is_what_its_elements_come_to: i64,
    every_operation_on_f16_is_what_its_elements_come_to: f16,
    every_operation_on_bf16_is_what_its_elements_come_to: bf16,
    every_operation_on_f32_is_what_its_elements_come_to: f32,
    every_operation_on_f64_is_what_its_elements_come_to: f64,
}
