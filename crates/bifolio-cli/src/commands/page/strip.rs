//! Residency as a picture: a strip of cells over a file, each cell a part of it.

use std::ops::Range;

use bifolio::map::page_size;
use bifolio::map::residency::{CachedFile, Residency};

use crate::color::Paint;

/// The letters that pictures are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glyphs {
    Unicode,
    Ascii,
}

impl Glyphs {
    /// What the locale says; `ascii` is the wish of the user.
    pub(super) fn choose(ascii: bool) -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .filter_map(std::env::var_os)
            .find(|value| !value.is_empty())
            .unwrap_or_default()
            .to_string_lossy()
            .to_ascii_lowercase();
        let unicode = cfg!(windows) || locale.contains("utf-8") || locale.contains("utf8");
        if ascii || !unicode { Self::Ascii } else { Self::Unicode }
    }
}

/// What letters show how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Bars of eight heights: best in one line.
    Bars,
    /// Four shades: best in many lines.
    Shades,
}

/// What a picture is drawn with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pen {
    pub(super) glyphs: Glyphs,
    pub(super) paint: Paint,
    pub(super) shape: Shape,
}

/// A part of a file and what is in memory of it.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) range: Range<u64>,
    pub(super) found: Residency,
    /// All of it is a hole.
    pub(super) hole: bool,
}

/// The range in at most `count` parts of whole pages, as equal as can be.
pub(super) fn parts(range: Range<u64>, count: u64) -> Vec<Range<u64>> {
    let page = page_size() as u64;
    if range.start >= range.end || count == 0 {
        return Vec::new();
    }
    let (first, last) = (range.start / page, range.end.div_ceil(page));
    let pages = last - first;
    let count = count.min(pages);
    let edge = |number: u64| {
        // No product of two numbers below 2^64 overflows here.
        let pages = u128::from(pages) * u128::from(number) / u128::from(count);
        (u128::from(first) + pages) * u128::from(page)
    };
    (0..count)
        .map(|number| {
            let clamp = |edge: u128| u64::try_from(edge).unwrap_or(u64::MAX);
            clamp(edge(number)).max(range.start)..clamp(edge(number + 1)).min(range.end)
        })
        .collect()
}

/// The cells of a part of a file, at most `count`.
pub(super) fn cells(
    file: &CachedFile,
    range: Range<u64>,
    count: u64,
) -> Result<Vec<Cell>, bifolio::map::Error> {
    looked_at(file, parts(range, count))
}

/// The cells of a part of a file, each from a multiple of `step` to the next one.
pub(super) fn steps(
    file: &CachedFile,
    range: Range<u64>,
    step: u64,
) -> Result<Vec<Cell>, bifolio::map::Error> {
    let numbers = range.start / step..range.end.div_ceil(step);
    let parts = numbers.map(|number| {
        let (start, end) = (number.saturating_mul(step), (number + 1).saturating_mul(step));
        start.max(range.start)..end.min(range.end)
    });
    looked_at(file, parts.filter(|part| part.start < part.end).collect())
}

fn looked_at(file: &CachedFile, parts: Vec<Range<u64>>) -> Result<Vec<Cell>, bifolio::map::Error> {
    let holes = if file.allocated() < file.len() { file.holes()? } else { Vec::new() };
    parts
        .into_iter()
        .map(|range| {
            let found = file.residency(range.clone())?;
            // Holes are in order: the last one that starts before the end of the cell.
            let at = holes.partition_point(|hole| hole.start <= range.start);
            let hole = at.checked_sub(1).is_some_and(|at| holes[at].end >= range.end);
            Ok(Cell { range, found, hole })
        })
        .collect()
}

/// What a cell looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nobody knows.
    Unknown,
    /// Nothing of it, and there is nothing on the device either.
    Hole,
    /// Nothing of it.
    Absent,
    /// Nothing of it any more: memory was short.
    Evicted,
    /// 1 to 8 eighths of it, clean.
    Clean(u8),
    /// 1 to 8 eighths of it, some of it dirty.
    Dirty(u8),
    /// 1 to 8 eighths of it, some of it being written.
    Writing(u8),
}

impl Cell {
    pub(super) fn mark(&self) -> Mark {
        mark(&self.found, self.hole)
    }
}

/// What stands for these counts.
pub(super) fn mark(found: &Residency, hole: bool) -> Mark {
    let some = |count: Option<u64>| count.is_some_and(|count| count > 0);
    let Some(resident) = found.resident else { return Mark::Unknown };
    if resident == 0 {
        return match (hole, some(found.evicted)) {
            (true, _) => Mark::Hole,
            (false, true) => Mark::Evicted,
            (false, false) => Mark::Absent,
        };
    }
    // Rounded up, so that one page of a million shows; all eighths only if nothing is missing.
    let pages = u128::from(found.pages.max(resident));
    let eighths = (u128::from(resident) * 8).div_ceil(pages);
    let eighths = if u128::from(resident) < pages { eighths.min(7) } else { 8 };
    let eighths = u8::try_from(eighths).unwrap_or(8);
    match (some(found.write_back), some(found.dirty)) {
        (true, _) => Mark::Writing(eighths),
        (_, true) => Mark::Dirty(eighths),
        _ => Mark::Clean(eighths),
    }
}

/// The same picture in half the letters: each stands for two neighbours.
pub(super) fn halved(marks: &[Mark]) -> Vec<Mark> {
    marks
        .chunks(2)
        .map(|pair| pair.iter().copied().reduce(Mark::joined).unwrap_or(pair[0]))
        .collect()
}

impl Mark {
    /// Eighths of it that are in memory.
    fn eighths(self) -> u8 {
        match self {
            Self::Clean(eighths) | Self::Dirty(eighths) | Self::Writing(eighths) => eighths,
            _ => 0,
        }
    }

    /// What stands for both: what is worth a look in either shows.
    fn joined(self, other: Self) -> Self {
        let pair = [self, other];
        // Rounded up as a whole cell is, and not all of it unless both are.
        let eighths = (self.eighths() + other.eighths()).div_ceil(2);
        let all = pair.iter().all(|mark| mark.eighths() == 8);
        let eighths = if all { 8 } else { eighths.min(7) };
        let either = |test: fn(Self) -> bool| pair.into_iter().any(test);
        if either(|mark| matches!(mark, Self::Writing(_))) {
            Self::Writing(eighths)
        } else if either(|mark| matches!(mark, Self::Dirty(_))) {
            Self::Dirty(eighths)
        } else if eighths > 0 {
            Self::Clean(eighths)
        } else if either(|mark| mark == Self::Evicted) {
            Self::Evicted
        } else if either(|mark| mark == Self::Unknown) {
            Self::Unknown
        } else if either(|mark| mark == Self::Absent) {
            Self::Absent
        } else {
            Self::Hole
        }
    }

    /// Its letter. Without colour the letters tell what it would.
    fn letter(self, pen: Pen) -> char {
        let Pen { glyphs, paint, shape } = pen;
        let filled = |eighths: u8| match (glyphs, shape) {
            (Glyphs::Unicode, Shape::Bars) => {
                ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][usize::from(eighths.clamp(1, 8) - 1)]
            }
            (Glyphs::Unicode, Shape::Shades) => match eighths {
                8 => '█',
                6..8 => '▓',
                3..6 => '▒',
                _ => '░',
            },
            (Glyphs::Ascii, _) => match eighths {
                8 => '#',
                4..8 => '+',
                _ => '-',
            },
        };
        match (self, paint) {
            (Self::Unknown, _) => '?',
            (Self::Hole, _) => ' ',
            (Self::Absent, _) => {
                if glyphs == Glyphs::Unicode {
                    '·'
                } else {
                    '.'
                }
            }
            (Self::Evicted, Paint::Coloured) if glyphs == Glyphs::Unicode => '×',
            (Self::Evicted, _) => 'x',
            (Self::Dirty(_), Paint::Bare) => 'd',
            (Self::Writing(_), Paint::Bare) => 'w',
            (Self::Clean(eighths) | Self::Dirty(eighths) | Self::Writing(eighths), _) => {
                filled(eighths)
            }
        }
    }

    fn painted(self, text: &str, paint: Paint) -> String {
        match self {
            Self::Unknown | Self::Hole | Self::Absent => paint.faint(text).to_string(),
            Self::Evicted => paint.lost(text).to_string(),
            Self::Clean(_) => paint.good(text).to_string(),
            Self::Dirty(_) => paint.caution(text).to_string(),
            Self::Writing(_) => paint.moving(text).to_string(),
        }
    }
}

impl Pen {
    /// A line of marks, `width` letters wide.
    pub(super) fn line(self, marks: &[Mark], width: usize) -> String {
        let mut out = String::new();
        let mut at = 0;
        while at < marks.len() {
            // One pair of escape sequences for what has one colour.
            let kind = std::mem::discriminant(&marks[at]);
            let run = marks[at..].iter().take_while(|mark| std::mem::discriminant(*mark) == kind);
            let text: String = run.map(|mark| mark.letter(self)).collect();
            let count = text.chars().count();
            out.push_str(&marks[at].painted(&text, self.paint));
            at += count;
        }
        out.extend(std::iter::repeat_n(' ', width.saturating_sub(marks.len())));
        out
    }

    /// What the letters mean, for those that were used, in lines of at most so many columns.
    pub(super) fn legend(self, marks: impl IntoIterator<Item = Mark>, columns: usize) -> String {
        let paint = self.paint;
        let mut used: Vec<(u8, Mark, &str)> = Vec::new();
        for mark in marks {
            let (order, sample, text) = match mark {
                Mark::Clean(8) => (0, mark, "in memory"),
                Mark::Clean(_) => (1, Mark::Clean(4), "partly"),
                Mark::Dirty(_) => (2, Mark::Dirty(8), "some of it dirty"),
                Mark::Writing(_) => (3, Mark::Writing(8), "being written"),
                Mark::Evicted => (4, mark, "was in memory, evicted"),
                Mark::Absent => (5, mark, "not in memory"),
                Mark::Hole => (6, mark, "a hole"),
                Mark::Unknown => (7, mark, "the system does not tell"),
            };
            if !used.iter().any(|(other, ..)| *other == order) {
                used.push((order, sample, text));
            }
        }
        used.sort_by_key(|(order, ..)| *order);
        let (mut out, mut filled) = (String::new(), 0);
        for (_, mark, text) in used {
            let (sample, size) = match mark {
                Mark::Hole => (paint.faint("(blank)").to_string(), 7),
                _ => (self.line(&[mark], 1), 1),
            };
            let size = size + 1 + text.len();
            if filled > 0 && filled + 3 + size > columns {
                out.push('\n');
                filled = 0;
            } else if filled > 0 {
                out.push_str("   ");
                filled += 3;
            }
            out.push_str(&format!("{sample} {}", paint.faint(text)));
            filled += size;
        }
        out
    }
}

/// A bar of `width` letters for counts that have no places: what is resident from the left.
pub(super) fn bar(found: &Residency, width: u64) -> Vec<Mark> {
    let Some(resident) = found.resident else {
        return (0..width).map(|_| Mark::Unknown).collect();
    };
    let pages = found.pages.max(resident);
    let dirty = found.dirty.unwrap_or(0).saturating_add(found.write_back.unwrap_or(0));
    (0..width)
        .map(|at| {
            // What of `count` pages falls into this cell, in eighths of it, rounded up.
            let eighths = |count: u64| {
                let filled = (u128::from(count) * u128::from(width) * 8)
                    .div_ceil(u128::from(pages.max(1)))
                    .saturating_sub(u128::from(at) * 8);
                u8::try_from(filled.min(8)).unwrap_or(8)
            };
            match (eighths(resident), eighths(dirty)) {
                (0, _) => Mark::Absent,
                // Only what is all there is full to the edge.
                (8, _) if at + 1 == width && resident < pages => Mark::Clean(7),
                (some, 0) => Mark::Clean(some),
                (some, _) => Mark::Dirty(some),
            }
        })
        .collect()
}

#[cfg(test)]
#[path = "strip_tests.rs"]
mod tests;
