//! `bifolio shm write`

use std::ffi::OsString;
use std::io::Read;

use super::target::TargetArgs;
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::{CliError, Locate};
use crate::input::Input;
use crate::interrupt;
use crate::output::{Field, Schema, Value};

/// Append bytes to a region
///
/// Each piece of up to 1 MiB appears as a whole to whoever reads, and `bifolio shm wait` and
/// `bifolio shm cat --follow` are woken by it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: TargetArgs,

    /// Where the bytes come from: a file, or `-` for stdin
    #[arg(value_name = "FILE", default_value = "-")]
    input: OsString,
}

/// The examples of the help page.
pub(super) const EXAMPLES: &[Example] = &[
    Example::new("bifolio shm write ./no-such-region notes.txt", "ends with exit code 3")
        .given(&[("notes.txt", "one\ntwo\nthree\n")])
        .exits(Exit::NotFound),
    Example::new(
        "bifolio shm write ./notes.txt notes.txt",
        "a file that is no region: exit code 4",
    )
    .given(&[("notes.txt", "one\ntwo\nthree\n")])
    .exits(Exit::Corrupt),
    Example::new("bifolio shm write ./no-such-region --json", "from stdin; where it lies as JSON")
        .exits(Exit::NotFound),
];

const SCHEMA: Schema = Schema {
    name: "bifolio.shm-write",
    version: 1,
    fields: &[Field::count("offset"), Field::bytes("size")],
};

/// Bytes of a piece.
const PIECE: u64 = 1 << 20;

/// Runs it.
///
/// # Errors
/// [`Exit::NotFound`], [`Exit::Corrupt`]; [`Exit::Refused`] if the region or its device is full: what
/// was appended before stays.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    let region = args.target.join()?;
    let input = Input::from(args.input.clone());
    let mut from = input.open()?;
    let (mut first, mut size) = (None, 0);
    loop {
        interrupt::check()?;
        let mut piece = Vec::new();
        from.by_ref().take(PIECE).read_to_end(&mut piece).at(input.to_string())?;
        if piece.is_empty() {
            break;
        }
        let offset = region.append(&piece)?;
        first.get_or_insert(offset);
        size += piece.len() as u64;
    }
    let offset = first.map_or_else(|| region.used(), Ok)?;
    context.record(&SCHEMA, &[Value::Count(offset), Value::Bytes(size)])
}
