//! Opening and creating sections: everything a caller can say about it, and the rule that nothing
//! half-made is ever visible.

use std::fs::File;
use std::io;
use std::path::Path;

use super::aside::{create_complete, unnamed};
use super::{Access, Appends, Create, Section, SectionKind};
use crate::Space;
use crate::error::{Error, ErrorKind, Result};
use crate::sys;

/// How a section is opened or created. The defaults: for reading, never creating, allocated space,
/// readable and writable by the owner only.
///
/// ```
/// use bifolio_map::{Access, Create, Section};
/// let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("counters");
/// let open = || {
///     Section::options()
///         .access(Access::ReadWrite)
///         .create(Create::IfMissing)
///         .len(4096) // of a new file; an existing one is opened as it is
///         .open(&path)
/// };
/// assert_eq!(open()?.len()?, 4096);
/// open()?.set_len(8192, bifolio_map::Space::Allocate)?;
/// assert_eq!(open()?.len()?, 8192);
/// # Ok::<(), bifolio_map::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SectionOptions {
    pub(super) access: Access,
    pub(super) create: Create,
    pub(super) len: u64,
    pub(super) capacity: u64,
    pub(super) space: Space,
    pub(super) permissions: u32,
    pub(super) names: super::named::NameOptions,
}

impl SectionOptions {
    pub(super) fn new() -> Self {
        Self {
            access: Access::Read,
            create: Create::Never,
            len: 0,
            capacity: 0,
            space: Space::Allocate,
            permissions: 0o600,
            names: super::named::NameOptions::default(),
        }
    }

    /// What the handle may do.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Whether a missing file is created, or an existing one refused. Creating needs
    /// [`Access::ReadWrite`].
    pub fn create(mut self, create: Create) -> Self {
        self.create = create;
        self
    }

    /// The length in bytes of what is created. An existing file keeps its own.
    pub fn len(mut self, len: u64) -> Self {
        self.len = len;
        self
    }

    /// The length in bytes up to which anonymous and named memory may grow. Only Windows needs to know in
    /// advance; elsewhere any section can grow as far as the system allows.
    pub fn capacity(mut self, capacity: u64) -> Self {
        self.capacity = capacity;
        self
    }

    /// Whether what is created has space behind all of it.
    pub fn space(mut self, space: Space) -> Self {
        self.space = space;
        self
    }

    /// The permission bits of a new file or named section on Unix, before the process's umask:
    /// 0o600 unless said otherwise. Windows gives new files the rights of their directory; of named
    /// sections it takes the last three bits for everybody's rights, and the owner has all.
    pub fn permissions(mut self, bits: u32) -> Self {
        self.permissions = bits;
        self
    }

    /// Opens or creates the file at `path`.
    ///
    /// # Errors
    /// Those of [`Section::open`]; `AlreadyExists` with [`Create::New`]; `StorageFull`, and then
    /// no file is left behind; `InvalidInput` for an empty path and for
    /// creating with [`Access::Read`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Section> {
        // What is meant by a relative path now is meant by it when the name is synced, later.
        let absolute = std::path::absolute(path.as_ref());
        let path = absolute.as_deref().unwrap_or(path.as_ref());
        let doing = if self.create == Create::New { "create" } else { "open" };
        let refuse = |why| Error::new(ErrorKind::InvalidInput, doing).because(why);
        if path.as_os_str().is_empty() {
            return Err(refuse("the path is empty"));
        }
        if self.create != Create::Never && self.access == Access::Read {
            let why = "a new section has to be writable; add access(Access::ReadWrite)";
            return Err(refuse(why).at_path(path));
        }
        let fail = |error| explain_open(Error::os(doing, error).at_path(path));
        let file = match self.create {
            Create::Never => sys::open(path, self.access, Create::Never, 0).map_err(fail)?,
            Create::New => self.create_file(path).map_err(fail)?,
            Create::IfMissing => self.open_or_create(path).map_err(fail)?,
        };
        Section::of_file(file, self.access, Some(path.to_path_buf()), Appends::No)
    }

    fn create_file(&self, path: &Path) -> io::Result<File> {
        create_complete(path, self.permissions, |file| reserve(file, self.len, self.space))
    }

    fn open_or_create(&self, path: &Path) -> io::Result<File> {
        // Between "there is none" and "there is one" others may come and go; a few rounds settle
        // it, and who loses them all is told what the last one said.
        let mut last = io::ErrorKind::NotFound.into();
        for _ in 0..16 {
            match sys::open(path, self.access, Create::Never, 0) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => return result,
            }
            match self.create_file(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
                result => return result,
            }
        }
        Err(last)
    }

    /// Makes memory without a file.
    ///
    /// # Errors
    /// `OutOfMemory`, `LimitReached`.
    pub fn anonymous(&self) -> Result<Section> {
        let object = sys::anonymous(self.len, self.capacity.max(self.len))
            .map_err(|error| Error::os("create anonymous memory", error))?;
        let kind = SectionKind::Anonymous;
        Ok(Section::of_object(object, Access::ReadWrite, kind, None, Appends::No))
    }

    /// Makes a file without a name in `dir`. Where the file system cannot have one, it has a name
    /// for the moment of its creation.
    ///
    /// # Errors
    /// `NotFound` for the directory, `PermissionDenied`, `StorageFull`.
    pub fn temporary(&self, dir: impl AsRef<Path>) -> Result<Section> {
        let dir = dir.as_ref();
        let file = unnamed(dir, 0o600)
            .and_then(|file| reserve(&file, self.len, self.space).map(|()| file))
            .map_err(|error| Error::os("create a temporary file in", error).at_path(dir))?;
        let (object, kind) = (sys::object_of_file(file), SectionKind::Temporary);
        Ok(Section::of_object(object, Access::ReadWrite, kind, None, Appends::No))
    }
}

/// Adds the next step to errors that have an obvious one.
fn explain_open(error: Error) -> Error {
    match error.kind() {
        ErrorKind::LimitReached => {
            error.because("the process has no descriptor left; see `ulimit -n`")
        }
        ErrorKind::NotMappable if error.path().is_some_and(Path::is_dir) => {
            error.because("it is a directory")
        }
        ErrorKind::NotMappable => error.because("it is a socket or a device that is not there"),
        _ => error,
    }
}

/// Gives a new file its length.
fn reserve(file: &File, len: u64, space: Space) -> io::Result<()> {
    let object = sys::object_of_file(file.try_clone()?);
    match space {
        Space::Allocate => super::space::grow(&object, len).map_err(|short| short.error),
        Space::Sparse => sys::truncate(&object, len),
    }
}
