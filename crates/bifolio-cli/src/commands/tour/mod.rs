//! `bifolio tour`: each layer's main job, end to end, on real files.
//!
//! A tour is a list of stops. A stop says in plain sentences what it does, states facts, and makes
//! checks. A new stop is a file here with a type that implements [`Stop`], and its line in
//! `STOPS`; what it lets another process do is a role in [`child`].

pub mod child;
mod cut;
mod durable;
mod files;
mod flight;
mod full;
mod growth;
mod input;
mod lengths;
mod named;
mod objects;
mod private;
mod report;
mod residency;
mod share;
mod together;

use std::fmt::Display;
use std::path::{Path, PathBuf};

pub use input::TourFile;
pub use report::Outcome;

use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::CliError;
use crate::input::Input;
use crate::interrupt::{self, WorkingDirectory};
use crate::output::Value;
use crate::progress::{Progress, Unit};
use child::Partner;
use report::Report;

/// Show and check what bifolio does, on real files
///
/// The given files are only read. Everything that is written is in a temporary directory, which
/// is gone at the end. What cannot be done on this machine is counted as SKIPPED, with the reason.
/// The exit code is 0 only if every check held, and 4 otherwise.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The files to show it on, `-` for stdin [default: this program, Cargo.lock if it is here,
    /// and a file of 13 bytes]
    #[arg(value_name = "PATH")]
    paths: Vec<Input>,

    /// Make only these stops (may be given several times)
    #[arg(long, value_name = "STOP", value_parser = stop_names())]
    only: Vec<String>,
}

/// The examples of the help page.
pub const EXAMPLES: &[Example] = &[
    Example::new("bifolio tour", "all stops, on this program and two small files"),
    Example::new("bifolio tour --only files notes.txt", "one stop, on a file of yours")
        .given(&[("notes.txt", "one\ntwo\n")]),
    Example::new(
        "bifolio tour --only files --json > files.json",
        "its facts and checks, for a program",
    ),
    Example::new("bifolio tour no-such-file", "ends with exit code 3").exits(Exit::NotFound),
];

/// One stop of the tour.
pub trait Stop: Sync {
    /// One word, for `--only`.
    fn name(&self) -> &'static str;

    /// A few words.
    fn title(&self) -> &'static str;

    /// Says what it does, does it, and checks it.
    ///
    /// # Errors
    /// What keeps the stop from going on: it is reported as a failed check, and the tour goes to
    /// the next stop. A check that does not hold is no error.
    fn run(&self, tour: &mut Tour<'_>) -> Result<(), CliError>;
}

/// The stops, in order.
const STOPS: &[&dyn Stop] = &[
    &files::Files,
    &lengths::Lengths,
    &private::Private,
    &together::Together,
    &named::Named,
    &cut::Cut,
    &full::Full,
    &growth::Growth,
    &durable::Durable,
    &residency::Residency,
    &flight::Flight,
    &share::Share,
    &objects::Objects,
];

fn stop_names() -> clap::builder::PossibleValuesParser {
    STOPS.iter().map(|stop| stop.name()).collect::<Vec<_>>().into()
}

/// What a stop has: a voice, a working directory, the files, and other processes to talk to.
#[derive(Debug)]
pub struct Tour<'a> {
    report: Report<'a>,
    directory: WorkingDirectory,
    files: Vec<TourFile>,
}

impl Tour<'_> {
    /// Says a sentence or more in plain words; line breaks are made to fit.
    ///
    /// # Errors
    /// If stdout cannot be written, or after Ctrl-C; so are those of the other methods.
    pub fn say(&mut self, sentences: &str) -> Result<(), CliError> {
        interrupt::check()?;
        self.report.say(sentences)
    }

    /// States something that is only told, not checked.
    ///
    /// # Errors
    /// As [`Tour::say`].
    pub fn fact(&mut self, name: impl Display, value: impl Into<Value>) -> Result<(), CliError> {
        interrupt::check()?;
        self.report.fact(name.to_string(), value.into())
    }

    /// Reports a check: the claim is a sentence that holds if all is well.
    ///
    /// # Errors
    /// As [`Tour::say`].
    pub fn check(&mut self, claim: impl Display, outcome: Outcome) -> Result<(), CliError> {
        interrupt::check()?;
        self.report.check(claim.to_string(), outcome)
    }

    /// Checks that two values are the same.
    ///
    /// # Errors
    /// As [`Tour::say`].
    pub fn check_eq<T: PartialEq + Display>(
        &mut self,
        claim: impl Display,
        found: T,
        expected: T,
    ) -> Result<(), CliError> {
        let outcome =
            if found == expected { Outcome::Passed } else { Outcome::failed(found, expected) };
        self.check(claim, outcome)
    }

    /// Reports a check that cannot be made here, and why. The reason is repeated in the last line
    /// of the tour: keep it short, and word the same reason the same way.
    ///
    /// # Errors
    /// As [`Tour::say`].
    pub fn skip(&mut self, claim: impl Display, why: impl Display) -> Result<(), CliError> {
        self.check(claim, Outcome::Skipped { why: why.to_string() })
    }

    /// The files of this tour. They are the user's: only read them.
    #[must_use]
    pub fn files(&self) -> &[TourFile] {
        &self.files
    }

    /// A directory to write in; it is gone at the end, also after Ctrl-C.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A path in the working directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts this program as another process, in one of the roles of [`child`].
    ///
    /// # Errors
    /// If it does not start.
    pub fn partner<S: AsRef<std::ffi::OsStr>>(
        &self,
        role: &str,
        arguments: &[S],
    ) -> Result<Partner, CliError> {
        Partner::start(role, arguments)
    }

    /// Begins to show the progress of long work.
    #[must_use]
    pub fn progress(&self, title: &str, total_bytes: u64) -> Progress {
        Progress::begin(title, Unit::Bytes, total_bytes)
    }
}

/// Runs it.
///
/// # Errors
/// [`Exit::NotFound`] if a file is not there, [`Exit::Corrupt`] if a check did not hold.
pub fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    let directory = WorkingDirectory::create("bifolio-tour-")?;
    let files = input::collect(&args.paths, directory.path())?;
    let report = Report::begin(context);
    let mut tour = Tour { report, directory, files };
    for stop in STOPS {
        if !args.only.is_empty() && !args.only.iter().any(|name| name == stop.name()) {
            continue;
        }
        visit(*stop, &mut tour)?;
    }
    tour.report.finish()
}

/// Makes one stop; its error is a failed check, unless nobody waits for the rest.
fn visit(stop: &dyn Stop, tour: &mut Tour<'_>) -> Result<(), CliError> {
    tour.report.stop(stop.title())?;
    match stop.run(tour) {
        Ok(()) => Ok(()),
        Err(error) if error.ends_everything() => Err(error),
        Err(error) => tour
            .report
            .check("the stop reaches its end".to_owned(), Outcome::failed(error, "no error")),
    }
}

#[cfg(test)]
mod tests;
