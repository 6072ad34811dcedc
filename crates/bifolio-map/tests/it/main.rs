//! What bifolio-map promises, one property a test.
//!
//! Run it as root and as an ordinary user: each sees things that the other does not. What a
//! machine or user cannot do is printed as `SKIPPED: reason` and counted by bifolio-testkit.
//! `BIFOLIO_BUDGET=100` makes the truncation storms as long as the release notes claim.

mod support;

#[cfg(target_os = "linux")]
mod creation;
mod errors;
#[cfg(unix)]
mod faults;
#[cfg(target_os = "linux")]
mod frozen;
#[cfg(target_os = "linux")]
mod mapping;
mod private;
mod sections;
#[cfg(target_os = "linux")]
mod special;
mod streams;
mod table;
mod views;
#[cfg(windows)]
mod windows;
