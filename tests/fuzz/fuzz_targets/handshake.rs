//! Fuzzes [`targets::handshake`](maser_fuzz::targets::handshake).
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| maser_fuzz::targets::handshake(data));
