//! `bifolio page who`

use std::path::PathBuf;

use bifolio::map::ErrorKind;
use bifolio::map::residency::CachedFile;

use super::NOTES;
use super::troubles::{Trouble, Troubles};
use super::walk::Root;
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::CliError;
use crate::interrupt;
use crate::output::{Field, Schema, Value};
use crate::units::group_digits;

/// List the processes that have a file mapped
///
/// Running programs and their libraries are mapped files too. `resident` is what of the file is in
/// a process's page tables, `locked` what it keeps from being evicted, `rights` what at least one
/// of its mappings may do: read, write, execute; shared or private. Processes that this user may
/// not look into are counted and told.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The files
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

/// The examples of the help page.
pub(super) const EXAMPLES: &[Example] = &[
    Example::new("bifolio page who notes.txt --json", "who has a file mapped, for a program")
        .given(NOTES)
        .of_the_cache(),
    Example::new("bifolio page who notes.txt --format csv", "the same as a table")
        .given(NOTES)
        .of_the_cache(),
    Example::new("bifolio page who no-such-file", "ends with exit code 3").exits(Exit::NotFound),
];

const SCHEMA: Schema = Schema {
    name: "bifolio.page-who",
    version: 1,
    fields: &[
        Field::count("pid"),
        Field::text("command"),
        Field::count("user"),
        Field::bytes("mapped"),
        Field::bytes("resident"),
        Field::bytes("locked"),
        Field::text("rights"),
        Field::text("path"),
    ],
};

/// Runs it.
///
/// # Errors
/// [`Exit::NotFound`] without a file, after the others were looked at; [`Exit::Failure`] where the system has no such list.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    let troubles = Troubles::default();
    let mut found = Vec::new();
    let mut unreadable = 0;
    for path in &args.paths {
        interrupt::check()?;
        match troubles.root(path) {
            Root::File => {}
            Root::Directory => {
                troubles.add(Trouble::Failed, path, "it is a directory, and no process maps those");
                continue;
            }
            Root::Nothing => continue,
        }
        let mappers = match CachedFile::open(path).and_then(|file| file.mappers()) {
            Ok(mappers) => mappers,
            Err(error) if error.kind() == ErrorKind::NotSupported => {
                let what = "this system has no list of the processes that map a file";
                return Err(CliError::new(Exit::Failure, what).caused_by(error));
            }
            Err(error) => {
                troubles.file(path, &error);
                continue;
            }
        };
        unreadable = unreadable.max(mappers.unreadable);
        found.extend(mappers.processes.into_iter().map(|process| (process, path)));
    }
    let nobody = found.is_empty();
    let mut rows = context.rows(SCHEMA)?;
    for (process, path) in found {
        rows.row(&[
            Value::Count(process.pid.into()),
            process.name.into(),
            Value::Count(process.user.into()),
            Value::Bytes(process.mapped),
            process.resident.map_or(Value::Missing, Value::Bytes),
            process.locked.map_or(Value::Missing, Value::Bytes),
            process.rights.into(),
            Value::path(path),
        ])?;
    }
    rows.finish()?;
    if nobody && unreadable == 0 && troubles.exit() == Exit::Ok {
        context.message("no process has it mapped");
    }
    if unreadable > 0 {
        let processes = if unreadable == 1 { "process" } else { "processes" };
        context.message(&format!(
            "{} {processes} may not be looked into by this user and may have it mapped too",
            group_digits(unreadable)
        ));
    }
    troubles.tell(context)
}
