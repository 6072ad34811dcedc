//! The suite of locks in shared memory.

mod locks;
mod objects;
mod takeover;

pub(crate) use takeover::{HOLD, hold};

use crate::Result;
use crate::report::Report;
use crate::suite::{Scale, Suite};

/// The suite.
pub(crate) const SUITE: Suite = Suite {
    name: "share",
    about: "locks in shared memory against those of std, parking_lot and the C library",
    run,
    goals,
};

fn run(scale: Scale, report: &mut Report) -> Result<()> {
    locks::run(scale, report)?;
    objects::run(scale, report)?;
    takeover::run(scale, report)
}

fn goals(scale: Scale, report: &mut Report) -> Result<()> {
    locks::goals(scale, report)?;
    takeover::goals(scale, report)
}
