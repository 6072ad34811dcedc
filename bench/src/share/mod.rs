//! The suite of what processes share.

mod arenas;
mod channels;
mod contended;
mod locks;
mod memory;
mod objects;
mod snapshots;
mod takeover;

pub(crate) use contended::{COUNT, count};
pub(crate) use takeover::{HOLD, hold};

use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::harness::Sample;
use crate::report::Report;
use crate::suite::{Scale, Suite};

/// The suite.
pub(crate) const SUITE: Suite = Suite {
    name: "share",
    about: "locks in shared memory against those of std, parking_lot, raw_sync and the C library, also between processes; objects against files, Python's shared_memory and Plasma (by the Python that `BIFOLIO_PLASMA_PYTHON` names); snapshots against mmap-sync; arenas against Boost.Interprocess, if its headers are here, and malloc; channels against pipes, sockets and ipc-channel (with the feature `iceoryx2` against that too); bytes of a region against private memory and memmap2",
    run,
    goals,
};

/// Runs a rival's own program, which tells its nanoseconds and its digest.
fn timed_by(command: &mut Command) -> Result<Sample> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(
            format!("a rival's program: {}", String::from_utf8_lossy(&output.stderr)).into()
        );
    }
    let text = String::from_utf8(output.stdout)?;
    let mut words = text.split_whitespace();
    let mut number = || -> Result<u64> { Ok(words.next().ok_or("no number")?.parse()?) };
    Ok(Sample { took: Duration::from_nanos(number()?), digest: number()? })
}

fn run(scale: Scale, report: &mut Report) -> Result<()> {
    locks::run(scale, report)?;
    objects::run(scale, report)?;
    snapshots::run(scale, report)?;
    arenas::run(scale, report)?;
    channels::run(scale, report)?;
    memory::run(scale, report)?;
    takeover::run(scale, report)
}

fn goals(scale: Scale, report: &mut Report) -> Result<()> {
    locks::goals(scale, report)?;
    objects::goals(scale, report)?;
    snapshots::goals(scale, report)?;
    arenas::goals(scale, report)?;
    channels::goals(scale, report)?;
    takeover::goals(scale, report)
}
