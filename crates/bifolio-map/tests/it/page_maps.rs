//! The arithmetic of page maps, against a set of numbers.

use std::collections::BTreeSet;
use std::ops::Range;

use bifolio_map::residency::PageMap;
use bifolio_testkit::bugs::{Hunt, Verdict, every_bug_is_caught};
use bifolio_testkit::{Random, budget};

/// Pages in one chunk of a map: mistakes live at the edges.
const CHUNK: u64 = 4096;

fn set_of(map: &PageMap) -> BTreeSet<u64> {
    map.runs().flatten().collect()
}

/// What a map says wrongly of a set that it should be, if anything.
fn difference(map: &PageMap, model: &BTreeSet<u64>, random: &mut Random) -> Option<&'static str> {
    let runs: Vec<_> = map.runs().collect();
    if runs.iter().any(|run| run.start >= run.end) {
        return Some("an empty run");
    }
    if runs.windows(2).any(|pair| pair[0].end >= pair[1].start) {
        return Some("runs that touch or are out of order");
    }
    if set_of(map) != *model {
        return Some("other pages");
    }
    if map.resident() != model.len() as u64 {
        return Some("another count");
    }
    for _ in 0..50 {
        let page = random.u64(0..5 * CHUNK);
        if map.contains(page) != model.contains(&page) {
            return Some("another answer for a page");
        }
        let (a, b) = (random.u64(0..5 * CHUNK), random.u64(0..5 * CHUNK));
        let part = a.min(b)..a.max(b);
        if map.resident_in(part.clone()) != model.range(part).count() as u64 {
            return Some("another count of a part");
        }
    }
    None
}

/// A run of one page, some, many, or whole chunks.
fn some_run(random: &mut Random) -> Range<u64> {
    let start = random.u64(0..4 * CHUNK);
    let size = match random.u32(0..4) {
        0 => 1,
        1 => random.u64(0..200),
        2 => random.u64(0..2 * CHUNK),
        _ => return start / CHUNK * CHUNK..(start / CHUNK + 1) * CHUNK,
    };
    start..start + size
}

#[test]
fn a_page_map_is_the_set_of_the_pages_that_were_put_in() {
    for _ in 0..budget(30) {
        let mut random = Random::new();
        let a = random.u64(0..4 * CHUNK);
        let pages = a..random.u64(a..5 * CHUNK);
        let mut map = PageMap::of_none(pages.clone());
        let mut model = BTreeSet::new();
        for _ in 0..random.u32(0..40) {
            let run = some_run(&mut random);
            map.insert(run.clone());
            model.extend(run.filter(|page| pages.contains(page)));
        }
        assert_eq!(difference(&map, &model, &mut random), None, "{pages:?}");
    }
}

bifolio_testkit::seeded_bugs! {
    /// What can be wrong with a page map.
    enum Bug {
        /// The last page of a run is left out.
        OneTooFew,
        /// Pages outside the range are taken too.
        RangeForgotten,
        /// A run that goes on in the next chunk is not inserted there.
        NextChunkForgotten,
        /// The first page of the second run is lost.
        FirstOfSecond,
    }
}

/// Insertion with the bug that is on.
fn insert(map: &mut PageMap, run: Range<u64>, nth: u32) {
    let mut run = run;
    if Bug::OneTooFew.is_on() {
        run.end = run.end.max(run.start + 1) - 1;
    }
    if Bug::NextChunkForgotten.is_on() {
        run.end = run.end.min((run.start / CHUNK + 1) * CHUNK);
    }
    if Bug::FirstOfSecond.is_on() && nth == 1 {
        run.start += 1;
    }
    map.insert(run);
}

#[test]
fn a_page_map_with_a_bug_in_it_is_noticed() {
    every_bug_is_caught("page map", Bug::ALL, Hunt::new().states(300), |bug, hunt| {
        let mut random = Random::new();
        for tried in 1..=hunt.states {
            let pages = random.u64(0..CHUNK)..random.u64(CHUNK..3 * CHUNK);
            let wide = bug.while_on(|| Bug::RangeForgotten.is_on());
            let mut map = PageMap::of_none(if wide { 0..u64::MAX } else { pages.clone() });
            let mut model = BTreeSet::new();
            for nth in 0..3 {
                let run = some_run(&mut random);
                bug.while_on(|| insert(&mut map, run.clone(), nth));
                model.extend(run.filter(|page| pages.contains(page)));
            }
            if let Some(by) = difference(&map, &model, &mut random) {
                return Verdict::Caught { by: by.to_owned(), after: tried };
            }
        }
        Verdict::Missed { after: hunt.states }
    });
}
