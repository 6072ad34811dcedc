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
const PIECE: usize = 256 << 10;

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
            if self.span.is_resident(index(at)) == Some(false)
                && self.write_by_call(at, piece).is_some()
            {
                continue;
            }
            self.store_at(at, piece)?;
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
