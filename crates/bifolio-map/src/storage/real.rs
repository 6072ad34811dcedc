//! Storage on the real file system.

use std::io::IoSlice;
use std::ops::Range;
use std::path::Path;

use super::{Entry, EntryKind, OpenMode, Replace, Storage, StorageFile, StoreMap};
use crate::error::{Error, ErrorKind, Result};
use crate::section::{Access, Create, Section};
use crate::view::{Read, ReadWrite, View};
use crate::{Flush, Space, sys};

/// The files of the operating system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RealStorage;

impl Storage for RealStorage {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Box<dyn StorageFile>> {
        let options = match mode {
            OpenMode::Read => Section::options(),
            OpenMode::ReadWrite => Section::options().access(Access::ReadWrite),
            OpenMode::CreateNew => Section::options().access(Access::ReadWrite).create(Create::New),
            OpenMode::OpenOrCreate => {
                Section::options().access(Access::ReadWrite).create(Create::IfMissing)
            }
        };
        Ok(Box::new(RealFile { section: options.open(path)? }))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        std::fs::create_dir(path).map_err(|e| Error::os("create directory", e).at_path(path))
    }

    fn rename(&self, from: &Path, to: &Path, replace: Replace) -> Result<()> {
        let renamed = match replace {
            Replace::Existing => sys::rename(from, to),
            Replace::Never => sys::rename_new(from, to),
        };
        renamed.map_err(|error| {
            Error::os("rename", error).at_path(from).because(format!("to {}", to.display()))
        })
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        sys::link(from, to).map_err(|error| {
            Error::os("link", error).at_path(from).because(format!("to {}", to.display()))
        })
    }

    fn unlink(&self, path: &Path) -> Result<()> {
        std::fs::remove_file(path).map_err(|error| Error::os("unlink", error).at_path(path))
    }

    fn list(&self, dir: &Path) -> Result<Vec<Entry>> {
        let dir = directory(dir);
        let fail = |error| Error::os("list", error).at_path(dir);
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let kind = entry.file_type().map_err(fail)?;
            let kind = if kind.is_file() {
                EntryKind::File
            } else if kind.is_dir() {
                EntryKind::Directory
            } else {
                EntryKind::Other
            };
            entries.push(Entry { name: entry.file_name(), kind });
        }
        entries.sort();
        Ok(entries)
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        let dir = directory(dir);
        sys::sync_dir(dir).map_err(|error| Error::os("sync directory", error).at_path(dir))
    }
}

/// The directory of this name: the parent of a path of one name is the empty path, which the
/// system does not know.
fn directory(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// An open file of the operating system.
#[derive(Debug)]
struct RealFile {
    section: Section,
}

impl StorageFile for RealFile {
    fn len(&self) -> Result<u64> {
        self.section.len()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while done < out.len() {
            let at = offset.saturating_add(done as u64);
            match sys::read_at(self.section.object(), at, &mut out[done..]) {
                Ok(0) => break,
                Ok(size) => done += size,
                Err(error) => return Err(self.section.os("read", error).at_offset(at)),
            }
        }
        Ok(done)
    }

    fn write_vectored_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<()> {
        const DOING: &str = "write";
        if self.section.access() == Access::Read {
            return Err(self.section.fail(
                Error::new(ErrorKind::ModeMismatch, DOING)
                    .because("the file is open for reading only"),
            ));
        }
        let mut parts: Vec<IoSlice<'_>> = parts.to_vec();
        let mut rest = parts.as_mut_slice();
        IoSlice::advance_slices(&mut rest, 0); // drops empty parts at the front
        let mut at = offset;
        while !rest.is_empty() {
            let written = sys::write_vectored_at(self.section.object(), at, rest)
                .map_err(|error| self.section.os(DOING, error).at_offset(at))?;
            if written == 0 {
                return Err(self.section.os(DOING, std::io::ErrorKind::WriteZero.into()));
            }
            at += written as u64;
            IoSlice::advance_slices(&mut rest, written);
        }
        Ok(())
    }

    fn set_len(&self, len: u64, space: Space) -> Result<()> {
        self.section.set_len(len, space)
    }

    fn sync(&self, level: Flush) -> Result<()> {
        self.section.sync(level)
    }

    fn view(&self, range: Range<u64>) -> Result<View<Read>> {
        self.section.view_of(range)
    }

    fn store_map(&self, range: Range<u64>) -> Result<Box<dyn StoreMap>> {
        Ok(Box::new(self.section.view_of::<ReadWrite>(range)?))
    }
}
