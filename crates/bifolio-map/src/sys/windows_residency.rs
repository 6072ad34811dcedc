//! Residency on Windows, which tells a process about its own working set only.

use std::io;
use std::ops::Range;
use std::os::windows::fs::MetadataExt;
use std::path::Path;

use windows_sys::Win32::Storage::FileSystem::FILE_ATTRIBUTE_COMPRESSED;

use super::{Description, FileKind, Object};
use crate::residency::{Mappers, Residency};
use crate::section::{Access, Create};

/// The system tells a process about its own working set only.
pub(crate) const TELLS_RESIDENCY: bool = false;

/// The system counts what was read by calls, from devices or not.
pub(crate) fn bytes_from_disk() -> Option<u64> {
    None
}

/// Opens a file to look at its pages.
pub(crate) fn open_for_pages(path: &Path) -> io::Result<Object> {
    Ok(super::object_of_file(super::open(path, Access::Read, Create::Never, 0)?))
}

/// What there is to say about an open file.
pub(crate) fn describe(object: &Object) -> io::Result<Description> {
    let file = super::file_of(object).ok_or(io::ErrorKind::Unsupported)?;
    let kind = super::file_kind(file)?;
    let metadata = file.metadata()?;
    Ok(Description {
        kind,
        len: if kind == FileKind::Regular { super::len(object)? } else { 0 },
        allocated: if kind == FileKind::Regular { super::allocated(object)? } else { 0 },
        identity: super::identity(object)?,
        links: super::windows_file::links(file)?,
        modified: metadata.modified().ok(),
        compressed: metadata.file_attributes() & FILE_ATTRIBUTE_COMPRESSED != 0,
    })
}

/// The system does not tell.
pub(crate) fn cache_counts(_object: &Object, _offset: u64, _size: u64) -> io::Result<Residency> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The system does not tell.
pub(crate) fn resident_runs(
    _object: &Object,
    _pages: Range<u64>,
    _tell: &mut dyn FnMut(Range<u64>),
) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Writes the file's dirty pages out. A handle for reading has no right to.
pub(crate) fn write_back(_object: &Object, _offset: u64, _size: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The system has no such call for a file.
pub(crate) fn drop_from_cache(_object: &Object, _offset: u64, _size: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Reads by this handle bring in what they ask for and nothing beside it: not to be had for one
/// that is open already.
#[expect(clippy::unnecessary_wraps, reason = "other systems can fail")]
pub(crate) fn read_exactly(_object: &Object) -> io::Result<()> {
    Ok(())
}

/// The system has no such call for a file; reading does it.
#[expect(clippy::unnecessary_wraps, reason = "other systems can fail")]
pub(crate) fn will_need(_object: &Object, _offset: u64, _size: u64) -> io::Result<()> {
    Ok(())
}

/// The system has no such list.
pub(crate) fn mappers(_object: &Object) -> io::Result<Mappers> {
    Err(io::ErrorKind::Unsupported.into())
}
