//! Stop: cold pages here and there, one by one and many at once.

use std::ops::Range;
use std::time::Instant;

use bifolio::map::residency::WriteBack;
use bifolio::map::{Advice, Flush, Read, ReadWrite, Section, TryRead, View};

use super::{Stop, Tour};
use crate::failure::CliError;
use crate::output::Value;

/// The stop.
pub(super) struct Flight;

const SIZE: u64 = 32 << 20;
const PIECE: u64 = 4096;
const PIECES: u64 = SIZE / PIECE;
const READS: u64 = 256;

impl Stop for Flight {
    fn name(&self) -> &'static str {
        "flight"
    }

    fn title(&self) -> &'static str {
        "Many reads in flight"
    }

    fn run(&self, tour: &mut Tour<'_>) -> Result<(), CliError> {
        tour.say(
            "A page that is not in memory is waited for. Whoever needs many of them, here and \
             there, asks for all at once and takes each as it arrives; whoever must not wait asks \
             whether a page is there. The times depend on the device, so they are told and not \
             checked.",
        )?;
        let section = Section::create(tour.path("scattered"), SIZE)?;
        write_numbers(&section)?;
        let places: Vec<Range<u64>> = (0..READS)
            .map(|n| n * 2_654_435_761 % PIECES * PIECE)
            .map(|start| start..start + PIECE)
            .collect();
        tour.fact("file", Value::Bytes(SIZE))?;
        tour.fact("reads of 4 KiB", Value::Count(READS))?;

        evict(&section)?;
        let view: View<Read> = section.view()?;
        let asked = match view.try_read_at(places[0].start, &mut [0; 8]) {
            Ok(TryRead::Read) => "in memory",
            Ok(TryRead::NotResident { .. }) => "not in memory",
            Err(_) => "the system does not tell",
        };
        tour.fact("asked without waiting", asked)?;

        view.advise(.., Advice::Random).or_else(unless_unsupported)?;
        let started = Instant::now();
        let mut one_by_one = 0;
        for place in &places {
            one_by_one += u64::from(view.get::<u64>(place.start)? == number_at(place.start));
        }
        tour.fact("one by one", Value::Duration(started.elapsed()))?;
        drop(view);

        evict(&section)?;
        let view: View<Read> = section.view()?;
        let started = Instant::now();
        let mut batch = view.read_batch(places.iter().cloned())?;
        let engine = batch.engine();
        let mut batched = 0;
        while let Some(completion) = batch.next() {
            let start = completion.range().start;
            let bytes = completion.into_bytes()?;
            batched += u64::from(bytes.starts_with(&number_at(start).to_ne_bytes()));
            batch.give_back(bytes);
        }
        tour.fact("in a batch", Value::Duration(started.elapsed()))?;
        tour.fact("by", engine.as_str())?;
        tour.check_eq("one by one each piece has its own number", one_by_one, READS)?;
        tour.check_eq("in a batch each piece has its own number", batched, READS)
    }
}

/// What stands at the start of the piece at `start`.
fn number_at(start: u64) -> u64 {
    (start / PIECE + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Fills the file with numbers, and sees to it that they are on the device.
fn write_numbers(section: &Section) -> Result<(), CliError> {
    let view: View<ReadWrite> = section.view()?;
    for start in (0..SIZE).step_by(4096) {
        view.put(start, &number_at(start))?;
    }
    Ok(view.flush(.., Flush::Data)?)
}

/// Drops the file's pages from memory, where the system can be asked to.
fn evict(section: &Section) -> Result<(), CliError> {
    let evicted = section.evict(.., WriteBack::First).map(|_what_stayed| ());
    Ok(evicted.or_else(unless_unsupported)?)
}

/// What a system cannot do is left out.
fn unless_unsupported(error: bifolio::map::Error) -> Result<(), bifolio::map::Error> {
    match error.kind() {
        bifolio::map::ErrorKind::NotSupported => Ok(()),
        _ => Err(error),
    }
}
