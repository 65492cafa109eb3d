//! Asking for a line before it is needed, for reading or for writing.
#![allow(unsafe_code, reason = "one prefetch instruction")]

/// Starts to fetch the line at `at` for reading. A hint: any address will do.
#[inline(always)]
pub(super) fn prefetch_read<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the instruction (SSE, in every x86_64) faults on no address and changes no state.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = at;
}

/// Starts to fetch the line at `at` for writing: no other core has a copy of it then. A hint: any
/// address will do.
#[inline(always)]
pub(super) fn prefetch_write<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the instruction faults on no address and changes no state; 64-bit processors without
    // it take it for a `nop`. The intrinsic would be a read without the feature at compile time.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = at;
}
