//! Values out of a region: out of private copies of their bytes.

use std::sync::atomic::{Ordering, fence};

use bifolio_map::Raw;

use super::Region;
use crate::error::Result;
use crate::shared::{self, Shared};

/// Values of up to so many bytes are read without an allocation.
const SMALL: usize = 128;

/// A place whose value others may change while it is copied.
pub(crate) trait Changing {
    /// Copies by `copy`, which is given the value's offset, until what was copied was whole; the
    /// offset then. `None` if it never was.
    fn copy_whole(&self, copy: impl FnMut(u64) -> Result<()>) -> Result<Option<u64>>;
}

/// Between the copy of a value and the look whether it is still the one that was to be copied.
#[inline]
pub(crate) fn after_copy() {
    fence(Ordering::Acquire);
}

impl Region {
    /// A value that nobody changes meanwhile, or whose halves are told apart otherwise.
    #[inline(never)] // see `decode_changing`
    pub(crate) fn decode<T: Shared>(&self, offset: u64) -> Result<T> {
        if size_of::<T>() > SMALL {
            return self.decode_large(offset);
        }
        let mut raw = Raw::zeroed();
        self.view().copy_raw(offset, &mut raw)?;
        self.value_of(raw, offset)
    }

    /// As [`decode`](Self::decode), with as few copies on the stack as can be.
    fn decode_large<T: Shared>(&self, offset: u64) -> Result<T> {
        let bytes = self.view().read_vec(offset..offset + size_of::<T>() as u64)?;
        self.decode_bytes(&bytes, offset)
    }

    /// A value that others may change while it is copied; `otherwise` if no copy was whole.
    ///
    /// Half of another value may be none at all, so the bytes become a value last. Nor is the value in
    /// a `Result` before: the compiler takes a `Result` apart where its error ends, and the processor
    /// then waits for stores that its loads do not match, 20 ns instead of 5. So whoever calls this for
    /// speed is not inlined either.
    #[inline(always)]
    pub(crate) fn decode_changing<T: Shared>(
        &self,
        place: &impl Changing,
        otherwise: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        if size_of::<T>() > SMALL {
            let mut bytes = Vec::new();
            let copied = place.copy_whole(|at| {
                bytes = self.view().read_vec(at..at + size_of::<T>() as u64)?;
                Ok(())
            })?;
            return match copied {
                Some(at) => self.decode_bytes(&bytes, at),
                None => otherwise(),
            };
        }
        let mut raw = Raw::zeroed();
        match place.copy_whole(|at| Ok(self.view().copy_raw(at, &mut raw)?))? {
            Some(at) => self.value_of(raw, at),
            None => otherwise(),
        }
    }

    /// The value that the bytes from `offset` on are.
    #[inline]
    fn value_of<T: Shared>(&self, raw: Raw<T>, offset: u64) -> Result<T> {
        match raw.into_value() {
            Some(value) => Ok(value),
            None => Err(self.explain(shared::no_value::<T>(), offset)),
        }
    }

    fn decode_bytes<T: Shared>(&self, bytes: &[u8], offset: u64) -> Result<T> {
        shared::decode(bytes).map_err(|error| self.explain(error, offset))
    }
}
