//! Memory: pages, large pages, and who promises what.

use super::{Fact, Room};
use crate::sys;

/// What the machine says of its memory; from [`memory`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Memory {
    /// Bytes in a page.
    pub page_size: Fact<u64>,
    /// Bytes of memory in the machine.
    pub total_bytes: Fact<u64>,
    /// What can still be taken, and what limits it.
    pub room: Fact<Room>,
    /// Bytes of swap space, used or not.
    pub swap_bytes: Fact<u64>,
    /// Pages of larger sizes that are set aside, by size.
    pub huge_pages: Fact<Vec<HugePool>>,
    /// When the system makes large pages by itself: `always`, `madvise`, `never`.
    pub transparent_huge_pages: Fact<String>,
    /// The same for shared memory and tmpfs: `always`, `within_size`, `advise`, `never`, `deny`,
    /// `force`.
    pub transparent_huge_pages_shared: Fact<String>,
    /// Whether the system promises more memory than it has.
    pub overcommit: Fact<Overcommit>,
    /// Bytes that can still be promised, where the system keeps to a limit.
    pub commit_left_bytes: Fact<u64>,
}

/// Pages of one large size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HugePool {
    /// Bytes in one.
    pub page_size: u64,
    /// How many are set aside; `None` where the system makes them when they are asked for.
    pub count: Option<u64>,
    /// How many of those nobody uses.
    pub free: Option<u64>,
}

/// What the system does when more memory is asked for than there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Overcommit {
    /// It guesses: refuses only what is absurd.
    Heuristic,
    /// It promises everything.
    Always,
    /// It keeps to a limit: what is promised is there.
    Never,
}

/// What the machine says of its memory. Never fails: each fact says by itself whether it is known.
#[must_use]
pub fn memory() -> Memory {
    let mut memory = sys::memory_facts();
    memory.page_size = Fact::known(crate::page_size() as u64, sys::PAGE_SIZE_SOURCE);
    memory.room = match super::memory_room() {
        Ok(room) => {
            let source = room.limit.to_string();
            Fact::known(room, source)
        }
        Err(error) => Fact::unknown(error, ""),
    };
    memory
}
