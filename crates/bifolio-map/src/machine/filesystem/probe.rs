//! What can only be known by trying: each on a file of its own, which is gone afterwards.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{FileSystem, directory_of};
use crate::error::{Error, ErrorKind, Result};
use crate::machine::{Ability, Fact, Permission};
use crate::section::aside::unnamed;
use crate::section::{Access, Create, Section};
use crate::sys;
use crate::view::{Read, ReadWrite, View};

/// Whether maps of files can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Maps {
    /// Two maps and calls on the file see the same bytes at once.
    Agree,
    /// They do not: which one was wrong.
    Differ(String),
    /// The file system refuses shared writable maps: what the system said.
    Refused(String),
}

/// Fills in what can be tried.
pub(super) fn try_out(found: &mut FileSystem) {
    let dir = directory_of(&found.path).to_path_buf();
    let abilities = |answer: &dyn Fn(&str) -> Fact<Permission>| -> Vec<Ability> {
        let ability = |(name, purpose): &(&'static str, &'static str)| Ability {
            name,
            purpose,
            answer: answer(name),
        };
        sys::FILE_ABILITIES.iter().map(ability).collect()
    };
    match unnamed(&dir, 0o600) {
        Ok(file) => {
            found.abilities = abilities(&|name| tried(&sys::try_ability(name, &dir, &file), &dir));
            found.abilities.push(rename_ability(&dir));
            found.maps = try_maps(file);
        }
        Err(error) => {
            let why = format!("no file could be made in {}: {error}", dir.display());
            found.maps = Fact::unknown(&why, "a map that was tried");
            found.abilities = abilities(&|name| Fact::unknown(&why, name.to_owned()));
        }
    }
}

fn tried(outcome: &io::Result<()>, dir: &Path) -> Fact<Permission> {
    Fact::known(Permission::of(outcome), format!("tried in {}", dir.display()))
}

/// A name that nobody else has.
fn name_in(dir: &Path) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    dir.join(format!(".bifolio.{}.{number}.probe", std::process::id()))
}

/// Renaming that never replaces a file, by two names of our own. Only a name that was made here is
/// removed: somebody in another PID namespace may have chosen the same.
fn rename_ability(dir: &Path) -> Ability {
    let (name, purpose) = sys::RENAME_ABILITY;
    let (from, made) = loop {
        let from = name_in(dir);
        match sys::open(&from, Access::ReadWrite, Create::New, 0o600) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => break (from, result),
        }
    };
    let answer = match made {
        Err(error) => Fact::unknown(error, name),
        Ok(file) => {
            drop(file);
            let to = name_in(dir);
            let outcome = sys::rename_without_replacing(&from, &to);
            // Nobody is left to tell about a failure; the file has no bytes.
            let _ = std::fs::remove_file(if outcome.is_ok() { to } else { from });
            tried(&outcome, dir)
        }
    };
    Ability { name, purpose, answer }
}

/// Maps a file twice and compares what each map sees with what calls see.
fn try_maps(file: File) -> Fact<Maps> {
    let source = "a map that was tried";
    let section = file.try_clone().map_err(|error| Error::os("try a map", error));
    let outcome = section
        .and_then(Section::from_file)
        .and_then(|section| compare(&sys::object_of_file(file), &section));
    match outcome {
        Ok(maps) => Fact::known(maps, source),
        // These say nothing about maps.
        Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::LimitReached) => {
            Fact::unknown(error, source)
        }
        Err(error) => Fact::known(Maps::Refused(error.to_string()), source),
    }
}

/// Compares calls on `object` with maps of `section`, which are one file.
fn compare(object: &sys::Object, section: &Section) -> Result<Maps> {
    let os = |error| Error::os("try a map", error);
    let differ = |what: &str| Ok(Maps::Differ(what.to_owned()));
    let by_call = || -> Result<u8> {
        let mut byte = [0];
        sys::read_at(object, 7, &mut byte).map_err(os)?;
        Ok(byte[0])
    };
    write_by_call(object, 0, &vec![1; crate::page_size()]).map_err(os)?;
    let writer: View<ReadWrite> = section.view()?;
    let reader: View<Read> = section.view()?;
    if (writer.get::<u8>(7)?, reader.get::<u8>(7)?) != (1, 1) {
        return differ("a map does not show what was written by a call before");
    }
    // Each map has its page now. What is stored from here on must show in all of them.
    writer.put(7, &2u8)?;
    if reader.get::<u8>(7)? != 2 {
        return differ("one map does not show what was stored through another");
    }
    if by_call()? != 2 {
        return differ("a call does not read what was stored through a map");
    }
    write_by_call(object, 7, &[3]).map_err(os)?;
    if (reader.get::<u8>(7)?, writer.get::<u8>(7)?) != (3, 3) {
        return differ("a map does not show what was written by a call");
    }
    Ok(Maps::Agree)
}

/// Writes by a call in the strict sense, also past the end: elsewhere Windows takes maps for it.
fn write_by_call(object: &sys::Object, offset: u64, bytes: &[u8]) -> io::Result<()> {
    match sys::write_vectored_at(object, offset, &[io::IoSlice::new(bytes)])? {
        size if size == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;

    fn object(file: &File) -> sys::Object {
        sys::object_of_file(file.try_clone().unwrap())
    }

    #[test]
    fn maps_of_a_file_agree_with_calls_on_it() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8).unwrap();
        let section = Section::from_file(file.try_clone().unwrap()).unwrap();
        assert_eq!(compare(&object(&file), &section).unwrap(), Maps::Agree);
    }

    /// The broken twin: calls and maps that do not meet, since they are two files.
    #[test]
    fn maps_that_do_not_agree_with_calls_are_noticed() {
        let (called, mapped) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        std::io::Write::write_all(&mut &mapped, &[1; 4096]).unwrap();
        let section = Section::from_file(mapped.try_clone().unwrap()).unwrap();
        let found = compare(&object(&called), &section).unwrap();
        assert!(matches!(&found, Maps::Differ(what) if what.contains("a call does not read")));
        let section = Section::from_file(called.try_clone().unwrap()).unwrap();
        std::io::Write::write_all(&mut &called, &[9; 4096]).unwrap();
        let found = compare(&object(&mapped), &section).unwrap();
        // Which of the two differences is met first is the system's affair.
        assert!(matches!(&found, Maps::Differ(_)), "{found:?}");
    }
}
