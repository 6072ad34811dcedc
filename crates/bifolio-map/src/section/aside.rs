//! Files that appear under their name complete or not at all.
//!
//! Where the file system has files without a name (`O_TMPFILE`), such a file is made and linked
//! when it is complete; a creator that is killed leaves nothing. Elsewhere it is made beside its
//! name, as `.NAME.N.new`, and renamed. There a creator that is killed leaves the file it was
//! making, until the next creator of that name finds and removes it.
//!
//! Proof of life is a lock on the file itself, which ends with its holder however that ends, and
//! which holds across PID namespaces:
//!
//! ```text
//! creator   make .NAME.N.new ─► lock it ─► is it still that name's? ─► prepare, rename ─► unlock
//! finder    open .NAME.N.new ─► lock it ─► is it still that name's? ─► remove
//! ```
//!
//! A creator that a finder overtakes between the first two steps sees it in the third, and takes
//! the next number. Nobody waits for a lock: who does not get it takes the next number too.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::{Access, Create, parent_of};
use crate::sys;

/// Characters of a name that the name beside it repeats: four bytes each fit every file system.
const REPEATED: usize = 60;

/// Creates a file that appears at `path` complete, as `prepare` left it, or not at all.
pub(crate) fn create_complete(
    path: &Path,
    permissions: u32,
    prepare: impl Fn(&File) -> io::Result<()>,
) -> io::Result<File> {
    let dir = parent_of(path).ok_or(io::ErrorKind::InvalidInput)?;
    if path.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    if let Some(result) = sys::create_unnamed(dir, permissions) {
        let file = result?;
        prepare(&file)?;
        sys::publish_unnamed(&file, path)?;
        return Ok(file);
    }
    create_by_renaming(path, permissions, prepare)
}

fn create_by_renaming(
    path: &Path,
    permissions: u32,
    prepare: impl Fn(&File) -> io::Result<()>,
) -> io::Result<File> {
    let (file, aside) = beside(path, permissions)?;
    let outcome = prepare(&file).and_then(|()| sys::rename_new(&aside, path));
    if let Err(error) = outcome {
        // While the lock is held: without it the name may be another creator's a moment later. The
        // first error is the one to tell; the next creator of this name removes what stays.
        if is_still(&file, &aside) {
            let _ = std::fs::remove_file(&aside);
        }
        return Err(error);
    }
    Ok(let_go(file))
}

/// A new file beside `path`, and its name there, for a caller that renames it. It is locked as a
/// proof that its creator lives.
pub(crate) fn beside(path: &Path, permissions: u32) -> io::Result<(File, PathBuf)> {
    create_aside(path, |aside| sys::open(aside, Access::ReadWrite, Create::New, permissions))
}

/// Whether a file name is one of [`beside`]'s.
#[cfg(unix)]
pub(crate) fn is_aside(name: &str) -> bool {
    let inner = name.strip_prefix('.').and_then(|name| name.strip_suffix(".new"));
    let number =
        inner.and_then(|inner| inner.rsplit_once('.')).filter(|(name, _)| !name.is_empty());
    number.is_some_and(|(_, number)| number.parse::<u32>().is_ok_and(|n| n.to_string() == number))
}

/// A file that is gone with its last user: without a name from the start, or under one that goes
/// by itself.
pub(crate) fn unnamed(dir: &Path, permissions: u32) -> io::Result<File> {
    if let Some(result) = sys::create_unnamed(dir, permissions) {
        return result;
    }
    let create_new = |aside: &Path| sys::create_vanishing(aside, permissions);
    let (file, aside) = create_aside(&dir.join("bifolio"), create_new)?;
    sys::vanish(&aside)?;
    Ok(let_go(file))
}

/// A new file beside `path`, locked as a proof that its creator lives.
fn create_aside(
    path: &Path,
    create_new: impl Fn(&Path) -> io::Result<File>,
) -> io::Result<(File, PathBuf)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let name: String = name.chars().take(REPEATED).collect();
    let mut number = 0u32;
    loop {
        let aside = path.with_file_name(format!(".{name}.{number}.new"));
        match create_new(&aside) {
            Ok(file) => match lock(&file, &aside) {
                Lock::Held | Lock::NoneHere => return Ok((file, aside)),
                Lock::Lost => {}
            },
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Once more under the same number if it is free now.
                if remove_if_abandoned(&aside) {
                    continue;
                }
            }
            Err(error) => return Err(error),
        }
        number += 1;
    }
}

/// What became of locking a file beside its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lock {
    /// Ours, and the file has its name.
    Held,
    /// Somebody else's, or the file has lost its name.
    Lost,
    /// The file system has no locks, so nobody removes anything either.
    NoneHere,
}

fn lock(file: &File, aside: &Path) -> Lock {
    match file.try_lock() {
        Ok(()) if is_still(file, aside) => Lock::Held,
        Ok(()) | Err(TryLockError::WouldBlock) => Lock::Lost,
        Err(TryLockError::Error(_)) => Lock::NoneHere,
    }
}

/// Whether `aside` is the name of this very file.
fn is_still(file: &File, aside: &Path) -> bool {
    let own_name = aside.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
    let identity = file.try_clone().and_then(|file| sys::identity(&sys::object_of_file(file)));
    own_name
        && match (identity, sys::identity_of_path(aside)) {
            (Ok(own), Ok(named)) => own == named,
            _ => false,
        }
}

/// Removes a file whose creator has died; whether it did. What cannot be looked at stays.
fn remove_if_abandoned(aside: &Path) -> bool {
    let is_file = aside.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
    let Some(file) =
        is_file.then(|| sys::open(aside, Access::ReadWrite, Create::Never, 0)).and_then(Result::ok)
    else {
        return false;
    };
    lock(&file, aside) == Lock::Held && std::fs::remove_file(aside).is_ok()
}

/// The file without its lock: what the user of a section locks is the user's business.
fn let_go(file: File) -> File {
    // Fails only where there was no lock to be had.
    let _ = file.unlock();
    file
}

#[cfg(test)]
mod tests;
