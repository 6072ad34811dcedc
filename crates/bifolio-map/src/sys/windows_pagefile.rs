//! Memory without a file: a section of the page file that knows its own length.
//!
//! Windows sections have no length that can change and no identity that can be asked for, and both
//! must be the same in every process that has the section. So the first granule is ours, and what
//! the section holds starts behind it:
//!
//! ```text
//! 0            8          16       24               40        48            64 KiB
//! | magic: u64 | capacity | length | identity: u128 | backing | nothing ... | bytes, up to the capacity
//! ```
//!
//! Where the capacity is larger than the length, one more granule lies behind it (see
//! [`PageFile::commit_to`]). All words are of the machine's byte order: no other machine maps it. Bytes between the length
//! and the capacity are reserved, and committed when the length passes them; Windows has no way to
//! give them back, so a section that shrinks keeps its memory and gets zeros.
#![expect(unsafe_code, reason = "maps sections and copies through their views")]

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::mem::MaybeUninit;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr::NonNull;

use super::windows_section::{
    Backing, by_views, commit, map_view, of_page_file, past_the_end, refresh, too_large, unmap_view,
};
use super::{Identity, Protection, granularity, page_size};
use crate::fault::guard::{self, Word};
use crate::section::Access;

const MAGIC: u64 = u64::from_ne_bytes(*b"bifolio1");
const CAPACITY: usize = 8;
const LENGTH: usize = 16;
const IDENTITY: usize = 24;
const BACKING: usize = 40;

/// Bytes that are mapped for the header's page: one page more, for the reason in
/// [`PageFile::commit_to`].
fn header_view() -> usize {
    2 * page_size()
}

/// A page-file section.
#[derive(Debug)]
pub(crate) struct PageFile {
    section: OwnedHandle,
    /// The first page, mapped for as long as this lives.
    header: NonNull<u8>,
    protection: Protection,
    backing: Backing,
    capacity: u64,
    identity: u128,
}

// SAFETY: a view belongs to the process, not to a thread; its words are accessed atomically.
unsafe impl Send for PageFile {}
// SAFETY: as above.
unsafe impl Sync for PageFile {}

impl Drop for PageFile {
    fn drop(&mut self) {
        // SAFETY: the view is ours, and its address never leaves this file.
        unsafe { unmap_view(self.header) };
    }
}

impl PageFile {
    /// Makes a section of `len` bytes that can grow to `capacity`.
    pub(super) fn create(len: u64, capacity: u64) -> io::Result<Self> {
        let (backing, ours) = if capacity == len {
            (Backing::Committed, granularity())
        } else {
            (Backing::Reserved, 2 * granularity())
        };
        let size = capacity.checked_add(ours).ok_or_else(too_large)?;
        i64::try_from(size).map_err(|_| too_large())?;
        let section = of_page_file(size, backing)?;
        let header = map_view(&section, Protection::ReadWrite, 0, header_view(), None)?;
        let (low, high) = (unique(), unique());
        let identity = u128::from(high) << 64 | u128::from(low);
        let protection = Protection::ReadWrite;
        let this = Self { section, header, protection, backing, capacity, identity };
        if backing == Backing::Reserved {
            // SAFETY: the header's page was mapped above, for writing.
            unsafe { commit(header, page_size()) }?;
            this.commit_to(len)?;
        }
        this.store(CAPACITY, capacity)?;
        this.store(LENGTH, len)?;
        this.store(IDENTITY, low)?;
        this.store(IDENTITY + 8, high)?;
        this.store(BACKING, u64::from(backing == Backing::Reserved))?;
        // Last: without it the section is nobody's.
        this.store(0, MAGIC)?;
        Ok(this)
    }

    /// Takes over a section that was made by [`create`](Self::create) elsewhere.
    pub(super) fn adopt(section: OwnedHandle, access: Access) -> io::Result<Self> {
        let protection = match access {
            Access::Read => Protection::Read,
            Access::ReadWrite => Protection::ReadWrite,
        };
        let header = map_view(&section, protection, 0, header_view(), None)?;
        let backing = Backing::Reserved;
        let mut this = Self { section, header, protection, backing, capacity: 0, identity: 0 };
        // SAFETY: the view was mapped above with this protection. It fails where the section has
        // no memory behind its first page, and then it is none of ours.
        unsafe { refresh(header, page_size(), protection) }?;
        if this.load(0)? != MAGIC {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if this.load(BACKING)? == 0 {
            this.backing = Backing::Committed;
        }
        this.capacity = this.load(CAPACITY)?;
        this.identity =
            u128::from(this.load(IDENTITY + 8)?) << 64 | u128::from(this.load(IDENTITY)?);
        Ok(this)
    }

    /// A word of the header.
    fn load(&self, offset: usize) -> io::Result<u64> {
        debug_assert!(offset + 8 <= page_size());
        // SAFETY: inside the header's page, which is mapped and committed as long as `self` lives.
        let at = unsafe { self.header.add(offset) };
        // SAFETY: as above.
        unsafe { u64::load(at.as_ptr()) }.map_err(|_| io::ErrorKind::InvalidData.into())
    }

    fn store(&self, offset: usize, value: u64) -> io::Result<()> {
        if self.protection != Protection::ReadWrite {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        debug_assert!(offset + 8 <= page_size());
        // SAFETY: inside the header's page, which is mapped and committed as long as `self` lives.
        let at = unsafe { self.header.add(offset) };
        // SAFETY: as above, and mapped for writing.
        unsafe { u64::store(at.as_ptr(), value) }.map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// The length now, whoever set it.
    pub(super) fn len(&self) -> io::Result<u64> {
        Ok(self.load(LENGTH)?.min(self.capacity))
    }

    /// The most bytes that it can have.
    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// What tells this section from every other one, in all processes that have it.
    pub(super) fn identity(&self) -> Identity {
        Identity { volume: 0, file: self.identity }
    }

    /// The handle, for inheriting.
    pub(super) fn handle(&self) -> windows_sys::Win32::Foundation::HANDLE {
        self.section.as_raw_handle()
    }

    /// Puts memory behind the first `len` bytes, or says that there is none. The view for it is a
    /// page longer, since Wine forgets a commitment that reaches the end of its view.
    pub(super) fn commit_to(&self, len: u64) -> io::Result<()> {
        if len > self.capacity {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!(
                    "memory without a file cannot outgrow the capacity it was created with, here \
                     {} bytes; see SectionOptions::capacity",
                    self.capacity
                ),
            ));
        }
        if len == 0 || self.backing == Backing::Committed {
            return Ok(());
        }
        let size = usize::try_from(len).map_err(|_| too_large())?;
        let base = self.view(Protection::ReadWrite, 0, size + page_size(), None)?;
        // SAFETY: the view was mapped above, for writing, and is longer.
        let outcome = unsafe { commit(base, size) };
        // SAFETY: nobody else knows the view.
        unsafe { unmap_view(base) };
        outcome
    }

    /// Sets the length. What is cut off is zero if it comes back.
    pub(super) fn set_len(&self, len: u64) -> io::Result<()> {
        let before = self.len()?;
        if len > before {
            self.commit_to(len)?;
        }
        self.store(LENGTH, len)?;
        if len < before {
            self.by_views(len, before - len, Protection::ReadWrite, |at, size| {
                // SAFETY: `by_views` maps these bytes for writing during the call.
                unsafe { guard::fill(at, 0, size) }
            })?;
        }
        Ok(())
    }

    /// Maps part of it as it is: pages without memory are not accessible.
    pub(super) fn view(
        &self,
        protection: Protection,
        offset: u64,
        size: usize,
        at: Option<usize>,
    ) -> io::Result<NonNull<u8>> {
        let offset = offset.checked_add(granularity()).ok_or_else(too_large)?;
        map_view(&self.section, protection, offset, size, at)
    }

    /// Maps part of it, all of which must lie inside the length.
    pub(super) fn map(
        &self,
        protection: Protection,
        offset: u64,
        size: usize,
        at: Option<usize>,
    ) -> io::Result<NonNull<u8>> {
        if offset.checked_add(size as u64).is_none_or(|end| end > self.len().unwrap_or(0)) {
            return Err(past_the_end());
        }
        self.map_piece(protection, offset, size, at)
    }

    /// Copies bytes out, up to the length; how many.
    pub(super) fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let size = self.len()?.saturating_sub(offset).min(out.len() as u64);
        let mut done = 0;
        self.by_views(offset, size, Protection::Read, |at, size| {
            let part = &mut out[done..done + size];
            done += size;
            // SAFETY: initialised bytes may be seen as perhaps uninitialised ones; `copy_out`
            // writes only initialised bytes into them.
            let part = unsafe {
                std::slice::from_raw_parts_mut(part.as_mut_ptr().cast::<MaybeUninit<u8>>(), size)
            };
            // SAFETY: `by_views` maps these bytes during the call.
            unsafe { guard::copy_out(at, part) }
        })?;
        Ok(done)
    }

    /// Copies bytes in, all of which must lie inside the length.
    pub(super) fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > self.len().unwrap_or(0)) {
            return Err(past_the_end());
        }
        let mut done = 0;
        self.by_views(offset, bytes.len() as u64, Protection::ReadWrite, |at, size| {
            let part = &bytes[done..done + size];
            done += size;
            // SAFETY: `by_views` maps these bytes for writing during the call.
            unsafe { guard::copy_in(at, part) }
        })?;
        Ok(done)
    }

    /// Calls `access` with the addresses of a range, piece by piece, each mapped for the moment.
    fn by_views(
        &self,
        offset: u64,
        size: u64,
        protection: Protection,
        access: impl FnMut(*mut u8, usize) -> Result<(), guard::Fault>,
    ) -> io::Result<()> {
        by_views(offset, size, |at, size| self.map_piece(protection, at, size, None), access)
    }

    /// Maps a piece whose bytes have memory, whatever the length is at this moment.
    fn map_piece(
        &self,
        protection: Protection,
        offset: u64,
        size: usize,
        at: Option<usize>,
    ) -> io::Result<NonNull<u8>> {
        let base = self.view(protection, offset, size, at)?;
        // SAFETY: the view was mapped above with this protection; all of it has memory.
        if let Err(error) = unsafe { refresh(base, size, protection) } {
            // SAFETY: nobody else knows the view.
            unsafe { unmap_view(base) };
            return Err(error);
        }
        Ok(base)
    }
}

/// A number that no other section has, as far as chance goes: the hasher's keys come from the
/// system's random numbers.
fn unique() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}
