//! What maps take and spare, in bytes: memory, reads from the device, writes to it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use bifolio_map::{Advice, Flush, Read, ReadWrite, Scratch, Section, View};

use super::means;
use crate::corpus::{Corpus, TestFile};
use crate::harness::{Bench, Outcome, Sample, Work};
use crate::kernel::index;
use crate::{Result, cache, door};

const PAGE: u64 = 4096;

/// Memory that is resident after so much of a map was touched.
pub(super) fn memory(file: &TestFile, rounds: usize) -> Result<Outcome> {
    let len = file.len.min(128 << 20);
    // One page of 64, that is, further apart than the kernel maps around a fault.
    let sparse = 64 * PAGE;
    let private = move |step: u64| {
        move || {
            let before = resident()?;
            let mut memory = Scratch::zeroed(len)?;
            for at in (0..len).step_by(index(step)) {
                memory[index(at)] = 1;
            }
            grown(before, std::hint::black_box(&memory))
        }
    };
    let of_file = move |step: u64, advice: Advice| {
        move || {
            let before = resident()?;
            let view: View<Read> = Section::open(&file.path)?.view_of(0..len)?;
            view.advise(.., advice)?;
            for at in (0..len).step_by(index(step)) {
                std::hint::black_box(view.get::<u8>(at)?);
            }
            grown(before, &view)
        }
    };
    let name = format!("memory taken by a map of {} MiB", len >> 20);
    Bench::new(name, Work::Count, "private, all pages touched")
        .with_parts("private, one page touched", "", || Ok(()), private(len))
        .with_parts("private, a page of 64 touched", "", || Ok(()), private(sparse))
        .with_parts("private, all pages touched", "", || Ok(()), private(PAGE))
        .with_parts("file, one page touched", "", || Ok(()), of_file(len, Advice::Normal))
        .with_parts("file, a page of 64 touched", "", || Ok(()), of_file(sparse, Advice::Normal))
        .with_parts("file, all pages touched", "", || Ok(()), of_file(PAGE, Advice::Normal))
        .measure(rounds)
}

/// What comes from the device for one byte in the middle of a cold file.
pub(super) fn one_byte(file: &TestFile, rounds: usize) -> Result<Outcome> {
    let (path, at) = (&file.path, file.len / 2);
    let drop = move || cache::drop_file(path);
    let counted = |touch: &dyn Fn() -> Result<u8>| -> Result<Sample> {
        let before = cache::bytes_from_disk()?;
        std::hint::black_box(touch()?);
        Ok(Sample::count(cache::bytes_from_disk()? - before))
    };
    Bench::new("bytes from disk for one byte", Work::Count, "pread")
        .with_parts("pread", "", drop, || {
            counted(&|| {
                let mut byte = [0];
                File::open(path)?.read_exact_at(&mut byte, at)?;
                Ok(byte[0])
            })
        })
        .with_parts("memmap2 slice", "", drop, || counted(&|| Ok(door::map(path)?[index(at)])))
        .with_parts("get", "", drop, || counted(&|| Ok(means::view(path)?.get(at)?)))
        .with_parts("get", "Advice::Random", drop, || {
            counted(&|| {
                let view = means::view(path)?;
                view.advise(.., Advice::Random)?;
                Ok(view.get(at)?)
            })
        })
        .measure(rounds)
}

/// What goes to the device when the same bytes are written eight times.
pub(super) fn written_again(corpus: &Corpus, len: u64, rounds: usize) -> Result<Outcome> {
    const TIMES: u8 = 8;
    let path = corpus.path("again");
    let view: View<ReadWrite> = Section::create(&path, len)?.view()?;
    let view = &view;
    let clean = || Ok(view.flush(.., Flush::Full)?);
    let counted = |flush: &dyn Fn() -> Result<()>| -> Result<Sample> {
        let before = cache::bytes_to_disk()?;
        for time in 0..TIMES {
            view.fill(.., time)?;
            flush()?;
        }
        view.flush(.., Flush::Data)?;
        Ok(Sample::count(cache::bytes_to_disk()? - before))
    };
    let name = format!("bytes to disk, {} MiB written {TIMES} times", len >> 20);
    let outcome = Bench::new(name, Work::Count, "flush at the end")
        .with_parts("flush at the end", "", clean, || counted(&|| Ok(())))
        .with_parts("flush each time", "", clean, || counted(&|| Ok(view.flush(.., Flush::Data)?)))
        .measure(rounds);
    std::fs::remove_file(&path)?;
    outcome
}

/// Bytes of memory that this process has mapped and present, exactly.
fn resident() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no Rss to be found")?;
    Ok(kib.parse::<u64>()? * 1024)
}

/// How much more is resident than before; `_alive` is what it is about.
fn grown<T: ?Sized>(before: u64, _alive: &T) -> Result<Sample> {
    Ok(Sample::count(resident()?.saturating_sub(before)))
}
