//! Scanning: all bytes of a range, in order, in pieces that are safe to look at as `&[u8]`.

use std::ops::{ControlFlow, RangeBounds};
use std::time::Instant;

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

/// Bytes that go by one way before the ways are compared, and after it.
const STRETCH: u64 = 1 << 20;
/// Stretches by the faster way before the slower one is tried again.
const PATIENCE: u32 = 63;

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
        let mut ways = Ways::new(self.can_read_by_call());
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
            let started = Instant::now();
            let mut looking = std::time::Duration::ZERO;
            let from = at;
            while at < stretch_end {
                let size = (PIECE as u64).min(stretch_end - at);
                let bytes = &mut piece[..super::access::index(size)];
                self.bring(way, at, bytes)?;
                at += size;
                let before = Instant::now();
                let flow = look(bytes);
                looking += before.elapsed();
                if flow.is_break() {
                    return Ok(flow);
                }
            }
            ways.learn(way, started.elapsed().saturating_sub(looking), at - from);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Whether the file can stand in for the map: the same bytes, and calls that read them.
    fn can_read_by_call(&self) -> bool {
        M::MODE != ViewMode::CopyOnWrite
            && self.section.as_ref().is_some_and(|section| {
                sys::READS_FRESH_PAGES_BY_CALL && section.kind() == crate::SectionKind::File
            })
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

/// Which way is faster, as measured on the way.
///
/// For bytes that are not mapped yet neither wins always: small folios make faults dear (read 16,
/// map 13 GB/s), large ones make them cheap (read 22, map 36), and a live map beats both. The
/// cost is one stretch by the slower way now and then.
struct Ways {
    /// Nanoseconds a MiB, by the map and by calls; zero before it was tried.
    cost: [u64; 2],
    since: u32,
    only_map: bool,
}

impl Ways {
    fn new(can_call: bool) -> Self {
        Self { cost: [0; 2], since: 0, only_map: !can_call }
    }

    fn choose(&mut self) -> Way {
        if self.only_map || self.cost[0] == 0 {
            return Way::Map;
        }
        if self.cost[1] == 0 {
            return Way::Call;
        }
        let better = if self.cost[1] < self.cost[0] { Way::Call } else { Way::Map };
        self.since += 1;
        if self.since > PATIENCE {
            self.since = 0;
            return if better == Way::Call { Way::Map } else { Way::Call };
        }
        better
    }

    fn learn(&mut self, way: Way, took: std::time::Duration, bytes: u64) {
        if bytes < STRETCH {
            return; // too short to say anything
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        let cost = &mut self.cost[usize::from(way == Way::Call)];
        // A single slow stretch (a page that had to come from the device) fades out.
        *cost = if *cost == 0 { nanos } else { (*cost * 3 + nanos) / 4 };
    }
}
