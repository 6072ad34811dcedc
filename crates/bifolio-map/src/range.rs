//! Range arithmetic: what a caller asked for, and what the system must be asked for.
//!
//! Pure functions over integers. No operating system, no memory, no `unsafe`: Miri, the fuzzer and
//! the property tests run all of it. Every function is total: whatever the numbers, the answer is
//! a range that fits or `None`.

use std::ops::{Bound, Range, RangeBounds};

/// The place `offset..offset + size` as indices into memory of `limit` bytes, if it lies inside.
///
/// ```
/// use bifolio_map::range::inside;
/// assert_eq!(inside(8, 5, 13), Some(8..13));
/// assert_eq!(inside(8, 6, 13), None);
/// assert_eq!(inside(u64::MAX, 2, 13), None);
/// assert_eq!(inside(13, 0, 13), Some(13..13));
/// ```
#[must_use]
#[inline]
pub fn inside(offset: u64, size: usize, limit: usize) -> Option<Range<usize>> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(size)?;
    (end <= limit).then_some(start..end)
}

/// Any kind of Rust range over a length as a plain one, if it lies inside and is not reversed.
///
/// ```
/// use bifolio_map::range::resolve;
/// assert_eq!(resolve(.., 13), Some(0..13));
/// assert_eq!(resolve(5..=12, 13), Some(5..13));
/// assert_eq!(resolve(5.., 4), None);
/// ```
#[must_use]
pub fn resolve(range: impl RangeBounds<u64>, len: u64) -> Option<Range<u64>> {
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&before) => before.checked_add(1)?,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&last) => last.checked_add(1)?,
        Bound::Excluded(&end) => end,
        Bound::Unbounded => len,
    };
    (start <= end && end <= len).then_some(start..end)
}

/// What the system has to map so that a view of any offset and length can be cut out of it.
///
/// ```text
/// section  |--------+=========#################====----|
///                   ^         ^                ^   ^
///                   |<- lead->|<--- the view ->|   the page tail: mapped, never visible
///                   map_offset: a multiple of the granularity
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Where the mapping starts in the section: a multiple of the granularity.
    pub map_offset: u64,
    /// Bytes between the start of the mapping and the start of the view.
    pub lead: usize,
    /// Bytes to map: the lead and the view, not rounded at the end.
    pub map_size: usize,
}

impl Window {
    /// The window for the view `offset..offset + size`. `granularity` is what offsets must be
    /// multiples of: the page on Unix, 64 KiB on Windows.
    ///
    /// `None` if an end does not fit a `u64`, or the mapping does not fit the address space of
    /// this process (`isize::MAX` bytes, the most that Rust allows one object to have).
    ///
    /// # Panics
    /// If `granularity` is not a power of two.
    #[must_use]
    pub fn covering(offset: u64, size: u64, granularity: u64) -> Option<Self> {
        assert!(granularity.is_power_of_two(), "granularity {granularity} is not a power of two");
        offset.checked_add(size)?;
        let lead = offset & (granularity - 1);
        let map_size = usize::try_from(lead.checked_add(size)?).ok()?;
        isize::try_from(map_size).ok()?;
        Some(Self { map_offset: offset - lead, lead: usize::try_from(lead).ok()?, map_size })
    }
}

/// The whole pages that touch the range: rounded outwards.
///
/// # Panics
/// If `page` is not a power of two.
#[must_use]
pub fn pages_touching(range: Range<usize>, page: usize) -> Range<usize> {
    assert!(page.is_power_of_two(), "page size {page} is not a power of two");
    if range.start >= range.end {
        let start = range.start & !(page - 1);
        return start..start;
    }
    let end = range.end.checked_add(page - 1).map_or(usize::MAX & !(page - 1), |e| e & !(page - 1));
    (range.start & !(page - 1))..end
}

/// The whole pages inside the range: rounded inwards, perhaps empty.
///
/// # Panics
/// If `page` is not a power of two.
#[must_use]
pub fn pages_inside(range: Range<usize>, page: usize) -> Range<usize> {
    assert!(page.is_power_of_two(), "page size {page} is not a power of two");
    let end = range.end & !(page - 1);
    let start = range.start.checked_add(page - 1).map_or(end, |s| s & !(page - 1));
    if start < end { start..end } else { start.min(end)..start.min(end) }
}

/// The same places in order, with ranges that touch or overlap made one. Empty ones go.
///
/// ```
/// use bifolio_map::range::merged;
/// assert_eq!(merged(vec![7..9, 0..3, 3..5, 4..6, 8..8]), [0..6, 7..9]);
/// ```
#[must_use]
pub fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, before| {
        let touches = next.start <= before.end;
        if touches {
            before.end = before.end.max(next.end);
        }
        touches
    });
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A few thousand triples around every power of two, where mistakes live.
    fn edges() -> impl Iterator<Item = u64> + Clone {
        // Miri is some hundred times slower.
        (0..64).step_by(if cfg!(miri) { 9 } else { 1 }).flat_map(|bit| {
            let power = 1u64 << bit;
            [power - 1, power, power.saturating_add(1)]
        })
    }

    #[test]
    fn a_window_starts_at_a_granule_and_covers_exactly_the_view() {
        for granularity in [1, 4096, 16384, 65536] {
            for offset in edges() {
                for size in edges().step_by(5) {
                    let Some(window) = Window::covering(offset, size, granularity) else {
                        let end = offset.checked_add(size);
                        let fits = end.is_some()
                            && isize::try_from(u128::from(offset % granularity) + u128::from(size))
                                .is_ok();
                        assert!(!fits, "refused {offset}+{size} at {granularity}");
                        continue;
                    };
                    assert_eq!(window.map_offset % granularity, 0);
                    assert!((window.lead as u64) < granularity);
                    assert_eq!(window.map_offset + window.lead as u64, offset);
                    assert_eq!(window.map_size as u64, window.lead as u64 + size);
                }
            }
        }
    }

    #[test]
    fn inside_never_lets_a_byte_past_the_limit() {
        for offset in edges() {
            for size in edges().step_by(3) {
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                for limit in [0, 1, 13, 4096, usize::MAX / 2] {
                    let fits = u128::from(offset) + size as u128 <= limit as u128;
                    assert_eq!(inside(offset, size, limit).is_some(), fits);
                }
            }
        }
    }

    #[test]
    fn page_rounding_goes_outwards_and_inwards() {
        assert_eq!(pages_touching(1..4097, 4096), 0..8192);
        assert_eq!(pages_touching(4096..4096, 4096), 4096..4096);
        assert_eq!(pages_inside(1..4097, 4096), 4096..4096);
        assert_eq!(pages_inside(1..8193, 4096), 4096..8192);
        assert_eq!(pages_inside(usize::MAX - 1..usize::MAX, 4096).len(), 0);
        for start in edges().map(|n| usize::try_from(n).unwrap_or(usize::MAX)) {
            for size in [0usize, 1, 4095, 4096, 4097, 1 << 20] {
                let range = start..start.saturating_add(size);
                let inner = pages_inside(range.clone(), 4096);
                let outer = pages_touching(range.clone(), 4096);
                assert!(inner.is_empty() || (range.start <= inner.start && inner.end <= range.end));
                assert!(outer.start <= range.start);
            }
        }
    }

    #[test]
    fn resolve_refuses_reversed_and_overlong_ranges() {
        #[expect(clippy::reversed_empty_ranges, reason = "the case under test")]
        let reversed = 7..3;
        assert_eq!(resolve(reversed, 13), None);
        assert_eq!(resolve(0..14, 13), None);
        assert_eq!(resolve(0..=u64::MAX, u64::MAX), None);
        assert_eq!(resolve((Bound::Excluded(u64::MAX), Bound::Unbounded), u64::MAX), None);
        assert_eq!(resolve(13..13, 13), Some(13..13));
    }
}
