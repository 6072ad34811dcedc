//! Aligned words of a span: the address is found and checked once, and then used as often as one
//! likes.
#![expect(unsafe_code, reason = "hands the addresses of words to the guarded routines")]

use std::marker::PhantomData;
use std::time::Duration;

use super::{Span, Stop, Writable};
use crate::fault::guard::{self, AtomicWord, Word};
use crate::sys;

/// A word that lies inside a span, at a multiple of its size.
#[derive(Debug)]
pub(crate) struct WordAt<'span, W> {
    span: &'span Span,
    at: *mut u8,
    word: PhantomData<W>,
}

// SAFETY: the address is the span's, and a span may be used from any thread; every access goes
// through the guarded routines, which may race by design.
unsafe impl<W> Send for WordAt<'_, W> {}
// SAFETY: as above.
unsafe impl<W> Sync for WordAt<'_, W> {}

impl<W> Clone for WordAt<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for WordAt<'_, W> {}

impl Span {
    /// The word at `offset`, which must be a multiple of the word's size in memory.
    #[inline]
    pub(crate) fn word<W>(&self, offset: u64) -> Result<WordAt<'_, W>, Stop> {
        let at = self.at(offset, size_of::<W>())?;
        if !at.addr().is_multiple_of(size_of::<W>()) {
            return Err(Stop::Misaligned);
        }
        Ok(WordAt { span: self, at, word: PhantomData })
    }
}

impl<W: Word> WordAt<'_, W> {
    /// Loads with acquire ordering.
    #[inline]
    pub(crate) fn load_acquire(self) -> Result<W, Stop> {
        // SAFETY: `at` is mapped for as long as the span lives, and aligned.
        self.span.guarded(|| unsafe { W::load_acquire(self.at) })
    }

    /// Stores with release ordering.
    #[inline]
    pub(crate) fn store(self, value: W) -> Result<(), Stop> {
        if self.span.writable == Writable::No {
            return Err(Stop::ReadOnly);
        }
        // SAFETY: `at` is mapped writable for as long as the span lives, and aligned.
        self.span.guarded(|| unsafe { W::store(self.at, value) })
    }
}

impl<W: AtomicWord> WordAt<'_, W> {
    #[inline]
    fn check(self) -> Result<(), Stop> {
        if self.span.writable == Writable::No {
            return Err(Stop::ReadOnly);
        }
        if !guard::HAS_ATOMICS {
            return Err(Stop::NoAtomics);
        }
        Ok(())
    }

    /// Stores and gives back what was there.
    #[inline]
    pub(crate) fn swap(self, value: W) -> Result<W, Stop> {
        self.check()?;
        // SAFETY: `at` is mapped writable for as long as the span lives, and aligned.
        self.span.guarded(|| unsafe { W::swap(self.at, value) })
    }

    /// Adds and gives back what was there.
    #[inline]
    pub(crate) fn add(self, value: W) -> Result<W, Stop> {
        self.check()?;
        // SAFETY: as above.
        self.span.guarded(|| unsafe { W::add(self.at, value) })
    }

    /// Stores `new` if `expected` is there; gives back what was there.
    #[inline]
    pub(crate) fn compare_exchange(self, expected: W, new: W) -> Result<W, Stop> {
        self.check()?;
        // SAFETY: as above.
        self.span.guarded(|| unsafe { W::compare_exchange(self.at, expected, new) })
    }
}

impl WordAt<'_, u32> {
    /// Waits while the word is `expected`.
    pub(crate) fn wait(
        self,
        expected: u32,
        timeout: Option<Duration>,
    ) -> Result<sys::Waited, Stop> {
        // SAFETY: aligned, and mapped for as long as the span lives.
        match unsafe { sys::wait(self.at, expected, timeout) } {
            // A page that is there after all was only being mapped anew.
            sys::Waited::Fault => self.load_acquire().map(|_| sys::Waited::Woken),
            outcome => Ok(outcome),
        }
    }

    /// Wakes waiters.
    pub(crate) fn wake(self, count: u32) -> u32 {
        // SAFETY: as above.
        unsafe { sys::wake(self.at, count) }
    }
}
