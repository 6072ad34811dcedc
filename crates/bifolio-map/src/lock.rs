//! File locks: byte ranges of a file that one opener holds against all others.
//!
//! A lock belongs to the [`FileLock`], that is, to its own opening of the file: other openings in
//! the same process are "others" too, closing some other handle of the file does not drop it (as
//! POSIX record locks would), and the system gives it back when the holder dies, however it dies.
//! A forked child shares the holder's opening, and so keeps its locks alive; what it drops of them
//! unlocks nothing.
//!
//! Threads that share a `FileLock` keep each other out as well: two locks of one `FileLock` never
//! overlap, not even shared ones. [`FileLock::of_section`] locks the very file that is mapped, through
//! its handle; all of a section's `FileLock`s are one opener.
//!
//! They are advisory on Unix: who does not ask is not kept out. On Windows a locked range cannot
//! be read or written through other handles, but it can through maps; and there a `FileLock` that
//! locks a range twice, once alone, stands in its own way.

use std::fs::File;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::process::ProcessMark;
use crate::section::{Access, Create, Section};
use crate::sys;

/// How a range is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockKind {
    /// Together with other shared locks.
    Shared,
    /// Alone.
    Exclusive,
}

/// How long to wait for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Patience {
    /// Not at all.
    Try,
    /// At most so long.
    For(Duration),
    /// For ever. A thread that holds an overlapping lock of the same [`FileLock`] would wait for
    /// itself: that is `Busy` at once.
    Forever,
}

/// What [`FileLock::probe`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockState {
    /// Nobody else holds any byte of the range.
    Free,
    /// Somebody else holds a byte of it, shared or alone.
    Held,
}

/// A file opened for locking. Its bytes need not exist: any `u64` range below 2^63 can be locked,
/// also far past the end.
///
/// ```
/// use bifolio_map::{FileLock, LockKind, LockState, Patience};
/// let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("lock");
/// let (mine, yours) = (FileLock::open_or_create(&path)?, FileLock::open(&path)?);
/// let guard = mine.lock(0..1, LockKind::Exclusive, Patience::Forever)?;
/// assert_eq!(yours.probe(0..1)?, LockState::Held);
/// drop(guard);
/// let _guard = yours.lock(0..1, LockKind::Exclusive, Patience::Try)?;
/// # Ok::<(), bifolio_map::Error>(())
/// ```
#[derive(Debug)]
pub struct FileLock {
    file: File,
    path: PathBuf,
    access: Access,
    held: Held,
}

/// What the guards of one opening hold, or wait for. The systems do not keep an opening from locking
/// twice (Unix) or cannot tell its locks from others' (Windows), so it is kept here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held(Arc<Mutex<Vec<Entry>>>);

#[derive(Debug)]
struct Entry {
    range: Range<u64>,
    how: sys::LockKind,
    /// Who took it.
    thread: ThreadId,
}

impl Entry {
    fn new(range: &Range<u64>, how: sys::LockKind) -> Self {
        Self { range: range.clone(), how, thread: std::thread::current().id() }
    }
}

/// Why a lock was not given.
#[derive(Debug)]
enum Refusal {
    /// Another lock of the same opening overlaps it.
    Own,
    /// What the system said; `WouldBlock` for somebody else's lock.
    System(io::Error),
}

impl Refusal {
    fn is_for_now(&self) -> bool {
        match self {
            Self::Own => true,
            Self::System(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

/// A held lock; dropping it lets go.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct LockGuard<'lock> {
    lock: &'lock FileLock,
    range: Range<u64>,
    /// The process that took it: a forked child has a copy of the guard, but not the lock.
    process: ProcessMark,
}

/// A held lock that owns its [`FileLock`], for keeping in a structure; dropping it lets go.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct OwnedLockGuard {
    lock: Arc<FileLock>,
    range: Range<u64>,
    process: ProcessMark,
}

impl FileLock {
    /// Opens an existing file for locking, for reading and writing.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::with(path.as_ref(), Access::ReadWrite, Create::Never)
    }

    /// Opens an existing file for shared locks only, for which reading is enough.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self> {
        Self::with(path.as_ref(), Access::Read, Create::Never)
    }

    /// Opens a file for locking, creating an empty one where there is none.
    ///
    /// # Errors
    /// `PermissionDenied`, `NotFound` for the directory.
    pub fn open_or_create(path: impl AsRef<Path>) -> Result<Self> {
        Self::with(path.as_ref(), Access::ReadWrite, Create::IfMissing)
    }

    fn with(path: &Path, access: Access, create: Create) -> Result<Self> {
        let file = sys::open(path, access, create, 0o600)
            .map_err(|error| Error::os("open for locking", error).at_path(path))?;
        Ok(Self { file, path: path.to_path_buf(), access, held: Held::default() })
    }

    /// Takes an open file for locking. The locks belong to its opening, which duplicates of the
    /// handle share: make one `FileLock` of it and not two.
    ///
    /// # Errors
    /// `ModeMismatch` for a file that was opened for writing only.
    pub fn from_file(file: File) -> Result<Self> {
        const DOING: &str = "lock";
        let path = sys::path_of(&file).unwrap_or_else(|| PathBuf::from("<open file>"));
        let access = sys::access_of(&file).map_err(|e| Error::os(DOING, e).at_path(&path))?;
        let Some(access) = access else {
            return Err(Error::new(ErrorKind::ModeMismatch, DOING)
                .at_path(&path)
                .because("the file was opened for writing only"));
        };
        Ok(Self { file, path, access, held: Held::default() })
    }

    /// Locks of the file that a section stands on, through the section's own handle: whatever its
    /// path leads to by now, what is locked is what is mapped. All `FileLock`s of a section and its
    /// clones are one opener, so their locks never overlap; they last as long as their guards, and
    /// no longer than the process.
    ///
    /// ```
    /// use bifolio_map::{ErrorKind, FileLock, LockKind, Patience, Section};
    /// let section = Section::temporary(4096)?;
    /// let lock = FileLock::of_section(&section)?;
    /// let guard = lock.lock(0..8, LockKind::Exclusive, Patience::Try)?;
    /// let same = FileLock::of_section(&section)?;
    /// let refused = same.lock(4..5, LockKind::Shared, Patience::Try).unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::Busy);
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NotSupported` on Windows for memory of the page file, which has no bytes to lock;
    /// `LimitReached` when the process has no descriptor left.
    pub fn of_section(section: &Section) -> Result<Self> {
        const DOING: &str = "lock";
        let (path, file, held) = section.for_locking();
        let Some(file) = file else {
            return Err(Error::new(ErrorKind::NotSupported, DOING)
                .at_path(path)
                .because("it is memory of the page file, which has no bytes to lock"));
        };
        // A duplicate shares the opening, and with it the locks.
        let file = file.try_clone().map_err(|e| Error::os(DOING, e).at_path(&path))?;
        Ok(Self { file, path, access: section.access(), held: held.clone() })
    }

    /// Locks a range of bytes.
    ///
    /// # Errors
    /// `Busy` with [`Patience::Try`], `TimedOut` with [`Patience::For`]; `ModeMismatch` for
    /// an exclusive lock on what was opened for reading; `InvalidInput` for an empty range;
    /// `NotSupported` where the file system has no locks.
    pub fn lock(
        &self,
        range: impl RangeBounds<u64>,
        kind: LockKind,
        patience: Patience,
    ) -> Result<LockGuard<'_>> {
        let range = self.take(range, kind, patience)?;
        Ok(LockGuard { lock: self, range, process: ProcessMark::here() })
    }

    /// As [`lock`](Self::lock), with a guard that keeps the `FileLock` itself.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use bifolio_map::{FileLock, LockKind, LockState, Patience, Section};
    /// let section = Section::temporary(4096)?;
    /// let lock = Arc::new(FileLock::of_section(&section)?);
    /// let guard = lock.lock_owned(5..6, LockKind::Exclusive, Patience::Try)?;
    /// let other = lock.again()?;
    /// drop(lock);
    /// assert_eq!(other.probe(5..6)?, LockState::Held);
    /// drop(guard);
    /// assert_eq!(other.probe(5..6)?, LockState::Free);
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    pub fn lock_owned(
        self: &Arc<Self>,
        range: impl RangeBounds<u64>,
        kind: LockKind,
        patience: Patience,
    ) -> Result<OwnedLockGuard> {
        let range = self.take(range, kind, patience)?;
        Ok(OwnedLockGuard { lock: Arc::clone(self), range, process: ProcessMark::here() })
    }

    /// Something to ask by: to the [`probe`](Self::probe) of what this gives, the locks of this one
    /// are somebody else's. It is another opening of the very same file, whatever its path leads to
    /// by now; on Windows the same opening, where locks stand in each other's way in any case.
    ///
    /// # Errors
    /// `PermissionDenied` if this user may not open it any more; `NotFound` on macOS, where a file
    /// can be opened by its path only, if that leads elsewhere; `LimitReached` when the process has
    /// no descriptor left.
    pub fn again(&self) -> Result<Self> {
        let file = sys::open_again(&self.file, self.access)
            .map_err(|error| Error::os("open again", error).at_path(&self.path))?;
        Ok(Self { file, path: self.path.clone(), access: self.access, held: Held::default() })
    }

    /// Takes the lock that a guard gives back.
    fn take(
        &self,
        range: impl RangeBounds<u64>,
        kind: LockKind,
        patience: Patience,
    ) -> Result<Range<u64>> {
        const DOING: &str = "lock";
        let range = self.resolve(range)?;
        let how = match kind {
            LockKind::Shared => sys::LockKind::Shared,
            LockKind::Exclusive => sys::LockKind::Exclusive,
        };
        if kind == LockKind::Exclusive && self.access == Access::Read {
            return Err(Error::new(ErrorKind::ModeMismatch, DOING)
                .at_path(&self.path)
                .because("opened for reading, which is enough for shared locks only"));
        }
        let outcome = match patience {
            Patience::Try => self.try_lock(&range, how),
            Patience::For(time) => return self.lock_within(range, how, time),
            Patience::Forever => {
                if self.would_wait_for_itself(&range) {
                    return Err(Error::new(ErrorKind::Busy, DOING)
                        .at_path(&self.path)
                        .at_offset(range.start)
                        .because("this thread holds an overlapping lock of the same FileLock, and would wait for itself"));
                }
                match self.lock_waiting(&range, how) {
                    Some(outcome) => outcome.map_err(Refusal::System),
                    None => return self.lock_within(range, how, Duration::MAX),
                }
            }
        };
        outcome.map_err(|refusal| self.refuse(refusal, &range))?;
        Ok(range)
    }

    fn try_lock(&self, range: &Range<u64>, how: sys::LockKind) -> Result<(), Refusal> {
        let mut held = self.held();
        if held.iter().any(|other| overlap(&other.range, range)) {
            return Err(Refusal::Own);
        }
        sys::try_lock(&self.file, range, how).map_err(Refusal::System)?;
        held.push(Entry::new(range, how));
        Ok(())
    }

    fn would_wait_for_itself(&self, range: &Range<u64>) -> bool {
        let me = std::thread::current().id();
        self.held().iter().any(|other| other.thread == me && overlap(&other.range, range))
    }

    /// Lets the system wait; `None` where it cannot, or where one's own lock is in the way, which
    /// the system would not see.
    fn lock_waiting(&self, range: &Range<u64>, how: sys::LockKind) -> Option<io::Result<()>> {
        {
            let mut held = self.held();
            if held.iter().any(|other| overlap(&other.range, range)) {
                return None;
            }
            held.push(Entry::new(range, how)); // other threads are kept out while we wait
        }
        let outcome = sys::lock(&self.file, range, how);
        if !matches!(outcome, Some(Ok(()))) {
            self.forget(range);
        }
        outcome
    }

    fn forget(&self, range: &Range<u64>) {
        self.held().retain(|other| other.range != *range);
    }

    fn held(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.held.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No system waits for a file lock with a time limit: try, and sleep a little longer each time.
    fn lock_within(
        &self,
        range: Range<u64>,
        how: sys::LockKind,
        time: Duration,
    ) -> Result<Range<u64>> {
        let started = Instant::now();
        let mut pause = Duration::from_micros(50);
        loop {
            let refusal = match self.try_lock(&range, how) {
                Ok(()) => return Ok(range),
                Err(refusal) if refusal.is_for_now() => refusal,
                Err(refusal) => return Err(self.refuse(refusal, &range)),
            };
            let left = time.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Err(Error::new(ErrorKind::TimedOut, "lock")
                    .at_path(&self.path)
                    .at_offset(range.start)
                    .because(match refusal {
                        Refusal::Own => {
                            format!("another lock of this FileLock held it for {time:?}")
                        }
                        Refusal::System(_) => format!("somebody else held it for {time:?}"),
                    }));
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }

    /// Whether somebody else holds a lock in the range: another process, or another opening in
    /// this one. What this `FileLock` holds itself does not count.
    ///
    /// Windows cannot be asked: there the free parts of the range are locked for a moment, in
    /// which others who try find them busy.
    ///
    /// # Errors
    /// `NotSupported` on Windows for a range that this `FileLock` holds shared, since others who
    /// share it cannot be told from it; otherwise what the system says.
    pub fn probe(&self, range: impl RangeBounds<u64>) -> Result<LockState> {
        let range = self.resolve(range)?;
        let held = self.held();
        let mine: Vec<_> = held.iter().map(|entry| (entry.range.clone(), entry.how)).collect();
        // Still under the lock: what is free now may be taken by another thread otherwise.
        let held = sys::is_locked_by_others(&self.file, &range, &mine)
            .map_err(|error| self.fail("probe the lock of", error, &range))?;
        Ok(if held { LockState::Held } else { LockState::Free })
    }

    fn resolve(&self, wanted: impl RangeBounds<u64>) -> Result<Range<u64>> {
        let bounds = (wanted.start_bound().cloned(), wanted.end_bound().cloned());
        let limit = match bounds.1 {
            Bound::Unbounded => u64::MAX,
            _ => i64::MAX as u64,
        };
        crate::range::resolve(bounds, limit).filter(|range| !range.is_empty()).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "lock").at_path(&self.path).because(format!(
                "{} is not a range of at least one byte below 2^63",
                crate::section::words(bounds)
            ))
        })
    }

    #[cold]
    fn refuse(&self, refusal: Refusal, range: &Range<u64>) -> Error {
        match refusal {
            Refusal::System(error) => self.fail("lock", error, range),
            Refusal::Own => Error::new(ErrorKind::Busy, "lock")
                .at_path(&self.path)
                .at_offset(range.start)
                .because("another lock of this FileLock overlaps it, or waits for it"),
        }
    }

    #[cold]
    fn fail(&self, doing: &'static str, error: io::Error, range: &Range<u64>) -> Error {
        let error = Error::os(doing, error).at_path(&self.path).at_offset(range.start);
        match error.kind() {
            ErrorKind::Busy => error.because("somebody else holds a lock there"),
            ErrorKind::NotSupported => {
                error.because("the file system gives no locks, or has none left")
            }
            _ => error,
        }
    }
}

impl FileLock {
    /// Gives back what a guard held that was made in `process`.
    fn give_back(&self, range: &Range<u64>, process: ProcessMark) {
        if !process.is_here() {
            // In a forked child, which shares the opening: unlocking would take it from the parent.
            return;
        }
        // Unlocking a range of an open file does not fail; closing the file unlocks in any case.
        let _ = sys::unlock(&self.file, range);
        // Only now may another thread lock it: its lock would have been the one given back.
        self.forget(range);
    }
}

impl Drop for LockGuard<'_> {
    fn drop(&mut self) {
        self.lock.give_back(&self.range, self.process);
    }
}

impl Drop for OwnedLockGuard {
    fn drop(&mut self) {
        self.lock.give_back(&self.range, self.process);
    }
}

/// Whether two ranges share a byte.
fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}
