//! Private memory against shared memory, and the price of a page.

use std::fs::File;

use bifolio_map::{Advice, Read, ReadWrite, Scratch, Section, Space, View};

use super::means;
use crate::corpus::{Corpus, TestFile};
use crate::harness::{Bench, Outcome, Sample, Work, timed};
use crate::kernel::{self, Random, index, word};
use crate::{Result, door};

const PAGE: u64 = 4096;

/// Anonymous memory of this process against anonymous memory that others can map.
struct Both {
    private: Scratch,
    /// Keeps the shared memory.
    view: View<ReadWrite>,
}

impl Both {
    /// The same random words in both.
    fn filled(len: u64) -> Result<Self> {
        let mut private = Scratch::zeroed(len)?;
        Random::new(23).fill(&mut private);
        let section = Section::anonymous(len)?;
        let view: View<ReadWrite> = section.view()?;
        // Neither gets huge pages by luck.
        view.advise(.., Advice::NoHugePages)?;
        view.advise(.., Advice::PopulateWrite)?;
        view.write_at(0, &private)?;
        Ok(Self { private, view })
    }
}

/// Bandwidth of reading and copying.
pub(super) fn bandwidth(len: u64, rounds: usize) -> Result<Outcome> {
    let both = &Both::filled(len)?;
    let (private, shared) = (&both.private[..], door::slice(&both.view));
    Bench::new("memory, sum", Work::Bytes(len), "private")
        .with("private", "", || Ok(kernel::sum(private)))
        .with("shared", "", || Ok(kernel::sum(shared)))
        .with("shared, scan", "", || {
            means::scan(&both.view, bifolio_map::view::ScanPlan::Auto, 0..len, kernel::sum)
        })
        .measure(rounds)
}

/// Random words.
pub(super) fn random(len: u64, count: usize, rounds: usize) -> Result<Outcome> {
    let both = &Both::filled(len)?;
    let (private, shared) = (&both.private[..], door::slice(&both.view));
    let offsets = &Random::offsets(29, count, len, 8)[..];
    let fold = |load: &dyn Fn(u64) -> Result<u64>| {
        offsets.iter().try_fold(0u64, |seen, &at| Ok(seen.wrapping_add(load(at)?)))
    };
    Bench::new("memory, random 8 bytes", Work::Operations(count as u64), "private")
        .with("private", "", || fold(&|at| Ok(word(private, at))))
        .with("shared", "", || fold(&|at| Ok(word(shared, at))))
        .with("shared, get", "", || fold(&|at| Ok(both.view.get::<u64>(at)?)))
        .measure(rounds)
}

/// What the first access to a page costs, by kind of page, and what asking ahead saves.
pub(super) fn faults(
    corpus: &Corpus,
    file: &TestFile,
    note: &str,
    rounds: usize,
) -> Result<Outcome> {
    let len = file.len.min(64 << 20);
    let pages = len / PAGE;
    let path = &corpus.path("faults");
    let section = Section::create(path, len)?;
    // Written once, so that the pages are in the cache and the extents are no longer fresh.
    section.view::<ReadWrite>()?.fill(.., 1)?;
    section.sync(bifolio_map::Flush::Full)?;
    let file_path = &file.path;
    let section = &section;
    let outcome = Bench::new(
        format!("first access to a page, {note}"),
        Work::Operations(pages),
        "file, read",
    )
    .with_parts(
        "file, read",
        "a byte a page",
        || Ok(()),
        move || {
            let map = door::map(file_path)?;
            touched(pages, || Ok(read_pages(&map[..index(len)])))
        },
    )
    .with_parts(
        "file, read",
        "populate, then a byte a page",
        || Ok(()),
        move || {
            let view: View<Read> = Section::open(file_path)?.view_of(0..len)?;
            touched(pages, || {
                view.advise(.., Advice::PopulateRead)?;
                Ok(read_pages(door::slice(&view)))
            })
        },
    )
    .with_parts(
        "file, guarded get",
        "a byte a page",
        || Ok(()),
        move || {
            let view: View<Read> = Section::open(file_path)?.view_of(0..len)?;
            touched(pages, || {
                let mut seen = 0;
                for at in (0..len).step_by(4096) {
                    seen += u64::from(view.get::<u8>(at)? & 1);
                }
                Ok(seen)
            })
        },
    )
    .with_parts(
        "file, shared write",
        "a byte a page",
        || Ok(()),
        move || {
            let mut map = door::map_mut(&File::options().read(true).write(true).open(path)?)?;
            touched(pages, || Ok(write_pages(&mut map)))
        },
    )
    .with_parts(
        "file, private copy",
        "a byte a page",
        || Ok(()),
        move || {
            let mut map = door::map_copy(&File::open(path)?)?;
            touched(pages, || Ok(write_pages(&mut map)))
        },
    )
    .with_parts(
        "memory, private",
        "a byte a page",
        || Ok(()),
        move || {
            let mut memory = Scratch::zeroed(len)?;
            touched(pages, || Ok(write_pages(&mut memory)))
        },
    )
    .with_parts(
        "memory, shared",
        "a byte a page",
        || Ok(()),
        move || {
            let view: View<ReadWrite> = Section::anonymous(len)?.view()?;
            view.advise(.., Advice::NoHugePages)?;
            touched(pages, || {
                for at in (0..len).step_by(4096) {
                    view.put(at, &1u8)?;
                }
                Ok(0)
            })
        },
    )
    .measure(rounds);
    let _ = section.set_len(0, Space::Sparse);
    std::fs::remove_file(path)?;
    outcome
}

/// What a fault costs that becomes an error, as far as the caller gets it.
pub(super) fn recovered(count: usize, rounds: usize) -> Result<Outcome> {
    let section = Section::temporary(2 * PAGE)?;
    let view: View<ReadWrite> = section.view()?;
    section.set_len(PAGE, Space::Sparse)?;
    let view = &view;
    let errors = move |access: &dyn Fn() -> bool| -> Result<u64> {
        for _ in 0..count {
            if !access() {
                return Err("an access beyond the end of the file succeeded".into());
            }
        }
        Ok(0)
    };
    Bench::new("a fault that becomes an error", Work::Operations(count as u64), "get")
        .with("get", "8 bytes", move || errors(&|| view.get::<u64>(PAGE).is_err()))
        .with("put", "8 bytes", move || errors(&|| view.put(PAGE, &1u64).is_err()))
        .with("read_at", "4 KiB", move || errors(&|| view.read_at(PAGE, &mut [0; 4096]).is_err()))
        .measure(rounds)
}

/// Times the first access to each page; the digest is the number of pages.
fn touched(pages: u64, touch: impl FnOnce() -> Result<u64>) -> Result<Sample> {
    let sample = timed(touch)?;
    Ok(Sample { digest: pages, ..sample })
}

fn read_pages(bytes: &[u8]) -> u64 {
    bytes.iter().step_by(4096).map(|&byte| u64::from(byte & 1)).sum()
}

fn write_pages(bytes: &mut [u8]) -> u64 {
    for byte in bytes.iter_mut().step_by(4096) {
        *byte = 1;
    }
    std::hint::black_box(bytes).len() as u64
}
