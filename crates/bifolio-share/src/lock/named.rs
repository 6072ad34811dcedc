//! The mutex that is a name, and nothing else.

use std::time::Duration;

use bifolio_map::names::{Lifetime, Name, Scope};
use bifolio_map::{Create, Patience};

use super::mutex::{Lock, Mutex, MutexGuard, Why};
use crate::error::Result;
use crate::region::Region;

/// How many processes can have a named mutex open at a time.
const PARTICIPANTS: u32 = 512;

/// A lock that processes share by its name alone: for what is not in shared memory, such as a file, a
/// device, or being the only one of one's kind.
///
/// It is there as long as anybody has it open, and leaves nothing behind (on Windows a small file, since
/// a name that goes with its last handle has no bytes there whose locks could tell who lives). An owner
/// that dies is found out by the next one, which is [told](NamedGuard::after) and has the lock.
///
/// ```
/// use bifolio_map::names::{Name, Scope};
/// use bifolio_share::NamedMutex;
/// # let dir = tempfile::tempdir().unwrap();
/// # let scope = Scope::Directory(dir.path().into());
/// let mutex = NamedMutex::open_in(&Name::new("printer")?, scope)?; // `open` for the session's names
/// let guard = mutex.lock()?;
/// assert_eq!(guard.after(), None, "the one before gave it back in good order");
/// drop(guard);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct NamedMutex(Mutex<u8>);

/// A named mutex, held. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct NamedGuard<'mutex> {
    _guard: MutexGuard<'mutex, u8>,
    after: Option<Why>,
}

impl NamedMutex {
    /// The mutex of this name in this session; a new one, if there is none.
    ///
    /// # Errors
    /// Those of [`RegionOptions::named`](crate::RegionOptions::named), without `NotFound`: `TooMany` if
    /// 512 have it open, `LayoutMismatch` or `Corrupt` if the name is something else's.
    pub fn open(name: &Name) -> Result<Self> {
        Self::open_in(name, Scope::default())
    }

    /// As [`open`](Self::open), of a name that others share.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_in(name: &Name, scope: Scope) -> Result<Self> {
        let lifetime = if cfg!(windows) { Lifetime::Persistent } else { Lifetime::LastHandle };
        let region = Region::options()
            .capacity(256 << 10)
            .participants(PARTICIPANTS)
            .names(1)
            .scope(scope)
            .lifetime(lifetime)
            .create(Create::IfMissing)
            .named(name)?;
        region.mutex("mutex", 0_u8).map(Self)
    }

    /// Takes the lock, waiting for as long as a living owner has it.
    ///
    /// # Errors
    /// Those of [`Mutex::lock`].
    pub fn lock(&self) -> Result<NamedGuard<'_>> {
        self.lock_with(Patience::Forever)
    }

    /// Takes the lock if no living owner has it.
    ///
    /// # Errors
    /// `Busy`; otherwise those of [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<NamedGuard<'_>> {
        self.lock_with(Patience::Try)
    }

    /// Takes the lock, waiting at most for `time`.
    ///
    /// # Errors
    /// `TimedOut`; otherwise those of [`lock`](Self::lock).
    pub fn lock_within(&self, time: Duration) -> Result<NamedGuard<'_>> {
        self.lock_with(Patience::For(time))
    }

    fn lock_with(&self, patience: Patience) -> Result<NamedGuard<'_>> {
        match self.0.lock_with(patience)? {
            Lock::Sound(guard) => Ok(NamedGuard { _guard: guard, after: None }),
            Lock::Unsound(left) => {
                let after = Some(left.why());
                // There is no value that could be wrong.
                Ok(NamedGuard { _guard: left.repaired()?, after })
            }
        }
    }
}

impl NamedGuard<'_> {
    /// Whether the owner before died with the lock, or panicked: then what the lock is for may be half
    /// done.
    #[must_use]
    pub fn after(&self) -> Option<Why> {
        self.after
    }
}

const _: () = {
    const fn sent<T: Send + Sync>() {}
    sent::<NamedMutex>();
};
