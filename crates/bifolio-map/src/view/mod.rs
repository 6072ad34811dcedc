//! Views: windows on a section, of any offset and exact length.
//!
//! A [`View`] copies. Its bytes may be written by other threads and processes at any time, and the
//! file may be cut off under it, so it never lends a reference to them: bytes are copied out and
//! in, words are loaded and stored, and each access returns a `Result`. That is what makes it safe
//! without a promise from anybody; what a reader can then still see is in `docs/SAFETY.md`.
//!
//! # Which section allows which view
//!
#![doc = include_str!("../../docs/view-table.md")]

mod access;
mod advice;
mod atomic;
mod bulk;
mod changes;
mod door;
pub(crate) mod explain;
mod growable;
mod moving;
mod prefetch;
mod raw;
mod resident;
mod scan;
mod stream;

pub use advice::{Advice, MemoryLock, Support};
pub use atomic::{AtomicU32View, AtomicU64View};
pub use growable::GrowableView;
pub use moving::{MovingView, WindowPlan};
pub use prefetch::Prefetched;
pub use raw::Raw;
pub use resident::TryRead;
pub use scan::ScanPlan;
pub use stream::Stream;

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Range as ByteRange, RangeBounds};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::fault;
use crate::memory::{Place, Span};
use crate::range;
use crate::section::{Access, Section, words};
use crate::sys::Protection;
use changes::Changes;

/// What a view may do, as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViewMode {
    /// Reading.
    Read,
    /// Reading, and writing that everybody sees.
    ReadWrite,
    /// Reading, and writing that nobody else sees and that leaves the section as it was.
    CopyOnWrite,
}

/// What a view may do, as a type: [`Read`], [`ReadWrite`] or [`CopyOnWrite`].
pub trait Mode: sealed::Sealed + Send + Sync + 'static {
    /// The same as a value.
    const MODE: ViewMode;
}

/// Modes that write: [`ReadWrite`] and [`CopyOnWrite`].
pub trait Writable: Mode {}

/// Modes in which everybody sees the same bytes: [`Read`] and [`ReadWrite`].
pub trait Shared: Mode {}

/// The mode of views that read.
#[derive(Debug)]
pub enum Read {}

/// The mode of views whose writes everybody sees.
#[derive(Debug)]
pub enum ReadWrite {}

/// The mode of views whose writes stay private: the section keeps its bytes. From its first write
/// on a page no longer follows the section; until then it does. [`View::private`] tells which.
#[derive(Debug)]
pub enum CopyOnWrite {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Read {}
    impl Sealed for super::ReadWrite {}
    impl Sealed for super::CopyOnWrite {}
}

impl Mode for Read {
    const MODE: ViewMode = ViewMode::Read;
}
impl Mode for ReadWrite {
    const MODE: ViewMode = ViewMode::ReadWrite;
}
impl Mode for CopyOnWrite {
    const MODE: ViewMode = ViewMode::CopyOnWrite;
}
impl Writable for ReadWrite {}
impl Writable for CopyOnWrite {}
impl Shared for Read {}
impl Shared for ReadWrite {}

impl ViewMode {
    pub(crate) fn protection(self) -> Protection {
        match self {
            Self::Read => Protection::Read,
            Self::ReadWrite => Protection::ReadWrite,
            Self::CopyOnWrite => Protection::CopyOnWrite,
        }
    }
}

/// A window on a section. Offsets of its methods count from its own start; its length never
/// changes, and bytes beyond it, such as the tail of the last page, cannot be reached.
///
/// Clones are the same window on the same memory; sub-views share it.
#[doc(alias = "mmap")]
pub struct View<M: Mode> {
    pub(crate) span: Span,
    /// Where the view starts in the section.
    offset: u64,
    section: Option<Section>,
    /// Which pages of a copy-on-write view were changed.
    changes: Option<Arc<Changes>>,
    mode: PhantomData<M>,
}

impl<M: Mode> Clone for View<M> {
    fn clone(&self) -> Self {
        Self {
            span: self.span.clone(),
            offset: self.offset,
            section: self.section.clone(),
            changes: self.changes.clone(),
            mode: PhantomData,
        }
    }
}

impl<M: Mode> fmt::Debug for View<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("View");
        debug.field("mode", &M::MODE).field("offset", &self.offset).field("len", &self.len());
        if let Some(path) = self.section.as_ref().and_then(Section::path) {
            debug.field("path", &path);
        }
        debug.finish_non_exhaustive()
    }
}

impl Section {
    /// A view of the whole section as long as it is now.
    ///
    /// # Errors
    /// `ModeMismatch` if the section's access does not allow the mode (see the
    /// [table](crate::view#which-section-allows-which-view)); `NotMappable`; `OutOfMemory` when no
    /// addresses are left or the process has too many maps, for which the system has one code. (A
    /// displaced fault handler is no error here: see [`fault::check`].)
    pub fn view<M: Mode>(&self) -> Result<View<M>> {
        self.view_of(..)
    }

    /// A view of `range`, in bytes from the start of the section. Any offset, any length; the
    /// rounding to pages is internal. An empty range makes no map.
    ///
    /// # Errors
    /// `OutOfBounds` if the section has fewer bytes now; otherwise as [`view`](Self::view).
    pub fn view_of<M: Mode>(&self, range: impl RangeBounds<u64>) -> Result<View<M>> {
        self.place(range, Place::Anywhere)
    }

    /// A view of `range` whose first byte lies at `address`, exactly. For data that hold absolute
    /// addresses; better store offsets.
    ///
    /// # Errors
    /// `Busy` if something is mapped there; `InvalidInput` if the address does not match the
    /// offset modulo the [granularity](crate::granularity); otherwise as
    /// [`view_of`](Self::view_of).
    pub fn view_at_address<M: Mode>(
        &self,
        range: impl RangeBounds<u64>,
        address: usize,
    ) -> Result<View<M>> {
        self.place(range, Place::At(address))
    }

    fn place<M: Mode>(&self, wanted: impl RangeBounds<u64>, place: Place) -> Result<View<M>> {
        const DOING: &str = "map";
        self.want_mode(M::MODE, DOING)?;
        let range = self.resolve(wanted, DOING)?;
        if let Place::At(address) = place {
            let granularity = crate::granularity();
            if address as u64 % granularity != range.start % granularity {
                return Err(self.fail(
                    Error::new(ErrorKind::InvalidInput, DOING).at_offset(range.start).because(
                        format!(
                            "address {address:#x} and the offset must have the same remainder \
                             modulo {granularity}"
                        ),
                    ),
                ));
            }
        }
        let size = self.size_of(&range, DOING)?;
        fault::install()?;
        let span = Span::map(self.object(), M::MODE.protection(), range.start, size, place)
            .map_err(|error| self.explain_map(error, &range, place))?;
        Ok(self.window(span, range.start))
    }

    /// A view of a span that maps this section from `offset`.
    fn window<M: Mode>(&self, span: Span, offset: u64) -> View<M> {
        let changes = (M::MODE == ViewMode::CopyOnWrite)
            .then(|| Arc::new(Changes::new(span.size(), span.as_ptr().addr())));
        View { span, offset, section: Some(self.clone()), changes, mode: PhantomData }
    }

    fn want_mode(&self, mode: ViewMode, doing: &'static str) -> Result<()> {
        if mode == ViewMode::ReadWrite && self.access() == Access::Read {
            return Err(self.fail(Error::new(ErrorKind::ModeMismatch, doing).because(
                "the section is open for reading only; open it with Access::ReadWrite, \
                 or view it CopyOnWrite",
            )));
        }
        Ok(())
    }

    /// The length of a range as a size in memory.
    fn size_of(&self, range: &ByteRange<u64>, doing: &'static str) -> Result<usize> {
        let size = range.end - range.start;
        usize::try_from(size).ok().filter(|&size| isize::try_from(size).is_ok()).ok_or_else(|| {
            self.fail(
                Error::new(ErrorKind::OutOfMemory, doing)
                    .at_offset(range.start)
                    .because(format!("{size} bytes are more than this process has addresses for")),
            )
        })
    }

    /// Adds what was asked for to the system's refusal to map.
    fn explain_map(&self, error: std::io::Error, range: &ByteRange<u64>, place: Place) -> Error {
        let asked = format!("asked for {} bytes", range.end - range.start);
        let error = self.os("map", error).at_offset(range.start);
        match (error.kind(), place) {
            (ErrorKind::AlreadyExists, Place::At(address)) => error
                .of_kind(ErrorKind::Busy)
                .because(format!("{asked} at address {address:#x}, where something is mapped")),
            (ErrorKind::OutOfMemory, _) => error.because(format!(
                "{asked}; the address space, RLIMIT_AS or the number of maps is exhausted"
            )),
            (ErrorKind::NotMappable, _) => {
                error.because(format!("{asked}; its file system or driver does not map it"))
            }
            _ => error.because(asked),
        }
    }
}

impl<M: Mode> View<M> {
    /// A view of heap memory, for storage that is not a file.
    pub(crate) fn of_heap(span: Span, offset: u64) -> Self {
        Self { span, offset, section: None, changes: None, mode: PhantomData }
    }

    /// The length in bytes: what was asked for, not what the system rounded it to.
    #[must_use]
    #[inline]
    pub fn len(&self) -> u64 {
        self.span.size() as u64
    }

    /// Whether the view has no bytes.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.span.size() == 0
    }

    /// Where the view starts in its section, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What the view may do.
    #[must_use]
    pub fn mode(&self) -> ViewMode {
        M::MODE
    }

    /// The section that is viewed; `None` for views of storage in memory.
    #[must_use]
    pub fn section(&self) -> Option<&Section> {
        self.section.as_ref()
    }

    /// The address of the first byte, for handing to the system or for arithmetic.
    ///
    /// The promise: as long as this view or a clone lives, the `len()` bytes from there stay
    /// mapped at this address. It is no promise about their content, which others may change, or
    /// that an access succeeds: dereferencing it is `unsafe`, unguarded, and raises the system's
    /// signal or exception where a page cannot be supplied. (On Windows a *growing* view unmaps
    /// its last, partial piece for the moment of growing; guarded accesses wait for it, a pointer
    /// does not.)
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.span.as_ptr()
    }

    /// A view of a part of this one; it shares the memory and keeps it mapped.
    ///
    /// # Errors
    /// `OutOfBounds`.
    pub fn sub(&self, range: impl RangeBounds<u64>) -> Result<Self> {
        let range = self.resolve(range, "take a part of")?;
        let part = self.span.part(range.clone()).ok_or_else(|| self.outside("take a part of"))?;
        Ok(Self {
            span: part,
            offset: self.offset + range.start as u64,
            section: self.section.clone(),
            changes: self.changes.clone(),
            mode: PhantomData,
        })
    }

    /// Two views: the bytes before `middle` and those from it on.
    ///
    /// # Errors
    /// `OutOfBounds` if `middle` lies past the end.
    pub fn split_at(self, middle: u64) -> Result<(Self, Self)> {
        Ok((self.sub(..middle)?, self.sub(middle..)?))
    }

    /// Keeps `range` and gives the rest back to the system: whole pages outside of it are
    /// unmapped, the range stays where it is. A map can shrink by parts, from either side.
    ///
    /// # Errors
    /// `OutOfBounds`; `Busy` while clones or parts of the view exist, and for views of a growable
    /// one; `NotSupported` on Windows, which unmaps whole views only. The view is lost with the
    /// error.
    pub fn shrink_to(self, range: impl RangeBounds<u64>) -> Result<Self> {
        const DOING: &str = "give back a part of";
        let range = self.resolve(range, DOING)?;
        let Self { span, offset, section, changes, mode } = self;
        let start = range.start as u64;
        match span.release_outside(range.clone()) {
            Ok(span) => {
                // The span is at its new start, from where the old account does not count.
                let rest = |changes: Arc<Changes>| {
                    Arc::new(changes.of_the_rest(span.as_ptr().addr(), range.len()))
                };
                let changes = changes.map(rest);
                Ok(Self { span, offset: offset + start, section, changes, mode })
            }
            Err(span) => {
                let view = Self { span, offset, section, changes, mode };
                Err(if crate::sys::CAN_UNMAP_PARTS {
                    view.fail(Error::new(ErrorKind::Busy, DOING)).because(
                        "clones or parts of the view are in use, or it was lent by a growable one",
                    )
                } else {
                    view.fail(Error::new(ErrorKind::NotSupported, DOING))
                        .because("this system unmaps whole views only")
                })
            }
        }
    }

    /// A range of this view as indices.
    pub(crate) fn resolve(
        &self,
        wanted: impl RangeBounds<u64>,
        doing: &'static str,
    ) -> Result<ByteRange<usize>> {
        let bounds = (wanted.start_bound().cloned(), wanted.end_bound().cloned());
        let indices = range::resolve(bounds, self.len()).and_then(|range| {
            Some(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
        });
        indices.ok_or_else(|| {
            let (asked, len) = (words(bounds), self.len());
            self.fail(Error::new(ErrorKind::OutOfBounds, doing))
                .because(format!("asked for {asked} of a view of {len} bytes"))
        })
    }

    fn outside(&self, doing: &'static str) -> Error {
        self.fail(Error::new(ErrorKind::OutOfBounds, doing))
    }
}
