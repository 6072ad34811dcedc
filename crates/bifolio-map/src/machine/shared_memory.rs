//! Where named memory lives, and how long.

use std::path::PathBuf;

use super::Fact;
use crate::sys;

/// What the machine says of memory under a name; from [`shared_memory`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SharedMemory {
    /// The directory (`/dev/shm`).
    pub directory: Fact<PathBuf>,
    /// The type of its file system (`tmpfs`).
    pub kind: Fact<String>,
    /// Bytes that it can hold.
    pub size_bytes: Fact<u64>,
    /// Bytes that are free in it for this user.
    pub free_bytes: Fact<u64>,
    /// Owner and permission bits of the directory.
    pub owner: Fact<(u32, u32)>,
    /// Its mount options.
    pub options: Fact<Vec<String>>,
    /// Whether a user's objects are removed when that user logs out.
    pub at_logout: Fact<AtLogout>,
}

/// What happens to a user's shared memory at the end of the last session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AtLogout {
    /// It stays.
    Stays,
    /// It is deleted, also if somebody uses it (`RemoveIPC=yes`). Root and system users are spared.
    Deleted,
    /// It would be deleted, but this user is root or a system user.
    Spared,
}

/// What the machine says of memory under a name. Never fails: each fact says by itself whether it
/// is known.
#[must_use]
pub fn shared_memory() -> SharedMemory {
    sys::shared_memory_facts()
}
