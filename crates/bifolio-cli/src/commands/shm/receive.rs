//! `bifolio shm receive`

use std::time::{Duration, Instant};

use bifolio::share::ErrorKind;

use super::send::channel;
use super::target::TargetArgs;
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::CliError;
use crate::interrupt;
use crate::units::parse_duration;

/// Receive messages of a channel of a region, and write each as a line to stdout
///
/// Of a queue it takes what is there, and more if it is told to; nobody else receives from it
/// meanwhile. Of a broadcast it gets what is sent from now on, so it needs `--count` or `--follow`. How
/// many messages were lost is told on stderr.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: TargetArgs,

    /// The channel's name
    channel: String,

    /// Wait for this many messages, and receive no more
    #[arg(long, value_name = "COUNT")]
    count: Option<u64>,

    /// Go on with what is sent, until Ctrl-C
    #[arg(long, short, conflicts_with = "count")]
    follow: bool,

    /// Give up when nothing comes for so long: exit code 5
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

/// The examples of the help page.
pub(super) const EXAMPLES: &[Example] = &[
    Example::new("bifolio shm receive ./no-such-region orders", "ends with exit code 3")
        .exits(Exit::NotFound),
    Example::new("bifolio shm receive ./no-such-region news --follow", "what is sent from now on")
        .exits(Exit::NotFound),
    Example::new("bifolio shm receive ./notes.txt orders", "a file that is no region: exit code 4")
        .given(&[("notes.txt", "one\ntwo\nthree\n")])
        .exits(Exit::Corrupt),
];

/// How often it looks for Ctrl-C.
const LOOK: Duration = Duration::from_millis(50);

/// Runs it.
///
/// # Errors
/// [`Exit::NotFound`], [`Exit::Corrupt`]; [`Exit::Busy`] if somebody else receives from the queue, or
/// when the time is over.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    let region = args.target.join()?;
    let mut receiver = channel(&args.target, &region, &args.channel)?.receiver()?;
    let waits = args.follow || args.count.is_some();
    let (mut received, mut last) = (0, Instant::now());
    while args.count.is_none_or(|count| received < count) {
        interrupt::check()?;
        match receiver.receive_within(if waits { LOOK } else { Duration::ZERO }) {
            Ok(message) => {
                let mut line = message.to_vec()?;
                line.push(b'\n');
                context.out().write_all(&line)?;
                // It is gone from the queue only when it is written.
                context.finish()?;
                drop(message);
                (received, last) = (received + 1, Instant::now());
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                if !waits {
                    break;
                }
                if args.timeout.is_some_and(|time| last.elapsed() >= time) {
                    return Err(CliError::new(Exit::Busy, "nothing was sent in time")
                        .at(args.target.region.to_string()));
                }
            }
            Err(error) => match error.kind() {
                ErrorKind::Lost(many) => {
                    context.message(&format!("{many} messages were lost: they came too fast"));
                }
                _ => return Err(error.into()),
            },
        }
    }
    Ok(())
}
