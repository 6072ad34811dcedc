//! Who has a file mapped.

use std::io;

use crate::sys::{self, Object};

/// The processes that have a file mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mappers {
    /// Those that could be seen, in the order of their numbers.
    pub processes: Vec<Mapper>,
    /// Processes into which this user may not look: each may have it mapped.
    pub unreadable: u64,
}

/// A process that has a file mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mapper {
    /// Its number.
    pub pid: u32,
    /// The name that it has in lists of processes.
    pub name: String,
    /// The user it runs as, by number.
    pub user: u32,
    /// Bytes of addresses that map the file.
    pub mapped: u64,
    /// Bytes of the file that are in this process's page tables; `None` if it may not be asked.
    pub resident: Option<u64>,
    /// Bytes that it keeps from being evicted; `None` if it may not be asked.
    pub locked: Option<u64>,
    /// The rights of its mappings together: of `rwxsp` those that at least one has (`s` shared,
    /// `p` private).
    pub rights: String,
}

/// Asks the system.
pub(super) fn of(object: &Object) -> io::Result<Mappers> {
    sys::mappers(object)
}
