//! The exit codes: one short list for every subcommand.

use std::process::ExitCode;

/// How the program ends. Scripts may rely on these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done, and every check held.
    Ok = 0,
    /// It failed for a reason without a number of its own.
    Failure = 1,
    /// The command line is wrong.
    Usage = 2,
    /// What was named does not exist.
    NotFound = 3,
    /// The data are damaged, or a verification failed.
    Corrupt = 4,
    /// Somebody else holds it, or the time ran out.
    Busy = 5,
    /// It would overwrite, it does not fit, or nobody agreed to it.
    Refused = 6,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// Every exit code, in numeric order.
    pub const ALL: [Self; 8] = [
        Self::Ok,
        Self::Failure,
        Self::Usage,
        Self::NotFound,
        Self::Corrupt,
        Self::Busy,
        Self::Refused,
        Self::Interrupted,
    ];

    /// The number that the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The meaning in a few words, for the manual.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failure => "failure",
            Self::Usage => "usage: the command line is wrong",
            Self::NotFound => "not found",
            Self::Corrupt => "corrupt, or a verification failed",
            Self::Busy => "busy, or timed out",
            Self::Refused => "refused: it would overwrite, does not fit, or nobody agreed",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
