//! Making an entry that appears complete, marked and held, or not at all.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::super as sys;
use super::{Marks, Spot, here};
#[cfg(all(
    test,
    not(miri),
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
use super::tests;
use crate::Space;
use crate::section::aside::beside;
use sys::Wanted;

/// Makes an entry and gives it its name, if nothing has it; and what it is, but for what the name
/// changes. `Interrupted` if a sweeper was faster.
pub(super) fn publish_new(
    spot: &Spot,
    wanted: &Wanted<'_>,
    target: Option<&Path>,
) -> io::Result<(File, Metadata)> {
    let marks = if broken!(MarkedLate) { Marks::NONE } else { Marks::of(wanted) };
    // Nobody executes a section; and where a name leads to is for its owner alone to say.
    let permissions = wanted.permissions & if target.is_some() { 0o644 } else { 0o666 };
    let mode = permissions | here::mode_of(marks);
    let (file, mut aside) = match spot.create_unnamed(mode)? {
        Some(file) => (file, None),
        None => beside(spot.path(), mode).map(|(file, aside)| (file, Some(Aside(Some(aside)))))?,
    };
    if !broken!(SizedLate) {
        fill(&file, wanted, target)?;
    }
    let seen =
        if broken!(MarksNotSeen) { file.metadata()? } else { ensure_marks(&file, marks)? };
    if !broken!(HeldLate)
        && let Err(error) = hold_new(&file)
    {
        // It is the sweeper's now, and so may be the next file of that name.
        aside.as_mut().map(|aside| aside.0.take());
        return Err(error);
    }
    match aside {
        None => spot.publish(&file)?,
        Some(aside) => {
            aside.rename(spot.path())?;
            // By its path it may have gone into another directory.
            if spot.look()? != (seen.dev(), seen.ino()) {
                return Err(io::ErrorKind::NotFound.into());
            }
        }
    }
    if broken!(MarkedLate) {
        here::mark(&file, Marks::of(wanted))?;
    }
    if broken!(HeldLate) {
        hold_new(&file)?;
    }
    if broken!(SizedLate) {
        fill(&file, wanted, target)?;
    }
    Ok((file, seen))
}

/// Gives a new entry its content: the length of a section, or the path of the file it stands for.
fn fill(file: &File, wanted: &Wanted<'_>, target: Option<&Path>) -> io::Result<()> {
    if let Some(target) = target {
        return sys::write_all_at(file, 0, target.as_os_str().as_bytes());
    }
    match wanted.space {
        Space::Allocate if wanted.len > 0 => sys::allocate_new(file, wanted.len),
        _ => sys::truncate(file, wanted.len),
    }
}

/// Makes sure of the marks: not every system takes them with the mode, the umask takes bits away,
/// and what filling does to the mode is the file system's business.
fn ensure_marks(file: &File, marks: Marks) -> io::Result<Metadata> {
    // An entry that its owner cannot open could not be removed by anybody.
    let has_them =
        |seen: &Metadata| here::marks(file, seen) == marks && seen.mode() & 0o600 == 0o600;
    let seen = file.metadata()?;
    if has_them(&seen) {
        return Ok(seen);
    }
    if here::mark(file, marks).is_ok() {
        let seen = file.metadata()?;
        if has_them(&seen) {
            return Ok(seen);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "its file system does not keep the mode bits that mark it",
    ))
}

/// Holds a new entry; the lock of a file aside turns into that of a holder.
fn hold_new(file: &File) -> io::Result<()> {
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => Err(io::ErrorKind::Interrupted.into()),
        result => Ok(result?),
    }
}

/// The name of a file that has not got its final one yet. It goes if the file does not get one.
struct Aside(Option<PathBuf>);

impl Aside {
    fn rename(mut self, path: &Path) -> io::Result<()> {
        let from = self.0.as_deref().expect("set until the end");
        let renamed = sys::rename_new(from, path);
        match renamed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.0 = None;
                Err(io::ErrorKind::Interrupted.into())
            }
            Err(error) => Err(error),
            Ok(()) => {
                self.0 = None;
                Ok(())
            }
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // What stays is swept by the next creator of the name.
            let _ = std::fs::remove_file(path);
        }
    }
}
