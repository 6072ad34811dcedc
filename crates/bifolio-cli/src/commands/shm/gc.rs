//! `bifolio shm gc`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bifolio::map::names::{self, Name, Scope};

use super::leftovers::{self, Leftover, State};
use super::target::ScopeArgs;
use crate::confirm::{Consent, ConsentArgs, Permission};
use crate::context::Context;
use crate::example::Example;
use crate::failure::{CliError, Locate};
use crate::output::{Field, Schema, Value};
use crate::units::format_bytes;

/// Remove what the dead have left
///
/// Names that go with their last user, and whose users were all killed, are removed: they are
/// nobody's. What programs left that do not use this library (Python's `psm_*`, iceoryx2, Fast-DDS)
/// is listed, and removed with `--foreign`, but never while a process has it mapped or open. Names
/// that stay until they are removed are not touched: see `bifolio shm rm`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    scope: ScopeArgs,

    /// Remove leftovers of other programs too
    #[arg(long)]
    foreign: bool,

    /// And those that only processes could have which this user may not look into
    #[arg(long, requires = "foreign")]
    unseen: bool,

    #[command(flatten)]
    consent: ConsentArgs,
}

/// The examples of the help page.
pub(super) const EXAMPLES: &[Example] = &[
    Example::new("bifolio shm gc --dry-run", "what the dead have left"),
    Example::new("bifolio shm gc --dry-run --json", "the same, for a program"),
    Example::new("bifolio shm gc --directory . --yes", "names of a directory, without asking"),
];

const SCHEMA: Schema = Schema {
    name: "bifolio.shm-gc",
    version: 1,
    fields: &[
        Field::text("path"),
        Field::text("of"),
        Field::bytes("size"),
        Field::text("state"),
        Field::text("done"),
    ],
};

/// Runs it.
///
/// # Errors
/// [`crate::exit::Exit::Refused`] without permission.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    let scope = args.scope.scope()?;
    let consent = args.consent.consent();
    // What the dead of this library left goes by a look at the names, whoever looks.
    let before = files_of(&scope);
    if consent == Consent::DryRun {
        context.message("names that killed users of this library left go by any look at the names");
    } else {
        names::list(&scope)?;
    }
    let after = files_of(&scope);
    let mut table = Vec::new();
    for path in before.difference(&after) {
        table.push([
            Value::path(path),
            "bifolio".into(),
            Value::Missing,
            // Or somebody closed it in good order just then.
            "gone".into(),
            "removed".into(),
        ]);
    }
    let found = leftovers::find(&scope)?;
    let goes = |one: &Leftover| match one.state {
        State::Dead => args.foreign,
        State::Unknown => args.unseen,
        State::InUse => false,
    };
    let dead: Vec<&Leftover> = found.iter().filter(|one| goes(one)).collect();
    let remove = if dead.is_empty() {
        Permission::OnlyTell
    } else {
        let bytes: u64 = dead.iter().map(|one| one.size).sum();
        let things = if dead.len() == 1 { "leftover" } else { "leftovers" };
        let deed = format!("remove {} {things} ({})", dead.len(), format_bytes(bytes));
        context.permission(consent, &deed)?
    };
    for one in &found {
        let done = if remove == Permission::Do && goes(one) {
            std::fs::remove_file(&one.path).at(&one.path)?;
            "removed"
        } else {
            "left"
        };
        table.push([
            Value::path(&one.path),
            one.of.into(),
            Value::Bytes(one.size),
            one.state.as_str().into(),
            done.into(),
        ]);
    }
    if table.is_empty() {
        context.message("nobody who is dead has left anything");
    }
    let mut rows = context.rows(SCHEMA)?;
    for row in &table {
        rows.row(row)?;
    }
    Ok(rows.finish()?)
}

/// The files behind the names of a scope, where names are files.
fn files_of(scope: &Scope) -> BTreeSet<PathBuf> {
    let place = || {
        let name = Name::new("any").ok()?;
        let path = PathBuf::from(names::system_name(&name, scope).ok()?);
        std::fs::read_dir(path.parent().filter(|parent| *parent != Path::new(""))?).ok()
    };
    place().into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
