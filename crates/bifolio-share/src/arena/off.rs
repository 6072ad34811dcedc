//! Where something lies in an arena, in a form that can itself be stored.

use std::fmt;
use std::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::shared::{Layout, Shared};

/// Where a value lies in an [`Arena`](crate::Arena): bytes from the start of the region, so that it
/// means the same in every process. [`NONE`](Self::NONE), which is 0, leads nowhere.
///
/// It is a number and no promise: what it leads to is looked at on every use.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Off<T> {
    at: u64,
    to: PhantomData<fn() -> T>,
}

impl<T> Off<T> {
    /// Leads nowhere.
    pub const NONE: Self = Self { at: 0, to: PhantomData };

    pub(super) fn new(at: u64) -> Self {
        Self { at, to: PhantomData }
    }

    /// Bytes from the start of the region; 0 for [`NONE`](Self::NONE).
    #[must_use]
    pub fn get(self) -> u64 {
        self.at
    }

    /// Whether it leads nowhere.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.at == 0
    }
}

impl<T> Clone for Off<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Off<T> {}

impl<T> Default for Off<T> {
    fn default() -> Self {
        Self::NONE
    }
}

impl<T> PartialEq for Off<T> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl<T> Eq for Off<T> {}

impl<T> std::hash::Hash for Off<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.at.hash(state);
    }
}

impl<T> fmt::Debug for Off<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Off({})", self.at)
    }
}

impl<T: 'static> Shared for Off<T> {
    // What it leads to is not part of it: a value may lead to one of its own type.
    const SHARED_LAYOUT: Layout = Layout::number("Off", 8, 8);
}

/// Where bytes lie in an [`Arena`](crate::Arena), and how many.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Extent {
    at: u64,
    len: u64,
}

impl Extent {
    pub(super) fn new(at: u64, len: u64) -> Self {
        Self { at, len }
    }

    /// Bytes from the start of the region.
    #[must_use]
    pub fn offset(self) -> u64 {
        self.at
    }

    /// How many bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no bytes are no special case")]
    pub fn len(self) -> u64 {
        self.len
    }
}

impl Shared for Extent {
    const SHARED_LAYOUT: Layout = Layout::number("Extent", 16, 8);
}
