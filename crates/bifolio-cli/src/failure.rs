//! An error as the user meets it: what, where, and the next command to try.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use crate::exit::Exit;
use crate::stdout::ClosedPipe;

/// Why a command stopped. It carries the exit code and the three things that a person needs.
///
/// An error of a lower layer becomes one by a `From` that chooses the [`Exit`] and the words;
/// the caller, who knows the place, adds it: `File::open(path).at(path)?`.
#[derive(Debug)]
pub struct CliError {
    exit: Exit,
    voice: Voice,
    what: String,
    place: Option<String>,
    next: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// Whether the error is told on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voice {
    Told,
    Quiet,
}

impl CliError {
    /// An error in one short sentence without a full stop, and the exit code.
    #[must_use]
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, voice: Voice::Told, what: what.into(), place: None, next: None, source: None }
    }

    /// The reader of our output has gone: end quietly, this is no failure.
    #[must_use]
    pub fn closed_pipe() -> Self {
        Self { voice: Voice::Quiet, ..Self::new(Exit::Ok, "the reader has closed the pipe") }
    }

    /// The user pressed Ctrl-C.
    #[must_use]
    pub fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted")
    }

    /// Says where: a path, `stdin`, a place in a file. The first place named is the most exact
    /// one, so later ones do not replace it.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place.get_or_insert_with(|| place.into());
        self
    }

    /// Says which command to try next. The first one named stays.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next.get_or_insert_with(|| next.into());
        self
    }

    /// Keeps the error that caused this one.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// What went wrong.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Where it went wrong.
    #[must_use]
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// The next command to try.
    #[must_use]
    pub fn next_step(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// Whether it ends the program without a word (a closed pipe).
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.voice == Voice::Quiet
    }

    /// Whether the work must stop at once because nobody waits for it any more: a closed pipe or
    /// Ctrl-C. Code that collects errors and goes on must pass these two up.
    #[must_use]
    pub fn ends_everything(&self) -> bool {
        self.is_quiet() || self.exit == Exit::Interrupted
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(place) = &self.place {
            write!(f, " ({place})")?;
        }
        Ok(())
    }
}

impl Error for CliError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        if ClosedPipe::caused(&error) {
            return Self::closed_pipe();
        }
        let (exit, what) = match error.kind() {
            Kind::NotFound => (Exit::NotFound, "there is no such file or directory".to_owned()),
            Kind::AlreadyExists => (Exit::Refused, "it already exists".to_owned()),
            Kind::StorageFull => (Exit::Refused, "the file system is full".to_owned()),
            Kind::QuotaExceeded => (Exit::Refused, "the disk quota is used up".to_owned()),
            Kind::FileTooLarge => (Exit::Refused, "the file would be too large".to_owned()),
            Kind::TimedOut => (Exit::Busy, "the time ran out".to_owned()),
            Kind::WouldBlock | Kind::ResourceBusy | Kind::ExecutableFileBusy => {
                (Exit::Busy, "somebody else is using it".to_owned())
            }
            Kind::UnexpectedEof => (Exit::Corrupt, "the data end too early".to_owned()),
            Kind::InvalidData => (Exit::Corrupt, error.to_string()),
            Kind::PermissionDenied => (Exit::Failure, "permission denied".to_owned()),
            _ => (Exit::Failure, error.to_string()),
        };
        Self::new(exit, what).caused_by(error)
    }
}

impl From<bifolio::map::Error> for CliError {
    /// The words are the error's own: they name the operation, the path and the numbers.
    fn from(error: bifolio::map::Error) -> Self {
        use bifolio::map::ErrorKind as Kind;
        let exit = match error.kind() {
            Kind::NotFound => Exit::NotFound,
            Kind::UnexpectedEof | Kind::Corrupt => Exit::Corrupt,
            Kind::Busy | Kind::TimedOut => Exit::Busy,
            Kind::AlreadyExists | Kind::StorageFull => Exit::Refused,
            Kind::OutOfBounds | Kind::Misaligned | Kind::InvalidInput | Kind::NotMappable => {
                Exit::Usage
            }
            _ => Exit::Failure,
        };
        let place = error.path().map(|path| path.display().to_string());
        let told = Self::new(exit, error.to_string());
        let told = match place {
            Some(place) => told.at(place),
            None => told,
        };
        told.caused_by(error)
    }
}

impl From<bifolio::share::Error> for CliError {
    /// As of the layer below.
    fn from(error: bifolio::share::Error) -> Self {
        use bifolio::share::ErrorKind as Kind;
        let exit = match error.kind() {
            Kind::NotFound => Exit::NotFound,
            Kind::LayoutMismatch | Kind::WrongVersion | Kind::Corrupt | Kind::Poisoned => {
                Exit::Corrupt
            }
            Kind::Busy | Kind::TimedOut | Kind::Deadlock | Kind::TooMany => Exit::Busy,
            Kind::AlreadyExists | Kind::Full => Exit::Refused,
            Kind::OutOfBounds | Kind::InvalidInput => Exit::Usage,
            _ => Exit::Failure,
        };
        let place = error.what().map(|what| what.display().to_string());
        let told = Self::new(exit, error.to_string());
        let told = match place {
            Some(place) => told.at(place),
            None => told,
        };
        told.caused_by(error)
    }
}

/// Adds the place and the next step to whatever becomes a [`CliError`].
pub trait Locate<T> {
    /// Says where it went wrong.
    ///
    /// # Errors
    /// The error that was there, with its place.
    fn at(self, path: impl AsRef<Path>) -> Result<T, CliError>;

    /// Says which command to try next.
    ///
    /// # Errors
    /// The error that was there, with its next step.
    fn or_try(self, next: impl Into<String>) -> Result<T, CliError>;
}

impl<T, E: Into<CliError>> Locate<T> for Result<T, E> {
    fn at(self, path: impl AsRef<Path>) -> Result<T, CliError> {
        self.map_err(|error| error.into().at(path.as_ref().display().to_string()))
    }

    fn or_try(self, next: impl Into<String>) -> Result<T, CliError> {
        self.map_err(|error| error.into().next(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit_of(kind: io::ErrorKind) -> Exit {
        CliError::from(io::Error::from(kind)).exit()
    }

    #[test]
    fn each_kind_of_io_error_has_the_exit_code_of_its_meaning() {
        use io::ErrorKind as Kind;
        assert_eq!(exit_of(Kind::NotFound), Exit::NotFound);
        assert_eq!(exit_of(Kind::UnexpectedEof), Exit::Corrupt);
        assert_eq!(exit_of(Kind::TimedOut), Exit::Busy);
        assert_eq!(exit_of(Kind::AlreadyExists), Exit::Refused);
        assert_eq!(exit_of(Kind::StorageFull), Exit::Refused);
        assert_eq!(exit_of(Kind::PermissionDenied), Exit::Failure);
    }

    #[test]
    fn only_our_own_stdout_makes_a_broken_pipe_quiet() {
        let elsewhere = CliError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(!elsewhere.is_quiet());
        assert_eq!(elsewhere.exit(), Exit::Failure);
        let ours = CliError::from(io::Error::new(io::ErrorKind::BrokenPipe, ClosedPipe));
        assert!(ours.is_quiet());
        assert_eq!(ours.exit(), Exit::Ok);
    }

    #[test]
    fn the_first_place_named_is_kept() {
        let inner: Result<(), io::Error> = Err(io::Error::from(io::ErrorKind::NotFound));
        let error = inner.at("exact").at("rough").or_try("first").or_try("second").unwrap_err();
        assert_eq!(error.place(), Some("exact"));
        assert_eq!(error.next_step(), Some("first"));
        assert_eq!(error.to_string(), "there is no such file or directory (exact)");
    }
}
