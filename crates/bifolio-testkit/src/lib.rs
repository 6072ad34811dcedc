//! Crashes, faults, full disks and power cuts, for tests.
#![forbid(unsafe_code)]

pub mod child;
pub mod random;
pub mod skip;

pub use random::{Random, budget};
