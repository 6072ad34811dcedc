//! Who receives.

use std::time::Duration;

use bifolio_map::Patience;

use super::{Channel, PAYLOAD, RECEIVER, Ring, TAIL};
use crate::error::{Error, ErrorKind, Result, untold};
use crate::lock::{mutex_words, thread_number};
use crate::region::after_copy;
use crate::shared::{self, Shared};
use crate::word::mutex::Health;
use crate::word::ring::{self, Asks, Found, Loss, Step, Turn, Wait, Way, Words};
use crate::word::{Naps, Pair, Word};

/// The receiving end: of a queue the only one at a time, of a broadcast one of any number, each of which
/// gets what is sent after it was made.
#[derive(Debug)]
pub struct Receiver {
    channel: Channel,
    /// The next position, of a broadcast.
    position: u64,
    /// The message of a broadcast, copied: its slot may be written over at any time.
    copied: Vec<u8>,
}

/// A message that was received. That of a queue lies in its slot, which is free for others when this
/// is dropped; that of a broadcast was copied.
#[derive(Debug)]
#[must_use = "the message is over when this is dropped"]
pub struct Message<'receiver> {
    receiver: &'receiver Receiver,
    position: u64,
    len: usize,
}

impl Channel {
    /// The receiving end of a broadcast, or of a queue from which nobody receives who lives.
    ///
    /// # Errors
    /// `Busy` if somebody receives from the queue, `Deadlock` if this thread does; `Forked` in a forked
    /// child; `Corrupt` if the channel's words are what nobody wrote; what became of the region's bytes.
    pub fn receiver(&self) -> Result<Receiver> {
        self.receiver_with(Patience::Try)
    }

    /// As [`receiver`](Self::receiver), waiting at most for `time` for who receives from the queue.
    ///
    /// # Errors
    /// `TimedOut`; otherwise those of [`receiver`](Self::receiver).
    pub fn receiver_within(&self, time: Duration) -> Result<Receiver> {
        self.receiver_with(Patience::For(time))
    }

    fn receiver_with(&self, patience: Patience) -> Result<Receiver> {
        let region = &self.region;
        region.participant().check()?;
        if self.way == Way::Queue {
            let words = mutex_words(region, self.offset + RECEIVER);
            let locked = words.lock(region.participant(), thread_number(), patience);
            // What one that died has left is in the words of the ring, and found there.
            if self.explained(locked)? != Health::Sound {
                words.set_health(Health::Sound)?;
            }
        }
        let position = region.view().atomic_u64(self.offset + TAIL)?.load()?;
        Ok(Receiver { channel: self.clone(), position, copied: Vec::new() })
    }
}

impl Receiver {
    /// The next message, waited for.
    ///
    /// # Errors
    /// `Lost` if messages of a broadcast were written over before they were received, which is told once,
    /// with how many at most (a loan that was given back counts, where it was written over); `Forked`
    /// in a forked child; `Corrupt` if the channel's words are what nobody wrote; what became of the
    /// region's bytes.
    #[inline]
    pub fn receive(&mut self) -> Result<Message<'_>> {
        match self.receive_with(Patience::Forever)? {
            Some(message) => Ok(message),
            None => unreachable!("who waits for ever does not give up"),
        }
    }

    /// The next message, if there is one.
    ///
    /// # Errors
    /// Those of [`receive`](Self::receive).
    #[inline]
    pub fn try_receive(&mut self) -> Result<Option<Message<'_>>> {
        self.receive_with(Patience::Try)
    }

    /// The next message, waited for at most for `time`.
    ///
    /// # Errors
    /// `TimedOut`; otherwise those of [`receive`](Self::receive).
    pub fn receive_within(&mut self, time: Duration) -> Result<Message<'_>> {
        let (region, offset) = (self.channel.region.clone(), self.channel.offset);
        match self.receive_with(Patience::For(time))? {
            Some(message) => Ok(message),
            None => {
                let why = "nothing was sent";
                let error = Error::new(ErrorKind::TimedOut, "receive").because(why);
                Err(region.explain(error, offset))
            }
        }
    }

    #[inline]
    fn receive_with(&mut self, patience: Patience) -> Result<Option<Message<'_>>> {
        self.channel.region.participant().check()?;
        // Who only tries finds the dead too.
        let asks = if matches!(patience, Patience::Try) { Asks::Everybody } else { Asks::Nobody };
        let found = self.look(asks)?;
        if let Found::Message(position, turn) = found
            && let Some(len) = self.take(position, turn)?
        {
            return self.message(position, len).map(Some);
        }
        match self.wait_for_message(found, patience)? {
            Some((position, len)) => self.message(position, len).map(Some),
            None => Ok(None),
        }
    }

    #[inline]
    fn look(&self, asks: Asks) -> Result<Found> {
        let (ring, peers) = (Ring(&self.channel), self.channel.region.participant());
        let found = match self.channel.way {
            Way::Queue => ring::next(&ring, peers, asks),
            Way::Broadcast => ring::look(&ring, peers, self.position, asks),
        };
        self.channel.explained(found)
    }

    /// What comes after what was found: the position of a message that was taken, and its length.
    #[cold]
    fn wait_for_message(
        &mut self,
        mut found: Found,
        patience: Patience,
    ) -> Result<Option<(u64, u32)>> {
        let mut wait = Wait::new(Naps::new(patience), self.channel.waiting);
        loop {
            if let Found::Nothing(position, _) | Found::Written(position, _) = found {
                // What was given back before it is not lost any more.
                self.position = position;
            }
            let awaited = match found {
                Found::Message(position, turn) => match self.take(position, turn)? {
                    Some(len) => return Ok(Some((position, len))),
                    None => None,
                },
                Found::Lost(loss) => return Err(self.lost(loss)),
                Found::Nothing(position, turn) | Found::Written(position, turn) => {
                    Some((position, turn))
                }
            };
            found = match (wait.step(), awaited) {
                (Step::Again(asks), _) => self.look(asks)?,
                (Step::Sleep(nap), Some((position, turn))) => {
                    self.channel.waited_for(position).swap(1)?;
                    Ring(&self.channel).slot(position).wait(turn.lower(), nap)?;
                    self.look(Asks::Everybody)?
                }
                // It was written over while it was copied: that is told now.
                (Step::Sleep(_), None) => self.look(Asks::Everybody)?,
                (Step::Over, None) => match self.look(Asks::Everybody)? {
                    Found::Lost(loss) => return Err(self.lost(loss)),
                    _ => return Ok(None),
                },
                (Step::Over, Some(_)) => return Ok(None),
            };
        }
    }

    #[cold]
    fn lost(&mut self, Loss { many, next }: Loss) -> Error {
        self.position = next;
        let why = format!("{many} messages were written over before they were received");
        let error = Error::new(ErrorKind::Lost(many), "receive").because(why);
        self.channel.region.explain(error, self.channel.offset)
    }

    /// Takes a message; the length that it says it has. That of a broadcast is copied, and `None` if it
    /// was written over meanwhile.
    #[inline]
    fn take(&mut self, position: u64, turn: Turn) -> Result<Option<u32>> {
        let channel = &self.channel;
        let len = channel.len_of(position).load()?;
        if channel.way == Way::Broadcast {
            let at = channel.slot_at(position) + PAYLOAD;
            between!();
            self.copied.resize(len.min(channel.bytes) as usize, 0);
            channel.region.view().read_at(at, &mut self.copied)?;
            // The bytes before the second look.
            after_copy();
            if Ring(channel).turn(position)? != turn && !broken!(TornMessage) {
                return Ok(None);
            }
            self.position = position.wrapping_add(1);
        }
        Ok(Some(len))
    }

    #[inline]
    fn message(&self, position: u64, len: u32) -> Result<Message<'_>> {
        if len > self.channel.bytes {
            return Err(self.too_long(position, len));
        }
        Ok(Message { receiver: self, position, len: len as usize })
    }

    /// A message of a length that nobody sent: it is passed over, so that the next one can be received.
    #[cold]
    fn too_long(&self, position: u64, len: u32) -> Error {
        if self.channel.way == Way::Queue {
            // What cannot be written here either is told now.
            let _ = self.release(position);
        }
        let why = format!("a message says that it has {len} bytes, of {}", self.channel.bytes);
        let error = Error::new(ErrorKind::Corrupt, "receive").because(why);
        self.channel.region.explain(error, self.channel.offset)
    }

    fn release(&self, position: u64) -> Result<()> {
        ring::release(&Ring(&self.channel), position)?;
        self.channel.wake(position)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let region = &self.channel.region;
        if self.channel.way == Way::Queue && region.participant().check().is_ok() {
            // Bytes that cannot be had are nobody's; the next access says so.
            let _ = mutex_words(region, self.channel.offset + RECEIVER).unlock(Health::Sound);
        }
    }
}

impl Message<'_> {
    /// Its bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an empty message is no special case")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Copies a part of it.
    ///
    /// # Errors
    /// `OutOfBounds` behind its end; what became of the region's bytes.
    #[inline]
    pub fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > self.len as u64) {
            return Err(self.outside(offset, bytes.len()));
        }
        let Receiver { channel, copied, .. } = self.receiver;
        match channel.way {
            Way::Queue => {
                let at = channel.slot_at(self.position) + PAYLOAD + offset;
                channel.region.view().read_at(at, bytes)?;
            }
            Way::Broadcast => {
                let start = usize::try_from(offset).expect("it lies inside");
                bytes.copy_from_slice(&copied[start..start + bytes.len()]);
            }
        }
        Ok(())
    }

    #[cold]
    fn outside(&self, offset: u64, len: usize) -> Error {
        Error::new(ErrorKind::OutOfBounds, "read a message")
            .because(format!("asked for {len} bytes at {offset}, of {}", self.len))
    }

    /// A copy of it.
    ///
    /// # Errors
    /// What became of the region's bytes.
    pub fn to_vec(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.len];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// The value that it is.
    ///
    /// # Errors
    /// `LayoutMismatch` if it has another size; `Corrupt` if its bytes are none of `T`; what became
    /// of the region's bytes.
    pub fn value<T: Shared>(&self) -> Result<T> {
        if self.len != size_of::<T>() {
            let why = format!("it has {} bytes, a value {}", self.len, size_of::<T>());
            return Err(Error::new(ErrorKind::LayoutMismatch, "receive a value").because(why));
        }
        let Receiver { channel, copied, .. } = self.receiver;
        match channel.way {
            Way::Queue => channel.region.decode(channel.slot_at(self.position) + PAYLOAD),
            Way::Broadcast => shared::decode(copied),
        }
    }
}

impl Drop for Message<'_> {
    #[inline]
    fn drop(&mut self) {
        let channel = &self.receiver.channel;
        // In a forked child the message is still its parent's.
        if channel.way == Way::Queue && channel.region.participant().check().is_ok() {
            untold(self.receiver.release(self.position));
        }
    }
}
