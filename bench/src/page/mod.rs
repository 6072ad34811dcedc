//! The suite of names, residency and many reads in flight.

mod bare;
mod batch;
mod names;
mod touch;

pub(crate) use touch::COMMAND;

use crate::Result;
use crate::report::Report;
use crate::suite::{Scale, Suite};

/// The suite.
pub(crate) const SUITE: Suite = Suite {
    name: "page",
    about: "named sections, page-cache work against vmtouch, and many reads in flight",
    run,
    goals,
};

fn run(scale: Scale, report: &mut Report) -> Result<()> {
    names::run(scale, report)?;
    touch::run(scale, report)?;
    batch::run(scale, report)
}

fn goals(scale: Scale, report: &mut Report) -> Result<()> {
    names::goals(scale, report)?;
    touch::goals(scale, report)?;
    batch::goals(scale, report)
}
