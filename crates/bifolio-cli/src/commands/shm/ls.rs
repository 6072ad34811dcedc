//! `bifolio shm ls`

use bifolio::map::Access;
use bifolio::map::names::{self, Entry, EntryKind, InUse, Lifetime, Name, Scope};
use bifolio::map::{Read, View};
use bifolio::share::Region;

use super::target::ScopeArgs;
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::CliError;
use crate::interrupt;
use crate::output::{Field, Schema, Value};

/// List the names of shared memory
///
/// `in use` says whether any process that uses this library has it. What killed processes left
/// behind is removed by looking, and not in the list; `bifolio shm gc` says what that was.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    scope: ScopeArgs,
}

/// The examples of the help page.
pub(super) const EXAMPLES: &[Example] = &[
    Example::new("bifolio shm ls", "the names of this user"),
    Example::new("bifolio shm ls --json", "the same, for a program"),
    Example::new("bifolio shm ls --directory no-such-directory", "ends with exit code 3")
        .exits(Exit::NotFound),
];

const SCHEMA: Schema = Schema {
    name: "bifolio.shm-ls",
    version: 1,
    fields: &[
        Field::text("name"),
        Field::text("what"),
        Field::bytes("size"),
        Field::text("in_use"),
        Field::text("goes"),
        Field::text("owner"),
    ],
};

/// Runs it.
///
/// # Errors
/// [`Exit::NotFound`] for a directory that is not there.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    let scope = args.scope.scope()?;
    let entries = names::list(&scope)?;
    if entries.is_empty() {
        context.message("there are no names");
    }
    let mut rows = context.rows(SCHEMA)?;
    for entry in &entries {
        interrupt::check()?;
        rows.row(&[
            entry.name().into(),
            what(entry, &scope).into(),
            entry.len().map_or(Value::Missing, Value::Bytes),
            match entry.in_use() {
                InUse::Yes => "yes".into(),
                InUse::No => "no".into(),
                _ => Value::Missing,
            },
            match entry.lifetime() {
                Lifetime::LastHandle => "with its last user".into(),
                _ => "when it is removed".into(),
            },
            entry.owner().into(),
        ])?;
    }
    Ok(rows.finish()?)
}

/// What a name stands for, in a word or two.
fn what(entry: &Entry, scope: &Scope) -> &'static str {
    match entry.kind() {
        EntryKind::Section if is_region(entry, scope) => "region",
        EntryKind::Section => "section",
        EntryKind::File { .. } => "file",
        EntryKind::Foreign => "foreign section",
        _ => "no section",
    }
}

/// Whether it begins as a region does. It is not opened for that: a look keeps no name alive.
fn is_region(entry: &Entry, scope: &Scope) -> bool {
    let begins = || {
        let name = Name::new(entry.name()).ok()?;
        let section = names::open_foreign(&name, scope, Access::Read).ok()?.into_section(8).ok()?;
        let view: View<Read> = section.view().ok()?;
        view.get::<[u8; 8]>(0).ok()
    };
    begins().is_some_and(|bytes| bytes == Region::MAGIC)
}
