#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod error;
pub mod shared;

pub use error::{Error, ErrorKind, Result};
pub use shared::Shared;
