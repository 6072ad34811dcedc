//! What is allocated and not published yet.

use std::marker::PhantomData;

use super::slabs::{Kind, PUBLISHED, Place};
use super::{Arena, Extent, Off};
use crate::error::{Error, ErrorKind, Result};
use crate::word::Word;

/// A block that nobody else knows: dropped, it is free again; if its maker dies, it is swept up.
///
/// A block that is forgotten stays its maker's for as long as that lives.
#[derive(Debug)]
#[must_use = "dropping it frees the block"]
pub struct Draft<'arena, T: ?Sized> {
    arena: &'arena Arena,
    place: Place,
    at: u64,
    len: u64,
    of: PhantomData<fn() -> T>,
}

impl<'arena, T: ?Sized> Draft<'arena, T> {
    pub(super) fn of(arena: &'arena Arena, place: Place, at: u64, len: u64) -> Self {
        Self { arena, place, at, len, of: PhantomData }
    }

    /// Writes a part of its bytes.
    ///
    /// # Errors
    /// `OutOfBounds` behind its end; `Forked` in a forked child; what became of the region's bytes.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.arena.region.participant().check()?;
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > self.len) {
            return Err(self.outside(offset, bytes.len()));
        }
        Ok(self.arena.region.view().write_at(self.at + offset, bytes)?)
    }

    #[cold]
    fn outside(&self, offset: u64, len: usize) -> Error {
        Error::new(ErrorKind::OutOfBounds, "write a block")
            .because(format!("asked for {len} bytes at {offset}, of {}", self.len))
    }

    /// Where its bytes begin.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    fn make_public(self) -> Result<(u64, u64)> {
        let found = (self.at, self.len);
        self.publish_as(PUBLISHED).map(|_| found)
    }

    /// Makes it everybody's, in this state; where it lies.
    pub(super) fn publish_as(self, state: u32) -> Result<u64> {
        let region = &self.arena.region;
        region.participant().check()?;
        let word = self.arena.word(self.place);
        if word.compare_exchange(region.me().word(), state)?.is_err() {
            return Err(self.arena.garbled("the word of a block"));
        }
        let found = self.at;
        // From here on it is not ours to free.
        std::mem::forget(self);
        Ok(found)
    }
}

impl<T> Draft<'_, T> {
    /// Makes it everybody's: whoever knows where it lies can use it, and it stays until it is freed.
    ///
    /// # Errors
    /// `Forked` in a forked child; `Corrupt` if its word is what nobody wrote; what became of the region's
    /// bytes.
    pub fn publish(self) -> Result<Off<T>> {
        self.make_public().map(|(at, _)| Off::new(at))
    }
}

impl Draft<'_, [u8]> {
    /// As [`Draft::publish`], of bytes.
    ///
    /// # Errors
    /// Those of [`Draft::publish`].
    pub fn publish_bytes(self) -> Result<Extent> {
        self.make_public().map(|(at, len)| Extent::new(at, len))
    }
}

impl<T: ?Sized> Drop for Draft<'_, T> {
    fn drop(&mut self) {
        let (arena, place) = (self.arena, self.place);
        // In a forked child it is still its parent's.
        if arena.region.participant().check().is_err() {
            return;
        }
        let mine = arena.region.me().word();
        // Bytes that cannot be had are nobody's; the next access says so.
        let _ = match arena.kind(place.slab) {
            Ok(Kind::Blocks(class)) => {
                let given = arena.give_back(place, mine);
                arena.hints.push(class, place);
                given
            }
            Ok(Kind::First) => {
                arena.lock().and_then(|lock| arena.give_run_back(&lock, place.slab, mine))
            }
            _ => Ok(false),
        };
    }
}
