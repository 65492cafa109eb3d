//! Fuzzes [`targets::header`](maser_fuzz::targets::header).
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| maser_fuzz::targets::header(data));
