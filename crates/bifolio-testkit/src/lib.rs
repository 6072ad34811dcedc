//! Crashes, faults, full disks and power cuts, for tests.
#![forbid(unsafe_code)]

pub mod bugs;
pub mod child;
pub mod fault;
pub mod random;
pub mod record;
pub mod replay;
pub mod skip;
pub mod trace;

pub use random::{Random, budget};
