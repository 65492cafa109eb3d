//! Copies into objects. What does not fit the last cache is written past it.
//!
//! A plain copy reads every line of its target before it writes it, and pushes everything else out of
//! the caches. Streaming stores do neither. They lose where the target would have stayed in the cache,
//! so the routine asks how large that is.
//!
//! - CY-1 streaming stores are weakly ordered; a store fence ends the routine, so what is written
//!   comes before whatever publishes it (HD-1).
#![allow(unsafe_code, reason = "vector instructions and raw copies")]

use std::sync::OnceLock;

/// Where the last cache's size is not told. Smaller than that of servers: a copy that streams too
/// early costs less than one that streams too late.
const LAST_CACHE_BYTES_UNKNOWN: usize = 8 << 20;

/// Fills `to` from `from`.
///
/// # Panics
/// If they differ in length.
#[inline]
pub fn copy(to: &mut [u8], from: &[u8]) {
    /// Below this it is not even asked how large the cache is.
    const PLAIN_BYTES: usize = 1 << 20;
    if to.len() < PLAIN_BYTES {
        return to.copy_from_slice(from);
    }
    copy_large(to, from);
}

#[cold]
fn copy_large(to: &mut [u8], from: &[u8]) {
    // Both sides pass through it.
    if to.len() < last_cache_bytes() / 2 {
        return to.copy_from_slice(from);
    }
    stream(to, from);
}

/// Bytes of the cache next to memory.
fn last_cache_bytes() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let size = |level: u32| {
            let file = format!("/sys/devices/system/cpu/cpu0/cache/index{level}/size");
            let text = std::fs::read_to_string(file).ok()?;
            let kib: usize = text.trim().strip_suffix('K')?.parse().ok()?;
            Some(kib << 10)
        };
        size(3).or(size(2)).unwrap_or(LAST_CACHE_BYTES_UNKNOWN)
    })
}

/// Copies past the caches, whatever the size.
///
/// # Panics
/// If they differ in length.
#[cfg(target_arch = "x86_64")]
pub fn stream(to: &mut [u8], from: &[u8]) {
    assert_eq!(to.len(), from.len(), "a copy has one length");
    let ahead = to.as_ptr().align_offset(BLOCK_BYTES).min(to.len());
    let (to_ahead, to_rest) = to.split_at_mut(ahead);
    let (from_ahead, from_rest) = from.split_at(ahead);
    to_ahead.copy_from_slice(from_ahead);
    let whole = to_rest.len() / BLOCK_BYTES * BLOCK_BYTES;
    let (to_whole, to_tail) = to_rest.split_at_mut(whole);
    let (from_whole, from_tail) = from_rest.split_at(whole);
    if cfg!(miri) {
        // It knows no streaming stores.
        to_whole.copy_from_slice(from_whole);
    } else if std::arch::is_x86_feature_detected!("avx") {
        // SAFETY: the instructions are there; both have `whole` bytes and do not overlap, the target
        // begins with a block.
        unsafe { stream_avx(to_whole.as_mut_ptr(), from_whole.as_ptr(), whole) }
    } else {
        // SAFETY: as above, and every x86-64 has these.
        unsafe { stream_sse2(to_whole.as_mut_ptr(), from_whole.as_ptr(), whole) }
    }
    to_tail.copy_from_slice(from_tail);
}

/// Copies past the caches where that is known how; plainly here.
///
/// # Panics
/// If they differ in length.
#[cfg(not(target_arch = "x86_64"))]
pub fn stream(to: &mut [u8], from: &[u8]) {
    to.copy_from_slice(from);
}

/// Bytes of a step: two lines.
#[cfg(target_arch = "x86_64")]
const BLOCK_BYTES: usize = 128;
/// How far ahead of the copy lines are fetched.
#[cfg(target_arch = "x86_64")]
const FETCH_AHEAD_BYTES: usize = 2048;

/// # Safety
/// AVX is there; `to` is aligned to a block, `bytes` are whole blocks, valid on both sides, and the
/// sides do not overlap.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
unsafe fn stream_avx(to: *mut u8, from: *const u8, bytes: usize) {
    use std::arch::x86_64::{
        _MM_HINT_NTA, _mm_prefetch, _mm_sfence, _mm256_loadu_si256, _mm256_stream_si256,
    };
    let mut at = 0;
    while at < bytes {
        // SAFETY: the caller's promise. A prefetch past the end touches nothing.
        unsafe {
            let ahead = from.wrapping_add(at + FETCH_AHEAD_BYTES);
            _mm_prefetch::<_MM_HINT_NTA>(ahead.cast());
            _mm_prefetch::<_MM_HINT_NTA>(ahead.wrapping_add(64).cast());
            let source = from.add(at).cast();
            let parts = [
                _mm256_loadu_si256(source),
                _mm256_loadu_si256(source.add(1)),
                _mm256_loadu_si256(source.add(2)),
                _mm256_loadu_si256(source.add(3)),
            ];
            for (index, part) in parts.into_iter().enumerate() {
                _mm256_stream_si256(to.add(at + index * 32).cast(), part);
            }
        }
        at += BLOCK_BYTES;
    }
    _mm_sfence(); // CY-1
}

/// # Safety
/// As [`stream_avx`], without AVX.
#[cfg(target_arch = "x86_64")]
unsafe fn stream_sse2(to: *mut u8, from: *const u8, bytes: usize) {
    use std::arch::x86_64::{
        _MM_HINT_NTA, _mm_loadu_si128, _mm_prefetch, _mm_sfence, _mm_stream_si128,
    };
    let mut at = 0;
    while at < bytes {
        // SAFETY: the caller's promise. A prefetch past the end touches nothing.
        unsafe {
            let ahead = from.wrapping_add(at + FETCH_AHEAD_BYTES);
            _mm_prefetch::<_MM_HINT_NTA>(ahead.cast());
            _mm_prefetch::<_MM_HINT_NTA>(ahead.wrapping_add(64).cast());
            for part in 0..BLOCK_BYTES / 16 {
                let value = _mm_loadu_si128(from.add(at + part * 16).cast());
                _mm_stream_si128(to.add(at + part * 16).cast(), value);
            }
        }
        at += BLOCK_BYTES;
    }
    // SAFETY: every x86-64 has it.
    unsafe { _mm_sfence() }; // CY-1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_arrives_and_none_beside() {
        let from: Vec<u8> = (0..5000u32).map(|i| (i * 7 % 251) as u8).collect();
        for start in [0, 1, 63, 64, 65, 127] {
            for bytes in [0, 1, 127, 128, 129, 255, 1000, 4096, 4500] {
                let mut to = vec![0xEE; 5000];
                stream(&mut to[start..start + bytes], &from[13..13 + bytes]);
                assert!(to[..start].iter().all(|&byte| byte == 0xEE));
                assert_eq!(to[start..start + bytes], from[13..13 + bytes]);
                assert!(to[start + bytes..].iter().all(|&byte| byte == 0xEE));
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    #[cfg_attr(miri, ignore = "streaming stores")]
    fn the_baseline_copies_as_well() {
        #[repr(align(128))]
        struct Aligned([u8; 1024]);
        let mut to = Aligned([0; 1024]);
        let from: Vec<u8> = (0..1025u32).map(|i| (i % 251) as u8).collect();
        // SAFETY: whole blocks, aligned.
        unsafe { stream_sse2(to.0.as_mut_ptr(), from[1..].as_ptr(), 1024) };
        assert_eq!(to.0[..], from[1..]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "many bytes")]
    fn a_copy_that_streams_arrives() {
        let from: Vec<u8> = (0..last_cache_bytes() + 77)
            .map(|i| (i % 251) as u8)
            .collect();
        let mut to = vec![0; from.len()];
        copy(&mut to, &from);
        assert!(to == from);
    }

    #[test]
    #[should_panic(expected = "one length")]
    fn sides_of_different_length_are_refused() {
        stream(&mut [0; 4], &[0; 5]);
    }
}
