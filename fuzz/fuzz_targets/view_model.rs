//! See `src/view_model.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bifolio_fuzz::view_model(bytes));
