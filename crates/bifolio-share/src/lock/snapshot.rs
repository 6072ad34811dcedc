//! The snapshot: the last complete value, for readers that nobody holds up.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bifolio_map::Patience;

use super::{Inside, MUTEX_BYTES, enter};
use crate::error::{Error, ErrorKind, Result};
use crate::region::{Changing, Kind, Object, Region, after_copy};
use crate::shared::{self, Shared};
use crate::word::snapshot::{self, Complete, MOST_READERS, Pin, Words};
use crate::word::{Pair, ViewPair, ViewWord, Word};

/// Which value is the last complete one.
pub(super) const CURRENT: u64 = MUTEX_BYTES as u64;
/// Whether somebody waits for the next value.
pub(super) const WAITING: u64 = CURRENT + 8;
/// How many readers may pin at a time.
pub(super) const READERS: u64 = WAITING + 4;
/// Where the readers' places begin: with a cache line of their own.
pub(super) const PLACES: u64 = 64;
const LINE: u64 = 64;
/// Copies by chance before a reader pins: each fails only if writers come round all buffers.
const CHANCES: u32 = 3;

/// A value that is read at any time as it was written last, whole, and as one wishes for a while:
/// readers wait for nobody, and writers do not wait for readers.
///
/// There are two buffers more than readers that may [`pin`](Self::pin) at a time. A writer writes into
/// one that nobody reads and then makes it the current one; a reader that sleeps, is stopped or was
/// killed keeps its buffer, and nothing else. A writer that dies in the middle has written nothing.
/// So there is neither poison nor repair.
///
/// Its cost is memory: so many times the value, each time with 8 bytes and up to a multiple of 64;
/// 16 bytes more for each reader; 128 for all.
///
/// ```
/// use bifolio_share::Region;
/// # let dir = tempfile::tempdir().unwrap();
/// let region = Region::create(dir.path().join("routes"))?;
/// let table = region.snapshot("table", 8, [0_u32; 100])?;
/// table.write(&[1; 100])?;
///
/// let pinned = table.pin()?;
/// table.write(&[2; 100])?;
/// assert_eq!(table.read()?, [2; 100]);
/// assert_eq!(pinned.get()?, [1; 100], "as it was");
/// # Ok::<(), bifolio_share::Error>(())
/// ```
#[derive(Debug)]
pub struct Snapshot<T> {
    region: Region,
    offset: u64,
    readers: u32,
    /// Where the states of the buffers begin, and where they do themselves.
    states: u64,
    buffers: u64,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Snapshot<T> {
    fn clone(&self) -> Self {
        Self { region: self.region.clone(), value: PhantomData, ..*self }
    }
}

/// A value that stays as it is for as long as this is there, whatever is written meanwhile.
#[derive(Debug)]
#[must_use = "the value is let go when this is dropped"]
pub struct Pinned<'snapshot, T: Shared> {
    snapshot: &'snapshot Snapshot<T>,
    pin: Pin,
}

impl Region {
    /// The snapshot of this name; if there is none, a new one of `value`. At most `readers` can
    /// [`pin`](Snapshot::pin) at a time, counted over all threads of all participants.
    ///
    /// # Errors
    /// `InvalidInput` for no readers or more than 4,096; `LayoutMismatch` also for another number
    /// of readers than it was made for; otherwise those of [`mutex`](Self::mutex).
    #[expect(clippy::needless_pass_by_value, reason = "as for a lock of std")]
    pub fn snapshot<T: Shared>(&self, name: &str, readers: u32, value: T) -> Result<Snapshot<T>> {
        if readers == 0 || readers > MOST_READERS {
            return Err(Error::new(ErrorKind::InvalidInput, "make a snapshot")
                .of(name)
                .because(format!("it is for 1 to {MOST_READERS} readers, not {readers}")));
        }
        let fill = |offset| Snapshot::initialise(self, offset, readers, &value);
        let size = Snapshot::<T>::size(readers);
        let object = self.object(name, Kind::Snapshot, size, &T::SHARED_LAYOUT, fill)?;
        Snapshot::at(self.clone(), &object, name, readers)
    }
}

impl<T: Shared> Snapshot<T> {
    /// From one buffer to the next: the value, and which one it is.
    const STEP: u64 = (size_of::<T>() as u64 + 8).next_multiple_of(LINE);

    fn size(readers: u32) -> u64 {
        let buffers = u64::from(readers) + 2;
        before_buffers(readers) + buffers * Self::STEP
    }

    fn initialise(region: &Region, offset: u64, readers: u32, value: &T) -> Result<()> {
        region.zero(offset, before_buffers(readers))?;
        let made = Self::of(region.clone(), offset, readers);
        ViewWord::new(region.view(), offset + READERS).store(readers)?;
        let first = Complete { sequence: 1, buffer: 0 };
        made.fill(first, shared::encode(value))?;
        snapshot::publish(&made.words(), first)
    }

    fn at(region: Region, object: &Object, name: &str, readers: u32) -> Result<Self> {
        let offset = object.offset;
        let found = ViewWord::new(region.view(), offset + READERS).load()?;
        if found != readers {
            return Err(Error::new(ErrorKind::LayoutMismatch, "find")
                .of(name)
                .because(format!("it is for {found} readers, not {readers}")));
        }
        Ok(Self::of(region, offset, readers))
    }

    fn of(region: Region, offset: u64, readers: u32) -> Self {
        let states = offset + before_states(readers);
        let buffers = offset + before_buffers(readers);
        Self { region, offset, readers, states, buffers, value: PhantomData }
    }

    /// The last complete value.
    ///
    /// Waits for nobody. It costs a copy; only if writers come round all buffers while it copies,
    /// which takes `readers` + 1 writes, several times in a row, does it pin one.
    ///
    /// # Errors
    /// `Corrupt` if the bytes are no value of `T`, or the snapshot's words are what nobody wrote;
    /// `Forked` in a forked child; `TooMany` as for [`pin`](Self::pin), if it comes to that; what
    /// became of the region's bytes.
    #[inline(never)] // see `decode_changing`
    pub fn read(&self) -> Result<T> {
        self.region.participant().check()?;
        self.region.decode_changing(self, || self.pin()?.get())
    }

    /// Keeps the last complete value as it is until the pin is dropped. Waits for nobody.
    ///
    /// # Errors
    /// `TooMany` if as many as the snapshot was made for have pinned a value and live; otherwise
    /// those of [`read`](Self::read).
    pub fn pin(&self) -> Result<Pinned<'_, T>> {
        self.region.participant().check()?;
        let pin = snapshot::pin(&self.words(), self.region.participant(), first_place());
        match self.explained(pin)? {
            Some(pin) => Ok(Pinned { snapshot: self, pin }),
            None => Err(self.region.explain(
                Error::new(ErrorKind::TooMany, "pin the value").because(format!(
                    "all {} that the snapshot was made for have pinned one",
                    self.readers
                )),
                self.offset,
            )),
        }
    }

    /// Which value is the last complete one: 1 at first, and one more with each write.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn version(&self) -> Result<u64> {
        self.region.participant().check()?;
        Ok(self.explained(snapshot::current(&self.words()))?.sequence)
    }

    /// Waits at most for `time` for a value that is newer than `version`; which one is there then.
    ///
    /// # Errors
    /// `TimedOut`; otherwise those of [`read`](Self::read).
    pub fn wait_newer(&self, version: u64, time: Duration) -> Result<u64> {
        let end = Instant::now().checked_add(time);
        let (words, waiting) = (self.words(), self.word(WAITING));
        loop {
            let found = self.version()?;
            if found > version {
                return Ok(found);
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                let why = format!("value {found} is still the last one");
                let error = Error::new(ErrorKind::TimedOut, "wait for a newer value").because(why);
                return Err(self.region.explain(error, self.offset));
            }
            // Said before the last look, which is the system's.
            let seen = words.current().load()?;
            if Complete::of(seen).sequence > version {
                continue;
            }
            waiting.swap(1)?;
            #[expect(clippy::cast_possible_truncation, reason = "the lower half is waited on")]
            words.current().wait(seen as u32, left.unwrap_or(A_WHILE).min(A_WHILE))?;
        }
    }

    /// Stores a value. One writer at a time does; the others wait for it, and for no reader.
    ///
    /// # Errors
    /// Those of [`Mutex::lock`](crate::Mutex::lock).
    pub fn write(&self, value: &T) -> Result<()> {
        self.write_with(value, Patience::Forever)
    }

    /// Stores a value if no living writer is at it.
    ///
    /// # Errors
    /// `Busy`; otherwise those of [`write`](Self::write).
    pub fn try_write(&self, value: &T) -> Result<()> {
        self.write_with(value, Patience::Try)
    }

    /// Stores a value, waiting at most for `time` for other writers.
    ///
    /// # Errors
    /// `TimedOut`; otherwise those of [`write`](Self::write).
    pub fn write_within(&self, value: &T, time: Duration) -> Result<()> {
        self.write_with(value, Patience::For(time))
    }

    fn write_with(&self, value: &T, patience: Patience) -> Result<()> {
        let mut inside: Inside<'_> = enter(&self.region, self.offset, patience)?;
        // What one that died had begun is no value, and its buffer is as good as any.
        inside.repair()?;
        let words = self.words();
        let complete = self.explained(snapshot::begin(&words))?;
        let bytes = shared::encode(value);
        if broken!(SnapshotEarly) {
            let (one, two) = bytes.split_at(bytes.len() / 2);
            self.fill(complete, one)?;
            snapshot::publish(&words, complete)?;
            seam!();
            let rest = self.buffer_at(complete.buffer) + one.len() as u64;
            return Ok(self.region.view().write_at(rest, two)?);
        }
        self.fill(complete, bytes)?;
        snapshot::publish(&words, complete)?;
        let waiting = self.word(WAITING);
        if waiting.load()? != 0 {
            // If we die before this, the waiters look for themselves after a while.
            waiting.swap(0)?;
            words.current().wake_all()?;
        }
        Ok(())
    }

    /// Half a write of somebody who does not go on.
    #[cfg(test)]
    #[allow(dead_code, reason = "for the tests of kills, which not all platforms have")]
    pub(crate) fn write_half(&self, value: &T) -> Result<()> {
        let complete = snapshot::begin(&self.words())?;
        let bytes = shared::encode(value);
        self.fill(complete, &bytes[..bytes.len() / 2])
    }

    /// Writes the bytes of a buffer.
    fn fill(&self, complete: Complete, bytes: &[u8]) -> Result<()> {
        let (view, at) = (self.region.view(), self.buffer_at(complete.buffer));
        view.write_at(at, bytes)?;
        Ok(view.write_at(at + Self::STEP - 8, &complete.sequence.to_ne_bytes())?)
    }

    #[inline]
    fn buffer_at(&self, buffer: u32) -> u64 {
        self.buffers + u64::from(buffer) * Self::STEP
    }

    fn word(&self, at: u64) -> ViewWord<'_> {
        ViewWord::new(self.region.view(), self.offset + at)
    }

    fn explained<R>(&self, outcome: Result<R>) -> Result<R> {
        outcome.map_err(|error| self.region.explain(error, self.offset))
    }

    #[inline]
    fn words(&self) -> ViewWords<'_> {
        let Self { region, offset, readers, states, .. } = self;
        ViewWords { region, offset: *offset, readers: *readers, states: *states }
    }
}

impl<T: Shared> Changing for Snapshot<T> {
    #[inline(always)]
    fn copy_whole(&self, mut copy: impl FnMut(u64) -> Result<()>) -> Result<Option<u64>> {
        let words = self.words();
        for _ in 0..CHANCES {
            let complete = self.explained(snapshot::current(&words))?;
            between!();
            let at = self.buffer_at(complete.buffer);
            copy(at)?;
            after_copy();
            if snapshot::is_still(&words, complete)? || broken!(TornSnapshot) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }
}

impl<T: Shared> Pinned<'_, T> {
    /// The value.
    ///
    /// # Errors
    /// `Corrupt` if its bytes are none of `T`; what became of the region's bytes.
    pub fn get(&self) -> Result<T> {
        self.snapshot.region.decode(self.snapshot.buffer_at(self.pin.buffer))
    }

    /// Copies a part of the value's bytes, from the `start`th on: for large ones of which little is
    /// looked at. They may be bytes that are no value of `T`.
    ///
    /// # Errors
    /// `OutOfBounds` behind the value's end; what became of the region's bytes.
    pub fn read_bytes(&self, start: u64, bytes: &mut [u8]) -> Result<()> {
        let size = size_of::<T>() as u64;
        if start.checked_add(bytes.len() as u64).is_none_or(|end| end > size) {
            return Err(Error::new(ErrorKind::OutOfBounds, "read a part of the value")
                .because(format!("asked for {} bytes at {start}, of {size}", bytes.len())));
        }
        let at = self.snapshot.buffer_at(self.pin.buffer) + start;
        Ok(self.snapshot.region.view().read_at(at, bytes)?)
    }

    /// Which value it is; see [`Snapshot::version`].
    ///
    /// # Errors
    /// What became of the region's bytes.
    pub fn version(&self) -> Result<u64> {
        let at = self.snapshot.buffer_at(self.pin.buffer) + Snapshot::<T>::STEP - 8;
        Ok(self.snapshot.region.view().get(at)?)
    }
}

impl<T: Shared> Drop for Pinned<'_, T> {
    fn drop(&mut self) {
        // In a forked child the pin is still its parent's.
        if self.snapshot.region.participant().check().is_ok() {
            // Bytes that cannot be had are nobody's; the next access says so.
            let _ = snapshot::unpin(&self.snapshot.words(), &self.pin);
        }
    }
}

/// How long a waiter sleeps at most before it looks for itself.
const A_WHILE: Duration = Duration::from_millis(16);

/// Where the states of the buffers begin.
fn before_states(readers: u32) -> u64 {
    PLACES + (u64::from(readers) * 8).next_multiple_of(LINE)
}

/// Where the buffers begin.
fn before_buffers(readers: u32) -> u64 {
    before_states(readers) + ((u64::from(readers) + 2) * 8).next_multiple_of(LINE)
}

/// The place that this thread looks at first: another one for each.
fn first_place() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    thread_local! {
        static FIRST: u32 = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    FIRST.with(|first| *first)
}

/// The words in a region.
struct ViewWords<'region> {
    region: &'region Region,
    offset: u64,
    readers: u32,
    states: u64,
}

impl<'region> Words for ViewWords<'region> {
    type Word = ViewPair<'region>;

    #[inline]
    fn current(&self) -> ViewPair<'region> {
        ViewPair::new(self.region.view(), self.offset + CURRENT)
    }

    #[inline]
    fn state(&self, buffer: u32) -> ViewPair<'region> {
        ViewPair::new(self.region.view(), self.states + u64::from(buffer) * 8)
    }

    fn place(&self, number: u32) -> ViewPair<'region> {
        let at = PLACES + u64::from(number) * 8;
        ViewPair::new(self.region.view(), self.offset + at)
    }

    #[inline]
    fn readers(&self) -> u32 {
        self.readers
    }
}

const _: () = {
    const fn sent<T: Send + Sync>() {}
    sent::<Snapshot<u64>>();
    sent::<Pinned<'_, u64>>();
};
