//! `bifolio page`: the page cache, seen and operated.
//!
//! `walk` finds the files, `strip` draws; each subcommand is a file. The numbers come from
//! [`bifolio::map::residency`].

mod budget;
mod crew;
mod evict;
mod links;
mod lock;
mod map;
mod paper;
mod reader;
mod restore;
mod save;
mod saved;
mod stat;
mod strip;
mod touch;
mod troubles;
mod walk;
mod watch;
mod who;

use bifolio::map::residency;
use clap::Subcommand;

use crate::color::Paint;
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::CliError;

/// See and change which pages of files are in memory: the page cache
///
/// No content is shown or changed. What a file has in memory is shared by all processes, and the
/// kernel takes it back when it needs the memory. Of files of other users the kernel tells nothing,
/// unless one may write them: they are counted as denied, never as 0.
#[derive(Clone, Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// One variant for each subcommand.
#[derive(Clone, Debug, Subcommand)]
enum Command {
    Stat(stat::Args),
    Map(map::Args),
    Touch(touch::Args),
    Evict(evict::Args),
    Lock(lock::Args),
    Save(save::Args),
    Restore(restore::Args),
    Watch(watch::Args),
    Who(who::Args),
}

/// The examples of the help page.
pub const EXAMPLES: &[Example] = &[
    Example::new("bifolio page stat notes.txt", "how much of a file is in memory")
        .given(NOTES)
        .of_the_cache(),
    Example::new("bifolio page map notes.txt", "which parts of it, as a picture")
        .given(NOTES)
        .of_the_cache(),
    Example::new("bifolio page stat . --files", "of each file below a directory")
        .given(NOTES)
        .of_the_cache(),
    Example::new("bifolio page touch . --budget 25%", "read everything in that fits").given(NOTES),
    Example::new("bifolio page lock notes.txt -- hostname", "keep a file in memory for a command")
        .given(NOTES),
    Example::new("bifolio page stat --help", "each subcommand has examples of its own"),
];

/// The file of the examples.
const NOTES: &[(&str, &str)] = &[("notes.txt", "one\ntwo\nthree\n")];

/// The examples by subcommand.
pub const SUBCOMMANDS: &[(&str, &[Example])] = &[
    ("page stat", stat::EXAMPLES),
    ("page map", map::EXAMPLES),
    ("page touch", touch::EXAMPLES),
    ("page evict", evict::EXAMPLES),
    ("page lock", lock::EXAMPLES),
    ("page save", save::EXAMPLES),
    ("page restore", restore::EXAMPLES),
    ("page watch", watch::EXAMPLES),
    ("page who", who::EXAMPLES),
];

/// Reads a saved resident set and writes it down anew, as if it had been saved in 1970: for the
/// fuzzer, which has this name for what `page restore` believes.
///
/// # Errors
/// [`Exit::Corrupt`] for anything that is no whole set.
#[doc(hidden)]
pub fn saved_again(mut bytes: &[u8]) -> Result<Vec<u8>, CliError> {
    let entries = saved::read(&mut bytes)?;
    let mut out = Vec::new();
    saved::write(&mut out, std::time::SystemTime::UNIX_EPOCH, &entries)?;
    Ok(out)
}

/// Runs it.
///
/// # Errors
/// As the subcommand says.
pub fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    match &args.command {
        Command::Stat(args) => stat::run(args, context),
        Command::Map(args) => map::run(args, context),
        Command::Touch(args) => touch::run(args, context),
        Command::Evict(args) => evict::run(args, context),
        Command::Lock(args) => lock::run(args, context),
        Command::Save(args) => save::run(args, context),
        Command::Restore(args) => restore::run(args, context),
        Command::Watch(args) => watch::run(args, context),
        Command::Who(args) => who::run(args, context),
    }
}

pub(super) use lock::run_command;

/// The words of the subcommand, for `bifolio WORDS --help`.
pub(crate) fn words(args: &Args) -> &'static str {
    match args.command {
        Command::Stat(_) => "page stat",
        Command::Map(_) => "page map",
        Command::Touch(_) => "page touch",
        Command::Evict(_) => "page evict",
        Command::Lock(_) => "page lock",
        Command::Save(_) => "page save",
        Command::Restore(_) => "page restore",
        Command::Watch(_) => "page watch",
        Command::Who(_) => "page who",
    }
}

/// An error where the system does not tell what the commands are about.
fn require_told() -> Result<(), CliError> {
    if residency::is_told() {
        return Ok(());
    }
    let what = "this system does not tell which pages of a file are in memory";
    Err(CliError::new(Exit::Failure, what).next("bifolio page touch, which works here too"))
}

/// The same, but a path that is not there is the first thing to say.
fn require_told_of(paths: &walk::WalkArgs, context: &Context) -> Result<(), CliError> {
    require_told().or_else(|error| {
        walk::Walk::begin(paths, 1)?.finish(context)?;
        Err(error)
    })
}

/// A strip of `cells` letters over a file, without colour.
///
/// # Errors
/// If the system does not tell.
pub(in crate::commands) fn strip_of(
    file: &residency::CachedFile,
    cells: u64,
) -> Result<String, CliError> {
    let cells = strip::cells(file, 0..file.len(), cells)?;
    let marks: Vec<_> = cells.iter().map(strip::Cell::mark).collect();
    let glyphs = strip::Glyphs::choose(false);
    let pen = strip::Pen { glyphs, paint: Paint::Bare, shape: strip::Shape::Bars };
    Ok(pen.line(&marks, marks.len()))
}

/// Bytes in so many pages.
fn bytes(pages: u64) -> u64 {
    pages.saturating_mul(bifolio::map::page_size() as u64)
}
