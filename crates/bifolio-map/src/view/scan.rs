//! Scanning: all bytes of a range, in order, in pieces that are safe to look at as `&[u8]`.

use std::ops::{ControlFlow, RangeBounds};
use std::time::{Duration, Instant};

use super::access::PIECE;
use super::explain::Doing;
use super::{Mode, View, ViewMode};
use crate::error::Result;
use crate::sys;

/// How a scan brings the bytes near.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScanPlan {
    /// Bytes that are in memory, or are about to be: whichever of copying from the map and reading
    /// from the file is faster, found out on the way.
    Warm,
    /// Bytes on the device: so many are asked for ahead of those that are looked at.
    Cold {
        /// How far ahead, in bytes; 8 MiB keeps a fast disk busy.
        ahead: u64,
    },
}

/// Bytes that go by one way before another may be chosen.
const STRETCH: u64 = 512 << 10;

impl<M: Mode> View<M> {
    /// Calls `look` with piece after piece of `range`, in order, until it breaks. Pieces are
    /// private copies of at most 16 KiB: they do not change while they are looked at.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// # use bifolio_map::{Read, ReadWrite, Section, View};
    /// # let view: View<ReadWrite> = Section::anonymous(100_000)?.view()?;
    /// view.put(70_000, &1u8)?;
    /// let mut before = 0;
    /// let found = view.scan(.., |piece| match piece.iter().position(|&byte| byte != 0) {
    ///     Some(index) => ControlFlow::Break(before + index),
    ///     None => {
    ///         before += piece.len();
    ///         ControlFlow::Continue(())
    ///     }
    /// })?;
    /// assert_eq!(found, ControlFlow::Break(70_000));
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at), after the pieces before.
    pub fn scan<B>(
        &self,
        range: impl RangeBounds<u64>,
        look: impl FnMut(&[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        self.scan_by(ScanPlan::Warm, range, look)
    }

    /// As [`scan`](Self::scan), saying where the bytes are.
    ///
    /// # Errors
    /// As [`scan`](Self::scan).
    pub fn scan_by<B>(
        &self,
        plan: ScanPlan,
        range: impl RangeBounds<u64>,
        mut look: impl FnMut(&[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        let range = self.resolve(range, "scan")?;
        let (mut at, end) = (range.start as u64, range.end as u64);
        let mut piece = vec![0; PIECE];
        let mut ways = Ways::new(self.usable_ways());
        let mut asked = at;
        while at < end {
            let stretch_end = (at + STRETCH).min(end);
            if let ScanPlan::Cold { ahead } = plan {
                let wanted = stretch_end.saturating_add(ahead).min(end);
                // Ask in steps of half the distance, so that requests are large.
                if wanted - asked >= (ahead / 2).min(end - asked) && wanted > asked {
                    // Only advice: without it the scan is slower, not wrong.
                    let _ = self.prefetch(asked..wanted);
                    asked = wanted;
                }
            }
            let way = ways.choose();
            let mut watch = (ways.is_curious() == Curious::Yes).then(Stopwatch::default);
            while at < stretch_end {
                let size = (PIECE as u64).min(stretch_end - at);
                let bytes = &mut piece[..super::access::index(size)];
                match &mut watch {
                    Some(watch) => watch.time(|| self.bring(way, at, bytes))?,
                    None => self.bring(way, at, bytes)?,
                }
                at += size;
                if way == Way::Map {
                    // While the caller looks at this piece the next one comes nearer.
                    self.span.prefetch_to_cache(super::access::index(at), PIECE);
                }
                let flow = look(bytes);
                if flow.is_break() {
                    return Ok(flow);
                }
            }
            if let Some(watch) = watch {
                ways.learn(way, watch.total);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Whether the file can stand in for the map: the same bytes, and calls that read them.
    fn usable_ways(&self) -> Usable {
        let by_call = M::MODE != ViewMode::CopyOnWrite
            && sys::READS_FRESH_PAGES_BY_CALL
            && self.section.as_ref().is_some_and(|s| s.kind() == crate::SectionKind::File);
        if by_call { Usable::Both } else { Usable::MapOnly }
    }

    /// Copies one piece by one of the ways. Where a call reads less than it should, the map says why.
    fn bring(&self, way: Way, at: u64, out: &mut [u8]) -> Result<()> {
        if way == Way::Call
            && let Some(section) = &self.section
            && sys::read_at(section.object(), self.offset + at, out).is_ok_and(|n| n == out.len())
        {
            return Ok(());
        }
        self.span.read(at, out).map_err(|stop| self.explain(stop, Doing::Load, at, out.len()))
    }
}

/// From where a stretch is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Map,
    Call,
}

/// Time spent in the pieces of one stretch.
#[derive(Default)]
struct Stopwatch {
    total: Duration,
}

impl Stopwatch {
    fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let outcome = work();
        self.total += started.elapsed();
        outcome
    }
}

/// Which way is faster, as measured on the way.
///
/// For bytes that are not mapped yet neither wins always: small folios make faults dear (read 16,
/// map 13 GB/s), large ones make them cheap (read 22, map 36), and a live map beats both. So a few
/// stretches by each way are timed, the faster way does the rest, and now and then both are timed
/// again, since a file may be half mapped or half in small folios.
struct Ways {
    /// Nanoseconds a stretch, by the map and by calls: the best of the last trial.
    cost: [u64; 2],
    /// Stretches since the trial began.
    since: u32,
    usable: Usable,
}

/// Whether there is a choice at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Usable {
    Both,
    MapOnly,
}

/// Whether a stretch is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Curious {
    Yes,
    No,
}

/// Stretches by each way in a trial. The first one of a scan also pays for what is cold.
const TRIALS: u32 = 2;
/// Stretches between the beginnings of two trials.
const ROUND: u32 = 128;

impl Ways {
    fn new(usable: Usable) -> Self {
        Self { cost: [u64::MAX; 2], since: 0, usable }
    }

    /// The way of the next stretch.
    fn choose(&mut self) -> Way {
        if self.usable == Usable::MapOnly {
            return Way::Map;
        }
        let number = self.since % ROUND;
        if number == 0 {
            self.cost = [u64::MAX; 2];
        }
        self.since += 1;
        match number {
            0..TRIALS => Way::Map,
            number if number < 2 * TRIALS => Way::Call,
            _ if self.cost[1] < self.cost[0] => Way::Call,
            _ => Way::Map,
        }
    }

    /// Whether the stretch that begins belongs to a trial.
    fn is_curious(&self) -> Curious {
        let number = self.since.wrapping_sub(1) % ROUND;
        let trial = self.usable == Usable::Both && number < 2 * TRIALS;
        if trial { Curious::Yes } else { Curious::No }
    }

    fn learn(&mut self, way: Way, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let cost = &mut self.cost[usize::from(way == Way::Call)];
        *cost = (*cost).min(nanos);
    }
}
