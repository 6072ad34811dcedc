//! Scanning: all bytes of a range, in order, in pieces that are safe to look at as `&[u8]`.

use std::ops::{ControlFlow, Range as ByteRange, RangeBounds};
use std::time::{Duration, Instant};

use super::access::{PIECE, index};
use super::explain::Doing;
use super::{Mode, View, ViewMode};
use crate::error::Result;
use crate::sys;

/// How a scan brings the bytes near.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScanPlan {
    /// Nothing is known: for bytes in memory whichever of copying from the map and reading from the
    /// file is faster, found out on the way; for others, large reads.
    Auto,
    /// Bytes on the device: large reads, and so many bytes asked for ahead of them.
    Cold {
        /// How far ahead, in bytes; 8 MiB keeps a fast disk busy. Nothing is asked where the
        /// system reads as far ahead by itself.
        ahead: u64,
    },
}

/// Bytes that go by one way before another may be chosen.
const STRETCH: u64 = 512 << 10;
/// Bytes that are copied from the map at once where the processor is left to fetch ahead by itself.
const PAGE_PIECE: u64 = 4 << 10;
/// Bytes for which one answer about where they are is good: more than any system reads ahead.
const COLD_RUN: u64 = 32 << 20;
/// The same for bytes that are in memory: asking costs two system calls, which are felt if they are
/// made for each stretch (0.73 became 0.80 of a slice's speed).
const WARM_RUN: u64 = 4 << 20;

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
        self.scan_by(ScanPlan::Auto, range, look)
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
        let mut buffer = Buffer::for_copies_of(self.span.as_ptr().addr() + index(at));
        let mut ways = Ways::new(self.usable_ways());
        let mut ahead = Ahead { asked: at, distance: self.distance(plan) };
        let mut warm_until = 0;
        let mut cold_until = if plan == ScanPlan::Auto { 0 } else { end };
        while at < end {
            let stretch = at..(at + STRETCH).min(end);
            ahead.ask(self, &stretch, end);
            if at >= cold_until.max(warm_until) {
                match self.is_cold(at, end) {
                    true => cold_until = at + COLD_RUN,
                    false => warm_until = at + WARM_RUN,
                }
            }
            let way = if at < cold_until { ways.cold() } else { ways.choose() };
            let started = ways.is_trial().then(Instant::now);
            at = stretch.end;
            let mut from = stretch.start;
            while from < stretch.end {
                let size = way.piece().min(stretch.end - from);
                let bytes = buffer.of(index(size));
                self.bring(way, from, bytes)?;
                from += size;
                if way == Way::MapAhead {
                    // While the caller looks at this piece the next one comes nearer.
                    self.span.prefetch_to_cache(index(from), PIECE);
                }
                for piece in bytes.chunks(PIECE) {
                    let flow = look(piece);
                    if flow.is_break() {
                        return Ok(flow);
                    }
                }
            }
            if let Some(started) = started {
                ways.learn(way, started.elapsed());
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Bytes to ask for ahead of those that are looked at: none where the system reads as far ahead
    /// by itself, which it does at less cost (1.86 against 1.53 GB/s where both wanted 8 MiB).
    fn distance(&self, plan: ScanPlan) -> u64 {
        let ScanPlan::Cold { ahead } = plan else { return 0 };
        let by_itself = self.section.as_ref().and_then(|s| sys::read_ahead(s.object()));
        if by_itself.is_some_and(|bytes| bytes >= ahead) { 0 } else { ahead }
    }

    /// Whether the bytes from `at` on have to come from the device. The system's own reading ahead
    /// makes the next ones look warm, so a page further on is asked about too.
    fn is_cold(&self, at: u64, end: u64) -> bool {
        let missing = |at| self.span.is_resident(index(at)) == Some(false);
        missing(at) || missing((at + COLD_RUN).min(end - 1))
    }

    /// Whether the file can stand in for the map: the same bytes, and calls that read them.
    fn usable_ways(&self) -> Usable {
        let by_call = M::MODE != ViewMode::CopyOnWrite
            && sys::READS_FRESH_PAGES_BY_CALL
            && self.section.as_ref().is_some_and(crate::Section::calls_meet_maps);
        if by_call { Usable::Both } else { Usable::MapOnly }
    }

    /// Copies one piece by one of the ways. Where a call reads less than it should, the map says why.
    fn bring(&self, way: Way, at: u64, out: &mut [u8]) -> Result<()> {
        if matches!(way, Way::Call | Way::CallOnce)
            && let Some(section) = &self.section
            && sys::read_at(section.object(), self.offset + at, out).is_ok_and(|n| n == out.len())
        {
            return Ok(());
        }
        self.span.read(at, out).map_err(|stop| self.explain(stop, Doing::Load, at, out.len()))
    }
}

/// Where pieces are copied to: a place that lies to a cache line as their source does. A string copy
/// between places that do not runs at a third of the speed on a Zen 4 (memcpy's does too).
struct Buffer {
    bytes: Vec<u8>,
    source: usize,
}

/// Bytes in a cache line.
const LINE: usize = 64;

impl Buffer {
    /// For pieces that start at multiples of a line from this address.
    fn for_copies_of(source: usize) -> Self {
        Self { bytes: Vec::new(), source }
    }

    /// The first `size` bytes of it.
    fn of(&mut self, size: usize) -> &mut [u8] {
        self.bytes.resize(self.bytes.len().max(size + LINE), 0);
        let start = self.source.wrapping_sub(self.bytes.as_ptr().addr()) % LINE;
        &mut self.bytes[start..start + size]
    }
}

/// How far the system was asked to read ahead.
struct Ahead {
    asked: u64,
    distance: u64,
}

impl Ahead {
    /// Asks in steps of half the distance, so that requests are large.
    fn ask<M: Mode>(&mut self, view: &View<M>, stretch: &ByteRange<u64>, end: u64) {
        if self.distance == 0 || self.asked >= end {
            return;
        }
        let wanted = stretch.end.saturating_add(self.distance).min(end);
        let asked = self.asked.max(stretch.start);
        if wanted.saturating_sub(asked) >= (self.distance / 2).min(end - asked) {
            // Only advice: without it the scan is slower, not wrong.
            let _ = view.prefetch(asked..wanted);
            self.asked = wanted;
        }
    }
}

/// How a stretch is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// From the map, a page at a time; the processor fetches ahead by itself.
    Map,
    /// From the map in larger pieces, each asked for while the one before is looked at.
    MapAhead,
    /// From the file, piece by piece.
    Call,
    /// From the file, by one call: for bytes that have to come from the device, since a call
    /// makes the system read ahead, and a fault does so less well.
    CallOnce,
}

impl Way {
    /// Bytes that are copied at once.
    fn piece(self) -> u64 {
        match self {
            Self::Map => PAGE_PIECE,
            Self::MapAhead | Self::Call => PIECE as u64,
            Self::CallOnce => STRETCH,
        }
    }
}

/// Which way is fastest for bytes in memory, as measured on the way.
///
/// For bytes that are not mapped yet neither maps nor calls win always: small folios make faults dear
/// (read 16, map 13 GB/s), large ones make them cheap (read 22, map 36), and a live map beats both.
/// Asking the processor for lines ahead of a copy is worth a third on some and costs as much on others
/// (Zen 4: 0.92 of a slice's speed without, 0.62 with). So a few stretches by each way are timed, with
/// what the caller does with them, since lines in flight are his gain too; the fastest way does the
/// rest. Now and then all are timed again: a file may be half mapped or half in small folios.
struct Ways {
    /// Nanoseconds a stretch by each way: the best of the last trial.
    cost: [u64; Self::ALL.len()],
    /// Stretches of bytes in memory so far.
    count: u32,
    usable: Usable,
}

/// Whether the file can stand in for the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Usable {
    Both,
    MapOnly,
}

/// Stretches by each way in a trial. The first one of a scan also pays for what is cold.
const TRIALS: u32 = 2;
/// Stretches between the beginnings of two trials.
const ROUND: u32 = 128;

impl Ways {
    /// What there is to choose from; calls come last.
    const ALL: [Way; 3] = [Way::Map, Way::MapAhead, Way::Call];

    fn new(usable: Usable) -> Self {
        Self { cost: [u64::MAX; Self::ALL.len()], count: 0, usable }
    }

    fn candidates(&self) -> &'static [Way] {
        match self.usable {
            Usable::Both => &Self::ALL,
            Usable::MapOnly => &Self::ALL[..2],
        }
    }

    /// The way of the next stretch, if its bytes are in memory.
    fn choose(&mut self) -> Way {
        let number = self.count % ROUND;
        if number == 0 {
            self.cost = [u64::MAX; Self::ALL.len()];
        }
        self.count = self.count.wrapping_add(1);
        let ways = self.candidates();
        let on_trial = ways.get((number / TRIALS) as usize);
        let fastest = || ways.iter().zip(self.cost).min_by_key(|(_, cost)| *cost);
        *on_trial.or_else(|| fastest().map(|(way, _)| way)).unwrap_or(&Way::Map)
    }

    /// The way of the next stretch, if it has to come from the device.
    fn cold(&self) -> Way {
        if self.usable == Usable::Both { Way::CallOnce } else { Way::Map }
    }

    /// Whether the stretch that was chosen last belongs to a trial.
    fn is_trial(&self) -> bool {
        let number = self.count.wrapping_sub(1) % ROUND;
        ((number / TRIALS) as usize) < self.candidates().len()
    }

    /// Notes how long a stretch took.
    fn learn(&mut self, way: Way, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // One by a large call is no trial of any of these.
        if let Some(place) = Self::ALL.iter().position(|known| *known == way) {
            self.cost[place] = self.cost[place].min(nanos);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ways of so many stretches, each of which takes as long as `cost` says.
    fn ways_of(usable: Usable, stretches: u32, cost: impl Fn(Way) -> u64) -> Vec<Way> {
        let mut ways = Ways::new(usable);
        let stretch = |_| {
            let way = ways.choose();
            if ways.is_trial() {
                ways.learn(way, Duration::from_nanos(cost(way)));
            }
            way
        };
        (0..stretches).map(stretch).collect()
    }

    #[test]
    fn a_buffer_lies_to_a_line_as_its_source_does() {
        for source in [0, 1, 63, 64, 4096 + 17, usize::MAX] {
            let mut buffer = Buffer::for_copies_of(source);
            for size in [0, 1, 100, if cfg!(miri) { 200 } else { 1 << 16 }, 13] {
                let place = buffer.of(size);
                assert_eq!((place.len(), place.as_ptr().addr() % LINE), (size, source % LINE));
            }
        }
    }

    #[test]
    fn every_way_is_tried_and_the_fastest_does_the_rest() {
        for best in Ways::ALL {
            let cost = |way| if way == best { 1_000 } else { 900_000 };
            let chosen = ways_of(Usable::Both, ROUND, cost);
            assert_eq!(
                chosen[..6],
                [Way::Map, Way::Map, Way::MapAhead, Way::MapAhead, Way::Call, Way::Call]
            );
            assert!(chosen[6..].iter().all(|way| *way == best), "{best:?}: {chosen:?}");
        }
    }

    #[test]
    fn a_file_that_cannot_stand_in_for_the_map_is_never_called() {
        let chosen =
            ways_of(Usable::MapOnly, 3 * ROUND, |way| if way == Way::Map { 9_000 } else { 1 });
        assert!(!chosen.contains(&Way::Call));
        assert_eq!(chosen[4], Way::MapAhead);
    }

    #[test]
    fn what_became_faster_is_found_in_the_next_round() {
        let mut ways = Ways::new(Usable::Both);
        let mut last = Vec::new();
        for count in 0..2 * ROUND {
            let way = ways.choose();
            let best = if count < ROUND { Way::Map } else { Way::Call };
            if ways.is_trial() {
                let cost = if way == best { 1_000 } else { 900_000 };
                ways.learn(way, Duration::from_nanos(cost));
            }
            last.push(way);
        }
        assert_eq!((last[ROUND as usize - 1], last[2 * ROUND as usize - 1]), (Way::Map, Way::Call));
    }
}
