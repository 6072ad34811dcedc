//! The directory of objects: what is in it, and who takes something away.

use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bifolio_map::{FileLock, LockKind, OwnedLockGuard, Patience};

use super::writable::WRITTEN;
use super::{ASIDE, Evicted, LONGEST, ObjectEntry, PIN};
use crate::error::{Error, ErrorKind, Result};

/// The file whose lock is the directory's.
const LOCK: &str = ".lock";

/// What a directory says.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) objects: Vec<ObjectEntry>,
    /// Files that are being written, or whose writer died.
    aside: Vec<PathBuf>,
    /// Names of those that are written together.
    pub(super) written: Vec<String>,
}

impl Entries {
    pub(super) fn read(directory: &Path) -> Result<Self> {
        let mut found = Self::default();
        for entry in std::fs::read_dir(directory).map_err(failed("list", directory))? {
            let entry = entry.map_err(failed("list", directory))?;
            let name = entry.file_name();
            // What is no text was put by nobody of us.
            let Some(name) = name.to_str() else { continue };
            if name.starts_with(ASIDE) {
                found.aside.push(entry.path());
            }
            if let Some(name) = name.strip_prefix(WRITTEN) {
                found.written.push(name.to_owned());
            }
            if name.starts_with('.') {
                continue;
            }
            // What goes meanwhile is not there.
            let Ok(facts) = entry.metadata() else { continue };
            if !facts.is_file() {
                continue;
            }
            let used = facts.accessed().or_else(|_| facts.modified());
            found.objects.push(ObjectEntry {
                name: name.to_owned(),
                size: facts.len(),
                used: used.unwrap_or(std::time::UNIX_EPOCH),
            });
        }
        Ok(found)
    }
}

/// The directory, locked: nobody else takes a name away.
#[derive(Debug)]
pub(super) struct Locked<'directory> {
    path: PathBuf,
    _lock: OwnedLockGuard,
    directory: PhantomData<&'directory Path>,
}

impl<'directory> Locked<'directory> {
    pub(super) fn take(directory: &'directory Path) -> Result<Self> {
        let lock = Arc::new(FileLock::open_or_create(directory.join(LOCK))?);
        let lock = lock.lock_owned(.., LockKind::Exclusive, Patience::For(LONGEST))?;
        Ok(Self { path: directory.to_path_buf(), _lock: lock, directory: PhantomData })
    }

    /// Removes a file that nobody has pinned. Whether it went; `None` if there was none.
    pub(super) fn remove_unread(&self, path: &Path) -> Result<Option<bool>> {
        let lock = match FileLock::open(path) {
            Err(error) if error.kind() == bifolio_map::ErrorKind::NotFound => return Ok(None),
            lock => lock?,
        };
        // Until it is gone, nobody pins it; who had opened it finds that its name is gone.
        let alone = match lock.lock(PIN, LockKind::Exclusive, Patience::Try) {
            Err(error) if error.kind() == bifolio_map::ErrorKind::Busy => {
                if !broken!(PinsNotAsked) {
                    return Ok(Some(false));
                }
                None
            }
            alone => Some(alone?),
        };
        let removed = std::fs::remove_file(path);
        drop(alone);
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            // Windows keeps what somebody has mapped without a pin.
            Err(error) if cfg!(windows) && error.kind() == io::ErrorKind::PermissionDenied => {
                Ok(Some(false))
            }
            Err(error) => Err(failed("remove", path)(error)),
            Ok(()) => Ok(Some(true)),
        }
    }

    /// Removes what writers that died had begun.
    pub(super) fn sweep(&self) -> Result<()> {
        if broken!(DeadNotSwept) {
            return Ok(());
        }
        for path in Entries::read(&self.path)?.aside {
            self.remove_unread(&path)?;
        }
        Ok(())
    }

    /// As [`Objects::evict_to`](super::Objects::evict_to).
    pub(super) fn evict_to(&self, bytes: u64) -> Result<Evicted> {
        let mut objects = Entries::read(&self.path)?.objects;
        objects.sort_by_key(|object| object.used);
        let mut left: u64 = objects.iter().map(|object| object.size).sum();
        let mut evicted = Evicted::default();
        for object in objects {
            if left <= bytes {
                break;
            }
            match self.remove_unread(&self.path.join(&object.name))? {
                Some(true) => {
                    evicted.objects += 1;
                    evicted.bytes += object.size;
                    left -= object.size;
                }
                Some(false) => evicted.pinned += object.size,
                None => left -= object.size,
            }
        }
        Ok(evicted)
    }

    /// Evicts until `size` more bytes fit the budget.
    pub(super) fn make_room(&self, size: u64, budget: u64, doing: &'static str) -> Result<()> {
        let sum = |entries: Entries| entries.objects.iter().map(|object| object.size).sum::<u64>();
        let used = sum(Entries::read(&self.path)?);
        if used.saturating_add(size) <= budget {
            return Ok(());
        }
        // A little more than is needed, so that not every put has to look at all of them.
        let target = (budget - size).min(budget - budget / 16);
        let evicted = self.evict_to(target)?;
        let used = used.saturating_sub(evicted.bytes);
        if used.saturating_add(size) <= budget {
            return Ok(());
        }
        let why = format!(
            "it has {size} bytes; {used} of {budget} are there, {} of them being read",
            evicted.pinned
        );
        Err(Error::new(ErrorKind::Full, doing).because(why))
    }
}

/// An error of the system about a path.
pub(super) fn failed(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> Error {
    move |error| bifolio_map::Error::os(doing, error).at_path(path).into()
}
