//! Locks in shared memory that survive their owners, and other ways to wait for each other.

mod barrier;
mod condvar;
mod event;
mod mutex;
mod named;
mod once;
mod rwlock;
mod semaphore;
mod seqlock;
mod snapshot;
mod tallies;

pub use barrier::{Barrier, Leader};
pub use condvar::{Condvar, Waited};
pub use event::Event;
pub use mutex::{Lock, Mutex, MutexGuard, Unsound, Why};
pub use named::{NamedGuard, NamedMutex};
pub use once::{Once, Turn};
pub use rwlock::{ReadGuard, RwLock};
pub use semaphore::{Permit, Semaphore};
pub use seqlock::Seqlock;
pub use snapshot::{Pinned, Snapshot};

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

use bifolio_map::Patience;

use crate::error::Result;
use crate::region::Region;
use crate::word::mutex::{Health, MutexWords};
use crate::word::{ViewPair, ViewWord};

/// Bytes of the words of a mutex.
pub(crate) const MUTEX_BYTES: usize = 16;

/// The words of the mutex at an offset.
#[inline]
pub(crate) fn mutex_words(region: &Region, offset: u64) -> ViewMutex<'_> {
    let view = region.view();
    MutexWords { owner: ViewPair::new(view, offset), health: ViewWord::new(view, offset + 8) }
}

/// A mutex in a region.
pub(crate) type ViewMutex<'region> = MutexWords<ViewPair<'region>, ViewWord<'region>>;

/// A mutex of the crate's own making, held. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Inside<'region> {
    region: &'region Region,
    words: ViewMutex<'region>,
    /// What the health says: whether one before died inside, until that is repaired.
    pub(crate) found: Health,
}

/// Takes the mutex at `offset`.
pub(crate) fn enter(region: &Region, offset: u64, patience: Patience) -> Result<Inside<'_>> {
    region.participant().check()?;
    let words = mutex_words(region, offset);
    let found = words
        .lock(region.participant(), thread_number(), patience)
        .map_err(|error| region.explain(error, offset))?;
    Ok(Inside { region, words, found })
}

impl Inside<'_> {
    /// Says that what one who died here left is in order again.
    pub(crate) fn repaired(&mut self) -> Result<()> {
        self.mark(Health::Sound)
    }

    /// As [`repaired`](Self::repaired), if anything has to be.
    fn repair(&mut self) -> Result<()> {
        if self.found == Health::Sound { Ok(()) } else { self.repaired() }
    }

    /// Writes the health down.
    fn mark(&mut self, health: Health) -> Result<()> {
        self.words.set_health(health)?;
        self.found = health;
        Ok(())
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if self.region.participant().check().is_ok() {
            // Bytes that cannot be had are nobody's lock any more; the next access says so.
            let _ = self.words.unlock(self.found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::header::tests::{page, row};

    #[test]
    fn the_words_lie_as_the_page_says() {
        let lock = row("lock", 0, MUTEX_BYTES);
        let [permits, returns, _] = semaphore::PLACES;
        let expected = [lock.clone(), row("permits", permits, 4), row("returns", returns, 4)];
        assert_eq!(page("Semaphore"), expected);
        let [parties, round, clearing, _] = barrier::PLACES;
        let expected = [
            lock.clone(),
            row("parties", parties, 4),
            row("round", round, 4),
            row("clearing", clearing, 4),
        ];
        assert_eq!(page("Barrier"), expected);
        let expected = [row("writers", 0, MUTEX_BYTES), row("sequence", seqlock::SEQUENCE, 8)];
        assert_eq!(page("Seqlock"), expected);
        let expected = [
            row("writers", 0, MUTEX_BYTES),
            row("current", snapshot::CURRENT, 8),
            row("waiting", snapshot::WAITING, 4),
            row("readers", snapshot::READERS, 4),
        ];
        assert_eq!(page("Snapshot"), expected);
        let expected = [lock, row("done", once::DONE, 4), row("reserved", once::DONE + 4, 4)];
        assert_eq!(page("Once"), expected);
        let text = include_str!("../../FORMAT.md");
        for (kind, what) in crate::region::Kind::ALL.map(|kind| (kind.word(), kind.as_str())) {
            assert!(text.contains(&format!("| {kind} | {what} |")), "{what}");
        }
        for (name, at) in [
            ("places", snapshot::PLACES),
            ("tallies", semaphore::PLACES[2]),
            ("tallies", barrier::PLACES[3]),
        ] {
            assert!(text.contains(&format!("| {at} | | `{name}` |")), "{name}");
        }
    }
}

thread_local! {
    static NUMBER: Cell<u32> = const { Cell::new(0) };
}

/// The number of this thread in this process, never 0; different for all threads that live at a
/// time, unless four billion were started.
#[inline]
pub(crate) fn thread_number() -> u32 {
    NUMBER.with(|number| match number.get() {
        0 => next_thread_number(number),
        known => known,
    })
}

#[cold]
fn next_thread_number(number: &Cell<u32>) -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        if next != 0 {
            number.set(next);
            return next;
        }
    }
}
