//! `bifolio shm send`

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, Instant};

use bifolio::share::{Channel, ErrorKind, Region};

use super::target::TargetArgs;
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::{CliError, Locate};
use crate::input::Input;
use crate::interrupt;
use crate::output::{Field, Schema, Value};
use crate::units::parse_duration;

/// Send messages into a channel of a region, one for each line
///
/// In a queue each message goes to one receiver, and while it is full the command waits; in a broadcast
/// every receiver gets each message, and who is too slow loses some.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: TargetArgs,

    /// The channel's name
    channel: String,

    /// Where the messages come from: a file, or `-` for stdin
    #[arg(value_name = "FILE", default_value = "-")]
    input: OsString,

    /// All of the input is one message
    #[arg(long)]
    whole: bool,

    /// Make the channel, if there is none
    #[arg(long, value_name = "KIND")]
    make: Option<Make>,

    /// How many messages a new channel holds
    #[arg(long, value_name = "COUNT", default_value_t = 64, requires = "make")]
    slots: u32,

    /// The longest message of a new channel, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4096, requires = "make")]
    longest: u32,

    /// Give up when the queue is full for so long: exit code 5 [default: wait until Ctrl-C]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

/// What channel is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Make {
    /// Each message for one receiver
    Queue,
    /// Each message for all of them
    Broadcast,
}

/// The examples of the help page.
pub(super) const EXAMPLES: &[Example] = &[
    Example::new("bifolio shm send ./no-such-region orders notes.txt", "ends with exit code 3")
        .given(&[("notes.txt", "one\ntwo\nthree\n")])
        .exits(Exit::NotFound),
    Example::new(
        "bifolio shm send ./notes.txt orders --make queue",
        "a file that is no region: exit code 4",
    )
    .given(&[("notes.txt", "one\ntwo\nthree\n")])
    .exits(Exit::Corrupt),
    Example::new("bifolio shm send ./no-such-region orders --json", "from stdin; how many as JSON")
        .exits(Exit::NotFound),
];

const SCHEMA: Schema = Schema {
    name: "bifolio.shm-send",
    version: 1,
    fields: &[Field::count("messages"), Field::bytes("size")],
};

/// How often it looks for Ctrl-C.
const LOOK: Duration = Duration::from_millis(50);

/// The channel of a name.
pub(super) fn channel(
    target: &TargetArgs,
    region: &Region,
    name: &str,
) -> Result<Channel, CliError> {
    region.channel(name)?.ok_or_else(|| {
        CliError::new(Exit::NotFound, format!("the region has no channel {name:?}"))
            .at(target.region.to_string())
            .next(format!("bifolio shm info {} --objects", target.region))
    })
}

/// Runs it.
///
/// # Errors
/// [`Exit::NotFound`], [`Exit::Corrupt`]; [`Exit::Busy`] when the time is over, [`Exit::Refused`] for a
/// message that is too long: what was sent before stays.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    let region = args.target.join()?;
    let channel = match args.make {
        Some(Make::Queue) if region.channel(&args.channel)?.is_none() => {
            region.queue(&args.channel, args.slots, args.longest)?
        }
        Some(Make::Broadcast) if region.channel(&args.channel)?.is_none() => {
            region.broadcast(&args.channel, args.slots, args.longest)?
        }
        _ => channel(&args.target, &region, &args.channel)?,
    };
    let input = Input::from(args.input.clone());
    let mut from = BufReader::new(input.open()?);
    let (mut messages, mut size) = (0, 0);
    loop {
        let mut message = Vec::new();
        // One byte more than can be sent is enough to be refused.
        let most = u64::from(channel.longest()) + 1;
        if args.whole {
            from.by_ref().take(most).read_to_end(&mut message).at(input.to_string())?;
        } else {
            let line = from.by_ref().take(most + 1).read_until(b'\n', &mut message);
            if line.at(input.to_string())? == 0 {
                break;
            }
            if message.last() == Some(&b'\n') {
                message.pop();
            }
        }
        send(args, &channel, &message)?;
        messages += 1;
        size += message.len() as u64;
        if args.whole {
            break;
        }
    }
    context.record(&SCHEMA, &[Value::Count(messages), Value::Bytes(size)])
}

fn send(args: &Args, channel: &Channel, message: &[u8]) -> Result<(), CliError> {
    let end = args.timeout.and_then(|time| Instant::now().checked_add(time));
    loop {
        interrupt::check()?;
        match channel.send_within(message, LOOK) {
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            sent => return Ok(sent?),
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            return Err(CliError::new(Exit::Busy, "the channel was full all the time")
                .at(args.target.region.to_string()));
        }
    }
}
