//! The two places where frozen memory becomes a slice.
#![expect(unsafe_code, reason = "lends immutable memory as slices")]

use crate::error::{ErrorKind, Result};
use crate::memory::{Place, Span};
use crate::scratch::Scratch;
use crate::section::{Access, Section};
use crate::sys::{self, Protection};

/// A map of a section that was found sealed.
pub(super) struct SealedSpan(Span);

impl SealedSpan {
    /// Maps a section after checking, once more and here, that it is sealed.
    pub(super) fn new(section: &Section) -> Result<Self> {
        const DOING: &str = "map frozen";
        let os = |error| section.os(DOING, error);
        assert!(sys::is_sealed(section.object()).map_err(os)?, "the caller checks the seals");
        let size = section.len()?;
        let size = usize::try_from(size)
            .map_err(|_| section.fail(crate::Error::new(ErrorKind::OutOfMemory, DOING)))?;
        // A handle for reading: old kernels refuse to map a sealed file through a writable one.
        let number = sys::inheritance_number(section.object());
        let reader =
            sys::open_inherited(number, Access::Read, section.kind(), size as u64).map_err(os)?;
        let span = Span::map(&reader, Protection::Read, 0, size, Place::Anywhere).map_err(os)?;
        Ok(Self(span))
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        // SAFETY: the seals mean that no process can write, shrink or punch the memory, now or
        // later; every page was allocated before; the span keeps the map alive. So for as long
        // as `self` lives the bytes are there and never change.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr(), self.0.size()) }
    }
}

/// Private memory that was made read-only.
pub(super) struct ReadOnly(Scratch);

impl ReadOnly {
    /// Takes memory away from writers for good.
    #[cfg_attr(target_os = "linux", allow(dead_code, reason = "Linux has seals"))]
    pub(super) fn new(scratch: Scratch) -> Result<Self> {
        scratch.protect()?;
        Ok(Self(scratch))
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.0
    }
}
