//! `bifolio version`

use crate::context::Context;
use crate::example::Example;
use crate::failure::CliError;
use crate::output::{Field, Format, Schema, Value};

/// Say which bifolio this is and what it was built for
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {}

/// The examples of the help page.
pub const EXAMPLES: &[Example] = &[
    Example::new("bifolio version", "name, release, licence, target and output formats"),
    Example::new("bifolio version --json", "the same for a program"),
    Example::new("bifolio version --format plain > version.txt", "tab-separated, into a file"),
];

/// `release` and not `version`, which is the version of the schema.
const SCHEMA: Schema = Schema {
    name: "bifolio.version",
    version: 1,
    fields: &[
        Field::text("name"),
        Field::text("release"),
        Field::text("licence"),
        Field::text("target"),
        Field::words("formats"),
    ],
};

/// Runs it.
///
/// # Errors
/// If stdout cannot be written.
pub fn run(_: &Args, context: &mut Context) -> Result<(), CliError> {
    context.record(
        &SCHEMA,
        &[
            "bifolio".into(),
            env!("CARGO_PKG_VERSION").into(),
            env!("CARGO_PKG_LICENSE").into(),
            env!("BIFOLIO_TARGET").into(),
            Value::Words(Format::ALL.map(|format| format.name().to_owned()).to_vec()),
        ],
    )
}
