//! The words of a snapshot: the last complete value of many buffers, and who reads which.
//!
//! ```text
//!   current ──▶ sequence << 16 | buffer        the last complete value
//!
//!   state of a buffer
//!              chosen, if nobody has pinned it           all bytes written
//!     complete, s ─────────────────────────▶ written, 0 ───────────────────▶ complete, s'
//!         ▲                                      │                               │
//!         └──────────────────────────────────────┘                               ▼
//!                  somebody has pinned it                              current says so
//!
//!   place of a reader
//!              asks             tries buffer b                  b is complete
//!     free ───────────▶ me, ? ────────────────▶ me, ?, b ────────────────────▶ me, b
//!       ▲                 │                        │                             │
//!       │                 └────────────────────────┴───▶ me, c ◀─ given by a ────┘ (not any more)
//!       └──────────────── done ─────────────────────────────┘     writer
//! ```
//!
//! A reader that only copies writes nothing: it copies the bytes of the current buffer and looks
//! whether the buffer's state is still the one that `current` told. A writer would have to come round
//! all buffers meanwhile to spoil that.
//!
//! A reader that stays *pins* a buffer in a place of its own. It writes the buffer's number down and
//! then looks at the buffer's state; a writer marks the state and then looks at the places: each
//! with a full barrier between, so that one of the two sees the other. There are two buffers more
//! than places, so a writer always finds one that is neither current nor pinned, however long its
//! readers sleep or are dead.
//!
//! Nor can writers keep a reader from pinning. A place that asks (`?`) is given the current buffer by
//! the next writer that looks at the places, and a reader fails only if a writer has marked its
//! buffer and not looked yet.

use super::{Pair, Peers, barrier};
use crate::error::{Error, ErrorKind, Result};
use crate::participant::Holder;

/// The most places: with two buffers more, their numbers fit into 15 bits.
pub(crate) const MOST_READERS: u32 = 4096;
const BUFFER_BITS: u32 = 16;
/// The state of a buffer that is written, or never was.
const WRITTEN: u64 = 0;
const FREE: u64 = 0;
/// In a place: its reader wants any complete buffer.
const ASKS: u64 = 1 << 63;
/// In a place, above its holder: a buffer's number plus one.
const HAS_SHIFT: u32 = 32;
const HAS_MASK: u64 = 0x7fff << HAS_SHIFT;
/// More than a reader can need: see above. Words that nobody wrote end it.
const TRIES: u32 = 16;

/// Where the words are.
pub(crate) trait Words {
    type Word: Pair;
    /// Which value is the last complete one.
    fn current(&self) -> Self::Word;
    /// The state of a buffer.
    fn state(&self, buffer: u32) -> Self::Word;
    /// The place of a reader.
    fn place(&self, number: u32) -> Self::Word;
    fn readers(&self) -> u32;

    fn buffers(&self) -> u32 {
        self.readers() + 2
    }
}

/// A complete value: which one, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Complete {
    pub(crate) sequence: u64,
    pub(crate) buffer: u32,
}

impl Complete {
    pub(crate) fn word(self) -> u64 {
        self.sequence << BUFFER_BITS | u64::from(self.buffer)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the lower bits are meant")]
    pub(crate) fn of(word: u64) -> Self {
        let buffer = word as u32 & ((1 << BUFFER_BITS) - 1);
        Self { sequence: word >> BUFFER_BITS, buffer }
    }
}

/// A buffer that no writer touches until [`unpin`].
#[derive(Debug)]
pub(crate) struct Pin {
    place: u32,
    pub(crate) buffer: u32,
}

fn place_of(me: Holder, asks: u64, buffer: Option<u32>) -> u64 {
    let has = buffer.map_or(0, |buffer| u64::from(buffer + 1) << HAS_SHIFT);
    u64::from(me.word()) | asks | has
}

fn buffer_in(place: u64) -> Option<u32> {
    (((place & HAS_MASK) >> HAS_SHIFT) as u32).checked_sub(1)
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
fn holder_in(place: u64) -> Option<Holder> {
    Holder::in_word(place as u32)
}

/// The last complete value.
#[inline]
pub(crate) fn current(words: &impl Words) -> Result<Complete> {
    let found = Complete::of(words.current().load()?);
    if found.buffer < words.buffers() { Ok(found) } else { Err(garbled("the current buffer")) }
}

/// Whether a buffer still holds what `current` told.
#[inline]
pub(crate) fn is_still(words: &impl Words, complete: Complete) -> Result<bool> {
    Ok(words.state(complete.buffer).load()? == complete.sequence)
}

/// Pins a complete buffer, the current one of some moment in this call; `None` if the living have all
/// places. `first` is the place to look at first.
pub(crate) fn pin(words: &impl Words, peers: &impl Peers, first: u32) -> Result<Option<Pin>> {
    let asking = place_of(peers.me(), ASKS, None);
    let readers = words.readers();
    let places = || (0..readers).map(|step| (first % readers + step) % readers);
    for number in places() {
        let place = words.place(number);
        if place.load()? == FREE && place.compare_exchange(FREE, asking)?.is_ok() {
            return settle(words, peers, number).map(Some);
        }
    }
    if broken!(DeadPinKept) {
        return Ok(None);
    }
    for number in places() {
        let place = words.place(number);
        let found = place.load()?;
        let dead = match holder_in(found) {
            // Bytes that no participant wrote are nobody's.
            None => None,
            Some(holder) if peers.is_dead(holder)? => Some(holder),
            Some(_) => continue,
        };
        if place.compare_exchange(found, asking)?.is_ok() {
            if let Some(dead) = dead {
                peers.note_death(dead)?;
            }
            return settle(words, peers, number).map(Some);
        }
    }
    Ok(None)
}

/// Comes to a buffer in a place that asks.
fn settle(words: &impl Words, peers: &impl Peers, number: u32) -> Result<Pin> {
    let me = peers.me();
    let place = words.place(number);
    let mut known = place_of(me, ASKS, None);
    let given = |found: u64| match buffer_in(found) {
        Some(buffer) if buffer < words.buffers() && found == place_of(me, 0, Some(buffer)) => {
            Ok(Pin { place: number, buffer })
        }
        _ => Err(garbled("a reader's place")),
    };
    for _ in 0..TRIES {
        // A writer that has not seen us ask has published before what we load now: so a place that
        // let one buffer go comes to no other one but the current one, and does not block two.
        barrier();
        let complete = current(words)?;
        let trying = place_of(me, ASKS, Some(complete.buffer));
        if let Err(found) = place.compare_exchange(known, trying)? {
            return given(found);
        }
        known = trying;
        barrier();
        if is_still(words, complete)? {
            let pinned = place_of(me, 0, Some(complete.buffer));
            return match place.compare_exchange(trying, pinned)? {
                Ok(_) => Ok(Pin { place: number, buffer: complete.buffer }),
                Err(found) => given(found),
            };
        }
    }
    place.swap(FREE)?;
    Err(garbled("the state of a buffer"))
}

/// Lets go of a buffer.
pub(crate) fn unpin(words: &impl Words, pin: &Pin) -> Result<()> {
    words.place(pin.place).swap(FREE).map(drop)
}

/// Chooses a buffer that is neither current nor pinned, and marks it as being written. The caller is
/// the only writer, and [`publish`]es what is given back when it is written.
pub(crate) fn begin(words: &impl Words) -> Result<Complete> {
    let last = current(words)?;
    let buffers = words.buffers();
    for step in 1..buffers {
        let buffer = (last.buffer + step) % buffers;
        let state = words.state(buffer);
        let before = state.swap(WRITTEN)?;
        barrier();
        if broken!(PinsNotSeen) || !is_pinned(words, buffer, last.buffer)? {
            return Ok(Complete { sequence: last.sequence + 1, buffer });
        }
        state.swap(before)?;
    }
    Err(garbled("the readers' places"))
}

/// Whether a reader has pinned `buffer`. Readers that ask are given the current one.
fn is_pinned(words: &impl Words, buffer: u32, current: u32) -> Result<bool> {
    let mut pinned = false;
    for number in 0..words.readers() {
        let place = words.place(number);
        let mut found = place.load()?;
        // It changes once at most: from asking to what its reader has found for itself.
        for _ in 0..TRIES {
            if found & ASKS == 0 {
                break;
            }
            let given = found & u64::from(u32::MAX) | u64::from(current + 1) << HAS_SHIFT;
            match place.compare_exchange(found, given)? {
                Ok(_) => found = given,
                Err(other) => found = other,
            }
        }
        pinned |= buffer_in(found) == Some(buffer);
    }
    Ok(pinned)
}

/// Makes a buffer that was written the current one.
pub(crate) fn publish(words: &impl Words, complete: Complete) -> Result<()> {
    words.state(complete.buffer).swap(complete.sequence)?;
    words.current().swap(complete.word()).map(drop)
}

#[cold]
fn garbled(what: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, "use the snapshot")
        .because(format!("{what} is what nobody wrote"))
}
