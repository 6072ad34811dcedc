//! Regions: memory that processes share, that grows in place, and whose parts have names.
//!
//! ```text
//!  0        4096                 directory                           used   committed      capacity
//!  ├─ header ─┼─ participants ─────┼─ names of objects ─┼─ objects and appended bytes ─┼─ zeros ─┼─ not there yet ─┤
//! ```
//!
//! One lock, in the header, guards growth, appends and the directory. Each of them becomes true by
//! the store of one word after everything else is there, so that a death anywhere leaves the old
//! state or the new one; what the dead had begun is overwritten by the next one.

mod directory;
pub(crate) mod header;
mod open;
mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bifolio_map::{GrowableView, Patience, ReadWrite, Section, Space, View, wait};

pub use directory::NamedObject;
pub(crate) use directory::{Kind, Object};
pub use open::RegionOptions;
pub(crate) use values::{Changing, after_copy};

use crate::error::{Error, ErrorKind, Result};
use crate::lock::{
    Barrier, Condvar, Event, Mutex, Once, RwLock, Semaphore, Seqlock, ViewMutex, mutex_words,
    thread_number,
};
use crate::participant::{Holder, Member, Participant, Slot};
use crate::shared::{self, Shared};
use crate::word::mutex::Health;
use directory::Directory;
use header::{Header, at};

/// Memory that processes share. A clone is the same participant; opening it again is another one.
///
/// ```
/// use bifolio_share::Region;
/// use std::time::Duration;
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("prices");
/// let ours = Region::create(&path)?;
/// let theirs = Region::open(&path)?; // in this process or in any other
///
/// let offset = ours.append(b"12.50")?;
/// assert_eq!(theirs.wait_appended(offset, Duration::from_secs(10))?, offset + 5);
/// let mut price = [0; 5];
/// theirs.read_at(offset, &mut price)?;
/// assert_eq!(&price, b"12.50");
/// # Ok::<(), bifolio_share::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Region {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Goes first: it leaves through the views.
    participant: Participant,
    /// The whole capacity, of which the front is there.
    view: View<ReadWrite>,
    growable: GrowableView<ReadWrite>,
    label: PathBuf,
    capacity: u64,
    directory: Directory,
    /// How long the region's own locks are waited for.
    patience: Duration,
}

impl Region {
    /// The bytes that every region begins with.
    pub const MAGIC: [u8; 8] = *b"BIFOREG\0";

    /// Makes a region at `path`, which must not exist, with the sizes of [`RegionOptions`].
    ///
    /// # Errors
    /// Those of [`RegionOptions::open`].
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().create(bifolio_map::Create::New).open(path)
    }

    /// Joins the region at `path`.
    ///
    /// # Errors
    /// Those of [`RegionOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(path)
    }

    /// How to open or create.
    pub fn options() -> RegionOptions {
        RegionOptions::default()
    }

    /// What it was opened by: a path, or the place of its name.
    #[must_use]
    pub fn label(&self) -> &Path {
        &self.inner.label
    }

    /// The section below it.
    #[must_use]
    pub fn section(&self) -> &Section {
        self.inner.growable.section()
    }

    /// Whether two handles are of one opening.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Who we are in it.
    #[must_use]
    pub fn me(&self) -> Holder {
        self.inner.participant.holder()
    }

    /// All who have joined it, and those who left or died and whose place nobody took since.
    ///
    /// # Errors
    /// What became of the region's bytes; what the system says of their locks.
    pub fn members(&self) -> Result<Vec<Member>> {
        self.inner.participant.members()
    }

    /// How many participants died without leaving, as far as anybody noticed: by finding one of
    /// their locks, or by taking their place.
    ///
    /// # Errors
    /// What became of the region's bytes.
    pub fn deaths(&self) -> Result<u64> {
        Ok(self.view().atomic_u64(at!(deaths))?.load()?)
    }

    /// Looks whether somebody has died of whom nobody has noticed it, and counts those; how many have
    /// died by now. Nothing has to wait for this: the place of the dead and what they held are found
    /// by who wants them.
    ///
    /// # Errors
    /// What became of the region's bytes; what the system says of their locks.
    pub fn notice_deaths(&self) -> Result<u64> {
        self.inner.participant.notice_deaths()?;
        self.deaths()
    }

    /// Bytes up to which it can grow.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.inner.capacity
    }

    /// Bytes that are there, for everybody. It only grows.
    ///
    /// # Errors
    /// What became of the region's bytes.
    pub fn committed(&self) -> Result<u64> {
        Ok(self.view().atomic_u64(at!(committed))?.load()?.min(self.inner.capacity))
    }

    /// Bytes in use: where the next append begins. It only grows.
    ///
    /// # Errors
    /// What became of the region's bytes.
    pub fn used(&self) -> Result<u64> {
        Ok(self.view().atomic_u64(at!(used))?.load()?)
    }

    /// Where the first byte lies that is no table of the region's own: the first append, or the first
    /// object.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.inner.directory.end()
    }

    /// The objects that have names, in the order in which they were made.
    ///
    /// # Errors
    /// `Corrupt` if an entry of the directory is none; what became of the region's bytes.
    pub fn objects(&self) -> Result<Vec<NamedObject>> {
        self.participant().check()?;
        self.inner.directory.list(self)
    }

    /// Copies bytes out. What others write meanwhile is seen in part.
    ///
    /// # Errors
    /// `OutOfBounds` for bytes that are not there (yet); what became of the region's bytes.
    pub fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        self.want(offset, bytes.len() as u64, "read")?;
        Ok(self.view().read_at(offset, bytes)?)
    }

    /// Copies bytes in: for bytes of one's own [`append`](Self::append). Nothing keeps the header,
    /// the locks and the others' bytes from being overwritten; that would be an error for all of
    /// them, and no worse.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.want(offset, bytes.len() as u64, "write")?;
        Ok(self.view().write_at(offset, bytes)?)
    }

    /// Adds bytes behind the last ones and grows for them; where they begin. Others see all of them
    /// or none.
    ///
    /// # Errors
    /// `Full` if the capacity does not suffice, or the device or the memory; otherwise those of
    /// [`Mutex::lock`].
    pub fn append(&self, bytes: &[u8]) -> Result<u64> {
        let held = self.hold()?;
        let offset = held.make_room(bytes.len() as u64, 1)?;
        let end = offset + bytes.len() as u64;
        if broken!(PublishedEarly) {
            held.publish(end)?;
        }
        self.view().write_at(offset, bytes)?;
        held.publish(end)?;
        Ok(offset)
    }

    /// Makes at least `len` bytes be there. Others see them with no call.
    ///
    /// # Errors
    /// `Full`, and nothing has changed; otherwise those of [`Mutex::lock`].
    pub fn grow_to(&self, len: u64) -> Result<()> {
        self.hold()?.grow_to(len)
    }

    /// Waits until more than `offset` bytes are in use, at most for `time`; how many are.
    ///
    /// # Errors
    /// `TimedOut`; what became of the region's bytes.
    pub fn wait_appended(&self, offset: u64, time: Duration) -> Result<u64> {
        self.participant().check()?;
        let end = std::time::Instant::now().checked_add(time);
        loop {
            let epoch = self.view().atomic_u32(at!(epoch))?.load()?;
            let used = self.used()?;
            if used > offset {
                return Ok(used);
            }
            let left = end.map(|end| end.saturating_duration_since(std::time::Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(Error::new(ErrorKind::TimedOut, "wait for an append to")
                    .of(self.label())
                    .because(format!("{used} bytes are in use, as before")));
            }
            wait::wait(self.view(), at!(epoch), epoch, left)?;
        }
    }

    /// The mutex of this name; if there is none, a new one around `value`.
    ///
    /// # Errors
    /// `LayoutMismatch` if the name stands for something else, with the difference; `Full`;
    /// `InvalidInput` for a name that is empty or too long; those of [`Mutex::lock`].
    #[expect(clippy::needless_pass_by_value, reason = "as for a mutex of std")]
    pub fn mutex<T: Shared>(&self, name: &str, value: T) -> Result<Mutex<T>> {
        let fill = |offset| Mutex::initialise(self, offset, &value);
        let object = self.object(name, Kind::Mutex, Mutex::<T>::size(), &T::SHARED_LAYOUT, fill)?;
        Ok(Mutex::at(self.clone(), &object))
    }

    /// The lock for many readers or one writer of this name; if there is none, a new one around
    /// `value`.
    ///
    /// # Errors
    /// Those of [`mutex`](Self::mutex).
    #[expect(clippy::needless_pass_by_value, reason = "as for a lock of std")]
    pub fn rwlock<T: Shared>(&self, name: &str, value: T) -> Result<RwLock<T>> {
        let size = RwLock::<T>::size(self);
        let fill = |offset| RwLock::initialise(self, offset, &value);
        let object = self.object(name, Kind::RwLock, size, &T::SHARED_LAYOUT, fill)?;
        Ok(RwLock::at(self.clone(), &object))
    }

    /// The seqlock of this name; if there is none, a new one around `value`.
    ///
    /// # Errors
    /// Those of [`mutex`](Self::mutex).
    #[expect(clippy::needless_pass_by_value, reason = "as for a lock of std")]
    pub fn seqlock<T: Shared>(&self, name: &str, value: T) -> Result<Seqlock<T>> {
        let fill = |offset| Seqlock::initialise(self, offset, &value);
        let size = Seqlock::<T>::size();
        let object = self.object(name, Kind::Seqlock, size, &T::SHARED_LAYOUT, fill)?;
        Ok(Seqlock::at(self.clone(), &object))
    }

    /// The semaphore of this name; if there is none, a new one with so many permits.
    ///
    /// # Errors
    /// `InvalidInput` for no permits, and for another number of them than it has; otherwise those
    /// of [`mutex`](Self::mutex).
    pub fn semaphore(&self, name: &str, permits: u32) -> Result<Semaphore> {
        if permits == 0 {
            return Err(Error::new(ErrorKind::InvalidInput, "make a semaphore")
                .of(name)
                .because("it needs a permit at least"));
        }
        let fill = |offset| Semaphore::initialise(self, offset, permits);
        let size = Semaphore::size(self);
        let object = self.object(name, Kind::Semaphore, size, &Semaphore::LAYOUT, fill)?;
        Semaphore::at(self.clone(), &object, name, permits)
    }

    /// The barrier of this name; if there is none, a new one for so many.
    ///
    /// # Errors
    /// `InvalidInput` for nobody, and for another number than it was made for; otherwise those of
    /// [`mutex`](Self::mutex).
    pub fn barrier(&self, name: &str, parties: u32) -> Result<Barrier> {
        if parties == 0 {
            return Err(Error::new(ErrorKind::InvalidInput, "make a barrier")
                .of(name)
                .because("somebody has to meet there"));
        }
        let fill = |offset| Barrier::initialise(self, offset, parties);
        let size = Barrier::size(self);
        let object = self.object(name, Kind::Barrier, size, &Barrier::LAYOUT, fill)?;
        Barrier::at(self.clone(), &object, name, parties)
    }

    /// The event of this name; if there is none, a new one that has not happened.
    ///
    /// # Errors
    /// Those of [`mutex`](Self::mutex).
    pub fn event(&self, name: &str) -> Result<Event> {
        let fill = |offset| Event::initialise(self, offset);
        let object = self.object(name, Kind::Event, Event::SIZE, &Event::LAYOUT, fill)?;
        Ok(Event::at(self.clone(), &object))
    }

    /// The once of this name; if there is none, a new one that nobody has done.
    ///
    /// # Errors
    /// Those of [`mutex`](Self::mutex).
    pub fn once(&self, name: &str) -> Result<Once> {
        let fill = |offset| Once::initialise(self, offset);
        let object = self.object(name, Kind::Once, Once::SIZE, &Once::LAYOUT, fill)?;
        Ok(Once::at(self.clone(), &object))
    }

    /// The condition variable of this name; if there is none, a new one.
    ///
    /// # Errors
    /// Those of [`mutex`](Self::mutex).
    pub fn condvar(&self, name: &str) -> Result<Condvar> {
        let fill = |offset| Condvar::initialise(self, offset);
        let object = self.object(name, Kind::Condvar, Condvar::SIZE, &Condvar::LAYOUT, fill)?;
        Ok(Condvar::at(self.clone(), &object))
    }

    /// Finds an object, or makes it.
    pub(crate) fn object(
        &self,
        name: &str,
        kind: Kind,
        size: u64,
        layout: &shared::Layout,
        fill: impl FnOnce(u64) -> Result<()>,
    ) -> Result<Object> {
        let find = || self.inner.directory.find(self, name, kind, size, layout);
        if let Some(object) = find()? {
            return Ok(object);
        }
        let held = self.hold()?;
        // Somebody may have made it while we waited.
        if let Some(object) = find()? {
            return Ok(object);
        }
        held.create(name, kind, size, layout, fill)
    }

    /// The slots for participants.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..self.inner.participant.slots()).map(Slot::new)
    }

    /// How long whoever is at the region's own words may take.
    pub(crate) fn patience(&self) -> Patience {
        Patience::For(self.inner.patience)
    }

    pub(crate) fn view(&self) -> &View<ReadWrite> {
        &self.inner.view
    }

    pub(crate) fn participant(&self) -> &Participant {
        &self.inner.participant
    }

    /// Writes zeros: where an object is made, one that died may have left bytes.
    pub(crate) fn zero(&self, offset: u64, size: u64) -> Result<()> {
        let zeros = [0; 4096];
        let end = offset + size;
        let mut at = offset;
        while at < end {
            let len = (end - at).min(zeros.len() as u64);
            self.view().write_at(at, &zeros[..usize::try_from(len).expect("at most a page")])?;
            at += len;
        }
        Ok(())
    }

    /// Adds to an error what it is about.
    #[cold]
    pub(crate) fn explain(&self, error: Error, offset: u64) -> Error {
        error.of(self.label()).at_offset(offset)
    }

    /// Makes sure that a range is there, also here.
    pub(crate) fn want(&self, offset: u64, size: u64, doing: &'static str) -> Result<()> {
        self.participant().check()?;
        let committed = self.committed()?;
        if offset.checked_add(size).is_none_or(|end| end > committed) {
            return Err(Error::new(ErrorKind::OutOfBounds, doing).of(self.label()).because(
                format!("asked for {size} bytes at {offset}, of {committed} that are there"),
            ));
        }
        if self.inner.growable.len() < committed {
            self.inner.growable.refresh()?;
        }
        Ok(())
    }

    /// Takes the region's own lock, and repairs what a dead owner left.
    fn hold(&self) -> Result<Held<'_>> {
        self.participant().check()?;
        let words = mutex_words(self, at!(lock_owner));
        let health = words
            .lock(self.participant(), thread_number(), self.patience())
            .map_err(|error| error.of(self.label()))?;
        let mut held = Held { region: self, words, health };
        if health != Health::Sound {
            held.repair()?;
            held.words.set_health(Health::Sound)?;
            held.health = Health::Sound;
        }
        Ok(held)
    }
}

/// The region's own lock, held.
#[derive(Debug)]
pub(crate) struct Held<'region> {
    region: &'region Region,
    words: ViewMutex<'region>,
    /// What its health word says.
    health: Health,
}

impl Held<'_> {
    /// Where `size` bytes can be written that nobody uses, behind those in use.
    fn make_room(&self, size: u64, align: u64) -> Result<u64> {
        let start = self.region.used()?.checked_next_multiple_of(align);
        let range = start.and_then(|start| Some((start, start.checked_add(size)?)));
        let Some((start, end)) = range.filter(|(_, end)| *end <= self.region.capacity()) else {
            return Err(Error::new(ErrorKind::Full, "take bytes of")
                .of(self.region.label())
                .because(format!(
                    "asked for {size} bytes; {} of {} are in use",
                    self.region.used()?,
                    self.region.capacity()
                )));
        };
        self.grow_to(end)?;
        Ok(start)
    }

    /// As [`Region::grow_to`]. Growing costs system calls, so there is always a little more.
    fn grow_to(&self, len: u64) -> Result<()> {
        let Region { inner } = self.region;
        let committed = self.region.committed()?;
        if len <= committed {
            return Ok(inner.growable.refresh().map(drop)?);
        }
        if len > inner.capacity {
            return Err(Error::new(ErrorKind::Full, "grow")
                .of(self.region.label())
                .because(format!("asked for {len} bytes, its capacity is {}", inner.capacity)));
        }
        let step = (committed / 8).clamp(64 << 10, 64 << 20);
        let generous = len.max(committed.saturating_add(step)).min(inner.capacity);
        // What does not fit with the little more may fit without.
        let grown = match inner.growable.grow_to(generous, Space::Allocate) {
            Ok(()) => generous,
            Err(_) if generous > len => {
                inner.growable.grow_to(len, Space::Allocate)?;
                len
            }
            Err(error) => return Err(error.into()),
        };
        self.region.view().atomic_u64(at!(committed))?.store(grown)?;
        self.tell()
    }

    /// Makes the bytes up to `end` be in use.
    fn publish(&self, end: u64) -> Result<()> {
        self.region.view().atomic_u64(at!(used))?.store(end)?;
        self.tell()
    }

    /// Wakes those who wait for more.
    fn tell(&self) -> Result<()> {
        self.region.view().atomic_u32(at!(epoch))?.fetch_add(1)?;
        wait::wake_all(self.region.view(), at!(epoch))?;
        Ok(())
    }

    /// Makes an object and its name: complete, or not at all.
    fn create(
        &self,
        name: &str,
        kind: Kind,
        size: u64,
        layout: &shared::Layout,
        fill: impl FnOnce(u64) -> Result<()>,
    ) -> Result<Object> {
        let region = self.region;
        let directory = &region.inner.directory;
        let place = directory.free_entry(region, name)?;
        let described = layout.describe();
        let offset = self.make_room(size.saturating_add(described.len() as u64), ALIGN)?;
        let text = offset + size;
        let object = Object { offset, size, kind };
        let end = text + described.len() as u64;
        let publish = || directory.publish(region, place, name, &object, layout, described.len());
        if broken!(NamedEarly) {
            publish()?;
            seam!();
        }
        fill(offset)?;
        region.view().write_at(text, described.as_bytes())?;
        publish()?;
        // A death here is what `repair` is for.
        seam!();
        self.publish(end)?;
        Ok(object)
    }

    /// What a dead owner may have left undone: an object that has a name and lies in bytes that
    /// do not count as used.
    fn repair(&self) -> Result<()> {
        let end = self.region.inner.directory.end_of_objects(self.region)?;
        if end > self.region.used()? && !broken!(NotRepaired) {
            self.publish(end)?;
        }
        Ok(())
    }
}

/// What objects are aligned to: no value of [`Shared`] asks for more, and two locks do not share
/// a cache line.
const ALIGN: u64 = 64;

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // As with every lock: bytes that cannot be had are nobody's any more.
        let _ = self.words.unlock(self.health);
    }
}

/// Where the header says that things are, once.
pub(crate) fn directory_of(header: &Header) -> Directory {
    Directory::new(header.directory, header.entries)
}
