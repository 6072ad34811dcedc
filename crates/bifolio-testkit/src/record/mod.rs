//! The recorder: a [`Storage`] that passes everything on to another one and keeps a [`Trace`].
//!
//! ```
//! use std::path::Path;
//! use bifolio_map::storage::{MemoryStorage, OpenMode, Storage, StorageFile};
//! use bifolio_testkit::record::Recorder;
//!
//! let storage = Recorder::new(MemoryStorage::new());
//! storage.begun(1);
//! storage.open(Path::new("log"), OpenMode::CreateNew)?.write_at(0, b"first")?;
//! assert_eq!(storage.trace().to_string(), "#0 begun 1\n#1 create log\n#2 write log 0..5\n");
//! # Ok::<(), bifolio_map::Error>(())
//! ```

mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use bifolio_map::storage::{
    Entry, EntryKind, MemoryStorage, OpenMode, Replace, Storage, StorageFile,
};
use bifolio_map::{Error, ErrorKind, Result};

use crate::fault::{Faults, Faulty};
use crate::trace::{FileId, Name, Op, Outcome, Trace, normal};
use file::RecordedFile;

/// Passes everything on to the storage below and records it.
///
/// What the storage below holds already counts as durable. [`over_memory`](Self::over_memory)
/// takes all of it into the trace; [`new`](Self::new) takes a file in when it is first touched, so
/// that a crash state has the touched files only.
///
/// Calls of several threads are put in one order: each takes effect and is recorded under one
/// lock. Renaming directories is not recorded and therefore refused with `NotSupported`.
pub struct Recorder<S> {
    inner: S,
    book: Arc<Book>,
}

/// The trace that is being written, shared by the recorder and its open files.
struct Book {
    pages: Mutex<Pages>,
    /// The fault injector below, whose lies are to be recorded as such.
    faults: Option<Faults>,
}

struct Pages {
    trace: Trace,
    /// The names as of now.
    names: BTreeMap<PathBuf, Name>,
}

impl<S: Storage> Recorder<S> {
    /// A recorder over a storage that never lies.
    #[must_use]
    pub fn new(inner: S) -> Self {
        Self::build(inner, None)
    }

    fn build(inner: S, faults: Option<Faults>) -> Self {
        let pages = Mutex::new(Pages { trace: Trace::default(), names: BTreeMap::new() });
        Self { inner, book: Arc::new(Book { pages, faults }) }
    }

    /// The storage below.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Marks that the work with this number is being done: a crash from now on may leave it.
    /// Numbers grow; 0 is "nothing yet".
    pub fn begun(&self, id: u64) {
        self.book.pages().trace.ops.push(Op::Begun(id));
    }

    /// Marks that the work with this number was promised to last: a crash from now on must
    /// leave it.
    pub fn acknowledged(&self, id: u64) {
        self.book.pages().trace.ops.push(Op::Acknowledged(id));
    }

    /// What was recorded until now.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.book.pages().trace.clone()
    }

    /// Takes a file that was there before into the trace, if it is there.
    fn adopt(&self, pages: &mut Pages, path: &Path) -> Result<Option<FileId>> {
        match pages.names.get(path) {
            Some(Name::File(file)) => return Ok(Some(*file)),
            Some(Name::Directory) => return Ok(None),
            None => {}
        }
        let read = || -> Result<Vec<u8>> {
            let file = self.inner.open(path, OpenMode::Read)?;
            let size = file.len()?;
            let size = usize::try_from(size).map_err(|_| {
                Error::new(ErrorKind::OutOfMemory, "record").because("the file is too large")
            })?;
            let mut bytes = vec![0; size];
            file.read_exact_at(0, &mut bytes)?;
            Ok(bytes)
        };
        match self.book.without_faults(read) {
            Ok(bytes) => Ok(Some(pages.start_with(path, bytes))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Recorder<MemoryStorage> {
    /// A recorder over a storage in memory, all of whose files count as durable.
    #[must_use]
    pub fn over_memory(memory: MemoryStorage) -> Self {
        let recorder = Self::new(memory);
        let mut pages = recorder.book.pages();
        for path in recorder.inner.paths() {
            if let Some(bytes) = recorder.inner.contents(&path) {
                pages.start_with(&normal(&path), bytes);
            }
        }
        pages.start_with_directories(&recorder.inner, Path::new(""));
        pages.start_with_directories(&recorder.inner, Path::new("/"));
        drop(pages);
        recorder
    }
}

impl<S: Storage> Recorder<Faulty<S>> {
    /// A recorder over a fault injector: a sync that lied is recorded as a lie, and what a failed
    /// write left is read back past the injector.
    #[must_use]
    pub fn over_faults(faulty: Faulty<S>) -> Self {
        let faults = faulty.faults().clone();
        Self::build(faulty, Some(faults))
    }
}

impl Book {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Runs one of the recorder's own calls, which no fault shall hit and no count shall see.
    fn without_faults<T>(&self, call: impl FnOnce() -> T) -> T {
        match &self.faults {
            Some(faults) => faults.paused(call),
            None => call(),
        }
    }

    /// Runs a sync and says how it really ended.
    fn judge(&self, sync: impl FnOnce() -> Result<()>) -> (Result<()>, Outcome) {
        let lies = || self.faults.as_ref().map_or(0, Faults::lies);
        let before = lies();
        let result = sync();
        let outcome = match result {
            Err(_) => Outcome::Failed,
            Ok(()) if lies() > before => Outcome::Lied,
            Ok(()) => Outcome::Done,
        };
        (result, outcome)
    }
}

impl Pages {
    /// Adds a file that was there at the start.
    fn start_with(&mut self, path: &Path, bytes: Vec<u8>) -> FileId {
        let file = self.new_file(path, bytes);
        self.trace.names.insert(path.into(), Name::File(file));
        self.names.insert(path.into(), Name::File(file));
        file
    }

    /// Adds the directories under `dir` that were there at the start.
    fn start_with_directories(&mut self, storage: &MemoryStorage, dir: &Path) {
        let Ok(entries) = storage.list(dir) else { return };
        for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Directory) {
            let path = dir.join(&entry.name);
            self.start_with_directories(storage, &path);
            self.trace.names.insert(path.clone(), Name::Directory);
            self.names.insert(path, Name::Directory);
        }
    }

    fn new_file(&mut self, path: &Path, bytes: Vec<u8>) -> FileId {
        let file = FileId(self.trace.files.len());
        self.trace.files.push(bytes);
        self.trace.titles.push(path.into());
        file
    }
}

impl<S: Storage> Storage for Recorder<S> {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Box<dyn StorageFile>> {
        let path = normal(path);
        let mut pages = self.book.pages();
        let known = self.adopt(&mut pages, &path)?;
        let inner = self.inner.open(&path, mode)?;
        let file = known.unwrap_or_else(|| {
            let file = pages.new_file(&path, Vec::new());
            pages.names.insert(path.clone(), Name::File(file));
            pages.trace.ops.push(Op::Create { path, file });
            file
        });
        Ok(Box::new(RecordedFile::new(inner, file, Arc::clone(&self.book))))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        let path = normal(path);
        let mut pages = self.book.pages();
        self.inner.create_dir(&path)?;
        pages.names.insert(path.clone(), Name::Directory);
        pages.trace.ops.push(Op::CreateDir { path });
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path, replace: Replace) -> Result<()> {
        let (from, to) = (normal(from), normal(to));
        let mut pages = self.book.pages();
        let Some(file) = self.adopt(&mut pages, &from)? else {
            if pages.names.get(&from) == Some(&Name::Directory) {
                return Err(Error::new(ErrorKind::NotSupported, "rename")
                    .at_path(from)
                    .because("the recorder knows nothing of renamed directories"));
            }
            // There is nothing to rename; the storage below says it in its own words.
            return self.inner.rename(&from, &to, replace);
        };
        // So that a state from before the rename has the file that is replaced.
        let replaced = self.adopt(&mut pages, &to)?;
        self.inner.rename(&from, &to, replace)?;
        if replaced == Some(file) {
            // POSIX: two names of one file; nothing is done and both stay.
            if self.book.without_faults(|| self.inner.open(&from, OpenMode::Read)).is_ok() {
                return Ok(());
            }
        }
        pages.names.remove(&from);
        pages.names.insert(to.clone(), Name::File(file));
        pages.trace.ops.push(Op::Rename { from, to, file });
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        let (from, path) = (normal(from), normal(to));
        let mut pages = self.book.pages();
        let file = self.adopt(&mut pages, &from)?;
        self.inner.link(&from, &path)?;
        let Some(file) = file else {
            return Err(Error::new(ErrorKind::NotSupported, "link")
                .at_path(from)
                .because("the recorder knows nothing of links to directories"));
        };
        pages.names.insert(path.clone(), Name::File(file));
        pages.trace.ops.push(Op::Link { path, file });
        Ok(())
    }

    fn unlink(&self, path: &Path) -> Result<()> {
        let path = normal(path);
        let mut pages = self.book.pages();
        self.adopt(&mut pages, &path)?;
        self.inner.unlink(&path)?;
        pages.names.remove(&path);
        pages.trace.ops.push(Op::Unlink { path });
        Ok(())
    }

    fn list(&self, dir: &Path) -> Result<Vec<Entry>> {
        self.inner.list(&normal(dir))
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        let path = normal(dir);
        let mut pages = self.book.pages();
        let (result, outcome) = self.book.judge(|| self.inner.sync_dir(&path));
        pages.trace.ops.push(Op::SyncDir { path, outcome });
        result
    }
}

impl<S: fmt::Debug> fmt::Debug for Recorder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bifolio_map::storage::RealStorage;

    use super::*;

    #[test]
    fn the_storage_below_is_asked_under_the_spelling_of_the_trace() {
        let storage = Recorder::new(RealStorage);
        let (dotted, plain) = (Path::new("./no such name"), Path::new("no such name"));
        for error in [
            storage.rename(dotted, dotted, Replace::Never).unwrap_err(),
            storage.link(dotted, dotted).unwrap_err(),
            storage.unlink(dotted).unwrap_err(),
            storage.list(dotted).map(drop).unwrap_err(),
            storage.sync_dir(dotted).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert_eq!(error.path(), Some(plain), "{error}");
        }
    }
}
