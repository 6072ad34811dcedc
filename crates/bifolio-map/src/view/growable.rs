//! Views that grow: addresses are reserved once, and the base never moves.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::changes::Changes;
use super::{Mode, ReadWrite, View, ViewMode};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::Span;
use crate::section::Section;
use crate::{Space, fault};

/// A reservation of addresses over a section that grows. [`view`](Self::view) lends views of what
/// is there now; they stay valid, at the same addresses, whatever grows afterwards.
///
/// Reserved addresses cost no memory: on a 64-bit machine a capacity of a terabyte is reasonable.
/// They do count against `RLIMIT_AS`.
///
/// ```
/// use bifolio_map::{GrowableView, ReadWrite, Section, Space};
/// let section = Section::temporary(4096)?;
/// let growable: GrowableView<ReadWrite> = section.growable(1 << 30)?;
/// let old = growable.view()?;
/// growable.grow_to(1 << 20, Space::Allocate)?;
/// let new = growable.view()?;
/// assert_eq!(old.as_ptr(), new.as_ptr());
/// new.put(0, &7u64)?;
/// assert_eq!(old.get::<u64>(0)?, 7);
/// # Ok::<(), bifolio_map::Error>(())
/// ```
#[derive(Debug)]
pub struct GrowableView<M: Mode> {
    /// Before the section, so that it goes first: Windows does not delete a temporary file on its
    /// last close while it is mapped.
    span: Span,
    section: Section,
    /// Bytes that are accessible; only grows.
    len: AtomicUsize,
    growing: Mutex<()>,
    changes: Option<Arc<Changes>>,
    mode: PhantomData<M>,
}

impl Section {
    /// A view from the start of the section that can grow to `capacity` bytes.
    ///
    /// # Errors
    /// As [`Section::view`]; `InvalidInput` for a capacity of zero or below the present length.
    pub fn growable<M: Mode>(&self, capacity: u64) -> Result<GrowableView<M>> {
        const DOING: &str = "reserve addresses for";
        self.want_mode(M::MODE, DOING)?;
        let live = self.len()?;
        if capacity == 0 || capacity < live {
            return Err(self.fail(Error::new(ErrorKind::InvalidInput, DOING).because(format!(
                "the capacity of {capacity} bytes must hold the {live} bytes that are there"
            ))));
        }
        let (capacity, size) =
            (self.size_of(&(0..capacity), DOING)?, self.size_of(&(0..live), DOING)?);
        fault::install()?;
        let span = Span::reserve(self.object(), M::MODE.protection(), 0, size, capacity).map_err(
            |error| {
                self.os(DOING, error).because(format!("asked for {capacity} bytes of addresses"))
            },
        )?;
        let changes = (M::MODE == ViewMode::CopyOnWrite).then(|| {
            let changes = Changes::new(capacity, span.as_ptr().addr());
            changes.set_size(size);
            Arc::new(changes)
        });
        Ok(GrowableView {
            section: self.clone(),
            span,
            len: AtomicUsize::new(size),
            growing: Mutex::new(()),
            changes,
            mode: PhantomData,
        })
    }
}

impl<M: Mode> GrowableView<M> {
    /// Bytes that are accessible, as of the last [`grow_to`](Self::grow_to) or
    /// [`refresh`](Self::refresh) here.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire) as u64
    }

    /// Whether no byte is accessible.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes up to which it can grow.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.span.size() as u64
    }

    /// The section.
    #[must_use]
    pub fn section(&self) -> &Section {
        &self.section
    }

    /// The address of the first byte: always the same. See [`View::as_ptr`] for its promise.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.span.as_ptr()
    }

    /// A view of the bytes that are accessible now.
    ///
    /// # Errors
    /// None today; the signature leaves room.
    pub fn view(&self) -> Result<View<M>> {
        Ok(self.window(self.len.load(Ordering::Acquire)))
    }

    /// A view of the whole capacity, for a handle that is made once. What is not there yet is an
    /// error: `UnexpectedEof`.
    ///
    /// On Linux, bytes that another process adds can be accessed at once, with no call. Elsewhere they
    /// can after [`refresh`](Self::refresh), at the same addresses.
    ///
    /// ```
    /// use bifolio_map::{GrowableView, ReadWrite, Section, Space};
    /// let section = Section::temporary(4096)?;
    /// let growable: GrowableView<ReadWrite> = section.growable(1 << 20)?;
    /// let whole = growable.whole()?;
    /// assert_eq!(whole.len(), 1 << 20);
    /// assert!(whole.put(1 << 19, &7u64).is_err());
    /// growable.grow_to(1 << 20, Space::Allocate)?;
    /// whole.put(1 << 19, &7u64)?;
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # Errors
    /// None today; the signature leaves room.
    pub fn whole(&self) -> Result<View<M>> {
        Ok(self.window(self.span.size()))
    }

    fn window(&self, size: usize) -> View<M> {
        let span = self.span.part(0..size).expect("no more than was reserved");
        View {
            span,
            offset: 0,
            section: Some(self.section.clone()),
            changes: self.changes.clone(),
            mode: PhantomData,
        }
    }

    /// Looks at how long the section is now, after another process made it grow; the new length,
    /// at most the capacity. One system call. A section that shrank keeps its length here:
    /// accesses past its end are `UnexpectedEof`.
    ///
    /// # Errors
    /// What the system says.
    pub fn refresh(&self) -> Result<u64> {
        let live = self.section.len()?.min(self.capacity());
        self.extend_to(super::access::index(live))?;
        Ok(self.len())
    }

    fn extend_to(&self, size: usize) -> Result<()> {
        let _growing = self.growing.lock().unwrap_or_else(|broken| broken.into_inner());
        if size > self.len.load(Ordering::Acquire) {
            self.span
                .extend(self.section.object(), M::MODE.protection(), 0, size)
                .map_err(|error| self.section.os("extend the map of", error))?;
            self.len.store(size, Ordering::Release);
            if let Some(changes) = &self.changes {
                changes.set_size(size);
            }
        }
        Ok(())
    }
}

impl GrowableView<ReadWrite> {
    /// Makes the section at least `len` bytes long and all of it accessible here. Views that are
    /// there stay as they are. Growing to less than the present length does nothing.
    ///
    /// Several processes may grow one section at once: on Linux none of them ever cuts off what
    /// another one gained. (macOS has only a call that sets the length; take a
    /// [`FileLock`](crate::FileLock) there. Windows refuses to cut off what is mapped.)
    ///
    /// # Errors
    /// `OutOfBounds` past the capacity; `StorageFull`, and then the section may have gained a part
    /// of what was asked for.
    pub fn grow_to(&self, len: u64, space: Space) -> Result<()> {
        if len > self.capacity() {
            return Err(self.section.fail(Error::new(ErrorKind::OutOfBounds, "grow").because(
                format!("asked for {len} bytes, addresses are reserved for {}", self.capacity()),
            )));
        }
        self.section.grow_at_least(len, space)?;
        self.extend_to(super::access::index(len))
    }
}
