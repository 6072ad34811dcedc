//! What may be stored in shared memory.

/// A type whose values may be stored in memory that other processes share.
pub trait Shared {}
