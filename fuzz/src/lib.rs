//! What the fuzz targets do, as functions from bytes that panic when a property does not hold.
//!
//! The programs in `fuzz_targets/` only call them, so that any input can also be run by an
//! ordinary test.
#![forbid(unsafe_code)]

mod code_only;

pub use code_only::code_only;
