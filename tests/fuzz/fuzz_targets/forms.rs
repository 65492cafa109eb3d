//! Fuzzes [`targets::forms`](maser_fuzz::targets::forms).
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| maser_fuzz::targets::forms(data));
