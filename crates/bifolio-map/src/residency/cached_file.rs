//! A file that is opened for its pages, not for its bytes.

use std::ops::{Range, RangeBounds};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{
    COUNT, EVICT, Evicted, MAP, Mappers, PageMap, Residency, WriteBack, count, evict, explain,
    mappers, page_map,
};
use crate::error::{Error, ErrorKind, Result};
use crate::range;
use crate::sys::{self, Description, FileKind, Object};

/// A file as the page cache sees it: a light handle, made by the hundred thousand, for tools that
/// look at residency, read files in and drop them. A [`Section`](crate::Section) has the same
/// questions and is for bytes.
///
/// ```
/// use bifolio_map::residency::CachedFile;
/// let dir = tempfile::tempdir().unwrap();
/// std::fs::write(dir.path().join("a"), b"just written").unwrap();
/// let file = CachedFile::open(dir.path().join("a"))?;
/// assert_eq!(file.len(), 12);
/// match file.residency(..)?.resident {
///     Some(pages) => assert_eq!(pages, 1),
///     None => println!("this system does not tell"),
/// }
/// # Ok::<(), bifolio_map::Error>(())
/// ```
#[derive(Debug)]
pub struct CachedFile {
    object: Object,
    path: PathBuf,
    found: Description,
}

/// What tells one file from every other one on this machine while both exist: hard links have the
/// same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// The volume; it may be another number after a restart.
    pub volume: u64,
    /// The file on its volume.
    pub file: u128,
}

impl CachedFile {
    /// Opens a regular file or a block device for reading, without a change to its access time
    /// where that is allowed.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`, `LimitReached`; `NotMappable` for directories, pipes,
    /// sockets and character devices.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        const DOING: &str = "open";
        let path = path.as_ref();
        let fail = |error| Error::os(DOING, error).at_path(path);
        let object = sys::open_for_pages(path).map_err(fail)?;
        let found = sys::describe(&object).map_err(fail)?;
        let what = match found.kind {
            FileKind::Regular | FileKind::BlockDevice => {
                return Ok(Self { object, path: path.to_path_buf(), found });
            }
            FileKind::Directory => "it is a directory",
            FileKind::Pipe => "it is a pipe",
            FileKind::Socket => "it is a socket",
            FileKind::CharDevice => "it is a character device",
            FileKind::Other => "it is no file",
        };
        Err(Error::new(ErrorKind::NotMappable, DOING).at_path(path).because(what))
    }

    /// The path it was opened under.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes when it was opened.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a length as it was, in others' hands")]
    pub fn len(&self) -> u64 {
        self.found.len
    }

    /// Bytes that it took on its device when it was opened: fewer than [`len`](Self::len) if it
    /// has holes or is compressed. (btrfs counts them as they were before compression.)
    #[must_use]
    pub fn allocated(&self) -> u64 {
        self.found.allocated
    }

    /// What tells it from other files.
    #[must_use]
    pub fn id(&self) -> FileId {
        FileId { volume: self.found.identity.volume, file: self.found.identity.file }
    }

    /// How many names (hard links) it had when it was opened.
    #[must_use]
    pub fn links(&self) -> u64 {
        self.found.links
    }

    /// When its content was last changed, as of opening; `None` if the file system does not say.
    #[must_use]
    pub fn modified(&self) -> Option<SystemTime> {
        self.found.modified
    }

    /// Whether it is stored compressed, as far as the file system says: btrfs does for files that
    /// have the property, not for those that are compressed by a mount option.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.found.compressed
    }

    /// Whether its pages are the only copy of its bytes (tmpfs, memory files): then nothing of it
    /// can be evicted.
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        sys::lives_in_memory(&self.object)
    }

    /// How many pages of `range` are resident, dirty, and so on.
    ///
    /// # Errors
    /// As [`Section::residency`](crate::Section::residency).
    pub fn residency(&self, range: impl RangeBounds<u64>) -> Result<Residency> {
        let range = self.resolve(range, COUNT)?;
        count(&self.object, &range).map_err(|error| self.fail(explain(COUNT, error)))
    }

    /// Which pages of `range` are resident.
    ///
    /// # Errors
    /// As [`Section::page_map`](crate::Section::page_map).
    pub fn page_map(&self, range: impl RangeBounds<u64>) -> Result<PageMap> {
        let range = self.resolve(range, MAP)?;
        page_map::of(&self.object, &range).map_err(|error| self.fail(explain(MAP, error)))
    }

    /// The ranges that hold no data, as [`Section::holes`](crate::Section::holes).
    ///
    /// # Errors
    /// What the system says.
    pub fn holes(&self) -> Result<Vec<Range<u64>>> {
        sys::holes(&self.object, 0..self.len())
            .map_err(|error| self.fail(Error::os("ask for the holes of", error)))
    }

    /// Drops the pages of `range` from memory, as [`Section::evict`](crate::Section::evict).
    ///
    /// # Errors
    /// The same.
    pub fn evict(&self, range: impl RangeBounds<u64>, write_back: WriteBack) -> Result<Evicted> {
        let range = self.resolve(range, EVICT)?;
        if write_back == WriteBack::First {
            sys::write_back(&self.object, range.start, range.end - range.start)
                .map_err(|error| self.fail(Error::os("write back", error)))?;
        }
        evict::drop_pages(&self.object, &range).map_err(|error| self.fail(explain(EVICT, error)))
    }

    /// Starts reading `range` in and returns, where the system can; it may read less if it is
    /// busy, and where it has no such call nothing happens. [`read_in`](Self::read_in) is sure.
    ///
    /// # Errors
    /// `OutOfBounds`, or what the system says.
    #[doc(alias = "readahead")]
    pub fn prefetch(&self, range: impl RangeBounds<u64>) -> Result<()> {
        const DOING: &str = "prefetch";
        let range = self.resolve(range, DOING)?;
        if range.is_empty() {
            return Ok(());
        }
        sys::will_need(&self.object, range.start, range.end - range.start)
            .map_err(|error| self.fail(Error::os(DOING, error)))
    }

    /// Reads `range` in and returns when it is in memory: how many bytes there were. A file that
    /// became shorter meanwhile has fewer. `scratch` is where the bytes go by the way; a MiB is a
    /// good size. Nothing beyond the range is read ahead (on Windows the system may).
    ///
    /// # Errors
    /// `StorageFault` if the device fails; `InvalidInput` for an empty scratch.
    pub fn read_in(&self, range: impl RangeBounds<u64>, scratch: &mut [u8]) -> Result<u64> {
        const DOING: &str = "read in";
        let range = self.resolve(range, DOING)?;
        if range.end < self.len() {
            sys::read_exactly(&self.object).map_err(|error| self.fail(Error::os(DOING, error)))?;
        }
        self.read_all(range, scratch, DOING)
    }

    /// Reads `range` in as one does who reads on and on: the system reads ahead, also past the end
    /// of the range, and in larger pieces than it otherwise would: up to twice as fast as
    /// [`read_in`](Self::read_in) for files of many MiB. (After a `read_in` of a part by the same
    /// handle the system does not read ahead any more.)
    ///
    /// # Errors
    /// As [`read_in`](Self::read_in).
    pub fn read_through(&self, range: impl RangeBounds<u64>, scratch: &mut [u8]) -> Result<u64> {
        const DOING: &str = "read through";
        let range = self.resolve(range, DOING)?;
        self.read_all(range, scratch, DOING)
    }

    fn read_all(&self, range: Range<u64>, scratch: &mut [u8], doing: &'static str) -> Result<u64> {
        if scratch.is_empty() {
            return Err(self.fail(
                Error::new(ErrorKind::InvalidInput, doing).because("there is no scratch memory"),
            ));
        }
        let mut at = range.start;
        while at < range.end {
            let left = usize::try_from(range.end - at).unwrap_or(usize::MAX);
            let size = scratch.len().min(left);
            match sys::read_at(&self.object, at, &mut scratch[..size]) {
                Ok(0) => break,
                Ok(size) => at += size as u64,
                Err(error) => return Err(self.fail(Error::os(doing, error)).at_offset(at)),
            }
        }
        Ok(at - range.start)
    }

    /// The processes that have the file mapped, as far as this user may see.
    ///
    /// # Errors
    /// `NotSupported` where the system has no such list.
    pub fn mappers(&self) -> Result<Mappers> {
        mappers::of(&self.object)
            .map_err(|error| self.fail(Error::os("list the processes that map", error)))
    }

    fn resolve(&self, wanted: impl RangeBounds<u64>, doing: &'static str) -> Result<Range<u64>> {
        let bounds = (wanted.start_bound().cloned(), wanted.end_bound().cloned());
        range::resolve(bounds, self.len()).ok_or_else(|| {
            let asked = crate::section::words(bounds);
            self.fail(
                Error::new(ErrorKind::OutOfBounds, doing)
                    .because(format!("asked for {asked}, it has {} bytes", self.len())),
            )
        })
    }

    #[cold]
    fn fail(&self, error: Error) -> Error {
        error.at_path(&self.path)
    }
}
