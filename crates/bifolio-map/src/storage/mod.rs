//! The storage that the layers above write to: files and directories whose every durable effect
//! passes through one trait, so that it can be real, held in memory, recorded or broken.
//!
//! Whoever writes bytes that must survive a crash writes them through [`Storage`]. In production
//! that is [`RealStorage`]; in tests it is [`MemoryStorage`] below the recorder or the fault
//! injector of `bifolio-testkit`, which derive from the order of calls every state that a power
//! cut could leave. The trait is object-safe, so wrapping it costs one virtual call beside a
//! system call.
//!
//! Three words, as everywhere: *written* (other handles see it), *flushed* (handed to the device),
//! *durable* (survives power loss). Nothing is durable before [`StorageFile::sync`], and no name
//! (create, rename, link, unlink) before [`Storage::sync_dir`] of its directory.

mod memory;
mod real;

pub use memory::MemoryStorage;
pub use real::RealStorage;

use std::ffi::OsString;
use std::fmt::Debug;
use std::io::IoSlice;
use std::ops::Range;
use std::path::Path;

use crate::error::Result;
use crate::view::{Read, ReadWrite, View};
use crate::{Flush, Space};

/// How [`Storage::open`] opens a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpenMode {
    /// An existing file, for reading only.
    Read,
    /// An existing file, for reading and writing.
    ReadWrite,
    /// A new file; an existing one is an error.
    CreateNew,
    /// An existing file or, where there is none, a new empty one.
    OpenOrCreate,
}

/// What [`Storage::rename`] does with a file that already has the new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Replace {
    /// It is replaced, in one step.
    Existing,
    /// It stays, and the call fails with `AlreadyExists`.
    Never,
}

/// What a name in a directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else: a link, a device, a socket.
    Other,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Entry {
    /// The name, without its directory.
    pub name: OsString,
    /// What it stands for.
    pub kind: EntryKind,
}

/// Files under paths.
pub trait Storage: Debug + Send + Sync {
    /// Opens or creates a file.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, `PermissionDenied`, `StorageFull`, or what the system says.
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Box<dyn StorageFile>>;

    /// Creates a directory; its parent must exist.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound` for the parent, or what the system says.
    fn create_dir(&self, path: &Path) -> Result<()>;

    /// Gives a file another name, in one step. Only [`Replace::Never`] on a Unix file system that has
    /// no call for it takes two: for a moment, and after a crash in it, the file has both names, and
    /// never none.
    ///
    /// # Errors
    /// `AlreadyExists` with [`Replace::Never`]; `NotFound`; `Busy` on Windows while it is mapped.
    fn rename(&self, from: &Path, to: &Path, replace: Replace) -> Result<()>;

    /// Gives a file a second name; an existing one is never replaced.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound`, `NotSupported` on file systems without links.
    fn link(&self, from: &Path, to: &Path) -> Result<()>;

    /// Removes a name of a file; the bytes live as long as other names or handles.
    ///
    /// # Errors
    /// `NotFound`; `Busy` on Windows while it is mapped.
    fn unlink(&self, path: &Path) -> Result<()>;

    /// The names in a directory, sorted. The empty path is the directory where relative paths
    /// begin, like `.`: it is the parent of a path of one name.
    ///
    /// # Errors
    /// `NotFound`, or what the system says.
    fn list(&self, dir: &Path) -> Result<Vec<Entry>>;

    /// Makes the names in a directory durable.
    ///
    /// Windows promises this for no file system but does it on NTFS, where flushing a directory
    /// writes out the journal of names; and a rename is on the device when it returns, there and
    /// elsewhere. Where a directory cannot be flushed (FAT, network) this does nothing.
    ///
    /// # Errors
    /// What the system says; then no name given since the last success is durable.
    fn sync_dir(&self, dir: &Path) -> Result<()>;
}

/// One open file of a [`Storage`]. All offsets and sizes are bytes.
#[expect(clippy::len_without_is_empty, reason = "a live length, behind a system call")]
pub trait StorageFile: Debug + Send + Sync {
    /// The size of the file now.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> Result<u64>;

    /// Reads up to `out.len()` bytes; fewer only where the file ends.
    ///
    /// # Errors
    /// `StorageFault` for a bad block, or what the system says.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<usize>;

    /// Writes the parts one after the other, all of them or an error; a file grows as needed.
    /// After an error any part of them may have been written.
    ///
    /// # Errors
    /// `StorageFull`, `ModeMismatch` on a read-only handle, or what the system says.
    fn write_vectored_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<()>;

    /// Sets the size: cuts bytes off, or adds zeros with or without space behind them.
    ///
    /// # Errors
    /// `StorageFull` with [`Space::Allocate`]; `Busy` on Windows when a mapped file would shrink.
    fn set_len(&self, len: u64, space: Space) -> Result<()>;

    /// Makes what was written to this file durable, as far as `level` says. After an error the
    /// handle is poisoned: every later `sync` fails too, since the cache may now show bytes that
    /// the device does not have.
    ///
    /// # Errors
    /// What the system says; `Poisoned` ever after.
    fn sync(&self, level: Flush) -> Result<()>;

    /// A view for reading `range`, which must lie inside the file; it sees later writes.
    ///
    /// # Errors
    /// `OutOfBounds`, `OutOfMemory`, or what the system says.
    fn view(&self, range: Range<u64>) -> Result<View<Read>>;

    /// A window for stores through a map on `range`, which must lie inside the file. What is
    /// stored there may become durable at any time and in any order, page by page.
    ///
    /// # Errors
    /// `OutOfBounds`, `ModeMismatch` on a read-only handle, `OutOfMemory`.
    fn store_map(&self, range: Range<u64>) -> Result<Box<dyn StoreMap>>;

    /// Reads exactly `out.len()` bytes.
    ///
    /// # Errors
    /// `UnexpectedEof` where the file ends before, otherwise as [`read_at`](Self::read_at).
    fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let found = self.read_at(offset, out)?;
        if found < out.len() {
            let asked = out.len();
            return Err(crate::Error::new(crate::ErrorKind::UnexpectedEof, "read")
                .at_offset(offset)
                .because(format!("asked for {asked} bytes, the file has {found} there")));
        }
        Ok(())
    }

    /// Writes all of `bytes`; the file grows as needed.
    ///
    /// # Errors
    /// As [`write_vectored_at`](Self::write_vectored_at).
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.write_vectored_at(offset, &[IoSlice::new(bytes)])
    }
}

/// Stores through a map of a [`StorageFile`]. Offsets count from the start of the window.
pub trait StoreMap: Debug + Send + Sync {
    /// The size of the window in bytes.
    fn size(&self) -> u64;

    /// Copies bytes out of the map.
    ///
    /// # Errors
    /// `OutOfBounds`, or the fault of the page.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()>;

    /// Copies bytes into the map.
    ///
    /// # Errors
    /// `OutOfBounds`, or the fault of the page.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Stores one aligned word with release ordering: whoever loads it with acquire ordering sees
    /// everything stored before. It is never torn, on any device.
    ///
    /// # Errors
    /// `OutOfBounds`, `Misaligned`, or the fault of the page.
    fn store_release_u64(&self, offset: u64, value: u64) -> Result<()>;

    /// Loads one aligned word with acquire ordering.
    ///
    /// # Errors
    /// `OutOfBounds`, `Misaligned`, or the fault of the page.
    fn load_acquire_u64(&self, offset: u64) -> Result<u64>;

    /// Makes the stores to `range` durable, as far as `level` says.
    ///
    /// # Errors
    /// As [`StorageFile::sync`].
    fn flush(&self, range: Range<u64>, level: Flush) -> Result<()>;
}

impl StoreMap for View<ReadWrite> {
    fn size(&self) -> u64 {
        self.len()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        View::read_at(self, offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        View::write_at(self, offset, bytes)
    }

    fn store_release_u64(&self, offset: u64, value: u64) -> Result<()> {
        self.atomic_u64(offset)?.store(value)
    }

    fn load_acquire_u64(&self, offset: u64) -> Result<u64> {
        self.atomic_u64(offset)?.load()
    }

    fn flush(&self, range: Range<u64>, level: Flush) -> Result<()> {
        View::flush(self, range, level)
    }
}
