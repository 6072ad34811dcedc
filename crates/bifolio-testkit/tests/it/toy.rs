//! The protocol under test: a file with two header slots, in a correct form and with seeded bugs.
//!
//! ```text
//! 0        1024     2048     6144     10240    14336    18432
//! | slot A | slot B | page 0 | page 1 | page 2 | page 3 |
//!
//! slot:  number u64 | zeros to 512 | page u64 | checksum u64 | zeros
//! ```
//!
//! A slot spans two sectors, so that it can be torn; a page has no checksum, so that its order
//! against the slot matters. A commit writes a page that no valid slot of its predecessor names,
//! syncs, writes the slot that holds the older number, and syncs. The newest slot whose checksum
//! is right is the state. Opening repairs a broken slot by copying the good one over it.

use std::path::{Path, PathBuf};

use bifolio_map::storage::{OpenMode, Replace, Storage, StorageFile};
use bifolio_map::{Error, ErrorKind, Flush, Result, Space};
use bifolio_testkit::seeded_bugs;

seeded_bugs! {
    /// What can be wrong with the toy.
    pub(crate) enum Bug {
        /// Nothing is ever synced.
        NoSync,
        /// The page and its slot share one sync.
        NoSyncBeforeSlot,
        /// The commit returns before the slot is durable.
        NoSyncAfterSlot,
        /// The slot is durable before the page that it names.
        SlotBeforeData,
        /// Write-back is only started.
        OnlyStarted,
        /// The slot alone is flushed.
        FlushedTooLittle,
        /// A torn slot is taken for a good one.
        NoChecksum,
        /// The newest slot is overwritten in place.
        SingleSlot,
        /// The commit is acknowledged before its last sync.
        AcknowledgedEarly,
        /// The page of the newest slot is used for the next commit.
        PageReusedEarly,
        /// The new file gets its name without a sync of the directory.
        NoSyncOfDirectory,
        /// The new file gets its name before its bytes are durable.
        NamedBeforeSync,
        /// The repair takes the good slot apart to put it together again.
        RepairBreaksTheGoodSlot,
        /// After a failed sync it syncs once more through another handle and goes on.
        SyncsAgainAfterFailure,
        /// The outcome of a write is not looked at.
        IgnoresFailedWrites,
        /// The outcome of a sync is not looked at.
        IgnoresFailedSyncs,
        /// A handle that has failed is used as if nothing had happened.
        GoesOnAfterFailure,
        /// What an interrupted creation made is never removed.
        LeavesTheUnfinished,
    }
}

/// The file and its name while it is made.
const NAME: &str = "toy";
const NEW_NAME: &str = "toy.new";

const SLOT_SIZE: usize = 1024;
const PAGE_SIZE: usize = 4096;
const PAGES: u64 = 4;
const SLOTS_SIZE: u64 = 2 * SLOT_SIZE as u64;
const FILE_SIZE: u64 = SLOTS_SIZE + PAGES * PAGE_SIZE as u64;

/// How the bytes get into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Through {
    Calls,
    AMap,
}

/// What the protocol tells those who want to check it.
pub(crate) trait Witness {
    fn begun(&self, number: u64);
    fn acknowledged(&self, number: u64);
}

/// An open toy.
pub(crate) struct Toy {
    file: Box<dyn StorageFile>,
    path: PathBuf,
    through: Through,
    newest: Slot,
    health: Health,
}

/// A failure is final for a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Sound,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    number: u64,
    page: u64,
}

/// The bytes that commit `number` writes.
pub(crate) fn payload(number: u64) -> Vec<u8> {
    let words = (0..PAGE_SIZE as u64 / 8).map(|index| (number << 32 | index) ^ 0x5a5a_5a5a);
    words.flat_map(u64::to_le_bytes).collect()
}

fn checksum(number: u64, page: u64) -> u64 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ page).wrapping_mul(0xff51_afd7_ed55_8ccd) | 1
}

impl Slot {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![0; SLOT_SIZE];
        bytes[0..8].copy_from_slice(&self.number.to_le_bytes());
        bytes[512..520].copy_from_slice(&self.page.to_le_bytes());
        bytes[520..528].copy_from_slice(&checksum(self.number, self.page).to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes of a slot"))
        };
        let slot = Self { number: word(0), page: word(512) };
        let right = checksum(slot.number, slot.page) == word(520) || Bug::NoChecksum.is_on();
        (right && slot.number > 0 && slot.page < PAGES).then_some(slot)
    }

    /// Where the slot of this number lies.
    fn place(number: u64) -> u64 {
        if Bug::SingleSlot.is_on() { 0 } else { number % 2 * SLOT_SIZE as u64 }
    }
}

impl Toy {
    /// Makes the file in a directory, complete or not at all, with commit 1 in it.
    pub(crate) fn create(
        storage: &dyn Storage,
        dir: &Path,
        witness: &dyn Witness,
        through: Through,
    ) -> Result<Self> {
        witness.begun(1);
        let (path, new_path) = (dir.join(NAME), dir.join(NEW_NAME));
        let file = storage.open(&new_path, OpenMode::CreateNew)?;
        file.set_len(FILE_SIZE, Space::Allocate)?;
        let newest = Slot { number: 1, page: 0 };
        file.write_at(page_offset(0), &payload(1))?;
        file.write_at(Slot::place(1), &newest.to_bytes())?;
        if !Bug::NamedBeforeSync.is_on() {
            sync(&*file)?;
        }
        storage.rename(&new_path, &path, Replace::Never)?;
        if !Bug::NoSyncOfDirectory.is_on() && !Bug::NoSync.is_on() {
            storage.sync_dir(dir)?;
        }
        witness.acknowledged(1);
        Ok(Self { file, path, through, newest, health: Health::Sound })
    }

    /// Opens the file after whatever happened; `None` if it was never made.
    pub(crate) fn open(
        storage: &dyn Storage,
        dir: &Path,
        through: Through,
    ) -> Result<Option<Self>> {
        let path = dir.join(NAME);
        let file = match storage.open(&path, OpenMode::ReadWrite) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                discard_the_unfinished(storage, dir)?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let mut slots = [None; 2];
        for (place, slot) in [0, SLOT_SIZE as u64].into_iter().zip(&mut slots) {
            let mut bytes = [0; SLOT_SIZE];
            file.read_exact_at(place, &mut bytes)?;
            *slot = Slot::from_bytes(&bytes);
        }
        let newest = slots.into_iter().flatten().max_by_key(|slot| slot.number);
        let Some(newest) = newest else {
            return Err(Error::new(ErrorKind::Corrupt, "open").at_path(&path).because("no slot"));
        };
        let toy = Self { file, path, through, newest, health: Health::Sound };
        if slots.contains(&None) && newest.number > 1 {
            toy.repair()?;
        }
        // What was found must be durable before anything is built on it.
        sync(&*toy.file)?;
        Ok(Some(toy))
    }

    /// Puts the newest slot in the place of a broken one too.
    fn repair(&self) -> Result<()> {
        if Bug::RepairBreaksTheGoodSlot.is_on() {
            let good = Slot::place(self.newest.number);
            self.file.write_at(good, &[0; SLOT_SIZE])?;
            sync(&*self.file)?;
            return self.file.write_at(good, &self.newest.to_bytes());
        }
        self.file.write_at(Slot::place(self.newest.number + 1), &self.newest.to_bytes())
    }

    /// The number of the newest commit.
    pub(crate) fn number(&self) -> u64 {
        self.newest.number
    }

    /// The bytes of the newest commit.
    pub(crate) fn read(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; PAGE_SIZE];
        self.file.read_exact_at(page_offset(self.newest.page), &mut bytes)?;
        Ok(bytes)
    }

    /// Makes the next commit.
    pub(crate) fn commit(&mut self, storage: &dyn Storage, witness: &dyn Witness) -> Result<()> {
        if self.health == Health::Failed {
            return Err(Error::new(ErrorKind::Poisoned, "commit").at_path(&self.path));
        }
        let number = self.newest.number + 1;
        witness.begun(number);
        let result = self.write_commit(number, storage, witness);
        if result.is_err() && !Bug::GoesOnAfterFailure.is_on() {
            self.health = Health::Failed;
        }
        result
    }

    fn write_commit(
        &mut self,
        number: u64,
        storage: &dyn Storage,
        witness: &dyn Witness,
    ) -> Result<()> {
        let step = u64::from(!Bug::PageReusedEarly.is_on());
        let page = (self.newest.page + step) % PAGES;
        let slot = Slot { number, page };
        let data = (page_offset(page), payload(number));
        let head = (Slot::place(number), slot.to_bytes());
        let order = if Bug::SlotBeforeData.is_on() { [&head, &data] } else { [&data, &head] };
        for (index, (offset, bytes)) in order.into_iter().enumerate() {
            self.put(*offset, bytes)?;
            if index == 0 && Bug::NoSyncBeforeSlot.is_on() {
                continue;
            }
            if index == 1 && Bug::AcknowledgedEarly.is_on() {
                witness.acknowledged(number);
            }
            if index == 1 && Bug::NoSyncAfterSlot.is_on() {
                continue;
            }
            self.sync_range(*offset, bytes.len() as u64, storage)?;
        }
        witness.acknowledged(number);
        self.newest = slot;
        Ok(())
    }

    fn put(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let result = match self.through {
            Through::Calls => self.file.write_at(offset, bytes),
            Through::AMap => self.file.store_map(0..FILE_SIZE)?.write_at(offset, bytes),
        };
        if Bug::IgnoresFailedWrites.is_on() { Ok(()) } else { result }
    }

    fn sync_range(&self, offset: u64, size: u64, storage: &dyn Storage) -> Result<()> {
        if Bug::FlushedTooLittle.is_on() {
            let slots = 0..SLOTS_SIZE;
            return self.file.store_map(0..FILE_SIZE)?.flush(slots, Flush::Data);
        }
        let result = match self.through {
            Through::AMap if !Bug::NoSync.is_on() && !Bug::OnlyStarted.is_on() => {
                let map = self.file.store_map(0..FILE_SIZE)?;
                map.flush(offset..offset + size, Flush::Data)
            }
            _ => sync(&*self.file),
        };
        if result.is_err() && Bug::SyncsAgainAfterFailure.is_on() {
            return sync(&*storage.open(&self.path, OpenMode::ReadWrite)?);
        }
        if Bug::IgnoresFailedSyncs.is_on() { Ok(()) } else { result }
    }
}

/// Removes what an interrupted creation left.
fn discard_the_unfinished(storage: &dyn Storage, dir: &Path) -> Result<()> {
    if Bug::LeavesTheUnfinished.is_on() {
        return Ok(());
    }
    match storage.unlink(&dir.join(NEW_NAME)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn page_offset(page: u64) -> u64 {
    SLOTS_SIZE + page * PAGE_SIZE as u64
}

fn sync(file: &dyn StorageFile) -> Result<()> {
    if Bug::NoSync.is_on() {
        return Ok(());
    }
    file.sync(if Bug::OnlyStarted.is_on() { Flush::Start } else { Flush::Data })
}
