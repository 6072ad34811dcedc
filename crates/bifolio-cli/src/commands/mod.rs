//! The subcommands: arguments, examples, and what each does.

pub mod completions;
pub mod doctor;
pub mod man;
pub mod page;
pub mod shm;
pub mod tour;
pub mod version;
