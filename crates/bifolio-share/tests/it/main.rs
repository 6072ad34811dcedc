//! What bifolio-share promises, one property a test.

#![allow(clippy::cast_possible_truncation, reason = "sizes and patterns of tests are small")]

mod arenas;
mod channels;
#[cfg(unix)]
mod forks;
mod format;
mod hostile;
mod locks;
mod maps;
mod members;
mod mutexes;
mod objects;
mod regions;
mod snapshots;
mod storm;
mod support;
mod values;
mod vectors;
mod writables;
