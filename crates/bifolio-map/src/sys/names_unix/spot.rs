//! Where one entry is: a path, or a name in a directory that is held open.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self, AtFlags, CWD, Mode, OFlags};
use rustix::io::retry_on_intr;

use super::super as sys;
use crate::section::Access;

#[derive(Clone, Debug)]
pub(super) struct Spot {
    path: PathBuf,
    /// The directory that the path's last part is seen from, if not by the whole path.
    dir: Option<Arc<OwnedFd>>,
}

impl Spot {
    /// What a path leads to, whatever that is at the moment.
    pub(super) fn at_path(path: PathBuf) -> Self {
        Self { path, dir: None }
    }

    /// The last part of `path`, in the directory `dir`.
    pub(super) fn in_dir(dir: &Arc<OwnedFd>, path: PathBuf) -> Self {
        Self { path, dir: Some(Arc::clone(dir)) }
    }

    /// The whole path, for messages and for files beside it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// For the system's calls: from where the second is seen.
    fn base(&self) -> (BorrowedFd<'_>, &Path) {
        match (&self.dir, self.path.file_name()) {
            (Some(dir), Some(name)) => (dir.as_fd(), name.as_ref()),
            _ => (CWD, &self.path),
        }
    }

    /// Opens it, without following a link or waiting for a pipe's other end.
    pub(super) fn open(&self, access: Access) -> io::Result<File> {
        let (from, name) = self.base();
        let access = match access {
            Access::Read => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR,
        };
        let kind = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(retry_on_intr(|| fs::openat(from, name, access | kind, Mode::empty()))?.into())
    }

    /// Which file is there: volume and number.
    pub(super) fn look(&self) -> io::Result<(u64, u64)> {
        let (from, name) = self.base();
        let seen = fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "macOS has a signed one")]
        Ok((seen.st_dev as u64, seen.st_ino))
    }

    pub(super) fn unlink(&self) -> io::Result<()> {
        let (from, name) = self.base();
        Ok(fs::unlinkat(from, name, AtFlags::empty())?)
    }

    /// Makes a file without a name that can get this one; `None` where files cannot be without.
    pub(super) fn create_unnamed(&self, mode: u32) -> io::Result<Option<File>> {
        let made = match &self.dir {
            Some(dir) => sys::create_unnamed_at(dir.as_fd(), Path::new("."), mode),
            None => {
                let dir = self.path.parent().ok_or(io::ErrorKind::InvalidInput)?;
                sys::create_unnamed(dir, mode)
            }
        };
        made.transpose()
    }

    /// Gives a file without a name this one, never replacing another file.
    pub(super) fn publish(&self, file: &File) -> io::Result<()> {
        let (to, name) = self.base();
        sys::publish_unnamed_at(file, to, name)
    }
}
