//! Values of types that not all bytes are a value of.
#![expect(unsafe_code, reason = "takes bytes for a value after they were looked at")]

use std::mem::MaybeUninit;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::explain::Doing;
use super::{Mode, View};
use crate::error::Result;

/// As many bytes as a value has, that perhaps are none.
///
/// They are a private copy: nobody changes them between the look and the use. A copy can be made
/// first and looked at later, once one knows that nobody wrote meanwhile.
///
/// ```
/// use bifolio_map::{Raw, ReadWrite, Section};
/// let view = Section::anonymous(2)?.view::<ReadWrite>()?;
/// view.write_at(0, &[1, 2])?;
/// let mut bytes = Raw::<bool>::zeroed();
/// view.copy_raw(0, &mut bytes)?;
/// assert_eq!(bytes.into_value(), Some(true));
/// let mut bytes = Raw::<bool>::zeroed();
/// view.copy_raw(1, &mut bytes)?;
/// assert_eq!(bytes.into_value(), None, "2 is no bool");
/// # Ok::<(), bifolio_map::Error>(())
/// ```
#[derive(Debug)]
pub struct Raw<T>(
    /// All of its bytes are initialised; there are no others, since the type has no padding.
    MaybeUninit<T>,
);

impl<T: TryFromBytes + IntoBytes + KnownLayout + Immutable> Raw<T> {
    /// Zeros.
    #[must_use]
    #[inline]
    pub fn zeroed() -> Self {
        Self(MaybeUninit::zeroed())
    }

    /// The value that the bytes are, if they are one.
    #[must_use]
    #[inline]
    pub fn into_value(self) -> Option<T> {
        let start = self.0.as_ptr().cast::<u8>();
        // SAFETY: all bytes are initialised, and nothing changes them while they are borrowed.
        let bytes = unsafe { std::slice::from_raw_parts(start, size_of::<T>()) };
        if T::try_ref_from_bytes(bytes).is_err() {
            return None;
        }
        // SAFETY: the bytes are a value, as was just seen.
        Some(unsafe { self.0.assume_init() })
    }
}

impl<M: Mode> View<M> {
    /// Copies the bytes of a value from `offset` on.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    #[inline]
    pub fn copy_raw<T>(&self, offset: u64, raw: &mut Raw<T>) -> Result<()> {
        self.span
            .read_whole(offset, &mut raw.0)
            .map_err(|stop| self.explain(stop, Doing::Load, offset, size_of::<T>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReadWrite;
    use crate::memory::Span;

    #[test]
    fn values_of_every_size_are_copied_and_wrong_bytes_are_none() {
        fn check<const N: usize>(view: &View<ReadWrite>) {
            for offset in 0..3 {
                let mut raw = Raw::<[u8; N]>::zeroed();
                view.copy_raw(offset, &mut raw).unwrap();
                let found = raw.into_value().unwrap();
                assert!(
                    (offset + 1..).zip(found).all(|(expected, byte)| u64::from(byte) == expected)
                );
            }
            let mut raw = Raw::<[u8; N]>::zeroed();
            let past = view.len() - N as u64 + 1;
            assert_eq!(
                view.copy_raw(past, &mut raw).unwrap_err().kind(),
                crate::ErrorKind::OutOfBounds
            );
        }
        let view = View::<ReadWrite>::of_heap(Span::heap(120).unwrap(), 0);
        view.write_at(0, &(1..=120).collect::<Vec<u8>>()).unwrap();
        check::<1>(&view);
        check::<2>(&view);
        check::<3>(&view);
        check::<4>(&view);
        check::<8>(&view);
        check::<16>(&view);
        check::<24>(&view);
        check::<60>(&view);
        check::<64>(&view);
        check::<72>(&view);
        check::<100>(&view);
        let mut raw = Raw::<[char; 2]>::zeroed();
        view.write_at(4, &0xd800_u32.to_ne_bytes()).unwrap();
        view.copy_raw(0, &mut raw).unwrap();
        assert_eq!(raw.into_value(), None, "half of a pair");
    }
}
