//! Where named sections are on Linux, and how an entry is marked.
//!
//! What this library has to know of an entry stands in mode bits, outside of the bytes, where
//! `open` puts them before the entry has a name. Neither bit means anything to Linux on a file
//! that nobody executes, and every user may set them on files of his own:
//!
//! | bit | means |
//! |---|---|
//! | `S_ISVTX` (01000) | goes with its last handle |
//! | `S_ISGID` (02000) | stands for a file elsewhere, whose path it holds |
//!
//! An entry without them is persistent, or somebody else's.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::names_unix::{Mark, Marks};

/// Where `shm_open` has its memory.
const SHM: &str = "/dev/shm";

/// The directory of this user's sections; those in it are of no other user.
pub(super) fn session_dir(user: u32) -> PathBuf {
    PathBuf::from(format!("{SHM}/bifolio-{user}"))
}

/// The directory of everybody's sections, whether or not this library made them.
pub(super) fn machine_dir() -> PathBuf {
    PathBuf::from(SHM)
}

/// Makes the directory of everybody's: the system's start does that.
pub(super) fn make_machine_dir(_dir: &Path) -> io::Result<()> {
    Ok(())
}

fn bit(mark: Mark) -> u32 {
    match mark {
        Mark::GoesWithLastHandle => libc::S_ISVTX,
        Mark::StandsForFile => libc::S_ISGID,
    }
}

/// The bits with which a marked entry is created.
pub(super) fn mode_of(marks: Marks) -> u32 {
    Mark::ALL.iter().filter(|mark| marks.has(**mark)).map(|mark| bit(*mark)).sum()
}

/// Marks an entry that has no name yet, or not its final one, if its creation did not.
pub(super) fn mark(file: &File, marks: Marks) -> io::Result<()> {
    let mode = file.metadata()?.mode() & 0o777;
    file.set_permissions(std::fs::Permissions::from_mode(mode | mode_of(marks)))
}

/// The marks of an entry.
pub(super) fn marks(_file: &File, seen: &Metadata) -> Marks {
    let mut marks = Marks::NONE;
    for mark in Mark::ALL {
        if seen.mode() & bit(mark) != 0 {
            marks = marks.with(mark);
        }
    }
    marks
}

/// Whether the files in a directory take the machine's memory, or those in the one above if it is
/// not there.
pub(super) fn takes_memory_in(dir: &Path) -> bool {
    let found = rustix::fs::statfs(dir);
    let found = found.or_else(|error| dir.parent().map_or(Err(error), rustix::fs::statfs));
    found.is_ok_and(|found| super::linux_filesystem::takes_memory(&found))
}

/// Whether a file takes the machine's memory.
pub(super) fn takes_memory(file: &File) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|found| super::linux_filesystem::takes_memory(&found))
}
