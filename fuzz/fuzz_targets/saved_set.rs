//! See `src/saved_set.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bifolio_fuzz::saved_set(bytes));
