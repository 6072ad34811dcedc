//! `bifolio shm cat`

use std::ops::Range;
use std::time::Duration;

use bifolio::share::{ErrorKind, Region};

use super::target::TargetArgs;
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::CliError;
use crate::interrupt;
use crate::units::ByteRange;

/// Write the bytes of a region to stdout
///
/// Without a range these are all bytes in use behind the region's own tables: what was appended, and
/// the objects that have names, as they lie there. A range counts from the beginning of the region.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: TargetArgs,

    /// Which bytes: `a..b`, `a..+n`, `a..`
    #[arg(value_name = "RANGE", conflicts_with = "follow")]
    range: Option<ByteRange>,

    /// Go on with what is appended, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
}

/// The examples of the help page.
pub(super) const EXAMPLES: &[Example] = &[
    Example::new("bifolio shm cat ./no-such-region", "ends with exit code 3").exits(Exit::NotFound),
    Example::new("bifolio shm cat ./no-such-region 4096..+16", "sixteen bytes of it")
        .exits(Exit::NotFound),
    Example::new("bifolio shm cat ./no-such-region --follow", "and what comes later")
        .exits(Exit::NotFound),
];

/// Bytes copied at a time.
const PIECE: u64 = 1 << 20;

/// Runs it.
///
/// # Errors
/// [`Exit::NotFound`], [`Exit::Corrupt`]; [`Exit::Usage`] for a range that is not there.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    let region = args.target.join()?;
    let used = region.used()?;
    let range = match args.range {
        None => region.start()..used,
        Some(range) => {
            range.within(used).map_err(|error| CliError::new(Exit::Usage, error.to_string()))?
        }
    };
    let mut at = range.end;
    copy(&region, range, context)?;
    if !args.follow {
        return Ok(());
    }
    loop {
        context.finish()?;
        interrupt::check()?;
        match region.wait_appended(at, Duration::from_millis(100)) {
            Ok(end) => {
                copy(&region, at..end, context)?;
                at = end;
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn copy(region: &Region, range: Range<u64>, context: &mut Context) -> Result<(), CliError> {
    let mut at = range.start;
    while at < range.end {
        interrupt::check()?;
        let size = (range.end - at).min(PIECE);
        let mut piece = vec![0; usize::try_from(size).expect("a piece fits memory")];
        region.read_at(at, &mut piece)?;
        context.out().write_all(&piece)?;
        at += size;
    }
    Ok(())
}
