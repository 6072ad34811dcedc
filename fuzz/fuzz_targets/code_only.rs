//! See `src/code_only.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bifolio_fuzz::code_only(bytes));
