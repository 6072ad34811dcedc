//! A finding: what is there, how good that is, what it means, and what to do.

use std::borrow::Cow;
use std::time::Duration;

use bifolio::map::machine::Fact;

use crate::units::{format_bytes, format_duration, group_digits};

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Good to know.
    Note,
    /// Something works less well than it could, or may fail with an error.
    Warning,
    /// A promise would not hold.
    Broken,
}

impl Level {
    /// The word for programs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Broken => "broken",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) subject: Cow<'static, str>,
    pub(super) level: Level,
    /// For people.
    pub(super) value: String,
    /// For programs, if it is one: the number and its unit.
    pub(super) number: Option<(u64, &'static str)>,
    pub(super) meaning: String,
    pub(super) advice: Option<String>,
    pub(super) source: String,
}

impl Finding {
    /// That all is well with a subject.
    pub(super) fn new(subject: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            level: Level::Ok,
            value: value.into(),
            number: None,
            meaning: String::new(),
            advice: None,
            source: String::new(),
        }
    }

    /// A size.
    pub(super) fn bytes(subject: impl Into<Cow<'static, str>>, bytes: u64) -> Self {
        Self { number: Some((bytes, "bytes")), ..Self::new(subject, format_bytes(bytes)) }
    }

    /// A number of things.
    pub(super) fn count(subject: impl Into<Cow<'static, str>>, count: u64) -> Self {
        Self { number: Some((count, "count")), ..Self::new(subject, group_digits(count)) }
    }

    /// A time.
    pub(super) fn time(subject: impl Into<Cow<'static, str>>, time: Duration) -> Self {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self { number: Some((nanos, "ns")), ..Self::new(subject, format_duration(time)) }
    }

    /// What it means for a user of maps: whole sentences.
    pub(super) fn means(mut self, meaning: impl Into<String>) -> Self {
        self.meaning = meaning.into();
        self
    }

    /// Who said so.
    pub(super) fn from<T>(mut self, fact: &Fact<T>) -> Self {
        fact.source().clone_into(&mut self.source);
        self
    }

    /// At this level.
    pub(super) fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// What to do: a command where there is one.
    pub(super) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// The finding that `known` makes of a fact; a note if the system gave no answer; nothing where the
/// platform has no such thing.
pub(super) fn of<T>(
    fact: &Fact<T>,
    subject: &'static str,
    known: impl FnOnce(&T) -> Finding,
) -> Option<Finding> {
    if let Some(value) = fact.value() {
        return Some(known(value).from(fact));
    }
    let why = fact.why_unknown()?;
    let finding = Finding::new(subject, format!("not known: {why}")).level(Level::Note);
    Some(finding.from(fact))
}
