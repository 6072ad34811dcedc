//! The seqlock: reads that write nothing.

use std::marker::PhantomData;
use std::time::Duration;

use bifolio_map::Patience;

use super::{MUTEX_BYTES, enter};
use crate::error::{Error, ErrorKind, Result};
use crate::region::{Changing, Object, Region, after_copy};
use crate::shared::{self, Shared};
use crate::word::{SPINS, barrier, pause};

/// Counts writes twice: odd while one is under way.
pub(super) const SEQUENCE: u64 = MUTEX_BYTES as u64;
/// Where the value is. It has a cache line of its own up to 40 bytes.
const VALUE: u64 = SEQUENCE + 8;

/// A value that is read far more often than it is written: readers write nothing, hold up nobody and
/// see whole values only; they read again if a write came between.
///
/// A writer that dies in the middle of a write leaves a value in part. Readers are told so
/// (`Poisoned`) until the next write, which stores a whole one: there is nothing else to repair.
///
/// ```
/// use bifolio_share::Region;
/// # let dir = tempfile::tempdir().unwrap();
/// let region = Region::create(dir.path().join("clock"))?;
/// let position = region.seqlock("position", [0.0_f64; 3])?;
/// position.write(&[1.0, 2.0, 3.0])?;
/// assert_eq!(position.read()?, [1.0, 2.0, 3.0]);
/// # Ok::<(), bifolio_share::Error>(())
/// ```
#[derive(Debug)]
pub struct Seqlock<T> {
    region: Region,
    offset: u64,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Seqlock<T> {
    fn clone(&self) -> Self {
        Self { region: self.region.clone(), offset: self.offset, value: PhantomData }
    }
}

impl<T: Shared> Seqlock<T> {
    pub(crate) fn size() -> u64 {
        VALUE + size_of::<T>() as u64
    }

    pub(crate) fn initialise(region: &Region, offset: u64, value: &T) -> Result<()> {
        region.zero(offset, VALUE)?;
        Ok(region.view().write_at(offset + VALUE, shared::encode(value))?)
    }

    pub(crate) fn at(region: Region, object: &Object) -> Self {
        Self { region, offset: object.offset, value: PhantomData }
    }

    /// The value, whole. Waits for a write that is under way.
    ///
    /// # Errors
    /// `Poisoned` if a writer died in the middle and nobody has written since; `Corrupt` if its
    /// bytes are none of `T`; `Forked` in a forked child; what became of the region's bytes.
    #[inline]
    pub fn read(&self) -> Result<T> {
        self.read_with(Patience::Forever)
    }

    /// The value, whole, waiting at most for `time`: a writer may be stopped in the middle.
    ///
    /// # Errors
    /// `TimedOut`; otherwise those of [`read`](Self::read).
    #[inline]
    pub fn read_within(&self, time: Duration) -> Result<T> {
        self.read_with(Patience::For(time))
    }

    #[inline(never)] // see `decode_changing`
    fn read_with(&self, patience: Patience) -> Result<T> {
        self.region.participant().check()?;
        self.region.decode_changing(self, || self.read_after_the_writer(patience))
    }

    #[cold]
    fn read_after_the_writer(&self, patience: Patience) -> Result<T> {
        let _inside = enter(&self.region, self.offset, patience)?;
        let sequence = self.region.view().atomic_u64(self.offset + SEQUENCE)?;
        if sequence.load()? % 2 != 0 {
            let why = "a writer died in the middle of its write";
            let error = Error::new(ErrorKind::Poisoned, "read the value").because(why);
            return Err(self.region.explain(error, self.offset));
        }
        self.region.decode(self.offset + VALUE)
    }

    /// Stores a value. One writer at a time does; the others wait.
    ///
    /// # Errors
    /// Those of [`Mutex::lock`](crate::Mutex::lock).
    pub fn write(&self, value: &T) -> Result<()> {
        self.write_with(value, Patience::Forever)
    }

    /// Stores a value, waiting at most for `time` for other writers.
    ///
    /// # Errors
    /// `TimedOut`; otherwise those of [`write`](Self::write).
    pub fn write_within(&self, value: &T, time: Duration) -> Result<()> {
        self.write_with(value, Patience::For(time))
    }

    fn write_with(&self, value: &T, patience: Patience) -> Result<()> {
        let mut inside = enter(&self.region, self.offset, patience)?;
        let view = self.region.view();
        let sequence = view.atomic_u64(self.offset + SEQUENCE)?;
        // Odd already, if one before died in the middle.
        let odd = sequence.load()? | 1;
        sequence.swap(odd)?;
        // The count before the bytes.
        barrier();
        let bytes = shared::encode(value);
        if broken!(HalfWritten) {
            let (one, two) = bytes.split_at(bytes.len() / 2);
            view.write_at(self.offset + VALUE, one)?;
            sequence.store(odd.wrapping_add(1))?;
            seam!();
            view.write_at(self.offset + VALUE + one.len() as u64, two)?;
        } else {
            view.write_at(self.offset + VALUE, bytes)?;
        }
        sequence.store(odd.wrapping_add(1))?;
        inside.repair()
    }
}

impl<T> Changing for Seqlock<T> {
    #[inline(always)]
    fn copy_whole(&self, mut copy: impl FnMut(u64) -> Result<()>) -> Result<Option<u64>> {
        let sequence = self.region.view().atomic_u64(self.offset + SEQUENCE)?;
        for _ in 0..SPINS {
            let before = sequence.load()?;
            if before % 2 == 0 {
                copy(self.offset + VALUE)?;
                after_copy();
                if sequence.load()? == before || broken!(TornRead) {
                    return Ok(Some(self.offset + VALUE));
                }
            }
            pause();
        }
        Ok(None)
    }
}

const _: () = {
    const fn sent<T: Send + Sync>() {}
    sent::<Seqlock<u64>>();
};
