//! An input that the user names: a path, or `-` for stdin.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use crate::failure::{CliError, Locate};

/// Where data come from. As an argument of a command: `inputs: Vec<Input>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// `-`
    Stdin,
    /// A file; `./-` for one that is called `-`.
    File(PathBuf),
}

impl Input {
    /// Opens it.
    ///
    /// # Errors
    /// If there is no such file, or it cannot be read; the error names it.
    pub fn open(&self) -> Result<Box<dyn Read>, CliError> {
        Ok(match self {
            Self::Stdin => Box::new(io::stdin()),
            Self::File(path) => Box::new(File::open(path).at(path)?),
        })
    }
}

impl From<OsString> for Input {
    fn from(text: OsString) -> Self {
        if text == "-" { Self::Stdin } else { Self::File(text.into()) }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("stdin"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}
