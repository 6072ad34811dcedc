//! What the facts mean, one file for each group.

pub(super) mod calls;
pub(super) mod file_system;
pub(super) mod limits;
pub(super) mod measured;
pub(super) mod memory;
pub(super) mod shared_memory;

#[cfg(test)]
mod tests;
