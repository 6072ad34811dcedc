//! `bifolio shm`: regions of shared memory, seen and operated.

mod cat;
mod create;
mod gc;
mod info;
pub(super) mod leftovers;
mod lock;
mod ls;
mod receive;
mod rm;
mod send;
mod target;
mod wait;
mod write;

use clap::Subcommand;

use crate::context::Context;
use crate::example::Example;
use crate::failure::CliError;

/// See and operate memory that processes share: regions, and their names
///
/// A region is memory under a name, or a file: with a `/` in it (`./region`) what you give is a path,
/// otherwise a name. Whoever joins it can append and read, and use its locks; what the dead leave
/// is found out and told.
#[derive(Clone, Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// One variant for each subcommand.
#[derive(Clone, Debug, Subcommand)]
enum Command {
    Ls(ls::Args),
    Info(info::Args),
    Create(create::Args),
    Write(write::Args),
    Cat(cat::Args),
    Wait(wait::Args),
    Send(send::Args),
    Receive(receive::Args),
    Lock(lock::Args),
    Rm(rm::Args),
    Gc(gc::Args),
}

/// The examples of the help page.
pub const EXAMPLES: &[Example] = &[
    Example::new("bifolio shm ls", "the names of this user"),
    Example::new("bifolio shm create ./prices --capacity 16M", "a region in a file"),
    Example::new("bifolio shm lock ./backup.lock -- hostname", "one at a time"),
    Example::new("bifolio shm gc --dry-run", "what the dead have left"),
    Example::new("bifolio shm info --help", "each subcommand has examples of its own"),
];

/// The examples by subcommand.
pub const SUBCOMMANDS: &[(&str, &[Example])] = &[
    ("shm ls", ls::EXAMPLES),
    ("shm info", info::EXAMPLES),
    ("shm create", create::EXAMPLES),
    ("shm write", write::EXAMPLES),
    ("shm cat", cat::EXAMPLES),
    ("shm wait", wait::EXAMPLES),
    ("shm send", send::EXAMPLES),
    ("shm receive", receive::EXAMPLES),
    ("shm lock", lock::EXAMPLES),
    ("shm rm", rm::EXAMPLES),
    ("shm gc", gc::EXAMPLES),
];

/// Runs it.
///
/// # Errors
/// As the subcommand says.
pub fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    match &args.command {
        Command::Ls(args) => ls::run(args, context),
        Command::Info(args) => info::run(args, context),
        Command::Create(args) => create::run(args, context),
        Command::Write(args) => write::run(args, context),
        Command::Cat(args) => cat::run(args, context),
        Command::Wait(args) => wait::run(args, context),
        Command::Send(args) => send::run(args, context),
        Command::Receive(args) => receive::run(args, context),
        Command::Lock(args) => lock::run(args, context),
        Command::Rm(args) => rm::run(args, context),
        Command::Gc(args) => gc::run(args, context),
    }
}

/// The words of the subcommand, for `bifolio WORDS --help`.
pub(crate) fn words(args: &Args) -> &'static str {
    match args.command {
        Command::Ls(_) => "shm ls",
        Command::Info(_) => "shm info",
        Command::Create(_) => "shm create",
        Command::Write(_) => "shm write",
        Command::Cat(_) => "shm cat",
        Command::Wait(_) => "shm wait",
        Command::Send(_) => "shm send",
        Command::Receive(_) => "shm receive",
        Command::Lock(_) => "shm lock",
        Command::Rm(_) => "shm rm",
        Command::Gc(_) => "shm gc",
    }
}
