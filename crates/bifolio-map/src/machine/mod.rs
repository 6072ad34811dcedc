//! What this machine says of itself, as far as maps and shared memory depend on it: memory and its
//! limits, what this process may have, where named memory lives, which calls are allowed, and the
//! file system of a path.
//!
//! Every answer is a [`Fact`]: it names who was asked, and if nobody answered it says why. What a
//! platform does not have is absent, not faked. Nothing here changes anything, but for files of its
//! own that are gone when a function returns.

mod fact;
mod filesystem;
mod kernel;
mod limits;
mod measure;
mod memory;
mod room;
mod shared_memory;
#[doc(hidden)] // for this project's own fuzz targets
pub mod text;

pub use fact::{Ability, Fact, Permission};
pub use filesystem::{Attributes, FileSystem, Kind, Maps, Rotational, file_system};
pub use kernel::{Kernel, kernel};
pub use limits::{Held, Limited, Limits, limits};
pub use measure::{Measured, measure};
pub use memory::{HugePool, Memory, Overcommit, memory};
pub use room::{Limit, MemoryLimit, Room, memory_limits, memory_room};
pub use shared_memory::{AtLogout, SharedMemory, shared_memory};
