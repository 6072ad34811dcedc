//! What may be stored in memory that other processes share.

mod layout;

pub use layout::{Field, Layout, Variant};

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::error::{Error, ErrorKind, Result};

/// A type whose values may be stored in shared memory: bytes that mean the same in every process.
///
/// Derive it, together with `zerocopy`'s traits, which make sure that there is no padding, no
/// reference and nothing that changes behind a `&`:
///
/// ```
/// use bifolio_share::Shared;
/// use bifolio_share::zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};
///
/// #[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, Immutable, KnownLayout, Shared)]
/// #[repr(C)]
/// struct Position {
///     latitude: f64,
///     longitude: f64,
///     fixed: bool,
///     unused: [u8; 7],
/// }
/// assert_eq!(Position::SHARED_LAYOUT.size(), 24);
/// ```
///
/// - Integers have fixed widths: there is no `Shared` for `usize`, which differs between a 32-bit and
///   a 64-bit process.
/// - Types with values that they cannot have (`bool`, `char`, enums) are read as a private copy
///   first, and validated: what another process stored there is an error at worst.
/// - Who opens a value under another layout is told which field differs. That is for mistakes, not
///   for safety: the trait is not `unsafe` to implement, because every value is validated.
/// - Byte order is the machine's. Regions of the other byte order are refused.
///
/// ```compile_fail,E0277
/// use bifolio_share::Shared;
/// use bifolio_share::zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};
/// #[derive(TryFromBytes, IntoBytes, Immutable, KnownLayout, Shared)]
/// #[repr(C)]
/// struct Sized { len: usize } // no width of its own
/// ```
///
/// ```compile_fail
/// use bifolio_share::Shared;
/// use bifolio_share::zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};
/// #[derive(TryFromBytes, IntoBytes, Immutable, KnownLayout, Shared)]
/// struct NoOrder { a: u64, b: u64 } // no repr(C): the compiler may reorder it
/// ```
///
/// ```compile_fail
/// use bifolio_share::Shared;
/// use bifolio_share::zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};
/// #[derive(TryFromBytes, IntoBytes, Immutable, KnownLayout, Shared)]
/// #[repr(C)]
/// struct Dropped { a: u64 } // bytes in shared memory are never dropped
/// impl Drop for Dropped { fn drop(&mut self) {} }
/// ```
pub trait Shared:
    TryFromBytes + IntoBytes + Immutable + KnownLayout + Send + Sync + 'static
{
    /// What it looks like in memory, for comparing.
    const SHARED_LAYOUT: Layout;
}

macro_rules! numbers {
    ($($number:ty)*) => {
        $(impl Shared for $number {
            // Aligned to its size, also where the compiler is content with less.
            const SHARED_LAYOUT: Layout =
                Layout::number(stringify!($number), size_of::<Self>(), size_of::<Self>());
        })*
    };
}

numbers!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 f32 f64 bool char);

macro_rules! ordered {
    ($($module:ident $order:literal: $($number:ident)*;)*) => {
        $($(impl Shared for zerocopy::$module::$number {
            const SHARED_LAYOUT: Layout = Layout::number(
                concat!(stringify!($number), $order),
                size_of::<Self>(),
                align_of::<Self>(),
            );
        })*)*
    };
}

ordered! {
    little_endian " (little endian)": U16 U32 U64 U128 I16 I32 I64 I128 F32 F64;
    big_endian " (big endian)": U16 U32 U64 U128 I16 I32 I64 I128 F32 F64;
}

impl<T: Shared, const N: usize> Shared for [T; N] {
    const SHARED_LAYOUT: Layout = Layout::array(&T::SHARED_LAYOUT, N);
}

/// The bytes of a value.
pub(crate) fn encode<T: Shared>(value: &T) -> &[u8] {
    value.as_bytes()
}

/// The value that a private copy of its bytes is, if it is one.
pub(crate) fn decode<T: Shared>(bytes: &[u8]) -> Result<T> {
    T::try_read_from_bytes(bytes).map_err(|_| no_value::<T>())
}

/// The error for bytes that are no value of `T`.
#[cold]
pub(crate) fn no_value<T: Shared>() -> Error {
    Error::new(ErrorKind::Corrupt, "read").because(format!(
        "its {} bytes are no value of `{}`",
        size_of::<T>(),
        T::SHARED_LAYOUT.name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_their_bytes_and_wrong_bytes_are_no_values() {
        assert_eq!(decode::<u64>(encode(&7_u64)).unwrap(), 7);
        assert_eq!(decode::<[char; 2]>(encode(&['a', 'ß'])).unwrap(), ['a', 'ß']);
        assert!(decode::<bool>(&[1]).unwrap());
        for bytes in [&[2][..], &[], &[0, 0]] {
            assert_eq!(decode::<bool>(bytes).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        assert!(decode::<char>(&0xd800_u32.to_ne_bytes()).is_err(), "half of a pair");
    }
}
