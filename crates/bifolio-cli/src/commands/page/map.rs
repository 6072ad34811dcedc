//! `bifolio page map`

use std::ops::Range;
use std::path::PathBuf;

use bifolio::map::page_size;
use bifolio::map::residency::{CachedFile, Residency};

use super::paper::{share, size};
use super::strip::{self, Glyphs, Mark, Pen, Shape};
use super::{NOTES, bytes, require_told};
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::CliError;
use crate::interrupt;
use crate::output::{Field, Format, Schema, Value, path_text, printable, wrap};
use crate::units::{ByteRange, format_bytes, group_digits};

/// Draw which parts of one file are in memory
///
/// A picture over the whole file, or over the range that is given: each letter stands for some
/// pages of it. Formats for programs get the runs of pages instead. Nothing is read in.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The file
    #[arg(value_name = "PATH")]
    path: PathBuf,

    /// Only this part of it, such as `1G..+16M`: a closer look
    #[arg(long, value_name = "RANGE")]
    range: Option<ByteRange>,

    /// Lines of the picture, at most
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    lines: u16,

    /// Draw with letters that every terminal has
    #[arg(long)]
    ascii: bool,
}

/// The examples of the help page.
pub(super) const EXAMPLES: &[Example] = &[
    Example::new("bifolio page map notes.txt", "the whole file").given(NOTES).of_the_cache(),
    Example::new("bifolio page map notes.txt --range 50%..", "a closer look at its second half")
        .given(NOTES)
        .of_the_cache(),
    Example::new("bifolio page map notes.txt --json", "the runs of pages, for a program")
        .given(NOTES)
        .of_the_cache(),
    Example::new("bifolio page map no-such-file", "ends with exit code 3").exits(Exit::NotFound),
];

const SCHEMA: Schema = Schema {
    name: "bifolio.page-map",
    version: 1,
    fields: &[
        Field::bytes("offset"),
        Field::bytes("size"),
        Field::text("state"),
        Field::bytes("dirty"),
        Field::bytes("write_back"),
        Field::bytes("evicted"),
    ],
};

/// Runs it.
///
/// # Errors
/// [`Exit::NotFound`] without the file, [`Exit::Usage`] for a range outside it.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    let file = CachedFile::open(&args.path)?;
    require_told()?;
    let range = match args.range {
        None => 0..file.len(),
        Some(range) => range.within(file.len()).map_err(|error| {
            CliError::new(Exit::Usage, error.to_string()).at(args.path.display().to_string())
        })?,
    };
    if context.layout().format == Format::Human {
        Picture::plan(args, context).draw(&file, range, context)
    } else {
        write_runs(&file, range, context)
    }
}

/// One record for each run of pages in one state.
fn write_runs(file: &CachedFile, range: Range<u64>, context: &mut Context) -> Result<(), CliError> {
    let holes = if file.allocated() < file.len() { file.holes()? } else { Vec::new() };
    let map = file.page_map(range.clone())?;
    let mut rows = context.rows(SCHEMA)?;
    let mut tell = |part: Range<u64>, state: &str| -> Result<(), CliError> {
        interrupt::check()?;
        let found = file.residency(part.clone())?;
        let size =
            |pages: Option<u64>| pages.map_or(Value::Missing, |pages| Value::Bytes(bytes(pages)));
        Ok(rows.row(&[
            Value::Bytes(part.start),
            Value::Bytes(part.end - part.start),
            state.into(),
            size(found.dirty),
            size(found.write_back),
            size(found.evicted),
        ])?)
    };
    let mut at = range.start;
    for run in map.runs() {
        let run = bytes(run.start).max(range.start)..bytes(run.end).min(range.end);
        for (part, state) in absent(at..run.start, &holes) {
            tell(part, state)?;
        }
        tell(run.clone(), "resident")?;
        at = run.end;
    }
    for (part, state) in absent(at..range.end, &holes) {
        tell(part, state)?;
    }
    Ok(rows.finish()?)
}

/// What is not in memory, in parts: on the device, or nowhere.
fn absent(range: Range<u64>, holes: &[Range<u64>]) -> Vec<(Range<u64>, &'static str)> {
    let mut parts = Vec::new();
    let mut at = range.start;
    // They are in order: a file of many holes is not searched through for each of its runs.
    let first = holes.partition_point(|hole| hole.end <= range.start);
    for hole in holes[first..].iter().take_while(|hole| hole.start < range.end) {
        let hole = hole.start.max(range.start)..hole.end.min(range.end);
        if at < hole.start {
            parts.push((at..hole.start, "absent"));
        }
        at = hole.end;
        parts.push((hole, "hole"));
    }
    if at < range.end {
        parts.push((at..range.end, "absent"));
    }
    parts
}

/// The picture for people.
struct Picture {
    pen: Pen,
    /// Letters in a line: a power of two, so that lines begin at round offsets.
    width: u64,
    /// Columns of the terminal.
    columns: usize,
    lines: u64,
}

/// Columns for the offset at the start of a line.
const LABEL: usize = 10;

impl Picture {
    fn plan(args: &Args, context: &Context) -> Self {
        let layout = context.layout();
        let columns = usize::from(layout.columns.unwrap_or(80));
        let room = columns.saturating_sub(LABEL + 2).max(8);
        Self {
            pen: Pen {
                glyphs: Glyphs::choose(args.ascii),
                paint: layout.paint,
                shape: Shape::Shades,
            },
            width: 1 << room.ilog2(),
            columns,
            lines: args.lines.into(),
        }
    }

    /// Bytes of a letter: a power of two of whole pages, so that all of them fit.
    fn step(&self, range: &Range<u64>) -> u64 {
        let page = page_size() as u64;
        let letters = self.width * self.lines;
        let mut step = page;
        // A range that begins in the middle of a letter needs one more.
        while (range.end.div_ceil(step) - range.start / step) > letters && step < 1 << 62 {
            step *= 2;
        }
        step
    }

    fn draw(
        &self,
        file: &CachedFile,
        range: Range<u64>,
        context: &mut Context,
    ) -> Result<(), CliError> {
        let step = self.step(&range);
        let cells = strip::steps(file, range.clone(), step)?;
        let mut sum = Residency::none();
        cells.iter().for_each(|cell| sum += cell.found);
        let paint = self.pen.paint;
        let path = printable(&path_text(file.path()));
        writeln!(context.out(), "{}", paint.strong(path))?;
        let mut facts = vec![if range.is_empty() {
            "empty".to_owned()
        } else {
            // Of its pages: all of the last one is in memory, also where the file ends inside it.
            let all = format_bytes(bytes(sum.pages));
            format!("{} of {all} in memory ({})", size(sum.resident), share(&sum))
        }];
        for (pages, words) in
            [(sum.dirty, "dirty"), (sum.write_back, "being written"), (sum.evicted, "evicted")]
        {
            if pages.is_some_and(|pages| pages > 0) {
                facts.push(format!("{} {words}", size(pages)));
            }
        }
        if file.is_compressed() {
            facts.push("stored compressed".to_owned());
        } else if file.allocated() < file.len() {
            facts.push(format!("{} on the device", format_bytes(file.allocated())));
        }
        for line in wrap(&facts.join(", "), self.columns) {
            writeln!(context.out(), "{line}")?;
        }
        let pages = step / page_size() as u64;
        let plural = if pages == 1 { "page" } else { "pages" };
        writeln!(
            context.out(),
            "{}\n",
            paint.faint(format!(
                "one letter is {}, {} {plural}",
                format_bytes(step),
                group_digits(pages)
            ))
        )?;
        let width = usize::try_from(self.width).unwrap_or(64);
        let marks: Vec<Mark> = cells.iter().map(strip::Cell::mark).collect();
        for (cells, marks) in cells.chunks(width).zip(marks.chunks(width)) {
            let label = format!("{:>LABEL$}", exact(cells[0].range.start));
            let line = self.pen.line(marks, width);
            writeln!(context.out(), "{}  {}", paint.faint(label), line.trim_end())?;
        }
        writeln!(context.out(), "\n{}", self.pen.legend(marks, self.columns))?;
        Ok(())
    }
}

/// An offset as `--range` takes it, not rounded.
fn exact(offset: u64) -> String {
    let units = [(40, "T"), (30, "G"), (20, "M"), (10, "k")];
    let unit = units.iter().find(|(shift, _)| offset > 0 && offset.is_multiple_of(1 << shift));
    unit.map_or(offset.to_string(), |(shift, unit)| format!("{}{unit}", offset >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_of_a_line_is_its_offset_and_nothing_near_it() {
        for offset in [0, 1, 1023, 1024, 1 << 20, 5 << 29, (1 << 40) + 4096, u64::MAX] {
            let range: ByteRange = format!("{}..", exact(offset)).parse().expect("a range");
            assert_eq!(range.within(u64::MAX).expect("inside").start, offset);
        }
        assert_eq!(exact(5 << 29), "2560M");
    }

    #[test]
    fn what_is_absent_is_on_the_device_or_a_hole() {
        let holes = [10..20, 40..50];
        assert_eq!(
            absent(5..45, &holes),
            [(5..10, "absent"), (10..20, "hole"), (20..40, "absent"), (40..45, "hole")]
        );
        assert_eq!(absent(12..15, &holes), [(12..15, "hole")]);
        assert_eq!(absent(20..20, &holes), []);
        assert_eq!(absent(20..40, &[]), [(20..40, "absent")]);
    }

    #[test]
    fn a_letter_is_a_power_of_two_and_all_letters_fit() {
        let pen =
            Pen { glyphs: Glyphs::Ascii, paint: crate::color::Paint::Bare, shape: Shape::Shades };
        let picture = Picture { pen, width: 64, columns: 80, lines: 16 };
        for (start, end) in [(0, 1), (0, 4 << 20), (1, (4 << 20) + 1), (7, u64::MAX), (0, 1 << 40)]
        {
            let step = picture.step(&(start..end));
            assert!(step.is_power_of_two() && step >= page_size() as u64);
            assert!(end.div_ceil(step) - start / step <= 64 * 16, "{start}..{end}");
        }
        assert_eq!(picture.step(&(0..1024 * page_size() as u64)), page_size() as u64);
    }
}
