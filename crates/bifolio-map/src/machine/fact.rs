//! A fact: what the system answered, and who was asked.

use std::borrow::Cow;
use std::fmt::Display;
use std::io;

use crate::sys;

/// One thing that was asked of the system: the answer, or why there is none, and who was asked.
///
/// ```
/// let memory = bifolio_map::machine::memory();
/// assert_eq!(memory.page_size.value(), Some(&(bifolio_map::page_size() as u64)));
/// if let Some(why) = memory.huge_pages.why_unknown() {
///     println!("{}: {why}", memory.huge_pages.source());
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact<T> {
    answer: Answer<T>,
    source: Cow<'static, str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer<T> {
    Known(T),
    Unknown(String),
    Absent,
}

impl<T> Fact<T> {
    /// What `source` (a file, a call) answered.
    #[must_use]
    pub fn known(value: T, source: impl Into<Cow<'static, str>>) -> Self {
        Self { answer: Answer::Known(value), source: source.into() }
    }

    /// `source` should know, but gave no answer, for this reason.
    #[must_use]
    pub fn unknown(why: impl Display, source: impl Into<Cow<'static, str>>) -> Self {
        Self { answer: Answer::Unknown(why.to_string()), source: source.into() }
    }

    /// This platform has no such thing.
    #[must_use]
    pub fn absent() -> Self {
        Self { answer: Answer::Absent, source: Cow::Borrowed("") }
    }

    /// The answer, if there is one.
    #[must_use]
    pub fn value(&self) -> Option<&T> {
        match &self.answer {
            Answer::Known(value) => Some(value),
            Answer::Unknown(_) | Answer::Absent => None,
        }
    }

    /// Who was asked: a file, a call, or a setting. Empty where there is no such thing.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Why there is no answer though there should be one. `None` if there is one, and also where
    /// the platform has no such thing ([`is_absent`](Self::is_absent)).
    #[must_use]
    pub fn why_unknown(&self) -> Option<&str> {
        match &self.answer {
            Answer::Unknown(why) => Some(why),
            Answer::Known(_) | Answer::Absent => None,
        }
    }

    /// Whether this platform has no such thing.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self.answer, Answer::Absent)
    }
}

impl<T> Default for Fact<T> {
    /// Absent.
    fn default() -> Self {
        Self::absent()
    }
}

/// Whether something can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It was tried, and works.
    Allowed,
    /// It exists and was denied: what the system said.
    Denied(String),
    /// The system, or the file system, does not have it.
    Missing,
}

impl Permission {
    /// What the outcome of a call says about it.
    pub(crate) fn of<T>(outcome: &io::Result<T>) -> Self {
        match outcome {
            Ok(_) => Self::Allowed,
            Err(error) if sys::is_missing(error) => Self::Missing,
            Err(error) => Self::Denied(error.to_string()),
        }
    }
}

/// A thing that can be tried, what it is good for, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ability {
    /// Its name in the field: `cachestat`, `O_TMPFILE`.
    pub name: &'static str,
    /// What it is good for here, in a few words.
    pub purpose: &'static str,
    /// Whether it can be had.
    pub answer: Fact<Permission>,
}

impl Ability {
    /// Whether it was tried and works.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.answer.value() == Some(&Permission::Allowed)
    }
}
