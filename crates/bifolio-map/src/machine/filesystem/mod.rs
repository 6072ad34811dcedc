//! The file system of a path: what it is, what it can, and whether maps of its files can be
//! trusted.

mod kind;
mod probe;

use std::path::{Path, PathBuf};

pub use kind::Kind;
pub use probe::Maps;

use super::{Ability, Fact};
use crate::error::{Error, Result};
use crate::sys;

/// What the file system of a path says of itself; from [`file_system`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct FileSystem {
    /// The path that was asked about, made absolute.
    pub path: PathBuf,
    /// Which kind it is, by its number (`statfs`).
    pub kind: Fact<Kind>,
    /// Its type in the words of the mount table (`ext4`, `fuse.sshfs`).
    pub name: Fact<String>,
    /// Where it is mounted.
    pub mount_point: Fact<PathBuf>,
    /// What is mounted: a device, a server's directory.
    pub mounted: Fact<String>,
    /// All mount options, of the mount and of the file system.
    pub options: Fact<Vec<String>>,
    /// Bytes that it can hold.
    pub size_bytes: Fact<u64>,
    /// Bytes that are free for this user.
    pub free_bytes: Fact<u64>,
    /// Files that can still be made; absent where there is no such limit.
    pub free_files: Fact<u64>,
    /// Bytes that are read ahead of a reader, and around a fault.
    pub read_ahead_bytes: Fact<u64>,
    /// Whether the device has moving parts, as it says itself.
    pub rotational: Fact<Rotational>,
    /// The device's cache of writes: `write back` (flushes are needed) or `write through`.
    pub write_cache: Fact<String>,
    /// What is peculiar to the file or directory itself.
    pub attributes: Fact<Attributes>,
    /// What can be done in the directory, each tried on a file of no size that is gone again.
    pub abilities: Vec<Ability>,
    /// Whether a shared writable map of a new file there agrees with other maps and with calls.
    pub maps: Fact<Maps>,
}

/// Whether a device has moving parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rotational {
    /// It says that it has. Virtual devices often do.
    Yes,
    /// It says that it has none.
    No,
}

/// What is peculiar to a file or directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "flags of the system, each with its name")]
pub struct Attributes {
    /// New data are compressed.
    pub compressed: bool,
    /// Data are overwritten in place, where the file system would otherwise copy on write.
    pub no_copy_on_write: bool,
    /// Its maps go to the device itself, without a page cache.
    pub direct_access: bool,
    /// Protected by fs-verity.
    pub verity: bool,
}

impl FileSystem {
    /// The ability of this name, if it was tried.
    #[must_use]
    pub fn ability(&self, name: &str) -> Option<&Ability> {
        self.abilities.iter().find(|ability| ability.name == name)
    }

    /// Whether one of the mount options is this word.
    #[must_use]
    pub fn has_option(&self, word: &str) -> bool {
        self.options.value().is_some_and(|options| options.iter().any(|option| option == word))
    }

    /// What stands after `name=` among the mount options.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        let options = self.options.value()?;
        options.iter().find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    }

    /// The directory in which things were tried: the path itself, or the one that holds it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        directory_of(&self.path)
    }
}

fn directory_of(path: &Path) -> &Path {
    if path.is_dir() { path } else { path.parent().unwrap_or(path) }
}

/// What the file system of a path says of itself, and what can be done there. What can only be
/// known by trying is tried on files of its own, which are gone when it returns; where this user
/// may not make files, those facts say so.
///
/// # Errors
/// If the path does not exist or cannot be reached. Everything else is a fact that is not known.
///
/// ```
/// use bifolio_map::machine::{self, Maps};
/// let dir = std::env::temp_dir();
/// let found = machine::file_system(&dir)?;
/// if let Some(Maps::Refused(why)) = found.maps.value() {
///     println!("files in {} cannot be mapped: {why}", dir.display());
/// }
/// # Ok::<(), bifolio_map::Error>(())
/// ```
pub fn file_system(path: impl AsRef<Path>) -> Result<FileSystem> {
    let asked = path.as_ref();
    let fail = |error| Error::os("ask about", error).at_path(asked);
    let path = std::fs::canonicalize(asked).map_err(fail)?;
    let mut found = sys::file_system_facts(&path).map_err(fail)?;
    found.path = path;
    probe::try_out(&mut found);
    Ok(found)
}
