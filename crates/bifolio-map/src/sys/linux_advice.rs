//! Linux's calls about pages that are mapped already: advice, locking, dropping, asking.
#![expect(unsafe_code, reason = "system calls on raw addresses")]

use std::io;
use std::ptr::NonNull;

use rustix::mm::MlockFlags;

use super::unix::check;
use crate::view::Advice;

/// The system's word for an advice, and the name of the call.
const fn advice_words(advice: Advice) -> (i32, &'static str) {
    match advice {
        Advice::Normal => (libc::MADV_NORMAL, "madvise(MADV_NORMAL)"),
        Advice::Sequential => (libc::MADV_SEQUENTIAL, "madvise(MADV_SEQUENTIAL)"),
        Advice::Random => (libc::MADV_RANDOM, "madvise(MADV_RANDOM)"),
        Advice::WillNeed => (libc::MADV_WILLNEED, "madvise(MADV_WILLNEED)"),
        Advice::Cold => (libc::MADV_COLD, "madvise(MADV_COLD)"),
        Advice::PageOut => (libc::MADV_PAGEOUT, "madvise(MADV_PAGEOUT)"),
        Advice::PopulateRead => (libc::MADV_POPULATE_READ, "madvise(MADV_POPULATE_READ)"),
        Advice::PopulateWrite => (libc::MADV_POPULATE_WRITE, "madvise(MADV_POPULATE_WRITE)"),
        Advice::HugePages => (libc::MADV_HUGEPAGE, "madvise(MADV_HUGEPAGE)"),
        Advice::NoHugePages => (libc::MADV_NOHUGEPAGE, "madvise(MADV_NOHUGEPAGE)"),
        Advice::ExcludeFromCoreDump => (libc::MADV_DONTDUMP, "madvise(MADV_DONTDUMP)"),
    }
}

/// The name of the call behind an advice: Linux has one for each.
#[expect(clippy::unnecessary_wraps, reason = "other platforms lack some")]
pub(crate) fn advice_name(advice: Advice) -> Option<&'static str> {
    Some(advice_words(advice).1)
}

/// Gives advice on pages.
///
/// # Safety
/// `base..base + size` must be mapped by the caller. No advice here discards private bytes.
pub(crate) unsafe fn advise(base: NonNull<u8>, size: usize, advice: Advice) -> io::Result<()> {
    let (code, _) = advice_words(advice);
    // SAFETY: the caller's promise; none of the codes above changes bytes.
    let outcome = check(unsafe { libc::madvise(base.as_ptr().cast(), size, code) });
    match outcome {
        // Kernels that do not know an advice, or mappings that cannot have it, say EINVAL.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            Err(io::ErrorKind::Unsupported.into())
        }
        result => result,
    }
}

/// Whether a populating advice met a page that the system could not supply.
pub(crate) fn is_fault_code(code: Option<i32>) -> bool {
    matches!(code, Some(libc::EFAULT | libc::EHWPOISON))
}

/// Drops pages that are mapped from a file and clean from this process; the cache may keep them.
///
/// # Safety
/// `base..base + size` must be a shared mapping of the caller.
pub(crate) unsafe fn drop_pages(base: NonNull<u8>, size: usize) -> io::Result<()> {
    // SAFETY: on a shared mapping this only unmaps pages that the next access maps again.
    match check(unsafe { libc::madvise(base.as_ptr().cast(), size, libc::MADV_DONTNEED) }) {
        // Whole pages of ours: what is left of EINVAL's reasons is that they are locked, by
        // `mlockall` if not by us.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            Err(io::ErrorKind::ResourceBusy.into())
        }
        result => result,
    }
}

/// Keeps pages in memory from when they are there; the caller touches them. `base` must be a page's
/// start.
///
/// Plain `mlock` reads them in itself, but it says one and the same for a limit and for a page that
/// cannot be had, it copies pages of private maps, and at a page whose device fails it tries again
/// for ever (seen on 6.18).
///
/// # Safety
/// `base..base + size` must be mapped by the caller.
pub(crate) unsafe fn lock_memory(base: NonNull<u8>, size: usize) -> io::Result<()> {
    let at = base.as_ptr().cast();
    // SAFETY: the caller's promise; locking changes no bytes.
    match unsafe { rustix::mm::mlock_with(at, size, MlockFlags::ONFAULT) } {
        // Before 4.4.
        Err(rustix::io::Errno::NOSYS) => {
            // SAFETY: as above.
            Ok(unsafe { rustix::mm::mlock(at, size) }?)
        }
        result => Ok(result?),
    }
}

/// Locking leaves alone what is in the pages.
pub(crate) const LOCKING_MAY_COPY: bool = false;

/// Whether the page at `base` is in memory; `None` if the system does not say.
///
/// # Safety
/// `base` must be the start of a mapped page of the caller.
pub(crate) unsafe fn is_resident(base: NonNull<u8>) -> Option<bool> {
    let mut answer = 0u8;
    // SAFETY: one page, one byte of answer.
    let code =
        unsafe { libc::mincore(base.as_ptr().cast(), super::page_size(), &raw mut answer) };
    (code == 0).then_some(answer & 1 == 1)
}
