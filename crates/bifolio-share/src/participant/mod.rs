//! Participants: the processes that have joined a region, and which of them live.
//!
//! Nobody can be asked whether a process lives, but the kernel. So each participant holds a lock
//! that the kernel takes away from the dead, however they died: an exclusive lock of one byte of the
//! region's file, at 2^40 + slot, far behind its last one. A slot is given out again and again,
//! each time with the next generation; locks name slot *and* generation, so that what the
//! dead left behind is never taken for their successor's.
//!
//! ```text
//!                   byte taken,                      byte let go
//!            ┌───▶ next generation ──▶ JOINED ────────────────────▶ LEFT ──┐
//!            │                           │  died: the kernel lets go       │
//!            │                           ▼  of the byte, others find out   │
//!            │                          DIED                               │
//!            └───────────────────────────┴─────────────────────────────────┘
//! ```
//!
//! Who asks whether another one lives asks through an opening of its own, since an opening's own
//! locks do not stand in its way and would look free. Asking costs one system call, about 230 ns,
//! and happens only where somebody has waited in vain, and in lists.
//!
//! A forked child has a copy of everything here and is not a participant: all of it fails with
//! `Forked` there, until the child joins for itself. It does keep the opening, and so the byte, of
//! its parent, and until it ends or executes another program the kernel says that the parent
//! lives. Therefore process number, start time and PID namespace are in the table too: a process
//! of our own namespace that has ended is dead, whoever holds its byte.

mod holder;
mod table;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bifolio_map::process::{ProcessId, ProcessMark, ProcessState};
use bifolio_map::{FileLock, LockKind, LockState, OwnedLockGuard, Patience, ReadWrite, View};

pub use holder::{Holder, MAX_SLOTS, Slot};
pub(crate) use table::{LABEL_BYTES, SLOT_BYTES, SlotBytes, Table};

use crate::error::{Error, ErrorKind, Result};
use crate::word::Peers;
use holder::LAST_GENERATION;
use table::{Occupancy, State};

/// The first of the bytes whose locks say who lives: no file reaches it.
const FIRST_BYTE: u64 = 1 << 40;

fn byte_of(slot: Slot) -> std::ops::Range<u64> {
    let byte = FIRST_BYTE + u64::from(slot.number());
    byte..byte + 1
}

/// This process in a region. It leaves when the last clone of its owner is dropped.
#[derive(Debug)]
pub(crate) struct Participant {
    table: Table,
    holder: Holder,
    /// Before the lock's own opening, which it needs when it goes.
    byte: Option<OwnedLockGuard>,
    /// Another opening of the same file, for asking.
    ask: FileLock,
    mark: ProcessMark,
    /// Where deaths are counted.
    deaths: View<ReadWrite>,
}

/// A participant as others see it; from a region's list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Its slot and generation.
    pub holder: Holder,
    /// Whether it lives.
    pub life: Life,
    /// The process that it is, or was.
    pub process: ProcessId,
    /// What it calls itself; the name of its program unless it said something else.
    pub label: String,
    /// When it joined.
    pub joined: SystemTime,
}

/// What is known of a participant's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Life {
    /// It lives; it may be stopped, or a zombie's parent.
    Alive,
    /// It went in good order.
    Left,
    /// It died without leaving.
    Died,
}

impl Participant {
    /// Joins: takes a slot of `table`, from number `first` on. `lock` is the region's own opening;
    /// in `deaths` there is one word that counts them.
    pub(crate) fn join(
        table: Table,
        lock: FileLock,
        first: u32,
        label: &str,
        deaths: View<ReadWrite>,
    ) -> Result<Self> {
        const DOING: &str = "join";
        let mark = ProcessMark::here();
        let ask = lock.again()?;
        let lock = Arc::new(lock);
        let slots = table.slots();
        for number in (0..slots).map(|step| (first.wrapping_add(step)) % slots) {
            let slot = Slot::new(number);
            let byte = match lock.lock_owned(byte_of(slot), LockKind::Exclusive, Patience::Try) {
                Ok(byte) => byte,
                Err(error) if error.kind() == bifolio_map::ErrorKind::Busy => continue,
                Err(error) => return Err(error.into()),
            };
            let found = table.occupancy(slot)?;
            if found.generation >= LAST_GENERATION {
                continue; // retired: its next holder could not be told from its first
            }
            if let Some(dead) = found.holder(slot).filter(|_| found.state == State::Joined) {
                count_death(&table, dead, &deaths)?;
            }
            table.describe(slot, &introduction(label))?;
            let kept = broken!(GenerationKept) && found.generation > 0;
            let generation = found.generation + u32::from(!kept);
            table.set_occupancy(slot, Occupancy { generation, state: State::Joined })?;
            let holder = Holder::new(slot, generation);
            return Ok(Self { table, holder, byte: Some(byte), ask, mark, deaths });
        }
        Err(Error::new(ErrorKind::TooMany, DOING)
            .because(format!("all {slots} slots are held by living participants, or used up")))
    }

    /// Fails in a forked child.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        if self.mark.is_here() { Ok(()) } else { Err(forked()) }
    }

    pub(crate) fn holder(&self) -> Holder {
        self.holder
    }

    pub(crate) fn slots(&self) -> u32 {
        self.table.slots()
    }

    /// Counts those who have died and were not counted yet.
    pub(crate) fn notice_deaths(&self) -> Result<()> {
        self.check()?;
        for slot in (0..self.table.slots()).map(Slot::new) {
            let found = self.table.occupancy(slot)?;
            let Some(holder) = found.holder(slot).filter(|_| found.state == State::Joined) else {
                continue;
            };
            if self.is_dead(holder)? {
                self.note_death(holder)?;
            }
        }
        Ok(())
    }

    /// All who are or were in the table.
    pub(crate) fn members(&self) -> Result<Vec<Member>> {
        let mut members = Vec::new();
        for slot in (0..self.table.slots()).map(Slot::new) {
            let Some((holder, state, bytes)) = self.table.read(slot)? else { continue };
            let life = match state {
                State::Joined if self.is_dead(holder)? => Life::Died,
                State::Joined => Life::Alive,
                State::Left | State::Fresh => Life::Left,
                State::Died => Life::Died,
            };
            members.push(Member {
                holder,
                life,
                process: ProcessId::from_parts(bytes.pid, bytes.started, bytes.namespace),
                label: label_of(&bytes.label),
                joined: UNIX_EPOCH + std::time::Duration::from_nanos(bytes.joined),
            });
        }
        Ok(members)
    }
}

/// Writes down that a participant died, and counts it if nobody has.
fn count_death(table: &Table, dead: Holder, deaths: &View<ReadWrite>) -> Result<()> {
    if table.note_death(dead)? {
        deaths.atomic_u64(0)?.fetch_add(1)?;
    }
    Ok(())
}

impl Peers for Participant {
    #[inline]
    fn me(&self) -> Holder {
        self.holder
    }

    fn is_dead(&self, holder: Holder) -> Result<bool> {
        let slot = holder.slot();
        if slot.number() >= self.table.slots() {
            return Err(Error::new(ErrorKind::Corrupt, "ask for the life of a participant")
                .because(format!("{holder} is in none of the {} slots", self.table.slots())));
        }
        if slot == self.holder.slot() {
            return Ok(holder != self.holder);
        }
        if self.table.occupancy(slot)?.generation != holder.generation() {
            return Ok(true);
        }
        if self.ask.probe(byte_of(slot))? == LockState::Free {
            return Ok(true);
        }
        // A child of the dead may hold the byte.
        let process = self.table.process_of(holder)?;
        Ok(process.is_some_and(|process| process.state() == ProcessState::Ended))
    }

    fn note_death(&self, holder: Holder) -> Result<()> {
        count_death(&self.table, holder, &self.deaths)
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        if !self.mark.is_here() {
            return; // a forked child: the place is its parent's
        }
        let generation = self.holder.generation();
        // If this cannot be written, letting go of the byte says that we died, which is as good.
        let _ = self
            .table
            .set_occupancy(self.holder.slot(), Occupancy { generation, state: State::Left });
        drop(self.byte.take());
    }
}

/// What this process writes of itself.
fn introduction(label: &str) -> SlotBytes {
    let process = ProcessId::current();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut bytes = SlotBytes {
        occupancy: 0,
        pid: process.pid(),
        started: process.started(),
        namespace: process.namespace(),
        joined: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
        reserved: [0; 4],
        label: [0; LABEL_BYTES],
    };
    let mut end = label.len().min(LABEL_BYTES);
    while !label.is_char_boundary(end) {
        end -= 1;
    }
    bytes.label[..end].copy_from_slice(&label.as_bytes()[..end]);
    bytes
}

fn label_of(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cold]
fn forked() -> Error {
    Error::new(ErrorKind::Forked, "use the region")
        .because("a forked child is no participant; open the region anew in it")
}
