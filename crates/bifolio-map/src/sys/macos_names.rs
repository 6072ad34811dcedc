//! Where named sections are on macOS, and how an entry is marked.
//!
//! Its `shm_open` gives memory that cannot change its size, be listed, locked or given rights
//! later, with names of 31 characters at most; so sections are files. Ordinary users may not set
//! the mode bits that Linux's entries have, so marks are extended attributes.
#![expect(unsafe_code, reason = "system calls on descriptors")]

use std::ffi::CStr;
use std::fs::{DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::names_unix::{Mark, Marks};
use super::shared_dir::{SHARED_MODE, Seen, Verdict, judge};
use super::unix::{check, raw};

/// The directory of this user's sections; those in it are of no other user.
pub(super) fn session_dir(user: u32) -> PathBuf {
    super::temporary_dir().join(format!("bifolio-{user}"))
}

/// The directory of everybody's sections.
pub(super) fn machine_dir() -> PathBuf {
    PathBuf::from("/tmp/bifolio-machine")
}

/// Makes the directory of everybody's: all may add, and remove what is theirs. One that is there
/// is looked at: anybody may have made it.
pub(super) fn make_machine_dir(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(SHARED_MODE).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = dir.symlink_metadata()?;
    let user = rustix::process::geteuid().as_raw();
    let seen = Seen { is_dir: found.is_dir(), owner: found.uid(), mode: found.mode() };
    match judge(&seen, user) {
        Verdict::Right => Ok(()),
        // The umask took bits away, here or in a process that is just making it. Its parent is
        // sticky, so what is this user's now is what the call changes.
        Verdict::Unfinished => {
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(SHARED_MODE))
        }
        Verdict::Wrong(why) => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} {why}", dir.display()),
        )),
    }
}

fn attribute(mark: Mark) -> &'static CStr {
    match mark {
        Mark::GoesWithLastHandle => c"bifolio.last-handle",
        Mark::StandsForFile => c"bifolio.file",
    }
}

/// The bits with which a marked entry is created: none here.
pub(super) fn mode_of(_marks: Marks) -> u32 {
    0
}

/// Marks an entry that has not got its final name yet.
pub(super) fn mark(file: &File, marks: Marks) -> io::Result<()> {
    let mode = file.metadata()?.mode() & 0o666;
    if mode & 0o600 != 0o600 {
        file.set_permissions(std::fs::Permissions::from_mode(mode | 0o600))?;
    }
    for mark in Mark::ALL.into_iter().filter(|mark| marks.has(*mark)) {
        let name = attribute(mark).as_ptr();
        // SAFETY: the name ends with a zero, and a value of no bytes is not read.
        check(unsafe { libc::fsetxattr(raw(file), name, c"".as_ptr().cast(), 0, 0, 0) })?;
    }
    Ok(())
}

/// The marks of an entry.
pub(super) fn marks(file: &File, _seen: &Metadata) -> Marks {
    let mut marks = Marks::NONE;
    for mark in Mark::ALL {
        let name = attribute(mark).as_ptr();
        // SAFETY: the name ends with a zero; without a buffer only the size is asked for.
        let size = unsafe { libc::fgetxattr(raw(file), name, std::ptr::null_mut(), 0, 0, 0) };
        if size >= 0 {
            marks = marks.with(mark);
        }
    }
    marks
}

/// Whether the files in a directory take the machine's memory: the system has no such file system of its own.
pub(super) fn takes_memory_in(_dir: &Path) -> bool {
    false
}

/// Whether a file takes the machine's memory.
pub(super) fn takes_memory(_file: &File) -> bool {
    false
}
