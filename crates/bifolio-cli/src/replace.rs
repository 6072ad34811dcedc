//! Writing a file so that nobody ever sees half of it: temporary, sync, rename.

use std::fs;
use std::io::Write;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::exit::Exit;
use crate::failure::{CliError, Locate};

/// What happens to a file that has the name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the write is refused.
    Keep,
    /// It is replaced, keeping its permissions.
    Replace,
}

/// Writes a whole file under its final name. Whoever opens the name finds the old file or the
/// complete new one, also after a power cut. On an error the temporary file is gone.
///
/// # Errors
/// If it cannot be written; [`Exit::Refused`] if the name is taken and is to be kept, or is no
/// ordinary file.
pub fn write_file(
    path: &Path,
    existing: Existing,
    content: impl FnOnce(&mut dyn Write) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let taken = || {
        CliError::new(Exit::Refused, "it already exists and would be replaced")
            .at(path.display().to_string())
            .next("another name, or the same command with --yes")
    };
    // A link is written through, so that `rename` does not replace the link by a file.
    let target = match fs::canonicalize(path) {
        Ok(target) => target,
        // One that leads nowhere yet is written through too, as a shell does.
        Err(_) => match (fs::read_link(path), path.parent()) {
            (Ok(target), Some(parent)) => parent.join(target),
            _ => path.to_owned(),
        },
    };
    let old = fs::metadata(&target).ok();
    match &old {
        Some(old) if !old.is_file() => {
            return Err(CliError::new(Exit::Refused, "it is no ordinary file")
                .at(path.display().to_string()));
        }
        Some(_) if existing == Existing::Keep => return Err(taken()),
        _ => {}
    }
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut temporary = temporary_in(directory).at(directory)?;
    content(&mut temporary)?;
    if let Some(old) = old {
        temporary.as_file().set_permissions(old.permissions()).at(path)?;
    }
    temporary.as_file().sync_all().at(path)?;
    match existing {
        Existing::Replace => temporary.persist(&target).map_err(|e| e.error).at(path)?,
        // Somebody may have made it since we looked: no rename over it.
        Existing::Keep => temporary.persist_noclobber(&target).map_err(|e| {
            if e.error.kind() == std::io::ErrorKind::AlreadyExists {
                taken()
            } else {
                CliError::from(e.error).at(path.display().to_string())
            }
        })?,
    };
    sync_directory(directory).at(directory)
}

fn temporary_in(directory: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".bifolio-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any program creates files: the umask takes its part away.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(directory)
}

/// The new name lasts only when its directory is on disk.
#[cfg(unix)]
fn sync_directory(directory: &Path) -> std::io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

/// Windows gives no handle on a directory that could be flushed; NTFS journals the rename.
#[cfg(windows)]
fn sync_directory(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, existing: Existing, text: &str) -> Result<(), CliError> {
        write_file(path, existing, |out| Ok(out.write_all(text.as_bytes())?))
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .expect("readable")
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_created_replaced_or_kept_as_asked() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.txt");
        write(&path, Existing::Keep, "one").expect("created");
        let error = write(&path, Existing::Keep, "two").expect_err("kept");
        assert_eq!(error.exit(), Exit::Refused);
        assert_eq!(fs::read_to_string(&path).expect("readable"), "one");
        write(&path, Existing::Replace, "three").expect("replaced");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "three");
        assert_eq!(names(dir.path()), ["a.txt"]);
    }

    #[test]
    fn content_that_fails_half_way_leaves_the_old_file_and_no_rubbish() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.txt");
        write(&path, Existing::Keep, "one").expect("created");
        let result = write_file(&path, Existing::Replace, |out| {
            out.write_all(b"half")?;
            Err(CliError::interrupted())
        });
        assert_eq!(result.expect_err("it failed").exit(), Exit::Interrupted);
        assert_eq!(fs::read_to_string(&path).expect("readable"), "one");
        assert_eq!(names(dir.path()), ["a.txt"]);
    }

    #[test]
    fn a_directory_is_never_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let error = write(dir.path(), Existing::Replace, "x").expect_err("a directory");
        assert_eq!(error.exit(), Exit::Refused);
    }

    #[cfg(unix)]
    #[test]
    fn replacing_keeps_the_permissions_and_follows_links() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let (path, link) = (dir.path().join("a.txt"), dir.path().join("link"));
        write(&path, Existing::Keep, "one").expect("created");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
        std::os::unix::fs::symlink("a.txt", &link).expect("linked");
        write(&link, Existing::Replace, "two").expect("replaced");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "two");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        let dangling = dir.path().join("dangling");
        std::os::unix::fs::symlink("later", &dangling).expect("linked");
        write(&dangling, Existing::Replace, "three").expect("written through");
        assert!(fs::symlink_metadata(&dangling).expect("there").is_symlink());
        assert_eq!(fs::read_to_string(dir.path().join("later")).expect("readable"), "three");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640);
    }
}
