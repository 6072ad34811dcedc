//! The event: it has happened, or it has not.

use std::time::Duration;

use bifolio_map::Patience;

use crate::error::{Error, ErrorKind, Result};
use crate::region::{Object, Region};
use crate::shared::{Layout, Shared};
use crate::word::{Naps, ViewWord, Word};

/// Something that happens, for which any number can wait.
///
/// It stays until somebody takes it back. Nobody owns it, so nobody's death is in the way: one who
/// dies between the word and the wake leaves waiters that look by themselves within 16 ms.
///
/// ```
/// use bifolio_share::Region;
/// use std::time::Duration;
/// # let dir = tempfile::tempdir().unwrap();
/// let region = Region::create(dir.path().join("service"))?;
/// let ready = region.event("ready")?;
/// std::thread::scope(|threads| {
///     threads.spawn(|| ready.wait_within(Duration::from_secs(10)).unwrap());
///     ready.set().unwrap();
/// });
/// # Ok::<(), bifolio_share::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Event {
    region: Region,
    offset: u64,
}

impl Event {
    pub(crate) const LAYOUT: Layout = u32::SHARED_LAYOUT;
    pub(crate) const SIZE: u64 = 8;

    pub(crate) fn initialise(region: &Region, offset: u64) -> Result<()> {
        region.zero(offset, Self::SIZE)
    }

    pub(crate) fn at(region: Region, object: &Object) -> Self {
        Self { region, offset: object.offset }
    }

    /// Says that it has happened, and wakes all who wait.
    ///
    /// # Errors
    /// `Forked` in a forked child; what became of the region's bytes.
    pub fn set(&self) -> Result<()> {
        self.region.participant().check()?;
        self.word().swap(1)?;
        self.word().wake_all()
    }

    /// Says that it has not happened.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn reset(&self) -> Result<()> {
        self.region.participant().check()?;
        self.word().swap(0).map(drop)
    }

    /// Whether it has happened.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn is_set(&self) -> Result<bool> {
        self.region.participant().check()?;
        Ok(self.word().load()? != 0)
    }

    /// Waits until it has happened.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn wait(&self) -> Result<()> {
        self.wait_with(Patience::Forever)
    }

    /// Waits until it has happened, at most for `time`.
    ///
    /// # Errors
    /// `TimedOut`; otherwise as [`set`](Self::set).
    pub fn wait_within(&self, time: Duration) -> Result<()> {
        self.wait_with(Patience::For(time))
    }

    fn wait_with(&self, patience: Patience) -> Result<()> {
        let mut naps = Naps::new(patience);
        while !self.is_set()? {
            let Some(nap) = naps.next() else {
                let error = Error::new(ErrorKind::TimedOut, "wait for an event");
                return Err(self.region.explain(error, self.offset));
            };
            self.word().wait(0, nap)?;
        }
        Ok(())
    }

    fn word(&self) -> ViewWord<'_> {
        ViewWord::new(self.region.view(), self.offset)
    }
}

const _: () = {
    const fn sent<T: Send + Sync>() {}
    sent::<Event>();
};
