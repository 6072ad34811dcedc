//! Cold random reads: one by one, by faults, and many in flight.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use bifolio_map::{BatchPlan, Engine, Merge, Read, Section, View};
use memmap2::Advice;

use super::bare::ring_loop;
use crate::corpus::{Corpus, Folios, TestFile};
use crate::goal::{Bound, Goal};
use crate::harness::{Bench, Field, Outcome, Work};
use crate::kernel::{Random, index, sum};
use crate::report::Report;
use crate::suite::Scale;
use crate::{Result, cache, door};

const PAGE_SIZE: usize = 4096;
const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;

/// The depth of a plan that says nothing, and one that asks more of the device.
const DEPTHS: [usize; 2] = [32, 128];

/// Measures everything.
pub(super) fn run(scale: Scale, report: &mut Report) -> Result<()> {
    measure(scale, Field::All, |outcome| report.outcome(outcome))?;
    let corpus = Corpus::new()?;
    let file = corpus.file("runs", scale.pick(256 * MIB, 1024 * MIB), Folios::Large)?;
    report.outcome(&cold_runs(&file, scale.pick(500, 2000), scale.pick(5, 9))?)
}

/// Measures the figures to reach.
pub(super) fn goals(scale: Scale, report: &mut Report) -> Result<()> {
    let field = Field::Only(&[BATCH, PREAD, FAULTS, RANDOM_FAULTS, BARE]);
    measure(scale, field, |outcome| {
        report.outcome_aside(outcome)?;
        for (bound, rival) in [(5.0, FAULTS), (2.0, RANDOM_FAULTS), (2.0, PREAD), (0.9, BARE)] {
            let figure = format!("cold random 4 KiB, read_batch / {rival}");
            let ratio = outcome.speed(&[BATCH], &[rival]);
            report.goal(Goal { figure, ratio, bound: Bound::AtLeast(bound) })?;
        }
        Ok(())
    })
}

const BATCH: &str = "read_batch";
const DEEP: &str = "read_batch, deeper";
const THREADS: &str = "read_batch by threads";
const PREAD: &str = "pread one by one";
const FAULTS: &str = "map, faults";
const RANDOM_FAULTS: &str = "map, faults, MADV_RANDOM";
const LIST: &str = "prefetch_list, then read_at";
const BARE: &str = "bare io_uring loop";
const BARE_DEEP: &str = "bare io_uring loop, deeper";

fn measure(scale: Scale, field: Field, mut tell: impl FnMut(&Outcome) -> Result<()>) -> Result<()> {
    let corpus = Corpus::new()?;
    let file = corpus.file("cold", scale.pick(512 * MIB, 2048 * MIB), Folios::Large)?;
    let count = scale.pick(2000, 10_000);
    let outcome = cold_pages(&file, count, field, scale.pick(5, 9))?;
    tell(&outcome)
}

/// The defaults, but as many reads as the others make.
fn alone() -> BatchPlan {
    BatchPlan::new().merge(Merge::Never)
}

/// Different pages at random.
fn places(count: usize, len: u64) -> Vec<u64> {
    let mut seen = std::collections::BTreeSet::new();
    let offsets = Random::offsets(21, 2 * count, len, PAGE);
    offsets.into_iter().filter(|&at| seen.insert(at)).take(count).collect()
}

/// Pages at random from the device. Each contender sees every byte, and each round begins with
/// the file outside of memory, which is checked by what the device is asked for.
fn cold_pages(file: &TestFile, count: usize, field: Field, rounds: usize) -> Result<Outcome> {
    let path = &file.path;
    let drop = move || cache::drop_file(path);
    let offsets = &places(count, file.len)[..];
    let bytes = count as u64 * PAGE;
    let cold = move |work: &dyn Fn() -> Result<u64>| cache::cold(bytes, work);
    let [depth, deeper] = DEPTHS;
    let mut bench = Bench::new("cold random, 4 KiB", Work::Operations(count as u64), PREAD)
        .with_prepared(PREAD, "", drop, move || cold(&|| by_pread(path, offsets)))
        .with_prepared(FAULTS, "", drop, move || cold(&|| by_faults(path, offsets, None)))
        .with_prepared(RANDOM_FAULTS, "", drop, move || {
            cold(&|| by_faults(path, offsets, Some(Advice::Random)))
        })
        .with_prepared(LIST, "all at once", drop, move || cold(&|| by_list(path, offsets)))
        .with_prepared(THREADS, format!("{depth} deep"), drop, move || {
            cold(&|| by_batch(path, offsets, &alone().engine(Engine::Threads)))
        })
        .with_prepared(BATCH, "as it comes", drop, move || {
            cold(&|| by_batch(path, offsets, &alone()))
        });
    if Engine::IoUring.check().is_ok() {
        bench = bench
            .with_prepared(BARE, format!("{depth} deep"), drop, move || {
                cold(&|| ring_loop(path, offsets, PAGE_SIZE, depth, sum))
            })
            .with_prepared(DEEP, format!("{deeper} deep"), drop, move || {
                cold(&|| by_batch(path, offsets, &alone().depth(deeper)))
            })
            .with_prepared(BARE_DEEP, format!("{deeper} deep"), drop, move || {
                cold(&|| ring_loop(path, offsets, PAGE_SIZE, deeper, sum))
            });
    }
    bench.field(field).measure(rounds)
}

/// Pages in a run of neighbours.
const RUN: u64 = 8;

/// Runs of neighbouring pages, each page asked for by itself: what reading them together is worth.
fn cold_runs(file: &TestFile, count: usize, rounds: usize) -> Result<Outcome> {
    let path = &file.path;
    let drop = move || cache::drop_file(path);
    let runs = Random::offsets(22, 2 * count, file.len, RUN * PAGE);
    let runs: std::collections::BTreeSet<u64> = runs.into_iter().take(count).collect();
    // In no order, as they come out of an index.
    let mut pages: Vec<u64> =
        runs.iter().flat_map(|&start| (0..RUN).map(move |page| start + page * PAGE)).collect();
    let mut random = Random::new(23);
    for place in (1..pages.len()).rev() {
        pages.swap(place, index(random.next() % (place as u64 + 1)));
    }
    let pages = &pages[..];
    let name = format!("cold runs of {RUN} pages, asked for page by page");
    let read = move |merge| {
        let bytes = pages.len() as u64 * PAGE;
        cache::cold(bytes, || by_batch(path, pages, &BatchPlan::new().merge(merge)))
    };
    let merged = BATCH;
    Bench::new(name, Work::Operations(pages.len() as u64), merged)
        .with_prepared(merged, "neighbours merged", drop, move || read(Merge::UpTo(128 << 10)))
        .with_prepared(merged, "each by itself", drop, move || read(Merge::Never))
        .measure(rounds)
}

fn by_pread(path: &Path, offsets: &[u64]) -> Result<u64> {
    let file = File::open(path)?;
    let mut page = vec![0; PAGE_SIZE];
    let mut seen = 0u64;
    for &at in offsets {
        file.read_exact_at(&mut page, at)?;
        seen = seen.wrapping_add(sum(&page));
    }
    Ok(seen)
}

fn by_faults(path: &Path, offsets: &[u64], advice: Option<Advice>) -> Result<u64> {
    let map = door::map(path)?;
    if let Some(advice) = advice {
        map.advise(advice)?;
    }
    let pages = offsets.iter().map(|&at| sum(&map[index(at)..index(at) + PAGE_SIZE]));
    Ok(pages.fold(0, u64::wrapping_add))
}

fn by_list(path: &Path, offsets: &[u64]) -> Result<u64> {
    let view: View<Read> = Section::open(path)?.view()?;
    let ranges: Vec<_> = offsets.iter().map(|&at| at..at + PAGE).collect();
    view.prefetch_list(&ranges)?;
    let mut page = vec![0; PAGE_SIZE];
    let mut seen = 0u64;
    for &at in offsets {
        view.read_at(at, &mut page)?;
        seen = seen.wrapping_add(sum(&page));
    }
    Ok(seen)
}

fn by_batch(path: &Path, offsets: &[u64], plan: &BatchPlan) -> Result<u64> {
    let view: View<Read> = Section::open(path)?.view()?;
    let mut batch = view.read_batch_by(plan, offsets.iter().map(|&at| at..at + PAGE))?;
    let mut seen = 0u64;
    while let Some(completion) = batch.next() {
        let bytes = completion.into_bytes()?;
        seen = seen.wrapping_add(sum(&bytes));
        batch.give_back(bytes);
    }
    Ok(seen)
}
