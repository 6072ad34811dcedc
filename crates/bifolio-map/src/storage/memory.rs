//! Storage in memory: for tests, for crash states, for stores that need no disk.
//!
//! Files are heap memory of a fixed capacity, so that views of them stay where they are while they
//! grow; nothing here needs an operating system, so Miri runs it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::IoSlice;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Entry, EntryKind, OpenMode, Replace, Storage, StorageFile, StoreMap};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{Span, Stop};
use crate::view::explain::Doing;
use crate::view::{Read, ReadWrite, View};
use crate::{Flush, Space};

/// Files in memory. Clones are the same storage. Everything is durable as soon as it is written,
/// and syncs do nothing: what a crash would leave is the business of the recorder in
/// `bifolio-testkit`.
///
/// ```
/// use bifolio_map::storage::{MemoryStorage, OpenMode, Storage};
/// use std::path::Path;
/// let storage = MemoryStorage::new();
/// storage.open(Path::new("a"), OpenMode::CreateNew)?.write_at(5, b"x")?;
/// assert_eq!(storage.contents(Path::new("a")).unwrap(), b"\0\0\0\0\0x");
/// # Ok::<(), bifolio_map::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct MemoryStorage {
    tree: Arc<Mutex<Tree>>,
}

#[derive(Default)]
struct Tree {
    files: BTreeMap<PathBuf, Arc<Content>>,
    directories: std::collections::BTreeSet<PathBuf>,
}

/// The bytes of one file. `memory` is replaced by a larger one only while nothing views it.
#[derive(Debug)]
struct Content {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    memory: Span,
    len: usize,
    viewed: Viewed,
}

/// Whether views were lent: from then on the memory stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Viewed {
    Yes,
    No,
}

/// Bytes that a viewed file can grow to at least.
const VIEWED_CAPACITY: usize = if cfg!(miri) { 1 << 16 } else { 1 << 26 };

impl fmt::Debug for MemoryStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStorage").field("paths", &self.paths()).finish()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in a test must not hide behind a second one here; the data are consistent anyway.
    mutex.lock().unwrap_or_else(|broken| broken.into_inner())
}

/// The one spelling of a path: `./a` is `a`, and `.` is the empty path, where relative ones begin.
fn normal(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

impl MemoryStorage {
    /// A storage without files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A storage that holds these files.
    ///
    /// # Panics
    /// If there is no memory for them.
    #[must_use]
    pub fn from_files(files: impl IntoIterator<Item = (PathBuf, Vec<u8>)>) -> Self {
        let storage = Self::new();
        for (path, bytes) in files {
            let content = Content::new();
            content.write(0, &bytes).expect("memory for the given files");
            locked(&storage.tree).files.insert(normal(&path), Arc::new(content));
        }
        storage
    }

    /// All bytes of a file, if it exists.
    #[must_use]
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let content = Arc::clone(locked(&self.tree).files.get(&normal(path))?);
        let state = locked(&content.state);
        let mut bytes = vec![0; state.len];
        state.memory.read(0, &mut bytes).ok()?;
        Some(bytes)
    }

    /// The paths of all files, sorted.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        locked(&self.tree).files.keys().cloned().collect()
    }
}

impl Tree {
    fn content(&self, path: &Path, doing: &'static str) -> Result<&Arc<Content>> {
        self.files.get(path).ok_or_else(|| Error::new(ErrorKind::NotFound, doing).at_path(path))
    }

    /// Whether there is such a directory: the root of all paths, one that was created, or one
    /// that the storage was made with because a file lies in it.
    fn require_dir(&self, dir: &Path, doing: &'static str) -> Result<()> {
        let is_root = dir.components().all(|part| !matches!(part, Component::Normal(_)));
        let has = |path: &PathBuf| path != dir && path.starts_with(dir);
        if is_root || self.directories.contains(dir) || self.files.keys().any(has) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotFound, doing).at_path(dir))
    }

    /// Whether a name could be given: its directory exists and nothing has the name yet.
    fn vacant(&self, path: &Path, doing: &'static str) -> Result<()> {
        self.require_dir(path.parent().unwrap_or(path), doing)?;
        if self.files.contains_key(path) || self.directories.contains(path) {
            return Err(Error::new(ErrorKind::AlreadyExists, doing).at_path(path));
        }
        Ok(())
    }
}

impl Storage for MemoryStorage {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Box<dyn StorageFile>> {
        let path = &normal(path);
        let mut tree = locked(&self.tree);
        let existing = tree.files.get(path).cloned();
        let content = match (mode, existing) {
            (OpenMode::CreateNew, _) => {
                tree.vacant(path, "create")?;
                None
            }
            (OpenMode::OpenOrCreate, None) => {
                tree.vacant(path, "create")?;
                None
            }
            (OpenMode::OpenOrCreate, existing) => existing,
            (OpenMode::Read | OpenMode::ReadWrite, _) => {
                Some(Arc::clone(tree.content(path, "open")?))
            }
        };
        let content = content.unwrap_or_else(|| {
            let content = Arc::new(Content::new());
            tree.files.insert(path.to_path_buf(), Arc::clone(&content));
            content
        });
        Ok(Box::new(MemoryFile { content, path: path.to_path_buf(), mode }))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        let path = &normal(path);
        let mut tree = locked(&self.tree);
        tree.vacant(path, "create directory")?;
        tree.directories.insert(path.to_path_buf());
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path, replace: Replace) -> Result<()> {
        let (from, to) = (&normal(from), &normal(to));
        let mut tree = locked(&self.tree);
        let content = Arc::clone(tree.content(from, "rename")?);
        match replace {
            Replace::Never => tree.vacant(to, "rename to")?,
            Replace::Existing => tree.require_dir(to.parent().unwrap_or(to), "rename to")?,
        }
        tree.files.remove(from);
        tree.files.insert(to.to_path_buf(), content);
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        let (from, to) = (&normal(from), &normal(to));
        let mut tree = locked(&self.tree);
        let content = Arc::clone(tree.content(from, "link")?);
        tree.vacant(to, "link to")?;
        tree.files.insert(to.to_path_buf(), content);
        Ok(())
    }

    fn unlink(&self, path: &Path) -> Result<()> {
        let path = &normal(path);
        let mut tree = locked(&self.tree);
        tree.content(path, "unlink")?;
        tree.files.remove(path);
        Ok(())
    }

    fn list(&self, dir: &Path) -> Result<Vec<Entry>> {
        let dir = &*normal(dir);
        let tree = locked(&self.tree);
        tree.require_dir(dir, "list")?;
        let entry = |path: &Path, kind| {
            let inside = path.parent() == Some(dir);
            inside
                .then(|| Entry { name: OsString::from(path.file_name().unwrap_or_default()), kind })
        };
        let files = tree.files.keys().filter_map(|path| entry(path, EntryKind::File));
        let directories =
            tree.directories.iter().filter_map(|path| entry(path, EntryKind::Directory));
        let mut entries: Vec<Entry> = files.chain(directories).collect();
        entries.sort();
        Ok(entries)
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        locked(&self.tree).require_dir(&normal(dir), "sync directory")
    }
}

impl Content {
    fn new() -> Self {
        let state = State { memory: Span::empty(), len: 0, viewed: Viewed::No };
        Self { state: Mutex::new(state) }
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(()); // writing nothing far away is no growth
        }
        let mut state = locked(&self.state);
        let end = offset
            .checked_add(bytes.len() as u64)
            .and_then(|end| usize::try_from(end).ok())
            .ok_or_else(|| Error::new(ErrorKind::StorageFull, "write").at_offset(offset))?;
        state.reserve(end)?;
        state.memory.write(offset, bytes).map_err(|stop| stopped(stop, Doing::Store, offset))?;
        state.len = state.len.max(end);
        Ok(())
    }
}

impl State {
    /// Makes room for `capacity` bytes.
    fn reserve(&mut self, capacity: usize) -> Result<()> {
        let have = self.memory.size();
        if capacity <= have {
            return Ok(());
        }
        let full = |why: &'static str| Error::new(ErrorKind::StorageFull, "grow").because(why);
        if self.viewed == Viewed::Yes {
            return Err(full("a file in memory that was viewed keeps its capacity"));
        }
        let memory = Span::heap(capacity.max(have.saturating_mul(2)))
            .map_err(|_| full("no memory for the file"))?;
        let mut bytes = vec![0; self.len];
        self.memory.read(0, &mut bytes).map_err(|stop| stopped(stop, Doing::Load, 0))?;
        memory.write(0, &bytes).map_err(|stop| stopped(stop, Doing::Store, 0))?;
        self.memory = memory;
        Ok(())
    }

    /// A part of the memory that stays where it is from now on.
    fn lend(&mut self, range: &Range<u64>) -> Result<Span> {
        let inside = crate::range::resolve(range.clone(), self.len as u64).and_then(|range| {
            Some(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
        });
        let Some(inside) = inside else {
            let len = self.len;
            return Err(Error::new(ErrorKind::OutOfBounds, "view")
                .because(format!("asked for {}..{}, it has {len} bytes", range.start, range.end)));
        };
        self.reserve(self.len.max(VIEWED_CAPACITY))?;
        self.viewed = Viewed::Yes;
        Ok(self.memory.part(inside).expect("the range was checked"))
    }
}

fn stopped(stop: Stop, doing: Doing, offset: u64) -> Error {
    let verb = if doing == Doing::Load { "read" } else { "write" };
    Error::new(ErrorKind::OutOfBounds, verb).at_offset(offset).because(format!("{stop:?}"))
}

#[derive(Debug)]
struct MemoryFile {
    content: Arc<Content>,
    path: PathBuf,
    mode: OpenMode,
}

impl MemoryFile {
    fn want_write(&self, doing: &'static str) -> Result<()> {
        if self.mode == OpenMode::Read {
            return Err(Error::new(ErrorKind::ModeMismatch, doing)
                .at_path(&self.path)
                .because("the file is open for reading only"));
        }
        Ok(())
    }
}

impl StorageFile for MemoryFile {
    fn len(&self) -> Result<u64> {
        Ok(locked(&self.content.state).len as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<usize> {
        let state = locked(&self.content.state);
        let left = (state.len as u64).saturating_sub(offset);
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        if size > 0 {
            state
                .memory
                .read(offset, &mut out[..size])
                .map_err(|stop| stopped(stop, Doing::Load, offset).at_path(&self.path))?;
        }
        Ok(size)
    }

    fn write_vectored_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<()> {
        self.want_write("write")?;
        let mut at = offset;
        for part in parts {
            self.content.write(at, part).map_err(|error| error.at_path(&self.path))?;
            at += part.len() as u64;
        }
        Ok(())
    }

    fn set_len(&self, len: u64, _space: Space) -> Result<()> {
        self.want_write("set the length of")?;
        let mut state = locked(&self.content.state);
        let len = usize::try_from(len).map_err(|_| {
            Error::new(ErrorKind::StorageFull, "set the length of").at_path(&self.path)
        })?;
        state.reserve(len)?;
        if len < state.len {
            // Bytes that come back later are zeros, as in a file.
            state
                .memory
                .fill(len as u64, 0, state.len - len)
                .map_err(|stop| stopped(stop, Doing::Store, len as u64))?;
        }
        state.len = len;
        Ok(())
    }

    fn sync(&self, _level: Flush) -> Result<()> {
        Ok(())
    }

    fn view(&self, range: Range<u64>) -> Result<View<Read>> {
        let span =
            locked(&self.content.state).lend(&range).map_err(|error| error.at_path(&self.path))?;
        Ok(View::of_heap(span, range.start))
    }

    fn store_map(&self, range: Range<u64>) -> Result<Box<dyn StoreMap>> {
        self.want_write("map for stores")?;
        let span =
            locked(&self.content.state).lend(&range).map_err(|error| error.at_path(&self.path))?;
        Ok(Box::new(View::<ReadWrite>::of_heap(span, range.start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_and_store_maps_of_memory_are_the_files_bytes() {
        let storage = MemoryStorage::new();
        let file = storage.open(Path::new("a"), OpenMode::CreateNew).unwrap();
        file.write_at(0, &[1; 4096]).unwrap();
        let view = file.view(1000..3000).unwrap();
        let map = file.store_map(0..4096).unwrap();
        map.write_at(1003, b"odd place").unwrap();
        map.store_release_u64(2000, 0x0102_0304_0506_0708).unwrap();
        assert_eq!(view.read_vec(3..12).unwrap(), b"odd place");
        assert_eq!(map.load_acquire_u64(2000).unwrap(), 0x0102_0304_0506_0708);
        file.write_at(2996, b"late").unwrap();
        assert_eq!(view.read_vec(1996..).unwrap(), b"late");
        assert_eq!(view.get::<u16>(0).unwrap(), 0x0101);
        assert_eq!(map.store_release_u64(4, 0).map_err(|e| e.kind()), Err(ErrorKind::Misaligned));
    }

    #[test]
    fn two_threads_store_and_load_one_file() {
        let storage = MemoryStorage::from_files([(PathBuf::from("a"), vec![0; 64])]);
        let file = storage.open(Path::new("a"), OpenMode::ReadWrite).unwrap();
        let (ours, theirs) = (file.store_map(0..64).unwrap(), file.store_map(0..64).unwrap());
        std::thread::scope(|scope| {
            scope.spawn(move || {
                theirs.write_at(8, b"complete").unwrap();
                theirs.store_release_u64(0, 1).unwrap();
            });
            while ours.load_acquire_u64(0).unwrap() == 0 {
                std::thread::yield_now();
            }
            let mut bytes = [0; 8];
            ours.read_at(8, &mut bytes).unwrap();
            assert_eq!(&bytes, b"complete", "what was stored before the word");
        });
    }
}
