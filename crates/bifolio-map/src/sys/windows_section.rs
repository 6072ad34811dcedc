//! Section objects and views of them: the few calls under everything that is mapped on Windows.
#![expect(unsafe_code, reason = "system calls on raw addresses and handles")]

use std::fs::File;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{self, NonNull};

use windows_sys::Win32::Foundation::{ERROR_INVALID_ADDRESS, HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Memory as memory;

use super::windows::{check, error_of, halves, is_code};
use super::{Protection, granularity, page_size};
use crate::fault::guard::Fault;
use crate::range::Window;

/// The word for a protection where pages are meant.
pub(super) fn page_word(protection: Protection) -> u32 {
    match protection {
        Protection::Read => memory::PAGE_READONLY,
        Protection::ReadWrite => memory::PAGE_READWRITE,
        Protection::CopyOnWrite => memory::PAGE_WRITECOPY,
    }
}

/// The word for a protection where views are meant.
fn view_word(protection: Protection) -> u32 {
    match protection {
        Protection::Read => memory::FILE_MAP_READ,
        Protection::ReadWrite => memory::FILE_MAP_READ | memory::FILE_MAP_WRITE,
        Protection::CopyOnWrite => memory::FILE_MAP_COPY,
    }
}

/// Whether a page-file section has memory behind all of it from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backing {
    Committed,
    /// Pages are committed by [`commit`].
    Reserved,
}

/// The section of a file as long as the file is now. Views of it outlive the handle.
pub(super) fn of_file(file: &File, protection: Protection) -> io::Result<OwnedHandle> {
    create(file.as_raw_handle(), page_word(protection), 0)
}

/// A section of `size` bytes without a file.
pub(super) fn of_page_file(size: u64, backing: Backing) -> io::Result<OwnedHandle> {
    let backing = match backing {
        Backing::Committed => memory::SEC_COMMIT,
        Backing::Reserved => memory::SEC_RESERVE,
    };
    create(INVALID_HANDLE_VALUE, memory::PAGE_READWRITE | backing, size)
}

fn create(file: HANDLE, words: u32, size: u64) -> io::Result<OwnedHandle> {
    let (high, low) = halves(size);
    // SAFETY: no security attributes and no name; the file handle is open or the page file's.
    let handle =
        unsafe { memory::CreateFileMappingW(file, ptr::null(), words, high, low, ptr::null()) };
    if handle.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call made the handle, and nobody else has it.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// Maps part of a section; with `at`, exactly there or not at all.
pub(super) fn map_view(
    section: &OwnedHandle,
    protection: Protection,
    offset: u64,
    size: usize,
    at: Option<usize>,
) -> io::Result<NonNull<u8>> {
    let (high, low) = halves(offset);
    let place = at.map_or(ptr::null(), ptr::without_provenance);
    // SAFETY: the handle is open; the system picks a free place or takes the one that is asked for
    // only if nothing is there.
    let view = unsafe {
        memory::MapViewOfFileEx(
            section.as_raw_handle(),
            view_word(protection),
            high,
            low,
            size,
            place,
        )
    };
    match (NonNull::new(view.Value.cast::<u8>()), at) {
        (Some(base), _) => Ok(base),
        (None, None) => Err(io::Error::last_os_error()),
        (None, Some(address)) => {
            let error = io::Error::last_os_error();
            // One code for "taken", "crooked" and "not an address of ours": look which it is.
            let taken = is_code(&error, ERROR_INVALID_ADDRESS) && is_taken(address, size);
            Err(if taken { io::ErrorKind::AlreadyExists.into() } else { error })
        }
    }
}

/// Whether anything is mapped or reserved in a range of addresses.
fn is_taken(address: usize, size: usize) -> bool {
    let mut at = address;
    while at < address.saturating_add(size) {
        let Some(region) = region_at(at) else { return false };
        if region.State != memory::MEM_FREE {
            return true;
        }
        at = region.BaseAddress.addr().saturating_add(region.RegionSize.max(page_size()));
    }
    false
}

/// What the system knows of the pages from an address on; `None` outside of user addresses.
pub(super) fn region_at(address: usize) -> Option<memory::MEMORY_BASIC_INFORMATION> {
    let mut region = memory::MEMORY_BASIC_INFORMATION::default();
    // SAFETY: any address may be asked about; the answer is written into the structure.
    let size = unsafe {
        memory::VirtualQuery(
            ptr::without_provenance(address),
            &raw mut region,
            size_of_val(&region),
        )
    };
    (size != 0).then_some(region)
}

/// Ends a view, whole.
///
/// # Safety
/// `base` must be what [`map_view`] gave, and nothing may access the view any more.
pub(super) unsafe fn unmap_view(base: NonNull<u8>) {
    let view = memory::MEMORY_MAPPED_VIEW_ADDRESS { Value: base.as_ptr().cast() };
    // SAFETY: the caller's promise. It fails only for addresses that are no view.
    let outcome = check(unsafe { memory::UnmapViewOfFile(view) });
    debug_assert!(outcome.is_ok(), "UnmapViewOfFile of our own view failed: {outcome:?}");
}

/// Puts memory behind pages of a view of a [`Backing::Reserved`] section, for every process that
/// maps it. Pages that have it keep their bytes.
///
/// # Safety
/// `base..base + size` must lie in one view of the caller's, mapped for writing.
pub(super) unsafe fn commit(base: NonNull<u8>, size: usize) -> io::Result<()> {
    // SAFETY: the caller's promise; committing changes no bytes that are there.
    let found = unsafe {
        memory::VirtualAlloc(base.as_ptr().cast(), size, memory::MEM_COMMIT, memory::PAGE_READWRITE)
    };
    if found.is_null() { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes pages that have memory accessible in this view. Windows does so by itself; Wine keeps a
/// list for each view and looks at the section's only when it is asked about a range, as here.
///
/// # Safety
/// `base..base + size` must lie in one view of the caller's, mapped with this protection.
pub(super) unsafe fn refresh(
    base: NonNull<u8>,
    size: usize,
    protection: Protection,
) -> io::Result<()> {
    let (word, mut before) = (page_word(protection), 0);
    // SAFETY: the protection is the one that the view has; `before` is a number.
    check(unsafe { memory::VirtualProtect(base.as_ptr().cast(), size, word, &raw mut before) })
}

/// Calls `access` with the addresses of a range of a section, piece by piece. `map` maps a piece at
/// a multiple of the granularity, for the moment.
pub(super) fn by_views(
    offset: u64,
    size: u64,
    map: impl Fn(u64, usize) -> io::Result<NonNull<u8>>,
    mut access: impl FnMut(*mut u8, usize) -> Result<(), Fault>,
) -> io::Result<()> {
    const PIECE: u64 = 1 << 20;
    crate::fault::install()?;
    let end = offset.checked_add(size).ok_or_else(too_large)?;
    let mut at = offset;
    while at < end {
        let piece = (end - at).min(PIECE);
        let window = Window::covering(at, piece, granularity()).ok_or_else(too_large)?;
        let base = map(window.map_offset, window.map_size)?;
        // SAFETY: the lead lies inside the view.
        let start = unsafe { base.add(window.lead) };
        let outcome = access(start.as_ptr(), window.map_size - window.lead);
        // SAFETY: nobody else knows the view, and the access is over.
        unsafe { unmap_view(base) };
        outcome.map_err(|_| past_the_end())?;
        at += piece;
    }
    Ok(())
}

/// The error for bytes that a file no longer has.
pub(super) fn past_the_end() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

/// The error for more memory than any section can have.
pub(super) fn too_large() -> io::Error {
    error_of(windows_sys::Win32::Foundation::ERROR_NOT_ENOUGH_MEMORY)
}
