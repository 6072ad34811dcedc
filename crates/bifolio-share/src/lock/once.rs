//! The once: one of all does it, and the others wait until it is done.

use bifolio_map::Patience;

use super::{MUTEX_BYTES, enter};
use crate::error::Result;
use crate::region::{Object, Region};
use crate::shared::{Layout, Shared};
use crate::word::mutex::Health;
use crate::word::{ViewWord, Word};

/// Where it says that it is done, behind the mutex.
pub(super) const DONE: u64 = MUTEX_BYTES as u64;

/// Something that is done once, whoever comes first.
///
/// ```
/// use bifolio_share::{Region, Turn};
/// # let dir = tempfile::tempdir().unwrap();
/// let region = Region::create(dir.path().join("tables"))?;
/// let filled = region.once("tables are filled")?;
/// filled.call(|turn| {
///     assert_eq!(turn, Turn::First); // or: one before died in the middle
///     region.append(b"the tables").map(drop)
/// })?;
/// filled.call(|_| -> bifolio_share::Result<()> { unreachable!() })?;
/// # Ok::<(), bifolio_share::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Once {
    region: Region,
    offset: u64,
}

/// How one's turn at a [`Once`] came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Turn {
    /// Nobody has tried since it was made, or those who did said that they failed.
    First,
    /// One before died or panicked while it was at it, and may have left a part.
    AfterOneThatDied,
}

impl Once {
    pub(crate) const LAYOUT: Layout = u32::SHARED_LAYOUT;
    pub(crate) const SIZE: u64 = MUTEX_BYTES as u64 + 8;

    pub(crate) fn initialise(region: &Region, offset: u64) -> Result<()> {
        region.zero(offset, Self::SIZE)
    }

    pub(crate) fn at(region: Region, object: &Object) -> Self {
        Self { region, offset: object.offset }
    }

    /// Does it, unless it was done. Whoever else calls meanwhile waits. If `act` fails it is not
    /// done, and the next one tries.
    ///
    /// # Errors
    /// Those of `act` and of [`Mutex::lock`](crate::Mutex::lock).
    pub fn call<E: From<crate::Error>>(
        &self,
        act: impl FnOnce(Turn) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.is_done()? {
            return Ok(());
        }
        let mut inside = enter(&self.region, self.offset, Patience::Forever)?;
        if self.is_done()? {
            return Ok(());
        }
        let turn = match inside.found {
            Health::Sound => Turn::First,
            Health::Bereft | Health::Poisoned => Turn::AfterOneThatDied,
        };
        // A panic leaves this behind, as a death does.
        inside.mark(Health::Poisoned)?;
        let done = ViewWord::new(self.region.view(), self.offset + DONE);
        if broken!(DoneEarly) {
            done.swap(1)?;
        }
        let outcome = act(turn);
        if outcome.is_ok() {
            done.swap(1)?;
        }
        inside.repaired()?;
        outcome
    }

    /// Whether it was done.
    ///
    /// # Errors
    /// `Forked` in a forked child; what became of the region's bytes.
    pub fn is_done(&self) -> Result<bool> {
        self.region.participant().check()?;
        Ok(ViewWord::new(self.region.view(), self.offset + DONE).load()? == 1)
    }
}

const _: () = {
    const fn sent<T: Send + Sync>() {}
    sent::<Once>();
};
