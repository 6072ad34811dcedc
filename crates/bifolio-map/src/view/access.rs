//! Accessors: bytes, typed values, filling, copying, comparing.

use std::cmp::Ordering;
use std::ops::RangeBounds;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::bulk::PIECE as LARGE_PIECE;
use super::explain::Doing;
use super::{Mode, ReadWrite, View, Writable};
use crate::error::{Error, ErrorKind, Result};

/// Bytes that go through a private buffer at a time: half of a first-level cache, so that what was
/// copied in is still there when it is looked at.
pub(super) const PIECE: usize = 16 * 1024;

impl<M: Mode> View<M> {
    /// Copies `out.len()` bytes from `offset`. What other threads and processes write meanwhile
    /// may be seen in part.
    ///
    /// # Errors
    /// `OutOfBounds`; `UnexpectedEof` if the file was cut off there; `StorageFault` if the device
    /// cannot supply the bytes. `out` then holds what was read before, the rest as it was.
    #[inline]
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.span
            .read(offset, out)
            .map_err(|stop| self.explain(stop, Doing::Load, offset, out.len()))
    }

    /// Copies as much as there is from `offset` on, up to `out.len()` bytes; how much that was.
    /// Zero at and past the end.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at), but never `OutOfBounds`.
    pub fn read_some_at(&self, offset: u64, out: &mut [u8]) -> Result<usize> {
        let left = usize::try_from(self.len().saturating_sub(offset)).unwrap_or(usize::MAX);
        let size = left.min(out.len());
        if size > 0 {
            self.read_at(offset, &mut out[..size])?;
        }
        Ok(size)
    }

    /// As [`read_at`](Self::read_at), and then asks the system for the length of the file: bytes
    /// that were cut off, but read as zeros inside the last live page, are an error too. One more
    /// system call, about 0.3 µs. (A file that shrank and grew again meanwhile goes unnoticed: no
    /// system reports it.)
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub fn read_checked(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.read_at(offset, out)?;
        let Some(section) = &self.section else { return Ok(()) };
        if section.kind() == crate::SectionKind::Device {
            return Ok(());
        }
        let (end, live) = (self.offset + offset + out.len() as u64, section.len()?);
        if end > live {
            return Err(self
                .fail(Error::new(ErrorKind::UnexpectedEof, "read").at_offset(self.offset + offset))
                .because(format!("asked for bytes up to {end}, the file ends at {live} now")));
        }
        Ok(())
    }

    /// The bytes of `range` in a vector. Bounds are checked before anything is allocated.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub fn read_vec(&self, range: impl RangeBounds<u64>) -> Result<Vec<u8>> {
        let range = self.resolve(range, "read")?;
        let (offset, size) = (range.start as u64, range.len());
        let mut bytes = Vec::new();
        self.span
            .read_onto(offset, size, &mut bytes)
            .map_err(|stop| self.explain(stop, Doing::Load, offset, size))?;
        Ok(bytes)
    }

    /// The value at `offset`, at any alignment. Values of 1, 2, 4 and 8 bytes are loaded by one
    /// instruction and not torn where they are aligned; larger ones are copied. Byte order is the
    /// type's: `u32` has the machine's, [`le::U32`](crate::le::U32) is little-endian everywhere.
    ///
    /// ```
    /// use bifolio_map::{Read, ReadWrite, Section, be, le};
    /// let view = Section::anonymous(13)?.view::<ReadWrite>()?;
    /// view.put(5, &le::U32::new(7))?;
    /// assert_eq!(view.get::<le::U32>(5)?, 7);
    /// assert_eq!(view.get::<be::U32>(5)?, 7 << 24);
    /// assert_eq!(view.get::<[u8; 5]>(5)?, [7, 0, 0, 0, 0]);
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    #[inline]
    pub fn get<T: FromBytes>(&self, offset: u64) -> Result<T> {
        self.span
            .read_value(offset)
            .map_err(|stop| self.explain(stop, Doing::Load, offset, size_of::<T>()))
    }

    /// Copies values from `offset` on into `out`.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub fn get_slice<T: FromBytes + IntoBytes>(&self, offset: u64, out: &mut [T]) -> Result<()> {
        self.read_at(offset, out.as_mut_bytes())
    }

    /// Whether the bytes from `offset` on equal, come before or come after `other`.
    ///
    /// # Errors
    /// `OutOfBounds` before anything is compared; otherwise as [`read_at`](Self::read_at).
    pub fn compare(&self, offset: u64, other: &[u8]) -> Result<Ordering> {
        self.resolve(offset..offset.saturating_add(other.len() as u64), "compare")?;
        let mut piece = [0; PIECE];
        for (index, theirs) in other.chunks(PIECE).enumerate() {
            let ours = &mut piece[..theirs.len()];
            self.read_at(offset.saturating_add((index * PIECE) as u64), ours)?;
            match (*ours).cmp(theirs) {
                Ordering::Equal => {}
                order => return Ok(order),
            }
        }
        Ok(Ordering::Equal)
    }

    /// Copies `range` to `offset` of another view, which may be of the same section and may
    /// overlap: the result is as if the range were read before anything is written.
    ///
    /// # Errors
    /// `OutOfBounds` before anything is copied; otherwise as [`read_at`](Self::read_at) and
    /// [`write_at`](View::write_at), and then a part may have been copied.
    pub fn copy_to<W: Writable>(
        &self,
        range: impl RangeBounds<u64>,
        to: &View<W>,
        offset: u64,
    ) -> Result<()> {
        let range = self.resolve(range, "copy")?;
        let (from, size) = (range.start as u64, range.len() as u64);
        to.resolve(offset..offset.saturating_add(size), "copy to")?;
        let mut piece = [0; PIECE];
        // From the front if the target lies before the source, from the back otherwise: no piece
        // is overwritten before it was read. Which lies where is decided by address when both are
        // windows on one mapping, by section offset when they map the same bytes twice.
        let forwards = match (&self.section, &to.section) {
            (Some(_), Some(_)) => to.offset + offset <= self.offset + from,
            _ => to.span.as_ptr().addr() + index(offset) <= self.span.as_ptr().addr() + index(from),
        };
        let mut large = Vec::new();
        let mut done = 0;
        while done < size {
            let left = size - done;
            // Fresh pages are written by calls, which small pieces are not worth.
            let stretch = left.min(LARGE_PIECE as u64);
            let start = if forwards { done } else { left - stretch };
            let bytes =
                if index(left) >= super::bulk::LEAST && to.wants_large_pieces(offset + start) {
                    large.resize(LARGE_PIECE, 0);
                    &mut large[..]
                } else {
                    &mut piece[..]
                };
            let now = left.min(bytes.len() as u64);
            let at = if forwards { done } else { left - now };
            let bytes = &mut bytes[..index(now)];
            self.read_at(from + at, bytes)?;
            to.write_at(offset + at, bytes)?;
            done += now;
        }
        Ok(())
    }
}

impl<M: Writable> View<M> {
    /// Copies `bytes` to `offset`. Everybody sees them at once, in any order and perhaps in part;
    /// they are durable after a [`flush`](View::flush). (A [`CopyOnWrite`](super::CopyOnWrite)
    /// view keeps them to itself.)
    ///
    /// Fresh pages of a file are written by a system call instead of stores, which is several
    /// times faster; nobody can see the difference, but see `docs/SAFETY.md` on truncation races.
    ///
    /// # Errors
    /// `OutOfBounds`; `StorageFull` where the file has a hole and the device no space;
    /// `StorageFault` if the device fails; `OutOfMemory` where the page is memory of its own
    /// (anonymous, or a private copy) and there is none; `UnexpectedEof` if the file was cut off
    /// there. A part of the bytes may have been written,
    /// and flushes fail until the loss is [accepted](crate::Section::accept_lost_stores).
    #[inline]
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if bytes.len() >= super::bulk::LEAST {
            return self.write_bulk(offset, bytes);
        }
        self.store_at(offset, bytes)
    }

    /// Copies `bytes` to `offset` by stores.
    #[inline]
    pub(super) fn store_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let stored = self.span.write(offset, bytes);
        self.note_change(offset, bytes.len());
        stored.map_err(|stop| self.explain(stop, Doing::Store, offset, bytes.len()))
    }

    /// Stores a value at `offset`, at any alignment; the counterpart of [`get`](View::get).
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    #[inline]
    pub fn put<T: IntoBytes + Immutable>(&self, offset: u64, value: &T) -> Result<()> {
        let bytes = value.as_bytes();
        let stored = match *bytes {
            [a] => self.span.store(offset, a),
            [a, b] => self.span.store(offset, u16::from_ne_bytes([a, b])),
            [a, b, c, d] => self.span.store(offset, u32::from_ne_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => {
                self.span.store(offset, u64::from_ne_bytes([a, b, c, d, e, f, g, h]))
            }
            _ => self.span.write(offset, bytes),
        };
        self.note_change(offset, bytes.len());
        stored.map_err(|stop| self.explain(stop, Doing::Store, offset, bytes.len()))
    }

    /// Stores values from `offset` on.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    pub fn put_slice<T: IntoBytes + Immutable>(&self, offset: u64, values: &[T]) -> Result<()> {
        self.write_at(offset, values.as_bytes())
    }

    /// Sets every byte of `range` to `byte`.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    pub fn fill(&self, range: impl RangeBounds<u64>, byte: u8) -> Result<()> {
        let range = self.resolve(range, "fill")?;
        let (offset, size) = (range.start as u64, range.len());
        if size >= super::bulk::LEAST {
            return self.fill_bulk(offset, byte, size);
        }
        self.fill_by_stores(offset, byte, size)
    }

    /// Sets bytes inside the view by stores.
    pub(super) fn fill_by_stores(&self, offset: u64, byte: u8, size: usize) -> Result<()> {
        let filled = self.span.fill(offset, byte, size);
        self.note_change(offset, size);
        filled.map_err(|stop| self.explain(stop, Doing::Store, offset, size))
    }

    /// Copies `range` to `to` within the view; they may overlap.
    ///
    /// # Errors
    /// As [`copy_to`](View::copy_to).
    pub fn copy_within(&self, range: impl RangeBounds<u64>, to: u64) -> Result<()> {
        self.copy_to(range, self, to)
    }
}

impl View<ReadWrite> {
    /// The same window for reading only, on the same memory.
    #[must_use]
    pub fn read_only(&self) -> View<super::Read> {
        View {
            span: self.span.clone(),
            offset: self.offset,
            section: self.section.clone(),
            changes: None,
            mode: std::marker::PhantomData,
        }
    }
}

/// An offset inside a view as an index: views are no larger than the address space.
pub(super) fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("an offset inside a view fits the address space")
}
