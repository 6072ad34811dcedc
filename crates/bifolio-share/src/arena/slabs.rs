//! The slabs of an arena: what each is for, and who has its blocks.
//!
//! A slab is 64 KiB. Its *kind* says what it is: free, blocks of one size, or a part of a run of slabs
//! that is one large block. Each block has a word, apart from its bytes:
//!
//! ```text
//!              alloc                     publish
//!   free, 0 ─────────▶ of its maker, H ─────────────▶ published, 1
//!      ▲                    │ freed, or H died             │
//!      └────────────────────┴──────────────────────────────┘ freed
//! ```
//!
//! What is put into a hash map, or taken out of it, is *moved* meanwhile: published, with a word that
//! names the map, so that whoever ends what a dead one began knows whether the block is still that.
//!
//! Each arrow is one change of one word, so a death leaves nothing half done: a block of a dead maker is
//! found by whoever sweeps. A small block needs no lock. A slab gets its kind under the arena's lock,
//! and a run of slabs gets and loses it under a record of what is being done.
//!
//! A slab all of whose blocks are free can be given another kind. It is marked as *retired* first, and
//! then its words are looked at again; who allocates changes a word and then looks at the kind. Each
//! with a full barrier between, so that one of the two sees the other.

use std::collections::HashMap;

use super::{Arena, ENTRY, INTENT, TABLE, WORDS_OF_A_SLAB};
use crate::error::{Error, ErrorKind, Result};
use crate::lock::{Inside, enter};
use crate::participant::Holder;
use crate::word::mutex::Health;
use crate::word::{Pair, Peers, ViewPair, ViewWord, Word, barrier};

/// Bytes of a slab.
pub(super) const SLAB: u64 = SLAB_BYTES as u64;
const SLAB_BYTES: u32 = 64 << 10;

/// The sizes of blocks: four from one power of two to the next at first, then two.
pub(super) const SIZES: [u32; CLASSES as usize] = [
    32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288,
    16384, 32768,
];

pub(super) const CLASSES: u32 = 20;

const FREE: u32 = 0;
/// The first slab of a run, and the others.
const FIRST: u32 = 0x100;
const REST: u32 = 0x101;
/// Beside the class: no block of it is in use, and none is to be taken.
const RETIRED: u32 = 0x1000;

pub(super) const NOBODY: u32 = 0;
pub(super) const PUBLISHED: u32 = 1;

/// Whether a block is everybody's: no word of a participant is odd.
#[inline]
pub(super) fn is_public(word: u32) -> bool {
    word & 1 == 1
}

/// What a slab is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Free,
    /// Blocks of the class of this number.
    Blocks(u32),
    /// The first one of a run.
    First,
    /// Another one of a run, or what nobody wrote.
    Rest,
}

impl Kind {
    fn of(word: u32) -> Self {
        match word & !RETIRED {
            FREE => Self::Free,
            FIRST => Self::First,
            class if class <= CLASSES => Self::Blocks(class - 1),
            _ => Self::Rest,
        }
    }
}

/// The smallest class for so many bytes.
#[inline]
pub(super) fn class_of(size: u64) -> Option<u32> {
    if size > u64::from(SIZES[SIZES.len() - 1]) {
        return None;
    }
    // Two sizes for each power of two: that of the highest bit of what is left of `size`, and half as much
    // again.
    let above = (size.max(1) - 1) >> 4;
    let (power, half) = match above.checked_ilog2() {
        None | Some(0) => (0, 0),
        Some(power) => (power, u32::from(above >> (power - 1) & 1 == 1)),
    };
    let class = if above < 2 { 0 } else { 2 * power - 1 + half };
    Some(class.min(CLASSES - 1))
}

/// Bytes of a block.
#[inline]
pub(super) fn size_of_class(class: u32) -> u32 {
    SIZES[class as usize]
}

#[inline]
pub(super) fn blocks_of(class: u32) -> u32 {
    SLAB_BYTES / size_of_class(class)
}

#[inline]
fn word_of(class: u32) -> u32 {
    class + 1
}

/// The halves of a word: the upper one, and the lower one.
#[expect(clippy::cast_possible_truncation, reason = "each has 32 bits")]
pub(super) fn halves(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

/// The index of a block that is a run of slabs. Its word is none of those that a late taker of a
/// small block in the same slab may still change.
pub(super) const WHOLE: u32 = u32::MAX;

/// A block: its slab, and which one it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) slab: u32,
    pub(super) index: u32,
}

impl Arena {
    #[inline]
    fn entry(&self, slab: u32, at: u64) -> ViewWord<'_> {
        let at = self.offset + TABLE + u64::from(slab) * ENTRY + at;
        ViewWord::new(self.region.view(), at)
    }

    #[inline]
    fn kind_word(&self, slab: u32) -> ViewWord<'_> {
        self.entry(slab, 0)
    }

    /// Slabs of the run that begins here.
    fn run_word(&self, slab: u32) -> ViewWord<'_> {
        self.entry(slab, 4)
    }

    /// 1 if no block was free when somebody looked, and none was freed since.
    #[inline]
    fn full_word(&self, slab: u32) -> ViewWord<'_> {
        self.entry(slab, 8)
    }

    fn intent(&self) -> ViewPair<'_> {
        ViewPair::new(self.region.view(), self.offset + INTENT)
    }

    /// The word of a block.
    #[inline]
    pub(super) fn word(&self, place: Place) -> ViewWord<'_> {
        if place.index == WHOLE {
            return self.entry(place.slab, 12);
        }
        let number = u64::from(place.slab) * WORDS_OF_A_SLAB + u64::from(place.index);
        ViewWord::new(self.region.view(), self.words + number * 4)
    }

    #[inline]
    pub(super) fn kind(&self, slab: u32) -> Result<Kind> {
        self.kind_word(slab).load().map(Kind::of)
    }

    /// Takes a block, if it is free and still one of its class.
    #[inline]
    pub(super) fn take(&self, place: Place, class: u32, me: Holder) -> Result<bool> {
        let word = self.word(place);
        between!();
        if word.compare_exchange(NOBODY, me.word())?.is_err() {
            return Ok(false);
        }
        barrier();
        if self.kind_word(place.slab).load()? == word_of(class) || broken!(KindNotChecked) {
            return Ok(true);
        }
        // Who made it something else meanwhile has its own word there.
        word.compare_exchange(me.word(), NOBODY)?.ok();
        Ok(false)
    }

    /// Gives a block back that is in this state; whether it was.
    #[inline]
    pub(super) fn give_back(&self, place: Place, from: u32) -> Result<bool> {
        if self.word(place).compare_exchange(from, NOBODY)?.is_err() {
            return Ok(false);
        }
        let full = self.full_word(place.slab);
        if full.load()? != 0 {
            full.store(0)?;
        }
        Ok(true)
    }

    /// Takes a free block of a slab, looked for from `index` on.
    pub(super) fn take_in(
        &self,
        slab: u32,
        index: u32,
        class: u32,
        me: Holder,
    ) -> Result<Option<Place>> {
        if self.kind_word(slab).load()? != word_of(class) || self.full_word(slab).load()? != 0 {
            return Ok(None);
        }
        let blocks = blocks_of(class);
        for index in (index.min(blocks)..blocks).chain(0..index.min(blocks)) {
            let place = Place { slab, index };
            if self.word(place).load()? == NOBODY && self.take(place, class, me)? {
                return Ok(Some(place));
            }
        }
        self.full_word(slab).store(1)?;
        barrier();
        // Who freed one meanwhile has not seen the mark.
        for index in 0..blocks {
            let place = Place { slab, index };
            if self.word(place).load()? == NOBODY {
                self.full_word(slab).store(0)?;
                return Ok(self.take(place, class, me)?.then_some(place));
            }
        }
        Ok(None)
    }

    /// The arena's lock; what one that died with it had begun is undone.
    pub(super) fn lock(&self) -> Result<Inside<'_>> {
        let mut inside = enter(&self.region, self.offset, self.region.patience())?;
        if inside.found != Health::Sound {
            self.undo()?;
            inside.repaired()?;
        }
        Ok(inside)
    }

    /// Gives a class another slab and takes its first block.
    pub(super) fn take_new(
        &self,
        _lock: &Inside<'_>,
        class: u32,
        me: Holder,
    ) -> Result<Option<Place>> {
        for slab in 0..self.slabs {
            if self.kind(slab)? != Kind::Free {
                continue;
            }
            self.full_word(slab).store(0)?;
            self.kind_word(slab).store(word_of(class))?;
            // Others may take blocks from here on; one is not to be all of them.
            if let Some(place) = self.take_in(slab, 0, class, me)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Makes a run of slabs one block.
    pub(super) fn take_run(
        &self,
        _lock: &Inside<'_>,
        slabs: u32,
        me: Holder,
    ) -> Result<Option<Place>> {
        let mut found = 0;
        for slab in 0..self.slabs {
            found = if self.kind(slab)? == Kind::Free { found + 1 } else { 0 };
            if found == slabs {
                let first = slab + 1 - slabs;
                self.begin(first, slabs)?;
                for rest in first + 1..first + slabs {
                    self.kind_word(rest).store(REST)?;
                    seam!();
                }
                self.run_word(first).store(slabs)?;
                let place = Place { slab: first, index: WHOLE };
                self.word(place).swap(me.word())?;
                self.kind_word(first).store(FIRST)?;
                self.end()?;
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Gives a run back, if its block is in this state; whether it was.
    pub(super) fn give_run_back(&self, _lock: &Inside<'_>, first: u32, from: u32) -> Result<bool> {
        let slabs = self.run_of(first)?;
        let word = self.word(Place { slab: first, index: WHOLE });
        if self.kind(first)? != Kind::First || word.load()? != from {
            return Ok(false);
        }
        self.begin(first, slabs)?;
        self.free_run(first, slabs)?;
        Ok(true)
    }

    /// Slabs of the run that begins here.
    pub(super) fn run_of(&self, first: u32) -> Result<u32> {
        let slabs = self.run_word(first).load()?;
        let fits = first.checked_add(slabs).is_some_and(|end| end <= self.slabs);
        if fits && slabs > 0 { Ok(slabs) } else { Err(self.garbled("a run of slabs")) }
    }

    /// Writes down that a run of slabs is given or taken: until [`end`](Self::end) it is nobody's.
    fn begin(&self, first: u32, slabs: u32) -> Result<()> {
        if broken!(IntentNotWritten) {
            return Ok(());
        }
        self.intent().swap(u64::from(slabs) << 32 | u64::from(first)).map(drop)
    }

    fn end(&self) -> Result<()> {
        self.intent().swap(0).map(drop)
    }

    /// Makes the slabs of a run free, the first one first, so that nobody finds it.
    fn free_run(&self, first: u32, slabs: u32) -> Result<()> {
        self.word(Place { slab: first, index: WHOLE }).store(NOBODY)?;
        for slab in first..first + slabs {
            self.kind_word(slab).store(FREE)?;
            seam!();
        }
        self.end()
    }

    /// Ends what a record says: whatever was begun with a run of slabs, they are free.
    fn undo(&self) -> Result<()> {
        let intent = self.intent().load()?;
        let (slabs, first) = halves(intent);
        match first.checked_add(slabs) {
            _ if slabs == 0 => Ok(()),
            Some(end) if end <= self.slabs => self.free_run(first, slabs),
            _ => Err(self.garbled("the record of a run")),
        }
    }

    /// Frees what the dead had not published, and slabs none of whose blocks is in use.
    pub(super) fn sweep_locked(&self, lock: &Inside<'_>) -> Result<u64> {
        let mut freed = 0;
        let mut dead = HashMap::new();
        for slab in 0..self.slabs {
            match self.kind(slab)? {
                Kind::Free | Kind::Rest => {}
                Kind::First => {
                    let found = self.word(Place { slab, index: WHOLE }).load()?;
                    if self.is_left(found, &mut dead)? && self.give_run_back(lock, slab, found)? {
                        freed += 1;
                    }
                }
                Kind::Blocks(class) => {
                    let mut in_use = false;
                    for index in 0..blocks_of(class) {
                        let place = Place { slab, index };
                        let found = self.word(place).load()?;
                        if found == NOBODY {
                            continue;
                        }
                        if self.is_left(found, &mut dead)? && self.give_back(place, found)? {
                            freed += 1;
                        } else {
                            in_use = true;
                        }
                    }
                    if !in_use {
                        self.retire(slab, class)?;
                    } else if self.kind_word(slab).load()? & RETIRED != 0 {
                        // Of one that died between the mark and the look.
                        self.kind_word(slab).store(word_of(class))?;
                    }
                }
            }
        }
        Ok(freed)
    }

    /// Whether a block is of somebody who died, or of nobody who ever was.
    fn is_left(&self, found: u32, dead: &mut HashMap<u32, bool>) -> Result<bool> {
        if is_public(found) || found == NOBODY || broken!(DeadBlocksKept) {
            return Ok(false);
        }
        if let Some(known) = dead.get(&found) {
            return Ok(*known);
        }
        let peers = self.region.participant();
        let left = match Holder::in_word(found) {
            None => true,
            Some(holder) if holder.slot().number() >= peers.slots() => true,
            Some(holder) if peers.is_dead(holder)? => {
                peers.note_death(holder)?;
                true
            }
            Some(_) => false,
        };
        dead.insert(found, left);
        Ok(left)
    }

    /// Makes a slab free, if none of its blocks was taken meanwhile.
    fn retire(&self, slab: u32, class: u32) -> Result<()> {
        let kind = self.kind_word(slab);
        kind.swap(word_of(class) | RETIRED)?;
        barrier();
        for index in 0..blocks_of(class) {
            if self.word(Place { slab, index }).load()? != NOBODY {
                return kind.store(word_of(class));
            }
        }
        kind.store(FREE)
    }

    #[cold]
    pub(super) fn garbled(&self, what: &'static str) -> Error {
        let error = Error::new(ErrorKind::Corrupt, "use the arena")
            .because(format!("{what} is what nobody wrote"));
        self.region.explain(error, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_the_smallest_class_that_holds_it() {
        assert_eq!(class_of(0), Some(0));
        for (class, size) in (0..CLASSES).zip(SIZES) {
            assert_eq!(class_of(u64::from(size)), Some(class));
            let next = (class + 1 < CLASSES).then_some(class + 1);
            assert_eq!(class_of(u64::from(size) + 1), next);
            assert!(u64::from(blocks_of(class)) <= WORDS_OF_A_SLAB);
        }
    }

    #[test]
    fn any_word_is_a_kind() {
        for word in [0, 1, 20, 21, FIRST, REST, RETIRED | 5, u32::MAX] {
            let kind = Kind::of(word);
            assert_eq!(kind == Kind::Blocks(4), word == RETIRED | 5, "{word}: {kind:?}");
        }
    }
}
