//! Dropping pages from memory, and what stays.

use std::io;
use std::ops::Range;

use super::{Residency, bytes_of, count, pages_of};
use crate::sys::{self, Object};

/// What happens to dirty pages before pages are evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteBack {
    /// They are written to the device first, and waited for. (This is not a flush: nothing is
    /// promised about power cuts.)
    First,
    /// They stay in memory. The system may begin to write them.
    No,
}

/// What an eviction did. Pages are not locked meanwhile: others may read some in again before they
/// are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "it says what stayed"]
pub struct Evicted {
    /// Before.
    pub before: Residency,
    /// After.
    pub after: Residency,
}

impl Evicted {
    /// Pages that are gone from memory; `None` if the system does not count them.
    #[must_use]
    pub fn dropped(&self) -> Option<u64> {
        Some(self.before.resident?.saturating_sub(self.after.resident?))
    }

    /// Pages that stayed because the device does not have them yet.
    #[must_use]
    pub fn stayed_dirty(&self) -> Option<u64> {
        let dirty = self.after.dirty?.saturating_add(self.after.write_back?);
        Some(dirty.min(self.after.resident?))
    }

    /// Pages that stayed though the device has them: some process has them mapped or locked, or
    /// they are in one piece with pages outside the range. (Of a file in memory,
    /// [`CachedFile::is_in_memory`](super::CachedFile::is_in_memory), that is all of them.)
    #[must_use]
    pub fn stayed_in_use(&self) -> Option<u64> {
        Some(self.after.resident? - self.stayed_dirty()?)
    }
}

/// Drops what can be dropped. Everybody who may read a file may do so; who may not know its
/// residency is not told what it did.
pub(super) fn drop_pages(object: &Object, range: &Range<u64>) -> io::Result<Evicted> {
    let before = count_if_told(object, range)?;
    let pages = pages_of(range);
    if pages.start < pages.end {
        let bytes = bytes_of(&pages);
        sys::drop_from_cache(object, bytes.start, bytes.end - bytes.start)?;
    }
    Ok(Evicted { before, after: count_if_told(object, range)? })
}

/// The counts; nothing but the number of pages if they are kept from this user.
fn count_if_told(object: &Object, range: &Range<u64>) -> io::Result<Residency> {
    match count(object, range) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let pages = pages_of(range);
            Ok(Residency { pages: pages.end - pages.start, ..Residency::default() })
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stayed_is_told_apart() {
        let known = |resident, dirty, write_back| Residency {
            pages: 10,
            resident: Some(resident),
            dirty: Some(dirty),
            write_back: Some(write_back),
            ..Residency::none()
        };
        let evicted = Evicted { before: known(10, 4, 0), after: known(7, 2, 1) };
        assert_eq!(evicted.dropped(), Some(3));
        assert_eq!((evicted.stayed_dirty(), evicted.stayed_in_use()), (Some(3), Some(4)));
        // Read in again by somebody: no page was dropped, and nothing is negative.
        let evicted = Evicted { before: known(1, 0, 0), after: known(2, 2, 2) };
        assert_eq!((evicted.dropped(), evicted.stayed_in_use()), (Some(0), Some(0)));
        let unknown = Evicted { before: known(1, 0, 0), after: Residency::default() };
        assert_eq!((unknown.dropped(), unknown.stayed_dirty()), (None, None));
    }
}
