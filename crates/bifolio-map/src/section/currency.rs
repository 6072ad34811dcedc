//! Whether a section still has its name.

use super::{Section, SectionKind};
use crate::error::Result;
use crate::sys;

/// Whether the path of a section still leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Currency {
    /// The path leads to this section.
    Current,
    /// The path leads to another file now: this one was replaced.
    Replaced,
    /// The path leads nowhere: this file was unlinked or moved away.
    Unlinked,
    /// The section never had a path.
    Nameless,
}

impl Section {
    /// Whether the path still leads to this section. On Unix a mapped file can be replaced or
    /// unlinked, and its old bytes go on being readable here; Windows refuses both while it is
    /// mapped.
    ///
    /// # Errors
    /// What the system says.
    pub fn is_current(&self) -> Result<Currency> {
        let path = match (self.inner.kind, &self.inner.path) {
            (SectionKind::File | SectionKind::Named, Some(path)) => path,
            _ => return Ok(Currency::Nameless),
        };
        if sys::file_of(&self.inner.object).is_none() {
            // Windows takes no name away while there is a handle.
            return Ok(Currency::Current);
        }
        let mine = sys::identity(&self.inner.object).map_err(|error| self.os("inspect", error))?;
        match sys::identity_of_path(path) {
            Ok(found) if found == mine => Ok(Currency::Current),
            Ok(_) => Ok(Currency::Replaced),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Currency::Unlinked),
            Err(error) => Err(self.os("inspect", error)),
        }
    }
}
