//! Where named sections are on Linux, and how an entry is marked.
//!
//! What this library has to know of an entry stands in mode bits, outside of the bytes, where
//! `open` puts them before the entry has a name. The owner's files must not look marked by chance,
//! since the marked are removed when nobody holds them. So a mark is a pattern that nobody gives a
//! file of his own: the sticky bit, which means nothing to Linux on a file, and the right to execute
//! for others but *not* for the owner.
//!
//! | special bits and executable for user, group, others | means |
//! |---|---|
//! | sticky, `--x` for the group (01010) | goes with its last handle |
//! | sticky, `--x` for others (01001) | stands for a file elsewhere, whose path it holds; persistent |
//! | sticky, `--x` for both (01011) | the same, and goes with its last handle |
//!
//! An entry with any other is persistent, or somebody else's. Writing keeps these bits, whoever
//! writes; it takes the set-group-id bit from a file whose group the writer is not in.

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

/// The bits that are part of a mark: all special ones, and those that say who may execute.
const MARK_BITS: u32 = 0o7111;

/// The bits with which a marked entry is created.
pub(super) fn mode_of(marks: Marks) -> u32 {
    match (marks.has(Mark::GoesWithLastHandle), marks.has(Mark::StandsForFile)) {
        (false, false) => 0,
        (true, false) => 0o1010,
        (false, true) => 0o1001,
        (true, true) => 0o1011,
    }
}

/// The marks that a mode stands for: exactly these bits, or none.
pub(super) fn marks_of(mode: u32) -> Marks {
    let all = (0..4).map(|set| {
        let chosen = Mark::ALL.into_iter().filter(|mark| set >> *mark as u32 & 1 == 1);
        chosen.fold(Marks::NONE, Marks::with)
    });
    all.into_iter().find(|marks| mode_of(*marks) == mode & MARK_BITS).unwrap_or(Marks::NONE)
}

/// Marks an entry that has no name yet, or not its final one, if its creation did not.
pub(super) fn mark(file: &File, marks: Marks) -> io::Result<()> {
    let mode = file.metadata()?.mode() & 0o666 | 0o600;
    file.set_permissions(std::fs::Permissions::from_mode(mode | mode_of(marks)))
}

/// The marks of an entry.
pub(super) fn marks(_file: &File, seen: &Metadata) -> Marks {
    marks_of(seen.mode())
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
