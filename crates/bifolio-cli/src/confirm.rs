//! Consent: what deletes or overwrites asks first.

use std::io::{BufRead, Write};

use crate::color::Stream;
use crate::exit::Exit;
use crate::failure::CliError;

/// The two options of every command that deletes or overwrites:
/// `#[command(flatten)] consent: ConsentArgs`.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct ConsentArgs {
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
}

/// What the options ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// `--dry-run`: do nothing, only report.
    DryRun,
    /// `--yes`: go on without asking.
    Given,
    /// Neither: ask.
    Ask,
}

/// What the command may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Do it.
    Do,
    /// Report what it would do.
    OnlyTell,
}

impl ConsentArgs {
    /// What the options ask for.
    #[must_use]
    pub const fn consent(self) -> Consent {
        match (self.dry_run, self.yes) {
            (true, _) => Consent::DryRun,
            (false, true) => Consent::Given,
            (false, false) => Consent::Ask,
        }
    }
}

/// Whom to ask. On a terminal a person; elsewhere nobody.
pub struct Asker<'a> {
    /// Whether both stdin and stderr are terminals.
    pub stream: Stream,
    /// Where the answer comes from.
    pub answers: &'a mut dyn BufRead,
    /// Where the question goes.
    pub questions: &'a mut dyn Write,
}

impl Asker<'_> {
    /// Gets permission for a deed that the question names with its numbers:
    /// `"delete 3 segments (1.5 GiB) in /dev/shm/app"`.
    ///
    /// # Errors
    /// [`Exit::Refused`] if the answer is no, or nobody is there to give one.
    pub fn permission(&mut self, consent: Consent, deed: &str) -> Result<Permission, CliError> {
        match consent {
            Consent::DryRun => return Ok(Permission::OnlyTell),
            Consent::Given => return Ok(Permission::Do),
            Consent::Ask => {}
        }
        let refusal = |why| CliError::new(Exit::Refused, format!("{why}: {deed}"));
        let advice = "the same command with --yes to do it, or with --dry-run to see it";
        if self.stream != Stream::Terminal {
            return Err(refusal("nobody is there to agree").next(advice));
        }
        write!(self.questions, "{deed}? [y/N] ")?;
        self.questions.flush()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
            Ok(Permission::Do)
        } else {
            Err(refusal("not done").next(advice))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(
        stream: Stream,
        consent: Consent,
        answer: &str,
    ) -> (Result<Permission, CliError>, String) {
        let mut questions = Vec::new();
        let result = Asker { stream, answers: &mut answer.as_bytes(), questions: &mut questions }
            .permission(consent, "delete 3 files");
        (result, String::from_utf8(questions).expect("text"))
    }

    #[test]
    fn on_a_terminal_only_a_yes_is_a_yes() {
        for (answer, agreed) in
            [("y\n", true), ("YES\n", true), ("\n", false), ("", false), ("no\n", false)]
        {
            let (result, question) = ask(Stream::Terminal, Consent::Ask, answer);
            assert_eq!(question, "delete 3 files? [y/N] ");
            match result {
                Ok(permission) => assert!(agreed && permission == Permission::Do, "{answer:?}"),
                Err(error) => assert!(!agreed && error.exit() == Exit::Refused, "{answer:?}"),
            }
        }
    }

    #[test]
    fn elsewhere_nothing_is_asked_and_nothing_is_done_without_yes() {
        let (result, question) = ask(Stream::Other, Consent::Ask, "y\n");
        let error = result.expect_err("nobody agreed");
        assert_eq!(error.exit(), Exit::Refused);
        assert!(error.next_step().is_some_and(|next| next.contains("--yes")));
        assert_eq!(question, "");
        assert_eq!(ask(Stream::Other, Consent::Given, "").0.ok(), Some(Permission::Do));
    }

    #[test]
    fn a_dry_run_never_asks_and_never_does() {
        for stream in [Stream::Terminal, Stream::Other] {
            let (result, question) = ask(stream, Consent::DryRun, "y\n");
            assert_eq!((result.ok(), question.as_str()), (Some(Permission::OnlyTell), ""));
        }
    }
}
