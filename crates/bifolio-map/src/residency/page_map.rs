//! A set of pages: which ones of a range are resident.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::io;
use std::ops::Range;

use super::{bytes_of, pages_of};
use crate::sys::{self, Object};

/// Pages in one chunk: 16 MiB of a file with pages of 4 KiB.
const CHUNK: u64 = 4096;
const WORDS: usize = 64;

/// Which pages of a range of a file are resident. What is absent takes no memory, what is resident
/// as a whole next to none, and the rest a bit a page:
///
/// ```text
/// pages     0        4096      8192      12288
/// file      |..........|##########|.##..#.##.|
/// chunks     (none)     All        Some(bits)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageMap {
    /// The pages in question, by number.
    pages: Range<u64>,
    chunks: BTreeMap<u64, Chunk>,
}

/// Invariant: a chunk has at least one page in it, and `Some` lacks at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Chunk {
    All,
    Some(Box<[u64; WORDS]>),
}

impl PageMap {
    /// A map of the pages `pages`, none of which is resident.
    #[must_use]
    pub fn of_none(pages: Range<u64>) -> Self {
        let end = pages.end.max(pages.start);
        Self { pages: pages.start..end, chunks: BTreeMap::new() }
    }

    /// The pages in question, by number: page 1 is the bytes `page_size()..2 * page_size()`.
    #[must_use]
    pub fn pages(&self) -> Range<u64> {
        self.pages.clone()
    }

    /// How many pages are resident.
    #[must_use]
    pub fn resident(&self) -> u64 {
        self.chunks.values().map(Chunk::count).sum()
    }

    /// Whether a page is resident; pages outside the range are not.
    #[must_use]
    pub fn contains(&self, page: u64) -> bool {
        match self.chunks.get(&(page / CHUNK)) {
            None => false,
            Some(Chunk::All) => true,
            Some(Chunk::Some(bits)) => {
                let (word, bit) = place(page);
                bits[word] & bit != 0
            }
        }
    }

    /// Adds pages; those outside the range are left out.
    pub fn insert(&mut self, run: Range<u64>) {
        let (mut at, end) = (run.start.max(self.pages.start), run.end.min(self.pages.end));
        while at < end {
            let chunk = at / CHUNK;
            let stop = end.min((chunk + 1).saturating_mul(CHUNK));
            if stop - at == CHUNK {
                self.chunks.insert(chunk, Chunk::All);
            } else {
                self.chunks.entry(chunk).or_insert_with(Chunk::none).insert(at, stop);
            }
            at = stop;
        }
    }

    /// The resident pages as runs, in order; no two runs touch.
    #[must_use]
    pub fn runs(&self) -> Runs<'_> {
        Runs { chunks: self.chunks.iter(), current: None, pending: None }
    }

    /// How many of the pages `pages` are resident.
    #[must_use]
    pub fn resident_in(&self, pages: Range<u64>) -> u64 {
        if pages.start >= pages.end {
            return 0;
        }
        let chunks = pages.start / CHUNK..=(pages.end - 1) / CHUNK;
        self.chunks
            .range(chunks)
            .map(|(number, chunk)| {
                let start = number * CHUNK;
                let from = pages.start.max(start) - start;
                let to = pages.end.min(start.saturating_add(CHUNK)) - start;
                chunk.count_in(from, to)
            })
            .sum()
    }
}

/// Where a page is in the bits of its chunk.
fn place(page: u64) -> (usize, u64) {
    let at = page % CHUNK;
    (index(at / 64), 1 << (at % 64))
}

/// The number of a word of a chunk as an index.
#[expect(clippy::cast_possible_truncation, reason = "there are 64 words")]
fn index(word: u64) -> usize {
    word as usize
}

impl Chunk {
    fn none() -> Self {
        Self::Some(Box::new([0; WORDS]))
    }

    /// Adds the pages `at..stop` of the file, which all lie in this chunk.
    fn insert(&mut self, at: u64, stop: u64) {
        let Self::Some(bits) = self else { return };
        let (from, to) = (at % CHUNK, stop - at + at % CHUNK);
        for word in from / 64..to.div_ceil(64) {
            bits[index(word)] |= mask(word, from, to);
        }
        if bits.iter().all(|&word| word == u64::MAX) {
            *self = Self::All;
        }
    }

    fn count(&self) -> u64 {
        self.count_in(0, CHUNK)
    }

    /// Pages among `from..to`, counted from the start of the chunk.
    fn count_in(&self, from: u64, to: u64) -> u64 {
        match self {
            Self::All => to - from,
            Self::Some(bits) => (from / 64..to.div_ceil(64))
                .map(|word| u64::from((bits[index(word)] & mask(word, from, to)).count_ones()))
                .sum(),
        }
    }

    /// The first run at or after `from`, counted from the start of the chunk.
    fn run_from(&self, from: u64) -> Option<Range<u64>> {
        let Self::Some(bits) = self else {
            return (from < CHUNK).then_some(from..CHUNK);
        };
        let start = next(from, |word| bits[word])?;
        let end = next(start, |word| !bits[word]).unwrap_or(CHUNK);
        Some(start..end)
    }
}

/// The bits of a word that lie in `from..to` of its chunk.
fn mask(word: u64, from: u64, to: u64) -> u64 {
    let start = from.saturating_sub(word * 64).min(64);
    let end = to.saturating_sub(word * 64).min(64);
    let below = |bit: u64| if bit == 64 { u64::MAX } else { (1 << bit) - 1 };
    below(end) & !below(start)
}

/// The first set bit at or after `from`.
fn next(from: u64, word_at: impl Fn(usize) -> u64) -> Option<u64> {
    (from / 64..WORDS as u64).find_map(|word| {
        let bits = word_at(index(word)) & mask(word, from, CHUNK);
        (bits != 0).then(|| word * 64 + u64::from(bits.trailing_zeros()))
    })
}

/// Runs of resident pages, by number.
#[derive(Clone, Debug)]
pub struct Runs<'a> {
    chunks: btree_map::Iter<'a, u64, Chunk>,
    /// The chunk that is being read, and where in it.
    current: Option<(u64, &'a Chunk, u64)>,
    /// A run that the next chunk may continue.
    pending: Option<Range<u64>>,
}

impl Runs<'_> {
    /// The next run within one chunk.
    fn piece(&mut self) -> Option<Range<u64>> {
        loop {
            if let Some((number, chunk, from)) = self.current {
                if let Some(run) = chunk.run_from(from) {
                    self.current = Some((number, chunk, run.end));
                    let start = number * CHUNK;
                    return Some(start + run.start..start.saturating_add(run.end));
                }
                self.current = None;
            }
            let (number, chunk) = self.chunks.next()?;
            self.current = Some((*number, chunk, 0));
        }
    }
}

impl Iterator for Runs<'_> {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        loop {
            let Some(piece) = self.piece() else { return self.pending.take() };
            match &mut self.pending {
                Some(run) if run.end == piece.start => run.end = piece.end,
                Some(_) => return self.pending.replace(piece),
                None => self.pending = Some(piece),
            }
        }
    }
}

/// Pages that are looked at in one piece where the counts say that some but not all are resident.
const PIECE: u64 = 1 << 18;

/// The map of a range of a file.
///
/// Where the system counts, halves with nothing in them are left out and those with everything
/// taken as they are: a sparse file of 8 EiB costs no more than the pages it has in memory.
pub(super) fn of(object: &Object, range: &Range<u64>) -> io::Result<PageMap> {
    let pages = pages_of(range);
    let mut map = PageMap::of_none(pages.clone());
    let mut todo = vec![pages];
    while let Some(pages) = todo.pop() {
        let size = pages.end - pages.start;
        if size == 0 {
            continue;
        }
        let bytes = bytes_of(&pages);
        let counted = match sys::cache_counts(object, bytes.start, bytes.end - bytes.start) {
            Ok(found) => found.resident,
            Err(error) if error.kind() == io::ErrorKind::Unsupported => None,
            Err(error) => return Err(error),
        };
        match counted {
            Some(0) => {}
            Some(_) | None if size <= PIECE => {
                sys::resident_runs(object, pages, &mut |run| map.insert(run))?;
            }
            _ => {
                let middle = pages.start + size / 2;
                todo.push(middle..pages.end);
                todo.push(pages.start..middle);
            }
        }
    }
    Ok(map)
}

#[cfg(test)]
#[path = "page_map_tests.rs"]
mod tests;
