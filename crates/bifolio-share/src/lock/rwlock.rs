//! The lock for many readers or one writer, in any processes.

use std::marker::PhantomData;
use std::time::Duration;

use bifolio_map::Patience;

use super::mutex::{Lock, Mutex};
use super::tallies::{LINE, Tallies};
use super::{Why, mutex_words, thread_number};
use crate::error::{Error, ErrorKind, Result, untold};
use crate::region::{Object, Region};
use crate::shared::Shared;
use crate::word::mutex::Health;
use crate::word::rwlock::RwLockWords;
use crate::word::{ViewPair, ViewWord};

/// A value in shared memory that many may read at a time, or one may change.
///
/// Readers of different processes write to no common cache line, so reading scales with them. That
/// costs 64 bytes for each slot of the region: 8 KiB with 128 participants, whatever the value's
/// size. A writer that waits keeps new readers out. A thread that reads must not
/// read or write the same lock again meanwhile: it might wait for a writer that waits for it.
///
/// A reader that dies is forgotten. A writer that dies is told of as by a [`Mutex`]: the next writer
/// gets [`Lock::Unsound`], and readers get `Poisoned` until it is repaired.
///
/// ```
/// use bifolio_share::Region;
/// # let dir = tempfile::tempdir().unwrap();
/// let region = Region::create(dir.path().join("config"))?;
/// let limits = region.rwlock("limits", [10_u32, 20])?;
/// assert_eq!(limits.read()?.get()?, [10, 20]);
/// limits.write()?.sound()?.set(&[30, 40])?;
/// let (one, two) = (limits.read()?, limits.clone());
/// std::thread::scope(|threads| {
///     threads.spawn(move || assert_eq!(two.read().unwrap().get().unwrap(), [30, 40]));
/// });
/// # drop(one);
/// # Ok::<(), bifolio_share::Error>(())
/// ```
#[derive(Debug)]
pub struct RwLock<T> {
    /// The writers' half, with the value.
    writers: Mutex<T>,
    readers: Tallies,
}

impl<T> Clone for RwLock<T> {
    fn clone(&self) -> Self {
        Self { writers: self.writers.clone(), readers: self.readers }
    }
}

/// A lock for reading, held. Dropping it gives the lock back.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct ReadGuard<'lock, T: Shared> {
    lock: &'lock RwLock<T>,
    found: Health,
    /// As with all guards: it stays with its thread.
    here: PhantomData<*const ()>,
}

/// Where the tallies begin behind the writers' half.
fn before_tallies<T: Shared>() -> u64 {
    Mutex::<T>::size().next_multiple_of(LINE)
}

impl<T: Shared> RwLock<T> {
    /// Bytes that it takes in a region.
    pub(crate) fn size(region: &Region) -> u64 {
        before_tallies::<T>() + Tallies::size(region, LINE)
    }

    pub(crate) fn at(region: Region, object: &Object) -> Self {
        let readers = Tallies::apart(object.offset + before_tallies::<T>());
        Self { writers: Mutex::at(region, object), readers }
    }

    pub(crate) fn initialise(region: &Region, offset: u64, value: &T) -> Result<()> {
        region.zero(offset, Self::size(region))?;
        Mutex::initialise(region, offset, value)
    }

    /// Takes the lock for reading, waiting for as long as a living writer has it or waits for it.
    ///
    /// # Errors
    /// `Deadlock` if this thread writes; `TooMany` beyond 4,095 readers in a process; otherwise
    /// those of [`Mutex::lock`].
    #[inline]
    pub fn read(&self) -> Result<ReadGuard<'_, T>> {
        self.read_with(Patience::Forever)
    }

    /// Takes the lock for reading if no living writer has it or waits for it.
    ///
    /// # Errors
    /// `Busy`; otherwise those of [`read`](Self::read).
    #[inline]
    pub fn try_read(&self) -> Result<ReadGuard<'_, T>> {
        self.read_with(Patience::Try)
    }

    /// Takes the lock for reading, waiting at most for `time`.
    ///
    /// # Errors
    /// `TimedOut`; otherwise those of [`read`](Self::read).
    #[inline]
    pub fn read_within(&self, time: Duration) -> Result<ReadGuard<'_, T>> {
        self.read_with(Patience::For(time))
    }

    #[inline]
    pub(crate) fn read_with(&self, patience: Patience) -> Result<ReadGuard<'_, T>> {
        let region = self.region();
        region.participant().check()?;
        let found = self
            .words()
            .read(region.participant(), thread_number, patience)
            .map_err(|error| region.explain(error, self.writers.offset()))?;
        Ok(ReadGuard { lock: self, found, here: PhantomData })
    }

    /// Takes the lock for writing, waiting for as long as living readers or a writer have it. New
    /// readers wait meanwhile.
    ///
    /// # Errors
    /// Those of [`Mutex::lock`].
    #[inline]
    pub fn write(&self) -> Result<Lock<'_, T>> {
        self.write_with(Patience::Forever)
    }

    /// Takes the lock for writing if nobody who lives has it.
    ///
    /// # Errors
    /// `Busy`; otherwise those of [`write`](Self::write).
    #[inline]
    pub fn try_write(&self) -> Result<Lock<'_, T>> {
        self.write_with(Patience::Try)
    }

    /// Takes the lock for writing, waiting at most for `time`.
    ///
    /// # Errors
    /// `TimedOut`; otherwise those of [`write`](Self::write).
    #[inline]
    pub fn write_within(&self, time: Duration) -> Result<Lock<'_, T>> {
        self.write_with(Patience::For(time))
    }

    pub(crate) fn write_with(&self, patience: Patience) -> Result<Lock<'_, T>> {
        let region = self.region();
        region.participant().check()?;
        let tallies = self.readers.all(region);
        let health = self
            .words()
            .write(region.participant(), tallies, thread_number(), patience)
            .map_err(|error| region.explain(error, self.writers.offset()))?;
        Ok(self.writers.held(health))
    }

    fn region(&self) -> &Region {
        self.writers.region()
    }

    #[inline]
    fn words(&self) -> RwLockWords<ViewPair<'_>, ViewWord<'_>> {
        let region = self.region();
        RwLockWords {
            writer: mutex_words(region, self.writers.offset()),
            mine: self.readers.mine(region),
        }
    }
}

impl<T: Shared> ReadGuard<'_, T> {
    /// The value.
    ///
    /// # Errors
    /// `Poisoned` if a writer died or panicked and nobody has repaired the value since; `Corrupt` if
    /// its bytes are none of `T`; what became of the region's bytes.
    pub fn get(&self) -> Result<T> {
        if let Some(why) = self.unsound() {
            let why = match why {
                Why::OwnerDied => "its last writer died",
                Why::Poisoned => "a writer panicked, or left it unrepaired",
            };
            let error = Error::new(ErrorKind::Poisoned, "read the value").because(why);
            return Err(self.lock.region().explain(error, self.lock.writers.offset()));
        }
        self.get_as_left()
    }

    /// The value, also as one left it that died in the middle of a change.
    ///
    /// # Errors
    /// As [`get`](Self::get), without `Poisoned`.
    pub fn get_as_left(&self) -> Result<T> {
        self.lock.writers.value()
    }

    /// Why the value may be half changed, if it may.
    #[must_use]
    pub fn unsound(&self) -> Option<Why> {
        match self.found {
            Health::Sound => None,
            Health::Bereft => Some(Why::OwnerDied),
            Health::Poisoned => Some(Why::Poisoned),
        }
    }
}

impl<T: Shared> Drop for ReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let participant = self.lock.region().participant();
        // In a forked child the lock is still its parent's.
        if participant.check().is_ok() {
            untold(self.lock.words().end_read(participant));
        }
    }
}

const _: () = {
    const fn sent<T: Send + Sync>() {}
    sent::<RwLock<u64>>();
};
