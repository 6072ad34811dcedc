//! `bifolio shm wait`

use std::time::{Duration, Instant};

use bifolio::share::{ErrorKind, Region};

use super::target::TargetArgs;
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::CliError;
use crate::interrupt;
use crate::output::{Field, Schema, Value};
use crate::units::parse_duration;

/// Wait until a region is there, or until something is appended to it
///
/// Without `--past` it waits until the region is there and made whole; with it, until more than so
/// many bytes are in use.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: TargetArgs,

    /// Until more than this many bytes are in use
    #[arg(long, value_name = "OFFSET")]
    past: Option<u64>,

    /// Give up after this time: exit code 5 [default: wait until Ctrl-C]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

/// The examples of the help page.
pub(super) const EXAMPLES: &[Example] = &[
    Example::new(
        "bifolio shm wait ./no-such-region --timeout 50ms",
        "nobody makes it: exit code 5",
    )
    .exits(Exit::Busy),
    Example::new(
        "bifolio shm wait ./no-such-region --past 20480 --timeout 50ms",
        "until something is appended",
    )
    .exits(Exit::Busy),
    Example::new("bifolio shm wait ./notes.txt", "a file that is no region: exit code 4")
        .given(&[("notes.txt", "one\ntwo\nthree\n")])
        .exits(Exit::Corrupt),
];

const SCHEMA: Schema =
    Schema { name: "bifolio.shm-wait", version: 1, fields: &[Field::bytes("used")] };

/// How often it looks for a region that is not there, and for Ctrl-C.
const LOOK: Duration = Duration::from_millis(20);

/// Runs it.
///
/// # Errors
/// [`Exit::Busy`] when the time is over; [`Exit::Corrupt`].
pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    let end = args.timeout.and_then(|time| Instant::now().checked_add(time));
    let region = appears(args, end)?;
    let used = match args.past {
        None => region.used()?,
        Some(past) => loop {
            match region.wait_appended(past, LOOK) {
                Ok(used) => break used,
                Err(error) if error.kind() == ErrorKind::TimedOut => go_on(args, end)?,
                Err(error) => return Err(error.into()),
            }
        },
    };
    context.record(&SCHEMA, &[Value::Bytes(used)])
}

/// Waits for the region itself.
fn appears(args: &Args, end: Option<Instant>) -> Result<Region, CliError> {
    loop {
        match args.target.join() {
            Err(error) if error.exit() == Exit::NotFound => go_on(args, end)?,
            other => return other,
        }
        std::thread::sleep(LOOK);
    }
}

fn go_on(args: &Args, end: Option<Instant>) -> Result<(), CliError> {
    interrupt::check()?;
    if end.is_some_and(|end| Instant::now() >= end) {
        return Err(
            CliError::new(Exit::Busy, "the time ran out").at(args.target.region.to_string())
        );
    }
    Ok(())
}
