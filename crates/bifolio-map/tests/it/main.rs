//! What bifolio-map promises, one property a test.
//!
//! Run it as root and as an ordinary user: each sees things that the other does not. What a
//! machine or user cannot do is printed as `SKIPPED: reason` and counted by bifolio-testkit.
//! `BIFOLIO_BUDGET=170` makes the truncation storms ten million accesses long.

#![allow(clippy::cast_possible_truncation, reason = "sizes and patterns of tests are small")]
#![allow(clippy::single_range_in_vec_init, reason = "the calls under test give lists of ranges")]

mod support;

// Stepping through a protocol is for two processors.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod aside;
#[cfg(target_os = "linux")]
mod bad_block;
mod batch;
#[cfg(target_os = "linux")]
mod batch_faults;
mod batch_polled;
#[cfg(target_os = "linux")]
mod creation;
#[cfg(unix)]
mod cut;
#[cfg(target_os = "linux")]
mod durability;
mod errors;
#[cfg(unix)]
mod faults;
#[cfg(target_os = "linux")]
mod frozen;
#[cfg(target_os = "linux")]
mod full;
mod growth;
#[cfg(target_os = "linux")]
mod handlers;
#[cfg(target_os = "linux")]
mod limits;
mod locks;
mod machine;
#[cfg(target_os = "linux")]
mod machine_linux;
#[cfg(target_os = "linux")]
mod mapping;
mod moving;
mod names;
#[cfg(target_os = "linux")]
mod names_linux;
#[cfg(target_os = "linux")]
mod names_peers;
#[cfg(target_os = "linux")]
mod names_safety;
#[cfg(windows)]
mod names_trust;
#[cfg(windows)]
mod names_windows;
mod page_maps;
mod prefetch;
mod private;
mod processes;
mod refusals;
#[cfg(target_os = "linux")]
mod residency;
#[cfg(target_os = "linux")]
mod residency_hidden;
mod residency_told;
mod sections;
#[cfg(target_os = "linux")]
mod space;
#[cfg(target_os = "linux")]
mod special;
mod storage;
#[cfg(target_os = "linux")]
mod storm;
mod streams;
mod table;
mod try_read;
#[cfg(target_os = "linux")]
mod try_read_cold;
mod views;
mod waiting;
#[cfg(windows)]
mod windows;
