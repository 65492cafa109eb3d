//! Fuzzes [`targets::sealed`](maser_fuzz::targets::sealed).
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| maser_fuzz::targets::sealed(data));
