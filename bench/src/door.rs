//! Mapped files as slices: what the rivals lend, and what our own `unsafe` door lends.
#![expect(unsafe_code, reason = "the contenders that work on slices of a map")]
//!
//! The promise behind every block of this file: the test files belong to this program (its corpus
//! directory is its own), no bench writes a file that another contender has as a slice, and none
//! is cut off.

use std::fs::File;
use std::path::Path;

use bifolio_map::{Mode, View};
use memmap2::{Mmap, MmapMut, MmapOptions};

use crate::Result;

/// A fresh map of a file by memmap2.
pub(crate) fn map(path: &Path) -> Result<Mmap> {
    let file = File::open(path)?;
    // SAFETY: see the head of this file.
    Ok(unsafe { Mmap::map(&file) }?)
}

/// A fresh map by memmap2 whose pages are mapped by the same call.
pub(crate) fn map_populated(path: &Path) -> Result<Mmap> {
    let file = File::open(path)?;
    // SAFETY: see the head of this file.
    Ok(unsafe { MmapOptions::new().populate().map(&file) }?)
}

/// A writable map of an open file by memmap2.
pub(crate) fn map_mut(file: &File) -> Result<MmapMut> {
    // SAFETY: see the head of this file.
    Ok(unsafe { MmapMut::map_mut(file) }?)
}

/// A private writable map of an open file by memmap2.
pub(crate) fn map_copy(file: &File) -> Result<MmapMut> {
    // SAFETY: see the head of this file.
    Ok(unsafe { MmapOptions::new().map_copy(file) }?)
}

/// The bytes of a view of ours, without a copy.
pub(crate) fn slice<M: Mode>(view: &View<M>) -> &[u8] {
    // SAFETY: see the head of this file.
    unsafe { view.as_slice_unchecked() }
}

/// The word at a byte offset, not compared with the length.
#[inline(always)]
pub(crate) fn word_unchecked(bytes: &[u8], offset: u64) -> u64 {
    debug_assert!(crate::kernel::index(offset) + 8 <= bytes.len());
    #[expect(clippy::cast_possible_truncation, reason = "below the slice's length")]
    // SAFETY: the benches draw offsets below the length of the file, rounded down to words.
    let at = unsafe { bytes.as_ptr().add(offset as usize) };
    // SAFETY: as above; any alignment.
    unsafe { at.cast::<u64>().read_unaligned() }
}
