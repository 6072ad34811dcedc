//! `bifolio page save`

use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

use super::saved::{self, Entry, Identity};
use super::walk::{Found, Walk, WalkArgs, Worker};
use super::{NOTES, bytes, require_told_of};
use crate::confirm::{Consent, ConsentArgs, Permission};
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::{CliError, Locate};
use crate::output::{Field, Schema, Value, path_text, printable};
use crate::replace::{Existing, write_file};

/// Write down which parts of files are in memory, for `page restore` after a restart
///
/// The format is in FORMAT.md of bifolio-cli: a line for each file with its runs of pages, and by
/// what it is known again. The file appears complete or not at all, and an older one stays if
/// anything could not be looked at.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    walk: WalkArgs,

    /// The file to write; `-` is stdout
    #[arg(long, value_name = "FILE")]
    to: PathBuf,

    #[command(flatten)]
    consent: ConsentArgs,
}

/// The examples of the help page.
pub(super) const EXAMPLES: &[Example] = &[
    Example::new("bifolio page save . --to warm.jsonl", "everything below a directory")
        .given(NOTES)
        .of_the_cache(),
    Example::new(
        "bifolio page save . --to warm.jsonl --yes",
        "the same every hour, replacing the last one",
    )
    .given(NOTES)
    .of_the_cache(),
    Example::new("bifolio page save notes.txt --to -", "to stdout").given(NOTES).of_the_cache(),
    Example::new("bifolio page save no-such-file --to warm.jsonl", "ends with exit code 3")
        .exits(Exit::NotFound),
];

const SCHEMA: Schema = Schema {
    name: "bifolio.page-save",
    version: 1,
    fields: &[Field::text("path"), Field::count("files"), Field::bytes("resident")],
};

#[derive(Debug, Default)]
struct Saver {
    entries: Vec<Entry>,
}

impl Worker for Saver {
    fn visit(&mut self, found: Found) -> Result<(), bifolio::map::Error> {
        let (file, range) = (found.file, found.range);
        if found.again || file.residency(range.clone())?.resident == Some(0) {
            return Ok(());
        }
        let map = file.page_map(range.clone())?;
        let resident: Vec<_> = map
            .runs()
            .map(|run| bytes(run.start).max(range.start)..bytes(run.end).min(range.end))
            .collect();
        if !resident.is_empty() {
            let path = std::path::absolute(file.path()).unwrap_or(file.path().to_path_buf());
            self.entries.push(Entry { path, identity: Identity::of(&file), resident });
        }
        Ok(())
    }

    fn absorb(&mut self, other: Self) {
        self.entries.extend(other.entries);
    }
}

/// Runs it.
///
/// # Errors
/// [`Exit::Refused`] if the file exists and nobody agreed to replace it; as `page stat`.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let to_stdout = args.to.as_os_str() == "-";
    require_told_of(&args.walk, context)?;
    let walk = Walk::begin(&args.walk, threads)?;
    let mut entries = walk.run(Saver::default)?.entries;
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    let now = SystemTime::now();
    if entries.is_empty() && walk.roots.iter().all(|(_, root)| *root == super::walk::Root::Nothing)
    {
        return walk.finish(context);
    }
    if to_stdout {
        saved::write(context.out(), now, &entries)?;
        return walk.finish(context);
    }
    let failed = walk.has_failed();
    // A link that leads nowhere is there too.
    let exists = match args.to.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        found => found.map(|_| true).at(&args.to)?,
    };
    let permission = match (exists, args.consent.consent()) {
        (false, Consent::Ask) => Permission::Do,
        (_, consent) => context.permission(consent, &format!("replace {}", args.to.display()))?,
    };
    if permission == Permission::OnlyTell {
        context.message("this was a dry run: nothing was written");
    } else if exists && failed {
        // What is known now is less than what there is; the older set may be worth more.
        context.message(&format!("{} was left as it was", printable(&path_text(&args.to))));
        return walk.finish(context);
    } else {
        let existing = if exists { Existing::Replace } else { Existing::Keep };
        write_file(&args.to, existing, |out| {
            let mut out = std::io::BufWriter::new(out);
            saved::write(&mut out, now, &entries)?;
            Ok(out.flush()?)
        })?;
    }
    let sum = entries.iter().map(Entry::bytes).sum();
    context.record(
        &SCHEMA,
        &[Value::path(&args.to), Value::Count(entries.len() as u64), Value::Bytes(sum)],
    )?;
    walk.finish(context)
}
