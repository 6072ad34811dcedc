//! See `src/region.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bifolio_fuzz::region(bytes));
