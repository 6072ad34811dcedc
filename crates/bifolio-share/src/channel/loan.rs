//! Room for a message in the channel itself.

use super::{Channel, PAYLOAD};
use crate::error::{Error, ErrorKind, Result};
use crate::shared::{self, Shared};
use crate::word::Word;
use crate::word::ring::State;

/// Room for one message, which is written in place and then [sent](Self::send). Dropping it sends
/// nothing.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let region = bifolio_share::Region::create(dir.path().join("region"))?;
/// let frames = region.broadcast("frames", 4, 1 << 12)?;
/// let mut receiver = frames.receiver()?;
/// let mut frame = frames.loan(4096)?;
/// for row in 0..4 {
///     frame.write_at(row * 1024, &[row as u8; 1024])?;
/// }
/// frame.send()?;
/// assert_eq!(receiver.receive()?.to_vec()?[1024..1026], [1, 1]);
/// # Ok::<(), bifolio_share::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping it sends nothing"]
pub struct Loan<'channel> {
    channel: &'channel Channel,
    position: u64,
    len: u32,
}

impl<'channel> Loan<'channel> {
    pub(super) fn of(channel: &'channel Channel, position: u64, len: u32) -> Self {
        Self { channel, position, len }
    }

    /// Bytes of the message. They are what an earlier one left, until they are written.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an empty message is no special case")]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Writes a part of the message.
    ///
    /// # Errors
    /// `OutOfBounds` behind its end; `Forked` in a forked child; what became of the region's bytes.
    #[inline]
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let region = &self.channel.region;
        region.participant().check()?;
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > self.len.into()) {
            return Err(self.outside(offset, bytes.len()));
        }
        let at = self.channel.slot_at(self.position) + PAYLOAD + offset;
        Ok(region.view().write_at(at, bytes)?)
    }

    /// Writes a value into the message.
    ///
    /// # Errors
    /// Those of [`write_at`](Self::write_at).
    pub fn put<T: Shared>(&mut self, offset: u64, value: &T) -> Result<()> {
        self.write_at(offset, shared::encode(value))
    }

    #[cold]
    fn outside(&self, offset: u64, len: usize) -> Error {
        Error::new(ErrorKind::OutOfBounds, "write a message")
            .because(format!("asked for {len} bytes at {offset}, of {}", self.len))
    }

    /// Sends the message.
    ///
    /// # Errors
    /// `Forked` in a forked child; what became of the region's bytes.
    #[inline]
    pub fn send(self) -> Result<()> {
        self.channel.region.participant().check()?;
        self.channel.len_of(self.position).store(self.len)?;
        // From here on it is not ours to give back.
        let (channel, position) = (self.channel, self.position);
        std::mem::forget(self);
        channel.commit(position, State::Ready)
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        // In a forked child the loan is still its parent's.
        if self.channel.region.participant().check().is_ok() {
            // Bytes that cannot be had are nobody's; the next access says so.
            let _ = self.channel.commit(self.position, State::Skipped);
        }
    }
}
