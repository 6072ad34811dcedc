//! Whether there is room for large memory, named or not, or a copy in it, before it is taken.
//!
//! A tmpfs may promise more than the machine has, and a container's more than its cgroup allows.
//! Then allocating does not fail: the kernel makes room by ending processes, not always the one that
//! asked. So who reserves much is compared with what is left, and refused with the numbers. Small
//! sections do not ask: the question costs more than they do.

use std::ops::Range;

use super::{Section, SectionKind};
use crate::error::{Error, ErrorKind, Result};
use crate::machine;
use crate::sys::{self, Ground, Stuff};

/// Bytes up to which nobody asks.
const SMALL: u64 = 1 << 20;

/// Whether so many bytes are worth the question.
pub(super) fn is_large(bytes: u64) -> bool {
    bytes > SMALL
}

/// Requires room for `bytes` more, where `ground` says how much there is. Where it is not known the
/// system itself refuses what it does not have.
pub(super) fn check(doing: &'static str, bytes: u64, ground: Option<Ground>) -> Result<()> {
    let Some(Ground { free, size, stuff }) = ground.filter(|_| is_large(bytes)) else {
        return Ok(());
    };
    // One of size 0 has no limit of its own.
    if size > 0 && bytes > free {
        return Err(Error::new(ErrorKind::StorageFull, doing).because(format!(
            "asked for {bytes} bytes, its file system has {free} of {size} left"
        )));
    }
    if stuff == Stuff::Memory { check_memory(doing, bytes) } else { Ok(()) }
}

/// Requires room for `bytes` more of memory, if they are worth the question.
pub(super) fn check_memory(doing: &'static str, bytes: u64) -> Result<()> {
    // Without an answer there is no limit to compare with.
    let Some(room) = Some(bytes).filter(|&b| is_large(b)).and_then(|_| machine::memory_room().ok())
    else {
        return Ok(());
    };
    if bytes > room.bytes {
        return Err(Error::new(ErrorKind::OutOfMemory, doing).because(format!(
            "asked for {bytes} bytes of memory, and {} can be taken without anybody being killed \
             for it, says {}",
            room.bytes, room.limit
        )));
    }
    Ok(())
}

impl Section {
    /// Requires room for what `0..len` or another range lacks yet, if it is in memory that others
    /// need too, or under a name: of other files the file system itself says whether they fit.
    pub(super) fn check_room(&self, range: &Range<u64>, doing: &'static str) -> Result<()> {
        let size = range.end - range.start;
        let (kind, object) = (self.inner.kind, &self.inner.object);
        if !is_large(size) || kind == SectionKind::Device {
            return Ok(());
        }
        // What is there counts as inside, wherever it is: nothing is refused that would fit.
        let lacking = size.saturating_sub(sys::allocated(object).unwrap_or(0));
        let checked = match kind {
            SectionKind::Anonymous => check_memory(doing, lacking),
            _ if kind == SectionKind::Named || sys::lives_in_memory(object) => {
                check(doing, lacking, sys::ground_of(object))
            }
            _ => Ok(()),
        };
        checked.map_err(|error| self.fail(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_memory_than_there_is_is_refused_in_plain_words_before_it_is_taken() {
        let error = check_memory("test", u64::MAX).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        let words = "can be taken without anybody being killed for it, says";
        assert!(error.to_string().contains(words), "{error}");
        check_memory("test", SMALL).unwrap();
    }
}
