//! Who is believed when a name is said to stand for a file: whoever may say so leads others to any
//! file, also one on another machine, which then learns who they are.
//!
//! Believed are this user, the system and the machine's administrators, as owners of the object or
//! the file that says it; and as owners of our directories, since who owns a directory can put
//! other files in their places. (The bytes of a section may be anybody's: permissions say so.)

use std::fs::File;
use std::io::{self, Read};
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::AsRawHandle;
use std::path::{Path, PathBuf};

use windows_sys::Win32::Foundation::ERROR_BAD_EXE_FORMAT;
use windows_sys::Win32::Security::Authorization::{SE_FILE_OBJECT, SE_OBJECT_TYPE};
use windows_sys::Win32::Storage::FileSystem as files;

use super::super::windows::error_of;
use super::super::windows_objects::{
    Objects, Rights, create_directory, is_believed, owner_of, sid_of_this_user,
};
use super::{PATH_SIZE_MAX, Place, missing, path_of_bytes};
use crate::section::Access;

/// Refuses what somebody else made.
pub(super) fn check_owner(
    handle: &impl AsRawHandle,
    kind: SE_OBJECT_TYPE,
    what: &str,
) -> io::Result<()> {
    let owner = owner_of(handle, kind);
    if is_believed(&owner, &sid_of_this_user()?) {
        return Ok(());
    }
    let owner = if owner.is_empty() { "somebody unknown".into() } else { format!("user {owner}") };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{what} {owner}")))
}

/// What refusals of pointers say, before the user.
pub(super) const AT_THE_WORD: &str = "it leads to a file, at the word of";

/// Opens a file itself, not what it links to.
pub(super) fn open_entry(path: &Path, access: Access) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(access == Access::ReadWrite);
    options.custom_flags(files::FILE_FLAG_OPEN_REPARSE_POINT);
    options.security_qos_flags(files::SECURITY_IDENTIFICATION);
    let file = options.open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(error_of(ERROR_BAD_EXE_FORMAT)) }
}

/// The path that a pointer file holds, at the word of somebody who is believed. `NotFound` if there
/// is none.
pub(super) fn read_pointer(pointer: &Path) -> io::Result<PathBuf> {
    let file = open_entry(pointer, Access::Read)?;
    // Of the file that is read, whatever comes to its place meanwhile.
    check_owner(&file, SE_FILE_OBJECT, AT_THE_WORD)?;
    let mut bytes = Vec::new();
    file.take(PATH_SIZE_MAX as u64).read_to_end(&mut bytes)?;
    Ok(path_of_bytes(&bytes))
}

impl Place {
    /// Our directories, the outer one first; none in a directory of the caller's, who knows who may
    /// write there.
    fn own_dirs(&self) -> impl Iterator<Item = &Path> {
        let ours = self.set.is_empty();
        let outer = self.dir.parent().filter(|_| ours);
        outer.into_iter().chain(ours.then_some(&*self.dir))
    }

    /// Makes the directory of files, with rights of its own: what lies around it lets others in.
    pub(super) fn make_dir(&self) -> io::Result<()> {
        let around = self.own_dirs().next().map_or(Some(&*self.dir), Path::parent);
        std::fs::create_dir_all(around.ok_or(io::ErrorKind::InvalidInput)?)?;
        for dir in self.own_dirs() {
            match create_directory(dir, &Rights::of_directory(self.objects)?) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => result?,
            }
        }
        self.check_dir()
    }

    /// Refuses our directories if they are not: links, or made by somebody else.
    pub(super) fn check_dir(&self) -> io::Result<()> {
        for dir in self.own_dirs() {
            let flags = files::FILE_FLAG_BACKUP_SEMANTICS | files::FILE_FLAG_OPEN_REPARSE_POINT;
            let rights = files::READ_CONTROL | files::FILE_READ_ATTRIBUTES;
            let found = File::options().access_mode(rights).custom_flags(flags).open(dir)?;
            let shown = dir.display();
            if !found.metadata()?.is_dir() {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    format!("{shown} must be a directory, and is a file or a link: remove it"),
                ));
            }
            let whose = match self.objects {
                Objects::Local => "this user's",
                Objects::Global => "an administrator's",
            };
            let what = format!("{shown} must be {whose} or the system's, and is of");
            check_owner(&found, SE_FILE_OBJECT, &what)?;
        }
        Ok(())
    }

    /// The file of a persistent name that nobody has open, if there is one.
    pub(super) fn asleep(&self, name: &str) -> io::Result<Option<PathBuf>> {
        let file = self.file(name);
        match file.symlink_metadata() {
            Ok(found) if found.is_symlink() => return Err(error_of(ERROR_BAD_EXE_FORMAT)),
            Ok(found) if found.is_file() => {
                return self.check_dir().map(|()| Some(file));
            }
            _ => {}
        }
        match read_pointer(&self.pointer(name)) {
            Ok(path) => self.check_dir().map(|()| Some(path)),
            Err(error) if missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether there is a file of a persistent name, whoever made it.
    pub(super) fn is_asleep(&self, name: &str) -> bool {
        let is_there = |path: PathBuf| path.symlink_metadata().is_ok_and(|found| !found.is_dir());
        is_there(self.file(name)) || is_there(self.pointer(name))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::windows_objects::{ADMINISTRATORS, SYSTEM};
    use super::*;

    #[test]
    fn this_user_the_system_and_administrators_are_believed_and_nobody_else() {
        let user = "S-1-5-21-1-2-3-1001";
        for owner in [user, SYSTEM, ADMINISTRATORS] {
            assert!(is_believed(owner, user), "{owner}");
        }
        // Another user, everybody, users, a service, and one that could not be asked for.
        for owner in ["S-1-5-21-1-2-3-1002", "S-1-1-0", "S-1-5-32-545", "S-1-5-19", ""] {
            assert!(!is_believed(owner, user), "{owner}");
        }
        assert!(!is_believed("", ""), "not even if this user is not known either");
    }
}
