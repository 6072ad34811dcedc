//! `bifolio page lock`

use std::ffi::OsString;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bifolio::map::{MemoryLock, Read, Section, View};

use super::budget::{Budget, BudgetArgs};
use super::walk::{Found, Walk, WalkArgs, Worker};
use super::{NOTES, bytes, crew};
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
/// Ctrl-C. Holes are left out. What does not fit the budget as a whole is not locked at all: exit
/// code 6. What a process may lock is limited too (`ulimit -l`); an error names the limit.
/// Ctrl-C is the command's own. HUP, TERM, USR1 and USR2 that are sent to this program are passed on
/// to the command, so whoever ends this one ends both.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    walk: WalkArgs,

    #[command(flatten)]
    budget: BudgetArgs,

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

/// What is to be locked of a file: its data. Holes take no time to read, but memory.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    data: Vec<Range<u64>>,
}

/// Finds what is to be locked, and how much memory that takes.
#[derive(Debug, Default)]
struct Planner {
    parts: Vec<Part>,
    /// Bytes of data.
    bytes: u64,
    /// The same in whole pages.
    memory: u64,
}

impl Worker for Planner {
    fn visit(&mut self, found: Found) -> Result<(), bifolio::map::Error> {
        let (file, range) = (found.file, found.range);
        if found.again || range.is_empty() {
            return Ok(());
        }
        let holes = if file.allocated() < file.len() { file.holes()? } else { Vec::new() };
        let data = between(range, &holes);
        let page = bytes(1);
        for part in &data {
            self.bytes += part.end - part.start;
            self.memory += (part.end.div_ceil(page) - part.start / page) * page;
        }
        self.parts.push(Part { path: file.path().to_path_buf(), data });
        Ok(())
    }

    fn absorb(&mut self, other: Self) {
        self.parts.extend(other.parts);
        self.bytes += other.bytes;
        self.memory += other.memory;
    }
}

/// What of a range lies between the holes.
fn between(range: Range<u64>, holes: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut data = Vec::new();
    let mut at = range.start;
    for hole in holes {
        if at < hole.start.min(range.end) {
            data.push(at..hole.start.min(range.end));
        }
        at = at.max(hole.end);
    }
    if at < range.end {
        data.push(at..range.end);
    }
    data
}

/// Locks one file. Its descriptor is closed when that is done: the locks need none.
fn lock_one(part: &Part) -> Result<Vec<MemoryLock<Read>>, bifolio::map::Error> {
    let (Some(first), Some(last)) = (part.data.first(), part.data.last()) else {
        return Ok(Vec::new());
    };
    let start = first.start;
    let view: View<Read> = Section::open(&part.path)?.view_of(start..last.end)?;
    let mut locks = Vec::new();
    for data in &part.data {
        let (mut at, end) = (data.start - start, data.end - start);
        // The rest is on its way while the first pieces are locked.
        view.prefetch(at..end)?;
        while at < end && !interrupt::is_requested() {
            let piece = at..end.min(at + PIECE);
            at = piece.end;
            locks.push(view.lock_in_memory(piece)?);
        }
    }
    Ok(locks)
}

/// Locks everything by several threads.
fn lock_all(parts: &[Part], threads: usize, walk: &Walk) -> Vec<MemoryLock<Read>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut locks = Vec::new();
        while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            // After the first failure no command will run.
            if interrupt::is_requested() || walk.has_failed() {
                break;
            }
            match lock_one(part) {
                Ok(more) => locks.extend(more),
                Err(error) => walk.failed(&part.path, &error),
            }
        }
        locks
    };
    crew::together(threads.min(parts.len()), work).into_iter().flatten().collect()
}

/// Runs it.
///
/// # Errors
/// [`Exit::Refused`] if all of it does not fit the budget, [`Exit::Failure`] if something could not
/// be locked: then no command is run. As `page stat`.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    let threads = args.walk.threads(super::reader::threads());
    let walk = Walk::begin(&args.walk, threads)?;
    let plan = walk.run(Planner::default)?;
    let mut locks = Vec::new();
    if !walk.has_failed() {
        if plan.parts.is_empty() && walk.has_shorter_files() {
            walk.finish(context)?;
            let what = "nothing was locked: every file is shorter than the range";
            return Err(CliError::new(Exit::Usage, what));
        }
        Budget::of(args.budget)?.require(plan.memory)?;
        locks = lock_all(&plan.parts, threads, &walk);
        interrupt::check()?;
    }
    walk.finish(context)?;
    let (files, bytes) = (plan.parts.len() as u64, plan.bytes);
    if let Some((program, arguments)) = args.command.split_first() {
        context.message(&format!("{} are locked in memory", format_bytes(bytes)));
        let status = run_command(program, arguments)?;
        drop(locks);
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
pub(in crate::commands) fn run_command(
    program: &OsString,
    arguments: &[OsString],
) -> Result<i32, CliError> {
    interrupt::leave_to_child();
    let relay = Relay::listen()?;
    let child = Command::new(program).args(arguments).spawn().at(program)?;
    relay.wait_for(child).at(program)
}

#[cfg(unix)]
use relay::Relay;

/// Passing on signals to a child.
#[cfg(unix)]
mod relay {
    use std::io;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Child;

    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
    use signal_hook::consts::{SIGHUP, SIGTERM, SIGUSR1, SIGUSR2};
    use signal_hook::iterator::Signals;

    /// Signals that are kept for a child, from now on.
    pub(super) struct Relay(Signals);

    impl Relay {
        /// Before the child is there, so that none of them ends this program alone.
        pub(super) fn listen() -> io::Result<Self> {
            Signals::new([SIGHUP, SIGTERM, SIGUSR1, SIGUSR2]).map(Self)
        }

        /// Waits for the child to end; its exit code, or 128 and the signal that ended it.
        pub(super) fn wait_for(mut self, mut child: Child) -> io::Result<i32> {
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
            let listening = self.0.handle();
            let ended = std::thread::scope(|threads| {
                threads.spawn(|| {
                    for signal in self.0.forever() {
                        if let Some(signal) = Signal::from_named_raw(signal) {
                            // A child that has just ended needs it no more.
                            let _ = kill_process(pid, signal);
                        }
                    }
                });
                // It stays a zombie until nobody sends to its number any more.
                let ended = rustix::io::retry_on_intr(|| {
                    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
                });
                listening.close();
                ended
            });
            ended?;
            let status = child.wait()?;
            Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
        }
    }
}

/// Windows has no signals to pass on.
#[cfg(not(unix))]
struct Relay;

#[cfg(not(unix))]
impl Relay {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    fn wait_for(self, mut child: std::process::Child) -> std::io::Result<i32> {
        Ok(child.wait()?.code().unwrap_or(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_no_data() {
        let holes = [10..20, 40..50];
        assert_eq!(between(5..45, &holes), [5..10, 20..40]);
        assert_eq!(between(12..60, &holes), [20..40, 50..60]);
        assert_eq!(between(0..5, &holes).first(), Some(&(0..5)));
        assert_eq!(between(12..15, &holes), []);
        assert_eq!(between(0..7, &[]).first(), Some(&(0..7)));
    }
}
