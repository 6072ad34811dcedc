//! The whole toolkit under one name.
#![forbid(unsafe_code)]
pub use bifolio_map as map;
