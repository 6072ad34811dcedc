//! Objects: one file for each entry of a directory, published whole, pinned while somebody reads it,
//! and evicted when the bytes become too many.
//!
//! ```text
//!           replace: write aside        rename               evict, remove
//!  no name ──────────────────▶ .put-… ────────▶ object ───────────────────▶ no name
//!                                 │               │ ▲   EX on its byte          (readers keep
//!                writer killed    │            SH │ │ reader goes, or dies        what they have)
//!              ◀──────────────────┘               ▼ │
//!               next one in the lock            pinned
//! ```
//!
//! A put writes a file without a name and links it, where there are such files; elsewhere it goes by a
//! name aside as well.
//!
//! A *pin* is a shared lock of one byte far behind the end of the entry's file: a count of readers that
//! the kernel keeps, and gives back for the dead. Whoever gets the exclusive lock without waiting knows
//! that nobody reads. Which entries there are, how large they are and when they were last read is
//! what the directory says: there is no index that could be wrong.
//!
//! One lock, of the file `.lock`, is held by whoever takes a name away or counts bytes. After its
//! shared lock a reader makes sure that the path still leads to what it has: the remover may have been
//! first.

mod directory;
#[cfg(all(
    test,
    not(any(miri, loom)),
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
pub(crate) mod tests;
mod writable;

pub use writable::{ObjectGuard, WritableObject};

use std::fs::{File, FileTimes};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bifolio_map::names::Name;
use bifolio_map::{
    Currency, FileLock, Frozen, LockKind, OwnedLockGuard, Patience, Read, ReadWrite, Section,
    UnnamedFile, View,
};

use crate::error::{Error, ErrorKind, Result};
use directory::{Entries, Locked};

/// The byte whose locks are pins: no file reaches it.
const PIN: std::ops::Range<u64> = 1 << 40..(1 << 40) + 1;

/// How long somebody may be in the middle of removing what we look at, or of the directory's lock.
const LONGEST: Duration = Duration::from_secs(10);

/// What names of ours begin with that are no objects. Names of objects begin with no dot.
const ASIDE: &str = ".put-";

/// A set of named byte strings that processes share, one file each.
///
/// The directory is theirs alone: **every plain file in it is an object**, whoever put it there, and may be
/// evicted, but for names that begin with a dot.
///
/// The files are plain: whatever reads files reads them. What is put is there whole or not at all,
/// whoever is killed meanwhile; it is *written*, not durable. What is read is pinned, and stays what
/// it was, also if it is replaced or removed meanwhile. On a tmpfs (`/dev/shm`) they are memory. Who may
/// read them is what the directory and, on Unix, the umask of the process that puts them say; who
/// evicts has to be able to write them.
///
/// ```
/// use bifolio_share::{ErrorKind, Objects};
/// # let dir = tempfile::tempdir().unwrap();
/// # let directory = dir.path();
/// let tiles = Objects::options().budget(1 << 20).open(directory)?; // in every process
/// tiles.put("7-42", b"a tile")?;
/// assert_eq!(tiles.put("7-42", b"another").unwrap_err().kind(), ErrorKind::AlreadyExists);
/// let tile = tiles.get("7-42")?.expect("it is there");
/// assert_eq!(tile.to_vec()?, b"a tile");
/// assert!(tiles.get("8-1")?.is_none());
/// # Ok::<(), bifolio_share::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Objects {
    directory: PathBuf,
    budget: Option<u64>,
}

/// How to open [`Objects`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ObjectsOptions {
    budget: Option<u64>,
}

/// An object that is being read. As long as it is there the object is not evicted; its bytes are
/// those that were put, whatever becomes of its name.
#[derive(Debug)]
pub struct Object {
    section: Section,
    view: View<Read>,
    /// Given back when this goes, or when the process ends.
    _pin: OwnedLockGuard,
}

/// An object of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectEntry {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// When it was last read, or put.
    pub used: SystemTime,
}

/// What an eviction came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evicted {
    /// Objects that went.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of objects that stayed because somebody reads them.
    pub pinned: u64,
}

impl ObjectsOptions {
    /// So many bytes at most: what would be more makes room by evicting what was not read for the
    /// longest time. Every process says for itself what it keeps to.
    pub fn budget(mut self, bytes: u64) -> Self {
        self.budget = Some(bytes);
        self
    }

    /// Opens the objects of a directory, which must exist.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` for what is no directory.
    pub fn open(&self, directory: impl AsRef<Path>) -> Result<Objects> {
        let directory = directory.as_ref();
        let facts = std::fs::metadata(directory).map_err(directory::failed("open", directory))?;
        if !facts.is_dir() {
            return Err(Error::new(ErrorKind::InvalidInput, "open")
                .of(directory)
                .because("it is no directory"));
        }
        Ok(Objects { directory: directory.to_path_buf(), budget: self.budget })
    }
}

impl Objects {
    /// Opens the objects of a directory, without a budget.
    ///
    /// # Errors
    /// Those of [`ObjectsOptions::open`].
    pub fn open(directory: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(directory)
    }

    /// How to open them.
    pub fn options() -> ObjectsOptions {
        ObjectsOptions::default()
    }

    /// Adds an object, once.
    ///
    /// # Errors
    /// `AlreadyExists`; `Full` if it does not fit the budget beside what is being read, or the device;
    /// `InvalidInput` for a name that is none (see [`Name`]); what the system says.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.put_content(name, &Content::Bytes(bytes))
    }

    fn put_content(&self, name: &str, bytes: &Content<'_>) -> Result<()> {
        const DOING: &str = "put";
        let path = self.path(name)?;
        self.check_budget(name, bytes, DOING)?;
        if let Some(file) = UnnamedFile::create_in(&self.directory)? {
            return self.publish_unnamed(file, &path, bytes, DOING).map_err(|error| error.of(name));
        }
        self.publish(name, bytes, DOING, Way::Link, |aside| {
            // A link replaces nothing.
            std::fs::hard_link(aside, &path)?;
            // If we die before this, the next one in the lock removes it: it is another name of the
            // same file, and no object.
            seam!();
            std::fs::remove_file(aside)
        })
    }

    /// Adds an object, or puts it in the place of the one that has its name. Whoever reads that one
    /// keeps it.
    ///
    /// # Errors
    /// As [`put`](Self::put), without `AlreadyExists`. On Windows also `Busy` while somebody reads it.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        const DOING: &str = "replace";
        let (path, bytes) = (self.path(name)?, &Content::Bytes(bytes));
        self.check_budget(name, bytes, DOING)?;
        self.publish(name, bytes, DOING, Way::Rename, |aside| std::fs::rename(aside, &path))
    }

    /// Pins an object for reading; `None` if there is none of this name.
    ///
    /// # Errors
    /// `InvalidInput` for a name that is none; `TimedOut` if somebody is stopped in the middle of
    /// removing it; what the system says.
    pub fn get(&self, name: &str) -> Result<Option<Object>> {
        let path = self.path(name)?;
        loop {
            let section = match Section::open(&path) {
                Err(error) if error.kind() == bifolio_map::ErrorKind::NotFound => return Ok(None),
                section => section?,
            };
            if broken!(NameNotChecked) {
                // Long enough for whoever removes.
                std::thread::sleep(Duration::from_micros(200));
            }
            let lock = Arc::new(FileLock::of_section(&section)?);
            let pin = lock.lock_owned(PIN, LockKind::Shared, Patience::For(LONGEST))?;
            // After the lock: the remover may have come before it.
            if !broken!(NameNotChecked) && section.is_current()? != Currency::Current {
                continue;
            }
            touch(&section, &path);
            let view = section.view()?;
            return Ok(Some(Object { section, view, _pin: pin }));
        }
    }

    /// Takes an object away, unless somebody reads it; whether there was one.
    ///
    /// # Errors
    /// `Busy` if somebody reads it; otherwise those of [`get`](Self::get).
    pub fn remove(&self, name: &str) -> Result<Removal> {
        let path = self.path(name)?;
        let locked = Locked::take(&self.directory)?;
        match locked.remove_unread(&path)? {
            Some(true) => Ok(Removal::Done),
            None => Ok(Removal::WasNotThere),
            Some(false) => {
                Err(Error::new(ErrorKind::Busy, "remove").of(path).because("somebody reads it"))
            }
        }
    }

    /// All objects, in the order of their names. They come and go meanwhile.
    ///
    /// # Errors
    /// What the system says.
    pub fn list(&self) -> Result<Vec<ObjectEntry>> {
        let mut all = Entries::read(&self.directory)?.objects;
        all.sort_by(|one, two| one.name.cmp(&two.name));
        Ok(all)
    }

    /// Evicts what was not read for the longest time until `bytes` are left at most, or all that is
    /// left is being read.
    ///
    /// # Errors
    /// `TimedOut` if somebody is stopped in the directory's lock; what the system says.
    pub fn evict_to(&self, bytes: u64) -> Result<Evicted> {
        Locked::take(&self.directory)?.evict_to(bytes)
    }

    /// Writes bytes aside, makes room for them, and gives them their name by `link`.
    fn publish(
        &self,
        name: &str,
        bytes: &Content<'_>,
        doing: &'static str,
        way: Way,
        link: impl Fn(&Path) -> std::io::Result<()>,
    ) -> Result<()> {
        loop {
            let (count, care) = next_put();
            let aside = self.directory.join(format!("{ASIDE}{}-{count}", std::process::id()));
            let outcome = self.publish_from(&aside, bytes, doing, way, care, &link);
            match outcome {
                // Somebody took it for a dead one's before its lock was there.
                Err(Failure::Gone) => {}
                Err(Failure::Other(error)) => {
                    // Not there any more, or for the next one in the lock to remove.
                    let _ = std::fs::remove_file(&aside);
                    return Err(error.of(name));
                }
                Ok(()) => return Ok(()),
            }
        }
    }

    fn publish_from(
        &self,
        aside: &Path,
        bytes: &Content<'_>,
        doing: &'static str,
        way: Way,
        care: Care,
        link: impl Fn(&Path) -> std::io::Result<()>,
    ) -> std::result::Result<(), Failure> {
        let failed = |error| Failure::of(error, doing, aside);
        let file = File::create_new(aside).map_err(failed)?;
        let lock = FileLock::from_file(file.try_clone().map_err(failed)?).map_err(Error::from)?;
        let alive = match lock.lock(PIN, LockKind::Shared, Patience::Try) {
            Err(error) if error.kind() == bifolio_map::ErrorKind::Busy => {
                return Err(Failure::Gone);
            }
            alive => alive.map_err(Error::from)?,
        };
        bytes.write_to(&file).map_err(failed)?;
        let _locked = self.prepare(bytes, doing, way, care)?;
        link(aside).map_err(failed)?;
        drop(alive);
        Ok(())
    }

    /// As [`publish`](Self::publish), by a file that has no name before: a death leaves nothing.
    fn publish_unnamed(
        &self,
        file: UnnamedFile,
        path: &Path,
        bytes: &Content<'_>,
        doing: &'static str,
    ) -> Result<()> {
        if broken!(PutEarly) {
            let file = file.publish(path)?;
            seam!();
            return bytes.write_to(&file).map_err(directory::failed(doing, path));
        }
        bytes.write_to(file.as_file()).map_err(directory::failed(doing, path))?;
        let (_, care) = next_put();
        let _locked = self.prepare(bytes, doing, Way::Link, care)?;
        file.publish(path)?;
        Ok(())
    }

    /// Looks for what dead writers left, and makes room, as far as either is due.
    fn prepare(
        &self,
        bytes: &Content<'_>,
        doing: &'static str,
        way: Way,
        care: Care,
    ) -> Result<Option<Locked<'_>>> {
        // A link takes no name away and replaces none, so it needs no lock of the directory.
        if let (Way::Link, Care::None, None) = (way, care, self.budget) {
            return Ok(None);
        }
        let locked = Locked::take(&self.directory)?;
        if let Care::Sweep = care {
            locked.sweep()?;
            self.sweep_written()?;
        }
        if let Some(budget) = self.budget {
            locked.make_room(bytes.len(), budget, doing)?;
        }
        Ok(Some(locked))
    }

    /// Takes away what was written of objects that are there.
    fn sweep_written(&self) -> Result<()> {
        let found = Entries::read(&self.directory)?;
        for name in &found.written {
            if found.objects.iter().any(|object| object.name == *name) {
                // What cannot be judged stays; who discards it is told why.
                let _ = self.take_frozen_away(name);
            }
        }
        Ok(())
    }

    fn check_budget(&self, name: &str, bytes: &Content<'_>, doing: &'static str) -> Result<()> {
        let size = bytes.len();
        match self.budget {
            Some(budget) if size > budget => Err(Error::new(ErrorKind::Full, doing)
                .of(name)
                .because(format!("it has {size} bytes, the budget is {budget}"))),
            _ => Ok(()),
        }
    }

    fn path(&self, name: &str) -> Result<PathBuf> {
        Ok(self.directory.join(Name::new(name)?.as_str()))
    }
}

/// What becomes an object.
enum Content<'bytes> {
    Bytes(&'bytes [u8]),
    View(&'bytes View<ReadWrite>, Range<u64>),
}

impl Content<'_> {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::View(_, range) => range.end - range.start,
        }
    }

    fn write_to(&self, mut file: &File) -> std::io::Result<()> {
        match self {
            Self::Bytes(bytes) => file.write_all(bytes),
            Self::View(view, range) => writable::write_pieces(view, range, file),
        }
    }
}

/// Where the pieces begin and end in which so many bytes are copied.
fn pieces(len: u64) -> impl Iterator<Item = (u64, u64)> {
    const PIECE: usize = 256 << 10;
    (0..len).step_by(PIECE).map(move |start| (start, len.min(start + PIECE as u64)))
}

/// The number of a put of this process, and whether it looks for what dead writers left. The first and
/// each tenth do: a look costs as much as the directory is long.
fn next_put() -> (u64, Care) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    (count, if count.is_multiple_of(10) { Care::Sweep } else { Care::None })
}

/// How a file that was written aside gets its name.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// If nobody has it.
    Link,
    /// From whoever has it.
    Rename,
}

/// Whether a put looks for what dead writers left.
#[derive(Clone, Copy, Debug)]
enum Care {
    None,
    Sweep,
}

/// Why something was not published.
enum Failure {
    /// The file aside was taken away.
    Gone,
    Other(Error),
}

impl Failure {
    fn of(error: std::io::Error, doing: &'static str, path: &Path) -> Self {
        if error.kind() == std::io::ErrorKind::NotFound {
            return Self::Gone;
        }
        Self::Other(directory::failed(doing, path)(error))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// What came of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Removal {
    /// It is gone.
    Done,
    /// There was none of that name.
    WasNotThere,
}

impl Object {
    /// Its bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.view.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.view.is_empty()
    }

    /// Copies bytes out.
    ///
    /// # Errors
    /// `OutOfBounds`; what became of the file's bytes, if somebody cut it off.
    pub fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        Ok(self.view.read_at(offset, bytes)?)
    }

    /// All of its bytes.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub fn to_vec(&self) -> Result<Vec<u8>> {
        Ok(self.view.read_vec(..)?)
    }

    /// A sealed copy of it, lent as `&[u8]`, which other processes get by its descriptor: hand them
    /// [`Frozen::section`], or have a child [inherit](Section::inherit) it. Where there are no seals
    /// (everywhere but on Linux) it is a copy for this process.
    ///
    /// # Errors
    /// Those of [`Section::freeze_copy`]; what became of the file's bytes, if somebody cut it off.
    pub fn sealed(&self) -> Result<Frozen> {
        Ok(self.section.freeze_copy()?)
    }

    /// The view of it, for numbers, scans and streams. A clone of it keeps the bytes, not the pin.
    #[must_use]
    pub fn view(&self) -> &View<Read> {
        &self.view
    }
}

/// Writes down that an object was read. Who may not do that reads it all the same.
fn touch(section: &Section, path: &Path) {
    let now = FileTimes::new().set_accessed(SystemTime::now());
    if cfg!(windows) {
        // Times are written by handles that may write.
        let _ = File::options().write(true).open(path).and_then(|file| file.set_times(now));
    } else if let Some(file) = section.as_file() {
        let _ = file.set_times(now);
    }
}

const _: () = {
    const fn sent<T: Send + Sync>() {}
    sent::<Objects>();
    sent::<Object>();
};
