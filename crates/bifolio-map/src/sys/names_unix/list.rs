//! Looking at all names of a directory, which removes the dead ones.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::fs::FlockOperation;

use super::super::Found;
use super::{
    EntryId, Mark, Place, Spot, Whose, here, lifetime_of, open_entry, remove_dead, remove_if_dead, target_of, try_lock,
};
use crate::names::{EntryKind, InUse, Lifetime};
use crate::section::Access;
use crate::section::aside::is_aside;

/// The names of a place; what is dead in it, and ours, is removed.
pub(crate) fn list_named(place: &Place) -> io::Result<Vec<Found>> {
    match place.check() {
        // The user's directory is made with the first name.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result?,
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&place.dir).map_err(|error| place.explain(error))? {
        found.extend(look(place, &entry?.path()));
    }
    Ok(found)
}

/// What is to be said of one entry; `None` if it is dead, or went meanwhile. What cannot be found
/// out of one is no reason to keep quiet about the others.
fn look(place: &Place, path: &Path) -> Option<Found> {
    let seen = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        seen => seen.ok(),
    };
    let name = path.file_name()?.to_string_lossy().into_owned();
    let owner = seen.as_ref().map(|seen| seen.uid().to_string()).unwrap_or_default();
    let (kind, lifetime) = (EntryKind::Other, Lifetime::Persistent);
    let mut found = Found { name, len: None, lifetime, in_use: InUse::Unknown, owner, kind };
    // Nothing else is opened: that alone has effects on some devices.
    let Some(seen) = seen.filter(std::fs::Metadata::is_file) else { return Some(found) };
    (found.kind, found.len) = (EntryKind::Section, Some(seen.len()));
    let aside = is_aside(&found.name);
    let spot = Spot::at_path(path.to_path_buf());
    let entry = match open_entry(&spot, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(_) => return (!aside).then_some(found),
        Ok(entry) => entry,
    };
    let Ok(seen) = entry.metadata() else { return Some(found) };
    let marks = here::marks(&entry, &seen);
    found.lifetime = lifetime_of(marks);
    // What is not marked may be a foreign program's, which may rely on such a lock.
    if found.lifetime == Lifetime::LastHandle || place.rights.whose != Whose::Everybody {
        found.in_use = match try_lock(&entry, FlockOperation::NonBlockingLockExclusive) {
            Ok(true) if found.lifetime == Lifetime::LastHandle => {
                remove_dead(&spot, EntryId::of(&seen), place.rights);
                return None;
            }
            Ok(true) => InUse::No,
            Ok(false) => InUse::Yes,
            Err(_) => InUse::Unknown,
        };
    }
    if marks.has(Mark::StandsForFile) {
        // Where it leads is said only if an opener would follow.
        let target = place.rights.follow(&seen).and_then(|()| target_of(&entry)).ok();
        let target = target.filter(|_| place.rights.accept(&seen).is_ok());
        found.len = target.as_ref().and_then(|path| path.metadata().ok()).map(|file| file.len());
        found.kind = target.map_or(EntryKind::Other, EntryKind::File);
    }
    (!aside).then_some(found)
}

/// How often this process has been in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visit {
    First,
    Another,
}

/// Notes a visit. The first one removes our dead of the directory: names that nobody uses again (a
/// process's number in them) are found by nobody else.
pub(super) fn visit(place: &Place) -> Visit {
    static VISITED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut visited = VISITED.lock().unwrap_or_else(|broken| broken.into_inner());
    if visited.contains(&place.dir) {
        return Visit::Another;
    }
    visited.insert(place.dir.clone());
    drop(visited);
    for entry in std::fs::read_dir(&place.dir).into_iter().flatten().flatten() {
        let _ = remove_if_dead(&Spot::at_path(entry.path()), place.rights);
    }
    Visit::First
}
