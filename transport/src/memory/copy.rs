//! Copies in and out of memory that others write meanwhile (MR-2): words where they are aligned, bytes
//! at both ends, each by a relaxed atomic.
#![allow(unsafe_code, reason = "reaches memory by address")]

use maser_shm::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::ptr::NonNull;

/// # Safety
/// `to` is mapped for writing, as many bytes as `from` has.
pub(super) unsafe fn copy_in(to: NonNull<u8>, from: &[u8]) {
    let head = to.align_offset(8).min(from.len());
    let (head, rest) = from.split_at(head);
    let (words, tail) = rest.as_chunks::<8>();
    // SAFETY: the contract; the words begin where they are aligned.
    unsafe {
        for (at, byte) in head.iter().enumerate() {
            to.add(at)
                .cast::<AtomicU8>()
                .as_ref()
                .store(*byte, Ordering::Relaxed);
        }
        let to = to.add(head.len());
        for (at, word) in words.iter().enumerate() {
            let place = to.add(at * 8).cast::<AtomicU64>();
            place
                .as_ref()
                .store(u64::from_ne_bytes(*word), Ordering::Relaxed);
        }
        let to = to.add(words.len() * 8);
        for (at, byte) in tail.iter().enumerate() {
            to.add(at)
                .cast::<AtomicU8>()
                .as_ref()
                .store(*byte, Ordering::Relaxed);
        }
    }
}

/// # Safety
/// `from` is mapped, as many bytes as `to` has.
pub(super) unsafe fn copy_out(from: NonNull<u8>, to: &mut [u8]) {
    let head = from.align_offset(8).min(to.len());
    let (head, rest) = to.split_at_mut(head);
    let (words, tail) = rest.as_chunks_mut::<8>();
    // SAFETY: the contract; the words begin where they are aligned.
    unsafe {
        for (at, byte) in head.iter_mut().enumerate() {
            *byte = from
                .add(at)
                .cast::<AtomicU8>()
                .as_ref()
                .load(Ordering::Relaxed);
        }
        let from = from.add(head.len());
        for (at, word) in words.iter_mut().enumerate() {
            let place = from.add(at * 8).cast::<AtomicU64>();
            *word = place.as_ref().load(Ordering::Relaxed).to_ne_bytes();
        }
        let from = from.add(words.len() * 8);
        for (at, byte) in tail.iter_mut().enumerate() {
            *byte = from
                .add(at)
                .cast::<AtomicU8>()
                .as_ref()
                .load(Ordering::Relaxed);
        }
    }
}
