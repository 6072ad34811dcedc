//! Opening and creating sections by name: what [`crate::names`] describes, for one section.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Access, Calls, Create, Inner, Section, SectionKind, SectionOptions, room};
use crate::Space;
use crate::error::{Error, ErrorKind, Result};
use crate::names::{self, Lifetime, Name, Scope};
use crate::sys;

/// What only names need to know.
#[derive(Clone, Debug, Default)]
pub(super) struct NameOptions {
    scope: Scope,
    lifetime: Lifetime,
    file: Option<PathBuf>,
}

impl SectionOptions {
    /// Who shares the name of a named section: the session unless said otherwise.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.names.scope = scope;
        self
    }

    /// When the name of a new named section goes: with the last handle unless said otherwise.
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.names.lifetime = lifetime;
        self
    }

    /// Lets a new name stand for the file at `path`, which must exist: others open the file by the
    /// name alone. The file keeps its own length and permissions, and stays when the name goes.
    /// Whoever opens the name needs the right to open the file. On Unix the name itself is for its
    /// owner alone to write, whatever [`permissions`](Self::permissions) says: who could change it
    /// would lead others to any file. `NotSupported` if the file system cannot mark such a name.
    pub fn backed_by(mut self, path: impl Into<PathBuf>) -> Self {
        self.names.file = Some(path.into());
        self
    }

    /// Opens or creates the section of this name.
    ///
    /// It appears complete, with its length and its space, or not at all; of several creators one
    /// wins. An existing one is opened as it is: length, capacity, permissions and lifetime are
    /// for new ones. The handle, or any view of it, keeps a name of
    /// [`Lifetime::LastHandle`] alive.
    ///
    /// ```
    /// # use bifolio_map::{Access, Create, Section, names::{Name, Scope}};
    /// # let dir = tempfile::tempdir().unwrap();
    /// let name = Name::new("counters")?;
    /// let options = Section::options()
    ///     .access(Access::ReadWrite)
    ///     .create(Create::IfMissing)
    ///     .len(4096)
    ///     .scope(Scope::Directory(dir.path().into()));
    /// let first = options.named(&name)?;
    /// let second = options.len(9999).named(&name)?;
    /// assert_eq!(second.len()?, 4096);
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NotFound`; `AlreadyExists` with [`Create::New`]; `PermissionDenied`, on Windows also for a
    /// name in [`Scope::Machine`] without the privilege to create such, and for one that leads to a
    /// file at the word of another user (root, the system and administrators are believed);
    /// `StorageFull` and
    /// `OutOfMemory`, and then no name is left behind; `NotMappable` for a name that is a
    /// directory, a link or a socket; `NotSupported` where the system has no place for such
    /// names; `Corrupt` for a name of a file that does not say which; `Busy` if a process that is
    /// removing the name does not go on; `InvalidInput` for
    /// creating with [`Access::Read`], or with [`permissions`](Self::permissions) that keep the
    /// owner from reading or writing. On Unix, a name that another user's ended processes left
    /// behind is `NotFound` for who opens it, and `PermissionDenied` for who creates it.
    pub fn named(&self, name: &Name) -> Result<Section> {
        let doing = match self.create {
            Create::New => "create the section",
            _ => "open the section",
        };
        if self.create != Create::Never && self.wanted_access() == Access::Read {
            return Err(Error::new(ErrorKind::InvalidInput, doing)
                .at_path(name.as_str())
                .because("a new section has to be writable; add access(Access::ReadWrite)"));
        }
        if self.create != Create::Never && self.wanted_permissions() & 0o600 != 0o600 {
            let bits = self.wanted_permissions();
            return Err(Error::new(ErrorKind::InvalidInput, doing).at_path(name.as_str()).because(
                format!("with permissions {bits:o} its owner could not open it, nor remove it"),
            ));
        }
        let place = names::place(&self.names.scope, doing)?;
        let fail = |error: Error| names::explain(error.at_path(place.label_of(name.as_str())));
        let open = || {
            sys::open_named(&place, name.as_str(), self.wanted_access())
                .map_err(|error| fail(Error::os(doing, error)))
        };
        let create = || self.create_named(&place, name, doing).map_err(fail);
        let found = match self.create {
            Create::Never => open(),
            Create::New => create(),
            Create::IfMissing => open_or_create(open, create),
        };
        Ok(Section::of_named(found?, self.wanted_access(), name.clone(), &place))
    }

    fn create_named(
        &self,
        place: &sys::Place,
        name: &Name,
        doing: &'static str,
    ) -> Result<sys::Named> {
        let memory = self.names.file.is_none() && self.wanted_space() == Space::Allocate;
        if memory && room::is_large(self.len) {
            // A name that is taken is not a disk that is full.
            if sys::is_taken(place, name.as_str()).map_err(|error| Error::os(doing, error))? {
                return Err(Error::new(ErrorKind::AlreadyExists, doing));
            }
            room::check(doing, self.len, sys::ground_of_place(place))?;
        }
        sys::create_named(place, name.as_str(), &self.wanted())
            .map_err(|error| Error::os(doing, error))
    }

    fn wanted(&self) -> sys::Wanted<'_> {
        sys::Wanted {
            access: self.wanted_access(),
            len: self.len,
            capacity: self.capacity.max(self.len),
            space: self.wanted_space(),
            permissions: self.wanted_permissions(),
            lifetime: self.names.lifetime,
            file: self.names.file.as_deref(),
        }
    }
}

/// As with files: others may come and go between the two, and a few rounds settle it.
fn open_or_create(
    open: impl Fn() -> Result<sys::Named>,
    create: impl Fn() -> Result<sys::Named>,
) -> Result<sys::Named> {
    let mut rounds = 0;
    loop {
        match open() {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            result => return result,
        }
        match create() {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && rounds < 64 => rounds += 1,
            result => return result,
        }
    }
}

impl Section {
    /// Opens the section of this name in this session for reading.
    ///
    /// # Errors
    /// Those of [`SectionOptions::named`].
    pub fn open_named(name: &Name) -> Result<Self> {
        Self::options().named(name)
    }

    /// Opens the section of this name in this session for reading and writing.
    ///
    /// # Errors
    /// Those of [`SectionOptions::named`].
    pub fn open_named_rw(name: &Name) -> Result<Self> {
        Self::options().access(Access::ReadWrite).named(name)
    }

    /// Creates a section of `len` zeros under this name in this session; the name goes with its
    /// last handle.
    ///
    /// # Errors
    /// Those of [`SectionOptions::named`].
    #[doc(alias = "shm_open")]
    pub fn create_named(name: &Name, len: u64) -> Result<Self> {
        Self::options().access(Access::ReadWrite).create(Create::New).len(len).named(name)
    }

    /// The name that it was opened or created by.
    #[must_use]
    pub fn name(&self) -> Option<&Name> {
        self.inner.name.as_ref()
    }

    fn of_named(found: sys::Named, access: Access, name: Name, place: &sys::Place) -> Self {
        let sys::Named { object, hold, file } = found;
        let (kind, path) = match file {
            Some(path) => (SectionKind::File, path),
            None => (SectionKind::Named, place.label_of(name.as_str())),
        };
        let mut inner = Inner::new(object, access, kind, Some(path), Calls::Plain);
        (inner.name, inner.hold) = (Some(name), Some(hold));
        Self { inner: Arc::new(inner) }
    }

    /// A section of another program's, of which only its size is known.
    pub(crate) fn of_foreign(
        object: sys::Object,
        access: Access,
        path: PathBuf,
        name: Name,
        size: u64,
    ) -> Self {
        let kind = SectionKind::Named;
        let mut inner = Inner::new(object, access, kind, Some(path), Calls::Plain);
        (inner.name, inner.stated) = (Some(name), Some(size));
        Self { inner: Arc::new(inner) }
    }

    /// The length that was stated for a section of another program's.
    pub(crate) fn stated_len(&self) -> Option<u64> {
        self.inner.stated
    }

    /// The same section with another stated length. Nobody else has it yet.
    pub(crate) fn with_stated_len(mut self, len: u64) -> Self {
        let inner =
            Arc::get_mut(&mut self.inner).expect("views of it are gone, clones there are none");
        inner.stated = Some(len);
        self
    }
}
