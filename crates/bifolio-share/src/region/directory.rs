//! The directory of a region: which name stands for what.

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::Region;
use super::header::ENTRY_BYTES;
use crate::error::{Error, ErrorKind, Result};
use crate::shared::Layout;

/// The longest name of an object, in bytes.
pub(crate) const NAME_BYTES: usize = 80;

/// The longest description of a layout that is read, in bytes.
const LONGEST_DESCRIPTION: u64 = 64 << 10;

/// One entry. `FORMAT.md` draws it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct EntryBytes {
    /// 0: none; otherwise the kind, and the rest is complete.
    pub(crate) kind: u32,
    pub(crate) name_len: u32,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) layout: u64,
    /// The layout's description lies right behind the object.
    pub(crate) described: u64,
    pub(crate) reserved: u64,
    pub(crate) name: [u8; NAME_BYTES],
}

const _: () = assert!(size_of::<EntryBytes>() as u64 == ENTRY_BYTES);

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub(crate) enum Kind {
    /// [`Mutex`](crate::Mutex).
    Mutex,
    /// [`RwLock`](crate::RwLock).
    RwLock,
    /// [`Seqlock`](crate::Seqlock).
    Seqlock,
    /// [`Semaphore`](crate::Semaphore).
    Semaphore,
    /// [`Barrier`](crate::Barrier).
    Barrier,
    /// [`Event`](crate::Event).
    Event,
    /// [`Once`](crate::Once).
    Once,
    /// [`Condvar`](crate::Condvar).
    Condvar,
    /// [`Arena`](crate::Arena).
    Arena,
    /// [`Channel`](crate::Channel).
    Channel,
    /// [`Snapshot`](crate::Snapshot).
    Snapshot,
    /// [`HashMap`](crate::HashMap).
    HashMap,
    /// [`Vector`](crate::Vector).
    Vector,
    /// Those of a [`WritableObject`](crate::WritableObject).
    Bytes,
}

impl Kind {
    pub(crate) const ALL: [Self; 14] = [
        Self::Mutex,
        Self::RwLock,
        Self::Seqlock,
        Self::Semaphore,
        Self::Barrier,
        Self::Event,
        Self::Once,
        Self::Condvar,
        Self::Arena,
        Self::Channel,
        Self::Snapshot,
        Self::HashMap,
        Self::Vector,
        Self::Bytes,
    ];

    pub(crate) fn word(self) -> u32 {
        match self {
            Self::Mutex => 1,
            Self::RwLock => 2,
            Self::Seqlock => 3,
            Self::Semaphore => 4,
            Self::Barrier => 5,
            Self::Event => 6,
            Self::Once => 7,
            Self::Condvar => 8,
            Self::Arena => 9,
            Self::Channel => 10,
            Self::Snapshot => 11,
            Self::HashMap => 12,
            Self::Vector => 13,
            Self::Bytes => 14,
        }
    }

    fn of(word: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Mutex => "a mutex",
            Self::RwLock => "a lock for readers and writers",
            Self::Seqlock => "a seqlock",
            Self::Semaphore => "a semaphore",
            Self::Barrier => "a barrier",
            Self::Event => "an event",
            Self::Once => "a once",
            Self::Condvar => "a condition variable",
            Self::Arena => "an arena",
            Self::Channel => "a channel",
            Self::Snapshot => "a snapshot",
            Self::HashMap => "a hash map",
            Self::Vector => "a vector",
            Self::Bytes => "bytes",
        }
    }
}

/// Where a named object lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) kind: Kind,
}

/// An object and its name, from a region's list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamedObject {
    /// Its name. Bytes that are no text were written by no version of this crate, and are replaced.
    pub name: String,
    /// What it is: `"a mutex"`.
    pub kind: &'static str,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its bytes, those of its lock included.
    pub size: u64,
}

/// The directory of a region. Entries are added, never changed, and never removed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Directory {
    start: u64,
    entries: u32,
}

impl Directory {
    pub(crate) fn new(start: u64, entries: u32) -> Self {
        Self { start, entries }
    }

    fn places(self) -> impl Iterator<Item = u64> {
        (0..u64::from(self.entries)).map(move |number| self.start + number * ENTRY_BYTES)
    }

    /// The object of this name, if it is of this kind and size, and made for this layout.
    pub(crate) fn find(
        self,
        region: &Region,
        name: &str,
        kind: Kind,
        size: u64,
        layout: &Layout,
    ) -> Result<Option<Object>> {
        const DOING: &str = "find";
        check_name(name)?;
        for place in self.places() {
            let Some(entry) = read(region, place)? else { break };
            if entry.name_bytes() != name.as_bytes() {
                continue;
            }
            let found = entry.object(region, name)?;
            // Others may have grown the region for it.
            region.want(found.offset, found.size + entry.described, DOING)?;
            if found.kind != kind {
                return Err(Error::new(ErrorKind::LayoutMismatch, DOING)
                    .of(name)
                    .because(format!("it is {}, not {}", found.kind.as_str(), kind.as_str())));
            }
            if entry.layout != layout.hash() {
                let described = entry.described.min(LONGEST_DESCRIPTION);
                let text = found.offset + found.size;
                let stored = region.view().read_vec(text..text + described)?;
                let stored = String::from_utf8_lossy(&stored);
                let why = layout
                    .difference(&stored)
                    .unwrap_or_else(|| "its layout has another number".to_owned());
                return Err(Error::new(ErrorKind::LayoutMismatch, DOING).of(name).because(why));
            }
            if found.size != size {
                let why = format!("it has {} bytes, where this one takes {size}", found.size);
                return Err(Error::new(ErrorKind::LayoutMismatch, DOING).of(name).because(why));
            }
            return Ok(Some(found));
        }
        Ok(None)
    }

    /// Behind its last entry.
    pub(crate) fn end(self) -> u64 {
        self.start + u64::from(self.entries) * ENTRY_BYTES
    }

    /// All that has a name.
    pub(crate) fn list(self, region: &Region) -> Result<Vec<NamedObject>> {
        let mut all = Vec::new();
        for place in self.places() {
            let Some(entry) = read(region, place)? else { break };
            let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
            let Object { offset, size, kind } = entry.object(region, &name)?;
            all.push(NamedObject { name, kind: kind.as_str(), offset, size });
        }
        Ok(all)
    }

    /// The place of a new entry.
    pub(crate) fn free_entry(self, region: &Region, name: &str) -> Result<u64> {
        check_name(name)?;
        for place in self.places() {
            if region.view().atomic_u32(place)?.load()? == 0 {
                return Ok(place);
            }
        }
        Err(Error::new(ErrorKind::Full, "name an object")
            .of(name)
            .because(format!("all {} names of the region are in use", self.entries)))
    }

    /// Writes an entry, its kind last: from then on everybody finds it.
    pub(crate) fn publish(
        self,
        region: &Region,
        place: u64,
        name: &str,
        object: &Object,
        layout: &Layout,
        described: usize,
    ) -> Result<()> {
        let mut entry = EntryBytes {
            kind: 0,
            name_len: u32::try_from(name.len()).expect("a checked name"),
            offset: object.offset,
            size: object.size,
            layout: layout.hash(),
            described: described as u64,
            reserved: 0,
            name: [0; NAME_BYTES],
        };
        entry.name[..name.len()].copy_from_slice(name.as_bytes());
        region.view().write_at(place, entry.as_bytes())?;
        Ok(region.view().atomic_u32(place)?.store(object.kind.word())?)
    }

    /// Where the last named object ends.
    pub(crate) fn end_of_objects(self, region: &Region) -> Result<u64> {
        let mut end = 0;
        for place in self.places() {
            let Some(entry) = read(region, place)? else { break };
            let object = entry.object(region, "the directory")?;
            end = end.max(object.offset + object.size + entry.described);
        }
        Ok(end)
    }
}

/// The entry at a place; `None` where none was made.
fn read(region: &Region, place: u64) -> Result<Option<EntryBytes>> {
    // Loaded first, and with acquire: what it says is complete, is.
    if region.view().atomic_u32(place)?.load()? == 0 {
        return Ok(None);
    }
    Ok(Some(region.view().get(place)?))
}

impl EntryBytes {
    fn name_bytes(&self) -> &[u8] {
        let len = usize::try_from(self.name_len).unwrap_or(usize::MAX).min(NAME_BYTES);
        &self.name[..len]
    }

    /// What it leads to, if that lies inside.
    fn object(&self, region: &Region, name: &str) -> Result<Object> {
        let wrong = |why: String| Err(Error::new(ErrorKind::Corrupt, "find").of(name).because(why));
        let Some(kind) = Kind::of(self.kind) else {
            return wrong(format!("it is of kind {}, which this program does not know", self.kind));
        };
        let end =
            self.offset.checked_add(self.size).and_then(|end| end.checked_add(self.described));
        if end.is_none_or(|end| end > region.capacity())
            || !self.offset.is_multiple_of(super::ALIGN)
        {
            return wrong(format!("it is said to be {} bytes at {}", self.size, self.offset));
        }
        Ok(Object { offset: self.offset, size: self.size, kind })
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_BYTES {
        return Err(Error::new(ErrorKind::InvalidInput, "name an object")
            .of(name)
            .because(format!("a name has 1 to {NAME_BYTES} bytes, this one {}", name.len())));
    }
    Ok(())
}
