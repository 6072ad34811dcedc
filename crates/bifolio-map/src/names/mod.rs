//! Named sections: memory and files that other processes find by a name alone.
//!
//! A section gets its name when it is created, by [`SectionOptions::named`], and appears under it
//! complete or not at all. Another process opens it by the same name, whatever it is made of:
//!
//! ```
//! use bifolio_map::names::{self, Lifetime, Name, Scope};
//! use bifolio_map::{ReadWrite, Section};
//! # let dir = tempfile::tempdir().unwrap();
//! # let scope = Scope::Directory(dir.path().into());
//! let name = Name::new("prices")?;
//! let ours = Section::options()
//!     .scope(scope.clone()) // of this session, unless said otherwise
//!     .access(bifolio_map::Access::ReadWrite)
//!     .create(bifolio_map::Create::New)
//!     .len(4096)
//!     .named(&name)?;
//! ours.view::<ReadWrite>()?.put(0, &7u64)?;
//!
//! // and in another process:
//! let theirs = Section::options().scope(scope.clone()).named(&name)?;
//! assert_eq!(theirs.view::<bifolio_map::Read>()?.get::<u64>(0)?, 7);
//!
//! assert_eq!(names::list(&scope)?[0].name(), "prices");
//! drop((ours, theirs)); // the last handle takes the name along
//! assert!(names::list(&scope)?.is_empty());
//! # Ok::<(), bifolio_map::Error>(())
//! ```
//!
//! # How long a name lives
//!
//! With [`Lifetime::LastHandle`], the default, a name lives as long as any process has a handle
//! on the section: a [`Section`](crate::Section), or a view of it. It goes with the last one,
//! however that goes: a process that is killed leaves nothing that anybody could open, and what it
//! leaves in a directory is removed by whoever comes by next. With [`Lifetime::Persistent`] a name
//! stays until [`unlink`], as long as what it lies in is kept, which differs: see there.
//!
//! On Unix, a forked child shares the handles of its parent and keeps their names alive until it
//! ends or executes another program. So where another thread is just starting a process, a name can
//! outlive its last handle by that moment. A program that does not use this library is *not*
//! counted: it keeps the memory, not the name.
//!
//! # Who else can use such a section
//!
//! Nothing of ours lies among the bytes, so programs that know nothing of this library can use
//! them from offset 0 on:
//!
//! | | a program on Unix | a program on Windows |
//! |---|---|---|
//! | [`Scope::Machine`] | `shm_open("/NAME")`; Python's `SharedMemory("NAME")` | `OpenFileMapping("Global\NAME")` |
//! | [`Scope::Session`] | `open` of what [`system_name`] says | `OpenFileMapping("NAME")`; C#'s `MemoryMappedFile.OpenExisting("NAME")`; Python's `mmap(…, tagname="NAME")` |
//!
//! (macOS keeps all in directories: `open`.) The other way round, [`open_foreign`] opens what such
//! a program made.
//!
//! [`SectionOptions::named`] opens what another program made on Unix only: there it is a persistent
//! section like any other, because a file that has no mark does not tell who made it, and its
//! length is the file's. On Windows the length of such a section is not known, so
//! [`SectionOptions::named`] says `NotFound`, and to use [`open_foreign`]. Programs that are to
//! behave alike everywhere use [`open_foreign`] for what is not this library's. What peers can do to each other is in `docs/SAFETY.md`.

mod foreign;
mod name;

use std::ffi::OsString;
use std::path::PathBuf;

pub use foreign::{ForeignSection, open_foreign};
pub use name::Name;

use crate::error::{Error, ErrorKind, Result};
#[cfg(doc)]
use crate::section::SectionOptions;
use crate::sys;

/// Who shares a set of names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The processes of this user; on Windows, those of this log-on session. The default.
    ///
    /// Linux: files in `/dev/shm/bifolio-UID`, which only the user can enter; macOS: in a
    /// directory of the user's. Windows: the kernel's `Local\` names.
    #[default]
    Session,
    /// All processes of the machine that the section's permissions let in.
    ///
    /// Linux: files in `/dev/shm`, where `shm_open` has its own. Windows: the kernel's `Global\`
    /// names; creating one needs the privilege `SeCreateGlobalPrivilege`.
    Machine,
    /// Whoever uses this directory, which must exist. Unix: the sections are files in it, so a
    /// tmpfs keeps them in memory. Windows: names that the directory sets apart from those of
    /// other directories.
    Directory(PathBuf),
}

/// When a name goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lifetime {
    /// With the last handle, also if that one's process is killed. The default.
    #[default]
    LastHandle,
    /// When [`unlink`] is called, or the system takes away what it lies in; nobody has to have it
    /// meanwhile. What that is differs:
    ///
    /// - Linux: [`Scope::Session`] and [`Scope::Machine`] are memory (the tmpfs in `/dev/shm`): it
    ///   takes memory until then, and is gone with the next start of the system. Where systemd's
    ///   `RemoveIPC=` is on, its default, all that an ordinary user has there is removed when the
    ///   last log-in of the user ends, also the sections that programs still use (they keep the
    ///   bytes and lose the name; system users, as services have, are left alone).
    /// - macOS: files in temporary directories on the disk, which the system empties when it
    ///   starts, and of what was not used for some days.
    /// - Windows: files on the disk, `Bifolio\names` in `%LOCALAPPDATA%` for the session, so it is
    ///   the user's in all sessions, and in `%ProgramData%` for the machine. They outlive restarts,
    ///   for ever, and so do the bytes.
    /// - [`Scope::Directory`]: files in the directory, on whatever it lies.
    Persistent,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// Bytes under this name. On Unix a persistent one does not tell whether this library made it.
    Section,
    /// A file elsewhere, which has this name too.
    File(PathBuf),
    /// A section that another program made, where systems tell (Windows).
    Foreign,
    /// No section: a directory, a link, a socket. Or, on Windows, a name that leads to a file at the
    /// word of a user who is not believed.
    Other,
}

/// Whether anybody has a handle on a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InUse {
    /// Some process has.
    Yes,
    /// None that uses this library; others may map it.
    No,
    /// This user may not know.
    Unknown,
}

/// One name of a [`list`], as it was at that moment.
#[derive(Clone, Debug)]
pub struct Entry(sys::Found);

impl Entry {
    /// The name. Other programs may have names that are no [`Name`].
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The length in bytes; `None` if it is not for this user to know. Of a foreign section on
    /// Windows it is a multiple of the page.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        self.0.len
    }

    /// Whether it is known to have no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.len == Some(0)
    }

    /// When the name goes.
    #[must_use]
    pub fn lifetime(&self) -> Lifetime {
        self.0.lifetime
    }

    /// Whether anybody has a handle on it.
    #[must_use]
    pub fn in_use(&self) -> InUse {
        self.0.in_use
    }

    /// Whose it is: the number of a user on Unix, the account's identifier (SID) on Windows; empty
    /// if it is not for this user to know.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.0.owner
    }

    /// What it stands for.
    #[must_use]
    pub fn kind(&self) -> &EntryKind {
        &self.0.kind
    }
}

/// The names of a scope, in alphabetical order. Names come and go meanwhile: one that was there all
/// the time is in the list, one that was not may be.
///
/// On Unix this also removes what killed processes of this user left behind; root does so for all
/// users, except in a [`Scope::Directory`]. It removes nothing that does not have the full mark of
/// such a name, and no name that anybody has. What another user left is not in the list. An entry
/// that cannot be looked into is, with [`InUse::Unknown`].
///
/// # Errors
/// `PermissionDenied`; `NotSupported` if the system has no place for such names; `NotFound` for a
/// directory that is not there.
pub fn list(scope: &Scope) -> Result<Vec<Entry>> {
    const DOING: &str = "list the named sections in";
    let place = place(scope, DOING)?;
    let found = sys::list_named(&place);
    let mut found = found.map_err(|error| Error::os(DOING, error).at_path(place.label()))?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found.into_iter().map(Entry).collect())
}

/// Takes a name away. Who has the section keeps it, without a name; the next creator of the name
/// makes another section.
///
/// # Errors
/// `NotFound`, also for a name that ended processes left behind, which goes by this if the system
/// lets it go; `PermissionDenied`; `NotMappable` for what is no section. `Busy` on Windows while
/// anybody has it (close it instead: the system takes no name away), and if another process holds
/// the directory's lock for too long.
pub fn unlink(name: &Name, scope: &Scope) -> Result<()> {
    const DOING: &str = "unlink the section";
    let place = place(scope, DOING)?;
    sys::unlink_named(&place, name.as_str())
        .map_err(|error| explain(Error::os(DOING, error).at_path(place.label_of(name.as_str()))))
}

/// What programs that do not use this library call a section: a path on Unix, where `shm_open`
/// takes the last part of a path in `/dev/shm`; the name of a file mapping on Windows.
///
/// # Errors
/// As [`list`].
pub fn system_name(name: &Name, scope: &Scope) -> Result<OsString> {
    let label = place(scope, "name a section in")?.label_of(name.as_str());
    Ok(label.into_os_string())
}

/// Where the names of a scope are.
pub(crate) fn place(scope: &Scope, doing: &'static str) -> Result<sys::Place> {
    sys::place(scope).map_err(|error| {
        let error = Error::os(doing, error);
        if let Scope::Directory(dir) = scope { error.at_path(dir) } else { error }
    })
}

/// Adds the next step to errors that have an obvious one.
pub(crate) fn explain(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotMappable => error.because("it is a directory, a link, a socket or a device"),
        _ => error,
    }
}
