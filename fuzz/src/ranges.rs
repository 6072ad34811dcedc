//! The range arithmetic of bifolio-map: whatever the numbers, an answer that fits, or none.

use std::ops::Bound;

use bifolio_map::range::{Window, inside, pages_inside, pages_touching, resolve};

/// Takes three numbers, a granularity and two kinds of bounds from the bytes.
pub fn ranges(bytes: &[u8]) {
    let mut numbers = bytes.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    let mut next = || numbers.next().unwrap_or(0);
    let (a, b, limit, choice) = (next(), next(), next(), next());
    let granularity = 1 << (choice % 32);
    window(a, b, granularity);
    bounds(a, b, limit, choice >> 32);
    if let (Ok(a), Ok(b), Ok(limit)) =
        (usize::try_from(a), usize::try_from(b), usize::try_from(limit))
    {
        let fits = a as u128 + b as u128 <= limit as u128;
        assert_eq!(inside(a as u64, b, limit), fits.then(|| a..a + b));
        pages(a, a.saturating_add(b), usize::try_from(granularity).unwrap());
    }
}

fn window(offset: u64, size: u64, granularity: u64) {
    let lead = offset % granularity;
    let whole = u128::from(lead) + u128::from(size);
    let fits = offset.checked_add(size).is_some() && isize::try_from(whole).is_ok();
    let window = Window::covering(offset, size, granularity);
    assert_eq!(window.is_some(), fits, "{offset} {size} {granularity}");
    if let Some(window) = window {
        assert_eq!(window.map_offset, offset - lead);
        assert_eq!(window.lead as u64, lead);
        assert_eq!(window.map_size as u128, whole);
    }
}

fn bounds(a: u64, b: u64, limit: u64, choice: u64) {
    let bound = |kind: u64, value| match kind % 3 {
        0 => Bound::Included(value),
        1 => Bound::Excluded(value),
        _ => Bound::Unbounded,
    };
    let (start, end) = (bound(choice, a), bound(choice / 3, b));
    // The same in numbers that cannot overflow.
    let first = match start {
        Bound::Included(a) => u128::from(a),
        Bound::Excluded(a) => u128::from(a) + 1,
        Bound::Unbounded => 0,
    };
    let past = match end {
        Bound::Included(b) => u128::from(b) + 1,
        Bound::Excluded(b) => u128::from(b),
        Bound::Unbounded => u128::from(limit),
    };
    let fits = first <= past && past <= u128::from(limit);
    let found = resolve((start, end), limit).map(|r| (u128::from(r.start), u128::from(r.end)));
    assert_eq!(found, fits.then_some((first, past)));
}

fn pages(start: usize, end: usize, page: usize) {
    let touching = pages_touching(start..end, page);
    assert_eq!((touching.start % page, touching.end % page), (0, 0));
    assert!(touching.start <= start);
    // The end rounds up, unless that is past the last address; an empty range touches nothing.
    assert!(touching.end >= end || end > usize::MAX - page || start == end, "{start} {end} {page}");
    let inner = pages_inside(start..end, page);
    assert!(inner.is_empty() || (start <= inner.start && inner.end <= end));
    assert!(inner.is_empty() || (inner.start % page, inner.end % page) == (0, 0));
    assert!(end - start < 2 * page || end > usize::MAX - page || !inner.is_empty());
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_seeds_hold() {
        crate::tests::hold("ranges", super::ranges);
    }
}
