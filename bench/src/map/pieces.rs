//! Reading a part of a file in order, a word or a page at a time: what calls cost that do little.

use std::fs::File;
use std::ops::Range;

use bifolio_map::view::ScanPlan;
use bifolio_map::{Read, View};

use super::means::{self, buffer};
use super::random::{PAGE_SIZE, populate};
use crate::corpus::TestFile;
use crate::harness::{Bench, Outcome, Work};
use crate::kernel::{index, sum, word};
use crate::{Result, cache, door};

/// How much is read by one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Eight bytes.
    Word,
    /// Four KiB.
    Page,
}

impl Piece {
    pub(super) const BOTH: [Self; 2] = [Self::Word, Self::Page];

    pub(super) fn size(self) -> usize {
        match self {
            Self::Word => 8,
            Self::Page => PAGE_SIZE,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Word => "8 bytes",
            Self::Page => "4 KiB",
        }
    }

    /// Our guarded accessor for this size.
    fn accessor(self) -> &'static str {
        match self {
            Self::Word => "get",
            Self::Page => "read_at",
        }
    }

    /// The sum of a range of a view, by that accessor.
    fn guarded(self, view: &View<Read>, range: Range<u64>) -> Result<u64> {
        match self {
            Self::Page => means::read_at(view, range, &mut buffer(PAGE_SIZE)?, sum),
            Self::Word => {
                let mut seen = 0u64;
                for at in range.step_by(8) {
                    seen = seen.wrapping_add(view.get::<u64>(at)?);
                }
                Ok(seen)
            }
        }
    }

    /// The sum of a range of a slice, piece by piece: each checked against the slice's end.
    fn sliced(self, bytes: &[u8], range: Range<u64>) -> u64 {
        let pieces = range.step_by(self.size());
        match self {
            Self::Word => pieces.fold(0, |seen, at| seen.wrapping_add(word(bytes, at))),
            Self::Page => pieces.fold(0, |seen, at| {
                seen.wrapping_add(sum(&bytes[index(at)..index(at) + PAGE_SIZE]))
            }),
        }
    }
}

/// The first `len` bytes of a warm file, which this process has mapped.
pub(super) fn warm(file: &TestFile, len: u64, piece: Piece, rounds: usize) -> Result<Outcome> {
    let path = &file.path;
    let (map, view, open) = (door::map(path)?, means::view(path)?, File::open(path)?);
    let (map, view, open, slice) = (&map[..], &view, &open, door::slice(&view));
    populate(map, slice);
    let buffer = move || buffer(piece.size());
    let (mut a, mut b) = (buffer()?, buffer()?);
    let name = format!("warm sequential, {} a call", piece.as_str());
    Bench::new(name, Work::Operations(len / piece.size() as u64), "memmap2 slice")
        .with("read", "", move || means::read_part(path, 0..len, &mut a, sum))
        .with("pread", "", move || means::pread(open, 0..len, &mut b, sum))
        .with("memmap2 slice", "", move || Ok(piece.sliced(map, 0..len)))
        .with("unchecked slice", "", move || Ok(piece.sliced(slice, 0..len)))
        .with(piece.accessor(), "", move || piece.guarded(view, 0..len))
        .with("scan", "", move || means::scan(view, ScanPlan::Auto, 0..len, sum))
        .with("read, 2 threads", "", move || {
            means::halves(len, |part| means::read_part(path, part, &mut buffer()?, sum))
        })
        .with("pread, 2 threads", "", move || {
            means::halves(len, |part| means::pread(open, part, &mut buffer()?, sum))
        })
        .with("memmap2 slice, 2 threads", "", move || {
            means::halves(len, |part| Ok(piece.sliced(map, part)))
        })
        .with("unchecked slice, 2 threads", "", move || {
            means::halves(len, |part| Ok(piece.sliced(slice, part)))
        })
        .with(format!("{}, 2 threads", piece.accessor()), "", move || {
            means::halves(len, |part| piece.guarded(view, part))
        })
        .with("scan, 2 threads", "", move || {
            means::halves(len, |part| means::scan(view, ScanPlan::Auto, part, sum))
        })
        .measure(rounds)
}

/// The first `len` bytes of a file that is on the device only. Whoever reads makes the system read
/// ahead, so that this compares calls and faults, not devices.
pub(super) fn cold(file: &TestFile, len: u64, piece: Piece, rounds: usize) -> Result<Outcome> {
    let path = &file.path;
    let drop = move || cache::drop_file(path);
    let buffer = move || buffer(piece.size());
    let (mut a, mut b) = (buffer()?, buffer()?);
    let ahead = ScanPlan::Cold { ahead: 8 << 20 };
    let name = format!("cold sequential, {} a call", piece.as_str());
    Bench::new(name, Work::Operations(len / piece.size() as u64), "pread")
        .with_prepared("read", "", drop, move || {
            cache::cold(len, || means::read_part(path, 0..len, &mut a, sum))
        })
        .with_prepared("pread", "", drop, move || {
            cache::cold(len, || means::pread(&File::open(path)?, 0..len, &mut b, sum))
        })
        .with_prepared("memmap2 slice", "", drop, move || {
            cache::cold(len, || Ok(piece.sliced(&door::map(path)?, 0..len)))
        })
        .with_prepared("unchecked slice", "", drop, move || {
            cache::cold(len, || Ok(piece.sliced(door::slice(&means::view(path)?), 0..len)))
        })
        .with_prepared(piece.accessor(), "", drop, move || {
            cache::cold(len, || piece.guarded(&means::view(path)?, 0..len))
        })
        .with_prepared(piece.accessor(), "prefetch", drop, move || {
            cache::cold(len, || {
                let view = means::view(path)?;
                view.prefetch(0..len)?;
                piece.guarded(&view, 0..len)
            })
        })
        .with_prepared("scan with prefetch", "8 MiB ahead", drop, move || {
            cache::cold(len, || means::scan(&means::view(path)?, ahead, 0..len, sum))
        })
        .with_prepared("pread, 2 threads", "", drop, move || {
            let open = File::open(path)?;
            cache::cold(len, || {
                means::halves(len, |part| means::pread(&open, part, &mut buffer()?, sum))
            })
        })
        .with_prepared("memmap2 slice, 2 threads", "", drop, move || {
            let map = door::map(path)?;
            cache::cold(len, || means::halves(len, |part| Ok(piece.sliced(&map, part))))
        })
        .with_prepared(format!("{}, 2 threads", piece.accessor()), "", drop, move || {
            let view = means::view(path)?;
            cache::cold(len, || means::halves(len, |part| piece.guarded(&view, part)))
        })
        .measure(rounds)
}
