//! Channels: messages from any process to one receiver, or to all.

mod loan;
mod receiver;

pub use loan::Loan;
pub use receiver::{Message, Receiver};

use std::time::Duration;

use bifolio_map::Patience;

pub use crate::word::ring::Waiting;

use crate::error::{Error, ErrorKind, Result};
use crate::region::{Kind, Object, Region};
use crate::shared::{self, Layout, Shared};
use crate::word::ring::{self, MOST_SLOTS, Reserved, State, Step, Wait, Way, Words};
use crate::word::{Naps, Pair, ViewPair, ViewWord, Word};

/// The mutex of who receives from a queue.
const RECEIVER: u64 = 0;
const SLOTS: u64 = 16;
const BYTES: u64 = 20;
const WAY: u64 = 24;
/// The next position to reserve, and the next one to receive: in cache lines of their own.
const TAIL: u64 = 64;
const HEAD: u64 = 128;
const RING: u64 = 192;

/// In a slot, behind its turn: the message's length, and whether somebody waits for the turn.
const LEN: u64 = 8;
const WAITED_FOR: u64 = 12;
const PAYLOAD: u64 = 16;
const LINE: u64 = 64;

/// The longest message, in bytes.
const LONGEST: u32 = 1 << 30;

/// A ring of messages in shared memory: of a *queue* each message goes to one receiver, and senders wait
/// while it is full; of a *broadcast* every receiver gets every message, senders wait for no receiver,
/// and who receives too slowly is told how many messages it has lost.
///
/// Any thread of any process sends, by copying a message in or by writing it in place (a [`Loan`]).
/// A sender that dies in the middle of a message is passed over; a receiver of a queue that dies with a
/// message leaves it to the next one, so a message may be received twice, and none is lost.
///
/// ```
/// use bifolio_share::Region;
/// # let dir = tempfile::tempdir().unwrap();
/// let region = Region::create(dir.path().join("orders"))?;
/// let orders = region.queue("orders", 16, 100)?; // 16 messages of up to 100 bytes
/// orders.send(b"two coffees")?;
/// orders.send_value(&[1_u64, 2])?;
///
/// // Elsewhere, in another process:
/// let mut receiver = orders.receiver()?;
/// assert_eq!(receiver.receive()?.to_vec()?, b"two coffees");
/// assert_eq!(receiver.receive()?.value::<[u64; 2]>()?, [1, 2]);
/// assert!(receiver.try_receive()?.is_none());
/// # Ok::<(), bifolio_share::Error>(())
/// ```
///
/// Senders of a queue are received in the order in which they began. One that is stopped, not dead, in
/// the middle of a message holds the later ones up; calls with a time end when it is over. In a broadcast
/// it holds receivers up until the others have gone once round the ring, and is passed by then; only if
/// senders that live are in the middle of a message in every slot does another one wait.
#[derive(Clone, Debug)]
pub struct Channel {
    region: Region,
    offset: u64,
    slots: u32,
    bytes: u32,
    /// From one slot to the next.
    step: u64,
    way: Way,
    waiting: Waiting,
}

impl Region {
    /// The queue of this name; if there is none, a new one of `slots` messages (a power of two, or
    /// the next one) of up to `bytes` bytes.
    ///
    /// # Errors
    /// `InvalidInput` for none of either, for more than 2^20 slots or 2^30 bytes, `LayoutMismatch` also
    /// for other numbers than it was made with; otherwise those of [`mutex`](Self::mutex).
    pub fn queue(&self, name: &str, slots: u32, bytes: u32) -> Result<Channel> {
        Channel::find(self, name, slots, bytes, Way::Queue)
    }

    /// The broadcast of this name; if there is none, a new one, as for [`queue`](Self::queue).
    ///
    /// # Errors
    /// Those of [`queue`](Self::queue).
    pub fn broadcast(&self, name: &str, slots: u32, bytes: u32) -> Result<Channel> {
        Channel::find(self, name, slots, bytes, Way::Broadcast)
    }

    /// The channel of this name, as it was made; `None` if the name stands for nothing yet.
    ///
    /// # Errors
    /// `LayoutMismatch` if it stands for something else; `Corrupt` if the channel's words are what nobody
    /// wrote; otherwise those of [`mutex`](Self::mutex).
    pub fn channel(&self, name: &str) -> Result<Option<Channel>> {
        const DOING: &str = "find";
        let Some(object) = self.objects()?.into_iter().find(|object| object.name == name) else {
            return Ok(None);
        };
        if object.kind != Kind::Channel.as_str() {
            let why = format!("it is {}, not a channel", object.kind);
            return Err(Error::new(ErrorKind::LayoutMismatch, DOING).of(name).because(why));
        }
        self.want(object.offset, object.size, DOING)?;
        let stored = |at| -> Result<u32> { Ok(self.view().get(object.offset + at)?) };
        let (slots, bytes) = (stored(SLOTS)?, stored(BYTES)?);
        let way = match stored(WAY)? {
            0 => Way::Queue,
            1 => Way::Broadcast,
            other => {
                let why = format!("its kind is {other}");
                return Err(Error::new(ErrorKind::Corrupt, DOING).of(name).because(why));
            }
        };
        // Which is refused if its size is another one than these numbers say.
        Channel::find(self, name, slots, bytes, way).map(Some)
    }
}

impl Channel {
    /// What it is called in the directory; there is no value of one type.
    const LAYOUT: Layout = u32::SHARED_LAYOUT;

    fn find(region: &Region, name: &str, slots: u32, bytes: u32, way: Way) -> Result<Self> {
        if slots == 0 || slots > MOST_SLOTS || bytes == 0 || bytes > LONGEST {
            return Err(Error::new(ErrorKind::InvalidInput, "make a channel").of(name).because(
                format!(
                    "it has 1 to {MOST_SLOTS} slots of 1 to {LONGEST} bytes, not {slots} of {bytes}"
                ),
            ));
        }
        let slots = slots.next_power_of_two();
        let step = (PAYLOAD + u64::from(bytes)).next_multiple_of(LINE);
        let waiting = Waiting::default();
        let at = |offset| Self { region: region.clone(), offset, slots, bytes, step, way, waiting };
        let size = RING + u64::from(slots) * step;
        let fill = |offset| at(offset).initialise();
        let object: Object = region.object(name, Kind::Channel, size, &Self::LAYOUT, fill)?;
        let channel = at(object.offset);
        let stored = |at| -> Result<u32> { Ok(region.view().get(object.offset + at)?) };
        let found = (stored(SLOTS)?, stored(BYTES)?, stored(WAY)?);
        if found != (slots, bytes, channel.way_word()) {
            let why = format!(
                "it was made as a {} of {} slots of {} bytes",
                if found.2 == 0 { "queue" } else { "broadcast" },
                found.0,
                found.1
            );
            return Err(Error::new(ErrorKind::LayoutMismatch, "find").of(name).because(why));
        }
        Ok(channel)
    }

    fn initialise(&self) -> Result<()> {
        self.region.zero(self.offset, RING)?;
        for position in 0..u64::from(self.slots) {
            self.region.zero(self.slot_at(position), PAYLOAD)?;
        }
        let numbers = [(SLOTS, self.slots), (BYTES, self.bytes), (WAY, self.way_word())];
        for (at, number) in numbers {
            self.region.view().write_at(self.offset + at, &number.to_ne_bytes())?;
        }
        Ok(())
    }

    fn way_word(&self) -> u32 {
        match self.way {
            Way::Queue => 0,
            Way::Broadcast => 1,
        }
    }

    /// The same channel, at which this handle and its receivers wait in this way.
    #[must_use]
    pub fn waiting(self, waiting: Waiting) -> Self {
        Self { waiting, ..self }
    }

    /// How many messages it holds at most: a power of two.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// The longest message, in bytes.
    #[must_use]
    pub fn longest(&self) -> u32 {
        self.bytes
    }

    /// Sends a message, waiting for as long as the queue is full, or every slot of the broadcast on loan.
    ///
    /// # Errors
    /// `InvalidInput` for a message that is too long; `Forked` in a forked child; `Corrupt` if the
    /// words of the channel are what nobody wrote; what became of the region's bytes.
    pub fn send(&self, message: &[u8]) -> Result<()> {
        self.send_with(message, Patience::Forever)
    }

    /// Sends a message, if there is room now.
    ///
    /// # Errors
    /// `Full`; otherwise those of [`send`](Self::send).
    pub fn try_send(&self, message: &[u8]) -> Result<()> {
        self.send_with(message, Patience::Try)
    }

    /// Sends a message, waiting at most for `time`.
    ///
    /// # Errors
    /// `TimedOut`; otherwise those of [`send`](Self::send).
    pub fn send_within(&self, message: &[u8], time: Duration) -> Result<()> {
        self.send_with(message, Patience::For(time))
    }

    fn send_with(&self, message: &[u8], patience: Patience) -> Result<()> {
        let len = self.check(message.len())?;
        let mut loan = Loan::of(self, self.reserve(patience)?, len);
        if broken!(SentEarly) {
            let position = loan.position();
            loan.send()?;
            seam!();
            return Ok(self.region.view().write_at(self.slot_at(position) + PAYLOAD, message)?);
        }
        loan.write_at(0, message)?;
        loan.send()
    }

    /// Sends a value, waiting for as long as the queue is full.
    ///
    /// # Errors
    /// Those of [`send`](Self::send).
    pub fn send_value<T: Shared>(&self, value: &T) -> Result<()> {
        self.send(shared::encode(value))
    }

    /// Room for a message of `len` bytes in the channel itself, to be written there and sent.
    /// Waits for as long as the queue is full.
    ///
    /// Later messages are received after this one only. A loan that is forgotten holds those of a queue
    /// up for as long as this process lives, and those of a broadcast for one round of the ring.
    ///
    /// # Errors
    /// Those of [`send`](Self::send).
    pub fn loan(&self, len: usize) -> Result<Loan<'_>> {
        self.loan_with(len, Patience::Forever)
    }

    /// As [`loan`](Self::loan), if there is room now.
    ///
    /// # Errors
    /// `Full`; otherwise those of [`send`](Self::send).
    pub fn try_loan(&self, len: usize) -> Result<Loan<'_>> {
        self.loan_with(len, Patience::Try)
    }

    /// As [`loan`](Self::loan), waiting at most for `time`.
    ///
    /// # Errors
    /// `TimedOut`; otherwise those of [`send`](Self::send).
    pub fn loan_within(&self, len: usize, time: Duration) -> Result<Loan<'_>> {
        self.loan_with(len, Patience::For(time))
    }

    fn loan_with(&self, len: usize, patience: Patience) -> Result<Loan<'_>> {
        let len = self.check(len)?;
        Ok(Loan::of(self, self.reserve(patience)?, len))
    }

    /// Whether a message of this length can be sent here.
    #[inline]
    fn check(&self, len: usize) -> Result<u32> {
        self.region.participant().check()?;
        match u32::try_from(len) {
            Ok(len) if len <= self.bytes => Ok(len),
            _ => Err(self.too_long(len)),
        }
    }

    #[cold]
    fn too_long(&self, len: usize) -> Error {
        let why = format!("a message has up to {} bytes here, this one {len}", self.bytes);
        let error = Error::new(ErrorKind::InvalidInput, "send").because(why);
        self.region.explain(error, self.offset)
    }

    #[inline]
    fn reserve(&self, patience: Patience) -> Result<u64> {
        match self.explained(ring::reserve(&Ring(self), self.region.participant()))? {
            Reserved::At(position) => Ok(position),
            Reserved::Full(..) => self.reserve_after_others(patience),
        }
    }

    #[cold]
    fn reserve_after_others(&self, patience: Patience) -> Result<u64> {
        let mut wait = Wait::new(Naps::new(patience), self.waiting);
        loop {
            match self.explained(ring::reserve(&Ring(self), self.region.participant()))? {
                Reserved::At(position) => return Ok(position),
                Reserved::Full(position, turn) => match wait.step() {
                    Step::Again(_) => {}
                    Step::Sleep(nap) => {
                        self.waited_for(position).swap(1)?;
                        Ring(self).slot(position).wait(turn.lower(), nap)?;
                    }
                    Step::Over => {
                        let kind = match patience {
                            Patience::Try => ErrorKind::Full,
                            _ => ErrorKind::TimedOut,
                        };
                        let why = match self.way {
                            Way::Queue => format!("all {} slots hold messages", self.slots),
                            Way::Broadcast => format!("all {} slots are on loan", self.slots),
                        };
                        let error = Error::new(kind, "send").because(why);
                        return Err(self.region.explain(error, self.offset));
                    }
                },
            }
        }
    }

    /// Wakes those who wait for the turn of a slot.
    #[inline]
    fn wake(&self, position: u64) -> Result<()> {
        let waited_for = self.waited_for(position);
        if waited_for.load()? == 0 {
            return Ok(());
        }
        // If we die before the wake, the waiters look for themselves after a nap.
        waited_for.swap(0)?;
        Ring(self).slot(position).wake_all()
    }

    #[inline]
    fn slot_at(&self, position: u64) -> u64 {
        let number = position & u64::from(self.slots - 1);
        self.offset + RING + number * self.step
    }

    #[inline]
    fn waited_for(&self, position: u64) -> ViewWord<'_> {
        ViewWord::new(self.region.view(), self.slot_at(position) + WAITED_FOR)
    }

    #[inline]
    fn len_of(&self, position: u64) -> ViewWord<'_> {
        ViewWord::new(self.region.view(), self.slot_at(position) + LEN)
    }

    /// The sender's last step.
    #[inline]
    fn commit(&self, position: u64, state: State) -> Result<()> {
        ring::commit(&Ring(self), position, state)?;
        self.wake(position)
    }

    #[inline]
    fn explained<R>(&self, outcome: Result<R>) -> Result<R> {
        outcome.map_err(|error| self.region.explain(error, self.offset))
    }
}

/// The words of a channel in its region.
#[derive(Clone, Copy)]
struct Ring<'channel>(&'channel Channel);

impl<'channel> Ring<'channel> {
    #[inline]
    fn pair(self, at: u64) -> ViewPair<'channel> {
        ViewPair::new(self.0.region.view(), at)
    }
}

impl<'channel> Words for Ring<'channel> {
    type Word = ViewPair<'channel>;

    #[inline]
    fn tail(&self) -> ViewPair<'channel> {
        self.pair(self.0.offset + TAIL)
    }

    #[inline]
    fn head(&self) -> ViewPair<'channel> {
        self.pair(self.0.offset + HEAD)
    }

    #[inline]
    fn slot(&self, position: u64) -> ViewPair<'channel> {
        self.pair(self.0.slot_at(position))
    }

    #[inline]
    fn slots(&self) -> u32 {
        self.0.slots
    }

    #[inline]
    fn way(&self) -> Way {
        self.0.way
    }
}

const _: () = {
    const fn sent<T: Send + Sync>() {}
    sent::<Channel>();
    sent::<Loan<'_>>();
    sent::<Receiver>();
    sent::<Message<'_>>();
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::header::tests::{page, row};

    #[test]
    fn the_words_lie_as_the_page_says() {
        let expected = [
            row("receiver", RECEIVER, 16),
            row("slots", SLOTS, 4),
            row("bytes", BYTES, 4),
            row("way", WAY, 4),
            row("tail", TAIL, 8),
            row("head", HEAD, 8),
        ];
        assert_eq!(page("Channel"), expected);
        let expected = [row("turn", 0, 8), row("len", LEN, 4), row("waited_for", WAITED_FOR, 4)];
        assert_eq!(page("Slot of a channel"), expected);
        let text = include_str!("../../FORMAT.md");
        assert!(text.contains(&format!("| {RING} | | `ring` |")));
        assert!(text.contains(&format!("| {PAYLOAD} | | `message` |")));
    }
}
