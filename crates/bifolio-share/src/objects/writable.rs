//! Objects that processes write together before they are objects.
//!
//! ```text
//!                          freeze                 linked               name taken away
//!  no name ───────▶ open ──────────▶ freezing ──────────────▶ freezing ───────────────▶ frozen
//!                    ▲ │ ▲              │
//!     lock, write,   └─┘ └──────────────┘ it could not be put
//!     unlock
//! ```
//!
//! It is a region: a mutex around its state, and the bytes. Whoever finds it freezing, because who froze
//! it died, goes on from there; it puts the same bytes.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use bifolio_map::{Create, Currency, Patience, Section};

use super::directory::{Locked, failed};
use super::{Content, Objects, Removal};
use crate::error::{Error, ErrorKind, Result};
use crate::lock::{Lock, Mutex, MutexGuard, Unsound, Why};
use crate::region::{Kind, Region};
use crate::shared::Shared;

/// What names of those that are being written begin with; no names of objects do.
pub(super) const WRITTEN: &str = ".write-";

/// Bytes beside its own: header, participants, directory.
const SPARE: u64 = 256 << 10;
/// How many processes can write one at a time.
const PARTICIPANTS: u32 = 128;

/// The states.
const OPEN: u64 = 0;
const FREEZING: u64 = 1;
const FROZEN: u64 = 2;

/// An object that is still being written, by any number of processes, each of which takes its lock
/// for that; [frozen](ObjectGuard::freeze) it is an object like any other.
///
/// A writer that dies with the lock leaves it to the next one, which is [told](ObjectGuard::after). All
/// of them may die: the bytes are there for whoever asks for them next, until somebody
/// [discards](Objects::discard) them. Until then they count for no budget, and nobody evicts them.
///
/// ```
/// use bifolio_share::Objects;
/// # let dir = tempfile::tempdir().unwrap();
/// let tables = Objects::open(dir.path())?;
/// let table = tables.writable("table", 8)?; // in every process that writes it
/// table.lock()?.write_at(0, b"left")?;
/// table.lock()?.write_at(4, b"side")?;
/// assert!(tables.get("table")?.is_none());
/// table.lock()?.freeze()?;
/// assert_eq!(tables.get("table")?.expect("it is frozen").to_vec()?, b"leftside");
/// assert!(table.lock().is_err());
/// # Ok::<(), bifolio_share::Error>(())
/// ```
#[derive(Debug)]
pub struct WritableObject {
    objects: Objects,
    name: String,
    /// Whether it has its name still.
    section: Section,
    region: Region,
    state: Mutex<u64>,
    at: u64,
    len: u64,
}

/// The lock of an object that is being written. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct ObjectGuard<'object> {
    object: &'object WritableObject,
    held: Held<'object>,
}

#[derive(Debug)]
enum Held<'object> {
    Sound(MutexGuard<'object, u64>),
    Unsound(Unsound<'object, u64>),
}

impl Objects {
    /// The object of this name that is being written, of `len` bytes; if there is none, a new one of
    /// zeros. On Unix only processes of the same user can write it.
    ///
    /// # Errors
    /// `AlreadyExists` if there is an object of this name, `LayoutMismatch` if one of another length is
    /// being written; `InvalidInput` for a name that is none, or no bytes; `Full`; `TooMany` if 128
    /// processes write it; what the system says.
    pub fn writable(&self, name: &str, len: u64) -> Result<WritableObject> {
        const DOING: &str = "write";
        let path = self.path(name)?;
        if len == 0 || len > u64::MAX >> 2 {
            let why = format!("it would have {len} bytes");
            return Err(Error::new(ErrorKind::InvalidInput, DOING).of(name).because(why));
        }
        // Nobody takes a name away meanwhile, so both openings find the same file.
        let _locked = Locked::take(&self.directory)?;
        if path.try_exists().map_err(failed(DOING, &path))? {
            // What cannot be judged stays; who discards it is told why.
            let _ = self.take_frozen_away(name);
            let why = "an object of this name is there, and objects do not change";
            return Err(Error::new(ErrorKind::AlreadyExists, DOING).of(name).because(why));
        }
        let aside = self.aside(name);
        let region = Region::options()
            .capacity(len + SPARE)
            .participants(PARTICIPANTS)
            .names(2)
            .create(Create::IfMissing)
            .open(&aside)?;
        let section = Section::open(&aside)?;
        let fill = |offset| region.zero(offset, len);
        let bytes = region.object("bytes", Kind::Bytes, len, &u8::SHARED_LAYOUT, fill)?;
        let state = region.mutex("state", OPEN)?;
        let (objects, name) = (self.clone(), name.to_owned());
        Ok(WritableObject { objects, name, section, region, state, at: bytes.offset, len })
    }

    /// Takes away what was written of an object and not frozen.
    ///
    /// # Errors
    /// `Busy` if somebody who lives has it open; `Corrupt` and what else [`Region::open`] says of what is
    /// none; what the system says.
    pub fn discard(&self, name: &str) -> Result<Removal> {
        const DOING: &str = "discard";
        self.path(name)?;
        let aside = self.aside(name);
        let locked = Locked::take(&self.directory)?;
        let region = match Region::open(&aside) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Removal::WasNotThere),
            region => region?,
        };
        let alive = region.members()?.iter().filter(|one| one.life == crate::Life::Alive).count();
        if alive > 1 {
            let why = format!("{} others have it open", alive - 1);
            return Err(Error::new(ErrorKind::Busy, DOING).of(name).because(why));
        }
        // Windows removes nothing that is mapped, also by ourselves.
        drop(region);
        let removed = std::fs::remove_file(&aside).map_err(failed(DOING, &aside));
        drop(locked);
        removed.map(|()| Removal::Done)
    }

    /// Takes away what was written of an object that is there: of whoever froze it and died behind that.
    /// The caller has the directory's lock.
    pub(super) fn take_frozen_away(&self, name: &str) -> Result<()> {
        let aside = self.aside(name);
        let region = Region::open(&aside)?;
        let bytes = region.objects()?.into_iter().find(|object| object.name == "bytes");
        let (Some(bytes), state) = (bytes, region.mutex("state", OPEN)?) else { return Ok(()) };
        let held = match state.lock_with(Patience::Try) {
            Err(error) if error.kind() == ErrorKind::Busy => return Ok(()),
            held => Held::of(held?),
        };
        let frozen = match held.get()? {
            FREEZING => self.is_put(name, &region, bytes.offset, bytes.size)?,
            FROZEN => Put::TheSame,
            // Written still, or what nobody wrote.
            _ => return Ok(()),
        };
        if let Put::AnotherOne = frozen {
            return Ok(());
        }
        drop(held);
        drop((state, region));
        match std::fs::remove_file(&aside) {
            Err(error) if !cfg!(windows) => Err(failed("freeze", &aside)(error)),
            _ => Ok(()),
        }
    }

    /// Whether the object of this name has these bytes.
    fn is_put(&self, name: &str, region: &Region, at: u64, len: u64) -> Result<Put> {
        let Some(object) = self.get(name)? else { return Ok(Put::AnotherOne) };
        if object.len() != len {
            return Ok(Put::AnotherOne);
        }
        for (start, end) in super::pieces(len) {
            let ours = region.view().read_vec(at + start..at + end)?;
            if object.view().read_vec(start..end)? != ours {
                return Ok(Put::AnotherOne);
            }
        }
        Ok(Put::TheSame)
    }

    fn aside(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{WRITTEN}{name}"))
    }
}

impl WritableObject {
    /// Its bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it has one at least")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Takes the lock, waiting for as long as a living owner has it.
    ///
    /// # Errors
    /// `AlreadyExists` if it is frozen; those of [`Objects::put`] if whoever froze it died before it was
    /// put, and it cannot be put now (then it can be written again); `Corrupt` if its state is what nobody
    /// wrote; otherwise those of [`Mutex::lock`].
    pub fn lock(&self) -> Result<ObjectGuard<'_>> {
        self.lock_with(Patience::Forever)
    }

    /// Takes the lock if no living owner has it.
    ///
    /// # Errors
    /// `Busy`; otherwise those of [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<ObjectGuard<'_>> {
        self.lock_with(Patience::Try)
    }

    /// Takes the lock, waiting at most for `time`.
    ///
    /// # Errors
    /// `TimedOut`; otherwise those of [`lock`](Self::lock).
    pub fn lock_within(&self, time: Duration) -> Result<ObjectGuard<'_>> {
        self.lock_with(Patience::For(time))
    }

    fn lock_with(&self, patience: Patience) -> Result<ObjectGuard<'_>> {
        let mut held = Held::of(self.state.lock_with(patience)?);
        match held.get()? {
            OPEN => return Ok(ObjectGuard { object: self, held }),
            FREEZING => {
                // Without its name it was put, and whoever did that died before saying so.
                match self.section.is_current()? {
                    Currency::Current => self.finish(&mut held)?,
                    _ => held.set(FROZEN)?,
                }
                // Nobody writes it any more, so nothing of it is half done.
                drop(held.sound()?);
            }
            FROZEN => {}
            other => {
                let why = format!("its state is {other}");
                return Err(Error::new(ErrorKind::Corrupt, "write").of(&self.name).because(why));
            }
        }
        let why = "it is frozen, and objects do not change";
        Err(Error::new(ErrorKind::AlreadyExists, "write").of(&self.name).because(why))
    }

    /// Puts what is freezing, and takes its name aside away.
    fn finish(&self, held: &mut Held<'_>) -> Result<()> {
        if let Err(error) = self.put() {
            held.set(OPEN)?;
            return Err(error);
        }
        seam!();
        let aside = self.objects.aside(&self.name);
        let locked = Locked::take(&self.objects.directory)?;
        // Otherwise somebody else took it away, and it may be another one's by now.
        if self.section.is_current()? == Currency::Current {
            match std::fs::remove_file(&aside) {
                // It is mapped: on Windows it goes with a later put, or when somebody discards it.
                Err(_) if cfg!(windows) => {}
                removed => removed.map_err(failed("freeze", &aside))?,
            }
        }
        drop(locked);
        held.set(FROZEN)
    }

    fn put(&self) -> Result<()> {
        let content = Content::View(self.region.view(), self.at..self.at + self.len);
        match self.objects.put_content(&self.name, &content) {
            // Of somebody who died behind that.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                match self.objects.is_put(&self.name, &self.region, self.at, self.len)? {
                    Put::TheSame => Ok(()),
                    Put::AnotherOne => Err(error),
                }
            }
            put => put,
        }
    }
}

/// What has the name of what is frozen.
enum Put {
    TheSame,
    AnotherOne,
}

impl<'object> Held<'object> {
    fn of(lock: Lock<'object, u64>) -> Self {
        match lock {
            Lock::Sound(guard) => Self::Sound(guard),
            Lock::Unsound(left) => Self::Unsound(left),
        }
    }

    fn get(&self) -> Result<u64> {
        match self {
            Self::Sound(guard) => guard.get(),
            Self::Unsound(left) => left.get(),
        }
    }

    fn set(&mut self, state: u64) -> Result<()> {
        match self {
            Self::Sound(guard) => guard.set(&state),
            Self::Unsound(left) => left.set(&state),
        }
    }

    fn sound(self) -> Result<Self> {
        match self {
            Self::Unsound(left) => left.repaired().map(Self::Sound),
            sound => Ok(sound),
        }
    }
}

impl ObjectGuard<'_> {
    /// Whether the owner before died with the lock, or panicked, or somebody dropped it unrepaired: then
    /// the bytes may be half written. Dropped without [`repaired`](Self::repaired), they stay so for the next
    /// owner.
    #[must_use]
    pub fn after(&self) -> Option<Why> {
        match &self.held {
            Held::Sound(_) => None,
            Held::Unsound(left) => Some(left.why()),
        }
    }

    /// Says that the bytes are in order.
    ///
    /// # Errors
    /// `Forked` in a forked child; what became of the bytes.
    pub fn repaired(self) -> Result<Self> {
        Ok(Self { object: self.object, held: self.held.sound()? })
    }

    /// Copies bytes out.
    ///
    /// # Errors
    /// `OutOfBounds` behind the end; `Forked` in a forked child; what became of the bytes.
    pub fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let at = self.place(offset, bytes.len())?;
        self.object.region.read_at(at, bytes)
    }

    /// Copies bytes in.
    ///
    /// # Errors
    /// Those of [`read_at`](Self::read_at).
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let at = self.place(offset, bytes.len())?;
        self.object.region.write_at(at, bytes)
    }

    fn place(&self, offset: u64, len: usize) -> Result<u64> {
        let all = self.object.len;
        if offset.checked_add(len as u64).is_none_or(|end| end > all) {
            return Err(Error::new(ErrorKind::OutOfBounds, "use")
                .of(&self.object.name)
                .because(format!("asked for {len} bytes at {offset}, of {all}")));
        }
        Ok(self.object.at + offset)
    }

    /// Makes it an object: whole, and for ever as it is. Who has it open is told when it next locks.
    ///
    /// # Errors
    /// `Poisoned` if the bytes are not [repaired](Self::repaired); `AlreadyExists` if somebody has put
    /// another object of this name, and otherwise those of [`Objects::put`]: then it can be written
    /// still.
    pub fn freeze(mut self) -> Result<()> {
        if let Some(why) = self.after() {
            return Err(Error::new(ErrorKind::Poisoned, "freeze")
                .of(&self.object.name)
                .because(format!("its bytes may be half written: {why:?}")));
        }
        if !broken!(FrozenUnsaid) {
            self.held.set(FREEZING)?;
        }
        seam!();
        self.object.finish(&mut self.held)
    }
}

const _: () = {
    const fn sent<T: Send + Sync>() {}
    sent::<WritableObject>();
};

/// Writes bytes of a view to a file.
pub(super) fn write_pieces(
    view: &bifolio_map::View<bifolio_map::ReadWrite>,
    range: &std::ops::Range<u64>,
    mut file: &File,
) -> std::io::Result<()> {
    use std::io::Write;
    for (start, end) in super::pieces(range.end - range.start) {
        let piece = view.read_vec(range.start + start..range.start + end);
        file.write_all(&piece.map_err(std::io::Error::other)?)?;
    }
    Ok(())
}
