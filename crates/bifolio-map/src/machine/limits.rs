//! What this process may have.

use super::Fact;
use crate::sys;

/// The limits of this process; from [`limits`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Limits {
    /// The most maps that a process may have.
    pub maps: Fact<u64>,
    /// The maps that this process has.
    pub maps_used: Fact<u64>,
    /// Bytes that may be locked in memory.
    pub locked_bytes: Fact<Limited>,
    /// Open files and sections.
    pub descriptors: Fact<Limited>,
    /// Bytes of addresses.
    pub address_bytes: Fact<Limited>,
    /// Bytes in a file that this process writes.
    pub file_bytes: Fact<Limited>,
    /// Windows: the least and the most bytes that the system tries to keep in memory for this
    /// process. What is locked must fit the least.
    pub working_set_bytes: Fact<(u64, u64)>,
    /// Windows: whether this process may make names that all sessions see
    /// (`SeCreateGlobalPrivilege`).
    pub global_names: Fact<Held>,
    /// Windows: whether this process may have large pages (`SeLockMemoryPrivilege`).
    pub large_pages: Fact<Held>,
}

/// A limit that the process may change itself, up to a hard one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limited {
    /// What holds now; `None` for no limit.
    pub now: Option<u64>,
    /// How far the process can raise it; `None` for no limit.
    pub most: Option<u64>,
}

/// Whether this process holds a privilege, enabled or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Held {
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// The limits of this process. Never fails: each fact says by itself whether it is known.
#[must_use]
pub fn limits() -> Limits {
    sys::limit_facts()
}
