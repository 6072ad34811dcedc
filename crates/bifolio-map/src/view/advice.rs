//! Advice, prefetch, dropping pages, locking them in memory, and flushing.

use std::marker::PhantomData;
use std::ops::{Range, RangeBounds};

use super::explain::Doing;
use super::{Mode, ReadWrite, Shared, View};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{Span, Stop};
use crate::{Flush, page_size, sys};

/// What a program knows about how it will use a range. All of it is about speed and memory, none
/// of it about content, with one exception: see [`PopulateWrite`](Self::PopulateWrite).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// No particular order: undoes the next two.
    Normal,
    /// In order: read ahead more, forget behind.
    Sequential,
    /// In no order: do not read ahead. A cold random access then reads a page instead of
    /// megabytes.
    Random,
    /// Soon: start reading it in. Returns at once.
    WillNeed,
    /// Not for a while: reclaim it before other pages.
    Cold,
    /// Reclaim it now, if it is clean or can be written out.
    PageOut,
    /// Map it now, readable: later reads meet no fault. Returns when it is done.
    PopulateRead,
    /// Map it now, writable: later writes meet no fault. Returns when it is done; on a file with
    /// holes this takes the space. Pages of a [`CopyOnWrite`](super::CopyOnWrite) view become
    /// private copies by it: they no longer follow the section, and
    /// [`private`](View::private) lists them.
    PopulateWrite,
    /// Use huge pages if possible.
    HugePages,
    /// Do not use huge pages.
    NoHugePages,
    /// Leave it out of core dumps.
    ExcludeFromCoreDump,
}

/// Whether a platform knows an advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Support {
    /// It is passed to the system by this call.
    Call(&'static str),
    /// The platform has no such call: [`View::advise`] says `NotSupported`.
    NotSupported,
}

impl Advice {
    /// All of them, in the order of the table in `docs/PLATFORMS.md`.
    pub const ALL: [Self; 11] = [
        Self::Normal,
        Self::Sequential,
        Self::Random,
        Self::WillNeed,
        Self::Cold,
        Self::PageOut,
        Self::PopulateRead,
        Self::PopulateWrite,
        Self::HugePages,
        Self::NoHugePages,
        Self::ExcludeFromCoreDump,
    ];

    /// The call behind the advice on this platform. (A kernel or file system that is older or
    /// smaller than the platform may still refuse it.)
    #[must_use]
    pub fn support(self) -> Support {
        sys::advice_name(self).map_or(Support::NotSupported, Support::Call)
    }
}

impl<M: Mode> View<M> {
    /// Tells the system how the pages that touch `range` will be used.
    ///
    /// # Errors
    /// `NotSupported` where platform, kernel or file system do not know the advice; for the
    /// populating ones also `StorageFault` for a page that cannot be had, whatever the reason.
    #[doc(alias = "madvise")]
    pub fn advise(&self, range: impl RangeBounds<u64>, advice: Advice) -> Result<()> {
        const DOING: &str = "advise on";
        let range = self.resolve(range, DOING)?;
        if advice.support() == Support::NotSupported {
            return Err(self.no_advice(advice));
        }
        let advised = self.span.advise(&range, advice);
        if advice == Advice::PopulateWrite {
            // Also if it failed: some pages may have been copied before.
            self.note_private(&range);
        }
        advised.map_err(|error| match error.kind() {
            std::io::ErrorKind::Unsupported => self.no_advice(advice),
            _ if sys::is_fault_code(error.raw_os_error()) => {
                let error = Error::os(DOING, error).of_kind(ErrorKind::StorageFault);
                self.fail(error).at_offset(self.offset + range.start as u64)
            }
            _ => self.fail(Error::os(DOING, error)),
        })
    }

    fn no_advice(&self, advice: Advice) -> Error {
        self.fail(Error::new(ErrorKind::NotSupported, "advise on"))
            .because(format!("{advice:?} has no call here, or not for this mapping"))
    }

    /// Starts reading `range` into memory and returns at once, where the system can; the access
    /// later finds it there or waits for less.
    ///
    /// # Errors
    /// `OutOfBounds`, or what the system says.
    pub fn prefetch(&self, range: impl RangeBounds<u64>) -> Result<()> {
        self.advise(range, Advice::WillNeed)
    }

    /// Keeps `range` in memory until the lock is dropped: no load from it waits for a device. It is
    /// read in first. Pages that several locks share stay until the last of them is dropped.
    ///
    /// On Windows the last, partial 64 KiB of a growing view's file are mapped anew when it grows,
    /// and locked anew at once; in that moment they are not. If they cannot be, growing says so.
    ///
    /// # Errors
    /// `LimitReached` with the limit's name and value; `OutOfMemory`; the fault of a page, and then
    /// nothing is locked.
    #[doc(alias = "mlock")]
    pub fn lock_in_memory(&self, range: impl RangeBounds<u64>) -> Result<MemoryLock<M>> {
        let range = self.resolve(range, Doing::Lock.verb())?;
        self.span.lock(&range).map_err(|error| self.explain_lock(error, &range))?;
        let lock = MemoryLock { span: self.span.clone(), range, mode: PhantomData };
        if sys::LOCKING_MAY_COPY {
            self.note_private(&lock.range);
        }
        self.touch(&lock.range)?;
        Ok(lock)
    }

    /// Loads a byte of each page in `range`, so that all of them are there.
    fn touch(&self, range: &Range<usize>) -> Result<()> {
        let (base, page) = (self.span.as_ptr().addr(), page_size());
        let mut at = range.start;
        while at < range.end {
            if let Err(stop) = self.span.load::<u8>(at as u64) {
                let stop = match stop {
                    Stop::Fault(_) => Stop::Fault(at - range.start),
                    stop => stop,
                };
                return Err(self.explain(stop, Doing::Lock, range.start as u64, range.len()));
            }
            at = (base + at + 1).next_multiple_of(page) - base;
        }
        Ok(())
    }

    fn explain_lock(&self, error: std::io::Error, range: &Range<usize>) -> Error {
        // Where locking reads the pages in, one code stands for a limit and for a page that is not
        // there; a file that ends before the range does is the likelier reason.
        let live = self.section.as_ref().and_then(|section| section.len().ok());
        if live.is_some_and(|live| live < self.offset + range.end as u64)
            && let Err(fault) = self.touch(range)
        {
            return fault;
        }
        let doing = Doing::Lock.verb();
        let error = self.fail(Error::os(doing, error)).at_offset(self.offset + range.start as u64);
        match error.kind() {
            ErrorKind::OutOfMemory
            | ErrorKind::PermissionDenied
            | ErrorKind::Busy
            | ErrorKind::LimitReached => error.of_kind(ErrorKind::LimitReached).because(format!(
                "{} bytes asked for; {}",
                range.len(),
                sys::lock_limit()
            )),
            _ => error,
        }
    }
}

impl<M: Shared> View<M> {
    /// Unmaps the whole pages inside `range` from this process; the next access maps them again,
    /// from the cache or the device. Content is not touched. It bounds the resident memory of a
    /// program that streams through a large file.
    ///
    /// # Errors
    /// `OutOfBounds`; `Busy` if any of the pages is [locked in memory](Self::lock_in_memory); or
    /// what the system says.
    pub fn drop_behind(&self, range: impl RangeBounds<u64>) -> Result<()> {
        const DOING: &str = "drop pages of";
        let range = self.resolve(range, DOING)?;
        self.span.drop_pages(&range).map_err(|error| {
            let error =
                self.fail(Error::os(DOING, error)).at_offset(self.offset + range.start as u64);
            match error.kind() {
                ErrorKind::Busy => error.because("pages of it are locked in memory"),
                _ => error,
            }
        })
    }
}

impl View<ReadWrite> {
    /// Makes what was written to `range` durable, as far as `level` says, by whichever view or
    /// process it was written.
    ///
    /// # Errors
    /// As [`Section::sync`](crate::Section::sync): a failure is final for the section. `Poisoned`
    /// also after a store failed (see
    /// [`accept_lost_stores`](crate::Section::accept_lost_stores)).
    #[doc(alias = "msync")]
    pub fn flush(&self, range: impl RangeBounds<u64>, level: Flush) -> Result<()> {
        let range = self.resolve(range, "flush")?;
        let Some(section) = &self.section else { return Ok(()) };
        section.check_state("flush")?;
        let flushed = if range.is_empty() && level != Flush::Start {
            // No bytes, but a length that may not be durable: that of a file that was cut off.
            sys::sync(section.object(), level)
        } else {
            self.span.flush(
                section.object(),
                super::ViewMode::ReadWrite.protection(),
                self.offset,
                &range,
                level,
            )
        };
        section.note_sync(flushed)?;
        section.sync_name(level)
    }
}

/// Pages that stay in memory until this is dropped.
///
/// A lock is its process's own: a forked child has the map and this value, but the system does not
/// hand the lock down. A child that needs one takes its own by
/// [`lock_in_memory`](View::lock_in_memory).
#[derive(Debug)]
#[must_use = "the pages are let go when the lock is dropped"]
pub struct MemoryLock<M: Mode> {
    /// The memory alone: the file is closed when the section and its views are dropped.
    span: Span,
    range: Range<usize>,
    mode: PhantomData<M>,
}

impl<M: Mode> Drop for MemoryLock<M> {
    fn drop(&mut self) {
        self.span.unlock(&self.range);
    }
}
