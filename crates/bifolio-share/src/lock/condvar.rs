//! The condition variable: to wait, without a lock, until somebody says that it is worth a look.

use std::time::Duration;

use bifolio_map::Patience;

use super::mutex::{Lock, MutexGuard};
use crate::error::Result;
use crate::region::{Object, Region};
use crate::shared::{Layout, Shared};
use crate::word::{Naps, ViewWord, Word};

/// A place to wait for a change of what a [`Mutex`](crate::Mutex) guards.
///
/// As everywhere a wait may end for no reason, so look again; [`wait_while`](Self::wait_while) does.
/// A notification is a count that goes up: one who was asleep when it did goes on within 16 ms, also
/// if whoever was woken for it died.
///
/// ```
/// use bifolio_share::{Lock, Region};
/// # let dir = tempfile::tempdir().unwrap();
/// let region = Region::create(dir.path().join("queue"))?;
/// let (length, changed) = (region.mutex("length", 0_u64)?, region.condvar("changed")?);
/// std::thread::scope(|threads| {
///     threads.spawn(|| {
///         let guard = length.lock().and_then(Lock::sound).unwrap();
///         let lock = changed.wait_while(guard, |length| *length == 0).unwrap();
///         assert_eq!(lock.sound().unwrap().get().unwrap(), 1);
///     });
///     length.lock().and_then(Lock::sound).unwrap().set(&1).unwrap();
///     changed.notify_one().unwrap();
/// });
/// # Ok::<(), bifolio_share::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Condvar {
    region: Region,
    offset: u64,
}

/// How a wait with a limit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Waited {
    /// Somebody notified, or the wait ended for no reason.
    Notified,
    /// The time was over.
    TimedOut,
}

impl Condvar {
    pub(crate) const LAYOUT: Layout = u32::SHARED_LAYOUT;
    pub(crate) const SIZE: u64 = 8;

    pub(crate) fn initialise(region: &Region, offset: u64) -> Result<()> {
        region.zero(offset, Self::SIZE)
    }

    pub(crate) fn at(region: Region, object: &Object) -> Self {
        Self { region, offset: object.offset }
    }

    /// Gives the lock back, waits for a notification, and takes the lock again. The value may have
    /// been left unsound meanwhile.
    ///
    /// # Errors
    /// Those of [`Mutex::lock`](crate::Mutex::lock); the lock is given back then.
    pub fn wait<'mutex, T: Shared>(&self, guard: MutexGuard<'mutex, T>) -> Result<Lock<'mutex, T>> {
        self.wait_with(guard, Patience::Forever).map(|(lock, _)| lock)
    }

    /// As [`wait`](Self::wait), at most for `time`, and then as long as it takes to get the lock.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_within<'mutex, T: Shared>(
        &self,
        guard: MutexGuard<'mutex, T>,
        time: Duration,
    ) -> Result<(Lock<'mutex, T>, Waited)> {
        self.wait_with(guard, Patience::For(time))
    }

    /// Waits for as long as `condition` holds of a sound value. Ends at once with an unsound one.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and those of [`MutexGuard::get`].
    pub fn wait_while<'mutex, T: Shared>(
        &self,
        guard: MutexGuard<'mutex, T>,
        mut condition: impl FnMut(&T) -> bool,
    ) -> Result<Lock<'mutex, T>> {
        let mut guard = guard;
        while condition(&guard.get()?) {
            match self.wait(guard)? {
                Lock::Sound(again) => guard = again,
                unsound @ Lock::Unsound(_) => return Ok(unsound),
            }
        }
        Ok(Lock::Sound(guard))
    }

    fn wait_with<'mutex, T: Shared>(
        &self,
        guard: MutexGuard<'mutex, T>,
        patience: Patience,
    ) -> Result<(Lock<'mutex, T>, Waited)> {
        let word = self.word();
        // Under the lock: whoever notifies after changing the value does it after this.
        let seen = word.load()?;
        let mutex = guard.mutex();
        guard.unlock()?;
        let mut naps = Naps::new(patience);
        let mut waited = Waited::Notified;
        while word.load()? == seen {
            let Some(nap) = naps.next() else {
                waited = Waited::TimedOut;
                break;
            };
            word.wait(seen, nap)?;
        }
        Ok((mutex.lock()?, waited))
    }

    /// Wakes one who waits, if somebody does. Others may wake too.
    ///
    /// # Errors
    /// `Forked` in a forked child; what became of the region's bytes.
    pub fn notify_one(&self) -> Result<()> {
        self.count()?;
        self.word().wake_one()
    }

    /// Wakes all who wait.
    ///
    /// # Errors
    /// As [`notify_one`](Self::notify_one).
    pub fn notify_all(&self) -> Result<()> {
        self.count()?;
        self.word().wake_all()
    }

    fn count(&self) -> Result<()> {
        self.region.participant().check()?;
        self.region.view().atomic_u32(self.offset)?.fetch_add(1)?;
        Ok(())
    }

    fn word(&self) -> ViewWord<'_> {
        ViewWord::new(self.region.view(), self.offset)
    }
}

const _: () = {
    const fn sent<T: Send + Sync>() {}
    sent::<Condvar>();
};
