//! Processes by `proc_pidinfo`.
#![expect(unsafe_code, reason = "system calls")]

use std::io;
use std::mem::MaybeUninit;

/// `SZOMB` (sys/proc.h).
const ZOMBIE: u32 = 5;

/// When a process started, in microseconds since 1970; `None` if it has ended.
pub(crate) fn process_start(pid: u32) -> io::Result<Option<u64>> {
    let Ok(pid) = i32::try_from(pid) else { return Ok(None) };
    let mut found = MaybeUninit::<libc::proc_bsdinfo>::uninit();
    let size = i32::try_from(size_of::<libc::proc_bsdinfo>()).unwrap_or(i32::MAX);
    // SAFETY: the call writes at most `size` bytes, which is what there is room for.
    let written = unsafe {
        libc::proc_pidinfo(pid, libc::PROC_PIDTBSDINFO, 0, found.as_mut_ptr().cast(), size)
    };
    if written < size {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::ESRCH) { Ok(None) } else { Err(error) };
    }
    // SAFETY: all of it was written.
    let found = unsafe { found.assume_init() };
    let start = found.pbi_start_tvsec.saturating_mul(1_000_000) + found.pbi_start_tvusec;
    Ok((found.pbi_status != ZOMBIE).then_some(start))
}

/// All processes are counted together.
pub(crate) fn process_namespace() -> u64 {
    0
}
