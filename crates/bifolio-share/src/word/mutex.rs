//! The words of a mutex.
//!
//! ```text
//!            lock                          lock, in vain
//!  ┌──────┐ ───────────▶ ┌──────────────┐ ─────────────▶ ┌──────────────────┐
//!  │ free │              │ held by H    │                │ held by H, and   │
//!  │      │ ◀─────────── │ H            │                │ waited for: H | 1│
//!  └──────┘    unlock    └──────────────┘                └──────────────────┘
//!      ▲                        │ H died; found by K             │       │
//!      │ unlock, wake one       ▼                                │       │
//!      │                 ┌──────────────┐   the same             │       │
//!      │                 │ held by K | 1│ ◀──────────────────────┘       │
//!      └─────────────────┴──────────────┴────────────────────────────────┘
//! ```
//!
//! H is a [`Holder`]: a slot and the generation of its participant. Who took the word over from the
//! dead keeps the mark of waiting: nobody knows who else waits.
//!
//! There are two free words: [`SOUND`], and [`UNSOUND`], which sends whoever takes the lock to a
//! second word, the health. It says in which state the dead left the value, and is written under the
//! lock only, so that the ordinary owner of a sound value never reads it:
//!
//! ```text
//!           taken over from the dead               unlocked, not repaired
//!  SOUND ─────────────────────────────▶ BEREFT ─────────────────────────────▶ POISONED
//!    ▲  ◀───────────────────────────────  │   a panic under the lock: SOUND ──────▶ │
//!    │             repaired               │                                         │
//!    └────────────────────────────────────┴──────────── repaired ◀──────────────────┘
//! ```
//!
//! Death between taking a word over and writing the health needs no third state: the next one takes
//! over from a dead owner again. Who gives the lock back says by the free word what the health word
//! said last.
//!
//! The upper half of the owner's word is the number of its thread, so that a thread that locks twice
//! is told. Both halves change together.

use bifolio_map::Patience;

use super::{Naps, Pair, Peers, SPINS, Word, pause};
use crate::error::{Error, ErrorKind, Result};
use crate::participant::Holder;

/// Free, and the value is sound.
const SOUND: u64 = 0;
/// Free, and the health says in which state the value is. In the lower half as free as the other.
const UNSOUND: u64 = 1 << 32;
const CONTENDED: u64 = 1;

/// The word of an owner: a participant, and its thread.
#[inline]
fn word_of(holder: Holder, thread: u32) -> u64 {
    u64::from(thread) << 32 | u64::from(holder.word())
}

/// The lower half of an owner's word.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
fn lower(word: u64) -> u32 {
    word as u32
}

/// Whether nobody has the lock.
#[inline]
fn is_free(word: u64) -> bool {
    lower(word) == 0
}

/// What the health word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Sound,
    /// Its owner died, and it was not repaired since.
    Bereft,
    /// An owner panicked, or gave it back without repairing what the dead had left.
    Poisoned,
}

impl Health {
    fn word(self) -> u32 {
        match self {
            Self::Sound => 0,
            Self::Bereft => 1,
            Self::Poisoned => 2,
        }
    }

    /// What a word says. Whatever no version of this crate wrote is not sound.
    fn of(word: u32) -> Self {
        match word {
            0 => Self::Sound,
            1 => Self::Bereft,
            _ => Self::Poisoned,
        }
    }
}

/// The words of a mutex, whatever memory they are in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MutexWords<P, W> {
    /// Who has it.
    pub(crate) owner: P,
    /// How the value was left.
    pub(crate) health: W,
}

/// Who has a mutex, as its word says.
pub(crate) fn owner_in(word: u64) -> Option<Holder> {
    Holder::in_word(lower(word))
}

impl<P: Pair, W: Word> MutexWords<P, W> {
    /// Takes the lock. `thread` is the number of the calling thread, not 0.
    #[inline]
    pub(crate) fn lock(
        &self,
        peers: &impl Peers,
        thread: u32,
        patience: Patience,
    ) -> Result<Health> {
        if self.owner.compare_exchange(SOUND, word_of(peers.me(), thread))?.is_ok() {
            Ok(Health::Sound)
        } else {
            self.lock_contended(peers, thread, patience)
        }
    }

    #[cold]
    fn lock_contended(
        &self,
        peers: &impl Peers,
        thread: u32,
        patience: Patience,
    ) -> Result<Health> {
        let me = word_of(peers.me(), thread);
        let mut naps = Naps::new(patience);
        let mut spins = if matches!(patience, Patience::Try) { 0 } else { SPINS };
        // Who has slept cannot know whether others sleep too, and takes the lock as waited for.
        let mut mark = 0;
        loop {
            let found = self.owner.load()?;
            if is_free(found) {
                if self.owner.compare_exchange(found, me | mark)?.is_ok() {
                    return self.health_of_free(found);
                }
                continue;
            }
            if found & CONTENDED == 0 && spins > 0 {
                spins -= 1;
                pause();
                continue;
            }
            let owner = owner_in(found).ok_or_else(|| garbled(found))?;
            if found & !CONTENDED == me {
                return Err(Error::new(ErrorKind::Deadlock, "lock"));
            }
            let Some(nap) = naps.next() else {
                // Not without asking: who only tries finds the dead too.
                if self.take_over(peers, owner, found, me)? {
                    return self.inherited();
                }
                return Err(match patience {
                    Patience::Try => Error::new(ErrorKind::Busy, "lock"),
                    _ => Error::new(ErrorKind::TimedOut, "lock"),
                }
                .because(format!("{owner} holds it")));
            };
            let waited_for = found | CONTENDED;
            if found != waited_for && self.owner.compare_exchange(found, waited_for)?.is_err() {
                continue;
            }
            mark = CONTENDED;
            self.owner.wait(lower(waited_for), nap)?;
            if self.owner.load()? == waited_for && self.take_over(peers, owner, waited_for, me)? {
                return self.inherited();
            }
        }
    }

    /// Takes the lock from `owner`, if it is dead and the word is still what was `found`.
    fn take_over(&self, peers: &impl Peers, owner: Holder, found: u64, me: u64) -> Result<bool> {
        if !peers.is_dead(owner)? {
            return Ok(false);
        }
        if self.owner.compare_exchange(found, me | CONTENDED)?.is_err() {
            return Ok(false);
        }
        // If we die before this, our own death says the same.
        self.health.store(Health::Bereft.word())?;
        peers.note_death(owner)?;
        Ok(true)
    }

    /// What who took the lock over from the dead is told.
    fn inherited(&self) -> Result<Health> {
        if broken!(DeathNotTold) {
            self.set_health(Health::Sound)?;
            return Ok(Health::Sound);
        }
        Ok(Health::Bereft)
    }

    /// Writes the health down; the caller holds the lock.
    pub(crate) fn set_health(&self, health: Health) -> Result<()> {
        self.health.store(health.word())
    }

    /// How the value was left under a word that is free.
    #[inline]
    fn health_of_free(&self, word: u64) -> Result<Health> {
        match word {
            SOUND => Ok(Health::Sound),
            _ => Ok(Health::of(self.health.load()?)),
        }
    }

    /// How the value was left, if nobody has the lock.
    #[inline]
    pub(crate) fn free(&self) -> Result<Option<Health>> {
        let found = self.owner.load()?;
        if is_free(found) { self.health_of_free(found).map(Some) } else { Ok(None) }
    }

    /// Gives the lock back, and wakes one who waits. `health` is what the health word says now.
    #[inline]
    pub(crate) fn unlock(&self, health: Health) -> Result<()> {
        let free = if health == Health::Sound { SOUND } else { UNSOUND };
        let old = self.owner.swap(free)?;
        if old & CONTENDED != 0 { self.wake() } else { Ok(()) }
    }

    #[cold]
    fn wake(&self) -> Result<()> {
        // If we die before this, the waiters find out by themselves within a nap.
        self.owner.wake_one()
    }
}

#[cold]
fn garbled(word: u64) -> Error {
    Error::new(ErrorKind::Corrupt, "lock").because(format!("its word is {word:#018x}"))
}
