//! `bifolio page evict`

use std::collections::BTreeMap;
use std::path::Path;

use bifolio::map::residency::WriteBack;

use super::walk::{Found, Root, Walk, WalkArgs, Worker};
use super::{NOTES, bytes, require_told_of};
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::CliError;
use crate::output::{Field, Schema, Value};
use crate::units::{format_bytes, group_digits};

/// Drop files from memory, and say what stayed and why
///
/// Nothing is lost: dirty pages are written to the device first. Pages that a process has mapped
/// or locked stay, and so does all of a file that lives in memory only (tmpfs).
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    walk: WalkArgs,

    /// Leave dirty pages where they are instead of writing them to the device first
    #[arg(long)]
    no_write_back: bool,
}

/// The examples of the help page.
pub(super) const EXAMPLES: &[Example] = &[
    Example::new("bifolio page evict notes.txt", "one file").given(NOTES).of_the_cache(),
    Example::new("bifolio page evict . --include '*.txt' --json", "files of a kind, told as JSON")
        .given(NOTES)
        .of_the_cache(),
    Example::new("bifolio page evict notes.txt --no-write-back", "only what is clean already")
        .given(NOTES)
        .of_the_cache(),
    Example::new("bifolio page evict no-such-file", "ends with exit code 3").exits(Exit::NotFound),
];

const SCHEMA: Schema = Schema {
    name: "bifolio.page-evict",
    version: 1,
    fields: &[
        Field::text("path"),
        Field::count("files"),
        Field::bytes("resident_before"),
        Field::bytes("dropped"),
        Field::bytes("stayed_dirty"),
        Field::bytes("stayed_in_use"),
        Field::bytes("lives_in_memory"),
    ],
};

/// Pages of one path of the command line; `None` if the system does not count them.
#[derive(Clone, Copy, Debug)]
struct Sums {
    files: u64,
    /// Files that were evicted without anybody being told what it did.
    uncounted: u64,
    before: Option<u64>,
    dropped: Option<u64>,
    dirty: Option<u64>,
    in_use: Option<u64>,
    in_memory: Option<u64>,
}

impl Sums {
    const NONE: Self = Self {
        files: 0,
        uncounted: 0,
        before: Some(0),
        dropped: Some(0),
        dirty: Some(0),
        in_use: Some(0),
        in_memory: Some(0),
    };

    fn add(&mut self, other: &Self) {
        let add = |one: Option<u64>, other: Option<u64>| Some(one?.saturating_add(other?));
        self.files += other.files;
        self.uncounted += other.uncounted;
        self.before = add(self.before, other.before);
        self.dropped = add(self.dropped, other.dropped);
        self.dirty = add(self.dirty, other.dirty);
        self.in_use = add(self.in_use, other.in_use);
        self.in_memory = add(self.in_memory, other.in_memory);
    }

    fn values(&self, path: &Path) -> Vec<Value> {
        let size =
            |pages: Option<u64>| pages.map_or(Value::Missing, |pages| Value::Bytes(bytes(pages)));
        vec![
            Value::path(path),
            Value::Count(self.files),
            size(self.before),
            size(self.dropped),
            size(self.dirty),
            size(self.in_use),
            size(self.in_memory),
        ]
    }
}

struct Evictor {
    write_back: WriteBack,
    /// By the number of the path, for those that led to a file.
    sums: BTreeMap<usize, Sums>,
    total: Sums,
}

impl Worker for Evictor {
    fn visit(&mut self, found: Found) -> Result<(), bifolio::map::Error> {
        let evicted = found.file.evict(found.range, self.write_back)?;
        let in_use = evicted.stayed_in_use();
        let lives_in_memory = found.file.is_in_memory();
        let sums = Sums {
            files: 1,
            uncounted: u64::from(evicted.dropped().is_none()),
            before: evicted.before.resident,
            dropped: evicted.dropped(),
            dirty: evicted.stayed_dirty(),
            in_use: if lives_in_memory { Some(0) } else { in_use },
            in_memory: if lives_in_memory { in_use } else { Some(0) },
        };
        self.sums.entry(found.argument).or_insert(Sums::NONE).add(&sums);
        if !found.again {
            self.total.add(&sums);
        }
        Ok(())
    }

    fn absorb(&mut self, other: Self) {
        self.total.add(&other.total);
        for (argument, sums) in other.sums {
            self.sums.entry(argument).or_insert(Sums::NONE).add(&sums);
        }
    }
}

/// Runs it.
///
/// # Errors
/// As `page stat`; [`Exit::Failure`] where the system cannot.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    require_told_of(&args.walk, context)?;
    let write_back = if args.no_write_back { WriteBack::No } else { WriteBack::First };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let walk = Walk::begin(&args.walk, threads)?;
    let new_worker = || Evictor { write_back, sums: BTreeMap::new(), total: Sums::NONE };
    let Evictor { sums, total, .. } = walk.run(new_worker)?;
    let mut rows = context.rows(SCHEMA)?;
    for (argument, (path, root)) in walk.roots.iter().enumerate() {
        if *root != Root::Nothing {
            rows.row(&sums.get(&argument).unwrap_or(&Sums::NONE).values(path))?;
        }
    }
    if walk.roots.len() > 1 {
        rows.row(&total.values(Path::new("total")))?;
    }
    rows.finish()?;
    if total.uncounted > 0 {
        context.message(&format!(
            "{} files of others were evicted and not counted: the system does not tell this user \
             what of them is in memory",
            group_digits(total.uncounted)
        ));
    }
    for (pages, why) in [
        (
            total.in_use,
            "stayed in use (mapped, locked, or one piece with what was not asked for); `bifolio page who FILE` tells by whom",
        ),
        (total.dirty, "stayed dirty or are being written"),
        (total.in_memory, "live in memory only: their file system has no device"),
    ] {
        if let Some(pages) = pages.filter(|&pages| pages > 0) {
            context.message(&format!("{} {why}", format_bytes(bytes(pages))));
        }
    }
    walk.finish(context)
}
