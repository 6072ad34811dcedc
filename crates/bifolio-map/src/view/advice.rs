//! Advice, prefetch, dropping pages, locking them in memory, and flushing.

use std::ops::{Range, RangeBounds};

use super::{Mode, ReadWrite, Shared, View};
use crate::error::{Error, ErrorKind, Result};
use crate::{Flush, sys};

/// What a program knows about how it will use a range. All of it is about speed and memory, none
/// of it about content.
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
    /// holes this takes the space.
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
        self.span.advise(&range, advice).map_err(|error| match error.kind() {
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

    /// Keeps `range` in memory until the lock is dropped: no access to it waits for a device.
    /// Locks of one process on one page do not nest in the system; dropping one lets go of the
    /// pages at its edges that another one still holds.
    ///
    /// # Errors
    /// `LimitReached` with the limit's name and value; `OutOfMemory`; the fault of a page.
    #[doc(alias = "mlock")]
    pub fn lock_in_memory(&self, range: impl RangeBounds<u64>) -> Result<MemoryLock<M>> {
        const DOING: &str = "lock in memory";
        let range = self.resolve(range, DOING)?;
        self.span.lock(&range).map_err(|error| {
            let error =
                self.fail(Error::os(DOING, error)).at_offset(self.offset + range.start as u64);
            match error.kind() {
                ErrorKind::OutOfMemory
                | ErrorKind::PermissionDenied
                | ErrorKind::Busy
                | ErrorKind::LimitReached => error
                    .of_kind(ErrorKind::LimitReached)
                    .because(format!("{} bytes asked for; {}", range.len(), sys::lock_limit())),
                _ => error,
            }
        })?;
        Ok(MemoryLock { view: self.clone(), range })
    }
}

impl<M: Shared> View<M> {
    /// Unmaps the whole pages inside `range` from this process; the next access maps them again,
    /// from the cache or the device. Content is not touched. It bounds the resident memory of a
    /// program that streams through a large file.
    ///
    /// # Errors
    /// `OutOfBounds`, or what the system says.
    pub fn drop_behind(&self, range: impl RangeBounds<u64>) -> Result<()> {
        const DOING: &str = "drop pages of";
        let range = self.resolve(range, DOING)?;
        self.span.drop_pages(&range).map_err(|error| self.fail(Error::os(DOING, error)))
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
        section.check_state()?;
        let flushed = self.span.flush(
            section.object(),
            super::ViewMode::ReadWrite.protection(),
            self.offset,
            &range,
            level,
        );
        section.note_sync(flushed)?;
        section.sync_name(level)
    }
}

/// Pages that stay in memory until this is dropped.
#[derive(Debug)]
#[must_use = "the pages are let go when the lock is dropped"]
pub struct MemoryLock<M: Mode> {
    view: View<M>,
    range: Range<usize>,
}

impl<M: Mode> Drop for MemoryLock<M> {
    fn drop(&mut self) {
        // Unlocking our own mapped range does not fail; if it did, ending the view unlocks too.
        let _ = self.view.span.unlock(&self.range);
    }
}
