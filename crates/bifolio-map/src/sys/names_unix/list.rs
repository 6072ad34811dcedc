//! Looking at all names of a directory, which removes the dead ones.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::fs::FlockOperation;

use super::super::Found;
use super::{
    Mark, Place, Removed, here, is_aside, lifetime_of, open_entry, remove, remove_if_dead, target_of,
    try_lock,
};
use crate::names::{EntryKind, InUse, Lifetime};
use crate::section::Access;

/// The names of a place; what is dead in it is removed.
pub(crate) fn list_named(place: &Place) -> io::Result<Vec<Found>> {
    match place.check() {
        // The user's directory is made with the first name.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result?,
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&place.dir).map_err(|error| place.explain(error))? {
        let path = entry?.path();
        if remove_if_dead(&path)? == Removed::No && !is_aside(&path) {
            found.extend(look(&path));
        }
    }
    Ok(found)
}

/// What is to be said of one entry; `None` if it went meanwhile.
fn look(path: &Path) -> Option<Found> {
    let seen = path.symlink_metadata().ok()?;
    let name = path.file_name()?.to_string_lossy().into_owned();
    let owner = seen.uid().to_string();
    let (kind, lifetime) = (EntryKind::Other, Lifetime::Persistent);
    let mut found = Found { name, len: None, lifetime, in_use: InUse::Unknown, owner, kind };
    if !seen.is_file() {
        return Some(found);
    }
    (found.kind, found.len) = (EntryKind::Section, Some(seen.len()));
    let Ok((entry, seen)) = open_entry(path, Access::Read) else { return Some(found) };
    let marks = here::marks(&entry, &seen);
    found.lifetime = lifetime_of(marks);
    found.in_use = match try_lock(&entry, FlockOperation::NonBlockingLockExclusive) {
        // It has died since it was looked at above; who has EX removes it.
        Ok(true) if found.lifetime == Lifetime::LastHandle => {
            let _ = remove(path, &seen);
            return None;
        }
        Ok(true) => InUse::No,
        Ok(false) => InUse::Yes,
        Err(_) => InUse::Unknown,
    };
    if marks.has(Mark::StandsForFile) {
        let target = target_of(&entry).ok()?;
        found.len = target.metadata().ok().map(|file| file.len());
        found.kind = EntryKind::File(target);
    }
    Some(found)
}

/// Removes the dead of a directory, once in the life of this process: names that nobody uses again
/// (a process's number in them) are found by nobody else.
pub(super) fn sweep_once(dir: &Path) {
    static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut swept = SWEPT.lock().unwrap_or_else(|broken| broken.into_inner());
    if swept.contains(dir) {
        return;
    }
    swept.insert(dir.to_path_buf());
    drop(swept);
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let _ = remove_if_dead(&entry.path());
    }
}
