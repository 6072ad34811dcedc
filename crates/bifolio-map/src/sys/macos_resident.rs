//! What is in memory, asked of macOS.
#![expect(unsafe_code, reason = "system calls on raw addresses")]

use std::io;
use std::ptr::NonNull;

use super::AtOnce;
use super::unix::{Object, page_size};

/// macOS has no read that does not wait.
pub(crate) fn read_at_once(_object: &Object, _offset: u64, _out: &mut [u8]) -> io::Result<AtOnce> {
    Ok(AtOnce::Unknown)
}

/// `mincore` answers for every map.
pub(crate) fn tells_residency(_object: &Object) -> bool {
    true
}

/// Anonymous memory is an unlinked file here, so there is a device behind all of it.
pub(crate) fn lives_in_memory(_object: &Object) -> bool {
    false
}

/// Whether calls on the handle go past the cache. macOS does not tell; calls on such a handle (`F_NOCACHE`) take any range and show the same.
pub(crate) fn is_direct(_object: &Object) -> bool {
    false
}

/// Bytes from `base` on that are in memory without a gap. Whole pages are looked at.
///
/// # Safety
/// `base..base + size` must be mapped by the caller, and `base` a page's start.
pub(crate) unsafe fn resident_size(base: NonNull<u8>, size: usize) -> io::Result<usize> {
    let page = page_size();
    let mut answers: [libc::c_char; 256] = [0; 256];
    let mut known = 0;
    while known < size {
        let now = (size - known).min(answers.len() * page);
        // SAFETY: inside the mapping.
        let at = unsafe { base.add(known) };
        // SAFETY: the caller's mapping, and room for the answer of each page of it.
        let code = unsafe { libc::mincore(at.as_ptr().cast(), now, answers.as_mut_ptr()) };
        if code != 0 {
            return Err(io::Error::last_os_error());
        }
        let pages = now.div_ceil(page);
        // MINCORE_INCORE; the other bits tell who referenced or changed the page.
        let here = answers[..pages].iter().take_while(|&&answer| answer & 1 == 1).count();
        known += here * page;
        if here < pages {
            return Ok(known);
        }
    }
    Ok(known)
}

/// Starts reading pages in; how many calls it took.
///
/// # Safety
/// Each run must be mapped by the caller, and start at a page.
pub(crate) unsafe fn prefetch_runs(runs: &[(NonNull<u8>, usize)]) -> io::Result<usize> {
    for &(start, size) in runs {
        // SAFETY: the caller's promise.
        unsafe { super::advise(start, size, crate::view::Advice::WillNeed) }?;
    }
    Ok(runs.len())
}
