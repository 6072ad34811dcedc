//! The first page of a region, as bytes. `FORMAT.md` draws it.

use bifolio_map::{ReadWrite, View};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::error::{Error, ErrorKind, Result};
use crate::participant::{MAX_SLOTS, SLOT_BYTES};

/// What a region begins with once it is complete: "BIFOREG" and a zero, as a machine of little
/// endian reads them. Until then the word is zero.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(super::Region::MAGIC);

/// The version of the format.
pub(crate) const VERSION: u32 = 1;

/// Bytes of the header, whatever the machine's page is.
pub(crate) const HEADER_BYTES: u64 = 4096;

/// Bytes of an entry of the directory.
pub(crate) const ENTRY_BYTES: u64 = 128;

/// How many entries a directory can have.
pub(crate) const MAX_ENTRIES: u32 = 1 << 16;

/// The header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) magic: u64,
    pub(crate) version: u32,
    /// Slots for participants.
    pub(crate) slots: u32,
    /// Bytes up to which it can grow.
    pub(crate) capacity: u64,
    /// Bytes that are there, for all; only grows.
    pub(crate) committed: u64,
    /// Bytes in use; only grows, and never beyond those that are there.
    pub(crate) used: u64,
    /// Where the directory begins; the participants' table ends there.
    pub(crate) directory: u64,
    /// Entries of the directory.
    pub(crate) entries: u32,
    /// Counts growth and appends, for those who wait for them.
    pub(crate) epoch: u32,
    /// The slot where the next one who joins begins to look.
    pub(crate) next_slot: u32,
    pub(crate) reserved: u32,
    /// The lock of growth, appends and the directory: a mutex without a value.
    pub(crate) lock_owner: u64,
    pub(crate) lock_health: u32,
    pub(crate) lock_reserved: u32,
    /// When it was made, in nanoseconds since 1970.
    pub(crate) created: u64,
    /// Participants that died without leaving, as far as they were noticed.
    pub(crate) deaths: u64,
}

/// The place of a field in the header.
macro_rules! at {
    ($field:ident) => {
        std::mem::offset_of!(crate::region::header::Header, $field) as u64
    };
}
pub(crate) use at;

const _: () = assert!(size_of::<Header>() as u64 <= HEADER_BYTES);

impl Header {
    /// The header of a new region, complete but for its magic word.
    pub(crate) fn new(capacity: u64, committed: u64, slots: u32, entries: u32, now: u64) -> Self {
        let directory = HEADER_BYTES + u64::from(slots) * SLOT_BYTES;
        Self {
            magic: 0,
            version: VERSION,
            slots,
            capacity,
            committed,
            used: directory + u64::from(entries) * ENTRY_BYTES,
            directory,
            entries,
            epoch: 0,
            next_slot: 0,
            reserved: 0,
            lock_owner: 0,
            lock_health: 0,
            lock_reserved: 0,
            created: now,
            deaths: 0,
        }
    }

    /// Bytes that a region needs before anybody puts something in.
    pub(crate) fn least(slots: u32, entries: u32) -> u64 {
        HEADER_BYTES + u64::from(slots) * SLOT_BYTES + u64::from(entries) * ENTRY_BYTES
    }

    /// Reads the header of what may be anything, and says what is wrong with it. `len` is how long
    /// the section is.
    pub(crate) fn read(view: &View<ReadWrite>, len: u64) -> Result<Self> {
        let wrong = |kind, why: String| Err(Error::new(kind, "open the region").because(why));
        let header: Self = view.get(0)?;
        if header.magic != MAGIC {
            return if header.magic == MAGIC.swap_bytes() {
                let why = "it was made on a machine of the other byte order";
                wrong(ErrorKind::WrongVersion, why.to_owned())
            } else {
                wrong(ErrorKind::Corrupt, format!("it begins with {:#018x}", header.magic))
            };
        }
        if header.version != VERSION {
            let why = format!("it has version {}, this program reads {VERSION}", header.version);
            return wrong(ErrorKind::WrongVersion, why);
        }
        if let Some(why) = header.contradiction(len) {
            return wrong(ErrorKind::Corrupt, why);
        }
        Ok(header)
    }

    /// The first thing in the header that cannot be.
    fn contradiction(&self, len: u64) -> Option<String> {
        let Self { slots, entries, directory, capacity, committed, used, .. } = *self;
        if !(1..=MAX_SLOTS).contains(&slots) || entries > MAX_ENTRIES {
            return Some(format!("it claims {slots} slots and {entries} names"));
        }
        if directory != HEADER_BYTES + u64::from(slots) * SLOT_BYTES {
            return Some(format!("its directory is said to be at {directory}"));
        }
        let least = Self::least(slots, entries);
        if !(least <= used && used <= committed && committed <= capacity) {
            return Some(format!(
                "{used} bytes in use of {committed} bytes of {capacity}, where {least} is the least"
            ));
        }
        (committed > len).then(|| format!("it claims {committed} bytes and has {len}"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row of a table of words: name, offset, size.
    pub(crate) fn row(name: &str, at: u64, size: usize) -> (String, u64, usize) {
        (name.to_owned(), at, size)
    }

    /// The table of words under a heading of the page.
    pub(crate) fn page(heading: &str) -> Vec<(String, u64, usize)> {
        rows(heading).into_iter().map(|(at, size, name)| (name, at as u64, size)).collect()
    }

    /// The rows of the table under a heading: offset, size and name.
    pub(crate) fn rows(heading: &str) -> Vec<(usize, usize, String)> {
        let page = include_str!("../../FORMAT.md");
        let section = page.split("\n## ").find(|section| section.starts_with(heading));
        let rows = section.expect("the heading").lines().filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [_, offset, size, name, ..] = cells[..] else { return None };
            Some((offset.parse().ok()?, size.parse().ok()?, name.trim_matches('`').to_owned()))
        });
        rows.collect()
    }

    macro_rules! fields {
        ($type:ty: $($field:ident)*) => {
            vec![$((
                std::mem::offset_of!($type, $field),
                size_of_field(|value: &$type| size_of_val(&value.$field)),
                stringify!($field).to_owned(),
            )),*]
        };
    }

    fn size_of_field<T: FromBytes>(size: impl Fn(&T) -> usize) -> usize {
        size(&T::new_zeroed())
    }

    #[test]
    fn the_structs_lie_as_the_page_says() {
        use crate::participant::SlotBytes;
        use crate::region::directory::EntryBytes;
        let header = fields!(Header: magic version slots capacity committed used directory entries
            epoch next_slot reserved lock_owner lock_health lock_reserved created deaths);
        assert_eq!(rows("Header"), header);
        let slot = fields!(SlotBytes: occupancy pid started namespace joined reserved label);
        assert_eq!(rows("Participant"), slot);
        let entry = fields!(EntryBytes: kind name_len offset size layout described reserved name);
        assert_eq!(rows("Name"), entry);
        let mutex: Vec<_> = rows("Mutex").into_iter().map(|(at, size, _)| (at, size)).collect();
        assert_eq!(mutex, [(0, 8), (8, 4), (12, 4)]);
    }

    fn sound() -> Header {
        Header { magic: MAGIC, ..Header::new(1 << 20, 1 << 16, 16, 8, 0) }
    }

    #[test]
    fn a_new_header_contradicts_nothing() {
        assert_eq!(sound().contradiction(1 << 16), None);
    }

    #[test]
    fn each_claim_that_cannot_be_is_named() {
        let cases: &[fn(&mut Header)] = &[
            |header| header.slots = 0,
            |header| header.slots = MAX_SLOTS + 1,
            |header| header.entries = MAX_ENTRIES + 1,
            |header| header.directory += 8,
            |header| header.used = 0,
            |header| header.used = header.committed + 1,
            |header| header.committed = header.capacity + 1,
            |header| header.committed = (1 << 16) + 1,
            |header| header.used = u64::MAX,
        ];
        for (case, change) in cases.iter().enumerate() {
            let mut header = sound();
            change(&mut header);
            assert!(header.contradiction(1 << 16).is_some(), "case {case}");
        }
    }
}
