//! The suites, one a layer.

use crate::Result;
use crate::report::Report;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Within a minute: small files, few rounds.
    Quick,
    /// As long as it takes for figures to quote.
    Full,
}

impl Scale {
    /// One of two values.
    pub(crate) fn pick<T>(self, quick: T, full: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Full => full,
        }
    }
}

/// The benches of one layer.
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Measures everything.
    pub(crate) run: fn(Scale, &mut Report) -> Result<()>,
    /// Measures the figures that the layer has to reach.
    pub(crate) goals: fn(Scale, &mut Report) -> Result<()>,
}

/// All of them.
pub(crate) const SUITES: &[Suite] = &[crate::map::SUITE, crate::page::SUITE, crate::share::SUITE];
