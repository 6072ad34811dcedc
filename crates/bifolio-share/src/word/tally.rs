//! The word in which one participant counts what it holds: read locks, permits, arrivals.
//!
//! ```text
//!  31                    13 12          0
//! ┌────────────────────────┬─────────────┐
//! │    generation (19)     │ count (13)  │   one word for each slot of the region
//! └────────────────────────┴─────────────┘
//!
//!            enter (of a new generation: 1)
//!   g, n ◀──────────────────────────────▶ g, n + 1
//!    │                leave
//!    │  generation g has ended; found by anybody
//!    └──────────────────────────────────▶ g, 0
//! ```
//!
//! Only the participant counts in its word, all of its threads do. A participant that dies leaves its
//! count there, under its generation: whoever adds the words up asks whether that generation lives, and
//! the next one in the slot begins at 1 whatever it finds. So nobody inherits from the dead.

use super::{Naps, Peers, Word};
use crate::error::{Error, ErrorKind, Result};
use crate::participant::{Holder, Slot};

const COUNT_BITS: u32 = 13;

/// The most that one participant can hold. It is half of what the bits can count: a thread counts
/// first and looks at the sum then.
pub(crate) const MOST: u32 = (1 << (COUNT_BITS - 1)) - 1;

#[inline]
fn parts(word: u32) -> (u32, u32) {
    (word >> COUNT_BITS, word & ((1 << COUNT_BITS) - 1))
}

fn word(generation: u32, count: u32) -> u32 {
    generation << COUNT_BITS | count
}

/// A tally, and whose it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally<W> {
    pub(crate) word: W,
    pub(crate) slot: Slot,
}

impl<W: Word> Tally<W> {
    /// Counts one more.
    #[inline]
    pub(crate) fn enter(&self, me: Holder) -> Result<()> {
        debug_assert_eq!(me.slot(), self.slot);
        let (generation, count) = parts(self.word.fetch_add(1)?);
        let ours = generation == me.generation();
        if ours && count < MOST {
            return Ok(());
        }
        self.enter_anew(me, ours)
    }

    /// After a count that began with an earlier holder of the slot, or that is too high.
    #[cold]
    fn enter_anew(&self, me: Holder, ours: bool) -> Result<()> {
        if ours {
            self.word.fetch_add(1_u32.wrapping_neg())?;
            return Err(too_many());
        }
        loop {
            let found = self.word.load()?;
            if parts(found).0 == me.generation() {
                // Another thread has begun anew, after our count, which is gone.
                return self.enter(me);
            }
            let count = if broken!(CountInherited) { parts(found).1 } else { 1 };
            if self.word.compare_exchange(found, word(me.generation(), count))?.is_ok() {
                return Ok(());
            }
        }
    }

    /// Counts one less; whether none is left. A count that is not there (bytes that somebody else
    /// wrote) stays.
    #[inline]
    pub(crate) fn leave(&self, me: Holder) -> Result<bool> {
        let (generation, count) = parts(self.word.fetch_add(1_u32.wrapping_neg())?);
        if generation != me.generation() || count == 0 {
            self.word.fetch_add(1)?;
            return Ok(false);
        }
        Ok(count == 1)
    }

    /// What it counts now, whether its participant lives or not.
    pub(crate) fn shown(&self) -> Result<u32> {
        Ok(parts(self.word.load()?).1)
    }

    /// What is held, if its participant lives; what the dead held is given back.
    pub(crate) fn of_the_living(&self, peers: &impl Peers) -> Result<u32> {
        loop {
            let found = self.word.load()?;
            let (generation, count) = parts(found);
            if count == 0 {
                return Ok(0);
            }
            let dead = match self.holder(generation) {
                Some(holder) if peers.is_dead(holder)? => {
                    peers.note_death(holder)?;
                    true
                }
                Some(_) => false,
                None => true, // nobody's: bytes that no participant wrote
            };
            if !dead {
                return Ok(count);
            }
            if self.word.compare_exchange(found, word(generation, 0))?.is_ok() {
                return Ok(0);
            }
        }
    }

    /// Sleeps until nothing is counted, asking now and then whether its participant lives. Whether
    /// that was within the time.
    pub(crate) fn wait_for_none(&self, peers: &impl Peers, naps: &mut Naps) -> Result<bool> {
        let mut spins = super::SPINS;
        loop {
            let found = self.word.load()?;
            if parts(found).1 == 0 {
                return Ok(true);
            }
            if spins > 0 {
                spins -= 1;
                super::pause();
                continue;
            }
            if self.of_the_living(peers)? == 0 {
                return Ok(true);
            }
            let Some(nap) = naps.next() else { return Ok(false) };
            self.word.wait(found, nap)?;
        }
    }

    fn holder(&self, generation: u32) -> Option<Holder> {
        (generation != 0).then(|| Holder::new(self.slot, generation))
    }
}

#[cold]
fn too_many() -> Error {
    Error::new(ErrorKind::TooMany, "take one more")
        .because(format!("a participant can hold {MOST} at a time"))
}
