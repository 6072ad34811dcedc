//! Who holds something: a participant and its generation, in one word.

use std::fmt;

/// A place in the table of participants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

/// How many slots a table can have: what 12 bits can number.
pub const MAX_SLOTS: u32 = 1 << 12;

/// The last generation of a slot: what 19 bits can count. A slot that reached it is retired, since
/// a further holder could be taken for an earlier one.
pub(crate) const LAST_GENERATION: u32 = (1 << 19) - 1;

impl Slot {
    /// The slot of this number.
    ///
    /// # Panics
    /// If the number has more than 12 bits.
    pub(crate) fn new(number: u32) -> Self {
        assert!(number < MAX_SLOTS, "slot {number} does not fit 12 bits");
        Self(u16::try_from(number).expect("12 bits"))
    }

    /// Its number, from 0.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0.into()
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A participant as lock words name it: its slot, and the how-manieth holder of the slot it is.
///
/// ```text
///  31          20 19                    1  0
/// ┌──────────────┬───────────────────────┬───┐
/// │   slot (12)  │    generation (19)    │ 0 │
/// └──────────────┴───────────────────────┴───┘
/// ```
///
/// Generations start at 1, so no holder is the word 0, which means nobody. Bit 0 is left to those
/// who store the word beside something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holder(u32);

impl Holder {
    /// The holder of `slot` with this generation, which counts from 1.
    pub(crate) fn new(slot: Slot, generation: u32) -> Self {
        assert!((1..=LAST_GENERATION).contains(&generation), "generation {generation}");
        Self(slot.number() << 20 | generation << 1)
    }

    /// The holder that the upper 31 bits of a word name. `None` for nobody, and for bits that no
    /// holder has: words in shared memory may hold anything.
    pub(crate) fn in_word(word: u32) -> Option<Self> {
        let bits = word & !1;
        (bits >> 1 & LAST_GENERATION != 0).then_some(Self(bits))
    }

    /// The word; its bit 0 is clear.
    pub(crate) fn word(self) -> u32 {
        self.0
    }

    /// Its slot.
    #[must_use]
    pub fn slot(self) -> Slot {
        Slot::new(self.0 >> 20)
    }

    /// Its generation, from 1.
    #[must_use]
    pub fn generation(self) -> u32 {
        self.0 >> 1 & LAST_GENERATION
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "participant {} (generation {})", self.slot(), self.generation())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_survives_its_word() {
        for slot in [0, 1, 77, MAX_SLOTS - 1] {
            for generation in [1, 2, 1000, LAST_GENERATION] {
                let holder = Holder::new(Slot::new(slot), generation);
                assert_eq!((holder.slot().number(), holder.generation()), (slot, generation));
                for bit in [0, 1] {
                    assert_eq!(Holder::in_word(holder.word() | bit), Some(holder));
                }
            }
        }
    }

    #[test]
    fn nobody_and_bits_without_a_generation_are_no_holder() {
        for word in [0, 1, 5 << 20, 5 << 20 | 1] {
            assert_eq!(Holder::in_word(word), None, "{word:#x}");
        }
    }
}
