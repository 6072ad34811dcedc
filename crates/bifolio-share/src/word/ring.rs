//! The words of a channel: a ring of slots, each of which says whose turn it is.
//!
//! Messages have *positions*, counted from 0 for ever; the message at a position lies in slot
//! `position mod slots`, on *lap* `position / slots`. A slot's word:
//!
//! ```text
//!  63                 32 31                    2 1     0
//! ┌─────────────────────┬───────────────────────┬───────┐
//! │ who writes, or 0    │       lap (30)        │ state │    the lower half is waited on
//! └─────────────────────┴───────────────────────┴───────┘
//!
//!                  reserve              commit
//!   free, L ─────────────────▶ written, L, H ──────▶ ready, L ─────┐
//!      ▲                         │ given back, or H died           │ received
//!      │                         ▼                                 ▼
//!      │                     skipped, L ──────────────────▶ free, L + 1     (a queue)
//!      │
//!      └── only on the first lap of a broadcast: there a slot that is ready or skipped is
//!          reserved again on any later lap, whoever has read it
//! ```
//!
//! One change of one word reserves a slot *and* says who has it, so that the dead are known
//! wherever they stop. `tail`, the next position to reserve, follows: whoever finds the slot at `tail`
//! taken moves it on. The receiver of a queue alone moves `head`, after it has freed the slot: who takes
//! its place finds a slot that is free for the next lap, and moves on.
//!
//! Laps wrap. A word that is the same again after 2^30 laps stands for the same turn of the same slot,
//! so who slept for so long still does the right thing.

use super::{Naps, Pair, Peers, pause};
use crate::error::{Error, ErrorKind, Result};
use crate::participant::Holder;

/// The most slots: far more than can be wanted, and few enough that laps do not wrap soon.
pub(crate) const MOST_SLOTS: u32 = 1 << 20;

const LAPS: u32 = 1 << 30;

/// Whose turn a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Of who reserves it.
    Free = 0,
    /// Of who has reserved it.
    Written = 1,
    /// Of whoever receives.
    Ready = 2,
    /// Nobody's: there is no message.
    Skipped = 3,
}

/// A slot's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn(u64);

impl Turn {
    pub(crate) fn new(lap: u32, state: State, holder: Option<Holder>) -> Self {
        let holder = holder.map_or(0, Holder::word);
        Self(u64::from(holder) << 32 | u64::from(lap % LAPS) << 2 | state as u64)
    }

    /// The word.
    #[cfg(all(test, loom))]
    pub(crate) fn word(self) -> u64 {
        self.0
    }

    /// What can be waited on.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    pub(crate) fn lower(self) -> u32 {
        self.0 as u32
    }

    fn lap(self) -> u32 {
        self.lower() >> 2
    }

    pub(crate) fn state(self) -> State {
        match self.0 & 3 {
            0 => State::Free,
            1 => State::Written,
            2 => State::Ready,
            _ => State::Skipped,
        }
    }

    /// Who writes; nobody known, if no participant wrote the word.
    pub(crate) fn holder(self) -> Option<Holder> {
        Holder::in_word((self.0 >> 32) as u32)
    }

    /// How this word's lap lies to another one.
    fn against(self, lap: u32) -> Against {
        match self.lap().wrapping_sub(lap) % LAPS {
            0 => Against::Same,
            ahead if ahead < LAPS / 2 => Against::Later,
            _ => Against::Earlier,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Against {
    Earlier,
    Same,
    Later,
}

/// What becomes of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    /// One receiver gets each, and senders wait for it.
    Queue,
    /// Every receiver gets each, unless it is too slow: senders wait for no receiver.
    Broadcast,
}

/// Where the words are. `slots` is a power of two.
pub(crate) trait Words {
    type Word: Pair;
    fn tail(&self) -> Self::Word;
    fn head(&self) -> Self::Word;
    /// The word of the slot at a position.
    fn slot(&self, position: u64) -> Self::Word;
    fn slots(&self) -> u32;
    fn way(&self) -> Way;

    #[inline]
    fn lap(&self, position: u64) -> u32 {
        let lap = (position >> self.slots().trailing_zeros()) & u64::from(LAPS - 1);
        u32::try_from(lap).expect("masked")
    }

    #[inline]
    fn turn(&self, position: u64) -> Result<Turn> {
        self.slot(position).load().map(Turn)
    }

    #[inline]
    fn change(&self, position: u64, from: Turn, to: Turn) -> Result<bool> {
        Ok(self.slot(position).compare_exchange(from.0, to.0)?.is_ok())
    }

    /// Moves the tail on, if it is there still.
    #[inline]
    fn pass(&self, position: u64) -> Result<()> {
        self.tail().compare_exchange(position, position.wrapping_add(1)).map(drop)
    }
}

/// What came of a try to reserve a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reserved {
    /// The position, with the caller as who writes.
    At(u64),
    /// There is no room: the slot at this position holds a message of a queue that was not received, or
    /// those who live write in every slot of a broadcast.
    Full(u64, Turn),
}

/// Reserves the next slot.
#[inline]
pub(crate) fn reserve(words: &impl Words, peers: &impl Peers) -> Result<Reserved> {
    let position = words.tail().load()?;
    let lap = words.lap(position);
    let found = words.turn(position)?;
    if found == Turn::new(lap, State::Free, None)
        && words.change(position, found, Turn::new(lap, State::Written, Some(peers.me())))?
    {
        words.pass(position)?;
        return Ok(Reserved::At(position));
    }
    reserve_contended(words, peers)
}

#[cold]
fn reserve_contended(words: &impl Words, peers: &impl Peers) -> Result<Reserved> {
    // Each round somebody gets on. Words that nobody wrote would let us go round for ever.
    for _ in 0..rounds(words) {
        let position = words.tail().load()?;
        let lap = words.lap(position);
        let found = words.turn(position)?;
        let mine = Turn::new(lap, State::Written, Some(peers.me()));
        let free = match (found.against(lap), found.state(), words.way()) {
            (Against::Same, State::Free, _)
            | (Against::Earlier, State::Free | State::Ready | State::Skipped, Way::Broadcast) => {
                true
            }
            // Taken, and who took it has not moved the tail yet.
            (Against::Same | Against::Later, ..) => false,
            (Against::Earlier, _, Way::Queue) => return Ok(Reserved::Full(position, found)),
            // A whole round behind. Whoever lives may still send it, on its own lap.
            (Against::Earlier, State::Written, Way::Broadcast) if is_left(peers, found)? => true,
            (Against::Earlier, State::Written, Way::Broadcast) => {
                if !broken!(LoansPassedForEver) && !is_any_other_to_be_had(words, peers, position)?
                {
                    return Ok(Reserved::Full(position, found));
                }
                words.pass(position)?;
                // Who waits for a message here is to look behind it.
                words.slot(position).wake_all()?;
                continue;
            }
        };
        if !free {
            words.pass(position)?;
        } else if words.change(position, found, mine)? {
            words.pass(position)?;
            return Ok(Reserved::At(position));
        }
    }
    Err(garbled("no slot can be reserved"))
}

/// Whether there is a slot but the one at `position` in which nobody writes who lives.
#[cold]
fn is_any_other_to_be_had(words: &impl Words, peers: &impl Peers, position: u64) -> Result<bool> {
    for behind in 1..u64::from(words.slots()) {
        let found = words.turn(position.wrapping_add(behind))?;
        if found.state() != State::Written || is_left(peers, found)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether who writes a slot is dead, or nobody.
fn is_left(peers: &impl Peers, turn: Turn) -> Result<bool> {
    let Some(holder) = turn.holder() else { return Ok(true) };
    if !peers.is_dead(holder)? {
        return Ok(false);
    }
    peers.note_death(holder)?;
    Ok(true)
}

/// Says what is in a slot that the caller has reserved.
#[inline]
pub(crate) fn commit(words: &impl Words, position: u64, state: State) -> Result<()> {
    let turn = Turn::new(words.lap(position), state, None);
    words.slot(position).swap(turn.0).map(drop)
}

/// What is at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Message(u64, Turn),
    /// Nobody has reserved it: there is nothing more for now.
    Nothing(u64, Turn),
    /// Somebody who lives writes it.
    Written(u64, Turn),
    /// What was there is written over, or will be.
    Lost(Loss),
}

/// What a receiver of a broadcast is too late for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    /// Positions in a row that may have held messages.
    pub(crate) many: u64,
    /// The position to go on at.
    pub(crate) next: u64,
}

/// The next message of a queue; the caller is its receiver.
#[inline]
pub(crate) fn next(words: &impl Words, peers: &impl Peers, asks: Asks) -> Result<Found> {
    for _ in 0..rounds(words) {
        let position = words.head().load()?;
        let lap = words.lap(position);
        let found = words.turn(position)?;
        match (found.against(lap), found.state()) {
            (Against::Same, State::Ready) => return Ok(Found::Message(position, found)),
            (Against::Same, State::Free) => return Ok(Found::Nothing(position, found)),
            (Against::Same, State::Written) => {
                if asks == Asks::Nobody || broken!(DeadSenderKept) || !is_left(peers, found)? {
                    return Ok(Found::Written(position, found));
                }
                words.change(position, found, Turn::new(lap, State::Skipped, None))?;
            }
            (Against::Same, State::Skipped) => release(words, position)?,
            // A receiver died between the two steps of a release.
            (Against::Later, _) => words.head().store(position.wrapping_add(1))?,
            (Against::Earlier, _) => break,
        }
    }
    Err(garbled("the slot at the head"))
}

/// Whether the lives of senders are asked for, which costs a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    Nobody,
    Everybody,
}

/// Frees the slot of a queue whose message was received.
#[inline]
pub(crate) fn release(words: &impl Words, position: u64) -> Result<()> {
    let next = words.lap(position).wrapping_add(1);
    if broken!(HeadFirst) {
        words.head().store(position.wrapping_add(1))?;
        seam!();
    }
    words.slot(position).swap(Turn::new(next, State::Free, None).0)?;
    words.head().store(position.wrapping_add(1))
}

/// The message of a broadcast at `position` or the next one behind; of a position that is over, what is
/// lost.
#[inline]
pub(crate) fn look(
    words: &impl Words,
    peers: &impl Peers,
    mut position: u64,
    asks: Asks,
) -> Result<Found> {
    for _ in 0..rounds(words) {
        let lap = words.lap(position);
        let found = words.turn(position)?;
        match (found.against(lap), found.state()) {
            (Against::Same, State::Ready) => return Ok(Found::Message(position, found)),
            (Against::Same, State::Skipped) => position = position.wrapping_add(1),
            (Against::Same, State::Written) => {
                // Whoever lives and writes for so long is passed by.
                let tail = words.tail().load()?;
                if is_before(position.wrapping_add(words.slots().into()), tail) {
                    return lost(words, position);
                }
                if asks == Asks::Nobody || broken!(DeadSenderKept) || !is_left(peers, found)? {
                    return Ok(Found::Written(position, found));
                }
                words.change(position, found, Turn::new(lap, State::Skipped, None))?;
            }
            (Against::Same, State::Free) => return Ok(Found::Nothing(position, found)),
            (Against::Later, _) => return lost(words, position),
            (Against::Earlier, _) => {
                let tail = words.tail().load()?;
                if is_before(position, tail) && words.turn(position)? == found {
                    // Passed by, since somebody still wrote there a round ago.
                    position = position.wrapping_add(1);
                } else if !is_before(position, tail) {
                    return Ok(Found::Nothing(position, found));
                }
            }
        }
    }
    // Whole rounds of slots that were passed by, or words that nobody wrote.
    lost(words, position)
}

/// What is lost from `position` on, when that was written over: the next one to look at is not the
/// oldest, which is written over next, but some behind it.
fn lost(words: &impl Words, position: u64) -> Result<Found> {
    let slots = u64::from(words.slots());
    let tail = words.tail().load()?;
    let goes_on = tail.wrapping_sub((slots - slots / 8 - 1).max(1));
    let many = goes_on.wrapping_sub(position);
    // Words that nobody wrote may lead anywhere; a position never goes back.
    let many = if is_before(position, goes_on) { many } else { 1 };
    Ok(Found::Lost(Loss { many, next: position.wrapping_add(many) }))
}

#[inline]
fn is_before(one: u64, other: u64) -> bool {
    other.wrapping_sub(one).wrapping_sub(1) < u64::MAX / 2
}

/// More rounds than anybody needs whose words somebody wrote.
fn rounds(words: &impl Words) -> u32 {
    words.slots().saturating_mul(4).saturating_add(64)
}

/// How somebody waits for the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Waiting {
    /// It asks all the time: the fastest, and it keeps a core busy.
    Spin,
    /// It asks for some tens of microseconds, and sleeps then.
    #[default]
    SpinThenSleep,
    /// It sleeps at once.
    Sleep,
}

/// Turns of asking before one sleeps: some tens of microseconds.
const SHORT_SPIN: u32 = 2_000;
/// Who only asks looks at the clock, and at who lives, once in so many turns.
const TURNS: u32 = 4_096;

/// The steps of a wait.
#[derive(Debug)]
pub(crate) struct Wait {
    naps: Naps,
    waiting: Waiting,
    turns: u32,
}

/// What a waiter does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Asks again.
    Again(Asks),
    /// Sleeps at most for so long, and asks again.
    Sleep(std::time::Duration),
    /// Gives up.
    Over,
}

impl Wait {
    pub(crate) fn new(naps: Naps, waiting: Waiting) -> Self {
        Self { naps, waiting, turns: 0 }
    }

    pub(crate) fn step(&mut self) -> Step {
        self.turns = self.turns.wrapping_add(1);
        let spins = match self.waiting {
            Waiting::Spin => !self.turns.is_multiple_of(TURNS),
            Waiting::SpinThenSleep => self.turns < SHORT_SPIN,
            Waiting::Sleep => false,
        };
        if spins && !self.naps.are_none() {
            pause();
            return Step::Again(Asks::Nobody);
        }
        match self.naps.next() {
            None => Step::Over,
            Some(_) if self.waiting == Waiting::Spin => {
                pause();
                Step::Again(Asks::Everybody)
            }
            Some(nap) => Step::Sleep(nap),
        }
    }
}

#[cold]
fn garbled(what: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, "use the channel")
        .because(format!("{what}: its words are what nobody wrote"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::participant::Slot;

    #[test]
    fn a_turn_survives_its_word() {
        let holder = Holder::new(Slot::new(9), 77);
        for state in [State::Free, State::Written, State::Ready, State::Skipped] {
            for lap in [0, 1, LAPS - 1] {
                let turn = Turn::new(lap, state, Some(holder));
                assert_eq!((turn.lap(), turn.state(), turn.holder()), (lap, state, Some(holder)));
            }
        }
        assert_eq!(Turn::new(LAPS, State::Free, None), Turn(0));
    }

    #[test]
    fn laps_are_compared_around_their_end() {
        let turn = |lap| Turn::new(lap, State::Free, None);
        assert_eq!(turn(5).against(5), Against::Same);
        assert_eq!(turn(6).against(5), Against::Later);
        assert_eq!(turn(4).against(5), Against::Earlier);
        assert_eq!(turn(0).against(LAPS - 1), Against::Later);
        assert_eq!(turn(LAPS - 1).against(0), Against::Earlier);
        assert!(is_before(1, 2) && !is_before(2, 2) && !is_before(3, 2));
        assert!(is_before(u64::MAX, 0) && !is_before(0, u64::MAX));
    }
}
