//! Files that have no name until they are complete.

use std::fs::File;
use std::path::Path;

use crate::error::{Error, Result};
use crate::sys;

/// A file that has no name yet: when its last user goes, however that ends, nothing of it is left.
///
/// For what is to be there whole or not at all: it is written first and [published](Self::publish)
/// then. Linux has such files (`O_TMPFILE`) on most of its file systems, other systems do not.
///
/// ```
/// use std::io::Write;
/// use bifolio_map::UnnamedFile;
/// let dir = tempfile::tempdir().unwrap();
/// if let Some(file) = UnnamedFile::create_in(dir.path())? {
///     file.as_file().write_all(b"all of it").unwrap();
///     file.publish(&dir.path().join("whole"))?;
///     assert_eq!(std::fs::read(dir.path().join("whole")).unwrap(), b"all of it");
/// }
/// # Ok::<(), bifolio_map::Error>(())
/// ```
#[derive(Debug)]
pub struct UnnamedFile(File);

impl UnnamedFile {
    /// A new one on the file system of a directory, empty, that everybody may read and write whom the
    /// process's mask allows. `None` where there are none.
    ///
    /// # Errors
    /// What the system says of the directory: `NotFound`, `PermissionDenied`, `StorageFull`.
    pub fn create_in(dir: &Path) -> Result<Option<Self>> {
        match sys::create_unnamed(dir, 0o666) {
            None => Ok(None),
            Some(Ok(file)) => Ok(Some(Self(file))),
            Some(Err(error)) => Err(Error::os("create a file in", error).at_path(dir)),
        }
    }

    /// The file, open for reading and writing.
    #[must_use]
    pub fn as_file(&self) -> &File {
        &self.0
    }

    /// Gives it its name, on the file system that it was made on. It replaces nothing.
    ///
    /// # Errors
    /// `AlreadyExists`; otherwise what the system says.
    pub fn publish(self, path: &Path) -> Result<File> {
        sys::publish_unnamed(&self.0, path)
            .map_err(|error| Error::os("publish", error).at_path(path))?;
        Ok(self.0)
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::ErrorKind;

    #[test]
    fn it_is_there_when_it_is_published_and_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("whole");
        let make = || UnnamedFile::create_in(dir.path()).unwrap();
        let (Some(one), Some(two)) = (make(), make()) else {
            if cfg!(target_os = "linux") {
                panic!("tmpfs and the usual file systems have them");
            }
            return;
        };
        one.as_file().write_all(b"one").unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        one.publish(&path).unwrap();
        assert_eq!(two.publish(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        drop(make());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let nowhere = UnnamedFile::create_in(&dir.path().join("nowhere")).unwrap_err();
        assert_eq!(nowhere.kind(), ErrorKind::NotFound);
    }
}
