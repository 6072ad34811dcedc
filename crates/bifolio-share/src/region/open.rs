//! Opening and creating regions.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bifolio_map::names::{Lifetime, Name, Scope};
use bifolio_map::{
    Access, Create, FileLock, LockKind, Patience, ReadWrite, Section, SectionOptions, View,
};
use std::sync::Arc;
use zerocopy::IntoBytes;

use super::header::{HEADER_BYTES, Header, MAGIC, MAX_ENTRIES, at};
use super::{Inner, Region, directory_of};
use crate::error::{Error, ErrorKind, Result};
use crate::participant::{MAX_SLOTS, Participant, SLOT_BYTES, Table};

/// The byte whose lock says who makes a region out of zeros. Those of participants follow it.
const TURN: std::ops::Range<u64> = (1 << 40) - 1..1 << 40;

/// How long somebody else may take to make a region. It takes microseconds; who is stopped in the
/// middle of it must not stop everybody.
const LONGEST_TURN: Duration = Duration::from_secs(10);

/// How long whoever holds one of the region's own locks may take. As with a turn it is microseconds,
/// unless much space is allocated.
const LONGEST_HOLD: Duration = Duration::from_secs(10);

/// How to open or create a [`Region`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RegionOptions {
    section: SectionOptions,
    create: Create,
    capacity: u64,
    participants: u32,
    names: u32,
    label: Option<String>,
    patience: Duration,
}

impl Default for RegionOptions {
    /// 1 GiB of capacity, of which a page or two are there; 128 participants, 64 names.
    fn default() -> Self {
        Self {
            section: Section::options().access(Access::ReadWrite),
            create: Create::Never,
            capacity: 1 << 30,
            participants: 128,
            names: 64,
            label: None,
            patience: LONGEST_HOLD,
        }
    }
}

impl RegionOptions {
    /// Whether it may or must be new: [`Create::Never`] unless said otherwise.
    pub fn create(mut self, create: Create) -> Self {
        self.create = create;
        self
    }

    /// Bytes up to which a new region can grow. They are addresses, not memory: a terabyte is
    /// reasonable on a 64-bit machine.
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = bytes;
        self
    }

    /// How many can take part in a new region at a time: 1 to 4096. Each costs 128 bytes.
    pub fn participants(mut self, count: u32) -> Self {
        self.participants = count;
        self
    }

    /// How many objects of a new region can have names: up to 65,536. Each costs 128 bytes.
    pub fn names(mut self, count: u32) -> Self {
        self.names = count;
        self
    }

    /// What this participant calls itself in lists: at most 64 bytes of it are kept. The name of
    /// the program unless said otherwise.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// How long a call may wait for another participant that is stopped, not dead, in the middle of
    /// growth, an append, or a look at the counts of a semaphore or a barrier, which take
    /// microseconds: 10 s unless said otherwise. Then it is `TimedOut`. Locks and permits that
    /// participants hold are waited for as the call says, without regard to this.
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// Who shares the names of [`named`](Self::named) regions: the session unless said otherwise.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.section = self.section.scope(scope);
        self
    }

    /// When the name of a new named region goes: with its last participant unless said otherwise.
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.section = self.section.lifetime(lifetime);
        self
    }

    /// The permission bits of a new region on Unix: 0o600 unless said otherwise.
    pub fn permissions(mut self, bits: u32) -> Self {
        self.section = self.section.permissions(bits);
        self
    }

    /// Opens or creates the region in the file at `path`, and joins it.
    ///
    /// # Errors
    /// `NotFound`, also for a file of zeros, which is a region that its creator did not live to
    /// make; `AlreadyExists`; `Corrupt`, `WrongVersion`; `TooMany` participants; `Full` for a
    /// device without space; `InvalidInput` for sizes that cannot be; otherwise those of
    /// [`SectionOptions::open`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Region> {
        let path = path.as_ref();
        self.join_section(self.wanted()?.open(path), path)
    }

    /// Opens or creates the region of this name, and joins it.
    ///
    /// # Errors
    /// Those of [`open`](Self::open) and [`SectionOptions::named`]. On Windows `NotSupported` for a
    /// region that goes with its last participant: that is memory of the page file, which has no
    /// bytes whose locks could tell who lives. One of [`Lifetime::Persistent`] is a file.
    pub fn named(&self, name: &Name) -> Result<Region> {
        self.join_section(self.wanted()?.named(name), Path::new(name.as_str()))
    }

    fn wanted(&self) -> Result<SectionOptions> {
        let refuse = |why| Err(Error::new(ErrorKind::InvalidInput, "create a region").because(why));
        if !(1..=MAX_SLOTS).contains(&self.participants) {
            return refuse(format!("1 to {MAX_SLOTS} can take part, not {}", self.participants));
        }
        if self.names > MAX_ENTRIES {
            return refuse(format!("at most {MAX_ENTRIES} names, not {}", self.names));
        }
        let tables = Header::least(self.participants, self.names);
        if self.capacity < tables {
            return refuse(format!("its own tables take {tables} bytes of {}", self.capacity));
        }
        // A region that was begun and not made is none: who wants a new one makes it.
        let create = match self.create {
            Create::Never => Create::Never,
            Create::New | Create::IfMissing => Create::IfMissing,
        };
        Ok(self.section.clone().create(create).len(self.least()).capacity(self.capacity))
    }

    fn least(&self) -> u64 {
        let page = bifolio_map::page_size() as u64;
        Header::least(self.participants, self.names).next_multiple_of(page).min(self.capacity)
    }

    fn join_section(&self, section: bifolio_map::Result<Section>, what: &Path) -> Result<Region> {
        let section = section?;
        let label = section.path().unwrap_or(what).to_path_buf();
        let about = |error: Error| if error.what().is_none() { error.of(&label) } else { error };
        self.make(&section).map_err(about)?;
        self.join(&section, &label).map_err(about)
    }

    /// Makes a region of a section of zeros, if that is what is wanted.
    pub(crate) fn make(&self, section: &Section) -> Result<()> {
        let len = section.len()?;
        if len < HEADER_BYTES {
            let why = format!("it has {len} bytes, a region begins with {HEADER_BYTES}");
            return Err(Error::new(ErrorKind::Corrupt, "open the region").because(why));
        }
        let front: View<ReadWrite> = section.view_of(..HEADER_BYTES)?;
        let magic = front.atomic_u64(at!(magic))?;
        let taken = || Err(Error::new(ErrorKind::AlreadyExists, "create the region"));
        if magic.load()? != 0 {
            return if self.create == Create::New { taken() } else { Ok(()) };
        }
        let lock = FileLock::of_section(section)?;
        let _turn = lock.lock(TURN, LockKind::Exclusive, Patience::For(LONGEST_TURN))?;
        if magic.load()? != 0 {
            return if self.create == Create::New { taken() } else { Ok(()) };
        }
        if self.create == Create::Never {
            return Err(Error::new(ErrorKind::NotFound, "open the region")
                .because("it is all zeros: whoever began to make it did not live to the end"));
        }
        let least = Header::least(self.participants, self.names);
        if len < least {
            // Begun by somebody who wanted less.
            section.set_len(least, bifolio_map::Space::Allocate)?;
        }
        let committed = section.len()?.min(self.capacity);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let header = Header::new(self.capacity, committed, self.participants, self.names, now);
        if broken!(MagicFirst) {
            magic.store(MAGIC)?;
            seam!();
            return Ok(front.write_at(8, &header.as_bytes()[8..])?);
        }
        front.write_at(0, header.as_bytes())?;
        magic.store(MAGIC)?;
        Ok(())
    }

    fn join(&self, section: &Section, label: &Path) -> Result<Region> {
        let front: View<ReadWrite> = section.view_of(..HEADER_BYTES)?;
        let header = Header::read(&front, section.len()?)?;
        let growable = section.growable::<ReadWrite>(header.capacity)?;
        let view = growable.whole()?;
        let slots = header.slots;
        let table = HEADER_BYTES..HEADER_BYTES + u64::from(slots) * SLOT_BYTES;
        let table = Table::new(view.sub(table)?, slots);
        let first = view.atomic_u32(at!(next_slot))?.fetch_add(1)?;
        let lock = FileLock::of_section(section)?;
        let name = self.label.clone().unwrap_or_else(program);
        let deaths = view.sub(at!(deaths)..at!(deaths) + 8)?;
        let participant = Participant::join(table, lock, first, &name, deaths)?;
        let inner = Inner {
            participant,
            view,
            growable,
            label: label.to_path_buf(),
            capacity: header.capacity,
            directory: directory_of(&header),
            patience: self.patience,
        };
        Ok(Region { inner: Arc::new(inner) })
    }
}

/// The name of this program.
fn program() -> String {
    let path = std::env::current_exe().ok();
    let name = path.as_deref().and_then(Path::file_name);
    name.map_or_else(|| "?".to_owned(), |name| name.to_string_lossy().into_owned())
}
