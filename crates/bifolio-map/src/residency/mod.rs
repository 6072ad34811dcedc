//! Residency: which pages of a file are in memory, without reading any of them in.
//!
//! | question | call |
//! |---|---|
//! | how many pages are resident, dirty, being written, recently evicted? | [`CachedFile::residency`], [`Section::residency`] |
//! | which pages? | [`CachedFile::page_map`], [`Section::page_map`] |
//! | drop them, and say what stays | [`CachedFile::evict`], [`Section::evict`] |
//! | read them in | [`CachedFile::read_in`], [`CachedFile::prefetch`] |
//! | which processes map the file? | [`CachedFile::mappers`] |
//!
//! All ranges are bytes and mean the pages that touch them. The answers are those of the page
//! cache, which all processes share; they are old as soon as they are given. What a platform
//! cannot tell is `None`, never 0, and what it would not tell this user is `PermissionDenied`:
//! Linux tells the residency of a file only to its owner, to who may write it, and to root (others
//! would be told by `mincore` that everything is resident).
//!
//! On overlayfs (the root of a container) Linux counts by `mincore`: `cachestat` answers for the
//! overlay's own pages, of which there are none, and says 0 whatever is in memory.
//!
//! | | Linux | macOS | Windows |
//! |---|---|---|---|
//! | resident | `cachestat` (6.5), else `mincore` | `mincore` | not told |
//! | dirty, write-back, evicted | `cachestat` | not told | not told |
//! | page map | `mincore` | `mincore` | not supported |
//! | evict | `posix_fadvise(DONTNEED)` | `msync(MS_INVALIDATE)` | not supported |
//! | mappers | `/proc/*/maps` | not supported | not supported |
//!
//! Windows has no question about its cache. It tells a process which pages of *its own maps* it
//! has in its working set (`QueryWorkingSetEx`), and a page of the cache enters that by being
//! touched there: asked of a file that was just mapped to ask, it says that nothing is resident,
//! also of what is all in memory. That would be a wrong number where "not told" is the truth, so it
//! is used only where the answer is about a map:
//! [`View::try_read_at`](crate::View::try_read_at).

mod cached_file;
mod evict;
mod mappers;
mod page_map;

pub use cached_file::{CachedFile, FileId};
pub use evict::{Evicted, WriteBack};
pub use mappers::{Mapper, Mappers};
pub use page_map::{PageMap, Runs};

use std::io;
use std::ops::{AddAssign, Range, RangeBounds};

use crate::error::{Error, ErrorKind, Result};
use crate::section::Section;
use crate::sys::{self, Object};

/// How many pages of a range are in which state. Counts are pages of
/// [`page_size`](crate::page_size) bytes, also where the kernel keeps them in larger pieces; a
/// piece with one dirty page in it counts as dirty, since that is what will be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Residency {
    /// The pages that touch the range.
    pub pages: u64,
    /// Those in memory.
    pub resident: Option<u64>,
    /// Those in memory that the device does not have yet.
    pub dirty: Option<u64>,
    /// Those that are being written to the device.
    pub write_back: Option<u64>,
    /// Those that were in memory and of which the kernel still knows when they were evicted. (What
    /// was dropped on purpose is not remembered.)
    pub evicted: Option<u64>,
    /// Those of the evicted ones that would be here if memory had been a little larger.
    pub recently_evicted: Option<u64>,
}

impl Residency {
    /// The share of the pages that is resident, between 0 and 1; `None` if nobody knows, and for a
    /// range without pages.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share, to the eye")]
    pub fn share(&self) -> Option<f64> {
        let resident = self.resident?;
        (self.pages > 0).then(|| resident as f64 / self.pages as f64)
    }

    /// Nothing in no pages: what sums start from.
    #[must_use]
    pub fn none() -> Self {
        let none = Some(0);
        Self {
            pages: 0,
            resident: none,
            dirty: none,
            write_back: none,
            evicted: none,
            recently_evicted: none,
        }
    }
}

impl AddAssign for Residency {
    /// A sum with something unknown in it is unknown.
    fn add_assign(&mut self, other: Self) {
        let add = |one: &mut Option<u64>, other: Option<u64>| {
            *one = one.zip(other).map(|(one, other)| one.saturating_add(other));
        };
        self.pages = self.pages.saturating_add(other.pages);
        add(&mut self.resident, other.resident);
        add(&mut self.dirty, other.dirty);
        add(&mut self.write_back, other.write_back);
        add(&mut self.evicted, other.evicted);
        add(&mut self.recently_evicted, other.recently_evicted);
    }
}

/// Whether this system tells at all which pages of a file are in memory.
#[must_use]
pub fn is_told() -> bool {
    sys::TELLS_RESIDENCY
}

/// Bytes that this process has had read from devices so far, by whatever means: a fault counts as
/// a call does. `None` if the system does not count them.
#[must_use]
pub fn bytes_from_disk() -> Option<u64> {
    sys::bytes_from_disk()
}

impl Section {
    /// How many pages of `range` are resident, dirty, and so on. Reads nothing in and leaves the
    /// file's times alone.
    ///
    /// ```
    /// use bifolio_map::Section;
    /// let section = Section::anonymous(1 << 20)?;
    /// section.view::<bifolio_map::ReadWrite>()?.write_at(0, b"one page")?;
    /// let found = section.residency(..)?;
    /// assert_eq!(found.pages, (1 << 20) / bifolio_map::page_size() as u64);
    /// assert!(found.resident.is_none_or(|resident| resident > 0)); // `None` on Windows
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # Errors
    /// `OutOfBounds`; `PermissionDenied` if the system tells it only to those who own the file or
    /// may write it.
    #[doc(alias = "cachestat")]
    #[doc(alias = "mincore")]
    pub fn residency(&self, range: impl RangeBounds<u64>) -> Result<Residency> {
        let range = self.resolve(range, COUNT)?;
        count(self.object(), &range).map_err(|error| self.fail(explain(COUNT, error)))
    }

    /// Which pages of `range` are resident. The answer takes a bit a page where pages come and go,
    /// and next to nothing for what is all in memory or all out of it.
    ///
    /// # Errors
    /// As [`residency`](Self::residency); `NotSupported` on Windows.
    pub fn page_map(&self, range: impl RangeBounds<u64>) -> Result<PageMap> {
        let range = self.resolve(range, MAP)?;
        page_map::of(self.object(), &range).map_err(|error| self.fail(explain(MAP, error)))
    }

    /// Drops the pages of `range` from memory, for all processes; the next access reads them from
    /// the device. No byte is lost: what is dirty or in use stays, and the answer says how much;
    /// to a user who may read the file and not know its residency, it says `None`.
    ///
    /// On overlayfs the write-back is one of the whole file, by `fdatasync`.
    ///
    /// # Errors
    /// `OutOfBounds`; a failed write-back; `NotSupported` on Windows.
    #[doc(alias = "posix_fadvise")]
    pub fn evict(&self, range: impl RangeBounds<u64>, write_back: WriteBack) -> Result<Evicted> {
        let range = self.resolve(range, EVICT)?;
        if write_back == WriteBack::First {
            self.check_state(EVICT)?;
            self.note_sync(sys::write_back(self.object(), range.start, range.end - range.start))?;
        }
        evict::drop_pages(self.object(), &range).map_err(|error| self.fail(explain(EVICT, error)))
    }
}

const COUNT: &str = "count resident pages of";
const MAP: &str = "map resident pages of";
const EVICT: &str = "evict";

/// Pages that touch a range of bytes, by number. Every `u64` range has an answer.
pub(crate) fn pages_of(range: &Range<u64>) -> Range<u64> {
    let page = sys::page_size() as u64;
    let first = range.start / page;
    if range.start >= range.end { first..first } else { first..range.end.div_ceil(page) }
}

/// The bytes of a range of pages; the last page of the offsets ends at the last offset.
pub(crate) fn bytes_of(pages: &Range<u64>) -> Range<u64> {
    let page = sys::page_size() as u64;
    pages.start.saturating_mul(page)..pages.end.saturating_mul(page)
}

/// The counts of a range, by whatever means this system has.
fn count(object: &Object, range: &Range<u64>) -> io::Result<Residency> {
    let pages = pages_of(range);
    let total = pages.end - pages.start;
    if total == 0 {
        return Ok(Residency::none());
    }
    let bytes = bytes_of(&pages);
    let found = match sys::cache_counts(object, bytes.start, bytes.end - bytes.start) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            let mut resident = 0;
            match sys::resident_runs(object, pages, &mut |run| resident += run.end - run.start) {
                Ok(()) => Residency { resident: Some(resident), ..Residency::default() },
                // Neither: then nothing is known.
                Err(error) if error.kind() == io::ErrorKind::Unsupported => Residency::default(),
                Err(error) => return Err(error),
            }
        }
        result => result?,
    };
    Ok(Residency { pages: total, ..found })
}

/// Says what a refusal means.
#[cold]
fn explain(doing: &'static str, error: io::Error) -> Error {
    let error = Error::os(doing, error);
    match error.kind() {
        ErrorKind::PermissionDenied => error.because(
            "the system tells which pages of a file are in memory only to its owner and to those \
             who may write it",
        ),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_touch_their_bytes_and_no_range_overflows() {
        let page = sys::page_size() as u64;
        assert_eq!(pages_of(&(0..0)), 0..0);
        assert_eq!(pages_of(&(1..1)), 0..0);
        assert_eq!(pages_of(&(0..1)), 0..1);
        assert_eq!(pages_of(&(page - 1..page + 1)), 0..2);
        assert_eq!(pages_of(&(page..2 * page)), 1..2);
        let last = u64::MAX / page;
        assert_eq!(pages_of(&(u64::MAX - 1..u64::MAX)), last..last + 1);
        assert_eq!(bytes_of(&(last..last + 1)).end, u64::MAX);
    }

    #[test]
    fn a_sum_with_something_unknown_in_it_is_unknown() {
        let mut sum = Residency::none();
        let known = Residency { pages: 3, resident: Some(2), ..Residency::none() };
        sum += known;
        sum += known;
        assert_eq!((sum.pages, sum.resident, sum.dirty), (6, Some(4), Some(0)));
        sum += Residency { pages: 1, resident: Some(1), ..Residency::default() };
        assert_eq!((sum.pages, sum.resident, sum.dirty), (7, Some(5), None));
        assert_eq!(Residency::none().share(), None);
        assert_eq!(known.share().map(|share| (share * 3.0).round()), Some(2.0));
    }
}
