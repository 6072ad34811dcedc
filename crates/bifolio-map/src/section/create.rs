//! Opening and creating sections: everything a caller can say about it, and the rule that nothing
//! half-made is ever visible.

use std::fs::File;
use std::io;
use std::path::Path;

use super::aside::{create_complete, unnamed};
use super::{Access, Calls, Create, Section, SectionKind};
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
    access: Option<Access>,
    pub(super) create: Create,
    pub(super) len: u64,
    pub(super) capacity: u64,
    space: Option<Space>,
    permissions: Option<u32>,
    pub(super) names: super::named::NameOptions,
}

impl SectionOptions {
    pub(super) fn new() -> Self {
        Self {
            access: None,
            create: Create::Never,
            len: 0,
            capacity: 0,
            space: None,
            permissions: None,
            names: super::named::NameOptions::default(),
        }
    }

    /// What the handle may do.
    pub fn access(mut self, access: Access) -> Self {
        self.access = Some(access);
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

    /// Whether what is created has space behind all of it: [`Space::Allocate`] unless said
    /// otherwise, but [`Space::Sparse`] for anonymous memory, whose pages are taken when they are
    /// first written.
    pub fn space(mut self, space: Space) -> Self {
        self.space = Some(space);
        self
    }

    /// The permission bits of a new file or named section on Unix, before the process's umask:
    /// 0o600 unless said otherwise. A named section cannot be executed, and its owner can always
    /// read and write it: bits that deny that are `InvalidInput`. Windows gives new files the rights of their directory; of named
    /// sections it takes the last three bits for everybody's rights, and the owner has all.
    pub fn permissions(mut self, bits: u32) -> Self {
        self.permissions = Some(bits);
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
        if self.create != Create::Never && self.wanted_access() == Access::Read {
            let why = "a new section has to be writable; add access(Access::ReadWrite)";
            return Err(refuse(why).at_path(path));
        }
        let fail = |error| explain_open(Error::os(doing, error).at_path(path));
        let file = match self.create {
            Create::Never => {
                sys::open(path, self.wanted_access(), Create::Never, 0).map_err(fail)?
            }
            Create::New => self.create_file(path).map_err(fail)?,
            Create::IfMissing => self.open_or_create(path).map_err(fail)?,
        };
        Section::of_file(file, self.wanted_access(), Some(path.to_path_buf()), Calls::Plain)
    }

    fn create_file(&self, path: &Path) -> io::Result<File> {
        let permissions = self.wanted_permissions();
        create_complete(path, permissions, |file| reserve(file, self.len, self.wanted_space()))
    }

    fn open_or_create(&self, path: &Path) -> io::Result<File> {
        // Between "there is none" and "there is one" others may come and go; a few rounds settle
        // it, and who loses them all is told what the last one said.
        let mut last = io::ErrorKind::NotFound.into();
        for _ in 0..16 {
            match sys::open(path, self.wanted_access(), Create::Never, 0) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => return result,
            }
            match self.create_file(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
                result => return result,
            }
        }
        let is_link = path.symlink_metadata().is_ok_and(|found| found.is_symlink());
        let leads_nowhere = path.metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
        if is_link && leads_nowhere {
            // No file is made where somebody else's link says.
            last = io::Error::new(io::ErrorKind::NotFound, "it is a link that leads nowhere");
        }
        Err(last)
    }

    /// Makes memory without a file, for reading and writing. With [`Space::Allocate`] all of it is
    /// taken now, so that no store can fail for want of it; for large amounts the
    /// [room](crate::machine::memory_room) is asked for first. It is new whatever
    /// [`create`](Self::create) says.
    ///
    /// # Errors
    /// `OutOfMemory`, also for more than there is room for, and then with what limits it;
    /// `LimitReached`; `InvalidInput` for [`Access::Read`], since nobody could write it, and for
    /// [permissions](Self::permissions), since it has no name by which others could open it.
    pub fn anonymous(&self) -> Result<Section> {
        const DOING: &str = "create anonymous memory";
        self.want_writable(DOING)?;
        if self.permissions.is_some() {
            let why = "memory without a name has no permissions; only who gets the handle has it";
            return Err(Error::new(ErrorKind::InvalidInput, DOING).because(why));
        }
        let fail = |error| Error::os(DOING, error);
        let take = self.space == Some(Space::Allocate) && self.len > 0;
        if take {
            super::room::check_memory(DOING, self.len)?;
        }
        let object = sys::anonymous(self.len, self.capacity.max(self.len)).map_err(fail)?;
        if take {
            super::space::allocate(&object, 0..self.len).map_err(|error| match error.kind() {
                // The file system behind memory is full: it is memory all the same.
                io::ErrorKind::StorageFull => fail(error).of_kind(ErrorKind::OutOfMemory),
                _ => fail(error),
            })?;
        }
        let kind = SectionKind::Anonymous;
        Ok(Section::of_object(object, Access::ReadWrite, kind, None, Calls::Plain))
    }

    /// Makes a file without a name in `dir`, for reading and writing. Where the file system cannot
    /// have one, it has a name for the moment of its creation. It is new whatever
    /// [`create`](Self::create) says.
    ///
    /// # Errors
    /// `NotFound` for the directory, `PermissionDenied`, `StorageFull`; `InvalidInput` for
    /// [`Access::Read`], since nobody could write it.
    pub fn temporary(&self, dir: impl AsRef<Path>) -> Result<Section> {
        const DOING: &str = "create a temporary file in";
        let dir = dir.as_ref();
        self.want_writable(DOING).map_err(|error| error.at_path(dir))?;
        let file = unnamed(dir, self.wanted_permissions())
            .and_then(|file| reserve(&file, self.len, self.wanted_space()).map(|()| file))
            .map_err(|error| Error::os(DOING, error).at_path(dir))?;
        let (object, kind) = (sys::object_of_file(file), SectionKind::Temporary);
        Ok(Section::of_object(object, Access::ReadWrite, kind, None, Calls::Plain))
    }

    /// Refuses what was said to be for reading only and is new.
    fn want_writable(&self, doing: &'static str) -> Result<()> {
        if self.access == Some(Access::Read) {
            let why = "what is new and has no name has to be writable; leave Access::Read out";
            return Err(Error::new(ErrorKind::InvalidInput, doing).because(why));
        }
        Ok(())
    }

    pub(super) fn wanted_access(&self) -> Access {
        self.access.unwrap_or(Access::Read)
    }

    pub(super) fn wanted_space(&self) -> Space {
        self.space.unwrap_or(Space::Allocate)
    }

    pub(super) fn wanted_permissions(&self) -> u32 {
        self.permissions.unwrap_or(0o600)
    }
}

/// Adds the next step to errors that have an obvious one.
fn explain_open(error: Error) -> Error {
    match error.kind() {
        ErrorKind::LimitReached => {
            let source = std::error::Error::source(&error);
            let source = source.and_then(|source| source.downcast_ref::<io::Error>());
            let why = sys::why_no_descriptor(source.and_then(io::Error::raw_os_error));
            error.because(why)
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn whose_descriptors_are_used_up_is_said() {
        let words =
            |code| explain_open(Error::os("open", io::Error::from_raw_os_error(code))).to_string();
        assert!(words(24).contains("the process has no descriptor left"), "EMFILE");
        assert!(words(23).contains("the system as a whole has no descriptor left"), "ENFILE");
    }
}
