//! Maps on Windows: views, their flushing, locking and residency, and private memory.
//!
//! `FlushFileBuffers` writes out what the cache knows to be changed. Stores through a map mark the
//! page tables of their process only, until `FlushViewOfFile` collects the marks. So a file is
//! durable only after *all* writable views of it were flushed, and this process keeps a list of
//! its own. (Views of other processes are theirs to flush: nobody else can.)
#![expect(unsafe_code, reason = "system calls on raw addresses")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard};

use windows_sys::Win32::Foundation as codes;
use windows_sys::Win32::System::Memory as memory;
use windows_sys::Win32::System::ProcessStatus as process;

use super::windows::{check, is_code, past_locks, this_process};
use super::windows_file::{flush_file, identity_of_file};
use super::windows_section::{by_views, map_view, of_file, past_the_end, region_at, unmap_view};
use super::{Identity, Object, Protection};
use crate::Flush;
use crate::fault::guard::{self, Fault};
use crate::view::Advice;

/// A writable view of a file.
#[derive(Clone, Copy, Debug)]
struct Written {
    file: Identity,
    size: usize,
}

/// The writable views of files in this process, by address.
static WRITTEN: Mutex<BTreeMap<usize, Written>> = Mutex::new(BTreeMap::new());

fn written() -> MutexGuard<'static, BTreeMap<usize, Written>> {
    // The map is whole between calls, so a panic elsewhere broke nothing.
    WRITTEN.lock().unwrap_or_else(|broken| broken.into_inner())
}

/// Maps part of an object; with `at`, exactly there or not at all.
pub(crate) fn map(
    object: &Object,
    protection: Protection,
    offset: u64,
    size: usize,
    at: Option<usize>,
) -> io::Result<NonNull<u8>> {
    match object {
        Object::File(file) => map_file(file, protection, offset, size, at),
        Object::PageFile(memory) => memory.map(protection, offset, size, at),
    }
}

/// Maps part of a file, and keeps account of it if it can be written through.
pub(super) fn map_file(
    file: &File,
    protection: Protection,
    offset: u64,
    size: usize,
    at: Option<usize>,
) -> io::Result<NonNull<u8>> {
    let mapped = of_file(file, protection)
        .and_then(|section| map_view(&section, protection, offset, size, at));
    let base = mapped.map_err(|error| {
        // Several codes say that the file is shorter by now; its length says it in one.
        let end = offset.saturating_add(size as u64);
        match file.metadata() {
            Ok(now) if now.is_file() && now.len() < end => past_the_end(),
            _ => error,
        }
    })?;
    if let Err(error) = note_written(file, protection, base, size) {
        // SAFETY: the view was made above and nobody knows it.
        unsafe { unmap_view(base) };
        return Err(error);
    }
    Ok(base)
}

/// Copies bytes into a file by views, all inside its length. Unlike a call on the handle this
/// leaves the cursor alone, which the handle's duplicates share. Unmapping hands the changed pages
/// to the file, so no account is kept of these views.
pub(super) fn write_by_views(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut done = 0;
    access_by_views(file, offset, bytes.len() as u64, |at, size| {
        let part = &bytes[done..done + size];
        done += size;
        // SAFETY: the bytes are mapped for writing during the call.
        unsafe { guard::copy_in(at, part) }
    })
}

fn access_by_views(
    file: &File,
    offset: u64,
    size: u64,
    access: impl FnMut(*mut u8, usize) -> Result<(), Fault>,
) -> io::Result<()> {
    let protection = Protection::ReadWrite;
    if size == 0 {
        return Ok(());
    }
    let section = of_file(file, protection)?;
    let map = |at, size| map_view(&section, protection, at, size, None);
    by_views(offset, size, map, access).map_err(|error| {
        // A page inside the file that cannot be written is one that found no space.
        let end = offset.saturating_add(size);
        match file.metadata() {
            Ok(now) if now.len() >= end && error.kind() == io::ErrorKind::UnexpectedEof => {
                io::ErrorKind::StorageFull.into()
            }
            _ => error,
        }
    })
}

/// Keeps account of a view that was mapped from a file.
pub(super) fn note_written(
    file: &File,
    protection: Protection,
    base: NonNull<u8>,
    size: usize,
) -> io::Result<()> {
    if protection == Protection::ReadWrite {
        let file = identity_of_file(file)?;
        written().insert(base.addr().get(), Written { file, size });
    }
    Ok(())
}

/// Ends a mapping, whole.
///
/// # Safety
/// `base` must come from [`map`] or [`map_file`], and nothing may access it any more.
pub(crate) unsafe fn unmap(base: NonNull<u8>, _size: usize) {
    // Off the list first: as soon as it is unmapped the address may be somebody else's.
    written().remove(&base.addr().get());
    // SAFETY: the caller's promise.
    unsafe { unmap_view(base) };
}

/// Views are unmapped whole or not at all.
pub(crate) const CAN_UNMAP_PARTS: bool = false;

/// Makes a file durable as far as `level` says. There is no call that only starts, so `Start` does
/// what the others do.
pub(crate) fn sync(object: &Object, _level: Flush) -> io::Result<()> {
    let Object::File(file) = object else { return Ok(()) };
    let identity = identity_of_file(file)?;
    let views: Vec<(usize, usize)> = written()
        .iter()
        .filter(|(_, view)| view.file == identity)
        .map(|(&base, view)| (base, view.size))
        .collect();
    for (base, size) in views {
        match flush_view(ptr::without_provenance(base), size) {
            // Unmapped meanwhile, which collects the marks too.
            Err(error) if is_code(&error, codes::ERROR_INVALID_ADDRESS) => {}
            result => result?,
        }
    }
    flush_file(file)
}

/// Makes the stores to a mapped range durable as far as `level` says.
///
/// # Safety
/// `base..base + size` must be mapped by the caller, from `offset` of `object`.
pub(crate) unsafe fn flush(
    object: &Object,
    _protection: Protection,
    _offset: u64,
    base: NonNull<u8>,
    size: usize,
    level: Flush,
) -> io::Result<()> {
    let Object::File(file) = object else { return Ok(()) };
    let (mut at, end) = (base.addr().get(), base.addr().get() + size);
    // A growing view is several of the system's, and each is flushed by itself.
    while at < end {
        let stop = region_at(at).map_or(end, |region| {
            region.BaseAddress.addr().saturating_add(region.RegionSize).clamp(at + 1, end)
        });
        flush_view(ptr::without_provenance(at), stop - at)?;
        at = stop;
    }
    match level {
        Flush::Start => Ok(()),
        Flush::Barrier | Flush::Data | Flush::Full => flush_file(file),
    }
}

/// Hands the changed pages of one view to the file system. Any address may be given: one that is
/// no view is an error.
fn flush_view(base: *const u8, size: usize) -> io::Result<()> {
    past_locks(|| {
        // SAFETY: the call reads page tables and changes no bytes; it checks the address.
        check(unsafe { memory::FlushViewOfFile(base.cast(), size) })
    })
}

/// Private zeroed memory.
pub(crate) fn map_private(size: usize) -> io::Result<NonNull<u8>> {
    let what = memory::MEM_RESERVE | memory::MEM_COMMIT;
    // SAFETY: the system picks a place where nothing is.
    let base = unsafe { memory::VirtualAlloc(ptr::null(), size, what, memory::PAGE_READWRITE) };
    NonNull::new(base.cast()).ok_or_else(io::Error::last_os_error)
}

/// Ends private memory.
///
/// # Safety
/// `base` must come from [`map_private`], and nothing may access it any more.
pub(crate) unsafe fn unmap_private(base: NonNull<u8>, _size: usize) {
    // SAFETY: the caller's promise; size 0 means all of it.
    let outcome =
        check(unsafe { memory::VirtualFree(base.as_ptr().cast(), 0, memory::MEM_RELEASE) });
    debug_assert!(outcome.is_ok(), "VirtualFree of our own memory failed: {outcome:?}");
}

/// Makes private memory read-only.
///
/// # Safety
/// `base..base + size` must be mapped by the caller, with no `&mut` into it.
pub(crate) unsafe fn protect_read_only(base: NonNull<u8>, size: usize) -> io::Result<()> {
    let mut before = 0;
    // SAFETY: the caller's promise; `before` is a number.
    check(unsafe {
        memory::VirtualProtect(base.as_ptr().cast(), size, memory::PAGE_READONLY, &raw mut before)
    })
}

/// Keeps pages in memory.
///
/// # Safety
/// `base..base + size` must be mapped by the caller.
pub(crate) unsafe fn lock_memory(base: NonNull<u8>, size: usize) -> io::Result<()> {
    // SAFETY: the caller's promise; locking changes no bytes.
    check(unsafe { memory::VirtualLock(base.as_ptr().cast(), size) })
}

/// Locking leaves alone what is in the pages.
pub(crate) const LOCKING_MAY_COPY: bool = false;

/// Lets pages go again.
///
/// # Safety
/// `base..base + size` must be mapped by the caller.
pub(crate) unsafe fn unlock_memory(base: NonNull<u8>, size: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    check(unsafe { memory::VirtualUnlock(base.as_ptr().cast(), size) })
}

/// Takes pages out of the working set, by the documented side effect of unlocking pages that are
/// not locked. (It also unlocks those that are: the caller knows of none.)
///
/// # Safety
/// `base..base + size` must be a shared mapping of the caller.
pub(crate) unsafe fn drop_pages(base: NonNull<u8>, size: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    match unsafe { unlock_memory(base, size) } {
        Err(error) if is_code(&error, codes::ERROR_NOT_LOCKED) => Ok(()),
        result => result,
    }
}

/// Whether the page at `base` is in the working set of this process. (The cache may hold others;
/// Windows does not say.)
///
/// # Safety
/// `base` must be the start of a mapped page of the caller.
pub(crate) unsafe fn is_resident(base: NonNull<u8>) -> Option<bool> {
    let mut asked = process::PSAPI_WORKING_SET_EX_INFORMATION {
        VirtualAddress: base.as_ptr().cast(),
        ..Default::default()
    };
    let size = u32::try_from(size_of_val(&asked)).expect("a small structure");
    let me = this_process();
    // SAFETY: the pointer is to one entry, which the call fills in.
    let known = unsafe { process::K32QueryWorkingSetEx(me, (&raw mut asked).cast(), size) } != 0;
    // SAFETY: the union's forms are all one word of bits.
    let flags = unsafe { asked.VirtualAttributes.Flags };
    known.then_some(flags & 1 == 1)
}

/// Gives advice on pages.
///
/// # Safety
/// `base..base + size` must be mapped by the caller.
pub(crate) unsafe fn advise(base: NonNull<u8>, size: usize, advice: Advice) -> io::Result<()> {
    if advice != Advice::WillNeed {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let range = memory::WIN32_MEMORY_RANGE_ENTRY {
        VirtualAddress: base.as_ptr().cast(),
        NumberOfBytes: size,
    };
    let me = this_process();
    // SAFETY: one range of the caller's; reading ahead changes no bytes.
    check(unsafe { memory::PrefetchVirtualMemory(me, 1, &raw const range, 0) })
}

/// The name of the call behind an advice. Windows takes the others for a handle or a process, when
/// it is opened, and not for a range.
pub(crate) fn advice_name(advice: Advice) -> Option<&'static str> {
    match advice {
        Advice::WillNeed => Some("PrefetchVirtualMemory"),
        _ => None,
    }
}

/// Whether a populating advice met a page that the system could not supply: there is none here.
pub(crate) fn is_fault_code(_code: Option<i32>) -> bool {
    false
}

/// Calls on the file and stores to the map meet in the same cache pages, and nothing was measured
/// that would pay for the detour.
pub(crate) const WRITES_FRESH_PAGES_BY_CALL: bool = false;

/// As above.
pub(crate) const READS_FRESH_PAGES_BY_CALL: bool = false;

/// Bytes that the system reads ahead of a sequential reader: it does not say.
pub(crate) fn read_ahead(_object: &Object) -> Option<u64> {
    None
}
