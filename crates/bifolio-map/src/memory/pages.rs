//! What is done to whole pages of a span: flushing, advice, dropping, locking, asking, touching.
//!
//! None of it may meet a page that is just being mapped anew, so each call is made as accesses are:
//! while the mapping stands.
#![expect(unsafe_code, reason = "hands addresses of mapped pages to the system")]

use std::io;
use std::ops::Range;
use std::ptr::NonNull;

use super::{Kind, Span, Stop, Writable};
use crate::Flush;
use crate::fault::guard::{self, AtomicWord};
use crate::range::{merged, pages_inside, pages_touching};
use crate::sys::{self, Object, Protection};
use crate::view::Advice;

impl Span {
    /// The pages that touch `range` of the span, as start and size; `None` if nothing is mapped
    /// there. The range must lie inside.
    fn pages(&self, range: &Range<usize>) -> Option<(NonNull<u8>, usize)> {
        if range.is_empty() || matches!(self.memory.kind, Kind::Empty | Kind::Heap { .. }) {
            return None;
        }
        let base = self.base.addr().get();
        let pages = pages_touching(base + range.start..base + range.end, sys::page_size());
        // SAFETY: the range lies inside the span.
        let first = unsafe { self.base.add(range.start) };
        // SAFETY: mappings start at a page, so the first page's start lies inside ours.
        let start = unsafe { first.sub(first.addr().get() - pages.start) };
        Some((start, pages.len()))
    }

    /// Makes the stores to `range` durable as far as `level` says. `offset` is the section's
    /// offset of the span's first byte.
    pub(crate) fn flush(
        &self,
        object: &Object,
        protection: Protection,
        offset: u64,
        range: &Range<usize>,
        level: Flush,
    ) -> io::Result<()> {
        let Some((start, size)) = self.pages(range) else { return Ok(()) };
        let lead = self.base.addr().get() + range.start - start.addr().get();
        let from = offset + range.start as u64 - lead as u64;
        self.while_it_stands(|| {
            // SAFETY: the pages are ours and map `object` from `from`.
            unsafe { sys::flush(object, protection, from, start, size, level) }
        })
    }

    /// Gives advice on the pages that touch `range`.
    pub(crate) fn advise(&self, range: &Range<usize>, advice: Advice) -> io::Result<()> {
        let Some((start, size)) = self.pages(range) else { return Ok(()) };
        self.while_it_stands(|| {
            // SAFETY: the pages are ours.
            unsafe { sys::advise(start, size, advice) }
        })
    }

    /// Lets go of the whole pages inside `range` of a shared mapping: `ResourceBusy` if any of them
    /// is locked in memory.
    pub(crate) fn drop_pages(&self, range: &Range<usize>) -> io::Result<()> {
        let base = self.base.addr().get();
        let pages = pages_inside(base + range.start..base + range.end, sys::page_size());
        if pages.is_empty() || matches!(self.memory.kind, Kind::Empty | Kind::Heap { .. }) {
            return Ok(());
        }
        // SAFETY: the pages lie inside the span.
        let start = unsafe { self.base.add(pages.start - base) };
        let dropped = self.memory.locked.unless_held(&pages, || {
            self.while_it_stands(|| {
                // SAFETY: they are ours; the view's mode says that the mapping is shared.
                unsafe { sys::drop_pages(start, pages.len()) }
            })
        });
        dropped.unwrap_or_else(|| Err(io::ErrorKind::ResourceBusy.into()))
    }

    /// Keeps the pages that touch `range` in memory, from when they are there.
    pub(crate) fn lock(&self, range: &Range<usize>) -> io::Result<()> {
        let Some((start, size)) = self.pages(range) else { return Ok(()) };
        let first = start.addr().get();
        // SAFETY: the pages are ours.
        let lock = || unsafe { sys::lock_memory(start, size) };
        self.memory.locked.hold(first..first + size, || self.while_it_stands(lock))
    }

    /// Locks pages of the span, by their addresses, that were locked and have been mapped anew.
    pub(super) fn lock_again(&self, pages: &Range<usize>) -> io::Result<()> {
        let base = self.base.addr().get();
        let inside =
            base <= pages.start && pages.end - base <= self.size.next_multiple_of(sys::page_size());
        debug_assert!(inside, "only what was locked through this memory is held");
        let Ok(start) = pages.start.try_into() else { return Ok(()) };
        let start = self.base.with_addr(start);
        // SAFETY: the pages are ours, and mapped: they were held, and growing unmaps nothing else
        // than what it maps again.
        let lock = || unsafe { sys::lock_memory(start, pages.len()) };
        self.while_it_stands(lock).map_err(|error| {
            let why = "growing mapped pages anew that could not be locked in memory again";
            io::Error::new(error.kind(), format!("{why}: {error}"))
        })
    }

    /// Undoes one [`lock`](Self::lock) of the same range.
    pub(crate) fn unlock(&self, range: &Range<usize>) {
        let Some((start, size)) = self.pages(range) else { return };
        let first = start.addr().get();
        self.memory.locked.release(&(first..first + size), |part| {
            // SAFETY: a part of the pages.
            let start = unsafe { start.add(part.start - first) };
            // SAFETY: the pages are ours. It does not fail for mapped pages that were locked; if
            // it did, ending the map unlocks too.
            let unlock = || unsafe { sys::unlock_memory(start, part.len()) };
            let _ = self.while_it_stands(unlock);
        });
    }

    /// Asks the processor to bring up to `size` bytes from `start` on into its caches. It changes
    /// nothing, and it never faults.
    #[inline]
    pub(crate) fn prefetch_to_cache(&self, start: usize, size: usize) {
        let end = start.saturating_add(size).min(self.size);
        for line in (start..end).step_by(64) {
            guard::prefetch(self.base.as_ptr().wrapping_add(line));
        }
    }

    /// Whether the page of the byte at `offset` is in memory, if the system says.
    pub(crate) fn is_resident(&self, offset: usize) -> Option<bool> {
        let (start, _) = self.pages(&(offset..(offset + 1).min(self.size)))?;
        self.while_it_stands(|| {
            // SAFETY: the page is ours.
            unsafe { sys::is_resident(start) }
        })
    }

    /// Starts reading in the pages that touch any of the ranges, which must lie inside; how many
    /// runs of pages that are, and how many calls it took.
    pub(crate) fn prefetch(&self, ranges: &[Range<usize>]) -> io::Result<(usize, usize)> {
        let pages = ranges.iter().filter_map(|range| self.pages(range));
        let pages = pages.map(|(start, size)| start.addr().get()..start.addr().get() + size);
        let runs: Vec<(NonNull<u8>, usize)> = merged(pages.collect())
            .into_iter()
            .filter_map(|run| Some((self.base.with_addr(run.start.try_into().ok()?), run.len())))
            .collect();
        if runs.is_empty() {
            return Ok((0, 0));
        }
        let calls = self.while_it_stands(|| {
            // SAFETY: the pages are ours.
            unsafe { sys::prefetch_runs(&runs) }
        })?;
        Ok((runs.len(), calls))
    }

    /// Bytes from the start of `range` on that are in memory without a gap. The range must lie
    /// inside.
    pub(crate) fn resident_size(&self, range: Range<usize>) -> io::Result<usize> {
        let Some((start, size)) = self.pages(&range) else { return Ok(range.len()) };
        let lead = self.base.addr().get() + range.start - start.addr().get();
        let size = self.while_it_stands(|| {
            // SAFETY: the pages are ours.
            unsafe { sys::resident_size(start, size) }
        })?;
        Ok(size.saturating_sub(lead).min(range.len()))
    }
    /// Stores into every page that touches `range` without changing anything: zero is added to its
    /// first word in one step, so what others store there meanwhile stays.
    pub(crate) fn touch(&self, range: &Range<usize>) -> Result<(), Stop> {
        if self.writable == Writable::No {
            return Err(Stop::ReadOnly);
        }
        if !guard::HAS_ATOMICS {
            return Err(Stop::NoAtomics);
        }
        let Some((start, size)) = self.pages(range) else { return Ok(()) };
        for at in (0..size).step_by(sys::page_size()) {
            // SAFETY: the start of a page of ours.
            let word = unsafe { start.add(at) };
            // SAFETY: pages are mapped whole, and start aligned.
            self.guarded(|| unsafe { <u32 as AtomicWord>::add(word.as_ptr(), 0) })?;
        }
        Ok(())
    }
}
