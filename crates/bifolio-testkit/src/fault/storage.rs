//! The storage, files and maps that fail.

use std::io::IoSlice;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bifolio_map::storage::{Entry, OpenMode, Replace, Storage, StorageFile, StoreMap};
use bifolio_map::view::{Read, View};
use bifolio_map::{Error, ErrorKind, Flush, Result, Space};

use super::{Call, Fate, Faults};

/// A storage some of whose calls fail as [`Faults`] say.
#[derive(Debug)]
pub struct Faulty<S> {
    inner: S,
    faults: Faults,
}

impl<S: Storage> Faulty<S> {
    /// A faulty storage over a sound one.
    #[must_use]
    pub fn new(inner: S, faults: &Faults) -> Self {
        Self { inner, faults: faults.clone() }
    }

    /// The storage below.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The faults that strike here.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}

/// Does the call unless it is to fail.
fn attempt<T>(
    faults: &Faults,
    (call, doing, path): (Call, &'static str, &Path),
    act: impl FnOnce() -> Result<T>,
) -> Result<T> {
    match faults.fate(call, doing) {
        Fate::Fail(error) | Fate::Half(error) => Err(error.at_path(path)),
        Fate::Pass | Fate::Lie => act(),
    }
}

/// Syncs unless that is to fail or to be a lie.
fn attempt_sync(faults: &Faults, path: &Path, sync: impl FnOnce() -> Result<()>) -> Result<()> {
    match faults.fate(Call::Sync, "sync") {
        Fate::Fail(error) | Fate::Half(error) => Err(error.at_path(path)),
        Fate::Lie => Ok(()),
        Fate::Pass => sync(),
    }
}

/// Writes all, nothing, or the first half.
fn attempt_write(
    faults: &Faults,
    path: &Path,
    bytes: &[u8],
    write: impl Fn(&[u8]) -> Result<()>,
) -> Result<()> {
    match faults.fate(Call::Write, "write") {
        Fate::Pass | Fate::Lie => write(bytes),
        Fate::Fail(error) => Err(error.at_path(path)),
        Fate::Half(error) => {
            write(&bytes[..bytes.len() / 2])?;
            Err(error.at_path(path))
        }
    }
}

impl<S: Storage> Storage for Faulty<S> {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Box<dyn StorageFile>> {
        let call = match mode {
            OpenMode::Read | OpenMode::ReadWrite => Call::Open,
            OpenMode::CreateNew | OpenMode::OpenOrCreate => Call::Grow,
        };
        let open = || self.inner.open(path, mode);
        let inner = attempt(&self.faults, (call, "open", path), open)?;
        let handle = Handle {
            path: path.into(),
            faults: self.faults.clone(),
            poisoned: AtomicBool::new(false),
        };
        Ok(Box::new(FaultyFile { inner, handle: Arc::new(handle) }))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        let create = || self.inner.create_dir(path);
        attempt(&self.faults, (Call::Grow, "create directory", path), create)
    }

    fn rename(&self, from: &Path, to: &Path, replace: Replace) -> Result<()> {
        let rename = || self.inner.rename(from, to, replace);
        attempt(&self.faults, (Call::Grow, "rename", from), rename)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        attempt(&self.faults, (Call::Grow, "link", from), || self.inner.link(from, to))
    }

    fn unlink(&self, path: &Path) -> Result<()> {
        attempt(&self.faults, (Call::Unlink, "unlink", path), || self.inner.unlink(path))
    }

    fn list(&self, dir: &Path) -> Result<Vec<Entry>> {
        attempt(&self.faults, (Call::Read, "list", dir), || self.inner.list(dir))
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        attempt_sync(&self.faults, dir, || self.inner.sync_dir(dir))
    }
}

/// What an open file and its maps share.
#[derive(Debug)]
struct Handle {
    path: PathBuf,
    faults: Faults,
    /// A sync failed: the trait says that all later ones fail too.
    poisoned: AtomicBool,
}

impl Handle {
    fn sync(&self, sync: impl FnOnce() -> Result<()>) -> Result<()> {
        if self.poisoned.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Poisoned, "sync").at_path(&self.path));
        }
        let result = attempt_sync(&self.faults, &self.path, sync);
        if result.is_err() {
            self.poisoned.store(true, Ordering::SeqCst);
        }
        result
    }

    fn attempt<T>(
        &self,
        call: Call,
        doing: &'static str,
        act: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        attempt(&self.faults, (call, doing, &self.path), act)
    }
}

#[derive(Debug)]
struct FaultyFile {
    inner: Box<dyn StorageFile>,
    handle: Arc<Handle>,
}

impl StorageFile for FaultyFile {
    fn len(&self) -> Result<u64> {
        self.handle.attempt(Call::Read, "get length of", || self.inner.len())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<usize> {
        self.handle.attempt(Call::Read, "read", || self.inner.read_at(offset, out))
    }

    fn write_vectored_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<()> {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let Handle { faults, path, .. } = &*self.handle;
        attempt_write(faults, path, &bytes, |bytes| self.inner.write_at(offset, bytes))
    }

    fn set_len(&self, len: u64, space: Space) -> Result<()> {
        self.handle.attempt(Call::Grow, "set length of", || self.inner.set_len(len, space))
    }

    fn sync(&self, level: Flush) -> Result<()> {
        self.handle.sync(|| self.inner.sync(level))
    }

    fn view(&self, range: Range<u64>) -> Result<View<Read>> {
        self.handle.attempt(Call::Read, "map", || self.inner.view(range))
    }

    fn store_map(&self, range: Range<u64>) -> Result<Box<dyn StoreMap>> {
        let inner = self.handle.attempt(Call::Open, "map", || self.inner.store_map(range))?;
        Ok(Box::new(FaultyMap { inner, handle: Arc::clone(&self.handle) }))
    }
}

#[derive(Debug)]
struct FaultyMap {
    inner: Box<dyn StoreMap>,
    handle: Arc<Handle>,
}

impl StoreMap for FaultyMap {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.handle.attempt(Call::Read, "read", || self.inner.read_at(offset, out))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let Handle { faults, path, .. } = &*self.handle;
        attempt_write(faults, path, bytes, |bytes| self.inner.write_at(offset, bytes))
    }

    fn store_release_u64(&self, offset: u64, value: u64) -> Result<()> {
        // One word is never halved: it fails as a whole.
        let store = || self.inner.store_release_u64(offset, value);
        self.handle.attempt(Call::Write, "store", store)
    }

    fn load_acquire_u64(&self, offset: u64) -> Result<u64> {
        self.handle.attempt(Call::Read, "load", || self.inner.load_acquire_u64(offset))
    }

    fn flush(&self, range: Range<u64>, level: Flush) -> Result<()> {
        self.handle.sync(|| self.inner.flush(range, level))
    }
}
