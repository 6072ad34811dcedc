//! The directories in which names are.

use std::fs::DirBuilder;
use std::io;
use std::fs::Metadata;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{self, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::super::{Ground, Object, Stuff};
use super::{Spot, here};
use crate::names::Scope;

/// Where the names of a scope are.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(super) dir: PathBuf,
    pub(super) rights: Rights,
}

/// What this process lets the owners of entries do, and may do to their entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rights {
    pub(super) whose: Whose,
    /// This process's user, asked for when the place was.
    user: u32,
}

impl Rights {
    /// Whether a dead entry is ours to remove. Root is asked to tidy up only where all names are
    /// this library's or the system's: elsewhere the files are somebody's own.
    pub(super) fn may_remove_dead(self, owner: u32) -> bool {
        owner == self.user || self.user == 0 && self.whose != Whose::Caller
    }

    /// Whether an entry may be a section here. In the user's directory only the user's may, and
    /// others there are only by rights of root, or if it is not the one that was checked.
    pub(super) fn accept(self, seen: &Metadata) -> io::Result<()> {
        if self.whose != Whose::User || seen.uid() == self.user {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("it is of user {}, not of {}", seen.uid(), self.user),
        ))
    }

    /// Whether to go where an entry leads. Who may make entries, or change them, could lead others
    /// to write into files of their own.
    pub(super) fn follow(self, seen: &Metadata) -> io::Result<()> {
        let why = if ![self.user, 0].contains(&seen.uid()) {
            format!("it leads to a file, at the word of user {}", seen.uid())
        } else if seen.mode() & 0o022 != 0 {
            let mode = seen.mode() & 0o777;
            format!("it leads to a file, and others than its owner may change where: mode {mode:o}")
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
    }
}

/// Who may make entries in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// This user, and nobody else: made and checked by us.
    User,
    /// Everybody.
    Everybody,
    /// Whom the caller lets.
    Caller,
}

/// The place of a scope. It need not be there yet.
pub(crate) fn place(scope: &Scope) -> io::Result<Place> {
    let user = rustix::process::geteuid().as_raw();
    let (dir, whose) = match scope {
        Scope::Session => (here::session_dir(user), Whose::User),
        Scope::Machine => (here::machine_dir(), Whose::Everybody),
        Scope::Directory(dir) => (std::path::absolute(dir)?, Whose::Caller),
    };
    Ok(Place { dir, rights: Rights { whose, user } })
}

impl Place {
    /// What messages call it.
    pub(crate) fn label(&self) -> PathBuf {
        self.dir.clone()
    }

    /// What messages and other programs call a section in it.
    pub(crate) fn label_of(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes sure that the user's directory is the user's. Each time: whoever removes it (systemd
    /// does, by `RemoveIPC`, when the user logs out) leaves its name to anybody.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.rights.whose != Whose::User {
            return Ok(());
        }
        self.accept(&fs::lstat(&self.dir).map_err(|error| self.explain(error.into()))?)
    }

    /// Whether this is a directory of the user's own.
    fn accept(&self, found: &fs::Stat) -> io::Result<()> {
        let (user, mode) = (self.rights.user, found.st_mode & 0o7777);
        let is_dir = fs::FileType::from_raw_mode(found.st_mode).is_dir();
        if is_dir && found.st_uid == user && mode & 0o077 == 0 {
            return Ok(());
        }
        let (dir, owner) = (self.dir.display(), found.st_uid);
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "{dir} must be a directory of user {user} that nobody else can enter; \
                 it is of user {owner}, mode {mode:o}: remove it"
            ),
        ))
    }

    /// Where an entry of this name is. In the user's directory it is seen from an opening of the
    /// directory that was checked, so that it cannot be another one for a moment; the opening is kept,
    /// one a process, until the directory is removed. (Who moves it, as only the user and root can,
    /// moves the names along, for the processes that have it open.)
    pub(super) fn spot(&self, name: &str) -> io::Result<Spot> {
        static KEPT: Mutex<Option<(PathBuf, Arc<OwnedFd>)>> = Mutex::new(None);
        let path = self.dir.join(name);
        if self.rights.whose != Whose::User {
            return Ok(Spot::at_path(path));
        }
        let explain = |error: Errno| self.explain(error.into());
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, dir)) = &*kept
            && *of == self.dir
        {
            let found = fs::fstat(dir).map_err(explain)?;
            if found.st_nlink > 0 {
                self.accept(&found)?;
                return Ok(Spot::in_dir(dir, path));
            }
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = match retry_on_intr(|| fs::open(&self.dir, flags, fs::Mode::empty())) {
            // What is there instead, if anything, is for the check to say.
            Err(error) => return self.check().and(Err(explain(error))),
            Ok(dir) => Arc::new(dir),
        };
        self.accept(&fs::fstat(&dir).map_err(explain)?)?;
        let spot = Spot::in_dir(&dir, path);
        *kept = Some((self.dir.clone(), dir));
        Ok(spot)
    }

    /// The same, and makes the directory if it is one of ours to make.
    pub(super) fn spot_in_new(&self, name: &str) -> io::Result<Spot> {
        if self.rights.whose == Whose::Everybody {
            here::make_machine_dir(&self.dir)?;
        }
        match self.spot(name) {
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && self.rights.whose == Whose::User =>
            {
                match DirBuilder::new().mode(0o700).create(&self.dir) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        Err(self.explain(error))
                    }
                    _ => self.spot(name),
                }
            }
            result => result,
        }
    }

    /// Says of a name that is not there that its directory is not, if so.
    pub(super) fn explain(&self, error: io::Error) -> io::Error {
        let parent = match self.rights.whose {
            Whose::User => self.dir.parent().unwrap_or(&self.dir),
            Whose::Everybody | Whose::Caller => &self.dir,
        };
        if error.kind() != io::ErrorKind::NotFound || parent.exists() {
            return error;
        }
        let parent = parent.display();
        if self.rights.whose == Whose::Caller {
            return io::Error::new(io::ErrorKind::NotFound, format!("there is no {parent}"));
        }
        io::Error::new(
            io::ErrorKind::Unsupported,
            format!("there is no {parent} here: mount a tmpfs there, or use Scope::Directory"),
        )
    }
}

/// How much room there is in a place; `None` if it is not there.
pub(crate) fn ground_of_place(place: &Place) -> Option<Ground> {
    // The user's directory may be still to be made, in the same file system.
    let found = rustix::fs::statvfs(&place.dir).or_else(|error| match place.dir.parent() {
        Some(parent) if place.rights.whose == Whose::User => rustix::fs::statvfs(parent),
        _ => Err(error),
    });
    found.ok().map(|found| ground(&found, here::takes_memory_in(&place.dir)))
}

/// How much room there is for a file to grow.
pub(crate) fn ground_of(object: &Object) -> Option<Ground> {
    let found = rustix::fs::fstatvfs(object).ok()?;
    Some(ground(&found, here::takes_memory(object)))
}

fn ground(found: &rustix::fs::StatVfs, in_memory: bool) -> Ground {
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    let stuff = if in_memory { Stuff::Memory } else { Stuff::Device };
    Ground { free: bytes(found.f_bavail), size: bytes(found.f_blocks), stuff }
}
