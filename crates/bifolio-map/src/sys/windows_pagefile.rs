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
//!
//! A section with a *name* has its words in a small section of their own (`windows_names.rs`), so
//! that its bytes begin at offset 0, where other programs look for them.
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
use super::windows_words::Words;
use super::{Identity, Protection, granularity, page_size};
use crate::fault::guard;
use crate::section::Access;

const MAGIC: u64 = u64::from_ne_bytes(*b"bifolio1");
const CAPACITY: usize = 8;
const LENGTH: usize = 16;
const IDENTITY: usize = 24;
const BACKING: usize = 40;

/// Bytes that are mapped for the page of words: one page more, for the reason in
/// [`PageFile::commit_to`].
pub(super) fn words_view() -> usize {
    2 * page_size()
}

/// A page-file section.
#[derive(Debug)]
pub(crate) struct PageFile {
    section: OwnedHandle,
    /// Where its bytes begin in the section.
    lead: u64,
    /// What is known of it in all processes that have it; nothing of what another program made.
    words: Option<Words>,
    backing: Backing,
    capacity: u64,
    identity: u128,
}

impl PageFile {
    /// Makes a section of `len` bytes that can grow to `capacity`.
    pub(super) fn create(len: u64, capacity: u64) -> io::Result<Self> {
        let backing = Self::backing_for(len, capacity);
        let ours = if backing == Backing::Committed { 1 } else { 2 } * granularity();
        let size = capacity.checked_add(ours).ok_or_else(too_large)?;
        i64::try_from(size).map_err(|_| too_large())?;
        let section = of_page_file(size, backing)?;
        let words = Words::of(&section, words_view(), Protection::ReadWrite)?;
        if backing == Backing::Reserved {
            words.commit_page()?;
        }
        Self::start(section, granularity(), words, len, capacity, backing)
    }

    /// Makes a section of these two, which nobody else knows: its bytes, from the first on, and the
    /// words beside them.
    pub(super) fn start_named(
        section: OwnedHandle,
        words: Words,
        len: u64,
        capacity: u64,
    ) -> io::Result<Self> {
        Self::start(section, 0, words, len, capacity, Self::backing_for(len, capacity))
    }

    fn backing_for(len: u64, capacity: u64) -> Backing {
        if capacity == len { Backing::Committed } else { Backing::Reserved }
    }

    /// What a named section needs: its size, in which the last granule is nobody's (see
    /// [`commit_to`](Self::commit_to)), and its backing.
    pub(super) fn shape(len: u64, capacity: u64) -> io::Result<(u64, Backing)> {
        let backing = Self::backing_for(len, capacity);
        let spare = if backing == Backing::Committed { 0 } else { granularity() };
        // The system makes no section without bytes.
        let size = capacity.max(1).checked_add(spare).ok_or_else(too_large)?;
        i64::try_from(size).map_err(|_| too_large())?;
        Ok((size, backing))
    }

    fn start(
        section: OwnedHandle,
        lead: u64,
        words: Words,
        len: u64,
        capacity: u64,
        backing: Backing,
    ) -> io::Result<Self> {
        let (low, high) = (unique(), unique());
        let identity = u128::from(high) << 64 | u128::from(low);
        let words = Some(words);
        let this = Self { section, lead, words, backing, capacity, identity };
        this.commit_to(len)?;
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
        let words = Words::of(&section, words_view(), protection)?;
        // It fails where the section has no memory behind its first page, and then it is none of
        // ours.
        words.refresh_page()?;
        Self::take(section, granularity(), words)
    }

    /// Takes over a named section, both parts of it.
    pub(super) fn adopt_named(section: OwnedHandle, words: Words) -> io::Result<Self> {
        Self::take(section, 0, words)
    }

    fn take(section: OwnedHandle, lead: u64, words: Words) -> io::Result<Self> {
        if words.load(0)? != MAGIC {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let backing =
            if words.load(BACKING)? == 0 { Backing::Committed } else { Backing::Reserved };
        let capacity = words.load(CAPACITY)?;
        let identity =
            u128::from(words.load(IDENTITY + 8)?) << 64 | u128::from(words.load(IDENTITY)?);
        Ok(Self { section, lead, words: Some(words), backing, capacity, identity })
    }

    /// A section that another program made, of which only its size is known.
    pub(super) fn foreign(section: OwnedHandle, size: u64) -> Self {
        let (low, high) = (unique(), unique());
        let identity = u128::from(high) << 64 | u128::from(low);
        let (lead, words, backing, capacity) = (0, None, Backing::Committed, size);
        Self { section, lead, words, backing, capacity, identity }
    }

    /// Whether a page of words belongs to a section that is complete.
    pub(super) fn is_ready(words: &Words) -> io::Result<bool> {
        Ok(words.load(0)? == MAGIC)
    }

    /// The length that a page of words tells.
    pub(super) fn len_in(words: &Words) -> io::Result<u64> {
        Ok(words.load(LENGTH)?.min(words.load(CAPACITY)?))
    }

    fn store(&self, offset: usize, value: u64) -> io::Result<()> {
        match &self.words {
            Some(words) => words.store(offset, value),
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The length now, whoever set it.
    pub(super) fn len(&self) -> io::Result<u64> {
        self.words.as_ref().map_or(Ok(self.capacity), Self::len_in)
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
        let offset = offset.checked_add(self.lead).ok_or_else(too_large)?;
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
