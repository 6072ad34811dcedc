//! What this machine says of itself: how much memory is left, and what limits it.
//!
//! Nothing here is faked: what a platform cannot be asked is absent from the answer.

mod room;
#[doc(hidden)] // for this project's own fuzz targets
pub mod text;

pub use room::{Limit, MemoryLimit, Room, memory_limits, memory_room};
