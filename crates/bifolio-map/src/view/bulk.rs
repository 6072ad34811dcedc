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
use crate::sys::{self, Object};

/// Writes of fewer bytes are not worth the question, which is a system call.
pub(super) const LEAST: usize = 64 * 1024;

/// Bytes about which one question is asked.
const PIECE: usize = 1 << 20;

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
                && self.write_by_call(at, piece)?.is_some()
            {
                continue;
            }
            self.store_at(at, piece)?;
        }
        Ok(())
    }

    /// Writes a piece by system calls; `None` if this section wants stores.
    ///
    /// A call past the end of a file would extend it, which no store can do; so the length is
    /// asked for first, and our own process does not change it meanwhile.
    fn write_by_call(&self, offset: u64, bytes: &[u8]) -> Result<Option<()>> {
        let Some(section) = &self.section else { return Ok(None) };
        let at = self.offset + offset;
        let outcome = section.while_length_stands(|object| {
            if sys::len(object)? < at + bytes.len() as u64 {
                return Ok(None); // stores say where the file ends
            }
            write_all(object, at, bytes).map(Some)
        });
        match outcome {
            None => Ok(None),
            Some(Ok(written)) => Ok(written),
            Some(Err(error)) => {
                section.lost(crate::section::Lost::Store);
                Err(section.os("write", error).at_offset(at))
            }
        }
    }
}

fn write_all(object: &Object, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match sys::write_at(object, offset + done as u64, &bytes[done..])? {
            0 => return Err(std::io::ErrorKind::WriteZero.into()),
            size => done += size,
        }
    }
    Ok(())
}
