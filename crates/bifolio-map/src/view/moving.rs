//! Views of more than there are addresses: a few windows that move over the section.

use std::fmt;
use std::ops::{ControlFlow, Range, RangeBounds};
use std::sync::{Mutex, MutexGuard};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Shared, View, Writable};
use crate::error::{Error, ErrorKind, Result};
use crate::section::{Section, words};

/// How many windows a [`MovingView`] keeps, and how large they are.
///
/// The defaults: 8 windows of 64 MiB where there are addresses for petabytes, of 16 MiB elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct WindowPlan {
    size: u64,
    count: usize,
}

impl WindowPlan {
    /// The defaults.
    pub fn new() -> Self {
        let size = if cfg!(target_pointer_width = "64") { 64 << 20 } else { 16 << 20 };
        Self { size, count: 8 }
    }

    /// Bytes in a window, rounded up to the [granularity](crate::granularity).
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = bytes;
        self
    }

    /// Windows that stay mapped. One more for each thread that is inside an access may be.
    pub fn count(mut self, count: usize) -> Self {
        self.count = count;
        self
    }
}

impl Default for WindowPlan {
    fn default() -> Self {
        Self::new()
    }
}

/// A view of any length through a few mapped windows: for 32-bit processes, and for those that
/// want their address space or their maps bounded.
///
/// The windows that were used last stay mapped; an access elsewhere unmaps the oldest one and maps
/// the place in question, which costs some microseconds. Accesses are those of a [`View`]: guarded,
/// of exact length, and faults are errors. Addresses change, so there is no pointer to ask for,
/// and copy-on-write views, whose changes are in their pages, cannot move.
///
/// ```
/// use bifolio_map::{ReadWrite, Section, Space, WindowPlan};
/// let section = Section::temporary(0)?;
/// section.set_len(9 << 30, Space::Sparse)?; // more than 32 bits can address
/// let view = section.moving_view::<ReadWrite>(.., WindowPlan::new())?;
/// view.put(7 << 30, &42u64)?;
/// assert_eq!(view.get::<u64>(7 << 30)?, 42);
/// assert_eq!(view.len(), 9 << 30);
/// # Ok::<(), bifolio_map::Error>(())
/// ```
pub struct MovingView<M: Shared> {
    section: Section,
    range: Range<u64>,
    size: u64,
    count: usize,
    /// The last one used first.
    windows: Mutex<Vec<Window<M>>>,
}

struct Window<M: Shared> {
    /// Which one, counted from the start of the section.
    number: u64,
    /// Shorter than it should be while the file is.
    view: View<M>,
}

impl<M: Shared> fmt::Debug for MovingView<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("MovingView");
        debug.field("mode", &M::MODE).field("range", &self.range);
        debug.field("window_size", &self.size).field("window_count", &self.count);
        debug.field("section", &self.section).finish_non_exhaustive()
    }
}

impl Section {
    /// A view of `range` through windows that move. Nothing is mapped before the first access.
    ///
    /// # Errors
    /// `OutOfBounds` if the section has fewer bytes now; `ModeMismatch` if its access does not
    /// allow the mode; `InvalidInput` for a plan without windows or windows without bytes.
    pub fn moving_view<M: Shared>(
        &self,
        range: impl RangeBounds<u64>,
        plan: WindowPlan,
    ) -> Result<MovingView<M>> {
        const DOING: &str = "view";
        let range = self.resolve(range, DOING)?;
        let size = plan.size.checked_next_multiple_of(crate::granularity());
        let size = size.filter(|&size| size > 0 && plan.count > 0).ok_or_else(|| {
            self.fail(Error::new(ErrorKind::InvalidInput, DOING)).because(format!(
                "asked for {} windows of {} bytes, and there must be one at least",
                plan.count, plan.size
            ))
        })?;
        // An empty view fails as a full one would, where the mode is not allowed.
        self.view_of::<M>(range.start..range.start)?;
        let windows = Mutex::new(Vec::new());
        Ok(MovingView { section: self.clone(), range, size, count: plan.count, windows })
    }
}

/// Where an access goes.
struct Place<M: Shared> {
    view: View<M>,
    /// In the window's view.
    offset: u64,
    /// Bytes from there to the end of the window.
    room: usize,
}

impl<M: Shared> MovingView<M> {
    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Whether the view has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Where the view starts in its section, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.range.start
    }

    /// The section that is viewed.
    #[must_use]
    pub fn section(&self) -> &Section {
        &self.section
    }

    /// Windows that are mapped now.
    #[must_use]
    pub fn mapped_windows(&self) -> usize {
        self.windows().len()
    }

    fn windows(&self) -> MutexGuard<'_, Vec<Window<M>>> {
        // The list is whole between any two steps, so a panic elsewhere broke nothing.
        self.windows.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// The window that has the byte `at` of the section; `done` of `size` bytes were accessed
    /// before.
    fn place(&self, at: u64, done: usize, size: usize) -> Result<Place<M>> {
        let number = at / self.size;
        let mut windows = self.windows();
        let known = windows.iter().position(|window| window.number == number);
        if let Some(known) = known {
            let window = windows.remove(known);
            // A window that was mapped when the file was shorter is mapped anew.
            if let Some(place) = inside(&window.view, at) {
                windows.insert(0, window);
                return Ok(place);
            }
        }
        windows.truncate(self.count - 1);
        let view = self.map(number)?;
        let place = inside(&view, at);
        windows.insert(0, Window { number, view });
        place.ok_or_else(|| self.section.cut_off(at, done, size))
    }

    /// Maps a window, as far as the file goes now.
    fn map(&self, number: u64) -> Result<View<M>> {
        let start = (number * self.size).max(self.range.start);
        let end = number.saturating_add(1).saturating_mul(self.size).min(self.range.end);
        match self.section.view_of(start..end) {
            Err(error) if error.kind() == ErrorKind::OutOfBounds => {
                let live = self.section.len()?;
                self.section.view_of(start.min(live)..end.min(live))
            }
            mapped => mapped,
        }
    }

    /// Requires that a range lies inside; where it begins in the section.
    fn check(&self, offset: u64, size: usize, doing: &'static str) -> Result<u64> {
        let end = offset.checked_add(size as u64).filter(|&end| end <= self.len());
        end.map(|_| self.range.start + offset).ok_or_else(|| {
            self.section
                .fail(Error::new(ErrorKind::OutOfBounds, doing).at_offset(offset))
                .because(format!("{size} bytes asked for, the view has {}", self.len()))
        })
    }

    /// A range of the view as a plain one, if it lies inside and is not reversed.
    fn resolve(&self, range: impl RangeBounds<u64>, doing: &'static str) -> Result<Range<u64>> {
        let bounds = (range.start_bound().cloned(), range.end_bound().cloned());
        crate::range::resolve(bounds, self.len()).ok_or_else(|| {
            self.section.fail(Error::new(ErrorKind::OutOfBounds, doing)).because(format!(
                "asked for {} of a view of {} bytes",
                words(bounds),
                self.len()
            ))
        })
    }

    /// Does something with each piece of a range that lies in one window, in order.
    fn pieces(
        &self,
        at: u64,
        size: usize,
        mut access: impl FnMut(&View<M>, u64, Range<usize>) -> Result<()>,
    ) -> Result<()> {
        let mut done = 0;
        while done < size {
            let place = self.place(at + done as u64, done, size)?;
            let now = place.room.min(size - done);
            access(&place.view, place.offset, done..done + now)?;
            done += now;
        }
        Ok(())
    }

    /// Copies `out.len()` bytes from `offset`.
    ///
    /// # Errors
    /// As [`View::read_at`], and as [`Section::view_of`] where a window cannot be mapped.
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let at = self.check(offset, out.len(), "read")?;
        let size = out.len();
        self.pieces(at, size, |view, offset, piece| view.read_at(offset, &mut out[piece]))
    }

    /// The value at `offset`, at any alignment. One of 1, 2, 4 or 8 bytes at a multiple of its size
    /// (counted from the start of the section) is read in one piece.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub fn get<T: FromBytes>(&self, offset: u64) -> Result<T> {
        let size = size_of::<T>();
        let at = self.check(offset, size, "read")?;
        if size > 0 {
            let place = self.place(at, 0, size)?;
            if place.room >= size {
                return place.view.get(place.offset);
            }
        }
        let mut bytes = vec![0; size];
        self.read_at(offset, &mut bytes)?;
        Ok(T::read_from_bytes(&bytes).expect("as many bytes as the value has"))
    }

    /// Calls `look` with piece after piece of `range`, in order, until it breaks; see
    /// [`View::scan`].
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at), after the pieces before.
    pub fn scan<B>(
        &self,
        range: impl RangeBounds<u64>,
        mut look: impl FnMut(&[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        let range = self.resolve(range, "scan")?;
        let (mut at, end) = (self.range.start + range.start, self.range.start + range.end);
        while at < end {
            let size = usize::try_from(end - at).unwrap_or(usize::MAX);
            let place = self.place(at, 0, size)?;
            let now = place.room.min(size) as u64;
            let stopped = place.view.scan(place.offset..place.offset + now, &mut look)?;
            if stopped.is_break() {
                return Ok(stopped);
            }
            at += now;
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl<M: Shared + Writable> MovingView<M> {
    /// Copies `bytes` to `offset`. Everybody sees them at once, in any order and perhaps in part;
    /// they are durable after a [`Section::sync`].
    ///
    /// # Errors
    /// As [`View::write_at`], and as [`Section::view_of`] where a window cannot be mapped. A part
    /// of the bytes may have been written.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let at = self.check(offset, bytes.len(), "write")?;
        self.pieces(at, bytes.len(), |view, offset, piece| view.write_at(offset, &bytes[piece]))
    }

    /// Stores a value at `offset`, at any alignment; the counterpart of [`get`](Self::get).
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    pub fn put<T: IntoBytes + Immutable>(&self, offset: u64, value: &T) -> Result<()> {
        let size = size_of_val(value);
        let at = self.check(offset, size, "write")?;
        if size > 0 {
            let place = self.place(at, 0, size)?;
            if place.room >= size {
                return place.view.put(place.offset, value);
            }
        }
        self.write_at(offset, value.as_bytes())
    }

    /// Sets every byte of `range` to `byte`.
    ///
    /// # Errors
    /// `OutOfBounds` for a range that ends past the view, and then nothing is written; otherwise as
    /// [`write_at`](Self::write_at).
    pub fn fill(&self, range: impl RangeBounds<u64>, byte: u8) -> Result<()> {
        let range = self.resolve(range, "fill")?;
        let (mut at, end) = (self.range.start + range.start, self.range.start + range.end);
        // In steps that an address space can hold.
        while at < end {
            let size = super::access::index((end - at).min(1 << 30));
            self.pieces(at, size, |view, offset, piece| {
                view.fill(offset..offset + piece.len() as u64, byte)
            })?;
            at += size as u64;
        }
        Ok(())
    }
}

/// The place of a byte of the section in a window that has it.
fn inside<M: Shared>(view: &View<M>, at: u64) -> Option<Place<M>> {
    let offset = at.checked_sub(view.offset())?;
    let room = view.len().checked_sub(offset).filter(|&room| room > 0)?;
    Some(Place { view: view.clone(), offset, room: super::access::index(room) })
}
