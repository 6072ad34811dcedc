//! Scratch memory: private, exclusive, and so a safe `&mut [u8]`.
#![expect(unsafe_code, reason = "lends a private mapping as slices")]

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::error::{Error, ErrorKind, Result};
use crate::sys;

/// Zeroed memory straight from the system, aligned to a page, that nobody else can reach. It goes
/// back to the system when it is dropped, not to an allocator's free list.
///
/// On Linux and macOS pages are taken when they are first touched, and scratch larger than memory is
/// possible: who touches more of it than there is gets killed, so ask for the
/// [room](crate::machine::memory_room) first. (Under Linux's strict accounting,
/// `vm.overcommit_memory` 2, all of it counts at once and too much is refused.) Windows commits all of
/// it at once: it counts against memory and page file together before it is touched.
///
/// ```
/// use bifolio_map::Scratch;
/// let mut scratch = Scratch::zeroed(1 << 20)?;
/// scratch[5] = 7;
/// assert_eq!(&scratch[4..7], [0, 7, 0]);
/// # Ok::<(), bifolio_map::Error>(())
/// ```
pub struct Scratch {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory is owned like a `Box<[u8]>`'s.
unsafe impl Send for Scratch {}
// SAFETY: as above; a shared `Scratch` only lends `&[u8]`.
unsafe impl Sync for Scratch {}

impl Scratch {
    /// `len` bytes of zeros.
    ///
    /// # Errors
    /// `OutOfMemory` if there are no addresses left, and where all of it counts at once, no memory.
    pub fn zeroed(len: u64) -> Result<Self> {
        let refuse = || {
            Error::new(ErrorKind::OutOfMemory, "make scratch memory")
                .because(format!("asked for {len} bytes"))
        };
        let size = usize::try_from(len).map_err(|_| refuse())?;
        isize::try_from(size).map_err(|_| refuse())?;
        if size == 0 {
            return Ok(Self { base: NonNull::dangling(), len: 0 });
        }
        let base = sys::map_private(size).map_err(|error| {
            Error::os("make scratch memory", error).because(format!("asked for {len} bytes"))
        })?;
        Ok(Self { base, len: size })
    }

    /// Makes the memory read-only for good. The caller gives up its right to write by consuming
    /// or hiding the value; see `frozen.rs`, the only one.
    #[cfg_attr(target_os = "linux", allow(dead_code, reason = "Linux freezes by seals"))]
    pub(crate) fn protect(&self) -> Result<()> {
        if self.len == 0 {
            return Ok(());
        }
        // SAFETY: the mapping is ours; `&self` means that no `&mut` into it is in use.
        unsafe { sys::protect_read_only(self.base, self.len) }
            .map_err(|error| Error::os("protect scratch memory", error))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: the mapping is ours, and nothing borrows from `self` any more.
            unsafe { sys::unmap_private(self.base, self.len) };
        }
    }
}

impl Deref for Scratch {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: private, initialised to zero, alive as long as `self`; writers need `&mut self`.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.len) }
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").field("len", &self.len).finish_non_exhaustive()
    }
}
