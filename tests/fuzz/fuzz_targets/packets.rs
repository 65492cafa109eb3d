//! Fuzzes [`targets::packets`](maser_fuzz::targets::packets).
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| maser_fuzz::targets::packets(data));
