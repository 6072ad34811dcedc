//! A short measurement on the file system of a path.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Fact;
use crate::error::{Error, Result};
use crate::section::Section;
use crate::sys;
use crate::view::{Advice, Read, ReadWrite, View};
use crate::{Flush, Space};

/// How long things took; from [`measure`]. Each is the median of a few.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Measured {
    /// The first access to a page that is in memory but not yet in the map.
    pub minor_fault: Fact<Duration>,
    /// The first access to a page that is not in memory: the device is asked, and reads ahead.
    pub cold_fault: Fact<Duration>,
    /// The same under [`Advice::Random`], which does not read ahead.
    pub cold_fault_random: Fact<Duration>,
    /// Storing into one page and making it durable ([`Flush::Data`]).
    pub flush: Fact<Duration>,
}

/// The file that is measured on.
const SIZE: u64 = 16 << 20;
/// Free space that must be left over.
const SPARE: u64 = 64 << 20;
/// How many of each are taken at most; the median counts.
const SAMPLES: usize = 9;
/// No measurement begins another sample after so long.
const PATIENCE: Duration = Duration::from_millis(700);

/// Measures on a temporary file of 16 MiB in this directory, which is gone afterwards; takes some
/// seconds at most unless a single access takes longer. The figures are of this moment, on a
/// machine that may be busy: compare them with each other rather than with another day's.
///
/// # Errors
/// If no such file can be made there: no permission, read-only, less than 80 MiB free.
pub fn measure(dir: impl AsRef<Path>) -> Result<Measured> {
    let dir = dir.as_ref();
    let free = sys::free_space(dir).map_err(|error| Error::os("measure in", error).at_path(dir))?;
    if free < SIZE + SPARE {
        return Err(Error::new(crate::ErrorKind::StorageFull, "measure in")
            .at_path(dir)
            .because(format!("{free} bytes are free, and {} must be", SIZE + SPARE)));
    }
    let section = Section::options().len(SIZE).space(Space::Allocate).temporary(dir)?;
    // Bytes that no file system can make smaller.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut piece = vec![0u8; 1 << 20];
    let view: View<ReadWrite> = section.view()?;
    for at in (0..SIZE).step_by(piece.len()) {
        for word in piece.chunks_exact_mut(8) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            word.copy_from_slice(&(state ^ (state >> 29)).to_le_bytes());
        }
        view.write_at(at, &piece)?;
    }
    view.flush(.., Flush::Data)?;
    let mut measured = Measured {
        minor_fault: fact(minor_fault(&section), "first accesses to every 16th page"),
        flush: fact(flush(&view), "stores of 8 bytes, each flushed with level Data"),
        ..Measured::default()
    };
    drop(view);
    if sys::DROPS_FROM_MEMORY {
        let source = "first accesses to pages at random, after the file was dropped from memory";
        measured.cold_fault = fact(cold_fault(&section, Advice::Normal), source);
        measured.cold_fault_random = fact(cold_fault(&section, Advice::Random), source);
    }
    Ok(measured)
}

fn fact(result: Result<Duration>, source: &'static str) -> Fact<Duration> {
    match result {
        Ok(time) => Fact::known(time, source),
        Err(error) => {
            Fact::unknown(error.detail().map_or_else(|| error.to_string(), str::to_owned), source)
        }
    }
}

/// The median of what `sample` gives.
fn median(mut sample: impl FnMut(usize) -> Result<Duration>) -> Result<Duration> {
    let begun = Instant::now();
    let mut times = Vec::with_capacity(SAMPLES);
    while times.len() < SAMPLES && (times.is_empty() || begun.elapsed() < PATIENCE) {
        times.push(sample(times.len())?);
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// One access in 16 pages: the kernel maps the neighbours of a page that is in memory too. Where it
/// keeps the file in larger pieces, a fault maps more than that, and this is less than its time.
fn minor_fault(section: &Section) -> Result<Duration> {
    let step = 16 * crate::page_size() as u64;
    let count = u32::try_from(SIZE / step).unwrap_or(1).max(1);
    median(|_| {
        let view: View<Read> = section.view()?;
        let begun = Instant::now();
        for offset in (0..SIZE).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
            view.get::<u8>(offset)?;
        }
        Ok(begun.elapsed() / count)
    })
}

fn cold_fault(section: &Section, advice: Advice) -> Result<Duration> {
    let pages = SIZE / crate::page_size() as u64;
    median(|at| {
        sys::drop_from_memory(section.object())
            .map_err(|error| Error::os("drop from memory", error))?;
        let view: View<Read> = section.view()?;
        view.advise(.., advice)?;
        // Places far from each other.
        let page = (at as u64 + 1).wrapping_mul(0x9e37_79b9) % pages;
        let offset = page * crate::page_size() as u64;
        if view.span.is_resident(usize::try_from(offset).unwrap_or(0)) != Some(false) {
            return Err(Error::new(crate::ErrorKind::NotSupported, "measure a cold fault")
                .because("the file system keeps its pages in memory"));
        }
        let begun = Instant::now();
        view.get::<u8>(offset)?;
        Ok(begun.elapsed())
    })
}

fn flush(view: &View<ReadWrite>) -> Result<Duration> {
    let step = SIZE / SAMPLES as u64 / 8 * 8;
    median(|at| {
        let offset = at as u64 * step;
        let begun = Instant::now();
        view.put(offset, &(at as u64 + 1))?;
        view.flush(offset..offset + 8, Flush::Data)?;
        Ok(begun.elapsed())
    })
}
