//! Fuzzes [`targets::frames`](maser_fuzz::targets::frames).
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| maser_fuzz::targets::frames(data));
