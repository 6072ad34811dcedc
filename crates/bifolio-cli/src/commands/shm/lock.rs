//! `bifolio shm lock`

use std::ffi::OsString;
use std::time::Duration;

use bifolio::map::Create;
use bifolio::map::names::Lifetime;
use bifolio::share::{ErrorKind, Lock, Region};

use super::target::TargetArgs;
use crate::commands::page::run_command;
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::CliError;
use crate::interrupt;
use crate::units::parse_duration;

/// Run a command while holding a lock that other processes respect
///
/// The lock is the mutex `lock` of the region, which is made if it is not there. Its value counts the
/// runs. If the last holder was killed, this one says so and goes on. The exit code is the command's;
/// 5 if the time ran out before the lock was free.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: TargetArgs,

    /// Give up after this time: exit code 5 [default: wait until Ctrl-C]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,

    /// The command, and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// The examples of the help page.
pub(super) const EXAMPLES: &[Example] = &[
    Example::new("bifolio shm lock ./backup.lock -- hostname", "one at a time"),
    Example::new("bifolio shm lock ./backup.lock --timeout 1s -- hostname", "or not at all"),
    Example::new(
        "bifolio shm lock ./notes.txt -- hostname",
        "a file that is no region: exit code 4",
    )
    .given(&[("notes.txt", "one\ntwo\nthree\n")])
    .exits(Exit::Corrupt),
];

/// The name of the mutex.
const LOCK: &str = "lock";

/// How often it looks for Ctrl-C.
const LOOK: Duration = Duration::from_millis(100);

/// Runs it.
///
/// # Errors
/// [`Exit::Busy`] when the time is over; [`Exit::Corrupt`]; what keeps the command from being run.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    // On Windows what goes with its last user is no file, and regions are files there.
    let lifetime = if cfg!(windows) { Lifetime::Persistent } else { Lifetime::LastHandle };
    let options = Region::options().create(Create::IfMissing).capacity(1 << 20).lifetime(lifetime);
    let region = args.target.open(options)?;
    let status = hold(args, &region, context)?;
    // The region is left before the process ends: `exit` drops nothing.
    drop(region);
    context.finish()?;
    std::process::exit(status);
}

/// Takes the lock, runs the command, gives the lock back; how the command ended.
fn hold(args: &Args, region: &Region, context: &Context) -> Result<i32, CliError> {
    let lock = region.mutex(LOCK, 0_u64)?;
    let mut waited = Duration::ZERO;
    let got = loop {
        interrupt::check()?;
        let left = args.timeout.map_or(LOOK, |time| time.saturating_sub(waited).min(LOOK));
        match lock.lock_within(left) {
            Ok(got) => break got,
            Err(error) if error.kind() == ErrorKind::TimedOut => waited += left,
            Err(error) => return Err(error.into()),
        }
        if args.timeout.is_some_and(|time| waited >= time) {
            let holder = lock.owner()?.and_then(|owner| {
                let members = region.members().ok()?;
                members.into_iter().find(|member| member.holder == owner)
            });
            let who = holder.map_or_else(String::new, |member| {
                format!(": process {} holds it", member.process.pid())
            });
            return Err(CliError::new(Exit::Busy, format!("the time ran out{who}"))
                .at(args.target.region.to_string()));
        }
    };
    let mut guard = match got {
        Lock::Sound(guard) => guard,
        Lock::Unsound(left) => {
            context.message("the last one who held it was killed");
            left.repaired()?
        }
    };
    guard.update(|runs| *runs = runs.wrapping_add(1))?;
    let (program, arguments) = args.command.split_first().expect("clap wants one");
    let status = run_command(program, arguments)?;
    guard.unlock()?;
    Ok(status)
}
