//! Mapped memory and the one type that touches it.
//!
//! A [`Memory`] owns a mapping and ends it when its last user is gone. A [`Span`] is a window on
//! one: it checks bounds and rights, and then goes through the guarded routines of `fault`. All
//! its methods are safe, whatever other threads and processes do to the bytes, and whatever
//! becomes of the file; that is the argument on which the rest of the crate stands:
//!
//! - a span keeps its memory mapped (it holds the `Arc`), so its addresses stay ours;
//! - bounds are checked against the span's own size, which never exceeds the mapping's;
//! - no reference to the bytes exists: they are copied, loaded and stored by assembly or by the
//!   kernel, so racing writers cannot make it undefined;
//! - a page that the system cannot supply is a [`Stop::Fault`].
//!
//! Fields are private to this file and those in `memory/`. It knows nothing about files' names, errors or modes.
#![expect(unsafe_code, reason = "owns mappings and hands their addresses to the guarded routines")]

mod locked;
mod pages;
mod words;

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use zerocopy::FromBytes;

use crate::fault::guard::{self, Fault, Word};
use crate::range::{Window, inside, pages_touching};
use crate::sys::{self, Object, Protection};
use locked::Locked;
pub(crate) use words::WordAt;

/// Why an access did not happen, or not all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The range lies outside the span.
    Outside,
    /// The address is not a multiple of the word's size.
    Misaligned,
    /// The memory is mapped for reading only.
    ReadOnly,
    /// The architecture has no recoverable read-modify-write.
    NoAtomics,
    /// There is no memory for the copy.
    NoMemory,
    /// The system could not supply a page; so many bytes were accessed before it.
    Fault(usize),
}

/// Values of up to so many bytes, and a multiple of 16, are copied without a call.
const FEW: usize = 128;

/// One mapping.
#[derive(Debug)]
pub(crate) struct Memory {
    kind: Kind,
    locked: Locked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writable {
    Yes,
    No,
}

#[derive(Debug)]
enum Kind {
    /// Nothing is mapped: the span is empty.
    Empty,
    /// A mapping of the system, in whole pages or what it rounds to pages.
    Mapped { base: NonNull<u8>, size: usize },
    /// Addresses into which a view grows.
    Reserved(sys::Reservation),
    /// Memory of the allocator: for storage in memory, and for Miri.
    Heap { base: NonNull<u8>, layout: Layout },
}

// SAFETY: a mapping belongs to the process; which thread unmaps it does not matter.
unsafe impl Send for Memory {}
// SAFETY: a shared `Memory` only lends its addresses; the accesses are those of `Span`.
unsafe impl Sync for Memory {}

impl Memory {
    fn new(kind: Kind) -> Arc<Self> {
        Arc::new(Self { kind, locked: Locked::default() })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        match &mut self.kind {
            Kind::Empty => {}
            // SAFETY: spans hold the `Arc`, so none is left, and the mapping is ours.
            Kind::Mapped { base, size } => unsafe { sys::unmap(*base, *size) },
            // SAFETY: as above.
            Kind::Reserved(reservation) => unsafe { reservation.release() },
            // SAFETY: as above; it was allocated with this layout.
            Kind::Heap { base, layout } => unsafe { dealloc(base.as_ptr(), *layout) },
        }
    }
}

/// A window on mapped memory.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    memory: Arc<Memory>,
    base: NonNull<u8>,
    size: usize,
    writable: Writable,
}

// SAFETY: every access goes through the guarded routines, which may race by design.
unsafe impl Send for Span {}
// SAFETY: as above.
unsafe impl Sync for Span {}

/// Where a span has to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Anywhere,
    /// The first byte of the span at this address, or an error.
    At(usize),
}

impl Span {
    /// A span of no bytes.
    pub(crate) fn empty() -> Self {
        let memory = Memory::new(Kind::Empty);
        Self { memory, base: NonNull::dangling(), size: 0, writable: Writable::Yes }
    }

    /// Maps `size` bytes from `offset` of an object. The caller has compared with its length.
    pub(crate) fn map(
        object: &Object,
        protection: Protection,
        offset: u64,
        size: usize,
        place: Place,
    ) -> io::Result<Self> {
        if size == 0 {
            return Ok(Self::empty());
        }
        let window = Window::covering(offset, size as u64, sys::granularity())
            .ok_or(io::ErrorKind::OutOfMemory)?;
        let at = match place {
            Place::Anywhere => None,
            Place::At(address) => {
                Some(address.checked_sub(window.lead).ok_or(io::ErrorKind::InvalidInput)?)
            }
        };
        let base = sys::map(object, protection, window.map_offset, window.map_size, at)?;
        let kind = Kind::Mapped { base, size: window.map_size };
        let memory = Memory::new(kind);
        // SAFETY: the window puts the lead inside the mapping.
        let base = unsafe { base.add(window.lead) };
        Ok(Self { memory, base, size, writable: writable(protection) })
    }

    /// Reserves addresses for `capacity` bytes from `offset`, of which the first `size` are there.
    /// `offset` must be a multiple of the granularity.
    pub(crate) fn reserve(
        object: &Object,
        protection: Protection,
        offset: u64,
        size: usize,
        capacity: usize,
    ) -> io::Result<Self> {
        let reservation = sys::reserve(object, protection, offset, capacity)?;
        let base = reservation.base;
        let memory = Memory::new(Kind::Reserved(reservation));
        let span = Self { memory, base, size: capacity, writable: writable(protection) };
        span.extend(object, protection, offset, size)?;
        Ok(span)
    }

    /// Makes the first `size` bytes of a reserved span accessible.
    pub(crate) fn extend(
        &self,
        object: &Object,
        protection: Protection,
        offset: u64,
        size: usize,
    ) -> io::Result<()> {
        match &self.memory.kind {
            Kind::Reserved(reservation) if sys::GROWTH_MAY_MAP_ANEW => {
                let at = self.base.addr().get();
                self.memory.locked.keep(
                    || reservation.loose_end().map(|end| at + end.start..at + end.end),
                    || reservation.extend(object, protection, offset, size),
                    |pages| self.lock_again(&pages),
                )
            }
            Kind::Reserved(reservation) => reservation.extend(object, protection, offset, size),
            _ => Ok(()),
        }
    }

    /// Zeroed memory of the allocator.
    pub(crate) fn heap(size: usize) -> io::Result<Self> {
        if size == 0 {
            return Ok(Self::empty());
        }
        let layout = Layout::from_size_align(size, 16)
            .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        // SAFETY: the layout is not empty.
        let base = unsafe { alloc_zeroed(layout) };
        let base = NonNull::new(base).ok_or(io::ErrorKind::OutOfMemory)?;
        let memory = Memory::new(Kind::Heap { base, layout });
        Ok(Self { memory, base, size, writable: Writable::Yes })
    }

    /// A part of this span, in the same memory.
    pub(crate) fn part(&self, range: Range<usize>) -> Option<Self> {
        if range.start > range.end || range.end > self.size {
            return None;
        }
        // SAFETY: the start lies inside the span, so inside the mapping.
        let base = unsafe { self.base.add(range.start) };
        let memory = Arc::clone(&self.memory);
        Some(Self { memory, base, size: range.len(), writable: self.writable })
    }

    /// Bytes in the span.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The address of the first byte.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// Gives the whole pages outside `keep` back to the system. Fails, changing nothing, while
    /// other spans use the memory or where the system unmaps whole mappings only.
    pub(crate) fn release_outside(mut self, keep: Range<usize>) -> Result<Self, Self> {
        let Some(part) = self.part(keep) else { return Err(self) };
        let (base, size) = (part.base, part.size);
        drop(part);
        let Some(memory) = Arc::get_mut(&mut self.memory) else { return Err(self) };
        if matches!(memory.kind, Kind::Reserved(_)) {
            return Err(self);
        }
        if let Kind::Mapped { base: map, size: map_size } = &mut memory.kind {
            if !sys::CAN_UNMAP_PARTS {
                return Err(self);
            }
            let page = sys::page_size();
            let start = base.addr().get() - map.addr().get();
            let kept = pages_touching(start..start + size, page);
            let end = kept.end.min(pages_touching(0..*map_size, page).end);
            // SAFETY: `start` lies inside the mapping.
            let tail = unsafe { map.add(end) };
            let whole = pages_touching(0..*map_size, page).end;
            if end < whole {
                // SAFETY: these pages are ours, and no span but this one exists.
                unsafe { sys::unmap(tail, whole - end) };
            }
            if kept.start > 0 {
                // SAFETY: as above.
                unsafe { sys::unmap(*map, kept.start) };
            }
            if kept.is_empty() {
                memory.kind = Kind::Empty;
            } else {
                // SAFETY: the kept pages lie inside the old mapping.
                *map = unsafe { map.add(kept.start) };
                *map_size = end - kept.start;
            }
        }
        Ok(Self { memory: self.memory, base, size, writable: self.writable })
    }

    /// The address of `size` bytes at `offset`, if they lie inside.
    #[inline]
    fn at(&self, offset: u64, size: usize) -> Result<*mut u8, Stop> {
        let range = inside(offset, size, self.size).ok_or(Stop::Outside)?;
        // SAFETY: inside the span, so inside the mapping.
        Ok(unsafe { self.base.as_ptr().add(range.start) })
    }

    /// As [`at`](Self::at), for writing.
    #[inline]
    fn at_mut(&self, offset: u64, size: usize) -> Result<*mut u8, Stop> {
        if self.writable == Writable::No {
            return Err(Stop::ReadOnly);
        }
        self.at(offset, size)
    }

    /// Does a guarded access.
    #[inline]
    fn guarded<T>(&self, access: impl FnOnce() -> Result<T, Fault>) -> Result<T, Stop> {
        self.while_it_stands(access).map_err(|fault| Stop::Fault(fault.done))
    }

    /// Does something with the mapping while nothing of it is mapped anew.
    #[inline]
    fn while_it_stands<T>(&self, act: impl FnOnce() -> T) -> T {
        match &self.memory.kind {
            // Decided by a constant: elsewhere nothing that is mapped ever moves aside.
            Kind::Reserved(reservation) if sys::GROWTH_MAY_MAP_ANEW => {
                reservation.while_it_stands(act)
            }
            _ => act(),
        }
    }

    /// Copies bytes out.
    #[inline]
    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Stop> {
        let from = self.at(offset, out.len())?;
        let (to, size) = (out.as_mut_ptr(), out.len());
        self.guarded(|| {
            // SAFETY: initialised bytes may be seen as perhaps uninitialised ones; `copy_out`
            // writes only initialised bytes into them. `out` is borrowed for the whole call.
            let out = unsafe { std::slice::from_raw_parts_mut(to.cast::<MaybeUninit<u8>>(), size) };
            // SAFETY: `from` is mapped for as long as the span lives.
            unsafe { guard::copy_out(from, out) }
        })
    }

    /// Copies bytes out into fresh memory; all of `out` is initialised if it succeeds.
    pub(crate) fn read_uninit(&self, offset: u64, out: &mut [MaybeUninit<u8>]) -> Result<(), Stop> {
        let from = self.at(offset, out.len())?;
        let (to, size) = (out.as_mut_ptr(), out.len());
        self.guarded(|| {
            // SAFETY: `out` is borrowed for the whole call.
            let out = unsafe { std::slice::from_raw_parts_mut(to, size) };
            // SAFETY: `from` is mapped for as long as the span lives.
            unsafe { guard::copy_out(from, out) }
        })
    }

    /// Appends bytes to a vector, without zeroing it first.
    pub(crate) fn read_onto(
        &self,
        offset: u64,
        size: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        // Bounds first: a hostile length must not allocate.
        self.at(offset, size)?;
        out.try_reserve_exact(size).map_err(|_| Stop::NoMemory)?;
        let len = out.len();
        self.read_uninit(offset, &mut out.spare_capacity_mut()[..size])?;
        // SAFETY: the read initialised `size` bytes of the spare capacity.
        unsafe { out.set_len(len + size) };
        Ok(())
    }

    /// The value at `offset`: of 1, 2, 4 or 8 bytes by one load, otherwise by a copy.
    #[inline]
    pub(crate) fn read_value<T: FromBytes>(&self, offset: u64) -> Result<T, Stop> {
        let mut value = MaybeUninit::uninit();
        self.read_whole(offset, &mut value)?;
        // SAFETY: every byte was written, and any bytes are a value of a `FromBytes` type.
        Ok(unsafe { value.assume_init() })
    }

    /// Writes bytes of `value` only, initialised ones, and all of them if it succeeds.
    #[inline]
    pub(crate) fn read_whole<T>(
        &self,
        offset: u64,
        value: &mut MaybeUninit<T>,
    ) -> Result<(), Stop> {
        let to = value.as_mut_ptr();
        // The match is on a constant: one arm is left after compilation.
        match size_of::<T>() {
            // SAFETY (of the writes): `to` has as many bytes as the word, at whatever alignment.
            1 => {
                let word = self.load::<u8>(offset)?;
                // SAFETY: as above.
                unsafe { to.cast::<u8>().write_unaligned(word) };
            }
            2 => {
                let word = self.load::<u16>(offset)?;
                // SAFETY: as above.
                unsafe { to.cast::<u16>().write_unaligned(word) };
            }
            4 => {
                let word = self.load::<u32>(offset)?;
                // SAFETY: as above.
                unsafe { to.cast::<u32>().write_unaligned(word) };
            }
            8 => {
                let word = self.load::<u64>(offset)?;
                // SAFETY: as above.
                unsafe { to.cast::<u64>().write_unaligned(word) };
            }
            size => {
                // SAFETY: the value's own bytes, as perhaps uninitialised ones.
                let bytes = unsafe { std::slice::from_raw_parts_mut(to.cast(), size) };
                // A few bytes are copied sooner than a routine is called.
                if guard::INLINED_LOADS && size.is_multiple_of(16) && size <= FEW {
                    let from = self.at(offset, size)?;
                    // SAFETY: `from` is mapped for as long as the span lives.
                    if self.guarded(|| unsafe { guard::copy_few_out(from, bytes) }).is_ok() {
                        return Ok(());
                    }
                    // Once more, to tell how far it comes.
                }
                self.read_uninit(offset, bytes)?;
            }
        }
        Ok(())
    }

    /// Copies bytes in.
    #[inline]
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Stop> {
        let to = self.at_mut(offset, bytes.len())?;
        // SAFETY: `to` is mapped writable for as long as the span lives.
        self.guarded(|| unsafe { guard::copy_in(to, bytes) })
    }

    /// Sets `size` bytes to `byte`.
    pub(crate) fn fill(&self, offset: u64, byte: u8, size: usize) -> Result<(), Stop> {
        let to = self.at_mut(offset, size)?;
        // SAFETY: as above.
        self.guarded(|| unsafe { guard::fill(to, byte, size) })
    }

    /// Loads a word from any address; an aligned one in one piece.
    #[inline]
    pub(crate) fn load<W: Word>(&self, offset: u64) -> Result<W, Stop> {
        let at = self.at(offset, size_of::<W>())?;
        // SAFETY: `at` is mapped for as long as the span lives.
        self.guarded(|| unsafe { W::load(at) })
    }

    /// Stores a word to any address; an aligned one in one piece, with release ordering.
    #[inline]
    pub(crate) fn store<W: Word>(&self, offset: u64, value: W) -> Result<(), Stop> {
        let at = self.at_mut(offset, size_of::<W>())?;
        // SAFETY: `at` is mapped writable for as long as the span lives.
        self.guarded(|| unsafe { W::store(at, value) })
    }
}

fn writable(protection: Protection) -> Writable {
    match protection {
        Protection::Read => Writable::No,
        Protection::ReadWrite | Protection::CopyOnWrite => Writable::Yes,
    }
}
