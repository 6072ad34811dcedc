//! The table that people see: a strip, numbers, and the path.

use bifolio::map::residency::Residency;

use super::bytes;
use super::stat::{Line, Subject};
use super::strip::{self, Glyphs, Mark, Pen, Shape};
use crate::color::Paint;
use crate::context::Context;
use crate::output::{Value, path_text, printable};
use crate::units::{format_bytes, group_digits};

/// The picture for people.
pub(super) struct Paper {
    pub(super) glyphs: Glyphs,
    pub(super) paint: Paint,
    columns: usize,
    /// Letters of a strip.
    pub(super) width: u64,
}

/// A column of numbers: its heading, and what it shows of a line.
type Column = (&'static str, fn(&Line) -> String);

/// The numbers of a table; those that are nothing in every line are left out.
const ALWAYS: &[Column] = &[
    ("resident", |line| size(line.sums.found.resident)),
    ("", |line| share(&line.sums.found)),
    // Of its pages: all of the last one is in memory, also where the file ends inside it.
    ("of", |line| format_bytes(bytes(line.sums.found.pages))),
];
const SOMETIMES: &[Column] = &[
    ("dirty", |line| size(line.sums.found.dirty)),
    ("writing", |line| size(line.sums.found.write_back)),
    ("evicted", |line| size(line.sums.found.evicted)),
    ("files", |line| match line.subject {
        Subject::File => String::new(),
        _ => group_digits(line.sums.files),
    }),
];

/// A number of pages as a size; nothing is a dash.
pub(super) fn size(pages: Option<u64>) -> String {
    match pages {
        Some(0) | None => "-".to_owned(),
        Some(pages) => format_bytes(bytes(pages)),
    }
}

pub(super) fn share(found: &Residency) -> String {
    match Value::share(found.resident.unwrap_or(0), found.pages) {
        Value::Missing => "-".to_owned(),
        share => share.human(),
    }
}

impl Paper {
    pub(super) fn of(context: &Context, ascii: bool) -> Self {
        let layout = context.layout();
        let columns = usize::from(layout.columns.unwrap_or(100));
        let width = if columns >= 100 { 32 } else { 16 };
        Self { glyphs: Glyphs::choose(ascii), paint: layout.paint, columns, width }
    }

    /// The pen of its strips.
    pub(super) fn pen(&self) -> Pen {
        Pen { glyphs: self.glyphs, paint: self.paint, shape: Shape::Bars }
    }

    /// All of it: a heading, the lines, and what the letters mean.
    pub(super) fn table(&self, lines: &[Line]) -> String {
        if lines.is_empty() {
            return String::new();
        }
        let (paint, pen) = (self.paint, self.pen());
        let mut columns: Vec<&Column> = ALWAYS
            .iter()
            .chain(SOMETIMES.iter().filter(|(_, show)| {
                lines.iter().any(|line| !matches!(show(line).as_str(), "" | "-"))
            }))
            .collect();
        let mut widths: Vec<usize> = columns
            .iter()
            .map(|(title, show)| {
                lines.iter().map(|line| show(line).len()).max().unwrap_or(0).max(title.len())
            })
            .collect();
        /// What is left of a path at least.
        const PATH: usize = 16;
        let total = |widths: &[usize]| widths.iter().map(|width| width + 2).sum::<usize>() + 2;
        // Where there is no room for all numbers the first ones are worth more.
        while columns.len() > 2 && total(&widths) + PATH > self.columns {
            columns.pop();
            widths.pop();
        }
        let numbers = total(&widths);
        // No line is broken by the terminal: half a strip is better than none, and where there is no
        // room for that either the numbers say what it would show.
        let whole = usize::try_from(self.width).unwrap_or(0);
        let fits = |strip: &usize| strip + numbers + PATH <= self.columns;
        let left = [whole, whole / 2].into_iter().find(fits).unwrap_or(0);
        let room = self.columns.saturating_sub(left + numbers).max(PATH);
        let mut heading = " ".repeat(left);
        for ((title, _), width) in columns.iter().zip(&widths) {
            heading.push_str(&format!("  {title:>width$}"));
        }
        let mut out = format!("{}\n", paint.strong(format!("{heading}  path")));
        let mut all_marks: Vec<Mark> = Vec::new();
        for line in lines {
            let marks = match line.subject {
                _ if left == 0 => Vec::new(),
                Subject::File if left < whole => strip::halved(&line.marks),
                Subject::File => line.marks.clone(),
                _ => strip::bar(&line.sums.found, left as u64),
            };
            let mut text = pen.line(&marks, left);
            all_marks.extend(marks);
            for ((_, show), width) in columns.iter().zip(&widths) {
                text.push_str(&format!("  {:>width$}", show(line)));
            }
            let path = printable(&path_text(&line.path));
            let notes = line.notes.join(", ");
            // They yield to the path.
            let fits = room >= notes.len() + 2 + PATH;
            let notes =
                if fits && !notes.is_empty() { format!("  {notes}") } else { String::new() };
            let path = shortened(&path, room - notes.len(), self.glyphs);
            let path = match line.subject {
                Subject::File => path,
                _ => paint.strong(path).to_string(),
            };
            let notes = if notes.is_empty() { notes } else { paint.faint(notes).to_string() };
            out.push_str(&format!("{text}  {path}{notes}\n"));
        }
        if left > 0 {
            out.push_str(&format!("\n{}\n", pen.legend(all_marks, self.columns)));
        }
        out
    }
}

/// A path that fits: its end is what tells it from others.
pub(super) fn shortened(path: &str, room: usize, glyphs: Glyphs) -> String {
    let count = path.chars().count();
    if count <= room {
        return path.to_owned();
    }
    let mark = if glyphs == Glyphs::Unicode { "…" } else { "..." };
    let keep = room.saturating_sub(mark.chars().count());
    let end: String = path.chars().skip(count - keep).collect();
    format!("{mark}{end}")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::commands::page::stat::Sums;

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let found = Residency::none();
        let line = |dirty: Option<u64>| {
            let mut found = found;
            (found.pages, found.resident) = (70_000_000, Some(69_999_999));
            (found.dirty, found.write_back, found.evicted) = (dirty, dirty, dirty);
            Line {
                path: PathBuf::from("/a/long/path".repeat(20)),
                subject: Subject::File,
                sums: Sums { files: 1, length: 1, allocated: Some(1), found },
                notes: vec!["compressed", "hard-linked"],
                marks: Vec::new(),
            }
        };
        for columns in [40, 60, 72, 80, 100, 120, 200] {
            for dirty in [Some(0), Some(123_456)] {
                let glyphs = Glyphs::Ascii;
                let width = if columns >= 100 { 32 } else { 16 };
                let paper = Paper { glyphs, paint: Paint::Bare, columns, width };
                let table = paper.table(&[line(dirty)]);
                for row in table.lines() {
                    assert!(row.chars().count() <= columns, "{columns}: {row}");
                }
                let row = table.lines().nth(1).expect("a row");
                assert!(row.contains("/path"), "{row}");
            }
        }
    }
}
