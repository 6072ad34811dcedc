//! Stop: two processes that map one file exchange data through it, before any of it is on disk.

use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use bifolio::map::residency::CachedFile;
use bifolio::map::{Flush, ReadWrite, Section, View, wait};

use super::{Outcome, Stop, Tour, child};
use crate::exit::Exit;
use crate::failure::CliError;
use crate::output::Value;

/// The stop.
pub(super) struct Together;

/// The word by which the two take turns, and the one that they count with.
const TURN: u64 = 0;
const COUNT: u64 = 8;
/// Turns that each of them takes.
const ROUNDS: u32 = 1000;
/// No turn takes longer, whatever the machine is doing.
const PATIENCE: Duration = Duration::from_secs(20);

impl Stop for Together {
    fn name(&self) -> &'static str {
        "processes"
    }

    fn title(&self) -> &'static str {
        "Two processes, one file"
    }

    fn run(&self, tour: &mut Tour<'_>) -> Result<(), CliError> {
        tour.say(
            "This process and another one map the same file. They take turns by an atomic word in \
             it, waking each other, and count in another word. Nobody writes to the file by a call \
             and nobody flushes: they meet in the page cache, which both maps are.",
        )?;
        let path = tour.path("shared");
        let section = Section::create(&path, 4096)?;
        let view: View<ReadWrite> = section.view()?;
        let mut partner = tour.partner("take-turns", &[&path])?;
        let started = Instant::now();
        take_turns(&view, 0)?;
        let took = started.elapsed();
        let answer = partner.hear()?;
        tour.check_eq("the other process took its turns", answer, format!("{ROUNDS} turns"))?;
        tour.check_eq(
            "every turn of both was counted",
            view.atomic_u64(COUNT)?.load()?,
            u64::from(2 * ROUNDS),
        )?;
        partner.finish()?;
        tour.fact("one turn, there and back", Value::Duration(took / ROUNDS))?;
        let waits = "none of it is on disk yet: the page of both is dirty";
        match section.residency(..)?.dirty {
            _ if CachedFile::open(&path)?.is_in_memory() => {
                tour.skip(waits, "the directory for temporary files lives in memory")?;
            }
            Some(dirty) => {
                let outcome = Outcome::when(dirty > 0, "no dirty page", "one dirty page");
                tour.check(waits, outcome)?;
            }
            None => {
                tour.skip(waits, "dirty pages are not counted on this system or file system")?;
            }
        }
        view.flush(.., Flush::Data)?;
        if let Some(dirty) = section.residency(..)?.dirty {
            tour.check_eq("after a flush no page of it is dirty", dirty, 0)?;
        }
        tour.check_eq(
            "the file has the count after a flush",
            count_in_file(&path)?,
            u64::from(2 * ROUNDS),
        )
    }
}

/// Takes every second turn: `me` is 0 or 1.
fn take_turns(view: &View<ReadWrite>, me: u32) -> Result<(), CliError> {
    let (turn, count) = (view.atomic_u32(TURN)?, view.atomic_u64(COUNT)?);
    for round in 0..ROUNDS {
        let mine = 2 * round + me;
        let started = Instant::now();
        loop {
            let now = turn.load()?;
            if now == mine {
                break;
            }
            if started.elapsed() > PATIENCE {
                return Err(CliError::new(Exit::Busy, "the other process does not take its turn"));
            }
            wait::wait(view, TURN, now, Some(Duration::from_millis(100)))?;
        }
        count.fetch_add(1)?;
        turn.store(mine + 1)?;
        wait::wake_all(view, TURN)?;
    }
    Ok(())
}

/// The count, read by a call.
fn count_in_file(path: &std::path::Path) -> Result<u64, CliError> {
    let bytes = std::fs::read(path)?;
    let at = usize::try_from(COUNT).unwrap_or_default();
    Ok(bytes
        .get(at..at + 8)
        .map_or(0, |word| u64::from_ne_bytes(word.try_into().unwrap_or_default())))
}

/// The role of the other process.
pub(super) fn play(
    arguments: &[OsString],
    _questions: &mut dyn BufRead,
    answers: &mut dyn Write,
) -> Result<(), CliError> {
    let path = child::one_path(arguments)?;
    take_turns(&Section::open_rw(path)?.view()?, 1)?;
    writeln!(answers, "{ROUNDS} turns")?;
    Ok(())
}
