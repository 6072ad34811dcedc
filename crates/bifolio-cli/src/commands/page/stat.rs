//! `bifolio page stat`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bifolio::map::residency::Residency;

use super::paper::Paper;
use super::strip::{self, Mark};
use super::troubles::is_block_device;
use super::walk::{Found, Root, Walk, WalkArgs, Worker};
use super::{bytes, require_told_of};
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::CliError;
use crate::output::{Field, Format, Schema, Value};

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
pub(super) enum Subject {
    File,
    Directory,
    Total,
}

/// The sums of a line.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    pub(super) files: u64,
    pub(super) length: u64,
    /// `None` for a part of a file: nobody knows how much of it that is.
    pub(super) allocated: Option<u64>,
    pub(super) found: Residency,
}

impl Sums {
    pub(super) fn none() -> Self {
        Self { files: 0, length: 0, allocated: Some(0), found: Residency::none() }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.files += other.files;
        self.length = self.length.saturating_add(other.length);
        let both = self.allocated.zip(other.allocated);
        self.allocated = both.map(|(one, other)| one.saturating_add(other));
        self.found += other.found;
    }
}

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) path: PathBuf,
    pub(super) subject: Subject,
    pub(super) sums: Sums,
    pub(super) notes: Vec<&'static str>,
    pub(super) marks: Vec<Mark>,
}

/// What a thread has found.
#[derive(Debug)]
struct Counter<'a> {
    /// The paths of the command line, by number.
    roots: &'a [(PathBuf, Root)],
    /// Sums by the number of the path, for those that led to a file.
    sums: BTreeMap<usize, Sums>,
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
            allocated: (range == (0..file.len())).then(|| file.allocated()),
            found: residency,
        };
        self.sums.entry(argument).or_insert_with(Sums::none).add(&sums);
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

    fn absorb(&mut self, other: Self) {
        self.total.add(&other.total);
        for (argument, sums) in other.sums {
            self.sums.entry(argument).or_insert_with(Sums::none).add(&sums);
        }
        self.lines.extend(other.lines);
    }
}

/// What is special about how a file is stored.
fn notes(file: &bifolio::map::residency::CachedFile) -> Vec<&'static str> {
    let mut notes = Vec::new();
    if file.len() == 0 {
        notes.push("empty");
    }
    if file.is_compressed() {
        notes.push("compressed");
    } else if file.allocated().saturating_add(bytes(1)) <= file.len()
        // A device takes nothing of another one; it has no holes for that.
        && !std::fs::metadata(file.path()).is_ok_and(|found| is_block_device(&found))
    {
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
    require_told_of(&args.walk, context)?;
    let human = context.layout().format == Format::Human;
    let paper = Paper::of(context, args.ascii);
    let every_file = if args.files { Files::Each } else { Files::Together };
    let (walk, lines) = look(&args.walk, every_file, if human { paper.width } else { 0 })?;
    if human {
        let text = paper.table(&lines);
        context.out().write_all(text.as_bytes())?;
    } else {
        let mut rows = context.rows(SCHEMA)?;
        for line in &lines {
            rows.row(&values(line))?;
        }
        rows.finish()?;
    }
    walk.finish(context)
}

/// Whether files below a directory have lines of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Files {
    Each,
    Together,
}

/// Looks at all that a command line names; strips have so many cells.
pub(super) fn look(
    args: &WalkArgs,
    files: Files,
    cells: u64,
) -> Result<(Walk, Vec<Line>), CliError> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let walk = Walk::begin(args, threads)?;
    let found = walk.run(|| Counter {
        roots: &walk.roots,
        sums: BTreeMap::new(),
        total: Sums::none(),
        lines: Vec::new(),
        every_file: files == Files::Each,
        cells,
    })?;
    let lines = together(&walk, found);
    Ok((walk, lines))
}

/// The lines in the order of the command line, files before the directory they are in, and the
/// total if there is more than one path.
fn together(walk: &Walk, found: Counter<'_>) -> Vec<Line> {
    let Counter { mut sums, total, lines: mut files, .. } = found;
    files.sort_by(|(one, a), (other, b)| (one, &a.path).cmp(&(other, &b.path)));
    let mut files = files.into_iter().peekable();
    let mut lines = Vec::new();
    for (argument, (path, root)) in walk.roots.iter().enumerate() {
        while let Some((_, line)) = files.next_if(|(number, _)| *number == argument) {
            lines.push(line);
        }
        if *root == Root::Directory {
            let sums = sums.remove(&argument).unwrap_or_else(Sums::none);
            lines.push(summary(path, Subject::Directory, sums));
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

pub(super) fn values(line: &Line) -> Vec<Value> {
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
        line.sums.allocated.map_or(Value::Missing, Value::Bytes),
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
