//! What is known of an entry outside of its bytes.

use super::super::Wanted;
use crate::names::Lifetime;

/// One thing that an entry's owner has said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Mark {
    GoesWithLastHandle,
    StandsForFile,
}

impl Mark {
    pub(in super::super) const ALL: [Self; 2] = [Self::GoesWithLastHandle, Self::StandsForFile];
}

/// A set of marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Marks(u8);

impl Marks {
    pub(in super::super) const NONE: Self = Self(0);

    pub(in super::super) fn with(self, mark: Mark) -> Self {
        Self(self.0 | 1 << mark as u8)
    }

    pub(in super::super) fn has(self, mark: Mark) -> bool {
        self.0 & 1 << mark as u8 != 0
    }

    pub(super) fn of(wanted: &Wanted<'_>) -> Self {
        let mut marks = Self::NONE;
        if wanted.lifetime == Lifetime::LastHandle {
            marks = marks.with(Mark::GoesWithLastHandle);
        }
        if wanted.file.is_some() {
            marks = marks.with(Mark::StandsForFile);
        }
        marks
    }
}
