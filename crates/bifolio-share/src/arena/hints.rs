//! Where a process looks first. Hints of this process alone: each is tried, and may be wrong.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::slabs::{CLASSES, Place, halves};

/// So many of the blocks that were freed last are remembered, for each class.
const DEPTH: u32 = 64;

/// For each class, where the last search ended, and what was freed since.
///
/// Threads that come here at a time may lose a hint, and find the same one twice.
#[derive(Debug)]
pub(super) struct Hints([OfClass; CLASSES as usize]);

#[derive(Debug)]
struct OfClass {
    /// Where to search on.
    cursor: AtomicU64,
    /// How many of `freed` are remembered.
    count: AtomicU32,
    freed: [AtomicU64; DEPTH as usize],
}

impl Hints {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| OfClass {
            cursor: AtomicU64::new(0),
            count: AtomicU32::new(0),
            freed: std::array::from_fn(|_| AtomicU64::new(0)),
        }))
    }

    /// Where the last search ended.
    pub(super) fn cursor(&self, class: u32) -> Place {
        place_of(self.0[class as usize].cursor.load(Ordering::Relaxed))
    }

    /// That the next search begins behind a place.
    #[inline]
    pub(super) fn search_behind(&self, class: u32, place: Place) {
        let behind = Place { index: place.index + 1, ..place };
        self.0[class as usize].cursor.store(word_of(behind), Ordering::Relaxed);
    }

    /// That a block was freed. Of too many the last one is replaced.
    #[inline]
    pub(super) fn push(&self, class: u32, place: Place) {
        let OfClass { count, freed, .. } = &self.0[class as usize];
        let top = count.load(Ordering::Relaxed).min(DEPTH - 1);
        freed[top as usize].store(word_of(place), Ordering::Relaxed);
        count.store(top + 1, Ordering::Relaxed);
    }

    /// A block that was freed.
    #[inline]
    pub(super) fn pop(&self, class: u32) -> Option<Place> {
        let OfClass { count, freed, .. } = &self.0[class as usize];
        let top = count.load(Ordering::Relaxed).checked_sub(1)?;
        count.store(top, Ordering::Relaxed);
        Some(place_of(freed[(top % DEPTH) as usize].load(Ordering::Relaxed)))
    }
}

#[inline]
fn word_of(place: Place) -> u64 {
    u64::from(place.slab) << 32 | u64::from(place.index)
}

#[inline]
fn place_of(word: u64) -> Place {
    let (slab, index) = halves(word);
    Place { slab, index }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_freed_last_is_found_first_and_too_many_are_forgotten() {
        let hints = Hints::new();
        assert_eq!(hints.pop(3), None);
        for index in 0..2 * DEPTH {
            hints.push(3, Place { slab: 7, index });
        }
        assert_eq!(hints.pop(3), Some(Place { slab: 7, index: 2 * DEPTH - 1 }));
        let left = std::iter::from_fn(|| hints.pop(3)).count();
        assert_eq!(left, DEPTH as usize - 1);
        assert_eq!(hints.pop(4), None);
        hints.search_behind(3, Place { slab: 1, index: 2 });
        assert_eq!(hints.cursor(3), Place { slab: 1, index: 3 });
    }
}
