//! `bifolio shm create`

use bifolio::map::Create;
use bifolio::map::names::Lifetime;
use bifolio::share::Region;

use super::target::TargetArgs;
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::CliError;
use crate::output::{Field, Schema, Value};
use crate::units::Size;

/// Make a region
///
/// It stays until `bifolio shm rm` takes it away. The capacity is addresses, not memory: a region
/// takes what is in use, and grows.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: TargetArgs,

    /// How far it can grow
    #[arg(long, value_name = "SIZE", default_value = "1G")]
    capacity: Size,

    /// How many processes can take part at a time: 1 to 4096
    #[arg(long, value_name = "COUNT", default_value_t = 128)]
    participants: u32,

    /// How many objects can have names: up to 65536
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    names: u32,
}

/// The examples of the help page.
pub(super) const EXAMPLES: &[Example] = &[
    Example::new("bifolio shm create ./prices", "a region in a file"),
    Example::new("bifolio shm create ./prices --capacity 16M --participants 8", "a smaller one"),
    Example::new("bifolio shm create ./notes.txt", "a file is never overwritten: exit code 4")
        .given(&[("notes.txt", "one\ntwo\nthree\n")])
        .exits(Exit::Corrupt),
];

const SCHEMA: Schema = Schema {
    name: "bifolio.shm-create",
    version: 1,
    fields: &[Field::text("path"), Field::bytes("capacity")],
};

/// Runs it.
///
/// # Errors
/// [`Exit::Refused`] if it is there already, or does not fit; [`Exit::Usage`] for sizes that cannot be.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    let capacity = args
        .capacity
        .in_bytes()
        .map_err(|error| CliError::new(Exit::Usage, error.to_string()).at("--capacity"))?;
    let options = Region::options()
        .create(Create::New)
        .capacity(capacity)
        .participants(args.participants)
        .names(args.names)
        .lifetime(Lifetime::Persistent);
    let region = args.target.open(options)?;
    let values = [Value::path(region.label()), Value::Bytes(region.capacity())];
    context.record(&SCHEMA, &values)
}
