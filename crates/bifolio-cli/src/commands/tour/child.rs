//! The other processes of the tour: this program again, as `bifolio tour-child ROLE ARGS…`.
//!
//! A partner speaks in lines: it reads questions from stdin and answers on stdout, one line for
//! one line. The subcommand is not in the help: it is nobody's but the tour's.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

use super::{cut, files, full, growth, named, objects, share, together};
use crate::exit::Exit;
use crate::failure::{CliError, Locate};
use crate::interrupt;
use crate::progress::Progress;

/// The hidden subcommand.
pub const SUBCOMMAND: &str = "tour-child";

/// What a role does: it gets its arguments and its ends of the two pipes.
type Role = fn(&[OsString], &mut dyn BufRead, &mut dyn Write) -> Result<(), CliError>;

/// The roles by name.
const ROLES: &[(&str, Role)] = &[
    ("digest", digest),
    ("full-disk", full::play),
    ("grow", growth::play),
    ("named", named::play),
    ("objects", objects::play),
    ("share", share::play),
    ("take-turns", together::play),
    ("truncate", cut::play),
];

/// The child's main function.
#[must_use]
pub fn main(role: &OsStr, arguments: &[OsString]) -> ExitCode {
    interrupt::listen();
    let result = match ROLES.iter().find(|(name, _)| role == *name) {
        Some((_, play)) => play(arguments, &mut io::stdin().lock(), &mut io::stdout().lock()),
        None => Err(CliError::new(Exit::Usage, "there is no such role")
            .at(role.to_string_lossy())
            .next("bifolio tour")),
    };
    match result {
        Ok(()) => Exit::Ok.into(),
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            error.exit().into()
        }
    }
}

/// Answers each `?` with the size and the digest of the file that it was started for.
fn digest(
    arguments: &[OsString],
    questions: &mut dyn BufRead,
    answers: &mut dyn Write,
) -> Result<(), CliError> {
    let path = one_path(arguments)?;
    answer_each(questions, answers, |_| {
        let digest = files::digest(path, &mut Progress::silent())?;
        Ok(format!("{} {}", digest.size, digest.sha256))
    })
}

/// The argument of a role that takes a path and nothing else.
pub(super) fn one_path(arguments: &[OsString]) -> Result<&Path, CliError> {
    match arguments {
        [path] => Ok(Path::new(path)),
        _ => Err(CliError::new(Exit::Usage, "the role takes one path")),
    }
}

/// Answers each question with a line, at once.
pub(super) fn answer_each(
    questions: &mut dyn BufRead,
    answers: &mut dyn Write,
    mut answer: impl FnMut(&str) -> Result<String, CliError>,
) -> Result<(), CliError> {
    for question in questions.lines() {
        writeln!(answers, "{}", answer(&question?)?)?;
        answers.flush()?;
    }
    Ok(())
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Partner {
    role: String,
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Partner {
    pub(super) fn start<S: AsRef<OsStr>>(role: &str, arguments: &[S]) -> Result<Self, CliError> {
        let program = std::env::current_exe()?;
        let mut command = Command::new(&program);
        command.arg(SUBCOMMAND).arg(role).args(arguments);
        Self::spawn(role, &mut command).at(&program)
    }

    /// Starts it by another program, which may not be there or may not be able to: then `None`.
    /// A partner that is started so says "ready" first.
    pub(super) fn start_by(role: &str, words: &[OsString]) -> Result<Option<Self>, CliError> {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stderr(Stdio::null());
        let mut partner = match Self::spawn(role, &mut command) {
            Ok(partner) => partner,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).at(&words[0]),
        };
        match partner.hear() {
            Ok(word) if word == "ready" => Ok(Some(partner)),
            Err(error) if error.ends_everything() => Err(error),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    fn spawn(role: &str, command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        Ok(Self { role: role.to_owned(), child, questions, answers })
    }

    /// The process, to signal it or look at it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Says one line to it and waits for its one line.
    ///
    /// # Errors
    /// If it has ended instead; what it had to say is on stderr.
    pub fn ask(&mut self, question: &str) -> Result<String, CliError> {
        self.tell(question)?;
        self.hear()
    }

    /// Says one line to it.
    ///
    /// # Errors
    /// If it has ended.
    pub fn tell(&mut self, line: &str) -> Result<(), CliError> {
        let questions = self.questions.as_mut().expect("stdin is open until the end");
        writeln!(questions, "{line}").and_then(|()| questions.flush()).at(&self.role)
    }

    /// Waits for a line from it.
    ///
    /// # Errors
    /// If it ends without one.
    pub fn hear(&mut self) -> Result<String, CliError> {
        let mut line = String::new();
        if self.answers.read_line(&mut line).at(&self.role)? == 0 {
            interrupt::check()?;
            let status = self.child.wait().at(&self.role)?;
            return Err(CliError::new(Exit::Failure, "the other process has ended too early")
                .at(format!("{}, {status}", self.role)));
        }
        Ok(line.trim_end().to_owned())
    }

    /// Ends the conversation, and requires that the other process ends well.
    ///
    /// # Errors
    /// If it does not.
    pub fn finish(mut self) -> Result<(), CliError> {
        drop(self.questions.take());
        let status = self.child.wait().at(&self.role)?;
        if status.success() {
            return Ok(());
        }
        Err(CliError::new(Exit::Failure, "the other process has failed")
            .at(format!("{}, {status}", self.role)))
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        // After `finish` the child is reaped and the kill does nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
