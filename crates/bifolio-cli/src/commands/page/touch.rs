//! `bifolio page touch`

use std::time::Instant;

use bifolio::map::residency::bytes_from_disk;

use super::NOTES;
use super::budget::{Budget, BudgetArgs};
use super::reader::{self, Reader};
use super::walk::{Walk, WalkArgs};
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::CliError;
use crate::output::{Field, Schema, Value};

/// Read files into memory, many at a time, never more than fits
///
/// What is in memory already is left alone, and holes of sparse files are left out. The budget is taken before anything is read; what does
/// not fit is left out, counted, and the exit code is 6. The kernel keeps what was read until it
/// needs the memory; `bifolio page lock` keeps it for sure.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    walk: WalkArgs,

    #[command(flatten)]
    budget: BudgetArgs,
}

/// The examples of the help page.
pub(super) const EXAMPLES: &[Example] = &[
    Example::new("bifolio page touch .", "everything below a directory").given(NOTES),
    Example::new("bifolio page touch notes.txt --range ..10 --json", "the first bytes of a file")
        .given(NOTES),
    Example::new(
        "bifolio page touch . --budget 25% --include '*.idx'",
        "no more than a quarter of what is free",
    )
    .given(NOTES),
    Example::new("bifolio page touch no-such-file", "ends with exit code 3").exits(Exit::NotFound),
];

const SCHEMA: Schema = Schema {
    name: "bifolio.page-touch",
    version: 1,
    fields: &[
        Field::count("files"),
        Field::bytes("already"),
        Field::bytes("read_in"),
        Field::bytes("from_disk"),
        Field::bytes("left_out"),
        Field::bytes("holes"),
        Field::bytes("budget"),
        Field::duration("elapsed"),
    ],
};

/// Runs it.
///
/// # Errors
/// [`Exit::Refused`] if something did not fit; [`Exit::NotFound`], [`Exit::Failure`] as for
/// `page stat`.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    let (started, before) = (Instant::now(), bytes_from_disk());
    let walk = Walk::begin(&args.walk, reader::threads())?;
    let reader = Reader::new(Budget::of(args.budget)?, args.walk.threads(reader::threads()));
    let (hand, failures) = reader::with_progress(&reader, "reading", || {
        let hand = walk.run(|| reader.hand()).map(|hand| hand.files);
        (hand, reader.read_large())
    })?;
    let files = hand?;
    for (path, error) in &failures {
        walk.failed(path, error);
    }
    let from_disk = before.zip(bytes_from_disk()).map(|(before, now)| now.saturating_sub(before));
    context.record(
        &SCHEMA,
        &[
            Value::Count(files),
            Value::Bytes(reader.already()),
            Value::Bytes(reader.read()),
            from_disk.map_or(Value::Missing, Value::Bytes),
            Value::Bytes(reader.budget.refused()),
            Value::Bytes(reader.holes()),
            Value::Bytes(reader.budget.bytes()),
            started.elapsed().into(),
        ],
    )?;
    reader.tell(context);
    walk.finish(context)?;
    reader.budget.verdict()
}
