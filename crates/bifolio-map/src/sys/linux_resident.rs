//! What is in memory, asked of Linux: reads that do not wait, residency of maps, and prefetching
//! many ranges at once.
#![expect(unsafe_code, reason = "system calls on raw addresses")]

use std::io;
use std::ptr::NonNull;

use super::AtOnce;
use super::unix::{Object, page_size};

/// Reads what is in the page cache, from `offset` on; how many bytes that was, 0 at the end.
pub(crate) fn read_at_once(object: &Object, offset: u64, out: &mut [u8]) -> io::Result<AtOnce> {
    use rustix::io::{Errno, IoSliceMut, ReadWriteFlags};
    loop {
        let into = &mut [IoSliceMut::new(out)];
        match rustix::io::preadv2(object, into, offset, ReadWriteFlags::NOWAIT) {
            Ok(size) => return Ok(AtOnce::Read(size)),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(AtOnce::WouldWait),
            // File systems without it; kernels before 4.14; filters that do not know the call.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM) => {
                return Ok(AtOnce::Unknown);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether `mincore` says the truth about maps of this object. Since 5.2 it says of files that the
/// asker may neither act for the owner of nor write that every page is there (`can_do_mincore` in
/// the kernel).
pub(crate) fn tells_residency(object: &Object) -> bool {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    use std::os::unix::fs::MetadataExt;
    let user = rustix::process::geteuid().as_raw();
    let name = super::inherited_path(super::inheritance_number(object));
    object.metadata().is_ok_and(|metadata| metadata.uid() == user)
        || accessat(CWD, &name, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
        || super::linux_residency::reopen_quietly(object).is_ok()
}

/// Whether calls on the handle go past the page cache, to the device: then they want whole blocks,
/// and wait.
pub(crate) fn is_direct(object: &Object) -> bool {
    rustix::fs::fcntl_getfl(object).is_ok_and(|flags| flags.contains(rustix::fs::OFlags::DIRECT))
}

/// Whether the bytes have no device behind them, but for swap: their pages are the only copy.
pub(crate) fn lives_in_memory(object: &Object) -> bool {
    rustix::fs::fstatfs(object)
        .is_ok_and(|found| super::linux_filesystem::kind_of(&found).is_memory())
}

/// Bytes from `base` on that are in memory without a gap. Whole pages are looked at.
///
/// # Safety
/// `base..base + size` must be mapped by the caller, and `base` a page's start.
pub(crate) unsafe fn resident_size(base: NonNull<u8>, size: usize) -> io::Result<usize> {
    let page = page_size();
    let mut answers = [0u8; 256];
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
        let here = answers[..pages].iter().take_while(|&&answer| answer & 1 == 1).count();
        known += here * page;
        if here < pages {
            return Ok(known);
        }
    }
    Ok(known)
}

/// Vectors that one call takes, `UIO_MAXIOV`.
const MOST_VECTORS: usize = 1024;

/// Starts reading pages in; how many calls it took.
///
/// # Safety
/// Each run must be mapped by the caller, and start at a page.
pub(crate) unsafe fn prefetch_runs(runs: &[(NonNull<u8>, usize)]) -> io::Result<usize> {
    let mut calls = 0;
    let mut rest = runs;
    // A descriptor of ourselves costs as much as two calls.
    if runs.len() > 3 {
        (rest, calls) = advise_together(runs);
    }
    for &(start, size) in rest {
        // SAFETY: the caller's promise.
        unsafe { super::advise(start, size, crate::view::Advice::WillNeed) }?;
        calls += 1;
    }
    Ok(calls)
}

/// Asks for a thousand runs by each call, as far as the kernel allows it (5.10 and later, and
/// filters of containers); what is left, and how many calls were made.
fn advise_together(runs: &[(NonNull<u8>, usize)]) -> (&[(NonNull<u8>, usize)], usize) {
    use std::os::fd::AsRawFd;
    let (me, flags) = (rustix::process::getpid(), rustix::process::PidfdFlags::empty());
    let Ok(me) = rustix::process::pidfd_open(me, flags) else { return (runs, 1) };
    let mut calls = 3; // opening and closing, and the answer to our number
    let mut rest = runs;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(MOST_VECTORS));
        let vectors: Vec<libc::iovec> = now
            .iter()
            .map(|&(start, size)| libc::iovec { iov_base: start.as_ptr().cast(), iov_len: size })
            .collect();
        let wanted: usize = now.iter().map(|&(_, size)| size).sum();
        // SAFETY: the kernel copies the vectors, which live through the call, and checks the
        // addresses in them; the advice changes no bytes.
        let advised = unsafe {
            libc::syscall(
                libc::SYS_process_madvise,
                me.as_raw_fd(),
                vectors.as_ptr(),
                vectors.len(),
                libc::MADV_WILLNEED,
                0u32,
            )
        };
        calls += 1;
        // Less than all: the rest is asked for one by one, which also says why.
        if usize::try_from(advised) != Ok(wanted) {
            return (rest, calls);
        }
        rest = later;
    }
    (rest, calls)
}
