//! Cold random reads: one by one, by faults, and many in flight.

use crate::Result;
use crate::report::Report;
use crate::suite::Scale;

/// Measures everything.
pub(super) fn run(_scale: Scale, _report: &mut Report) -> Result<()> {
    Ok(())
}

/// Measures the figures to reach.
pub(super) fn goals(_scale: Scale, _report: &mut Report) -> Result<()> {
    Ok(())
}
