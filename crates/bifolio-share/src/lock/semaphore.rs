//! The semaphore: so many may, at a time.

use std::time::Duration;

use bifolio_map::Patience;

use super::tallies::Tallies;
use super::{MUTEX_BYTES, enter};
use crate::error::{Error, ErrorKind, Result};
use crate::region::{Object, Region};
use crate::shared::{Layout, Shared};
use crate::word::{Naps, ViewWord, Word};

/// Where the number of permits is, behind the mutex.
const PERMITS: u64 = MUTEX_BYTES as u64;
/// Counts what was given back; waited on.
const RETURNS: u64 = PERMITS + 4;
/// Where the tallies begin.
const TALLIES: u64 = 64;
#[cfg(test)]
pub(super) const PLACES: [u64; 3] = [PERMITS, RETURNS, TALLIES];

/// A number of permits that participants share.
///
/// Each participant counts in a word of its own how many it holds; what is free is the number of
/// permits less the sum of those counts. So a permit of a participant that dies, however it dies,
/// is free for whoever asks next, and none is ever lost between two words.
///
/// ```
/// use bifolio_share::{ErrorKind, Region};
/// # let dir = tempfile::tempdir().unwrap();
/// let region = Region::create(dir.path().join("pool"))?;
/// let connections = region.semaphore("connections", 2)?;
/// let (one, two) = (connections.acquire()?, connections.acquire()?);
/// assert_eq!(connections.try_acquire().unwrap_err().kind(), ErrorKind::Busy);
/// drop(one);
/// let three = connections.try_acquire()?;
/// # drop((two, three));
/// # Ok::<(), bifolio_share::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Semaphore {
    region: Region,
    offset: u64,
    permits: u32,
}

/// A permit. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "the permit is given back when this is dropped"]
pub struct Permit<'semaphore> {
    semaphore: &'semaphore Semaphore,
}

impl Semaphore {
    pub(crate) const LAYOUT: Layout = u32::SHARED_LAYOUT;

    pub(crate) fn size(region: &Region) -> u64 {
        TALLIES + Tallies::size(region, 4)
    }

    pub(crate) fn initialise(region: &Region, offset: u64, permits: u32) -> Result<()> {
        region.zero(offset, Self::size(region))?;
        Ok(region.view().write_at(offset + PERMITS, &permits.to_ne_bytes())?)
    }

    pub(crate) fn at(region: Region, object: &Object, name: &str, permits: u32) -> Result<Self> {
        let offset = object.offset;
        same_number(&region, offset + PERMITS, name, "permits", permits)?;
        Ok(Self { region, offset, permits })
    }

    /// Takes a permit, waiting for as long as the living hold all of them.
    ///
    /// # Errors
    /// `Forked` in a forked child; `TooMany` beyond 4,095 in a process; `Corrupt` if its words hold
    /// what nobody wrote; what became of the region's bytes.
    pub fn acquire(&self) -> Result<Permit<'_>> {
        self.acquire_with(Patience::Forever)
    }

    /// Takes a permit if one is free.
    ///
    /// # Errors
    /// `Busy`; otherwise those of [`acquire`](Self::acquire).
    pub fn try_acquire(&self) -> Result<Permit<'_>> {
        self.acquire_with(Patience::Try)
    }

    /// Takes a permit, waiting at most for `time`.
    ///
    /// # Errors
    /// `TimedOut`; otherwise those of [`acquire`](Self::acquire).
    pub fn acquire_within(&self, time: Duration) -> Result<Permit<'_>> {
        self.acquire_with(Patience::For(time))
    }

    fn acquire_with(&self, patience: Patience) -> Result<Permit<'_>> {
        let mut naps = Naps::new(patience);
        let returns = ViewWord::new(self.region.view(), self.offset + RETURNS);
        loop {
            let seen = {
                let inside = enter(&self.region, self.offset, naps.left())?;
                // Before the sum: what comes back after it wakes us.
                let seen = returns.load()?;
                if self.tallies().sum(&inside, self.permits.into())? < self.permits.into() {
                    self.tallies().mine(&self.region).enter(self.region.me())?;
                    return Ok(Permit { semaphore: self });
                }
                seen
            };
            let Some(nap) = naps.next() else {
                let kind = match patience {
                    Patience::Try => ErrorKind::Busy,
                    _ => ErrorKind::TimedOut,
                };
                let why = format!("all {} permits are held by living participants", self.permits);
                let error = Error::new(kind, "take a permit").because(why);
                return Err(self.region.explain(error, self.offset));
            };
            returns.wait(seen, nap)?;
        }
    }

    /// How many are free at this moment; others may take them in the next.
    ///
    /// # Errors
    /// Those of [`acquire`](Self::acquire).
    pub fn available(&self) -> Result<u32> {
        let inside = enter(&self.region, self.offset, self.region.patience())?;
        let held = self.tallies().sum(&inside, 0)?;
        Ok(self.permits.saturating_sub(u32::try_from(held).unwrap_or(u32::MAX)))
    }

    /// How many there are.
    #[must_use]
    pub fn permits(&self) -> u32 {
        self.permits
    }

    fn tallies(&self) -> Tallies {
        Tallies::packed(self.offset + TALLIES)
    }

    fn give_back(&self) -> Result<()> {
        self.region.participant().check()?;
        self.tallies().mine(&self.region).leave(self.region.me())?;
        // If we die before the wake, the waiters find out by themselves within a nap.
        self.region.view().atomic_u32(self.offset + RETURNS)?.fetch_add(1)?;
        ViewWord::new(self.region.view(), self.offset + RETURNS).wake_one()
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // Bytes that cannot be had are nobody's permits any more; the next access says so.
        let _ = self.semaphore.give_back();
    }
}

/// That what is stored with an object is what the caller takes it for.
pub(super) fn same_number(
    region: &Region,
    offset: u64,
    name: &str,
    of: &str,
    wanted: u32,
) -> Result<()> {
    let found: u32 = region.view().get(offset)?;
    if found == wanted {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidInput, "find")
        .of(name)
        .because(format!("it was made for {found} {of}, not {wanted}")))
}

const _: () = {
    const fn sent<T: Send + Sync>() {}
    sent::<Semaphore>();
    sent::<Permit<'_>>();
};
