//! Sections: the thing that is mapped. A file, memory without a file, a temporary file, a device.
//!
//! A section and a view of it are different things: the section knows its live length, grows,
//! shrinks and becomes durable; a view is a window on it of exact length. A view keeps its
//! section's bytes mapped, also when the [`Section`] is dropped or its file is unlinked.

pub(crate) mod aside;
mod create;
mod currency;
mod inherit;
mod named;
mod resizing;
mod room;
mod snapshot;
pub(crate) mod space;
mod state;
mod sync;

pub use create::SectionOptions;
pub use currency::Currency;
pub use inherit::Inheritance;

pub(crate) use state::Lost;

use std::fs::File;
use std::ops::{Range, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::names::Name;
use crate::sys::{self, FileKind, Object};
use crate::{Space, range};

/// What a handle on a section may do. Which views each allows is in the table of [`crate::view`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reading, and copy-on-write views.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// What opening a path does if there is no file, or if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Create {
    /// The file must exist.
    Never,
    /// The file must not exist; it appears complete, with its length, or not at all.
    New,
    /// An existing file is opened as it is; otherwise it is created as with [`Create::New`].
    IfMissing,
}

/// What a section stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SectionKind {
    /// A file with a path, or an open file that the caller handed over.
    File,
    /// A file without a name: gone with its last user.
    Temporary,
    /// Memory without a file: gone with its last user.
    Anonymous,
    /// Memory under a name by which other processes find it; see [`crate::names`].
    Named,
    /// A block or character device, such as a disk or `/dev/zero`.
    Device,
}

/// A file or memory that can be mapped. Clones are the same section.
///
/// ```
/// use bifolio_map::{Read, Section, View};
/// let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("article.txt");
/// std::fs::write(&path, "111\r\n222\r\n333").unwrap();
///
/// let view: View<Read> = Section::open(&path)?.view()?;
/// assert_eq!(view.len(), 13); // not 4096
/// assert_eq!(view.read_vec(10..13)?, b"333");
/// # Ok::<(), bifolio_map::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Section {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    object: Object,
    access: Access,
    kind: SectionKind,
    path: Option<PathBuf>,
    name: Option<Name>,
    calls: Calls,
    state: state::State,
    resizing: resizing::Resizing,
    /// The file locks that were taken through the section's handle.
    locks: crate::lock::Held,
    /// The length that the caller stated, of a section that another program made.
    stated: Option<u64>,
    /// What keeps the name alive. Dropped after the object: with it the name may go.
    hold: Option<sys::Hold>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(hold) = &mut self.hold {
            hold.let_go(&self.object);
        }
    }
}

impl Inner {
    fn new(
        object: Object,
        access: Access,
        kind: SectionKind,
        path: Option<PathBuf>,
        calls: Calls,
    ) -> Self {
        let (state, resizing) = (state::State::new(), resizing::Resizing::default());
        let (name, stated, hold) = (None, None, None);
        let locks = crate::lock::Held::default();
        Self { object, access, kind, path, name, calls, state, resizing, locks, stated, hold }
    }
}

/// What reads and writes through the handle do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Calls {
    /// What loads and stores do.
    Plain,
    /// Writes go to the end of the file wherever they aim.
    Append,
    /// They go past the cache, and want whole sectors at aligned addresses.
    PastCache,
}

impl Section {
    /// Opens an existing file for reading.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`; `NotMappable` for directories, pipes, sockets, `/proc`
    /// files; `LimitReached` when the process has no descriptor left.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(path)
    }

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// As [`open`](Self::open), and `PermissionDenied` for read-only files and file systems.
    #[doc(alias = "mmap")]
    pub fn open_rw(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().access(Access::ReadWrite).open(path)
    }

    /// Creates a file of `len` bytes, all zeros and all with space behind them. It appears under
    /// its name complete or not at all.
    ///
    /// # Errors
    /// `AlreadyExists`; `StorageFull`, and then nothing is left behind; as [`open`](Self::open).
    pub fn create(path: impl AsRef<Path>, len: u64) -> Result<Self> {
        Self::options().access(Access::ReadWrite).create(Create::New).len(len).open(path)
    }

    /// Everything else about opening and creating.
    pub fn options() -> SectionOptions {
        SectionOptions::new()
    }

    /// Makes a section of an open file. What it allows follows from how the file was opened.
    ///
    /// The cursor of the file is never used or moved.
    ///
    /// # Errors
    /// `ModeMismatch` for a file that was opened for writing only, since every map reads;
    /// otherwise as [`open`](Self::open).
    pub fn from_file(file: File) -> Result<Self> {
        let path = sys::path_of(&file);
        let named = |error: Error| error.at_path(name_of(path.as_deref(), SectionKind::File));
        let access = sys::access_of(&file).map_err(|e| named(Error::os("inspect", e)))?;
        let Some(access) = access else {
            return Err(named(
                Error::new(ErrorKind::ModeMismatch, "map")
                    .because("the file was opened for writing only, and a map has to read"),
            ));
        };
        let calls = sys::calls_of(&file).map_err(|e| named(Error::os("inspect", e)))?;
        Self::of_file(file, access, path.clone(), calls)
    }

    /// The section of a file that was opened by us or handed over.
    fn of_file(file: File, access: Access, path: Option<PathBuf>, calls: Calls) -> Result<Self> {
        let named = |error: Error| error.at_path(name_of(path.as_deref(), SectionKind::File));
        let kind = sys::file_kind(&file).map_err(|error| named(Error::os("inspect", error)))?;
        let refuse = |what: &str| {
            let error = Error::new(ErrorKind::NotMappable, "map").because(format!("it is {what}"));
            Err(named(error))
        };
        let kind = match kind {
            FileKind::Regular => match sys::special_file_system(&file) {
                Some(what) => return refuse(&format!("{what}, which has no pages to map")),
                None => SectionKind::File,
            },
            FileKind::BlockDevice | FileKind::CharDevice => SectionKind::Device,
            FileKind::Directory => return refuse("a directory"),
            FileKind::Pipe => return refuse("a pipe; read it as a stream"),
            FileKind::Socket => return refuse("a socket; read it as a stream"),
            FileKind::Other => return refuse("neither a file nor a device"),
        };
        Ok(Self::of_object(sys::object_of_file(file), access, kind, path, calls))
    }

    fn of_object(
        object: Object,
        access: Access,
        kind: SectionKind,
        path: Option<PathBuf>,
        calls: Calls,
    ) -> Self {
        Self { inner: Arc::new(Inner::new(object, access, kind, path, calls)) }
    }

    /// Memory without a file, zeroed, shared with whoever is given the section (a child process,
    /// see [`inherit`](Self::inherit)) and gone with its last user. Pages are taken when they are
    /// first touched. On Windows it cannot outgrow `len`; see [`SectionOptions::capacity`].
    ///
    /// # Errors
    /// `OutOfMemory`, `LimitReached`.
    pub fn anonymous(len: u64) -> Result<Self> {
        Self::options().len(len).anonymous()
    }

    /// A file without a name in the system's directory for temporary files: `len` zeros with space
    /// behind them, gone with its last user, also when that one is killed.
    ///
    /// # Errors
    /// `StorageFull`, `NotFound` for the directory, `PermissionDenied`.
    pub fn temporary(len: u64) -> Result<Self> {
        Self::options().len(len).temporary(sys::temporary_dir())
    }

    /// What the handle allows.
    #[must_use]
    pub fn access(&self) -> Access {
        self.inner.access
    }

    /// What the section stands on.
    #[must_use]
    pub fn kind(&self) -> SectionKind {
        self.inner.kind
    }

    /// The path it was opened under, or that the system had for the handle.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.inner.path.as_deref()
    }

    /// The length in bytes now: other processes may change it at any time.
    ///
    /// # Errors
    /// `NotSupported` for devices that have no length, such as `/dev/zero`; views of those take an
    /// explicit range. Otherwise what the system says.
    #[expect(clippy::len_without_is_empty, reason = "a live length in another process's hands")]
    pub fn len(&self) -> Result<u64> {
        if self.is_endless()? {
            return Err(self.fail(
                Error::new(ErrorKind::NotSupported, "ask for the length of")
                    .because("a character device has none; give the range to map"),
            ));
        }
        let len = sys::len(&self.inner.object)
            .map_err(|error| self.os("ask for the length of", error))?;
        Ok(self.inner.stated.map_or(len, |stated| stated.min(len)))
    }

    /// Whether this is a device without a length.
    pub(crate) fn is_endless(&self) -> Result<bool> {
        if self.inner.kind != SectionKind::Device {
            return Ok(false);
        }
        let Some(file) = sys::file_of(&self.inner.object) else { return Ok(false) };
        let kind = sys::file_kind(file).map_err(|error| self.os("inspect", error))?;
        Ok(kind == FileKind::CharDevice)
    }

    /// Bytes of the device that the section takes: less than [`len`](Self::len) if it has holes or
    /// is compressed, more if space was allocated past its end.
    ///
    /// # Errors
    /// What the system says.
    pub fn allocated(&self) -> Result<u64> {
        sys::allocated(&self.inner.object)
            .map_err(|error| self.os("ask for the allocated size of", error))
    }

    /// The ranges that hold no data, in order: they read as zeros. Space may have been allocated
    /// for them all the same (systems do not tell; [`allocated`](Self::allocated) counts it); where
    /// it was not, the first store may find the device full. File systems that cannot tell data
    /// from holes have none.
    ///
    /// # Errors
    /// What the system says.
    pub fn holes(&self) -> Result<Vec<Range<u64>>> {
        let len = self.len()?;
        sys::holes(&self.inner.object, 0..len)
            .map_err(|error| self.os("ask for the holes of", error))
    }

    /// Sets the length in bytes: cuts bytes off for ever, or adds zeros.
    ///
    /// Views keep their length. A view of bytes that are cut off gets `UnexpectedEof` there (inside
    /// the last live page: zeros; see `docs/SAFETY.md`). With [`Space::Allocate`] everything up to
    /// the new end has space behind it when the call returns, holes included.
    ///
    /// # Errors
    /// `StorageFull`, and `OutOfMemory` for more memory than there is
    /// [room](crate::machine::memory_room) for, and then the length is what it was; `ModeMismatch`
    /// on a read-only section;
    /// `Busy` on Windows for cutting a file that anybody has mapped.
    pub fn set_len(&self, len: u64, space: Space) -> Result<()> {
        const DOING: &str = "set the length of";
        self.want_write(DOING)?;
        let keeps = match (self.inner.kind, self.inner.stated) {
            (SectionKind::Device, _) => Some("a device keeps its length"),
            (_, Some(_)) => Some("the length is for the program that made it to change"),
            _ => None,
        };
        if let Some(why) = keeps {
            return Err(self.fail(Error::new(ErrorKind::NotSupported, DOING).because(why)));
        }
        let _resizing = self.inner.resizing.change(self.object());
        let before = self.len()?;
        if space == Space::Allocate {
            self.check_room(&(0..len), DOING)?;
        }
        let object = &self.inner.object;
        let outcome = match space {
            Space::Sparse => sys::truncate(object, len),
            Space::Allocate if len > before => space::grow(object, len).map_err(|short| {
                // What was taken past the old end goes back, unless somebody else has made the
                // section longer meanwhile; the first error is the one to tell.
                let ours = |now| now == before || Some(now) == short.reached;
                if sys::len(object).is_ok_and(ours) {
                    let _ = sys::truncate(object, before);
                }
                short.error
            }),
            // Space first: if there is none, nothing has been cut off yet.
            Space::Allocate => {
                space::allocate(object, 0..len).and_then(|()| sys::truncate(object, len))
            }
        };
        outcome.map_err(|error| {
            self.os(DOING, error).because(format!("asked for {len} bytes, it has {before}"))
        })
    }

    /// Makes the section at least `len` bytes long, never shorter: other processes may be growing
    /// it at the same time.
    pub(crate) fn grow_at_least(&self, len: u64, space: Space) -> Result<()> {
        const DOING: &str = "grow";
        self.want_write(DOING)?;
        let _resizing = self.inner.resizing.change(self.object());
        let before = self.len()?;
        if before >= len {
            return Ok(());
        }
        if space == Space::Allocate {
            self.check_room(&(0..len), DOING)?;
        }
        let outcome = match space {
            Space::Allocate => space::grow(&self.inner.object, len),
            Space::Sparse => sys::lengthen(&self.inner.object, len),
        };
        // What was gained stays: by now somebody else may have built on it.
        outcome.map_err(|short| {
            self.os(DOING, short.error).because(format!("asked for {len} bytes, it had {before}"))
        })
    }

    /// Gives `range` space on the device, without changing length or content.
    ///
    /// # Errors
    /// `OutOfBounds` past the end; `StorageFull`; `OutOfMemory` for more memory than there is
    /// [room](crate::machine::memory_room) for; `ModeMismatch` on a read-only section.
    pub fn allocate(&self, range: impl RangeBounds<u64>) -> Result<()> {
        const DOING: &str = "allocate space in";
        self.want_write(DOING)?;
        let range = self.resolve(range, DOING)?;
        if self.inner.kind == SectionKind::Device {
            return Ok(()); // a device has all the space that it is
        }
        self.check_room(&range, DOING)?;
        let start = range.start;
        space::allocate(&self.inner.object, range)
            .map_err(|error| self.os(DOING, error).at_offset(start))
    }

    /// Accepts that a store was lost (a full disk, a truncated file: the store itself had said so)
    /// and lets flushes vouch for the rest again. It does not undo a failed sync.
    pub fn accept_lost_stores(&self) {
        self.inner.state.accept_lost_stores();
    }

    // --- for the rest of the crate ---

    pub(crate) fn object(&self) -> &Object {
        &self.inner.object
    }

    pub(crate) fn lost(&self, lost: Lost) {
        self.inner.state.lost(lost);
    }

    pub(crate) fn check_state(&self, doing: &'static str) -> Result<()> {
        self.inner.state.check(doing).map_err(|error| self.fail(error))
    }

    /// Whether calls on the handle and maps of the file are sure to show the same bytes: a local
    /// file system that is known to keep one cache for both.
    pub(crate) fn calls_meet_maps(&self) -> bool {
        let usual = matches!(
            self.inner.kind,
            SectionKind::File | SectionKind::Temporary | SectionKind::Named
        );
        usual && self.inner.calls != Calls::PastCache && sys::calls_meet_maps(&self.inner.object)
    }

    /// Runs `write`, during which this process does not change the length of the section, if file
    /// pages may be written by call at all.
    pub(crate) fn while_length_stands<T>(&self, write: impl FnOnce(&Object) -> T) -> Option<T> {
        if !self.calls_meet_maps() || self.inner.calls == Calls::Append {
            return None;
        }
        let _standing = self.inner.resizing.stand(self.object());
        Some(write(&self.inner.object))
    }

    /// The range in bytes, compared with the live length.
    pub(crate) fn resolve(
        &self,
        wanted: impl RangeBounds<u64>,
        doing: &'static str,
    ) -> Result<Range<u64>> {
        use std::ops::Bound;
        let bounds = (wanted.start_bound().cloned(), wanted.end_bound().cloned());
        let len = if self.is_endless()? {
            if bounds.1 == Bound::Unbounded {
                return Err(self.fail(
                    Error::new(ErrorKind::InvalidInput, doing)
                        .because("a character device has no length; give the end of the range"),
                ));
            }
            u64::MAX
        } else {
            self.len()?
        };
        range::resolve(bounds, len).ok_or_else(|| {
            self.fail(
                Error::new(ErrorKind::OutOfBounds, doing)
                    .because(format!("asked for {}, it has {len} bytes", words(bounds))),
            )
        })
    }

    fn want_write(&self, doing: &'static str) -> Result<()> {
        match self.inner.access {
            Access::ReadWrite => Ok(()),
            Access::Read => {
                Err(self.fail(Error::new(ErrorKind::ModeMismatch, doing).because(
                    "the section is open for reading only; open it with Access::ReadWrite",
                )))
            }
        }
    }

    /// The error with this section's path.
    #[cold]
    pub(crate) fn fail(&self, error: Error) -> Error {
        error.at_path(name_of(self.inner.path.as_deref(), self.inner.kind))
    }

    /// The system's error with this section's path.
    #[cold]
    pub(crate) fn os(&self, doing: &'static str, error: std::io::Error) -> Error {
        self.fail(Error::os(doing, error))
    }
}

/// What a section is called in errors: its path, or what it is.
fn name_of(path: Option<&Path>, kind: SectionKind) -> &Path {
    path.unwrap_or_else(|| {
        Path::new(match kind {
            SectionKind::Anonymous => "<anonymous memory>",
            SectionKind::Temporary => "<temporary file>",
            SectionKind::Named => "<named section>",
            SectionKind::File | SectionKind::Device => "<open file>",
        })
    })
}

/// A pair of bounds as a caller would write it.
pub(crate) fn words((start, end): (std::ops::Bound<u64>, std::ops::Bound<u64>)) -> String {
    use std::ops::Bound;
    let start = match start {
        Bound::Included(start) => start.to_string(),
        Bound::Excluded(before) => format!("{before}+1"),
        Bound::Unbounded => String::new(),
    };
    match end {
        Bound::Included(last) => format!("{start}..={last}"),
        Bound::Excluded(end) => format!("{start}..{end}"),
        Bound::Unbounded => format!("{start}.."),
    }
}

/// The directory that a path's name stands in.
pub(crate) fn parent_of(path: &Path) -> Option<&Path> {
    let parent = path.parent()?;
    Some(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}
