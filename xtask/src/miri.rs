//! The pure parts of bifolio-map under Miri. Tests that make system calls are marked
//! `#[cfg_attr(miri, ignore)]`.

use std::process::ExitCode;

use crate::ci::{Done, failures};
use crate::workspace::Workspace;
use crate::{Stop, after_dashes};

pub(crate) fn verb(words: &[String]) -> Result<ExitCode, Stop> {
    run(&Workspace::load()?, after_dashes(words))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn check(workspace: &Workspace) -> Result<Done, String> {
    run(workspace, &[]).map(|()| Done::Passed)
}

fn run(workspace: &Workspace, filter: &[String]) -> Result<(), String> {
    workspace
        .cargo(&["+nightly", "miri", "test", "-p", "bifolio-map", "--lib"])
        .args(if filter.is_empty() { &[][..] } else { &["--"] })
        .args(filter)
        // Isolation would hide the clock and the environment, which seeded tests read.
        // Words and bytes of one file are both accessed by atomics, and Miri's emulation of weak
        // memory panics on atomics of mixed sizes.
        .env("MIRIFLAGS", "-Zmiri-disable-isolation -Zmiri-disable-weak-memory-emulation")
        .env("CARGO_TARGET_DIR", workspace.target.join("miri"))
        .run_digesting(failures::in_output)
}
