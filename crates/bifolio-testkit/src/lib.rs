#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod bugs;
pub mod child;
pub mod fault;
pub mod random;
pub mod record;
pub mod replay;
pub mod skip;
pub mod trace;

#[cfg(target_os = "linux")]
pub mod mount;
#[cfg(target_os = "linux")]
pub mod power;
#[cfg(target_os = "linux")]
pub mod privilege;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub mod step;

pub use random::{Random, budget};
