//! The words that all processes which have a page-file section share about it: one page of a
//! section, mapped for as long as they are needed.
#![expect(unsafe_code, reason = "maps sections and accesses their words")]

use std::io;
use std::mem::MaybeUninit;
use std::os::windows::io::OwnedHandle;
use std::ptr::NonNull;

use super::windows_section::{commit, map_view, refresh, unmap_view};
use super::{Protection, page_size};
use crate::fault::guard::{self, Word};

/// Mapped words.
#[derive(Debug)]
pub(super) struct Words {
    base: NonNull<u8>,
    size: usize,
    protection: Protection,
    /// The section, if it is of words alone: its name lives as long as this handle.
    _section: Option<OwnedHandle>,
}

// SAFETY: a view belongs to the process, not to a thread; its words are accessed atomically.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: the view is ours, and its address never leaves this file.
        unsafe { unmap_view(self.base) };
    }
}

impl Words {
    /// Those at the start of a section that has other bytes too.
    pub(super) fn of(
        section: &OwnedHandle,
        size: usize,
        protection: Protection,
    ) -> io::Result<Self> {
        let base = map_view(section, protection, 0, size, None)?;
        Ok(Self { base, size, protection, _section: None })
    }

    /// Those of a section of their own, which is kept open.
    pub(super) fn in_section(
        section: OwnedHandle,
        size: usize,
        protection: Protection,
    ) -> io::Result<Self> {
        let mut words = Self::of(&section, size, protection)?;
        words._section = Some(section);
        Ok(words)
    }

    /// Puts memory behind the first page.
    pub(super) fn commit_page(&self) -> io::Result<()> {
        // SAFETY: the page was mapped by `of`, for writing.
        unsafe { commit(self.base, page_size()) }
    }

    /// Makes the first page accessible here if it has memory.
    pub(super) fn refresh_page(&self) -> io::Result<()> {
        // SAFETY: the view was mapped by `of` with this protection.
        unsafe { refresh(self.base, page_size(), self.protection) }
    }

    /// The address of `size` bytes, if they are ours.
    fn at(&self, offset: usize, size: usize) -> io::Result<*mut u8> {
        if offset.checked_add(size).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // SAFETY: inside the view, which is mapped as long as `self` lives.
        Ok(unsafe { self.base.add(offset) }.as_ptr())
    }

    pub(super) fn load(&self, offset: usize) -> io::Result<u64> {
        let at = self.at(offset, 8)?;
        // SAFETY: mapped, and a multiple of 8 as all offsets of words are.
        unsafe { u64::load(at) }.map_err(|_| io::ErrorKind::InvalidData.into())
    }

    pub(super) fn store(&self, offset: usize, value: u64) -> io::Result<()> {
        let at = self.at_mut(offset, 8)?;
        // SAFETY: as above, and mapped for writing.
        unsafe { u64::store(at, value) }.map_err(|_| io::ErrorKind::InvalidData.into())
    }

    fn at_mut(&self, offset: usize, size: usize) -> io::Result<*mut u8> {
        if self.protection != Protection::ReadWrite {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.at(offset, size)
    }

    /// Copies bytes out.
    pub(super) fn read(&self, offset: usize, size: usize) -> io::Result<Vec<u8>> {
        let at = self.at(offset, size)?;
        let mut out = vec![0; size];
        // SAFETY: initialised bytes may be seen as perhaps uninitialised ones; `copy_out` writes
        // only initialised bytes into them.
        let part = unsafe {
            std::slice::from_raw_parts_mut(out.as_mut_ptr().cast::<MaybeUninit<u8>>(), size)
        };
        // SAFETY: mapped as long as `self` lives.
        unsafe { guard::copy_out(at, part) }
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(out)
    }

    /// Copies bytes in.
    pub(super) fn write(&self, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let at = self.at_mut(offset, bytes.len())?;
        // SAFETY: mapped for writing as long as `self` lives.
        unsafe { guard::copy_in(at, bytes) }.map_err(|_| io::ErrorKind::InvalidData.into())
    }
}
