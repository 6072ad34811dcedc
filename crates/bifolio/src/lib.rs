//! The whole toolkit under one name: a module for each layer, and nothing else.
//!
//! | module | crate | what it is |
//! |---|---|---|
//! | [`map`] | `bifolio-map` | sections, views, and faults that are errors |
//! | [`share`] | `bifolio-share` | regions that processes share, and locks that survive their owners |
//!
//! What follows is the project's README; its example runs as a test.
//!
// Windows does not cut off mapped files, which the README's example does.
#![cfg_attr(unix, doc = include_str!("../../../README.md"))]
#![forbid(unsafe_code)]

pub use bifolio_map as map;
pub use bifolio_share as share;
