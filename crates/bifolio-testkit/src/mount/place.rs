//! Private directories that go away with everything mounted in them, at the latest when the next
//! test process starts.

use std::env;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

/// The start of every name; the user, the process and a number follow.
const PREFIX: &str = "bifolio-testkit";

/// Held locked by the owner as long as it lives: the lock goes with the process, so it tells a
/// stale place even where process ids are reused or belong to another namespace.
const LOCK_NAME: &str = "owner.lock";

/// A place without a lock is being made if it is younger than this.
const YOUNG: Duration = Duration::from_secs(60);

/// How long a busy mount is waited for before it is detached lazily.
const PATIENCE: Duration = Duration::from_secs(2);

/// A private directory. Dropping it unmounts what is mounted inside and removes it.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    _lock: File,
}

impl Place {
    /// A new place; the first of a process first sweeps up those whose owners died.
    pub(super) fn new() -> io::Result<Self> {
        static SWEPT: Once = Once::new();
        SWEPT.call_once(|| {
            if let Err(error) = sweep() {
                eprintln!("cannot sweep {}: {error}", env::temp_dir().display());
            }
        });
        loop {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            // Relaxed: only the numbers must differ.
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}{}-{number}", prefix(), process::id());
            let path = env::temp_dir().join(name);
            match DirBuilder::new().mode(0o755).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                other => other?,
            }
            let lock = File::create_new(path.join(LOCK_NAME))?;
            // A sweeper may have come first; then it removes this place.
            if lock.try_lock().is_ok() {
                return Ok(Self { path, _lock: lock });
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = clear(&self.path) {
            eprintln!("cannot clear {}: {error}", self.path.display());
        }
    }
}

/// The start of the names of this user's places.
fn prefix() -> String {
    format!("{PREFIX}-{}-", rustix::process::geteuid().as_raw())
}

/// Removes the places of this user whose owners are gone.
fn sweep() -> io::Result<()> {
    for entry in fs::read_dir(env::temp_dir())? {
        let entry = entry?;
        if !entry.file_name().as_bytes().starts_with(prefix().as_bytes()) {
            continue;
        }
        // Of several sweepers one wins; the others find nothing.
        if let Err(error) = sweep_one(&entry.path())
            && error.kind() != io::ErrorKind::NotFound
        {
            eprintln!("cannot sweep {}: {error}", entry.path().display());
        }
    }
    Ok(())
}

fn sweep_one(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    // The directory is open to everybody: what another user named like ours is not ours.
    if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    match File::open(path.join(LOCK_NAME)) {
        Ok(lock) => match lock.try_lock() {
            Ok(()) => clear(path),
            Err(TryLockError::WouldBlock) => Ok(()),
            Err(TryLockError::Error(error)) => Err(error),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let age = SystemTime::now().duration_since(metadata.modified()?).unwrap_or_default();
            if age > YOUNG { clear(path) } else { Ok(()) }
        }
        Err(error) => Err(error),
    }
}

/// Unmounts everything below `path`, the last mount first, and removes the directory.
fn clear(path: &Path) -> io::Result<()> {
    for mount in mounts_below(path)?.iter().rev() {
        unmount(mount)?;
    }
    fs::remove_dir_all(path)
}

/// Unmounts; a mount that stays busy is detached and goes away with its last user.
pub(super) fn unmount(mount: &Path) -> io::Result<()> {
    let step = Duration::from_millis(20);
    let mut left = PATIENCE;
    loop {
        match umount2(mount, MntFlags::UMOUNT_NOFOLLOW) {
            Err(Errno::EBUSY) if !left.is_zero() => {
                thread::sleep(step);
                left = left.saturating_sub(step);
            }
            Err(Errno::EBUSY) => {
                eprintln!("{} is busy: detached", mount.display());
                let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
                return Ok(umount2(mount, flags)?);
            }
            other => return Ok(other?),
        }
    }
}

/// The mount points below a directory, in the order in which they were mounted.
pub(super) fn mounts_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let dir = fs::canonicalize(dir)?;
    let table = fs::read("/proc/self/mountinfo")?;
    let points = table.split(|byte| *byte == b'\n').filter_map(|line| {
        let field = line.split(|byte| *byte == b' ').nth(4)?;
        Some(PathBuf::from(unescaped(field)))
    });
    Ok(points.filter(|point| point.starts_with(&dir)).collect())
}

/// A field of `mountinfo`: blanks and backslashes are written as three octal digits.
fn unescaped(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        let octal = (*first == b'\\').then(|| after.get(..3)).flatten();
        let code = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(byte);
            rest = &after[3..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_blanks_are_blanks() {
        assert_eq!(unescaped(br"/tmp/a\040b\134c"), r"/tmp/a b\c");
        assert_eq!(unescaped(br"/tmp/end\04"), r"/tmp/end\04");
    }

    #[test]
    #[cfg_attr(miri, ignore = "makes directories")]
    fn a_place_goes_away_when_it_is_dropped() {
        let place = Place::new().unwrap();
        let path = place.path().to_path_buf();
        fs::write(path.join("file"), "x").unwrap();
        drop(place);
        assert!(!path.exists());
    }

    #[test]
    #[cfg_attr(miri, ignore = "makes directories")]
    fn a_sweep_takes_stale_places_and_leaves_live_ones() {
        let live = Place::new().unwrap();
        let stale = env::temp_dir().join(format!("{}stale-{}", prefix(), process::id()));
        fs::create_dir(&stale).unwrap();
        File::create_new(stale.join(LOCK_NAME)).unwrap();
        let young = env::temp_dir().join(format!("{}young-{}", prefix(), process::id()));
        fs::create_dir(&young).unwrap();
        sweep().unwrap();
        assert!(live.path().exists());
        assert!(!stale.exists());
        assert!(young.exists(), "it is being made");
        fs::remove_dir(young).unwrap();
    }
}
