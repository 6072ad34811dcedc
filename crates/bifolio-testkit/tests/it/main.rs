//! The kit against a toy protocol, real processes and real file systems.
#![forbid(unsafe_code)]

mod crashes;
mod faults;
mod toy;

#[cfg(target_os = "linux")]
mod mounts;
#[cfg(target_os = "linux")]
mod power;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod steps;
