//! Looking at all names: those of the kernel's objects, and the files of what sleeps.

use std::io;
use std::path::Path;

use windows_sys::Win32::Security::Authorization::{SE_FILE_OBJECT, SE_KERNEL_OBJECT};

use super::super::Found;
use super::super::windows_objects::{open_section, owner_of, section_names, size_of_section};
use super::super::windows_pagefile::PageFile;
use super::trust::{open_entry, read_pointer};
use super::{POINTER, Place, STATE, Seen, look, missing};
use crate::names::{EntryKind, InUse, Lifetime};
use crate::section::Access;

/// The names of a place.
pub(crate) fn list_named(place: &Place) -> io::Result<Vec<Found>> {
    let mut found: Vec<Found> = Vec::new();
    let objects = section_names(place.objects)?;
    let ours = format!("{STATE}{}", place.set);
    for state in objects.iter().filter_map(|object| object.strip_prefix(&*ours)) {
        // Names of directories' sets are not the session's.
        if place.set.is_empty() && state.starts_with(".bifolio-") {
            continue;
        }
        found.extend(look_at(place, state));
    }
    for entry in std::fs::read_dir(&place.dir).into_iter().flatten().flatten() {
        let (file, kind) = (entry.file_name().to_string_lossy().into_owned(), entry.file_type()?);
        let inner = file.strip_prefix(POINTER.0).and_then(|rest| rest.strip_suffix(POINTER.1));
        let name = inner.unwrap_or(&file);
        let is_name = crate::names::Name::new(name).is_ok() && kind.is_file();
        if is_name && !found.iter().any(|known| known.name == name) {
            found.extend(look_at_sleeper(&entry.path(), name, inner.is_some()));
        }
    }
    if place.set.is_empty() {
        for name in objects.iter().filter(|name| !name.starts_with(".bifolio-")) {
            let known = found.iter().any(|known| known.name == **name);
            if !known && !objects.contains(&format!("{STATE}{name}")) {
                found.extend(look_at_foreign(place, name));
            }
        }
    }
    Ok(found)
}

/// A name that somebody has.
fn look_at(place: &Place, name: &str) -> Option<Found> {
    let in_use = InUse::Yes;
    let owner = open_section(&place.object(STATE, name), Access::Read)
        .map_or_else(|_| String::new(), |state| owner_of(&state, SE_KERNEL_OBJECT));
    let name = name.to_owned();
    Some(match look(place, &name, Access::Read) {
        Ok(Seen::Memory { state, .. }) => Found {
            name,
            len: PageFile::len_in(&state).ok(),
            lifetime: Lifetime::LastHandle,
            in_use,
            owner,
            kind: EntryKind::Section,
        },
        Ok(Seen::File { path, lifetime, .. }) => {
            let len = path.metadata().ok().map(|file| file.len());
            let own = path == place.file(&name);
            let kind = if own { EntryKind::Section } else { EntryKind::File(path) };
            Found { name, len, lifetime, in_use, owner, kind }
        }
        Ok(Seen::Nothing | Seen::Changing) => return None,
        Err(_) => {
            let (lifetime, kind) = (Lifetime::LastHandle, EntryKind::Section);
            Found { name, len: None, lifetime, in_use, owner, kind }
        }
    })
}

/// A persistent name that nobody has.
fn look_at_sleeper(path: &Path, name: &str, points: bool) -> Option<Found> {
    let file = open_entry(path, Access::Read).ok()?;
    let owner = owner_of(&file, SE_FILE_OBJECT);
    let (kind, target) = if points {
        // Of a path at the word of somebody else nothing is asked, not even how long its file is.
        match read_pointer(path) {
            Ok(target) => (EntryKind::File(target.clone()), Some(target)),
            Err(error) if missing(&error) => return None,
            Err(_) => (EntryKind::Other, None),
        }
    } else {
        (EntryKind::Section, Some(path.to_path_buf()))
    };
    let len = target.and_then(|target| target.metadata().ok()).map(|file| file.len());
    let (lifetime, in_use) = (Lifetime::Persistent, InUse::No);
    Some(Found { name: name.to_owned(), len, lifetime, in_use, owner, kind })
}

/// A section of another program's.
fn look_at_foreign(place: &Place, name: &str) -> Option<Found> {
    let section = open_section(&place.object("", name), Access::Read);
    let (len, owner) = match &section {
        Ok(section) => (size_of_section(section).ok(), owner_of(section, SE_KERNEL_OBJECT)),
        Err(error) if missing(error) => return None,
        Err(_) => (None, String::new()),
    };
    let (lifetime, in_use, kind) = (Lifetime::LastHandle, InUse::Yes, EntryKind::Foreign);
    Some(Found { name: name.to_owned(), len, lifetime, in_use, owner, kind })
}
