//! Whether there is room for a large named section, or a copy in memory, before it is taken.
//!
//! A tmpfs may promise more than the machine has, and a container's more than its cgroup allows.
//! Then allocating does not fail: the kernel makes room by ending processes, not always the one that
//! asked. So who reserves much is compared with what is left, and refused with the numbers. Small
//! sections do not ask: the question costs more than they do.

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
    if bytes > free {
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
            "asked for {bytes} bytes of memory, and {} can be taken without anybody being killed              for it, says {}",
            room.bytes, room.limit
        )));
    }
    Ok(())
}

impl Section {
    /// Requires room for so many bytes more, if it is in memory that others need too.
    pub(super) fn check_room(&self, bytes: u64, doing: &'static str) -> Result<()> {
        if self.inner.kind != SectionKind::Named || !is_large(bytes) {
            return Ok(());
        }
        check(doing, bytes, sys::ground_of(&self.inner.object)).map_err(|error| self.fail(error))
    }
}
