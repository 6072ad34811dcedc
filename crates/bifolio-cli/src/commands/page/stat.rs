//! `bifolio page stat`

use std::path::{Path, PathBuf};

use bifolio::map::residency::Residency;

use super::strip::{self, Glyphs, Mark, Pen, Shape};
use super::walk::{Found, Root, Walk, WalkArgs, Worker};
use super::{bytes, not_told};
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::CliError;
use crate::output::{Field, Format, Schema, Value, printable};
use crate::units::{format_bytes, group_digits};

/// Tell how much of files is in memory, dirty, or evicted
///
/// One line for each PATH: a directory stands for all files below it. The strip in front shows
/// where in the file, or for a directory how much. Nothing is read in, and no access time changes.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    walk: WalkArgs,

    /// A line for each file below a directory too
    #[arg(long)]
    files: bool,

    /// Draw with letters that every terminal has
    #[arg(long)]
    ascii: bool,
}

/// The examples of the help page.
pub(super) const EXAMPLES: &[Example] = &[
    Example::new("bifolio page stat notes.txt", "one file").given(super::NOTES).of_the_cache(),
    Example::new("bifolio page stat . --files --include '*.txt'", "each file of a kind")
        .given(super::NOTES)
        .of_the_cache(),
    Example::new("bifolio page stat notes.txt --range 50%.. --json", "half a file, for a program")
        .given(super::NOTES)
        .of_the_cache(),
    Example::new("bifolio page stat no-such-file", "ends with exit code 3").exits(Exit::NotFound),
];

const SCHEMA: Schema = Schema {
    name: "bifolio.page-stat",
    version: 1,
    fields: &[
        Field::text("path"),
        Field::text("kind"),
        Field::count("files"),
        Field::bytes("length"),
        Field::bytes("allocated"),
        Field::count("pages"),
        Field::bytes("resident"),
        Field::percent("resident"),
        Field::bytes("dirty"),
        Field::bytes("write_back"),
        Field::bytes("evicted"),
        Field::bytes("recently_evicted"),
        Field::words("notes"),
    ],
};

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    File,
    Directory,
    Total,
}

/// The sums of a line.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    pub(super) files: u64,
    pub(super) length: u64,
    pub(super) allocated: u64,
    pub(super) found: Residency,
}

impl Sums {
    pub(super) fn none() -> Self {
        Self { files: 0, length: 0, allocated: 0, found: Residency::none() }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.files += other.files;
        self.length = self.length.saturating_add(other.length);
        self.allocated = self.allocated.saturating_add(other.allocated);
        self.found += other.found;
    }
}

/// One line.
#[derive(Clone, Debug)]
struct Line {
    path: PathBuf,
    subject: Subject,
    sums: Sums,
    notes: Vec<&'static str>,
    marks: Vec<Mark>,
}

/// What a thread has found.
#[derive(Debug)]
struct Counter<'a> {
    /// The paths of the command line, by number.
    roots: &'a [(PathBuf, Root)],
    /// Sums of each of them.
    sums: Vec<Sums>,
    total: Sums,
    lines: Vec<(usize, Line)>,
    every_file: bool,
    /// Cells of a strip; none where nobody would see it.
    cells: u64,
}

impl Worker for Counter<'_> {
    fn visit(&mut self, found: Found) -> Result<(), bifolio::map::Error> {
        let Found { file, argument, again, range } = found;
        let is_root = self.roots[argument].1 == Root::File;
        let (residency, marks) = if self.cells > 0 && (is_root || self.every_file) {
            let cells = strip::cells(&file, range.clone(), self.cells)?;
            let mut sum = Residency::none();
            cells.iter().for_each(|cell| sum += cell.found);
            (sum, cells.iter().map(strip::Cell::mark).collect())
        } else {
            (file.residency(range.clone())?, Vec::new())
        };
        let sums = Sums {
            files: 1,
            length: range.end - range.start,
            allocated: file.allocated(),
            found: residency,
        };
        self.sums[argument].add(&sums);
        if !again {
            self.total.add(&sums);
        }
        if is_root || self.every_file {
            let notes = notes(&file);
            let path = file.path().to_path_buf();
            self.lines.push((argument, Line { path, subject: Subject::File, sums, notes, marks }));
        }
        Ok(())
    }
}

/// What is special about how a file is stored.
fn notes(file: &bifolio::map::residency::CachedFile) -> Vec<&'static str> {
    let mut notes = Vec::new();
    if file.is_compressed() {
        notes.push("compressed");
    } else if file.allocated().saturating_add(bytes(1)) <= file.len() {
        notes.push("sparse");
    }
    if file.links() > 1 {
        notes.push("hard-linked");
    }
    notes
}

/// Runs it.
///
/// # Errors
/// [`Exit::NotFound`] if a path is not there, [`Exit::Failure`] if something may not be looked at.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    let layout = context.layout();
    let columns = usize::from(layout.columns.unwrap_or(100));
    let human = layout.format == Format::Human;
    let width = if columns >= 100 { 32 } else { 16 };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let walk = Walk::begin(&args.walk, threads)?;
    let counters = walk.run(|| Counter {
        roots: &walk.roots,
        sums: vec![Sums::none(); walk.roots.len()],
        total: Sums::none(),
        lines: Vec::new(),
        every_file: args.files,
        cells: if human { width } else { 0 },
    })?;
    let lines = together(&walk, counters);
    if lines.iter().any(|line| line.sums.found.resident.is_none()) {
        return Err(not_told());
    }
    if human {
        let paper = Paper { glyphs: Glyphs::choose(args.ascii), columns, width };
        paper.write(&lines, context)?;
    } else {
        let mut rows = context.rows(SCHEMA)?;
        for line in &lines {
            rows.row(&values(line))?;
        }
        rows.finish()?;
    }
    walk.finish(context)
}

/// The lines in the order of the command line, files before the directory they are in, and the
/// total if there is more than one path.
fn together(walk: &Walk, counters: Vec<Counter<'_>>) -> Vec<Line> {
    let mut sums = vec![Sums::none(); walk.roots.len()];
    let mut total = Sums::none();
    let mut files = Vec::new();
    for counter in counters {
        sums.iter_mut().zip(&counter.sums).for_each(|(sum, other)| sum.add(other));
        total.add(&counter.total);
        files.extend(counter.lines);
    }
    files.sort_by(|(one, a), (other, b)| (one, &a.path).cmp(&(other, &b.path)));
    let mut files = files.into_iter().peekable();
    let mut lines = Vec::new();
    for (argument, (path, root)) in walk.roots.iter().enumerate() {
        while let Some((_, line)) = files.next_if(|(number, _)| *number == argument) {
            lines.push(line);
        }
        if *root == Root::Directory {
            lines.push(summary(path, Subject::Directory, sums[argument].clone()));
        }
    }
    if walk.roots.len() > 1 {
        lines.push(summary(Path::new("total"), Subject::Total, total));
    }
    lines
}

fn summary(path: &Path, subject: Subject, sums: Sums) -> Line {
    Line { path: path.to_path_buf(), subject, sums, notes: Vec::new(), marks: Vec::new() }
}

fn values(line: &Line) -> Vec<Value> {
    let found = &line.sums.found;
    let size =
        |pages: Option<u64>| pages.map_or(Value::Missing, |pages| Value::Bytes(bytes(pages)));
    vec![
        Value::path(&line.path),
        match line.subject {
            Subject::File => "file",
            Subject::Directory => "directory",
            Subject::Total => "total",
        }
        .into(),
        Value::Count(line.sums.files),
        Value::Bytes(line.sums.length),
        Value::Bytes(line.sums.allocated),
        Value::Count(found.pages),
        size(found.resident),
        found.resident.map_or(Value::Missing, |resident| Value::share(resident, found.pages)),
        size(found.dirty),
        size(found.write_back),
        size(found.evicted),
        size(found.recently_evicted),
        Value::Words(line.notes.iter().map(|&note| note.to_owned()).collect()),
    ]
}

/// The picture for people.
struct Paper {
    glyphs: Glyphs,
    columns: usize,
    width: u64,
}

/// A column of numbers: its heading, and what it shows of a line.
type Column = (&'static str, fn(&Line) -> String);

/// The numbers of a table; those that are nothing in every line are left out.
const ALWAYS: &[Column] = &[
    ("resident", |line| size(line.sums.found.resident)),
    ("", |line| share(&line.sums.found)),
    ("of", |line| format_bytes(line.sums.length)),
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
    fn write(&self, lines: &[Line], context: &mut Context) -> Result<(), CliError> {
        if lines.is_empty() {
            return Ok(());
        }
        let paint = context.layout().paint;
        let pen = Pen { glyphs: self.glyphs, paint, shape: Shape::Bars };
        let columns: Vec<&Column> = ALWAYS
            .iter()
            .chain(SOMETIMES.iter().filter(|(_, show)| {
                lines.iter().any(|line| !matches!(show(line).as_str(), "" | "-"))
            }))
            .collect();
        let widths: Vec<usize> = columns
            .iter()
            .map(|(title, show)| {
                lines.iter().map(|line| show(line).len()).max().unwrap_or(0).max(title.len())
            })
            .collect();
        let left = usize::try_from(self.width).unwrap_or(0);
        let used = left + widths.iter().map(|width| width + 2).sum::<usize>() + 2;
        let room = self.columns.saturating_sub(used).max(16);
        let mut heading = " ".repeat(left);
        for ((title, _), width) in columns.iter().zip(&widths) {
            heading.push_str(&format!("  {title:>width$}"));
        }
        writeln!(context.out(), "{}", paint.strong(format!("{heading}  path")))?;
        let mut all_marks = Vec::new();
        for line in lines {
            let marks = match line.subject {
                Subject::File => line.marks.clone(),
                _ => strip::bar(&line.sums.found, self.width),
            };
            let mut text = pen.line(&marks, left);
            all_marks.extend(marks);
            for ((_, show), width) in columns.iter().zip(&widths) {
                text.push_str(&format!("  {:>width$}", show(line)));
            }
            let path = printable(&line.path.display().to_string());
            let path = shortened(&path, room, self.glyphs);
            let path = match line.subject {
                Subject::File => path,
                _ => paint.strong(path).to_string(),
            };
            let notes = line.notes.join(", ");
            let notes = if notes.is_empty() { notes } else { format!("  {}", paint.faint(notes)) };
            writeln!(context.out(), "{text}  {path}{notes}")?;
        }
        let legend = pen.legend(all_marks);
        writeln!(context.out(), "\n{legend}")?;
        Ok(())
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
