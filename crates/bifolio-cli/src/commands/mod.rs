//! The subcommands: arguments, examples, and what each does.

pub mod completions;
pub mod doctor;
pub mod man;
pub mod page;
pub mod tour;
pub mod version;
