//! Asking for a line before it is needed.
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
