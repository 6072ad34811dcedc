//! Writing a file in order: fresh pages or pages that are there, left in the cache or made durable.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use bifolio_map::{Access, Create, Flush, ReadWrite, Scratch, Section, Space, View};
use memmap2::MmapMut;
use rustix::fs::FallocateFlags;

use super::means::{self, BUFFERS, buffer};
use crate::corpus::Corpus;
use crate::harness::{Bench, Field, Outcome, Sample, Work, timed};
use crate::kernel::{self, index};
use crate::{Result, door};

/// When the bytes have to be on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durable {
    /// Some time.
    Later,
    /// Before the time is taken.
    Now,
}

/// Ways of filling a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum New {
    Write,
    Pwrite,
    AllocateAndWrite,
    MapAllocated,
    MapSparse,
    OursAllocated,
    OursSparse,
}

impl New {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Write, "write"),
        (Self::Pwrite, "pwrite"),
        (Self::AllocateAndWrite, "fallocate + write"),
        (Self::MapAllocated, "map, allocated"),
        (Self::MapSparse, "map, sparse"),
        (Self::OursAllocated, "write_at, allocated"),
        (Self::OursSparse, "write_at, sparse"),
    ];

    /// Creates a file of `len` bytes and fills it with repetitions of `piece`.
    fn fill(self, path: &Path, len: u64, piece: &[u8], durable: Durable) -> Result<()> {
        let space = match self {
            Self::OursAllocated => Space::Allocate,
            Self::OursSparse => Space::Sparse,
            _ => return self.fill_by_calls(path, len, piece, durable),
        };
        let options = Section::options().access(Access::ReadWrite).create(Create::New);
        let view: View<ReadWrite> = options.len(len).space(space).open(path)?.view()?;
        by_view(&view, piece)?;
        if durable == Durable::Now {
            view.flush(.., Flush::Data)?;
        }
        Ok(())
    }

    fn fill_by_calls(self, path: &Path, len: u64, piece: &[u8], durable: Durable) -> Result<()> {
        let mut file = File::options().read(true).write(true).create_new(true).open(path)?;
        match self {
            Self::AllocateAndWrite | Self::MapAllocated => {
                rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, len)?;
            }
            Self::MapSparse => file.set_len(len)?,
            _ => {}
        }
        match self {
            Self::MapAllocated | Self::MapSparse => {
                let mut map = door::map_mut(&file)?;
                by_map(&mut map, piece);
                if durable == Durable::Now {
                    map.flush()?;
                }
            }
            Self::Pwrite => by_pwrite(&file, len, piece)?,
            _ => by_write(&mut file, len, piece)?,
        }
        if durable == Durable::Now {
            file.sync_data()?;
        }
        Ok(())
    }
}

/// A new file each time: creating it and giving it space are in the time, removing it is not.
pub(super) fn fresh(
    corpus: &Corpus,
    len: u64,
    durable: Durable,
    field: Field,
    rounds: usize,
) -> Result<Outcome> {
    let path = &corpus.path("written");
    let name = match durable {
        Durable::Later => "write a new file",
        Durable::Now => "write a new file durably",
    };
    let pattern = &pattern()?;
    let mut bench =
        Bench::new(name, Work::Bytes(len), "fallocate + write").expect(digest(pattern, len));
    for (way, name) in New::ALL {
        for (size, params) in BUFFERS {
            let run = move || written(path, || way.fill(path, len, &pattern[..size], durable));
            bench = bench.with_parts(name, params, || remove(path), run);
        }
    }
    let outcome = bench.field(field).measure(rounds)?;
    remove(path)?;
    Ok(outcome)
}

/// A file that is in the page cache, open and mapped already.
pub(super) fn again(corpus: &Corpus, len: u64, durable: Durable, rounds: usize) -> Result<Outcome> {
    let path = &corpus.path("overwritten");
    let name = match durable {
        Durable::Later => "overwrite a warm file",
        Durable::Now => "overwrite a warm file durably",
    };
    let pattern = &pattern()?;
    New::AllocateAndWrite.fill(path, len, &pattern[..], Durable::Now)?;
    let file = &File::options().read(true).write(true).open(path)?;
    let map = &std::cell::RefCell::new(door::map_mut(file)?);
    let view: &View<ReadWrite> = &Section::open_rw(path)?.view()?;
    let sync = move || -> Result<()> {
        if durable == Durable::Now { Ok(file.sync_data()?) } else { Ok(()) }
    };
    let mut bench = Bench::new(name, Work::Bytes(len), "write").expect(digest(pattern, len));
    for (size, params) in BUFFERS {
        let piece = &pattern[..size];
        bench = bench
            .with_parts(
                "write",
                params,
                || Ok(()),
                move || {
                    written(path, || {
                        let mut file = file;
                        file.seek(SeekFrom::Start(0))?;
                        by_write(&mut file, len, piece)?;
                        sync()
                    })
                },
            )
            .with_parts(
                "pwrite",
                params,
                || Ok(()),
                move || {
                    written(path, || {
                        by_pwrite(file, len, piece)?;
                        sync()
                    })
                },
            )
            .with_parts(
                "live map",
                params,
                || Ok(()),
                move || {
                    written(path, || {
                        by_map(&mut map.borrow_mut(), piece);
                        if durable == Durable::Now { Ok(map.borrow().flush()?) } else { Ok(()) }
                    })
                },
            )
            .with_parts(
                "write_at",
                params,
                || Ok(()),
                move || {
                    written(path, || {
                        by_view(view, piece)?;
                        if durable == Durable::Now {
                            Ok(view.flush(.., Flush::Data)?)
                        } else {
                            Ok(())
                        }
                    })
                },
            );
    }
    let outcome = bench.measure(rounds)?;
    remove(path)?;
    Ok(outcome)
}

fn by_write(file: &mut (impl std::io::Write + ?Sized), len: u64, piece: &[u8]) -> Result<()> {
    for _ in 0..len / piece.len() as u64 {
        file.write_all(piece)?;
    }
    Ok(())
}

fn by_pwrite(file: &File, len: u64, piece: &[u8]) -> Result<()> {
    for at in (0..len).step_by(piece.len()) {
        file.write_all_at(piece, at)?;
    }
    Ok(())
}

fn by_map(map: &mut MmapMut, piece: &[u8]) {
    for target in map.chunks_exact_mut(piece.len()) {
        target.copy_from_slice(piece);
    }
}

fn by_view(view: &View<ReadWrite>, piece: &[u8]) -> Result<()> {
    for at in (0..view.len()).step_by(piece.len()) {
        view.write_at(at, piece)?;
    }
    Ok(())
}

/// Times `write`, and then reads what is in the file.
fn written(path: &Path, write: impl FnOnce() -> Result<()>) -> Result<Sample> {
    let sample = timed(|| write().map(|()| 0))?;
    let digest = means::read(path, &mut buffer(1 << 20)?, kernel::sum)?;
    Ok(Sample { digest, ..sample })
}

const BLOCK: u64 = 64 << 10;

/// Random bytes that repeat every 64 KiB, so that pieces of all sizes make the same file.
fn pattern() -> Result<Scratch> {
    let mut pattern = buffer(1 << 20)?;
    let (first, rest) = pattern.split_at_mut(index(BLOCK));
    kernel::Random::new(3).fill(first);
    for block in rest.chunks_mut(first.len()) {
        block.copy_from_slice(first);
    }
    Ok(pattern)
}

/// The sum of a file of repetitions of the pattern.
fn digest(pattern: &[u8], len: u64) -> u64 {
    kernel::sum(&pattern[..index(BLOCK)]).wrapping_mul(len / BLOCK)
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
