//! Making sections durable, and what a failure to do so means.

use super::{Section, SectionKind, parent_of};
use crate::Flush;
use crate::error::Result;
use crate::sys::{self, NameNow};

impl Section {
    /// Makes everything written to the section durable, as far as `level` says, by whichever view,
    /// handle or process it was written.
    ///
    /// # Errors
    /// `StorageFault` or `StorageFull` if the device did not take it. That is final for this
    /// section: every later call fails with `Poisoned`, because the bytes may be gone from the
    /// device and still be in memory. Open it anew and look at what is there.
    ///
    /// `NotFound` or `PermissionDenied` if with [`Flush::Full`] the directory of the file cannot be
    /// opened: the bytes are durable then, the name perhaps not. A file that has no name any more
    /// has nothing to lose there.
    pub fn sync(&self, level: Flush) -> Result<()> {
        self.check_state("sync")?;
        self.note_sync(sys::sync(&self.inner.object, level))?;
        self.sync_name(level)
    }

    /// Makes the name durable, where the level asks for it and there is one.
    pub(crate) fn sync_name(&self, level: Flush) -> Result<()> {
        let named = matches!(self.inner.kind, SectionKind::File | SectionKind::Named);
        let Some(file) = sys::file_of(&self.inner.object).filter(|_| named) else { return Ok(()) };
        if level != Flush::Full {
            return Ok(());
        }
        let mut tries = 0;
        loop {
            // The name that the file has now, wherever it was moved and whatever link led to it.
            let path = match sys::name_now(file) {
                NameNow::At(path) => Some(path),
                NameNow::Gone => return Ok(()),
                NameNow::Unknown => self.inner.path.clone(),
            };
            let Some(parent) = path.as_deref().and_then(parent_of) else { return Ok(()) };
            match sys::open_directory(parent) {
                Ok(directory) => return self.note_sync(sys::sync_directory_handle(&directory)),
                // It may have been moved or removed since we asked.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && tries < 8 => {
                    tries += 1;
                }
                // Nothing was lost: the system was not even asked to write.
                Err(error) => return Err(self.os("sync the name of", error)),
            }
        }
    }

    /// Remembers for ever that a sync failed.
    pub(crate) fn note_sync(&self, outcome: std::io::Result<()>) -> Result<()> {
        outcome.map_err(|error| {
            if may_have_lost(&error) {
                self.inner.state.sync_failed();
            }
            self.os("sync", error)
        })
    }
}

/// Whether a sync that failed may have lost bytes for good. What has nothing to sync, has no right
/// to, or was interrupted says so each time. (A file system that turned read-only because of an
/// error is not among them: its dirty bytes are gone.)
fn may_have_lost(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Kind;
    !matches!(
        error.kind(),
        Kind::PermissionDenied | Kind::InvalidInput | Kind::Unsupported | Kind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::may_have_lost;

    #[test]
    fn what_may_have_lost_bytes_is_final_and_what_did_nothing_is_not() {
        for kind in [ErrorKind::ReadOnlyFilesystem, ErrorKind::StorageFull, ErrorKind::Other] {
            assert!(may_have_lost(&kind.into()), "{kind:?}");
        }
        #[cfg(unix)]
        for code in [libc::EIO, libc::EROFS, libc::EDQUOT, libc::ESTALE, libc::ENODEV] {
            assert!(may_have_lost(&Error::from_raw_os_error(code)), "{code}");
        }
        for kind in [ErrorKind::Interrupted, ErrorKind::InvalidInput, ErrorKind::PermissionDenied] {
            assert!(!may_have_lost(&Error::from(kind)), "{kind:?}");
        }
    }
}
