//! What Windows tells of the volume of a path, and what can be tried there.
#![expect(unsafe_code, reason = "system calls")]

use std::fs::File;
use std::io;
use std::os::windows::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use windows_sys::Win32::Foundation as codes;
use windows_sys::Win32::Storage::FileSystem::{
    GetDiskFreeSpaceExW, GetDriveTypeW, GetVolumeInformationW, GetVolumePathNameW,
};
use windows_sys::Win32::System::SystemServices as flags;
use windows_sys::Win32::System::WindowsProgramming::DRIVE_REMOTE;

use super::Object;
use super::windows::{check, wide};
use crate::machine::{Attributes, Fact, FileSystem, Kind};

/// Free for this user, and the size of the volume.
fn space(path: &Path) -> io::Result<(u64, u64)> {
    let dir = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    let dir = wide(dir)?;
    let (mut free, mut size) = (0, 0);
    // SAFETY: the name ends with a zero; the answers have their places.
    check(unsafe {
        GetDiskFreeSpaceExW(dir.as_ptr(), &raw mut free, &raw mut size, std::ptr::null_mut())
    })?;
    Ok((free, size))
}

/// Bytes that are free for this user on the volume of a path.
pub(crate) fn free_space(path: &Path) -> io::Result<u64> {
    space(path).map(|(free, _)| free)
}

/// The root of the volume of a path, with a zero at its end.
fn volume_of(path: &Path) -> io::Result<Vec<u16>> {
    let path = wide(path)?;
    let mut root = vec![0u16; 32_768];
    let size = u32::try_from(root.len()).unwrap_or(u32::MAX);
    // SAFETY: the name ends with a zero; the answer has as many letters as announced.
    check(unsafe { GetVolumePathNameW(path.as_ptr(), root.as_mut_ptr(), size) })?;
    let len = root.iter().position(|letter| *letter == 0).unwrap_or(root.len() - 1);
    root.truncate(len + 1);
    Ok(root)
}

/// The words for the abilities of a volume.
const WORDS: [(u32, &str); 5] = [
    (flags::FILE_READ_ONLY_VOLUME, "ro"),
    (flags::FILE_SUPPORTS_SPARSE_FILES, "sparse-files"),
    (flags::FILE_FILE_COMPRESSION, "compression"),
    (flags::FILE_SUPPORTS_BLOCK_REFCOUNTING, "copy-on-write"),
    (flags::FILE_DAX_VOLUME, "dax"),
];

pub(crate) fn file_system_facts(path: &Path) -> io::Result<FileSystem> {
    let metadata = std::fs::metadata(path)?;
    let root = volume_of(path)?;
    let mut facts = FileSystem { attributes: attributes(&metadata), ..FileSystem::default() };
    let text = |letters: &[u16]| {
        let len = letters.iter().position(|letter| *letter == 0).unwrap_or(letters.len());
        std::ffi::OsString::from_wide(&letters[..len])
    };
    facts.mount_point = Fact::known(PathBuf::from(text(&root)), "GetVolumePathName");
    let (mut name, mut found) = ([0u16; 64], 0);
    // SAFETY: the root ends with a zero; the name has as many letters as announced, and nothing is
    // asked for where the pointers are null.
    let asked = check(unsafe {
        GetVolumeInformationW(
            root.as_ptr(),
            std::ptr::null_mut(),
            0,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            &raw mut found,
            name.as_mut_ptr(),
            64,
        )
    });
    let source = "GetVolumeInformation";
    match asked {
        Ok(()) => {
            let name = text(&name).to_string_lossy().into_owned();
            facts.kind = match Kind::of_name(&name) {
                Some(kind) => Fact::known(kind, source),
                None => Fact::unknown(format!("the type {name:?} is not known here"), source),
            };
            let set = WORDS.iter().filter(|(flag, _)| found & flag != 0);
            let mut words: Vec<String> = set.map(|(_, word)| (*word).to_owned()).collect();
            // SAFETY: the root ends with a zero.
            if unsafe { GetDriveTypeW(root.as_ptr()) } == DRIVE_REMOTE {
                words.push("remote".to_owned());
            }
            facts.name = Fact::known(name, source);
            facts.options = Fact::known(words, source);
        }
        Err(error) => {
            facts.kind = Fact::unknown(&error, source);
            facts.name = Fact::unknown(&error, source);
            facts.options = Fact::unknown(&error, source);
        }
    }
    let source = "GetDiskFreeSpaceEx";
    (facts.free_bytes, facts.size_bytes) = match space(path) {
        Ok((free, size)) => (Fact::known(free, source), Fact::known(size, source)),
        Err(error) => (Fact::unknown(&error, source), Fact::unknown(&error, source)),
    };
    Ok(facts)
}

fn attributes(metadata: &std::fs::Metadata) -> Fact<Attributes> {
    use std::os::windows::fs::MetadataExt;
    use windows_sys::Win32::Storage::FileSystem::FILE_ATTRIBUTE_COMPRESSED;
    let compressed = metadata.file_attributes() & FILE_ATTRIBUTE_COMPRESSED != 0;
    Fact::known(Attributes { compressed, ..Attributes::default() }, "GetFileInformationByHandle")
}

/// What [`try_ability`] tries: names, and what they are good for.
pub(crate) const FILE_ABILITIES: &[(&str, &str)] = &[
    ("SetFileInformation", "space ahead, so that a full disk is an error when growing"),
    ("LockFileEx", "locks of ranges"),
];

/// Tries one of them on a file of no size.
pub(crate) fn try_ability(name: &str, _dir: &Path, file: &File) -> io::Result<()> {
    match name {
        "LockFileEx" => {
            let outcome = super::try_lock(file, &(0..1), super::LockKind::Exclusive);
            outcome.and_then(|()| super::unlock(file, &(0..1)))
        }
        _ => match super::allocate(&super::object_of_file(file.try_clone()?), 0, 4096)? {
            super::Allocated::Nothing => Err(io::ErrorKind::Unsupported.into()),
            _ => Ok(()),
        },
    }
}

/// What [`rename_without_replacing`] is called, and what it is good for.
pub(crate) const RENAME_ABILITY: (&str, &str) =
    ("MoveFileEx", "new files that replace none");

/// Renames; the system never replaces unless asked to.
pub(crate) fn rename_without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    super::rename_new(from, to)
}

/// Whether an error says that the system or the volume does not have the call.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    // What the file system answered "nothing" to.
    if error.kind() == io::ErrorKind::Unsupported {
        return true;
    }
    let code = error.raw_os_error().map(i32::cast_unsigned);
    matches!(
        code,
        Some(
            codes::ERROR_NOT_SUPPORTED
                | codes::ERROR_INVALID_FUNCTION
                | codes::ERROR_CALL_NOT_IMPLEMENTED
        )
    )
}

/// Whether [`drop_from_memory`] does anything.
pub(crate) const DROPS_FROM_MEMORY: bool = false;

/// Lets the clean pages of a file go: there is no such call.
pub(crate) fn drop_from_memory(_object: &Object) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
