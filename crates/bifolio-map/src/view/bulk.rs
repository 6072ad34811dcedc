//! Large writes into a shared file: by stores or by system calls, whichever the pages want.
//!
//! A store into a page that is not in memory makes the kernel read or zero the whole page first,
//! 134 ns and more each; `pwrite` of whole pages does neither. Measured on ext4: fresh pages by
//! stores 1.0 to 1.2 GB/s, by calls 3.0 and more; pages that are in memory 15 to 19 GB/s either
//! way. So each piece is written by whichever suits its first page. The cache is the same memory
//! either way: a view sees the bytes at once.

use super::access::index;
use super::explain::Doing;
use super::{View, ViewMode, Writable};
use crate::error::Result;
use crate::memory::Stop;
use crate::sys;

/// Writes of fewer bytes are not worth the question, which is a system call.
pub(super) const LEAST: usize = 64 * 1024;

/// Bytes about which one question is asked.
pub(super) const PIECE: usize = 256 << 10;

/// What a writer knows that writes one piece after another: so that a question serves all the pieces
/// of a stretch, small as they may be.
#[derive(Debug, Default)]
pub(super) struct Onward {
    /// The stretch of [`PIECE`] bytes that was asked about, and the answer.
    known: Option<(u64, Wanted)>,
}

/// How pages want to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Stores,
    Calls,
}

impl<M: Writable> View<M> {
    /// Writes many bytes. The bounds are checked here, so that nothing is written if they are wrong.
    pub(super) fn write_bulk(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if M::MODE != ViewMode::ReadWrite || !sys::WRITES_FRESH_PAGES_BY_CALL {
            return self.store_at(offset, bytes);
        }
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > self.len()) {
            return Err(self.explain(Stop::Outside, Doing::Store, offset, bytes.len()));
        }
        for (piece, at) in bytes.chunks(PIECE).zip((offset..).step_by(PIECE)) {
            if self.wanted_at(at) == Wanted::Calls && self.write_by_call(at, piece).is_some() {
                continue;
            }
            self.store_at(at, piece)?;
        }
        Ok(())
    }

    /// How the pages from `offset` on want to be written.
    fn wanted_at(&self, offset: u64) -> Wanted {
        let by_call = M::MODE == ViewMode::ReadWrite
            && sys::WRITES_FRESH_PAGES_BY_CALL
            && self.span.is_resident(index(offset)) == Some(false);
        if by_call { Wanted::Calls } else { Wanted::Stores }
    }

    /// Whether a copy of many bytes to `offset` should come in pieces that are worth a call.
    pub(super) fn wants_large_pieces(&self, offset: u64) -> bool {
        self.wanted_at(offset) == Wanted::Calls
    }

    /// Writes a piece that follows others, inside the view: at least a page by a call if the pages
    /// of its stretch were fresh when the first piece came to them.
    pub(super) fn write_onward(
        &self,
        onward: &mut Onward,
        offset: u64,
        bytes: &[u8],
    ) -> Result<()> {
        if bytes.len() >= LEAST || bytes.len() < crate::page_size() {
            return self.write_at(offset, bytes);
        }
        let stretch = offset / PIECE as u64;
        let wanted = match onward.known {
            Some((known, wanted)) if known == stretch => wanted,
            _ => self.wanted_at(offset),
        };
        onward.known = Some((stretch, wanted));
        if wanted == Wanted::Calls && self.write_by_call(offset, bytes).is_some() {
            return Ok(());
        }
        self.store_at(offset, bytes)
    }

    /// Sets many bytes inside the view to one value.
    pub(super) fn fill_bulk(&self, offset: u64, byte: u8, size: usize) -> Result<()> {
        let mut piece = Vec::new();
        let mut done = 0;
        while done < size {
            let (at, now) = (offset + done as u64, PIECE.min(size - done));
            done += now;
            if self.wanted_at(at) == Wanted::Calls {
                piece.resize(now, byte);
                if self.write_by_call(at, &piece[..now]).is_some() {
                    continue;
                }
            }
            self.fill_by_stores(at, byte, now)?;
        }
        Ok(())
    }

    /// Writes a piece by system calls; `None` if this section wants stores, or if the call did not
    /// do all of it: then the stores do, or say exactly why not.
    ///
    /// A call past the end of a file would extend it, which no store can do; so the length is
    /// asked for first, and our own process does not change it meanwhile.
    fn write_by_call(&self, offset: u64, bytes: &[u8]) -> Option<()> {
        let at = self.offset + offset;
        self.section.as_ref()?.while_length_stands(|object| {
            let inside = sys::len(object).is_ok_and(|len| at + bytes.len() as u64 <= len);
            (inside && sys::write_all_at(object, at, bytes).is_ok()).then_some(())
        })?
    }
}
