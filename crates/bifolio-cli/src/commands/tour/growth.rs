//! Stop: a view grows and nothing moves, also when it is another process that grows the file.

use std::ffi::OsString;
use std::io::{BufRead, Write};

use bifolio::map::{GrowableView, ReadWrite, Section, Space};

use super::{Stop, Tour, child};
use crate::failure::CliError;
use crate::output::Value;

/// The stop.
pub(super) struct Growth;

/// Addresses that are reserved: what the view may ever grow to.
const CAPACITY: u64 = if cfg!(target_pointer_width = "64") { 1 << 34 } else { 1 << 28 };
const STEP: u64 = 1 << 20;

impl Stop for Growth {
    fn name(&self) -> &'static str {
        "growth"
    }

    fn title(&self) -> &'static str {
        "Growth that moves nothing"
    }

    fn run(&self, tour: &mut Tour<'_>) -> Result<(), CliError> {
        tour.say(
            "Addresses are reserved once; the file grows into them, step by step, by this process \
             and by another one. Views that exist stay where they are.",
        )?;
        let path = tour.path("growing");
        let section = Section::create(&path, 4096)?;
        let growable: GrowableView<ReadWrite> = section.growable(CAPACITY)?;
        tour.fact("addresses reserved", Value::Bytes(growable.capacity()))?;
        let (first, base) = (growable.view()?, growable.as_ptr());
        first.put(0, &42u64)?;
        for step in 1..=8 {
            growable.grow_to(step * STEP, Space::Allocate)?;
        }
        growable.view()?.put(8 * STEP - 8, &43u64)?;
        tour.check_eq(
            "after growing eight times the base is where it was",
            growable.as_ptr().addr(),
            base.addr(),
        )?;
        tour.check_eq("the first view still reads its bytes", first.get::<u64>(0)?, 42)?;
        let mut partner = tour.partner("grow", &[&path])?;
        tour.check_eq("another process grows the file", partner.ask("?")?, "done".to_owned())?;
        partner.finish()?;
        tour.check_eq(
            "this process finds the new length when it looks",
            growable.refresh()?,
            16 * STEP,
        )?;
        tour.check_eq(
            "the bytes of the other process are here, at the same base",
            growable.view()?.get::<u64>(16 * STEP - 8)?,
            44,
        )?;
        section.set_len(13, Space::Allocate).or_else(|error| {
            // Windows does not cut off mapped files.
            if cfg!(windows) { Ok(()) } else { Err(error) }
        })?;
        drop((first, growable));
        section.set_len(13, Space::Allocate)?;
        tour.check_eq(
            "the file has its real size after it was cut to it at the end",
            section.len()?,
            13,
        )
    }
}

/// The role of the other process: grows the file and writes at its end.
pub(super) fn play(
    arguments: &[OsString],
    questions: &mut dyn BufRead,
    answers: &mut dyn Write,
) -> Result<(), CliError> {
    let path = child::one_path(arguments)?;
    child::answer_each(questions, answers, |_| {
        let section = Section::open_rw(path)?;
        section.set_len(16 * STEP, Space::Allocate)?;
        section.view::<ReadWrite>()?.put(16 * STEP - 8, &44u64)?;
        Ok("done".to_owned())
    })
}
