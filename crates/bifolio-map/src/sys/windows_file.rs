//! Files on Windows, and what a section stands on: a file, or a section of the page file.
#![expect(unsafe_code, reason = "system calls on handles")]

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::windows::ffi::OsStringExt;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::{Path, PathBuf};
use std::ptr;

use windows_sys::Wdk::Storage::FileSystem as native;
use windows_sys::Win32::Foundation as codes;
use windows_sys::Win32::Storage::FileSystem as files;
use windows_sys::Win32::System::IO::IO_STATUS_BLOCK;

use super::windows::{check, error_of, is_code, kind_of_type, past_locks, this_process, wide};
use super::windows_map::write_by_views;
use super::windows_pagefile::PageFile;
use super::{FileKind, Identity, NameNow};
use crate::section::{Access, Calls, Create, SectionKind};

/// What a section stands on.
#[derive(Debug)]
pub(crate) enum Object {
    File(File),
    PageFile(PageFile),
}

/// Memory without a file.
pub(crate) fn anonymous(len: u64, capacity: u64) -> io::Result<Object> {
    PageFile::create(len, capacity).map(Object::PageFile)
}

/// The file of an object.
pub(crate) fn file_of(object: &Object) -> Option<&File> {
    match object {
        Object::File(file) => Some(file),
        Object::PageFile(_) => None,
    }
}

/// An object that is this file.
pub(crate) fn object_of_file(file: File) -> Object {
    Object::File(file)
}

/// Opens or creates a file. Others may read, write, rename and delete it meanwhile, as on Unix;
/// what they may do while it is mapped is Windows's business.
pub(crate) fn open(
    path: &Path,
    access: Access,
    create: Create,
    _permissions: u32,
) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(access == Access::ReadWrite);
    // If the name leads to a pipe, its server may look who we are but not act in our name.
    options.security_qos_flags(files::SECURITY_IDENTIFICATION);
    match create {
        Create::Never => {}
        Create::New => {
            options.create_new(true);
        }
        Create::IfMissing => {
            options.create(true);
        }
    }
    options.open(path).map_err(|error| {
        // Windows says "access denied" of a directory; say what it is.
        if error.kind() == io::ErrorKind::PermissionDenied && path.is_dir() {
            return error_of(codes::ERROR_DIRECTORY_NOT_SUPPORTED);
        }
        error
    })
}

/// A file without a name: Windows has none that could be given one later.
pub(crate) fn create_unnamed(_dir: &Path, _permissions: u32) -> Option<io::Result<File>> {
    None
}

/// Gives a file without a name its first one: there are none here.
pub(crate) fn publish_unnamed(_file: &File, _path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Creates a file that is gone with its last handle, however that goes. It has its name until
/// then, and the name can be opened by those who may delete it. The attribute tells the cache not
/// to write it out in a hurry.
pub(crate) fn create_vanishing(path: &Path, _permissions: u32) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .attributes(files::FILE_ATTRIBUTE_TEMPORARY)
        .custom_flags(files::FILE_FLAG_DELETE_ON_CLOSE)
        .open(path)
}

/// The name of a file of [`create_vanishing`] goes by itself.
pub(crate) fn vanish(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// The directory of temporary files.
pub(crate) fn temporary_dir() -> PathBuf {
    std::env::temp_dir()
}

/// What the handle stands for.
pub(crate) fn file_kind(file: &File) -> io::Result<FileKind> {
    // SAFETY: the handle is open.
    let kind = kind_of_type(unsafe { files::GetFileType(file.as_raw_handle()) });
    if kind != FileKind::Regular {
        return Ok(kind);
    }
    let kind = file.metadata()?.file_type();
    Ok(if kind.is_dir() { FileKind::Directory } else { FileKind::Regular })
}

/// The size of a file.
pub(crate) fn len(object: &Object) -> io::Result<u64> {
    match object {
        Object::File(file) => Ok(file.metadata()?.len()),
        Object::PageFile(memory) => memory.len(),
    }
}

/// Bytes that the file has on its device; of memory, those with memory behind them.
pub(crate) fn allocated(object: &Object) -> io::Result<u64> {
    match object {
        Object::File(file) => {
            let found: files::FILE_STANDARD_INFO = information(file, files::FileStandardInfo)?;
            Ok(u64::try_from(found.AllocationSize).unwrap_or(0))
        }
        Object::PageFile(memory) => memory.len(),
    }
}

/// How many names (hard links) the file has.
pub(super) fn links(file: &File) -> io::Result<u64> {
    let found: files::FILE_STANDARD_INFO = information(file, files::FileStandardInfo)?;
    Ok(u64::from(found.NumberOfLinks))
}

/// What `GetFileInformationByHandleEx` says. `T` must be the structure of the class.
fn information<T: Default>(file: &File, class: files::FILE_INFO_BY_HANDLE_CLASS) -> io::Result<T> {
    let mut found = T::default();
    let size = u32::try_from(size_of::<T>()).expect("structures of the system are small");
    // SAFETY: the pointer is to a structure of the size that is given, of plain numbers.
    check(unsafe {
        files::GetFileInformationByHandleEx(
            file.as_raw_handle(),
            class,
            (&raw mut found).cast(),
            size,
        )
    })?;
    Ok(found)
}

/// Cuts or extends. A file that anybody has mapped cannot be cut.
pub(crate) fn truncate(object: &Object, len: u64) -> io::Result<()> {
    match object {
        Object::File(file) => file.set_len(len),
        Object::PageFile(memory) => memory.set_len(len),
    }
}

/// The rights with which a handle was opened.
fn rights(file: &File) -> io::Result<u32> {
    let mut found = native::FILE_ACCESS_INFORMATION::default();
    let mut status = IO_STATUS_BLOCK::default();
    let size = u32::try_from(size_of_val(&found)).expect("a structure of one number");
    // SAFETY: the pointers are to structures of the class's size, and the handle is open.
    let code = unsafe {
        native::NtQueryInformationFile(
            file.as_raw_handle(),
            &raw mut status,
            (&raw mut found).cast(),
            size,
            native::FileAccessInformation,
        )
    };
    if code < 0 {
        // SAFETY: any status may be translated.
        return Err(error_of(unsafe { codes::RtlNtStatusToDosError(code) }));
    }
    Ok(found.AccessFlags)
}

/// What a handle was opened for: `None` if it is for writing only.
pub(crate) fn access_of(file: &File) -> io::Result<Option<Access>> {
    let rights = rights(file)?;
    Ok(match (rights & files::FILE_READ_DATA != 0, rights & files::FILE_WRITE_DATA != 0) {
        (false, _) => None,
        (true, false) => Some(Access::Read),
        (true, true) => Some(Access::ReadWrite),
    })
}

/// What reads and writes on the handle do. One that appends cannot map for writing either.
pub(crate) fn calls_of(file: &File) -> io::Result<Calls> {
    let rights = rights(file)?;
    let appends = rights & files::FILE_APPEND_DATA != 0 && rights & files::FILE_WRITE_DATA == 0;
    Ok(if appends { Calls::Append } else { Calls::Plain })
}

/// Where the file has its name now: open files keep theirs.
pub(crate) fn name_now(file: &File) -> NameNow {
    path_of(file).map_or(NameNow::Unknown, NameNow::At)
}

/// Volume and file number; of memory, the number in its header.
pub(crate) fn identity(object: &Object) -> io::Result<Identity> {
    match object {
        Object::File(file) => identity_of_file(file),
        Object::PageFile(memory) => Ok(memory.identity()),
    }
}

pub(super) fn identity_of_file(file: &File) -> io::Result<Identity> {
    // 128 bits, which ReFS needs; file systems without them have the 64-bit numbers.
    if let Ok(found) = information::<files::FILE_ID_INFO>(file, files::FileIdInfo) {
        let file = u128::from_le_bytes(found.FileId.Identifier);
        return Ok(Identity { volume: found.VolumeSerialNumber, file });
    }
    let mut found = files::BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the pointer is to the structure that the call fills in.
    check(unsafe { files::GetFileInformationByHandle(file.as_raw_handle(), &raw mut found) })?;
    let number = u128::from(found.nFileIndexHigh) << 32 | u128::from(found.nFileIndexLow);
    Ok(Identity { volume: found.dwVolumeSerialNumber.into(), file: number })
}

/// Volume and file number of what a path leads to now.
pub(crate) fn identity_of_path(path: &Path) -> io::Result<Identity> {
    let file = File::options()
        .access_mode(files::FILE_READ_ATTRIBUTES)
        .custom_flags(files::FILE_FLAG_BACKUP_SEMANTICS)
        .open(path)?;
    identity_of_file(&file)
}

/// The path that the system has for a handle, without the prefix of long names if it needs none.
pub(crate) fn path_of(file: &File) -> Option<PathBuf> {
    let mut name = vec![0u16; 512];
    let len = loop {
        let room = u32::try_from(name.len()).ok()?;
        // SAFETY: the pointer is to as many characters as are given.
        let len = unsafe {
            files::GetFinalPathNameByHandleW(
                file.as_raw_handle(),
                name.as_mut_ptr(),
                room,
                files::FILE_NAME_NORMALIZED,
            )
        };
        match len as usize {
            0 => return None,
            len if len < name.len() => break len,
            needed => name.resize(needed + 1, 0),
        }
    };
    let path = PathBuf::from(std::ffi::OsString::from_wide(&name[..len]));
    let short = path.to_str().and_then(|text| {
        let plain = text.strip_prefix(r"\\?\")?;
        let drive = plain.as_bytes().get(1) == Some(&b':');
        (drive && plain.len() < 248).then(|| PathBuf::from(plain))
    });
    Some(short.unwrap_or(path))
}

/// An offset at which `size` bytes can lie. The highest numbers are words to the system: "at the
/// end" and "at the cursor".
fn plain_offset(offset: u64, size: usize) -> io::Result<u64> {
    let end = offset.checked_add(size as u64).and_then(|end| i64::try_from(end).ok());
    end.map(|_| offset).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Reads by a call, which moves the cursor: for files that we opened ourselves.
pub(crate) fn read_at(object: &Object, offset: u64, out: &mut [u8]) -> io::Result<usize> {
    match object {
        Object::File(file) => match file.seek_read(out, plain_offset(offset, out.len())?) {
            Err(error) if is_code(&error, codes::ERROR_HANDLE_EOF) => Ok(0),
            result => result,
        },
        Object::PageFile(memory) => memory.read_at(offset, out),
    }
}

/// Writes bytes inside the length, on any handle: by views, which leave its cursor alone.
pub(crate) fn write_at(object: &Object, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    match object {
        Object::File(file) => write_by_views(file, offset, bytes).map(|()| bytes.len()),
        Object::PageFile(memory) => memory.write_at(offset, bytes),
    }
}

/// Writes the first part that is not empty, also past the end, by a call that moves the cursor: for
/// files that we opened ourselves. (Windows gathers only whole pages of uncached files.)
pub(crate) fn write_vectored_at(
    object: &Object,
    offset: u64,
    parts: &[IoSlice<'_>],
) -> io::Result<usize> {
    let Some(first) = parts.iter().find(|part| !part.is_empty()) else { return Ok(0) };
    match object {
        Object::File(file) => file.seek_write(first, plain_offset(offset, first.len())?),
        Object::PageFile(memory) => memory.write_at(offset, first),
    }
}

/// Makes what reached the file durable. It is the one level that Windows has for a file, and it
/// wants a handle for writing: a handle for reading is opened once more for it, where the user may.
pub(super) fn flush_file(file: &File) -> io::Result<()> {
    let flush = |file: &File| {
        past_locks(|| {
            // SAFETY: the handle is open.
            check(unsafe { files::FlushFileBuffers(file.as_raw_handle()) })
        })
    };
    match flush(file) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            reopen_to_write(file).map_or(Err(error), |writer| flush(&writer))
        }
        result => result,
    }
}

/// Another handle of the same file, for writing.
fn reopen_to_write(file: &File) -> Option<File> {
    let share = files::FILE_SHARE_READ | files::FILE_SHARE_WRITE | files::FILE_SHARE_DELETE;
    // SAFETY: the handle is open.
    let handle =
        unsafe { files::ReOpenFile(file.as_raw_handle(), codes::GENERIC_WRITE, share, 0) };
    if handle == codes::INVALID_HANDLE_VALUE {
        return None;
    }
    // SAFETY: the call made the handle, and nobody else has it.
    Some(File::from(unsafe { OwnedHandle::from_raw_handle(handle) }))
}

/// Opens a directory, so that its names can be made durable: for writing, if the user may.
pub(crate) fn open_directory(path: &Path) -> io::Result<File> {
    let open = |rights| {
        let mut options = File::options();
        options.access_mode(rights).custom_flags(files::FILE_FLAG_BACKUP_SEMANTICS).open(path)
    };
    open(files::FILE_LIST_DIRECTORY | files::FILE_ADD_FILE | files::SYNCHRONIZE).or_else(|error| {
        match error.kind() {
            io::ErrorKind::PermissionDenied => open(files::FILE_READ_ATTRIBUTES),
            _ => Err(error),
        }
    })
}

/// Flushes a directory: NTFS then writes out its journal up to the last change of a name. Others
/// (FAT, network file systems, Wine) do not know the request for a directory, and there is no other.
pub(crate) fn sync_directory_handle(directory: &File) -> io::Result<()> {
    // SAFETY: the handle is open.
    match check(unsafe { files::FlushFileBuffers(directory.as_raw_handle()) }) {
        Err(error)
            if is_code(&error, codes::ERROR_ACCESS_DENIED)
                || is_code(&error, codes::ERROR_INVALID_FUNCTION)
                || is_code(&error, codes::ERROR_INVALID_HANDLE)
                || is_code(&error, codes::ERROR_INVALID_PARAMETER)
                || is_code(&error, codes::ERROR_NOT_SUPPORTED) =>
        {
            Ok(())
        }
        result => result,
    }
}

/// Renames, replacing what has the new name already. Returns when the new name is on the device.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (wide(from)?, wide(to)?);
    let how = files::MOVEFILE_REPLACE_EXISTING | files::MOVEFILE_WRITE_THROUGH;
    // SAFETY: both names end with a zero.
    check(unsafe { files::MoveFileExW(from.as_ptr(), to.as_ptr(), how) })
}

/// Gives a file a second name, never replacing one.
pub(crate) fn link(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::hard_link(from, to)
}

/// Renames, never replacing a file. Returns when the new name is on the device.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    // To the system a file that is renamed to its own name is a file that is renamed.
    if std::path::absolute(from)? == std::path::absolute(to)? && from.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let (from, to) = (wide(from)?, wide(to)?);
    // SAFETY: both names end with a zero.
    check(unsafe { files::MoveFileExW(from.as_ptr(), to.as_ptr(), files::MOVEFILE_WRITE_THROUGH) })
}

fn raw(object: &Object) -> codes::HANDLE {
    match object {
        Object::File(file) => file.as_raw_handle(),
        Object::PageFile(memory) => memory.handle(),
    }
}

/// A handle that programs which this one starts inherit.
pub(crate) type Inheritable = OwnedHandle;

/// A duplicate of the object's handle that is inherited, and its number.
pub(crate) fn inheritable(object: &Object) -> io::Result<(Inheritable, u64)> {
    let (me, mut mine) = (this_process(), ptr::null_mut());
    let (same, inherit) = (codes::DUPLICATE_SAME_ACCESS, 1);
    // SAFETY: the handle is open, and the answer is written into a handle of ours.
    check(unsafe {
        codes::DuplicateHandle(me, raw(object), me, &raw mut mine, 0, inherit, same)
    })?;
    // SAFETY: the call made the handle, and nobody else has it.
    Ok((unsafe { OwnedHandle::from_raw_handle(mine) }, mine.addr() as u64))
}

/// Keeps an inherited handle from being inherited once more.
pub(crate) fn end_inheritance(number: u64) {
    let Ok(number) = usize::try_from(number) else { return };
    let handle = ptr::without_provenance_mut(number);
    // SAFETY: any number may be given; the flag concerns programs that are started only.
    let outcome =
        check(unsafe { codes::SetHandleInformation(handle, codes::HANDLE_FLAG_INHERIT, 0) });
    debug_assert!(outcome.is_ok(), "it was open a moment ago: {outcome:?}");
}

/// The number under which a child process finds the object: handles keep theirs.
pub(crate) fn inheritance_number(object: &Object) -> u64 {
    raw(object).addr() as u64
}

/// Duplicates an inherited handle after looking what it is, so that nobody's handle is taken over
/// and a wrong number is an error.
pub(crate) fn open_inherited(
    number: u64,
    access: Access,
    kind: SectionKind,
    _len: u64,
) -> io::Result<Object> {
    let number = usize::try_from(number).map_err(|_| io::ErrorKind::InvalidInput)?;
    let me = this_process();
    let (theirs, mut mine) = (ptr::without_provenance_mut(number), ptr::null_mut());
    // SAFETY: any number may be given; one that is no handle of this process is an error.
    check(unsafe {
        codes::DuplicateHandle(me, theirs, me, &raw mut mine, 0, 0, codes::DUPLICATE_SAME_ACCESS)
    })?;
    // SAFETY: the call made the handle, and nobody else has it.
    let handle = unsafe { OwnedHandle::from_raw_handle(mine) };
    if kind == SectionKind::Anonymous {
        // Mapping fails for what is no section, and the header says whether it is one of ours.
        return PageFile::adopt(handle, access).map(Object::PageFile);
    }
    // SAFETY: the handle is open, whatever it stands for.
    if unsafe { files::GetFileType(handle.as_raw_handle()) } != files::FILE_TYPE_DISK {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(Object::File(File::from(handle)))
}

/// Whether calls on the file and maps of it show the same bytes: on local file systems always.
pub(crate) fn calls_meet_maps(_object: &Object) -> bool {
    true
}
