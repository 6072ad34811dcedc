//! The suite of locks in shared memory.

mod arenas;
mod channels;
mod locks;
mod objects;
mod snapshots;
mod takeover;

pub(crate) use takeover::{HOLD, hold};

use crate::Result;
use crate::report::Report;
use crate::suite::{Scale, Suite};

/// The suite.
pub(crate) const SUITE: Suite = Suite {
    name: "share",
    about: "locks in shared memory against those of std, parking_lot and the C library; objects against files; snapshots against mmap-sync; arenas against Boost.Interprocess, if its headers are here, and malloc; channels against pipes and sockets (with the feature `iceoryx2` against that too)",
    run,
    goals,
};

fn run(scale: Scale, report: &mut Report) -> Result<()> {
    locks::run(scale, report)?;
    objects::run(scale, report)?;
    snapshots::run(scale, report)?;
    arenas::run(scale, report)?;
    channels::run(scale, report)?;
    takeover::run(scale, report)
}

fn goals(scale: Scale, report: &mut Report) -> Result<()> {
    locks::goals(scale, report)?;
    snapshots::goals(scale, report)?;
    arenas::goals(scale, report)?;
    channels::goals(scale, report)?;
    takeover::goals(scale, report)
}
