//! `bifolio-bench`: Bifolio against named rivals, in one run. The only place of the project where
//! rivals are dependencies.
//!
//! `cargo run --release -p bifolio-bench -- SUITE [--quick] [--goals] [--json]`; `list` names the
//! suites. How it measures is at the head of `harness.rs`.
//!
//! `unsafe` is confined to `door.rs`, where mapped files become slices.

#[cfg(target_os = "linux")]
mod args;
#[cfg(target_os = "linux")]
mod cache;
#[cfg(target_os = "linux")]
mod child;
#[cfg(target_os = "linux")]
mod corpus;
#[cfg(target_os = "linux")]
mod door;
#[cfg(target_os = "linux")]
mod goal;
#[cfg(target_os = "linux")]
mod harness;
#[cfg(target_os = "linux")]
mod kernel;
#[cfg(target_os = "linux")]
mod map;
#[cfg(target_os = "linux")]
mod page;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod share;
#[cfg(target_os = "linux")]
mod suite;

/// What can go wrong in a benchmark: it is printed and ends the run.
#[cfg(target_os = "linux")]
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    args::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!(
        "bifolio-bench measures on Linux only: it drops files from the page cache and counts bytes \
         from disk by Linux's own means"
    );
    std::process::ExitCode::FAILURE
}
