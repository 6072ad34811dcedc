//! `bifolio page lock`

use std::ffi::OsString;
use std::ops::Range;
use std::process::Command;
use std::time::Duration;

use bifolio::map::{MemoryLock, Read, Section, View};

use super::NOTES;
use super::walk::{Found, Walk, WalkArgs, Worker};
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::{CliError, Locate};
use crate::interrupt;
use crate::output::{Field, Schema, Value};
use crate::units::format_bytes;

/// Keep files in memory while a command runs, or until Ctrl-C
///
/// The files are read in and locked: no access to them waits for a device. With a command after
/// `--`, it is run when everything is locked, and its exit code is the one of this program.
/// Without one, a record is written when everything is locked, and the locks are held until
/// Ctrl-C. What a process may lock is limited (`ulimit -l`); an error names the limit.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    walk: WalkArgs,

    /// The command, and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// The examples of the help page.
pub(super) const EXAMPLES: &[Example] = &[
    Example::new("bifolio page lock notes.txt -- hostname", "one file, while a command runs")
        .given(NOTES),
    Example::new("bifolio page lock . --include '*.txt' -- hostname", "files of a kind")
        .given(NOTES),
    Example::new("bifolio page lock no-such-file -- hostname", "nothing is run: exit code 3")
        .exits(Exit::NotFound),
];

const SCHEMA: Schema = Schema {
    name: "bifolio.page-lock",
    version: 1,
    fields: &[Field::count("files"), Field::bytes("locked")],
};

/// Locked at a time, so that Ctrl-C is heard.
const PIECE: u64 = 64 << 20;

#[derive(Debug, Default)]
struct Locker {
    files: u64,
    bytes: u64,
    locks: Vec<MemoryLock<Read>>,
}

impl Worker for Locker {
    fn visit(&mut self, found: Found) -> Result<(), bifolio::map::Error> {
        let Range { start, end } = found.range;
        if found.again || start >= end {
            return Ok(());
        }
        // The rest is on its way while the first pieces are locked.
        found.file.prefetch(start..end)?;
        let view: View<Read> = Section::open(found.file.path())?.view_of(start..end)?;
        let mut at = 0;
        while at < view.len() && !interrupt::is_requested() {
            let piece = at..view.len().min(at + PIECE);
            at = piece.end;
            self.locks.push(view.lock_in_memory(piece)?);
        }
        self.files += 1;
        self.bytes += end - start;
        Ok(())
    }
}

/// Runs it.
///
/// # Errors
/// [`Exit::Failure`] if something could not be locked: then no command is run. As `page stat`.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    let threads = super::reader::threads();
    let walk = Walk::begin(&args.walk, threads)?;
    let lockers = walk.run(Locker::default)?;
    walk.finish(context)?;
    let files = lockers.iter().map(|locker| locker.files).sum();
    let bytes = lockers.iter().map(|locker| locker.bytes).sum();
    if let Some((program, arguments)) = args.command.split_first() {
        context.message(&format!("{} are locked in memory", format_bytes(bytes)));
        let status = run_command(program, arguments)?;
        drop(lockers);
        context.finish()?;
        std::process::exit(status);
    }
    context.record(&SCHEMA, &[Value::Count(files), Value::Bytes(bytes)])?;
    context.finish()?;
    context.message("held until Ctrl-C");
    while !interrupt::is_requested() {
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Runs the command to its end; Ctrl-C is its own.
fn run_command(program: &OsString, arguments: &[OsString]) -> Result<i32, CliError> {
    interrupt::leave_to_child();
    let status = Command::new(program).args(arguments).status().at(program)?;
    Ok(status.code().unwrap_or_else(|| 128 + signal(status)))
}

#[cfg(unix)]
fn signal(status: std::process::ExitStatus) -> i32 {
    std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0)
}

#[cfg(not(unix))]
fn signal(_status: std::process::ExitStatus) -> i32 {
    0
}
