//! The table of participants: who has joined, as bytes in the region.

use bifolio_map::process::ProcessId;
use bifolio_map::{ReadWrite, View};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::holder::{Holder, LAST_GENERATION, Slot};
use crate::error::Result;

/// One slot of the table. `FORMAT.md` draws it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct SlotBytes {
    /// Generation and state, see [`Occupancy`].
    pub(crate) occupancy: u32,
    pub(crate) pid: u32,
    pub(crate) started: u64,
    pub(crate) namespace: u64,
    /// When it joined, in nanoseconds since 1970.
    pub(crate) joined: u64,
    pub(crate) reserved: [u64; 4],
    /// What the participant calls itself: UTF-8, ended by a zero unless it fills the place.
    pub(crate) label: [u8; LABEL_BYTES],
}

/// The longest label, in bytes.
pub(crate) const LABEL_BYTES: usize = 64;

/// Bytes of one slot.
pub(crate) const SLOT_BYTES: u64 = size_of::<SlotBytes>() as u64;
const _: () = assert!(SLOT_BYTES == 128);

/// What happened to the newest holder of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// There was none yet.
    Fresh,
    /// It joined. Whether it lives is not told here, but by the lock on its byte.
    Joined,
    /// It went in good order.
    Left,
    /// It died, and somebody found that out.
    Died,
}

/// The first word of a slot: the generation of its newest holder, and what happened to it, so
/// that one compare-exchange tells who found a death.
///
/// ```text
///  31        21 20                  2 1   0
/// ┌────────────┬─────────────────────┬─────┐
/// │   0 (11)   │   generation (19)   │state│   0 fresh  1 joined  2 left  3 died
/// └────────────┴─────────────────────┴─────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Occupancy {
    pub(crate) generation: u32,
    pub(crate) state: State,
}

impl Occupancy {
    pub(crate) fn of(word: u32) -> Self {
        let state = match word & 3 {
            0 => State::Fresh,
            1 => State::Joined,
            2 => State::Left,
            _ => State::Died,
        };
        Self { generation: word >> 2 & LAST_GENERATION, state }
    }

    pub(crate) fn word(self) -> u32 {
        let state = match self.state {
            State::Fresh => 0,
            State::Joined => 1,
            State::Left => 2,
            State::Died => 3,
        };
        self.generation << 2 | state
    }

    /// The holder of the slot that is spoken of, if there was one.
    pub(crate) fn holder(self, slot: Slot) -> Option<Holder> {
        (self.generation != 0).then(|| Holder::new(slot, self.generation))
    }
}

/// The table in a view of its own.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    view: View<ReadWrite>,
    slots: u32,
}

impl Table {
    /// The table of `slots` slots that fills `view`.
    pub(crate) fn new(view: View<ReadWrite>, slots: u32) -> Self {
        debug_assert_eq!(view.len(), u64::from(slots) * SLOT_BYTES);
        Self { view, slots }
    }

    pub(crate) fn slots(&self) -> u32 {
        self.slots
    }

    fn at(&self, slot: Slot) -> u64 {
        u64::from(slot.number()) * SLOT_BYTES
    }

    pub(crate) fn occupancy(&self, slot: Slot) -> Result<Occupancy> {
        Ok(Occupancy::of(self.view.atomic_u32(self.at(slot))?.load()?))
    }

    pub(crate) fn set_occupancy(&self, slot: Slot, occupancy: Occupancy) -> Result<()> {
        Ok(self.view.atomic_u32(self.at(slot))?.store(occupancy.word())?)
    }

    /// Writes down that `holder` died. Whether nobody had done so before.
    pub(crate) fn note_death(&self, holder: Holder) -> Result<bool> {
        let with = |state| Occupancy { generation: holder.generation(), state }.word();
        let word = self.view.atomic_u32(self.at(holder.slot()))?;
        Ok(word.compare_exchange(with(State::Joined), with(State::Died))?.is_ok())
    }

    /// Writes who the next holder is; the occupancy, which makes it true, comes afterwards.
    pub(crate) fn describe(&self, slot: Slot, bytes: &SlotBytes) -> Result<()> {
        let after_the_word = size_of::<u32>() as u64;
        let told = &bytes.as_bytes()[size_of::<u32>()..];
        Ok(self.view.write_at(self.at(slot) + after_the_word, told)?)
    }

    /// The newest holder of a slot and what it wrote of itself. `None` for a slot that was never
    /// used, or whose holder changes just now.
    pub(crate) fn read(&self, slot: Slot) -> Result<Option<(Holder, State, SlotBytes)>> {
        let before = self.occupancy(slot)?;
        let bytes: SlotBytes = self.view.get(self.at(slot))?;
        let steady = before == self.occupancy(slot)? && before == Occupancy::of(bytes.occupancy);
        Ok(before.holder(slot).filter(|_| steady).map(|holder| (holder, before.state, bytes)))
    }

    /// The process of `holder`; `None` if the slot has another holder by now.
    pub(crate) fn process_of(&self, holder: Holder) -> Result<Option<ProcessId>> {
        Ok(self
            .read(holder.slot())?
            .filter(|(now, ..)| *now == holder)
            .map(|(.., bytes)| ProcessId::from_parts(bytes.pid, bytes.started, bytes.namespace)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_occupancy_survives_its_word() {
        for generation in [0, 1, 500, LAST_GENERATION] {
            for state in [State::Fresh, State::Joined, State::Left, State::Died] {
                let occupancy = Occupancy { generation, state };
                assert_eq!(Occupancy::of(occupancy.word()), occupancy);
            }
        }
    }

    #[test]
    fn any_word_is_an_occupancy() {
        for bits in 0..32 {
            let _ = Occupancy::of(u32::MAX << bits).holder(Slot::new(0));
        }
    }
}
