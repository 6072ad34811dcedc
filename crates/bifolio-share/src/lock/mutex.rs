//! The mutex: one owner at a time, in any process, and the next one is told if it died.

use std::marker::PhantomData;
use std::thread;
use std::time::Duration;

use bifolio_map::Patience;

use super::{MUTEX_BYTES, ViewMutex, mutex_words, thread_number};
use crate::error::{Error, ErrorKind, Result, untold};
use crate::participant::Holder;
use crate::region::{Object, Region};
use crate::shared::{self, Shared};
use crate::word::Pair;
use crate::word::mutex::{Health, owner_in};

/// Where the value lies behind the lock's words, in bytes.
const VALUE: usize = MUTEX_BYTES;

/// A value in shared memory with its lock.
///
/// The lock is a word in the region, so whoever maps the region shares it, whatever it was built
/// with. Uncontended it costs two atomic operations and no system call. An owner that dies,
/// however it dies, is found out by whoever waits, within some 16 ms; the next owner is told, and
/// has to say that the value is right again:
///
/// ```
/// use bifolio_share::{Lock, Region};
/// # let dir = tempfile::tempdir().unwrap();
/// let region = Region::create(dir.path().join("accounts"))?;
/// let balances = region.mutex("balances", [100_u64, 0])?;
///
/// let mut guard = match balances.lock()? {
///     Lock::Sound(guard) => guard,
///     Lock::Unsound(mut left) => {
///         // Its last owner died, perhaps between the two: here, start again.
///         left.set(&[100, 0])?;
///         left.repaired()?
///     }
/// };
/// guard.update(|both| { both[0] -= 30; both[1] += 30 })?;
/// drop(guard);
/// assert_eq!(balances.lock()?.sound()?.get()?, [70, 30]);
/// # Ok::<(), bifolio_share::Error>(())
/// ```
///
/// A guard copies the value out and in. References into it would alias with those of processes
/// that do not keep to the lock.
#[derive(Debug)]
pub struct Mutex<T> {
    region: Region,
    /// The lock's words, and behind them the value.
    offset: u64,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Mutex<T> {
    fn clone(&self) -> Self {
        Self { region: self.region.clone(), offset: self.offset, value: PhantomData }
    }
}

/// A lock that was got.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub enum Lock<'mutex, T: Shared> {
    /// The last owner gave it back in good order.
    Sound(MutexGuard<'mutex, T>),
    /// It did not: the value may be half changed.
    Unsound(Unsound<'mutex, T>),
}

/// Why a value may be half changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// The last owner died with the lock.
    OwnerDied,
    /// An owner panicked, or gave the lock back without repairing what one that died had left.
    Poisoned,
}

/// The lock of a value that may be half changed. Dropped without [`repaired`](Self::repaired), it
/// leaves the value poisoned.
#[derive(Debug)]
#[must_use = "dropping it leaves the value poisoned"]
pub struct Unsound<'mutex, T: Shared> {
    guard: MutexGuard<'mutex, T>,
    why: Why,
}

/// The lock, held. Dropping it gives the lock back.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct MutexGuard<'mutex, T: Shared> {
    mutex: &'mutex Mutex<T>,
    /// What the health will say if the guard is dropped now.
    left: Health,
    /// Whether the thread was panicking when it took the lock: then it goes on doing so.
    panicked: bool,
    /// Which thread has it is written in the lock, so it stays with this one.
    here: PhantomData<*const ()>,
}

impl<T: Shared> Mutex<T> {
    /// Bytes that a mutex takes in a region.
    pub(crate) fn size() -> u64 {
        (VALUE + size_of::<T>()) as u64
    }

    pub(crate) fn at(region: Region, object: &Object) -> Self {
        Self { region, offset: object.offset, value: PhantomData }
    }

    /// Writes the value of a mutex that nobody can see yet.
    pub(crate) fn initialise(region: &Region, offset: u64, value: &T) -> Result<()> {
        region.view().write_at(offset, &[0; VALUE])?;
        Ok(region.view().write_at(offset + VALUE as u64, shared::encode(value))?)
    }

    /// Takes the lock, waiting for as long as a living owner has it.
    ///
    /// # Errors
    /// `Deadlock` if this thread has it already; `Forked` in a forked child; `Corrupt` if its
    /// words hold what nobody wrote; what became of the region's bytes, if they cannot be had.
    #[inline(always)]
    pub fn lock(&self) -> Result<Lock<'_, T>> {
        self.lock_with(Patience::Forever)
    }

    /// Takes the lock if no living owner has it.
    ///
    /// # Errors
    /// `Busy`; otherwise those of [`lock`](Self::lock).
    #[inline(always)]
    pub fn try_lock(&self) -> Result<Lock<'_, T>> {
        self.lock_with(Patience::Try)
    }

    /// Takes the lock, waiting at most for `time`.
    ///
    /// # Errors
    /// `TimedOut`; otherwise those of [`lock`](Self::lock).
    #[inline(always)]
    pub fn lock_within(&self, time: Duration) -> Result<Lock<'_, T>> {
        self.lock_with(Patience::For(time))
    }

    #[inline(always)]
    pub(crate) fn lock_with(&self, patience: Patience) -> Result<Lock<'_, T>> {
        let participant = self.region.participant();
        participant.check()?;
        let health = self
            .words()
            .lock(participant, thread_number(), patience)
            .map_err(|error| self.region.explain(error, self.offset))?;
        Ok(self.held(health))
    }

    /// What whoever has just got the lock gets.
    #[inline(always)]
    pub(super) fn held(&self, health: Health) -> Lock<'_, T> {
        let panicked = thread::panicking();
        let guard = MutexGuard { mutex: self, left: health, panicked, here: PhantomData };
        match health {
            Health::Sound => Lock::Sound(guard),
            Health::Bereft => Lock::Unsound(guard.unsound(Why::OwnerDied)),
            Health::Poisoned => Lock::Unsound(guard.unsound(Why::Poisoned)),
        }
    }

    pub(super) fn region(&self) -> &Region {
        &self.region
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The value, for who has the lock.
    pub(super) fn value(&self) -> Result<T> {
        self.region.decode(self.offset + VALUE as u64)
    }

    /// Who has it now, as its word says; it may be dead.
    ///
    /// # Errors
    /// What became of the region's bytes.
    pub fn owner(&self) -> Result<Option<Holder>> {
        Ok(owner_in(self.words().owner.load()?))
    }

    #[inline]
    fn words(&self) -> ViewMutex<'_> {
        mutex_words(&self.region, self.offset)
    }
}

impl<'mutex, T: Shared> Lock<'mutex, T> {
    /// The guard of a sound value.
    ///
    /// # Errors
    /// `Poisoned` for an unsound one, which is poisoned from then on.
    pub fn sound(self) -> Result<MutexGuard<'mutex, T>> {
        match self {
            Self::Sound(guard) => Ok(guard),
            Self::Unsound(unsound) => {
                let why = match unsound.why {
                    Why::OwnerDied => "its last owner died with the lock",
                    Why::Poisoned => "an owner panicked, or left it unrepaired",
                };
                let error = Error::new(ErrorKind::Poisoned, "use the value").because(why);
                Err(unsound.guard.mutex.region.explain(error, unsound.guard.mutex.offset))
            }
        }
    }

    /// The guard; of an unsound value after `repair`.
    ///
    /// # Errors
    /// Those of `repair`, after which the value is poisoned.
    pub fn or_repair(
        self,
        repair: impl FnOnce(&mut MutexGuard<'mutex, T>) -> Result<()>,
    ) -> Result<MutexGuard<'mutex, T>> {
        match self {
            Self::Sound(guard) => Ok(guard),
            Self::Unsound(mut unsound) => {
                repair(&mut unsound.guard)?;
                unsound.repaired()
            }
        }
    }
}

impl<'mutex, T: Shared> Unsound<'mutex, T> {
    /// Why it may be half changed.
    #[must_use]
    pub fn why(&self) -> Why {
        self.why
    }

    /// The value as it was left.
    ///
    /// # Errors
    /// Those of [`MutexGuard::get`].
    pub fn get(&self) -> Result<T> {
        self.guard.get()
    }

    /// Stores the value as it should be.
    ///
    /// # Errors
    /// Those of [`MutexGuard::set`].
    pub fn set(&mut self, value: &T) -> Result<()> {
        self.guard.set(value)
    }

    /// Says that the value is right.
    ///
    /// # Errors
    /// What became of the region's bytes.
    pub fn repaired(mut self) -> Result<MutexGuard<'mutex, T>> {
        self.guard.mutex.words().set_health(Health::Sound)?;
        self.guard.left = Health::Sound;
        Ok(self.guard)
    }
}

impl<'mutex, T: Shared> MutexGuard<'mutex, T> {
    fn unsound(mut self, why: Why) -> Unsound<'mutex, T> {
        self.left = Health::Poisoned;
        Unsound { guard: self, why }
    }

    /// The value.
    ///
    /// # Errors
    /// `Corrupt` if its bytes are none of `T`; what became of the region's bytes.
    pub fn get(&self) -> Result<T> {
        self.mutex.value()
    }

    /// Stores the value. A death in the middle leaves a part of it, which the next owner is told.
    ///
    /// # Errors
    /// What became of the region's bytes.
    pub fn set(&mut self, value: &T) -> Result<()> {
        Ok(self.mutex.region.view().write_at(self.value_at(), shared::encode(value))?)
    }

    /// Changes the value: `change` works on a copy, which is stored when it returns. If it panics,
    /// nothing is stored, and the value is poisoned nevertheless.
    ///
    /// # Errors
    /// Those of [`get`](Self::get) and [`set`](Self::set).
    pub fn update<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> Result<R> {
        let mut value = self.get()?;
        let result = change(&mut value);
        self.set(&value)?;
        Ok(result)
    }

    /// Gives the lock back, and says whether that worked; a drop does the same in silence.
    ///
    /// # Errors
    /// What became of the region's bytes.
    pub fn unlock(self) -> Result<()> {
        let guard = std::mem::ManuallyDrop::new(self);
        guard.give_back()
    }

    pub(super) fn mutex(&self) -> &'mutex Mutex<T> {
        self.mutex
    }

    fn value_at(&self) -> u64 {
        self.mutex.offset + VALUE as u64
    }

    #[inline(always)]
    fn give_back(&self) -> Result<()> {
        // In a forked child the lock is still its parent's.
        self.mutex.region.participant().check()?;
        match self.left {
            Health::Sound => self.mutex.words().unlock(Health::Sound),
            _ => self.give_back_unsound(),
        }
    }

    #[cold]
    fn give_back_unsound(&self) -> Result<()> {
        let words = self.mutex.words();
        if broken!(PoisonedLate) {
            words.unlock(self.left)?;
            seam!();
            return words.set_health(self.left);
        }
        words.set_health(self.left)?;
        words.unlock(self.left)
    }
}

impl<T: Shared> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if thread::panicking() && !self.panicked {
            self.left = Health::Poisoned;
        }
        untold(self.give_back());
    }
}

const _: () = {
    const fn sent<T: Send + Sync>() {}
    sent::<Mutex<u64>>();
};
