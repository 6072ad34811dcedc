//! `bifolio shm rm`

use bifolio::map::names;
use bifolio::share::Life;

use super::info::others;
use super::target::{Target, TargetArgs};
use crate::confirm::{ConsentArgs, Permission};
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::{CliError, Locate};
use crate::units::format_bytes;

/// Take a region away
///
/// Refused (exit code 6) while anybody who lives is in it; `--force` takes the name away all the same,
/// and they keep what they have. Only regions are removed, no other files.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: TargetArgs,

    /// Although somebody is in it
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    consent: ConsentArgs,
}

/// The examples of the help page.
pub(super) const EXAMPLES: &[Example] = &[
    Example::new("bifolio shm rm ./no-such-region --yes", "ends with exit code 3")
        .exits(Exit::NotFound),
    Example::new("bifolio shm rm ./notes.txt --yes", "only regions are removed: exit code 4")
        .given(&[("notes.txt", "one\ntwo\nthree\n")])
        .exits(Exit::Corrupt),
    Example::new("bifolio shm rm ./no-such-region --dry-run", "say what would be removed")
        .exits(Exit::NotFound),
];

/// Runs it.
///
/// # Errors
/// [`Exit::Refused`] without permission, or while it is in use; [`Exit::NotFound`], [`Exit::Corrupt`].
pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    let region = args.target.join()?;
    let alive = others(&region)?.iter().filter(|member| member.life == Life::Alive).count();
    if alive > 0 && !args.force {
        let what = format!("{alive} who live are in it");
        return Err(CliError::new(Exit::Refused, what)
            .at(args.target.region.to_string())
            .next(format!("bifolio shm info {} --members", args.target.region)));
    }
    let deed = format!("remove {} ({})", args.target.region, format_bytes(region.used()?));
    if context.permission(args.consent.consent(), &deed)? == Permission::OnlyTell {
        context.message(&format!("would {deed}"));
        return Ok(());
    }
    // On Windows a file that is open cannot be removed.
    drop(region);
    match &args.target.region {
        Target::Path(path) => std::fs::remove_file(path).at(path)?,
        Target::Name(_) => match names::unlink(&args.target.name()?, &args.target.scope.scope()?) {
            // It went with us, its last user.
            Err(error) if error.kind() == bifolio::map::ErrorKind::NotFound => {}
            other => other?,
        },
    }
    context.message(&format!("removed {}", args.target.region));
    Ok(())
}
