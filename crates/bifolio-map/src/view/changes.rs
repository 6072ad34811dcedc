//! What a copy-on-write view has changed, and where it no longer follows its section: a bit a page
//! for each, set after each write.
//!
//! The order is what makes a page that is written while it is written back count as changed: the
//! writer stores and then sets the bit, the one who writes back clears the bit and then reads. Both
//! change the bit by sequentially consistent read-modify-writes, so whoever comes second sees what
//! the first one stored.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::{CopyOnWrite, Mode, ReadWrite, View, ViewMode};
use crate::error::{Error, ErrorKind, Result};
use crate::section::{Access, Section};
use crate::{Flush, page_size, sys};

/// Which pages of a view were written, and which are private copies.
#[derive(Debug)]
pub(super) struct Changes {
    /// Bytes between the start of its page and the start of the view.
    lead: usize,
    /// The address of the first byte that is counted: sub-views lie behind it.
    base: usize,
    /// Bytes in the view that was made first, of which others are parts; a growing one's change.
    size: AtomicUsize,
    page_bits: u32,
    /// Pages written and not written back since.
    written: Bits,
    /// Pages that no longer follow the section: once private, a page stays so.
    private: Bits,
}

/// One bit a page. Made when a page in a chunk is first noted: a view that may grow to terabytes
/// costs nothing for those that it does not have.
#[derive(Debug)]
struct Bits(Box<[OnceLock<Box<Chunk>>]>);

/// The bits of 2^18 pages: a gigabyte where a page has 4 KiB.
type Chunk = [AtomicU64; CHUNK_WORDS];
const CHUNK_WORDS: usize = 4096;

impl Bits {
    fn new(pages: usize) -> Self {
        Self((0..pages.div_ceil(64 * CHUNK_WORDS)).map(|_| OnceLock::new()).collect())
    }

    fn set(&self, page: usize) {
        let number = page / 64;
        let Some(chunk) = self.0.get(number / CHUNK_WORDS) else { return };
        let chunk = chunk.get_or_init(|| Box::new([const { AtomicU64::new(0) }; CHUNK_WORDS]));
        chunk[number % CHUNK_WORDS].fetch_or(1 << (page % 64), Ordering::SeqCst);
    }

    fn clear(&self, page: usize) {
        let number = page / 64;
        if let Some(chunk) = self.0.get(number / CHUNK_WORDS).and_then(OnceLock::get) {
            chunk[number % CHUNK_WORDS].fetch_and(!(1 << (page % 64)), Ordering::SeqCst);
        }
    }

    fn has(&self, page: usize) -> bool {
        let number = page / 64;
        let chunk = self.0.get(number / CHUNK_WORDS).and_then(OnceLock::get);
        chunk.is_some_and(|chunk| {
            chunk[number % CHUNK_WORDS].load(Ordering::Relaxed) & (1 << (page % 64)) != 0
        })
    }

    /// The words of the bits that exist, with their numbers.
    fn words(&self) -> impl Iterator<Item = (usize, &AtomicU64)> {
        self.0.iter().enumerate().flat_map(|(number, chunk)| {
            let words = chunk.get().map_or(&[][..], |chunk| &chunk[..]);
            words.iter().enumerate().map(move |(index, word)| (number * CHUNK_WORDS + index, word))
        })
    }
}

impl Changes {
    pub(super) fn new(size: usize, base: usize) -> Self {
        let page = page_size();
        let lead = base % page;
        let pages = (lead + size).div_ceil(page);
        Self {
            lead,
            base,
            size: AtomicUsize::new(size),
            page_bits: page.trailing_zeros(),
            written: Bits::new(pages),
            private: Bits::new(pages),
        }
    }

    /// The view is so long now.
    pub(super) fn set_size(&self, size: usize) {
        self.size.store(size, Ordering::Relaxed);
    }

    /// The account of a view of which `size` bytes from this address on are left, and nothing
    /// else: a page of which only a part is left is whole with that part.
    pub(super) fn of_the_rest(&self, address: usize, size: usize) -> Self {
        let rest = Self::new(size, address);
        for (from, to) in [(&self.written, &rest.written), (&self.private, &rest.private)] {
            for kept in self.ranges(from, address - self.base, size) {
                for page in rest.pages(super::access::index(kept.start), index_of(&kept)) {
                    to.set(page);
                }
            }
        }
        rest
    }

    /// The pages that `size` bytes at `start` touch, counted from the base.
    fn pages(&self, start: usize, size: usize) -> Range<usize> {
        if size == 0 {
            return 0..0;
        }
        let last = (self.lead + start + size - 1) >> self.page_bits;
        (self.lead + start) >> self.page_bits..last + 1
    }

    /// Notes a write of `size` bytes at `start`, counted from the base.
    #[inline]
    fn note(&self, start: usize, size: usize) {
        for page in self.pages(start, size) {
            self.written.set(page);
            if !self.private.has(page) {
                self.private.set(page);
            }
        }
    }

    /// Notes that pages may have become private copies without a write.
    fn note_private(&self, start: usize, size: usize) {
        for page in self.pages(start, size) {
            self.private.set(page);
        }
    }

    /// The noted pages inside `size` bytes from `start` on, as ranges from there, merged.
    fn ranges(&self, bits: &Bits, start: usize, size: usize) -> Vec<Range<u64>> {
        let page = 1usize << self.page_bits;
        let mut found: Vec<Range<u64>> = Vec::new();
        for (index, word) in bits.words() {
            let mut bits = word.load(Ordering::SeqCst);
            while bits != 0 {
                let number = index * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                // Clipped to the window; both ends counted from its start.
                let from = (number * page).saturating_sub(self.lead).max(start);
                let to = ((number + 1) * page - self.lead).min(start + size);
                if from >= to {
                    continue;
                }
                let (from, to) = ((from - start) as u64, (to - start) as u64);
                match found.last_mut() {
                    Some(last) if last.end == from => last.end = to,
                    _ => found.push(from..to),
                }
            }
        }
        found
    }

    /// Forgets the writes to pages that lie in `range` whole.
    fn clear(&self, range: Range<usize>) {
        let page = 1usize << self.page_bits;
        for number in (self.lead + range.start) / page..(self.lead + range.end).div_ceil(page) {
            let whole_start = (number * page).saturating_sub(self.lead);
            let whole_end = (number + 1) * page - self.lead;
            let end = self.size.load(Ordering::Relaxed);
            if range.start <= whole_start && whole_end.min(end) <= range.end {
                self.written.clear(number);
            }
        }
    }
}

/// The size of a range inside a view.
fn index_of(range: &Range<u64>) -> usize {
    super::access::index(range.end - range.start)
}

impl<M: Mode> View<M> {
    /// Notes a write, if this view keeps account: after the write, also after one that failed
    /// half-way. Other modes have nothing to keep it in.
    #[inline]
    pub(super) fn note_change(&self, offset: u64, size: usize) {
        // Decided by a constant.
        if M::MODE == ViewMode::CopyOnWrite
            && let Some(changes) = &self.changes
            && let Some(range) = crate::range::inside(offset, size, self.span.size())
        {
            changes.note(self.span.as_ptr().addr() - changes.base + range.start, size);
        }
    }
}

impl<M: Mode> View<M> {
    /// Notes that pages may have become private copies, if this view keeps account.
    pub(super) fn note_private(&self, range: &Range<usize>) {
        if let Some(changes) = &self.changes {
            let start = self.span.as_ptr().addr() - changes.base;
            changes.note_private(start + range.start, range.len());
        }
    }
}

const DOING: &str = "write back to";

/// The error for bytes that have no place in the section.
fn past_the_end(section: &Section, offset: u64, live: u64) -> Error {
    section.fail(
        Error::new(ErrorKind::OutOfBounds, DOING)
            .at_offset(offset)
            .because(format!("the range ends past the section's {live} bytes")),
    )
}

impl View<CopyOnWrite> {
    /// What this view has written and not written back since: the pages written through any view
    /// on this memory, in order, merged, and clipped to this view. (Writes through a raw pointer or
    /// a slice from the `unsafe` door are not noticed.)
    ///
    /// It is what [`write_back`](Self::write_back) owes, not where view and section differ: others
    /// may change the section under a [`private`](Self::private) page at any time, also after it
    /// was written back.
    ///
    /// ```
    /// # use bifolio_map::{CopyOnWrite, Flush, Section, View};
    /// # let page = bifolio_map::page_size() as u64;
    /// let section = Section::temporary(3 * page)?;
    /// let view: View<CopyOnWrite> = section.view()?;
    /// view.put(page + 5, &7u8)?;
    /// assert_eq!(view.changed(), [page..2 * page]);
    /// assert_eq!(section.view::<bifolio_map::Read>()?.get::<u8>(page + 5)?, 0);
    ///
    /// view.write_back(&section, &view.changed(), Flush::Data)?;
    /// assert_eq!(section.view::<bifolio_map::Read>()?.get::<u8>(page + 5)?, 7);
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    #[must_use]
    pub fn changed(&self) -> Vec<Range<u64>> {
        let Some(changes) = &self.changes else { return Vec::new() };
        let start = self.span.as_ptr().addr() - changes.base;
        changes.ranges(&changes.written, start, self.span.size())
    }

    /// The ranges of this view that no longer follow the section, in whole pages, as
    /// [`changed`](Self::changed) gives them: what was ever written through the view, also if it was
    /// written back since, and what was
    /// [populated for writing](super::Advice::PopulateWrite). Everywhere else the view shows what
    /// the section has. (On macOS pages that were [locked](View::lock_in_memory) may be copies too,
    /// and are listed.)
    ///
    /// ```
    /// # use bifolio_map::{CopyOnWrite, Flush, ReadWrite, Section, View};
    /// # let page = bifolio_map::page_size() as u64;
    /// let section = Section::temporary(2 * page)?;
    /// let view: View<CopyOnWrite> = section.view()?;
    /// view.put(5, &7u8)?;
    /// view.write_back(&section, &view.changed(), Flush::Start)?;
    /// section.view::<ReadWrite>()?.fill(.., 9)?;
    /// assert_eq!((view.changed(), view.private()), (vec![], vec![0..page]));
    /// assert_eq!((view.get::<u8>(5)?, view.get::<u8>(page)?), (7, 9));
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    #[must_use]
    pub fn private(&self) -> Vec<Range<u64>> {
        let Some(changes) = &self.changes else { return Vec::new() };
        let start = self.span.as_ptr().addr() - changes.base;
        changes.ranges(&changes.private, start, self.span.size())
    }

    /// Writes ranges of this view to the same place of `section`, in the order given, with a sync
    /// of `level` after each: what comes later is not durable before what came earlier. So a
    /// caller can write pages first and the page that makes them valid last.
    ///
    /// `section` is usually the one that is viewed, opened for writing; it must be long enough.
    /// Whole pages come from [`changed`](Self::changed): what others wrote meanwhile into the same
    /// pages is overwritten. Ranges that were written back whole no longer count as changed.
    ///
    /// # Errors
    /// `ModeMismatch` if `section` is open for reading only; `OutOfBounds`; `StorageFull`; a
    /// failed sync, which ends the sequence.
    pub fn write_back(&self, section: &Section, ranges: &[Range<u64>], level: Flush) -> Result<()> {
        if section.access() != Access::ReadWrite {
            return Err(section.fail(
                Error::new(ErrorKind::ModeMismatch, DOING)
                    .because("the section is open for reading only"),
            ));
        }
        for wanted in ranges {
            let range = self.resolve(wanted.clone(), DOING)?;
            let live = section.len()?;
            if self.offset + wanted.end > live {
                return Err(past_the_end(section, self.offset + wanted.start, live));
            }
            let counted = self.changes.as_ref().map(|changes| {
                let start = self.span.as_ptr().addr() - changes.base;
                (changes, start + range.start..start + range.end)
            });
            // First forgotten, then read: who writes meanwhile notes it again.
            if let Some((changes, place)) = &counted {
                changes.clear(place.clone());
            }
            let written = self.write_range_to(section, wanted).and_then(|()| section.sync(level));
            if let (Err(_), Some((changes, place))) = (&written, &counted) {
                changes.note(place.start, place.len());
            }
            written?;
        }
        Ok(())
    }

    /// Writes one range to the same place of a section.
    fn write_range_to(&self, section: &Section, range: &Range<u64>) -> Result<()> {
        let size = super::access::index(range.end - range.start).min(1 << 20);
        let mut piece = vec![0; size];
        let mut at = range.start;
        while at < range.end {
            let size = piece.len().min(super::access::index(range.end - at));
            let bytes = &mut piece[..size];
            self.read_at(at, bytes)?;
            let to = self.offset + at;
            let by_call = section.while_length_stands(|object| {
                // A call past the end would extend the file again, so each piece asks.
                match sys::len(object)? {
                    live if to + bytes.len() as u64 > live => Ok(Some(live)),
                    _ => sys::write_all_at(object, to, bytes).map(|()| None),
                }
            });
            match by_call.transpose().map_err(|e| section.os(DOING, e).at_offset(to))? {
                Some(None) => {}
                Some(Some(live)) => return Err(past_the_end(section, to, live)),
                // Where calls go elsewhere or do not meet the maps, stores go where they are told.
                None => section.view_of::<ReadWrite>(to..to + size as u64)?.store_at(0, bytes)?,
            }
            at += size as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_pages_are_merged_and_clipped_to_the_window() {
        let page = page_size();
        let changes = Changes::new(10 * page, 7 * page + 100);
        changes.note(0, 1);
        changes.note(page - 100, 1); // the first byte of the second page
        changes.note(5 * page, 2 * page);
        let page = page as u64;
        let expected = [0..2 * page - 100, 5 * page - 100..8 * page - 100];
        assert_eq!(changes.ranges(&changes.written, 0, 10 * page_size()), expected);
        assert_eq!(changes.ranges(&changes.written, 50, 20), vec![0..20]);
        changes.clear(0..page_size() - 100);
        assert_eq!(changes.ranges(&changes.written, 0, page_size()), vec![page - 100..page]);
    }

    #[test]
    fn clearing_part_of_a_page_keeps_it_noted() {
        let changes = Changes::new(4 * page_size(), 0);
        changes.note(0, 10);
        changes.clear(0..10);
        assert_eq!(changes.ranges(&changes.written, 0, page_size()).len(), 1);
        changes.clear(0..page_size());
        assert!(changes.ranges(&changes.written, 0, page_size()).is_empty());
    }
}
