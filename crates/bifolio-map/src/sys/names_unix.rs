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
//! - **Create**: mark, size and allocate a file that has no name, make sure of the mark, take SH,
//!   then link it, which never replaces anything. Before the link nobody can see it; after it, it is
//!   complete and held. (Where files cannot be without a name: under a name aside, as all files of
//!   this library, see `section/aside.rs`; then renamed without replacing.)
//! - **Open**: EX is refused if anybody holds it: then take SH. If EX is granted it is dead: remove
//!   it, and there is no such name. If SH is refused too, somebody is removing it: look again. After
//!   the lock, ask what it is, and whether it still has its name: the remover may have been first.
//! - **Close**: ask for EX. Granted, it was the last handle: remove it. Refused, others have it; SH
//!   is lost, and was to be given back anyhow. But only an opening that nobody shares may ask so: if
//!   this process has forked since, or lent the descriptor, let go, then do what everybody does who
//!   passes by: open the entry anew, and if EX is granted, remove it.
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
//! - Whose the dead are: a user removes only his own, and root anybody's where all names are ours or
//!   the system's ([`Rights`]). Somebody else's dead name is no name either; but it is in the way of
//!   a creator, who is told who can remove it.
//!
//! EX is never waited for, so there is no deadlock; a process that was stopped while it removes
//! something is waited for up to [`PATIENCE`], then the answer is "busy".
//!
//! A descriptor that a forked child shares is one opening with one lock: it holds while either
//! process has it. So the lock of an opening that may be shared is never changed or given back, only
//! closed. To ask for EX on it would be to lose SH for all who share it: the kernel gives up the old
//! lock before it looks whether it can grant the new one. (Of two handles that close at once and
//! both ask, the one that asks last finds the other's SH gone, so one of them removes the name.)
//!
//! `flock` locks are of another kind than those of `FileLock`: they do not meet. Programs that
//! share a section without this library hold nothing. They can also remove files (`rm`,
//! `shm_unlink`) without our locks; no name of ours is safe from its owner and root.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::forks::Forks;
use super::names_here as here;
use super::{Named, Object, Wanted};
use crate::names::Lifetime;
use crate::section::{Access, Create};
// Where bifolio-testkit steps through processes.
#[cfg(all(
    test,
    not(miri),
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod tests;

pub(crate) use list::list_named;
pub(super) use mark::{Mark, Marks};
pub(crate) use place::{Place, ground_of, ground_of_place, place};

use list::{Visit, visit};
use place::{Rights, Whose};
use publish::publish_new;
use spot::Spot;

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

mod list;
mod mark;
mod place;
mod publish;
mod spot;

/// How long a process that is removing something is waited for.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 2000 });

/// What keeps a name alive: its entry is held by the section's object, or by `entry` if the name
/// stands for a file elsewhere. Dropped after the object, it removes the name if it was the last.
#[derive(Debug)]
pub(crate) struct Hold {
    spot: Spot,
    entry: Option<File>,
    rights: Rights,
    /// Whether to look for the dead when it ends.
    looks: bool,
    /// The entry, as it was when it was opened.
    id: EntryId,
    /// When it was opened: a child that was forked since shares the opening.
    since: Forks,
    /// Whether somebody may have a duplicate of the descriptor.
    lent: AtomicBool,
}

impl Hold {
    fn new(
        spot: Spot,
        entry: Option<File>,
        seen: &Metadata,
        rights: Rights,
        lifetime: Lifetime,
        since: Forks,
    ) -> Self {
        let (id, looks) = (EntryId::of(seen), lifetime == Lifetime::LastHandle);
        Self { spot, entry, rights, looks, id, since, lent: AtomicBool::new(false) }
    }

    /// Somebody may duplicate the object's descriptor, and have it longer than the section.
    pub(crate) fn lend(&self) {
        self.lent.store(true, Ordering::Relaxed);
    }

    /// The object is about to be closed, and nobody else has its opening: then the opening itself
    /// can ask whether it was the last one. Otherwise the drop asks with another one.
    pub(crate) fn let_go(&mut self, object: &Object) {
        if !self.looks || *self.lent.get_mut() && !broken!(LoansForgotten) {
            return;
        }
        let own = self.entry.as_ref().unwrap_or(object);
        let since = if broken!(ForksForgotten) { Forks::so_far() } else { self.since };
        let asked = since.unless_forked_since(|| {
            if ask_whether_dead(own)? {
                // What it cannot remove is dead all the same, and the next one tries again.
                let _ = remove_dead(&self.spot, self.id, self.rights);
            }
            Ok::<_, io::Error>(())
        });
        self.looks = !matches!(asked, Some(Ok(())));
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        drop(self.entry.take());
        if self.looks {
            // What it cannot remove is dead all the same, and the next one tries again.
            let _ = remove_if_dead(&self.spot, self.rights);
        }
    }
}

/// Opens the section of a name.
pub(crate) fn open_named(place: &Place, name: &str, access: Access) -> io::Result<Named> {
    let spot = place.spot(name)?;
    let mut patience = Patience::new();
    loop {
        // Before it is opened: a fork in between shares it.
        let since = Forks::so_far();
        let entry = open_entry(&spot, access).map_err(|error| place.explain(error))?;
        match hold(&entry, patience.is_fresh())? {
            Held::Yes(seen) => {
                return named(place, entry, &seen, spot, access, since);
            }
            Held::Dead(seen) => {
                // If somebody else has to remove it, there is no such name all the same.
                let _ = remove_dead(&spot, EntryId::of(&seen), place.rights);
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
    spot: Spot,
    access: Access,
    since: Forks,
) -> io::Result<Named> {
    let marks = here::marks(&entry, seen);
    let lifetime = lifetime_of(marks);
    place.rights.accept(seen)?;
    if !marks.has(Mark::StandsForFile) {
        let hold = Hold::new(spot, None, seen, place.rights, lifetime, since);
        return Ok(Named { object: entry, hold, file: None });
    }
    let hold = Hold::new(spot, Some(entry), seen, place.rights, lifetime, since);
    place.rights.follow(seen)?;
    let target = target_of(hold.entry.as_ref().expect("set above"))?;
    let object = open_target(&target, access)?;
    Ok(Named { object, hold, file: Some(target) })
}

/// The path that an entry holds.
fn target_of(entry: &File) -> io::Result<PathBuf> {
    let mut bytes = vec![0; libc::PATH_MAX as usize];
    let size = super::read_at(entry, 0, &mut bytes)?;
    bytes.truncate(size);
    let path = PathBuf::from(std::ffi::OsString::from_vec(bytes));
    if path.is_absolute() {
        return Ok(path);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "it is marked as a file's name and holds none"))
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
    let mut spot = place.spot_in_new(name)?;
    let mut visit = visit(place);
    let target = wanted.file.map(std::path::absolute).transpose()?;
    let object = target.as_deref().map(|path| open_target(path, wanted.access)).transpose()?;
    let mut patience = Patience::new();
    let since = Forks::so_far();
    let (entry, seen) = loop {
        match publish_new(&spot, wanted, target.as_deref()) {
            // Somebody removed the directory since it was looked at.
            Err(error) if error.kind() == io::ErrorKind::NotFound && visit == Visit::Another => {
                spot = place.spot_in_new(name)?;
                visit = Visit::First;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match remove_if_dead(&spot, place.rights)? {
                    Removed::Yes => {}
                    Removed::No => return Err(error),
                    Removed::Refused { owner } => return Err(left_behind_by(owner)),
                }
            }
            // A sweeper took the name aside before it was held.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result.map_err(|error| place.explain(error))?,
        }
        patience.pause("the name")?;
    };
    let (object, file, entry) = match (object, target) {
        (Some(object), file) => (object, file, Some(entry)),
        (None, _) => (entry, None, None),
    };
    let hold = Hold::new(spot, entry, &seen, place.rights, wanted.lifetime, since);
    Ok(Named { object, hold, file })
}

/// What is to be done about a dead name of somebody else's.
fn left_behind_by(owner: u32) -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!(
            "processes of user {owner} that have ended left the name behind; that user or root can \
             remove it (names::unlink)"
        ),
    )
}

/// Whether a name is taken, by whatever lives.
pub(crate) fn is_taken(place: &Place, name: &str) -> io::Result<bool> {
    let spot = Spot::at_path(place.dir.join(name));
    Ok(spot.look().is_ok() && remove_if_dead(&spot, place.rights)? == Removed::No)
}

/// Opens an entry as it is, without following a link or waiting for a pipe's other end.
fn open_entry(spot: &Spot, access: Access) -> io::Result<File> {
    match spot.open(access) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ELOOP | libc::EISDIR)) => {
            Err(not_a_section())
        }
        // An entry that stands for a file need not be writable itself.
        Err(error)
            if error.kind() == io::ErrorKind::PermissionDenied && access == Access::ReadWrite =>
        {
            let Ok(entry) = open_entry(spot, Access::Read) else { return Err(error) };
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
    /// It lives, or is nothing that dies.
    No,
    /// It is dead, and not for us to remove.
    Refused { owner: u32 },
}

/// Removes an entry if it is marked, nobody holds it, and it is ours.
fn remove_if_dead(spot: &Spot, rights: Rights) -> io::Result<Removed> {
    let entry = match open_entry(spot, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Removed::Yes),
        // Not ours, or no section.
        Err(_) => return Ok(Removed::No),
        Ok(entry) => entry,
    };
    let seen = entry.metadata()?;
    if !seen.is_file() || lifetime_of(here::marks(&entry, &seen)) == Lifetime::Persistent {
        return Ok(Removed::No);
    }
    if !ask_whether_dead(&entry)? {
        if !try_lock(&entry, FlockOperation::NonBlockingLockShared)? {
            // Somebody has EX: it is dead, and being removed. Look again.
            return Ok(Removed::Yes);
        }
        if entry.metadata()?.nlink() == 0 {
            // Removed; whoever has SH now came too late, as we did. A dead one that has its name is
            // nobody's to hold: the first to look gets EX, and keeps it until the name is gone.
            return Ok(Removed::Yes);
        }
        // A last close may have met our SH and left the name to us.
        if !ask_whether_dead(&entry)? {
            return Ok(Removed::No);
        }
    }
    Ok(remove_dead(spot, EntryId::of(&seen), rights))
}

/// Whether nobody else holds an entry; then this opening has EX.
fn ask_whether_dead(entry: &File) -> io::Result<bool> {
    let dead = try_lock(entry, FlockOperation::NonBlockingLockExclusive)?;
    if broken!(RemovedUnlocked) {
        // Looks whether anybody has it, and does not keep others from having it meanwhile.
        flock(entry, FlockOperation::Unlock)?;
    }
    Ok(dead)
}

/// Removes what is known to be dead, if it is ours: the caller has EX on it.
fn remove_dead(spot: &Spot, id: EntryId, rights: Rights) -> Removed {
    let removed = rights.may_remove_dead(id.owner)
        && match remove(spot, id) {
            Err(error) => error.kind() == io::ErrorKind::NotFound,
            Ok(()) => true,
        };
    if removed { Removed::Yes } else { Removed::Refused { owner: id.owner } }
}

/// Which file an entry is, and whose. An opening keeps its number from being given to another.
#[derive(Clone, Copy, Debug)]
struct EntryId {
    volume: u64,
    file: u64,
    owner: u32,
}

impl EntryId {
    fn of(seen: &Metadata) -> Self {
        Self { volume: seen.dev(), file: seen.ino(), owner: seen.uid() }
    }
}

/// Unlinks a name if it leads to this very file; see the three rules at the head of this file.
fn remove(spot: &Spot, id: EntryId) -> io::Result<()> {
    if spot.look()? == (id.volume, id.file) || broken!(RemovedUnseen) {
        spot.unlink()?;
    }
    Ok(())
}

/// Takes a name away, whoever has the section.
pub(crate) fn unlink_named(place: &Place, name: &str) -> io::Result<()> {
    let spot = place.spot(name)?;
    let directory = File::open(&place.dir).map_err(|error| place.explain(error))?;
    let mut patience = Patience::new();
    while !broken!(DirectoryUnlocked)
        && !try_lock(&directory, FlockOperation::NonBlockingLockExclusive)?
    {
        patience.pause("the directory")?;
    }
    loop {
        let entry = open_entry(&spot, Access::Read)?;
        match hold(&entry, patience.is_fresh())? {
            Held::Yes(seen) => return remove(&spot, EntryId::of(&seen)),
            Held::Dead(seen) => {
                // Whosever it is: here the caller means it.
                let _ = remove(&spot, EntryId::of(&seen));
                return Err(io::ErrorKind::NotFound.into());
            }
            Held::LookAgain => patience.pause("the name")?,
        }
    }
}

/// Opens what another program made. It takes part in nothing.
pub(crate) fn open_foreign(
    place: &Place,
    name: &str,
    access: Access,
) -> io::Result<(Object, u64)> {
    let entry = open_entry(&place.spot(name)?, access).map_err(|e| place.explain(e))?;
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
