//! See `src/machine_texts.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bifolio_fuzz::machine_texts(bytes));
