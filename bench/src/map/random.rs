//! Reading here and there in a file: 8 bytes or a page at a time, warm or cold.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use bifolio_map::{Advice as OurAdvice, Read, View};
use memmap2::Advice;

use super::means::{self, buffer};
use super::pieces::Piece;
use crate::corpus::TestFile;
use crate::harness::{Bench, Field, Outcome, Work};
use crate::kernel::{Random, index, sum, word};
use crate::{Result, cache, door};

/// Warm words at random: independent loads, of which the processor keeps many in flight.
pub(super) fn warm_words(
    file: &TestFile,
    count: usize,
    field: Field,
    rounds: usize,
) -> Result<Outcome> {
    let (map, view, open) =
        (door::map(&file.path)?, means::view(&file.path)?, File::open(&file.path)?);
    let (map, view, open, slice) = (&map[..], &view, &open, door::slice(&view));
    populate(map, slice);
    let offsets = &Random::offsets(11, count, file.len, 8)[..];
    Bench::new("warm random, 8 bytes", Work::Operations(count as u64), "unchecked slice")
        .with("pread", "", move || {
            fold(offsets, |at| {
                let mut out = [0; 8];
                open.read_exact_at(&mut out, at)?;
                Ok(u64::from_ne_bytes(out))
            })
        })
        .with("memmap2 slice", "", move || fold(offsets, |at| Ok(word(map, at))))
        .with("unchecked slice", "", move || fold(offsets, |at| Ok(word(slice, at))))
        .with("unchecked slice", "no bounds", move || {
            fold(offsets, |at| Ok(door::word_unchecked(slice, at)))
        })
        .with("get", "", move || fold(offsets, |at| Ok(view.get::<u64>(at)?)))
        .with("read_at", "", move || {
            fold(offsets, |at| {
                let mut out = [0; 8];
                view.read_at(at, &mut out)?;
                Ok(u64::from_ne_bytes(out))
            })
        })
        .with("pread, 2 threads", "", move || {
            by_two(offsets, |offsets| {
                fold(offsets, |at| {
                    let mut out = [0; 8];
                    open.read_exact_at(&mut out, at)?;
                    Ok(u64::from_ne_bytes(out))
                })
            })
        })
        .with("memmap2 slice, 2 threads", "", move || {
            by_two(offsets, |offsets| fold(offsets, |at| Ok(word(map, at))))
        })
        .with("unchecked slice, 2 threads", "", move || {
            by_two(offsets, |offsets| fold(offsets, |at| Ok(word(slice, at))))
        })
        .with("get, 2 threads", "", move || {
            by_two(offsets, |offsets| fold(offsets, |at| Ok(view.get::<u64>(at)?)))
        })
        .field(field)
        .measure(rounds)
}

/// Warm words at random, each address depending on the word before: the latency of a load.
pub(super) fn chained_words(file: &TestFile, count: usize, rounds: usize) -> Result<Outcome> {
    let view = means::view(&file.path)?;
    let (view, slice) = (&view, door::slice(&view));
    populate(slice, slice);
    let offsets = &Random::offsets(12, count, file.len - 8, 8)[..];
    Bench::new("warm random, 8 bytes, chained", Work::Operations(count as u64), "unchecked slice")
        .with("unchecked slice", "", move || chain(offsets, |at| Ok(word(slice, at))))
        .with("unchecked slice", "no bounds", move || {
            chain(offsets, |at| Ok(door::word_unchecked(slice, at)))
        })
        .with("get", "", move || chain(offsets, |at| Ok(view.get::<u64>(at)?)))
        .measure(rounds)
}

/// Warm pages at random.
pub(super) fn warm_pages(file: &TestFile, count: usize, rounds: usize) -> Result<Outcome> {
    let (map, view, open) =
        (door::map(&file.path)?, means::view(&file.path)?, File::open(&file.path)?);
    let (map, view, open, slice) = (&map[..], &view, &open, door::slice(&view));
    populate(map, slice);
    let offsets = &Random::offsets(13, count, file.len, PAGE)[..];
    Bench::new("warm random, 4 KiB", Work::Operations(count as u64), "memmap2 slice")
        .with("pread", "", move || called(open, offsets, PAGE_SIZE))
        .with("memmap2 slice", "", move || Ok(sliced(map, offsets, PAGE_SIZE)))
        .with("unchecked slice", "", move || Ok(sliced(slice, offsets, PAGE_SIZE)))
        .with("read_at", "", move || guarded(view, offsets, PAGE_SIZE))
        .with("pread, 2 threads", "", move || {
            by_two(offsets, |offsets| called(open, offsets, PAGE_SIZE))
        })
        .with("memmap2 slice, 2 threads", "", move || {
            by_two(offsets, |offsets| Ok(sliced(map, offsets, PAGE_SIZE)))
        })
        .with("unchecked slice, 2 threads", "", move || {
            by_two(offsets, |offsets| Ok(sliced(slice, offsets, PAGE_SIZE)))
        })
        .with("read_at, 2 threads", "", move || {
            by_two(offsets, |offsets| guarded(view, offsets, PAGE_SIZE))
        })
        .measure(rounds)
}

/// Words or pages at random from the device.
pub(super) fn cold(file: &TestFile, piece: Piece, count: usize, rounds: usize) -> Result<Outcome> {
    let (path, size) = (&file.path, piece.size());
    let drop = move || cache::drop_file(path);
    let offsets = &Random::offsets(14, count, file.len, PAGE)[..];
    let name = format!("cold random, {}", piece.as_str());
    let mut bench = Bench::new(name, Work::Operations(count as u64), "pread")
        .with_prepared("pread", "", drop, move || called(&File::open(path)?, offsets, size))
        .with_prepared("memmap2 slice", "", drop, move || {
            Ok(sliced(&door::map(path)?, offsets, size))
        })
        .with_prepared("memmap2 slice", "MADV_RANDOM", drop, move || {
            let map = door::map(path)?;
            map.advise(Advice::Random)?;
            Ok(sliced(&map, offsets, size))
        })
        .with_prepared("read_at", "", drop, move || guarded(&means::view(path)?, offsets, size))
        .with_prepared("read_at", "Advice::Random", drop, move || {
            guarded(&view_at_random(path)?, offsets, size)
        })
        .with_prepared("prefetch 32, then read_at", "", drop, move || {
            let view = view_at_random(path)?;
            let mut seen = 0u64;
            for group in offsets.chunks(32) {
                for &at in group {
                    view.prefetch(at..at + PAGE)?;
                }
                seen = seen.wrapping_add(guarded(&view, group, size)?);
            }
            Ok(seen)
        })
        .with_prepared("pread, 2 threads", "", drop, move || {
            let file = File::open(path)?;
            by_two(offsets, |offsets| called(&file, offsets, size))
        })
        .with_prepared("memmap2 slice, 2 threads", "MADV_RANDOM", drop, move || {
            let map = door::map(path)?;
            map.advise(Advice::Random)?;
            by_two(offsets, |offsets| Ok(sliced(&map, offsets, size)))
        })
        .with_prepared("read_at, 2 threads", "Advice::Random", drop, move || {
            let view = view_at_random(path)?;
            by_two(offsets, |offsets| guarded(&view, offsets, size))
        });
    // Past the cache only whole blocks can be read.
    if piece == Piece::Page {
        bench = bench.with_prepared("O_DIRECT", "", drop, move || {
            called(&means::open_direct(path)?, offsets, size)
        });
    }
    bench.measure(rounds)
}

fn view_at_random(path: &Path) -> Result<View<Read>> {
    let view = means::view(path)?;
    view.advise(.., OurAdvice::Random)?;
    Ok(view)
}

/// Pieces by `pread`.
fn called(file: &File, offsets: &[u64], size: usize) -> Result<u64> {
    let mut out = buffer(size)?;
    fold_mut(offsets, |at| {
        file.read_exact_at(&mut out, at)?;
        Ok(sum(&out))
    })
}

/// Pieces of a slice.
fn sliced(bytes: &[u8], offsets: &[u64], size: usize) -> u64 {
    offsets.iter().fold(0, |seen, &at| seen.wrapping_add(sum(&bytes[index(at)..][..size])))
}

/// Pieces by our guarded copy.
fn guarded(view: &View<Read>, offsets: &[u64], size: usize) -> Result<u64> {
    let mut out = buffer(size)?;
    fold_mut(offsets, |at| {
        view.read_at(at, &mut out)?;
        Ok(sum(&out))
    })
}

pub(super) const PAGE_SIZE: usize = 4096;
const PAGE: u64 = 4096;

/// Touches every page through both maps: faults are another bench.
pub(super) fn populate(one: &[u8], other: &[u8]) {
    for bytes in [one, other] {
        for at in (0..bytes.len()).step_by(PAGE_SIZE) {
            std::hint::black_box(bytes[at]);
        }
    }
}

#[inline(always)]
fn fold(offsets: &[u64], load: impl Fn(u64) -> Result<u64>) -> Result<u64> {
    fold_mut(offsets, load)
}

#[inline(always)]
fn fold_mut(offsets: &[u64], mut load: impl FnMut(u64) -> Result<u64>) -> Result<u64> {
    let mut seen = 0u64;
    for &at in offsets {
        seen = seen.wrapping_add(load(at)?);
    }
    Ok(seen)
}

/// As `fold`, but where each load goes depends on the value before it.
#[inline(always)]
fn chain(offsets: &[u64], load: impl Fn(u64) -> Result<u64>) -> Result<u64> {
    let (mut seen, mut last) = (0u64, 0u64);
    for &at in offsets {
        last = load(at + (last & 1) * 8)?;
        seen = seen.wrapping_add(last);
    }
    Ok(seen)
}

fn by_two(offsets: &[u64], work: impl Fn(&[u64]) -> Result<u64> + Sync) -> Result<u64> {
    let (first, second) = offsets.split_at(offsets.len() / 2);
    std::thread::scope(|scope| {
        let second = scope.spawn(|| work(second));
        let first = work(first)?;
        Ok(first.wrapping_add(second.join().map_err(|_| "a thread panicked")??))
    })
}
