//! The words of a lock for many readers or one writer.
//!
//! The writers' half is a mutex. A reader counts itself in the tally of its participant, which has a
//! cache line of its own: readers of different processes write to no common line.
//!
//! ```text
//!   reader                                      writer
//!   1  tally + 1                                1  takes the mutex
//!   2  no writer? ─── yes ──▶ reads             2  waits until every tally is 0, or of the dead
//!      │ no                                     3  writes
//!   3  tally - 1, wakes the writer              4  gives the mutex back
//!   4  takes the mutex, tally + 1, gives it back: reads
//! ```
//!
//! Each writes its own word and then looks at the other's, with a full barrier between, so that one
//! of the two sees the other. A writer that waits keeps new readers out, and so cannot starve. A
//! reader that finds a dead writer becomes its heir by step 4, and leaves word of the death for the
//! next writer. A reader that dies has changed nothing.

use bifolio_map::Patience;

use super::mutex::{Health, MutexWords};
use super::tally::Tally;
use super::{Naps, Pair, Peers, Word, barrier};
use crate::error::{Error, ErrorKind, Result};

/// The words, whatever memory they are in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RwLockWords<P, W> {
    pub(crate) writer: MutexWords<P, W>,
    /// The tally of whoever uses this.
    pub(crate) mine: Tally<W>,
}

impl<P: Pair, W: Word> RwLockWords<P, W> {
    /// Takes the lock for reading. `thread` tells the number of the calling thread, if it is needed.
    #[inline]
    pub(crate) fn read(
        &self,
        peers: &impl Peers,
        thread: impl FnOnce() -> u32,
        patience: Patience,
    ) -> Result<Health> {
        self.mine.enter(peers.me())?;
        barrier();
        match self.writer.free()? {
            Some(health) => Ok(health),
            None => self.read_after_the_writer(peers, thread(), patience),
        }
    }

    #[cold]
    fn read_after_the_writer(
        &self,
        peers: &impl Peers,
        thread: u32,
        patience: Patience,
    ) -> Result<Health> {
        self.end_read(peers)?;
        let health = self.writer.lock(peers, thread, patience)?;
        let entered = self.mine.enter(peers.me());
        self.writer.unlock(health)?;
        entered.map(|()| health)
    }

    /// Gives a lock for reading back.
    #[inline]
    pub(crate) fn end_read(&self, peers: &impl Peers) -> Result<()> {
        let none_left = self.mine.leave(peers.me())?;
        barrier();
        if none_left && self.writer.free()?.is_none() {
            // If we die before this, the writer finds out by itself within a nap.
            self.mine.word.wake_one()?;
        }
        Ok(())
    }

    /// Takes the lock for writing; `tallies` are those of all participants.
    pub(crate) fn write(
        &self,
        peers: &impl Peers,
        tallies: impl Iterator<Item = Tally<W>>,
        thread: u32,
        patience: Patience,
    ) -> Result<Health> {
        let mut naps = Naps::new(patience);
        let health = self.writer.lock(peers, thread, patience)?;
        barrier();
        if broken!(ReadersNotAwaited) {
            return Ok(health);
        }
        for tally in tallies {
            let outcome = tally.wait_for_none(peers, &mut naps);
            if !matches!(outcome, Ok(true)) {
                // The health stays as it was found: nothing was changed.
                self.writer.unlock(health)?;
                outcome?;
                let kind = match patience {
                    Patience::Try => ErrorKind::Busy,
                    _ => ErrorKind::TimedOut,
                };
                return Err(Error::new(kind, "lock")
                    .because(format!("the participant in slot {} reads", tally.slot)));
            }
        }
        Ok(health)
    }
}
