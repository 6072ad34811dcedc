//! Looking at all names of a directory, which removes the dead ones.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::fs::FlockOperation;

use super::super::Found;
use super::{
    Mark, Place, Removed, Whose, here, is_aside, lifetime_of, open_entry, remove, remove_if_dead, target_of,
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
            found.extend(look(place, &path));
        }
    }
    Ok(found)
}

/// What is to be said of one entry; `None` if it went meanwhile.
fn look(place: &Place, path: &Path) -> Option<Found> {
    let seen = path.symlink_metadata().ok()?;
    let name = path.file_name()?.to_string_lossy().into_owned();
    let owner = seen.uid().to_string();
    let (kind, lifetime) = (EntryKind::Other, Lifetime::Persistent);
    let mut found = Found { name, len: None, lifetime, in_use: InUse::Unknown, owner, kind };
    if !seen.is_file() {
        return Some(found);
    }
    (found.kind, found.len) = (EntryKind::Section, Some(seen.len()));
    let Ok(entry) = open_entry(path, Access::Read) else { return Some(found) };
    let seen = entry.metadata().ok()?;
    let marks = here::marks(&entry, &seen);
    found.lifetime = lifetime_of(marks);
    if found.lifetime == Lifetime::Persistent && place.whose == Whose::Everybody {
        // It may be a foreign program's, which may rely on such a lock.
        return Some(found);
    }
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

/// How often this process has been in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visit {
    First,
    Another,
}

/// Notes a visit. The first one removes the dead of the directory: names that nobody uses again (a
/// process's number in them) are found by nobody else.
pub(super) fn visit(dir: &Path) -> Visit {
    static VISITED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut visited = VISITED.lock().unwrap_or_else(|broken| broken.into_inner());
    if visited.contains(dir) {
        return Visit::Another;
    }
    visited.insert(dir.to_path_buf());
    drop(visited);
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let _ = remove_if_dead(&entry.path());
    }
    Visit::First
}
