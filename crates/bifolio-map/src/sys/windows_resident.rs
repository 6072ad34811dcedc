//! What is in memory, asked of Windows: the pages in the working set of this process. Those that
//! are only in the cache it does not tell.
#![expect(unsafe_code, reason = "system calls on raw addresses")]

use std::io;
use std::ptr::NonNull;

use windows_sys::Win32::System::Memory as memory;
use windows_sys::Win32::System::ProcessStatus as process;

use super::windows::{check, page_size, this_process};
use super::{AtOnce, Object};

/// Windows has no read that does not wait.
pub(crate) fn read_at_once(_object: &Object, _offset: u64, _out: &mut [u8]) -> io::Result<AtOnce> {
    Ok(AtOnce::Unknown)
}

/// The working set is this process's own, so nobody is refused.
pub(crate) fn tells_residency(_object: &Object) -> bool {
    true
}

/// The page file is a device; where it has no space behind a page is not told.
pub(crate) fn lives_in_memory(_object: &Object) -> bool {
    false
}

/// Whether calls on the handle go past the cache. Reads in flight go by a handle of their own, which does not.
pub(crate) fn is_direct(_object: &Object) -> bool {
    false
}

/// Bytes from `base` on that are in memory without a gap. Whole pages are looked at.
///
/// # Safety
/// `base..base + size` must be mapped by the caller, and `base` a page's start.
pub(crate) unsafe fn resident_size(base: NonNull<u8>, size: usize) -> io::Result<usize> {
    let page = page_size();
    let me = this_process();
    let mut asked = [process::PSAPI_WORKING_SET_EX_INFORMATION::default(); 128];
    let mut known = 0;
    while known < size {
        let pages = (size - known).div_ceil(page).min(asked.len());
        for (number, entry) in asked[..pages].iter_mut().enumerate() {
            let at = base.as_ptr().wrapping_add(known + number * page);
            *entry = process::PSAPI_WORKING_SET_EX_INFORMATION {
                VirtualAddress: at.cast(),
                ..Default::default()
            };
        }
        let bytes = u32::try_from(size_of_val(&asked[..pages])).expect("a small structure");
        // SAFETY: the pointer is to so many entries, which the call fills in.
        check(unsafe { process::K32QueryWorkingSetEx(me, asked.as_mut_ptr().cast(), bytes) })?;
        let valid = |entry: &process::PSAPI_WORKING_SET_EX_INFORMATION| {
            // SAFETY: the union's forms are all one word of bits.
            let flags = unsafe { entry.VirtualAttributes.Flags };
            flags & 1 == 1
        };
        let here = asked[..pages].iter().take_while(|entry| valid(entry)).count();
        known += here * page;
        if here < pages {
            return Ok(known);
        }
    }
    Ok(known)
}

/// Starts reading pages in, by one call.
///
/// # Safety
/// Each run must be mapped by the caller, and start at a page.
pub(crate) unsafe fn prefetch_runs(runs: &[(NonNull<u8>, usize)]) -> io::Result<usize> {
    let entries: Vec<memory::WIN32_MEMORY_RANGE_ENTRY> = runs
        .iter()
        .map(|&(start, size)| memory::WIN32_MEMORY_RANGE_ENTRY {
            VirtualAddress: start.as_ptr().cast(),
            NumberOfBytes: size,
        })
        .collect();
    let me = this_process();
    // SAFETY: so many ranges of the caller's; reading ahead changes no bytes.
    check(unsafe { memory::PrefetchVirtualMemory(me, entries.len(), entries.as_ptr(), 0) })?;
    Ok(1)
}
