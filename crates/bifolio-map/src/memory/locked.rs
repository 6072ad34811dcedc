//! Which pages of a mapping are locked in memory, and by how many.
//!
//! The systems count nothing: one unlock undoes any number of locks. So they are counted here.

use std::io;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Ranges of addresses in whole pages, each as often as it was locked.
#[derive(Debug, Default)]
pub(super) struct Locked(Mutex<Vec<Range<usize>>>);

impl Locked {
    fn ranges(&self) -> MutexGuard<'_, Vec<Range<usize>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks a range by `lock`, and counts it if that worked.
    pub(super) fn hold(
        &self,
        pages: Range<usize>,
        lock: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut ranges = self.ranges();
        lock()?;
        ranges.push(pages);
        Ok(())
    }

    /// Counts a range no longer; `unlock` is called for those of its parts that nobody else holds.
    pub(super) fn release(&self, pages: &Range<usize>, mut unlock: impl FnMut(Range<usize>)) {
        let mut ranges = self.ranges();
        let Some(mine) = ranges.iter().position(|range| range == pages) else { return };
        ranges.swap_remove(mine);
        let mut others: Vec<&Range<usize>> = ranges.iter().collect();
        others.sort_by_key(|other| other.start);
        let mut at = pages.start;
        for other in others {
            if other.end <= at || other.start >= pages.end {
                continue;
            }
            if at < other.start {
                unlock(at..other.start);
            }
            at = other.end;
        }
        if at < pages.end {
            unlock(at..pages.end);
        }
    }

    /// Makes a change that maps `anew` what lies there, if anything does, by which the system
    /// forgets its locks; `lock` is called for what of it is held. (Also if the change failed: what
    /// it unmapped it maps again then.)
    pub(super) fn keep(
        &self,
        anew: impl FnOnce() -> Option<Range<usize>>,
        change: impl FnOnce() -> io::Result<()>,
        mut lock: impl FnMut(Range<usize>) -> io::Result<()>,
    ) -> io::Result<()> {
        // For the whole change: nobody locks, or lets go, what is just being mapped.
        let ranges = self.ranges();
        let anew = anew().unwrap_or_default();
        let mut outcome = change();
        for range in ranges.iter() {
            let part = range.start.max(anew.start)..range.end.min(anew.end);
            if !part.is_empty() {
                outcome = outcome.and(lock(part));
            }
        }
        outcome
    }

    /// Does something to a range that no lock touches, or says `None`.
    pub(super) fn unless_held<T>(
        &self,
        pages: &Range<usize>,
        change: impl FnOnce() -> T,
    ) -> Option<T> {
        let ranges = self.ranges();
        let held = ranges.iter().any(|range| range.start < pages.end && pages.start < range.end);
        (!held).then(change)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::single_range_in_vec_init, reason = "the answers are lists of ranges")]

    use super::*;

    /// What releasing unlocks.
    fn unlocked(locked: &Locked, pages: Range<usize>) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        locked.release(&pages, |part| parts.push(part));
        parts
    }

    #[test]
    fn a_page_is_unlocked_when_its_last_lock_goes() {
        let locked = Locked::default();
        for range in [0..10, 2..4, 3..6, 8..12, 0..10] {
            locked.hold(range, || Ok(())).unwrap();
        }
        assert_eq!(unlocked(&locked, 0..10), [], "there is a second one");
        assert_eq!(unlocked(&locked, 0..10), [0..2, 6..8]);
        assert_eq!(unlocked(&locked, 0..10), [], "it is held no more");
        assert_eq!(unlocked(&locked, 8..12), [8..12]);
        assert_eq!(unlocked(&locked, 2..4), [2..3]);
        assert_eq!(locked.unless_held(&(0..3), || 7), Some(7));
        assert_eq!(locked.unless_held(&(5..9), || 7), None);
        assert_eq!(unlocked(&locked, 3..6), [3..6]);
        assert_eq!(locked.unless_held(&(5..9), || 7), Some(7));
    }

    #[test]
    fn what_is_held_of_pages_that_are_mapped_anew_is_locked_again_and_nothing_else() {
        let locked = Locked::default();
        for range in [0..4, 2..8, 12..14] {
            locked.hold(range, || Ok(())).unwrap();
        }
        let mapped_anew = |anew: Option<Range<usize>>, change: fn() -> io::Result<()>| {
            let (changed, mut parts) = (std::cell::Cell::new(false), Vec::new());
            let outcome = locked.keep(
                || anew,
                || {
                    changed.set(true);
                    change()
                },
                |part| {
                    assert!(changed.get(), "before the change there is nothing to lock again");
                    parts.push(part);
                    Ok(())
                },
            );
            (outcome.is_ok(), parts)
        };
        let failing: fn() -> io::Result<()> = || Err(io::ErrorKind::OutOfMemory.into());
        assert_eq!(mapped_anew(None, || Ok(())), (true, vec![]));
        assert_eq!(mapped_anew(Some(8..12), || Ok(())), (true, vec![]));
        assert_eq!(mapped_anew(Some(3..13), || Ok(())), (true, vec![3..4, 3..8, 12..13]));
        assert_eq!(mapped_anew(Some(3..6), failing), (false, vec![3..4, 3..6]));
        // It is held as before, also when it could not be locked again, and then that is said.
        let denied = locked.keep(|| Some(0..1), || Ok(()), |_| failing());
        assert_eq!(denied.unwrap_err().kind(), io::ErrorKind::OutOfMemory);
        assert_eq!(unlocked(&locked, 0..4), [0..2]);
    }

    #[test]
    fn what_could_not_be_locked_is_not_held() {
        let locked = Locked::default();
        locked.hold(0..1, || Err(io::ErrorKind::OutOfMemory.into())).unwrap_err();
        assert_eq!(unlocked(&locked, 0..1), []);
    }
}
