//! Which ranges are read by one call. Pure: no system, no memory.

use std::ops::Range;

use super::Merge;

/// One read and the ranges that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// What is read: never empty.
    pub(super) range: Range<u64>,
    /// The ranges that were asked for, with their numbers, all inside; the smallest number first.
    pub(super) parts: Vec<(usize, Range<u64>)>,
}

impl Request {
    /// A read for one range.
    pub(super) fn single(number: usize, range: Range<u64>) -> Self {
        Self { range: range.clone(), parts: vec![(number, range)] }
    }

    /// The reads for the same ranges one by one.
    pub(super) fn split(self) -> impl DoubleEndedIterator<Item = Self> {
        self.parts.into_iter().map(|(number, range)| Self::single(number, range))
    }
}

/// The reads for ranges that are not empty, in the order in which they were asked for; those that
/// touch or overlap become one while it stays within the bound.
pub(super) fn plan(mut wanted: Vec<(usize, Range<u64>)>, merge: Merge) -> Vec<Request> {
    let Merge::UpTo(bound) = merge else {
        return wanted.into_iter().map(|(number, range)| Request::single(number, range)).collect();
    };
    wanted.sort_by_key(|(number, range)| (range.start, range.end, *number));
    let mut requests: Vec<Request> = Vec::new();
    for (number, range) in wanted {
        match requests.last_mut() {
            Some(last)
                if range.start <= last.range.end
                    && last.range.end.max(range.end) - last.range.start <= bound =>
            {
                last.range.end = last.range.end.max(range.end);
                last.parts.push((number, range));
            }
            _ => requests.push(Request::single(number, range)),
        }
    }
    for request in &mut requests {
        request.parts.sort_by_key(|(number, _)| *number);
    }
    requests.sort_by_key(|request| request.parts[0].0);
    requests
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, budget};

    fn numbered(ranges: &[Range<u64>]) -> Vec<(usize, Range<u64>)> {
        ranges.iter().cloned().enumerate().collect()
    }

    #[test]
    fn neighbours_become_one_read_and_the_first_asked_for_goes_first() {
        let wanted = [90..100, 8..16, 0..8, 40..50, 12..20, 21..30];
        let plan = plan(numbered(&wanted), Merge::UpTo(100));
        let ranges: Vec<_> = plan.iter().map(|request| request.range.clone()).collect();
        assert_eq!(ranges, [90..100, 0..20, 40..50, 21..30]);
        assert_eq!(plan[1].parts, [(1, 8..16), (2, 0..8), (4, 12..20)]);
    }

    #[test]
    fn nothing_is_merged_beyond_the_bound_or_without_leave() {
        let wanted = numbered(&[0..8, 8..16, 16..24]);
        let ranges = |merge| {
            let plan = plan(wanted.clone(), merge);
            plan.into_iter().map(|request| request.range).collect::<Vec<_>>()
        };
        assert_eq!(ranges(Merge::UpTo(16)), [0..16, 16..24]);
        assert_eq!(ranges(Merge::UpTo(7)), [0..8, 8..16, 16..24]);
        assert_eq!(ranges(Merge::Never), [0..8, 8..16, 16..24]);
    }

    #[test]
    fn every_range_is_in_exactly_one_read_that_covers_it_and_no_byte_is_read_for_nobody() {
        let mut random = Random::new();
        for _ in 0..budget(if cfg!(miri) { 20 } else { 2000 }) {
            let wanted: Vec<Range<u64>> = (0..random.u64(0..40))
                .map(|_| {
                    let start = random.u64(0..300);
                    start..start + 1 + random.u64(0..40)
                })
                .collect();
            let bound = random.u64(0..100);
            let plan = plan(numbered(&wanted), Merge::UpTo(bound));
            let mut seen = vec![0; wanted.len()];
            for request in &plan {
                let size = request.range.end - request.range.start;
                assert!(size <= bound || request.parts.len() == 1, "{request:?}");
                for (number, range) in &request.parts {
                    assert_eq!(*range, wanted[*number]);
                    assert!(request.range.start <= range.start && range.end <= request.range.end);
                    seen[*number] += 1;
                }
                for byte in request.range.clone() {
                    let mut parts = request.parts.iter();
                    assert!(parts.any(|(_, range)| range.contains(&byte)), "{request:?}");
                }
            }
            assert!(seen.iter().all(|&times| times == 1), "{plan:?}");
            assert!(plan.is_sorted_by_key(|request| request.parts[0].0));
        }
    }
}
