//! `bifolio page restore`

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bifolio::map::ErrorKind;
use bifolio::map::residency::{CachedFile, bytes_from_disk};

use super::budget::{Budget, BudgetArgs};
use super::crew;
use super::reader::{self, Hand, Reader};
use super::saved::{self, Entry, Identity};
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::{CliError, Locate};
use crate::input::Input;
use crate::interrupt;
use crate::output::{Field, Schema, Value, path_text, printable};
use crate::units::group_digits;

/// Read in what `page save` has written down
///
/// Only files that are still the same (path, length, time of change, file number) are read, only
/// their parts that were in memory, many at a time, within the budget. What has changed or gone is
/// skipped, counted and told; so are holes, which would only fill memory with zeros. A damaged file restores nothing: exit code 4.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The file that `page save` has written; `-` is stdin
    #[arg(value_name = "FILE")]
    from: Input,

    #[command(flatten)]
    budget: BudgetArgs,

    /// Threads at work [default: what suits the machine]
    #[arg(long, value_name = "COUNT")]
    threads: Option<std::num::NonZeroUsize>,
}

/// A set of no file.
const EMPTY: &[(&str, &str)] = &[(
    "warm.jsonl",
    "{\"format\":\"bifolio residency\",\"version\":1,\"page_size\":4096,\
     \"saved\":\"1970-01-01T00:00:00Z\"}\n\
     {\"end\":true,\"files\":0,\"resident\":0,\"sha256\":\
     \"6ae3941f6151201a9bbf8e03f8f9f6d0f503c8b4317951dc51fcc0451ee44cf3\"}\n",
)];

/// The examples of the help page.
pub(super) const EXAMPLES: &[Example] = &[
    Example::new("bifolio page restore warm.jsonl", "what was in memory when it was saved")
        .given(EMPTY),
    Example::new(
        "bifolio page restore warm.jsonl --budget 4G --json",
        "no more than so much of it",
    )
    .given(EMPTY),
    Example::new("bifolio page restore notes.txt", "what is no such file ends with exit code 4")
        .given(super::NOTES)
        .exits(Exit::Corrupt),
];

const SCHEMA: Schema = Schema {
    name: "bifolio.page-restore",
    version: 1,
    fields: &[
        Field::count("files"),
        Field::count("changed"),
        Field::count("gone"),
        Field::count("failed"),
        Field::bytes("already"),
        Field::bytes("holes"),
        Field::bytes("read_in"),
        Field::bytes("from_disk"),
        Field::bytes("left_out"),
        Field::duration("elapsed"),
    ],
};

/// Why a file was not restored.
#[derive(Debug)]
enum Skipped {
    Changed(PathBuf),
    Gone(PathBuf),
    Failed(PathBuf, bifolio::map::Error),
}

/// Runs it.
///
/// # Errors
/// [`Exit::Corrupt`] for a damaged file, [`Exit::Refused`] if something did not fit.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    let (started, before) = (Instant::now(), bytes_from_disk());
    let place = args.from.to_string();
    let entries = saved::read(&mut BufReader::new(args.from.open()?))
        .or_try("bifolio page save PATH --to FILE")
        .at(&place)?;
    let threads = args.threads.map_or_else(reader::threads, std::num::NonZeroUsize::get);
    let reader = Reader::new(Budget::of(args.budget)?, threads);
    let skipped = reader::with_progress(&reader, "restoring", || {
        let mut skipped = restore(&entries, &reader);
        let failures = reader.read_large();
        skipped.extend(failures.into_iter().map(|(path, error)| Skipped::Failed(path, error)));
        skipped
    })?;
    let from_disk = before.zip(bytes_from_disk()).map(|(before, now)| now.saturating_sub(before));
    let count =
        |kind: fn(&Skipped) -> bool| skipped.iter().filter(|skipped| kind(skipped)).count() as u64;
    let changed = count(|skipped| matches!(skipped, Skipped::Changed(_)));
    let gone = count(|skipped| matches!(skipped, Skipped::Gone(_)));
    let failed = count(|skipped| matches!(skipped, Skipped::Failed(..)));
    context.record(
        &SCHEMA,
        &[
            Value::Count((entries.len() as u64).saturating_sub(changed + gone + failed)),
            Value::Count(changed),
            Value::Count(gone),
            Value::Count(failed),
            Value::Bytes(reader.already()),
            Value::Bytes(reader.holes()),
            Value::Bytes(reader.read()),
            from_disk.map_or(Value::Missing, Value::Bytes),
            Value::Bytes(reader.budget.refused()),
            started.elapsed().into(),
        ],
    )?;
    reader.tell(context);
    tell(&skipped, context);
    if failed > 0 {
        let what = format!("{} files could not be read", group_digits(failed));
        return Err(CliError::new(Exit::Failure, what).at(place));
    }
    reader.budget.verdict()
}

/// Reads in the small files, and notes the large ones.
fn restore(entries: &[Entry], reader: &Reader) -> Vec<Skipped> {
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut hand, mut skipped) = (reader.hand(), Vec::new());
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(entry) = entries.get(at).filter(|_| !interrupt::is_requested()) else { break };
            skipped.extend(restore_one(entry, &mut hand).err());
        }
        let failures = hand.wait().into_iter();
        skipped.extend(failures.map(|(path, error)| Skipped::Failed(path, error)));
        skipped
    };
    // More threads than files would have nothing to do.
    let threads = reader.threads().min(entries.len());
    crew::together(threads, work).into_iter().flatten().collect()
}

fn restore_one(entry: &Entry, hand: &mut Hand<'_>) -> Result<(), Skipped> {
    let path = || entry.path.clone();
    // Looked at before it is opened: a pipe or a device in the list is not even opened.
    match std::fs::metadata(&entry.path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(Skipped::Changed(path())),
        Err(_) => return Err(Skipped::Gone(path())),
    }
    let file = CachedFile::open(&entry.path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Skipped::Gone(path()),
        ErrorKind::NotMappable => Skipped::Changed(path()),
        _ => Skipped::Failed(path(), error),
    })?;
    if Identity::of(&file) != entry.identity {
        return Err(Skipped::Changed(path()));
    }
    hand.read(file, entry.resident.clone()).map_err(|error| Skipped::Failed(path(), error))
}

/// Names the first of those that were skipped, and counts the rest.
fn tell(skipped: &[Skipped], context: &Context) {
    const MOST: usize = 10;
    let name = |path: &Path| printable(&path_text(path));
    for one in skipped.iter().take(MOST) {
        context.message(&match one {
            Skipped::Changed(path) => format!("{}: it has changed, skipped", name(path)),
            Skipped::Gone(path) => format!("{}: it is gone, skipped", name(path)),
            Skipped::Failed(path, error) => format!("{}: {error}", name(path)),
        });
    }
    if skipped.len() > MOST {
        context.message(&format!("… and {} more", group_digits((skipped.len() - MOST) as u64)));
    }
}
