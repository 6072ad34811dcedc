//! Stop: the levels of durability, and what each of them costs here.

use std::time::Instant;

use bifolio::map::{Flush, ReadWrite, Section, View, fault};

use super::{Outcome, Stop, Tour};
use crate::failure::CliError;
use crate::output::Value;

/// The stop.
pub(super) struct Durable;

impl Stop for Durable {
    fn name(&self) -> &'static str {
        "durability"
    }

    fn title(&self) -> &'static str {
        "Durability, spelled out"
    }

    fn run(&self, tour: &mut Tour<'_>) -> Result<(), CliError> {
        tour.say(
            "What is written is seen by everybody at once; it survives a power cut only after a \
             flush that says so. The same 64 KiB are written and flushed at each level. The times \
             are those of this machine, and nothing depends on them.",
        )?;
        let section = Section::create(tour.path("durable"), 64 * 1024)?;
        let view: View<ReadWrite> = section.view()?;
        let mut outcomes = Vec::new();
        for (level, promise) in [
            (Flush::Start, "flush(Start) succeeds: write-back begins, nothing is promised"),
            (
                Flush::Barrier,
                "flush(Barrier) succeeds: the bytes reach the device before later ones",
            ),
            (
                Flush::Data,
                "flush(Data) succeeds: the bytes and the length are to survive a power cut",
            ),
            (Flush::Full, "flush(Full) succeeds: so are all metadata, and the name of the file"),
        ] {
            view.fill(.., level as u8 + 1)?;
            let started = Instant::now();
            let flushed = view.flush(.., level);
            let took = started.elapsed();
            let outcome = match flushed {
                Ok(()) => Outcome::Passed,
                Err(error) => Outcome::failed(error, "no error"),
            };
            tour.fact(format_args!("flush({level:?}) took"), Value::Duration(took))?;
            outcomes.push((promise, outcome));
        }
        for (promise, outcome) in outcomes {
            tour.check(promise, outcome)?;
        }
        let status = fault::status();
        tour.check(
            "the fault handler is still in its place at the end",
            Outcome::when(
                fault::check().is_ok(),
                format!("{status:?}"),
                format!("{:?}", fault::Status::Active),
            ),
        )
    }
}
