//! The words that processes agree by, and what is done to them.
//!
//! Each protocol here is written against [`Word`] and [`Peers`] and knows neither files nor maps:
//! loom runs it through all its schedules over its own atomics, the rest runs it over a view.

#[cfg(all(test, loom))]
mod loom_tests;
pub(crate) mod mutex;
pub(crate) mod ring;
pub(crate) mod rwlock;
pub(crate) mod snapshot;
pub(crate) mod tally;

use std::time::{Duration, Instant};

use bifolio_map::{Patience, ReadWrite, View, wait};

use crate::error::Result;
use crate::participant::Holder;

/// A `u32` that other processes change at any time. Loads acquire, stores release, the others are
/// sequentially consistent.
pub(crate) trait Word {
    fn load(&self) -> Result<u32>;
    fn store(&self, value: u32) -> Result<()>;
    /// Stores `value` and gives back what was there.
    fn swap(&self, value: u32) -> Result<u32>;
    /// Adds, wrapping, and gives back what was there.
    fn fetch_add(&self, value: u32) -> Result<u32>;
    /// Stores `new` where `expected` is; gives back what was there.
    fn compare_exchange(&self, expected: u32, new: u32) -> Result<Result<u32, u32>>;
    /// Sleeps while the word is `expected`, at most for `time`. It may end early.
    fn wait(&self, expected: u32, time: Duration) -> Result<()>;
    fn wake_one(&self) -> Result<()>;
    fn wake_all(&self) -> Result<()>;
}

/// A `u64` of the same kind: a [`Word`] in the lower half, on which one can wait, and 32 bits that
/// change together with it.
pub(crate) trait Pair {
    fn load(&self) -> Result<u64>;
    fn store(&self, value: u64) -> Result<()>;
    /// Stores `value` and gives back what was there.
    fn swap(&self, value: u64) -> Result<u64>;
    /// Stores `new` where `expected` is; gives back what was there.
    fn compare_exchange(&self, expected: u64, new: u64) -> Result<Result<u64, u64>>;
    /// Sleeps while the lower half is `expected`, at most for `time`. It may end early.
    fn wait(&self, expected: u32, time: Duration) -> Result<()>;
    fn wake_one(&self) -> Result<()>;
    fn wake_all(&self) -> Result<()>;
}

/// The others, as far as a protocol asks about them.
pub(crate) trait Peers {
    /// Who asks.
    fn me(&self) -> Holder;
    /// Whether this holder can never do anything again.
    fn is_dead(&self, holder: Holder) -> Result<bool>;
    /// Says that a holder was found dead, which is counted once.
    fn note_death(&self, holder: Holder) -> Result<()>;
}

/// A word of a view.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ViewWord<'view> {
    view: &'view View<ReadWrite>,
    offset: u64,
}

impl<'view> ViewWord<'view> {
    #[inline]
    pub(crate) fn new(view: &'view View<ReadWrite>, offset: u64) -> Self {
        Self { view, offset }
    }
}

impl Word for ViewWord<'_> {
    #[inline]
    fn load(&self) -> Result<u32> {
        Ok(self.view.atomic_u32(self.offset)?.load()?)
    }

    #[inline]
    fn store(&self, value: u32) -> Result<()> {
        Ok(self.view.atomic_u32(self.offset)?.store(value)?)
    }

    #[inline]
    fn swap(&self, value: u32) -> Result<u32> {
        Ok(self.view.atomic_u32(self.offset)?.swap(value)?)
    }

    #[inline]
    fn fetch_add(&self, value: u32) -> Result<u32> {
        Ok(self.view.atomic_u32(self.offset)?.fetch_add(value)?)
    }

    #[inline]
    fn compare_exchange(&self, expected: u32, new: u32) -> Result<Result<u32, u32>> {
        Ok(self.view.atomic_u32(self.offset)?.compare_exchange(expected, new)?)
    }

    fn wait(&self, expected: u32, time: Duration) -> Result<()> {
        wait::wait(self.view, self.offset, expected, Some(time))?;
        Ok(())
    }

    fn wake_one(&self) -> Result<()> {
        wait::wake_one(self.view, self.offset)?;
        Ok(())
    }

    fn wake_all(&self) -> Result<()> {
        wait::wake_all(self.view, self.offset)?;
        Ok(())
    }
}

/// A pair in a view.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ViewPair<'view> {
    view: &'view View<ReadWrite>,
    offset: u64,
}

impl<'view> ViewPair<'view> {
    #[inline]
    pub(crate) fn new(view: &'view View<ReadWrite>, offset: u64) -> Self {
        Self { view, offset }
    }

    /// The lower half.
    fn word(&self) -> ViewWord<'view> {
        let half = if cfg!(target_endian = "big") { 4 } else { 0 };
        ViewWord::new(self.view, self.offset + half)
    }
}

impl Pair for ViewPair<'_> {
    #[inline]
    fn load(&self) -> Result<u64> {
        Ok(self.view.atomic_u64(self.offset)?.load()?)
    }

    #[inline]
    fn store(&self, value: u64) -> Result<()> {
        Ok(self.view.atomic_u64(self.offset)?.store(value)?)
    }

    #[inline]
    fn swap(&self, value: u64) -> Result<u64> {
        Ok(self.view.atomic_u64(self.offset)?.swap(value)?)
    }

    #[inline]
    fn compare_exchange(&self, expected: u64, new: u64) -> Result<Result<u64, u64>> {
        Ok(self.view.atomic_u64(self.offset)?.compare_exchange(expected, new)?)
    }

    fn wait(&self, expected: u32, time: Duration) -> Result<()> {
        self.word().wait(expected, time)
    }

    fn wake_one(&self) -> Result<()> {
        self.word().wake_one()
    }

    fn wake_all(&self) -> Result<()> {
        self.word().wake_all()
    }
}

/// Tries this often before it sleeps: as long as a short critical section of somebody on another
/// core, far below what a sleep and a wake cost.
pub(crate) const SPINS: u32 = if cfg!(loom) { 0 } else { 100 };

#[cfg(not(loom))]
#[inline]
pub(crate) fn pause() {
    std::hint::spin_loop();
}

#[cfg(loom)]
pub(crate) fn pause() {
    loom::thread::yield_now();
}

/// Between a change of one word and a look at another one: the change is everybody's before we
/// look. On x86 every locked instruction is such a barrier already, and all changes of words are
/// some; elsewhere a load may overtake the change before it.
#[inline]
pub(crate) fn barrier() {
    #[cfg(loom)]
    loom::sync::atomic::fence(loom::sync::atomic::Ordering::SeqCst);
    #[cfg(all(
        not(loom),
        any(target_arch = "x86", target_arch = "x86_64"),
        not(bifolio_portable)
    ))]
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
    #[cfg(all(
        not(loom),
        any(not(any(target_arch = "x86", target_arch = "x86_64")), bifolio_portable)
    ))]
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

/// How long a waiter sleeps before it asks whether whom it waits for still lives, the first time;
/// then twice as long, up to [`LONGEST_NAP`]. Asking costs a system call, about 230 ns; being woken
/// by the owner does not wait for it. So a dead owner is found after half a millisecond at best,
/// and after 16 at worst.
const SHORTEST_NAP: Duration = Duration::from_micros(500);
const LONGEST_NAP: Duration = Duration::from_millis(16);

/// How long somebody still waits: a sequence of naps with an end.
#[derive(Debug)]
pub(crate) struct Naps {
    next: Duration,
    end: End,
}

#[derive(Debug)]
enum End {
    Now,
    At(Instant),
    Never,
}

impl Naps {
    pub(crate) fn new(patience: Patience) -> Self {
        let end = match patience {
            Patience::Try => End::Now,
            // A time that no clock can hold is for ever.
            Patience::For(time) => Instant::now().checked_add(time).map_or(End::Never, End::At),
            Patience::Forever => End::Never,
        };
        Self { next: SHORTEST_NAP, end }
    }

    /// Whether there is no nap at all: one only tries.
    pub(crate) fn are_none(&self) -> bool {
        matches!(self.end, End::Now)
    }

    /// The patience that is left.
    pub(crate) fn left(&self) -> Patience {
        match self.end {
            End::Now => Patience::Try,
            End::At(end) => Patience::For(end.saturating_duration_since(Instant::now())),
            End::Never => Patience::Forever,
        }
    }

    /// The next nap; `None` when the time is over.
    pub(crate) fn next(&mut self) -> Option<Duration> {
        let nap = match self.end {
            End::Now => return None,
            End::Never => self.next,
            End::At(end) => {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return None;
                }
                self.next.min(left)
            }
        };
        self.next = (self.next * 2).min(LONGEST_NAP);
        Some(nap)
    }
}
