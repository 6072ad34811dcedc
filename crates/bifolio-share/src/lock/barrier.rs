//! The barrier: nobody goes on before all have come.

use std::time::Duration;

use bifolio_map::Patience;

use super::semaphore::same_number;
use super::tallies::Tallies;
use super::{Inside, MUTEX_BYTES, enter};
use crate::error::{Error, ErrorKind, Result};
use crate::region::{Object, Region};
use crate::shared::{Layout, Shared};
use crate::word::mutex::Health;
use crate::word::{Naps, ViewWord, Word};

/// Where the number of parties is, behind the mutex.
const PARTIES: u64 = MUTEX_BYTES as u64;
/// Counts how often all have come; waited on.
const ROUND: u64 = PARTIES + 4;
/// The round whose arrivals are being taken off the tallies, plus 1; 0 at other times.
const CLEARING: u64 = ROUND + 4;
/// Where the tallies begin.
const TALLIES: u64 = 64;
#[cfg(test)]
pub(super) const PLACES: [u64; 4] = [PARTIES, ROUND, CLEARING, TALLIES];

/// A place where a number of threads, in any processes, wait for each other, again and again.
///
/// Each participant counts its threads that have come in a word of its own. One that dies while it
/// waits has not come, and another one has to come in its place.
///
/// ```
/// use bifolio_share::{Leader, Region};
/// # let dir = tempfile::tempdir().unwrap();
/// let region = Region::create(dir.path().join("steps"))?;
/// let barrier = region.barrier("step", 3)?;
/// let leaders: u32 = std::thread::scope(|threads| {
///     let all: Vec<_> = (0..3).map(|_| threads.spawn(|| barrier.wait().unwrap())).collect();
///     all.into_iter().map(|one| u32::from(one.join().unwrap() == Leader::Us)).sum()
/// });
/// assert_eq!(leaders, 1);
/// # Ok::<(), bifolio_share::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Barrier {
    region: Region,
    offset: u64,
    parties: u32,
}

/// Who came last, of those who waited together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leader {
    /// The caller.
    Us,
    /// Another one.
    Other,
}

impl Barrier {
    pub(crate) const LAYOUT: Layout = u32::SHARED_LAYOUT;

    pub(crate) fn size(region: &Region) -> u64 {
        TALLIES + Tallies::size(region, 4)
    }

    pub(crate) fn initialise(region: &Region, offset: u64, parties: u32) -> Result<()> {
        region.zero(offset, Self::size(region))?;
        Ok(region.view().write_at(offset + PARTIES, &parties.to_ne_bytes())?)
    }

    pub(crate) fn at(region: Region, object: &Object, name: &str, parties: u32) -> Result<Self> {
        let offset = object.offset;
        same_number(&region, offset + PARTIES, name, "parties", parties)?;
        Ok(Self { region, offset, parties })
    }

    /// Waits until all have come.
    ///
    /// # Errors
    /// Those of [`Semaphore::acquire`](crate::Semaphore::acquire).
    pub fn wait(&self) -> Result<Leader> {
        self.wait_with(Patience::Forever)
    }

    /// Waits until all have come, at most for `time`.
    ///
    /// # Errors
    /// `TimedOut`, and the caller has not come; otherwise those of [`wait`](Self::wait).
    pub fn wait_within(&self, time: Duration) -> Result<Leader> {
        self.wait_with(Patience::For(time))
    }

    fn wait_with(&self, patience: Patience) -> Result<Leader> {
        let mut naps = Naps::new(patience);
        let round = self.word(ROUND);
        let me = self.region.me();
        let mine = self.tallies().mine(&self.region);
        let seen = {
            let inside = self.enter()?;
            let seen = round.load()?;
            mine.enter(me)?;
            if self.tallies().sum(&inside, self.parties.into())? >= self.parties.into() {
                self.open(seen)?;
                return Ok(Leader::Us);
            }
            seen
        };
        loop {
            let nap = naps.next();
            if let Some(nap) = nap {
                round.wait(seen, nap)?;
            }
            if round.load()? != seen {
                return Ok(Leader::Other);
            }
            if self.word(CLEARING).load()? == seen.wrapping_add(1) {
                // All have come. If the last one died in opening, this ends what it began.
                drop(self.enter()?);
            }
            if nap.is_some() {
                continue;
            }
            let _inside = self.enter()?;
            if round.load()? != seen {
                return Ok(Leader::Other);
            }
            mine.leave(me)?;
            let why = format!("fewer than {} have come", self.parties);
            let error = Error::new(ErrorKind::TimedOut, "wait for the others").because(why);
            return Err(self.region.explain(error, self.offset));
        }
    }

    /// Takes the mutex, and ends what one that died with it had begun.
    fn enter(&self) -> Result<Inside<'_>> {
        let mut inside = enter(&self.region, self.offset, self.region.patience())?;
        if inside.found != Health::Sound {
            let clearing = self.word(CLEARING).load()?;
            if clearing != 0 && !broken!(BarrierHalfOpen) {
                self.open(clearing.wrapping_sub(1))?;
            }
            inside.repaired()?;
        }
        Ok(inside)
    }

    /// Ends a round: takes its arrivals off the tallies and lets everybody go. A death in the middle
    /// is told by `CLEARING`, and the next one does it all again.
    fn open(&self, seen: u32) -> Result<()> {
        let (clearing, round) = (self.word(CLEARING), self.word(ROUND));
        // In round 2^32 - 1 there is no mark, and a death in the middle of it would be missed.
        clearing.store(seen.wrapping_add(1))?;
        for tally in self.tallies().all(&self.region) {
            tally.word.store(0)?;
        }
        seam!();
        round.store(seen.wrapping_add(1))?;
        clearing.store(0)?;
        round.wake_all()
    }

    fn tallies(&self) -> Tallies {
        Tallies::packed(self.offset + TALLIES)
    }

    fn word(&self, at: u64) -> ViewWord<'_> {
        ViewWord::new(self.region.view(), self.offset + at)
    }
}

const _: () = {
    const fn sent<T: Send + Sync>() {}
    sent::<Barrier>();
};
