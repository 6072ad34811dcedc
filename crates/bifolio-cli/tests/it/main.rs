//! The contract of the command, line by line, on the built program.
#![forbid(unsafe_code)]

mod color;
mod completions;
mod doctor;
mod examples;
mod exit_codes;
mod external;
mod formats;
mod interrupt;
mod man;
#[cfg(target_os = "linux")]
mod page;
mod shm;
mod streams;
mod support;
#[cfg(target_os = "linux")]
mod terminal;
mod tour;
