//! What a command of `shm` is about: a region in a file, or one that has a name.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use bifolio::map::names::{Name, Scope};
use bifolio::share::{Region, RegionOptions};

use crate::failure::{CliError, Locate};

/// A region on the command line: with a `/` in it (`./region`) a path, otherwise a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Path(PathBuf),
    Name(OsString),
}

impl From<OsString> for Target {
    fn from(text: OsString) -> Self {
        let is_path = text.to_string_lossy().contains(std::path::is_separator);
        if is_path { Self::Path(text.into()) } else { Self::Name(text) }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Name(name) => write!(f, "{}", name.display()),
        }
    }
}

/// Whose names are meant.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ScopeArgs {
    /// Names of this directory, instead of this user's
    #[arg(long, value_name = "PATH", conflicts_with = "machine", help_heading = "Names")]
    directory: Option<PathBuf>,

    /// Names of the whole machine, instead of this user's
    #[arg(long, help_heading = "Names")]
    machine: bool,
}

impl ScopeArgs {
    /// The names that are meant.
    pub(super) fn scope(&self) -> Result<Scope, CliError> {
        Ok(match &self.directory {
            Some(directory) => {
                // Windows' names of a directory are not in it, and would not miss it.
                std::fs::metadata(directory).at(directory)?;
                Scope::Directory(directory.as_path().into())
            }
            None if self.machine => Scope::Machine,
            None => Scope::Session,
        })
    }
}

/// A region and whose names are meant, as most commands take them.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct TargetArgs {
    /// A name, or with a `/` in it the path of a file: `./region`
    #[arg(value_name = "REGION")]
    pub(super) region: Target,

    #[command(flatten)]
    pub(super) scope: ScopeArgs,
}

impl TargetArgs {
    /// Joins it.
    pub(super) fn join(&self) -> Result<Region, CliError> {
        self.open(Region::options())
    }

    /// Joins it, or makes it, as the options say.
    pub(super) fn open(&self, options: RegionOptions) -> Result<Region, CliError> {
        let options = options.label("bifolio shm").scope(self.scope.scope()?);
        let region = match &self.region {
            Target::Path(path) => options.open(path),
            Target::Name(_) => options.named(&self.name()?),
        };
        region.map_err(|error| {
            let error = CliError::from(error).at(self.region.to_string());
            match error.exit() {
                crate::exit::Exit::NotFound => {
                    error.next(format!("bifolio shm create {}", self.region))
                }
                _ => error,
            }
        })
    }

    /// The name, if it is none of a file.
    pub(super) fn name(&self) -> Result<Name, CliError> {
        Ok(Name::new(self.region.to_string())?)
    }
}
