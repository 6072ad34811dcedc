//! Named sections on Unix: entries of a directory that appear complete, and go with their last
//! handle whatever kills it.
//!
//! ```text
//!              create                                  last close, or somebody looks
//!   no name -----------> unnamed, marked, sized -----> named ----------------------> no name
//!               file      and held (SH)        link      |                       ^
//!                                                        | every holder is killed| next look
//!                                                        +-----> dead -----------+
//! ```
//! A *holder* has a shared `flock` (SH) on its own opening of the entry, for as long as its section
//! or any view lives. The kernel takes it away when the process dies, however that happens. So an
//! entry with the mark "goes with its last handle" that nobody holds is *dead*: it is no section
//! any more, to nobody. Whoever can get the exclusive lock (EX) knows that it is dead.
//!
//! - **Create**: mark, size and allocate a file that has no name, take SH, then link it, which
//!   never replaces anything. Before the link nobody can see it; after it, it is complete and held.
//!   (Where files cannot be without a name: under a name aside, then renamed without replacing.)
//! - **Open**: EX is refused if anybody holds it: then take SH. If EX is granted it is dead: remove
//!   it, and there is no such name. If SH is refused too, somebody is removing it: look again. After
//!   the lock, ask what it is, and whether it still has its name: the remover may have been first.
//! - **Close**: if SH cannot be turned into EX, others hold it: just let go. Otherwise let go, then
//!   do what everybody does who passes by: if EX is granted, remove it.
//! - **Remove** = make sure that the name still leads to this very file, then unlink. Between the
//!   two nobody else may remove it, or the next creator's new entry could be hit. Three rules:
//!   1. who removes the dead has EX on the file;
//!   2. who unlinks what lives (or what is not marked) has SH on it, if it is marked, which shuts
//!      out 1,
//!   3. and EX on the directory, which shuts out others of 2.
//!
//!   So the common path, the last close, locks no directory. No lock outlives its process.
//! - An entry without the mark is persistent or foreign. It is never removed but by rule 3. Holders
//!   take SH where they can, only so that a list can tell whether it is in use.
//!
//! EX is never waited for, so there is no deadlock; a process that was stopped while it removes
//! something is waited for up to [`PATIENCE`], then the answer is "busy".
//!
//! A descriptor that a forked child shares is one opening with one lock: it holds while either
//! process has it. That is why a close does not take EX on its own opening for the last word, where
//! it is granted in spite of the child; it opens the entry anew.
//!
//! `flock` locks are of another kind than those of `FileLock`: they do not meet. Programs that
//! share a section without this library hold nothing. They can also remove files (`rm`,
//! `shm_unlink`) without our locks; no name of ours is safe from its owner and root.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::names_here as here;
use super::{Named, Object, Wanted};
use crate::Space;
use crate::names::Lifetime;
use crate::section::{Access, Create};

mod list;
mod place;
// Where bifolio-testkit steps through processes.
#[cfg(all(
    test,
    not(miri),
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod tests;

pub(crate) use list::list_named;
pub(crate) use place::{Place, ground_of, ground_of_place, place};

use list::{Visit, visit};
use place::Whose;

/// A step that the tests leave out or do at the wrong time, to see that they notice.
#[cfg(all(
    test,
    not(miri),
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
macro_rules! broken {
    ($twin:ident) => {
        tests::Twin::$twin.is_on()
    };
}
#[cfg(not(all(
    test,
    not(miri),
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
macro_rules! broken {
    ($twin:ident) => {
        false
    };
}

/// How long a process that is removing something is waited for.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 2000 });

/// How the names of files begin and end that have not got their final name yet.
const ASIDE: (&str, &str) = (".", ".new");

/// What is known of an entry outside of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    GoesWithLastHandle,
    StandsForFile,
}

impl Mark {
    pub(super) const ALL: [Self; 2] = [Self::GoesWithLastHandle, Self::StandsForFile];
}

/// A set of marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks(u8);

impl Marks {
    pub(super) const NONE: Self = Self(0);

    pub(super) fn with(self, mark: Mark) -> Self {
        Self(self.0 | 1 << mark as u8)
    }

    pub(super) fn has(self, mark: Mark) -> bool {
        self.0 & 1 << mark as u8 != 0
    }

    fn of(wanted: &Wanted<'_>) -> Self {
        let mut marks = Self::NONE;
        if wanted.lifetime == Lifetime::LastHandle {
            marks = marks.with(Mark::GoesWithLastHandle);
        }
        if wanted.file.is_some() {
            marks = marks.with(Mark::StandsForFile);
        }
        marks
    }
}

/// What keeps a name alive: its entry is held by the section's object, or by `entry` if the name
/// stands for a file elsewhere. Dropped after the object, it removes the name if it was the last.
#[derive(Debug)]
pub(crate) struct Hold {
    path: PathBuf,
    entry: Option<File>,
    /// Whether to look for the dead when it ends.
    looks: bool,
}

impl Hold {
    fn new(path: PathBuf, entry: Option<File>, lifetime: Lifetime) -> Self {
        Self { path, entry, looks: lifetime == Lifetime::LastHandle }
    }

    /// To be called before the object is closed: if somebody else holds the name, there is nothing
    /// to look for afterwards. That costs one call instead of four.
    ///
    /// A lock that becomes another one goes first, so of two who ask at once the later one is
    /// alone. EX granted is not yet the last word, see the head of this file; it is given back for
    /// the child that may share this opening, so that others can still open the name.
    pub(crate) fn before_close(&mut self, object: &Object) {
        let opening = self.entry.as_ref().unwrap_or(object);
        if !self.looks {
            return;
        }
        match try_lock(opening, FlockOperation::NonBlockingLockExclusive) {
            Ok(false) => self.looks = false,
            _ => drop(flock(opening, FlockOperation::NonBlockingLockShared)),
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        drop(self.entry.take());
        if self.looks {
            // What it cannot remove is dead all the same, and the next one tries again.
            let _ = remove_if_dead(&self.path);
        }
    }
}

/// Opens the section of a name.
pub(crate) fn open_named(place: &Place, name: &str, access: Access) -> io::Result<Named> {
    place.check()?;
    let path = place.dir.join(name);
    let mut patience = Patience::new();
    loop {
        let entry = open_entry(&path, access).map_err(|error| place.explain(error))?;
        match hold(&entry, patience.is_fresh())? {
            Held::Yes(seen) => return named(place, entry, &seen, path, access),
            Held::Dead(seen) => {
                remove(&path, &seen)?;
                return Err(io::ErrorKind::NotFound.into());
            }
            Held::LookAgain => patience.pause("the name")?,
        }
    }
}

/// The section behind an entry that is held.
fn named(
    place: &Place,
    entry: File,
    seen: &Metadata,
    path: PathBuf,
    access: Access,
) -> io::Result<Named> {
    let marks = here::marks(&entry, seen);
    let lifetime = lifetime_of(marks);
    if place.whose == Whose::User && seen.uid() != place.user {
        // Only with rights of root, or in a directory that is not the one that was checked.
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("it is of user {}, not of {}", seen.uid(), place.user),
        ));
    }
    if !marks.has(Mark::StandsForFile) {
        let hold = Hold::new(path, None, lifetime);
        return Ok(Named { object: entry, hold, file: None });
    }
    let hold = Hold::new(path, Some(entry), lifetime);
    // Who may make entries could lead others to write into files of their own.
    if place.whose != Whose::User && ![place.user, 0].contains(&seen.uid()) {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("it leads to a file, at the word of user {}", seen.uid()),
        ));
    }
    let target = target_of(hold.entry.as_ref().expect("set above"))?;
    let object = open_target(&target, access)?;
    Ok(Named { object, hold, file: Some(target) })
}

/// The path that an entry holds.
fn target_of(entry: &File) -> io::Result<PathBuf> {
    let mut bytes = vec![0; libc::PATH_MAX as usize];
    let size = super::read_at(entry, 0, &mut bytes)?;
    bytes.truncate(size);
    Ok(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

/// The file that gets a name, or has one.
fn open_target(path: &Path, access: Access) -> io::Result<File> {
    let file = super::open(path, access, Create::Never, 0).map_err(|error| {
        io::Error::new(error.kind(), format!("the file {}: {error}", path.display()))
    })?;
    if !file.metadata()?.is_file() {
        return Err(not_a_section());
    }
    Ok(file)
}

/// Makes a section that appears under its name complete or not at all.
pub(crate) fn create_named(place: &Place, name: &str, wanted: &Wanted<'_>) -> io::Result<Named> {
    place.make()?;
    let mut visit = visit(&place.dir);
    let path = place.dir.join(name);
    let target = wanted.file.map(std::path::absolute).transpose()?;
    let object = target.as_deref().map(|path| open_target(path, wanted.access)).transpose()?;
    let mut patience = Patience::new();
    let entry = loop {
        match publish_new(&path, wanted, target.as_deref(), visit) {
            // Somebody removed the directory since it was looked at.
            Err(error) if error.kind() == io::ErrorKind::NotFound && visit == Visit::Another => {
                place.make_anew()?;
                visit = Visit::First;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if remove_if_dead(&path)? == Removed::No {
                    return Err(error);
                }
            }
            // A sweeper took the name aside before it was held.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result.map_err(|error| place.explain(error))?,
        }
        patience.pause("the name")?;
    };
    let lifetime = wanted.lifetime;
    Ok(match (object, target) {
        (Some(object), file) => {
            Named { object, hold: Hold::new(path, Some(entry), lifetime), file }
        }
        (None, _) => Named { object: entry, hold: Hold::new(path, None, lifetime), file: None },
    })
}

/// Whether a name is taken, by whatever.
pub(crate) fn is_taken(place: &Place, name: &str) -> io::Result<bool> {
    let path = place.dir.join(name);
    Ok(path.symlink_metadata().is_ok() && remove_if_dead(&path)? == Removed::No)
}

/// Makes an entry and gives it its name, if nothing has it.
fn publish_new(
    path: &Path,
    wanted: &Wanted<'_>,
    target: Option<&Path>,
    visit: Visit,
) -> io::Result<File> {
    let marks = if broken!(MarkedLate) { Marks::NONE } else { Marks::of(wanted) };
    let mode = wanted.permissions & 0o777 | here::mode_of(marks);
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let (file, aside) = match super::create_unnamed(dir, mode) {
        Some(file) => (file?, None),
        None => Aside::create(path, mode).map(|(file, aside)| (file, Some(aside)))?,
    };
    // Not every system takes the mark with the mode, nor does every file system.
    if here::mode_of(marks) == 0 || visit == Visit::First {
        if here::marks(&file, &file.metadata()?) != marks {
            here::mark(&file, marks)?;
        }
        if here::marks(&file, &file.metadata()?) != marks {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "its file system does not keep the mode bits that mark it",
            ));
        }
    }
    if !broken!(HeldLate) {
        hold_new(&file)?;
    }
    if !broken!(SizedLate) {
        fill(&file, wanted, target)?;
    }
    match aside {
        None => super::publish_unnamed(&file, path)?,
        Some(aside) => aside.rename(path)?,
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
    Ok(file)
}

fn hold_new(file: &File) -> io::Result<()> {
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => Err(io::ErrorKind::Interrupted.into()),
        result => Ok(result?),
    }
}

/// Gives a new entry its content: the length of a section, or the path of the file it stands for.
fn fill(file: &File, wanted: &Wanted<'_>, target: Option<&Path>) -> io::Result<()> {
    if let Some(target) = target {
        return super::write_all_at(file, 0, target.as_os_str().as_bytes());
    }
    match wanted.space {
        Space::Allocate if wanted.len > 0 => super::allocate_new(file, wanted.len),
        _ => super::truncate(file, wanted.len),
    }
}

/// The name of a file that has not got its final one yet. It goes if the file does not get one.
struct Aside(PathBuf);

impl Aside {
    fn create(path: &Path, mode: u32) -> io::Result<(File, Self)> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
        loop {
            let (id, count) = (std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
            let aside = path.with_file_name(format!("{}{name}.{id}.{count}{}", ASIDE.0, ASIDE.1));
            match super::open(&aside, Access::ReadWrite, Create::New, mode) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => return Ok((result?, Self(aside))),
            }
        }
    }

    fn rename(self, path: &Path) -> io::Result<()> {
        super::rename_new(&self.0, path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => io::ErrorKind::Interrupted.into(),
            _ => error,
        })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // After a rename there is none; otherwise what stays is swept with the dead.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Opens an entry as it is, without following a link or waiting for a pipe's other end.
fn open_entry(path: &Path, access: Access) -> io::Result<File> {
    let mut options = File::options();
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    options.read(true).write(access == Access::ReadWrite).custom_flags(flags);
    match options.open(path) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ELOOP | libc::EISDIR)) => {
            Err(not_a_section())
        }
        // An entry that stands for a file need not be writable itself.
        Err(error)
            if error.kind() == io::ErrorKind::PermissionDenied && access == Access::ReadWrite =>
        {
            let Ok(entry) = open_entry(path, Access::Read) else { return Err(error) };
            let marks = here::marks(&entry, &entry.metadata()?);
            if marks.has(Mark::StandsForFile) { Ok(entry) } else { Err(error) }
        }
        result => result,
    }
}

fn not_a_section() -> io::Error {
    io::Error::from_raw_os_error(libc::ENXIO)
}

fn lifetime_of(marks: Marks) -> Lifetime {
    if marks.has(Mark::GoesWithLastHandle) { Lifetime::LastHandle } else { Lifetime::Persistent }
}

/// What came of trying to hold an entry, and what it is.
#[derive(Debug)]
enum Held {
    Yes(Metadata),
    /// Nobody did, and nobody can any more: this opening has EX.
    Dead(Metadata),
    /// Somebody is removing it, or has.
    LookAgain,
}

fn try_lock(file: &File, operation: FlockOperation) -> io::Result<bool> {
    match flock(file, operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Holds an entry. One that does not go with its last handle is held only if that is easy.
fn hold(entry: &File, first_try: bool) -> io::Result<Held> {
    use FlockOperation::{NonBlockingLockExclusive, NonBlockingLockShared};
    let alone = !broken!(DeathNotSeen) && try_lock(entry, NonBlockingLockExclusive)?;
    let held = alone || try_lock(entry, NonBlockingLockShared)?;
    // After the lock: the remover may have come before it.
    let seen = entry.metadata()?;
    if !seen.is_file() {
        return Err(not_a_section());
    }
    if lifetime_of(here::marks(entry, &seen)) == Lifetime::Persistent {
        // Another opener may have it for this moment; a foreign program may have it for long.
        let held = if alone { try_lock(entry, NonBlockingLockShared)? } else { held };
        return Ok(if held || !first_try { Held::Yes(seen) } else { Held::LookAgain });
    }
    if alone {
        return Ok(Held::Dead(seen));
    }
    let has_name = seen.nlink() > 0 || broken!(GoneNotSeen);
    Ok(if held && has_name { Held::Yes(seen) } else { Held::LookAgain })
}

/// What came of looking whether an entry is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removed {
    /// It was dead and is gone, or was gone.
    Yes,
    /// It lives, or is not for us to remove.
    No,
}

/// Removes an entry if it is marked and nobody holds it.
fn remove_if_dead(path: &Path) -> io::Result<Removed> {
    let entry = match open_entry(path, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Removed::Yes),
        // Not ours, or no section.
        Err(_) => return Ok(Removed::No),
        Ok(entry) => entry,
    };
    let seen = entry.metadata()?;
    if !seen.is_file() {
        return Ok(Removed::No);
    }
    let unfinished = is_aside(path);
    if lifetime_of(here::marks(&entry, &seen)) == Lifetime::Persistent && !unfinished {
        return Ok(Removed::No);
    }
    let dead = try_lock(&entry, FlockOperation::NonBlockingLockExclusive)?;
    if broken!(RemovedUnlocked) {
        // Looks whether anybody has it, and does not keep others from having it meanwhile.
        flock(&entry, FlockOperation::Unlock)?;
    }
    if !dead {
        return Ok(Removed::No);
    }
    match remove(path, &seen) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Ok(Removed::No),
        _ => Ok(Removed::Yes),
    }
}

/// Unlinks a name if it leads to this very file; see the three rules at the head of this file.
fn remove(path: &Path, seen: &Metadata) -> io::Result<()> {
    let now = path.symlink_metadata()?;
    if (now.dev(), now.ino()) == (seen.dev(), seen.ino()) || broken!(RemovedUnseen) {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// Takes a name away, whoever has the section.
pub(crate) fn unlink_named(place: &Place, name: &str) -> io::Result<()> {
    place.check()?;
    let path = place.dir.join(name);
    let directory = File::open(&place.dir).map_err(|error| place.explain(error))?;
    let mut patience = Patience::new();
    while !try_lock(&directory, FlockOperation::NonBlockingLockExclusive)? {
        patience.pause("the directory")?;
    }
    loop {
        let entry = open_entry(&path, Access::Read)?;
        match hold(&entry, patience.is_fresh())? {
            Held::Yes(seen) => return remove(&path, &seen),
            Held::Dead(seen) => {
                remove(&path, &seen)?;
                return Err(io::ErrorKind::NotFound.into());
            }
            Held::LookAgain => patience.pause("the name")?,
        }
    }
}

/// Whether a name is one aside: of a file that is being made.
fn is_aside(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with(ASIDE.0) && name.ends_with(ASIDE.1)
}

/// Opens what another program made. It takes part in nothing.
pub(crate) fn open_foreign(
    place: &Place,
    name: &str,
    access: Access,
) -> io::Result<(Object, u64)> {
    place.check()?;
    let entry = open_entry(&place.dir.join(name), access).map_err(|e| place.explain(e))?;
    let seen = entry.metadata()?;
    if seen.is_file() { Ok((entry, seen.len())) } else { Err(not_a_section()) }
}

/// Waiting for others to finish, a little longer each time.
struct Patience {
    since: Option<Instant>,
    pause: Duration,
}

impl Patience {
    fn new() -> Self {
        Self { since: None, pause: Duration::from_micros(10) }
    }

    /// Whether nothing was waited for yet.
    fn is_fresh(&self) -> bool {
        self.since.is_none()
    }

    fn pause(&mut self, what: &str) -> io::Result<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() > PATIENCE {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("another process that is removing {what} does not go on"),
            ));
        }
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(Duration::from_millis(1));
        Ok(())
    }
}
