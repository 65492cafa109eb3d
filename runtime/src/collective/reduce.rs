//! Elements of several arrays made one, in vector registers.
//!
//! The result is made in blocks that stay in the first-level cache while every rank's elements are
//! folded into them, so that each input is read from memory once and the result written once.
//! Loops are plain; they are compiled twice, once for AVX2, and the machine is asked which to run.
//!
//! | type | sum, product, min, max | average |
//! |---|---|---|
//! | `f32`, `f64` | in the type itself | sum in the type itself, divided once |
//! | `f16`, `bf16` | in `f32`, rounded once at the end, to nearest even | as the sum, divided in `f32` |
//! | integers to 32 bits | in the type itself, wrapping | exact sum in `i64`, cut off towards zero |
//! | `i64`, `u64` | in the type itself, wrapping | exact sum in `i128`, cut off towards zero |
//!
//! The order is that of the ranks: `((r0 + r1) + r2) + ..`.
#![allow(
    unsafe_code,
    reason = "calls what was compiled for AVX2, once the machine said that it has it"
)]

use super::operation::ReduceOp;
use half::slice::HalfFloatSliceExt;
use maser_shm::tensor::Element;
use maser_shm::tensor::dtype::{bf16, f16};

/// Bytes of the result that are made at once: half of the smallest first-level cache in use (32
/// KiB), the other half is for what is read.
const BLOCK_BYTES: usize = 16 << 10;

/// Elements that are widened at once.
const WIDE: usize = 1024;

/// A type of elements that can be reduced.
pub(super) trait Number: Element + Default {
    /// Folds blocks of equal length, at least one, into `out`.
    fn fold(op: ReduceOp, out: &mut [Self], parts: &[&[Self]]);
}

/// Makes `parts`, which are all as long as `out`, one.
///
/// # Panics
/// If they are not, or if there is none.
pub(super) fn reduce<T: Number>(op: ReduceOp, out: &mut [T], parts: &[&[T]]) {
    assert!(!parts.is_empty() && parts.iter().all(|part| part.len() == out.len()));
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: just detected.
        return unsafe { fold_avx2(op, out, parts) };
    }
    T::fold(op, out, parts);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn fold_avx2<T: Number>(op: ReduceOp, out: &mut [T], parts: &[&[T]]) {
    T::fold(op, out, parts);
}

/// In the type itself.
#[inline(always)]
fn fold_in<T: Number>(out: &mut [T], parts: &[&[T]], combine: impl Fn(T, T) -> T) {
    let step = BLOCK_BYTES / size_of::<T>();
    for (at, out) in out.chunks_mut(step).enumerate() {
        let range = at * step..at * step + out.len();
        match parts {
            [] => {}
            [only] => out.copy_from_slice(&only[range]),
            [first, second, rest @ ..] => {
                let pairs = first[range.clone()].iter().zip(&second[range.clone()]);
                for (out, (first, second)) in out.iter_mut().zip(pairs) {
                    *out = combine(*first, *second);
                }
                for part in rest {
                    for (out, next) in out.iter_mut().zip(&part[range.clone()]) {
                        *out = combine(*out, *next);
                    }
                }
            }
        }
    }
}

/// In a wider type, rounded or cut off once.
#[inline(always)]
fn fold_wide<T: Number, W: Copy + Default>(
    out: &mut [T],
    parts: &[&[T]],
    widen: impl Fn(&[T], &mut [W]),
    combine: impl Fn(W, W) -> W,
    narrow: impl Fn(&mut [W], &mut [T]),
) {
    let (mut sums, mut nexts) = ([W::default(); WIDE], [W::default(); WIDE]);
    let Some((first, rest)) = parts.split_first() else {
        return;
    };
    for (at, out) in out.chunks_mut(WIDE).enumerate() {
        let range = at * WIDE..at * WIDE + out.len();
        let (sums, nexts) = (&mut sums[..out.len()], &mut nexts[..out.len()]);
        widen(&first[range.clone()], sums);
        for part in rest {
            widen(&part[range.clone()], nexts);
            for (sum, next) in sums.iter_mut().zip(nexts.iter()) {
                *sum = combine(*sum, *next);
            }
        }
        narrow(sums, out);
    }
}

macro_rules! integers {
    ($($type:ty: $wide:ty,)*) => { $(
        impl Number for $type {
            #[inline(always)]
            fn fold(op: ReduceOp, out: &mut [Self], parts: &[&[Self]]) {
                match op {
                    ReduceOp::Sum => fold_in(out, parts, Self::wrapping_add),
                    ReduceOp::Product => fold_in(out, parts, Self::wrapping_mul),
                    ReduceOp::Max => fold_in(out, parts, Self::max),
                    ReduceOp::Min => fold_in(out, parts, Self::min),
                    ReduceOp::Average => {
                        let ranks = parts.len() as $wide;
                        fold_wide::<Self, $wide>(
                            out,
                            parts,
                            |from, to| for (to, from) in to.iter_mut().zip(from) {
                                *to = <$wide>::from(*from);
                            },
                            |sum, next| sum + next,
                            |from, to| for (to, from) in to.iter_mut().zip(from) {
                                *to = (*from / ranks) as Self;
                            },
                        );
                    }
                }
            }
        }
    )* };
}

integers! {
    u8: i64, i8: i64, u16: i64, i16: i64, u32: i64, i32: i64, u64: i128, i64: i128,
}

macro_rules! floats {
    ($($type:ty)*) => { $(
        impl Number for $type {
            #[inline(always)]
            fn fold(op: ReduceOp, out: &mut [Self], parts: &[&[Self]]) {
                match op {
                    ReduceOp::Sum => fold_in(out, parts, |sum, next| sum + next),
                    ReduceOp::Product => fold_in(out, parts, |product, next| product * next),
                    ReduceOp::Max => fold_in(out, parts, |a, b| if a > b || a.is_nan() { a } else { b }),
                    ReduceOp::Min => fold_in(out, parts, |a, b| if a < b || a.is_nan() { a } else { b }),
                    ReduceOp::Average => {
                        let ranks = parts.len() as Self;
                        fold_wide::<Self, Self>(
                            out,
                            parts,
                            |from, to| to.copy_from_slice(from),
                            |sum, next| sum + next,
                            |from, to| for (to, from) in to.iter_mut().zip(from) {
                                *to = *from / ranks;
                            },
                        );
                    }
                }
            }
        }
    )* };
}

floats! { f32 f64 }

/// 16 bits, reduced as `f32`.
#[inline(always)]
fn fold_half<T: Number>(
    op: ReduceOp,
    out: &mut [T],
    parts: &[&[T]],
    widen: impl Fn(&[T], &mut [f32]),
    narrow: impl Fn(&mut [f32], &mut [T]),
) {
    let ranks = parts.len() as f32;
    match op {
        ReduceOp::Sum => fold_wide(out, parts, widen, |sum, next| sum + next, narrow),
        ReduceOp::Product => fold_wide(out, parts, widen, |product, next| product * next, narrow),
        ReduceOp::Max => {
            let max = |a: f32, b: f32| if a > b || a.is_nan() { a } else { b };
            fold_wide(out, parts, widen, max, narrow);
        }
        ReduceOp::Min => {
            let min = |a: f32, b: f32| if a < b || a.is_nan() { a } else { b };
            fold_wide(out, parts, widen, min, narrow);
        }
        ReduceOp::Average => {
            let divided = |from: &mut [f32], to: &mut [T]| {
                for sum in from.iter_mut() {
                    *sum /= ranks;
                }
                narrow(from, to);
            };
            fold_wide(out, parts, widen, |sum, next| sum + next, divided);
        }
    }
}

impl Number for f16 {
    #[inline(always)]
    fn fold(op: ReduceOp, out: &mut [Self], parts: &[&[Self]]) {
        // The crate has loops for F16C, and asks the machine for it.
        fold_half(
            op,
            out,
            parts,
            |from, to| from.convert_to_f32_slice(to),
            |from, to| to.convert_from_f32_slice(from),
        );
    }
}

impl Number for bf16 {
    #[inline(always)]
    fn fold(op: ReduceOp, out: &mut [Self], parts: &[&[Self]]) {
        fold_half(
            op,
            out,
            parts,
            |from, to| {
                for (to, from) in to.iter_mut().zip(from) {
                    *to = f32::from_bits(u32::from(from.to_bits()) << 16);
                }
            },
            |from, to| {
                for (to, from) in to.iter_mut().zip(from.iter()) {
                    *to = nearest_bf16(*from);
                }
            },
        );
    }
}

/// Rounded to nearest, ties to even: without the branches that keep a loop from being vectorised.
#[inline(always)]
fn nearest_bf16(value: f32) -> bf16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    let quiet = (bits >> 16) | 0x40;
    bf16::from_bits(if value.is_nan() { quiet } else { rounded } as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_to_bf16_is_what_the_crate_does() {
        for high in 0..=u16::MAX {
            for low in [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
                let value = f32::from_bits(u32::from(high) << 16 | low);
                let (ours, theirs) = (nearest_bf16(value), bf16::from_f32(value));
                assert_eq!(ours.to_bits(), theirs.to_bits(), "{value:e}");
            }
        }
    }
}
