//! Processes by handles.
#![expect(unsafe_code, reason = "system calls")]

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::{ERROR_INVALID_PARAMETER, FILETIME, WAIT_OBJECT_0};
use windows_sys::Win32::System::Threading as threading;

use super::windows::check;

/// Which process: always this one, as there are no forks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descent;

pub(crate) fn descent() -> Descent {
    Descent
}

#[inline]
pub(crate) fn is_current(_descent: Descent) -> bool {
    true
}

/// When a process started, in 100 nanoseconds since 1601; `None` if it has ended.
pub(crate) fn process_start(pid: u32) -> io::Result<Option<u64>> {
    let rights = threading::PROCESS_QUERY_LIMITED_INFORMATION | threading::PROCESS_SYNCHRONIZE;
    // SAFETY: numbers only.
    let handle = unsafe { threading::OpenProcess(rights, 0, pid) };
    if handle.is_null() {
        let error = io::Error::last_os_error();
        let none = i32::try_from(ERROR_INVALID_PARAMETER).ok();
        return if error.raw_os_error() == none { Ok(None) } else { Err(error) };
    }
    // SAFETY: the handle was made by the call and nobody else has it.
    let process = unsafe { OwnedHandle::from_raw_handle(handle) };
    // SAFETY: an open handle that may be waited for.
    if unsafe { threading::WaitForSingleObject(process.as_raw_handle(), 0) } == WAIT_OBJECT_0 {
        return Ok(None); // ended; somebody's handle keeps its number
    }
    let zero = FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 };
    let (mut start, mut exit, mut kernel, mut user) = (zero, zero, zero, zero);
    // SAFETY: an open handle, and four places that the call writes.
    check(unsafe {
        threading::GetProcessTimes(
            process.as_raw_handle(),
            &raw mut start,
            &raw mut exit,
            &raw mut kernel,
            &raw mut user,
        )
    })?;
    Ok(Some(u64::from(start.dwHighDateTime) << 32 | u64::from(start.dwLowDateTime)))
}

/// All processes are counted together.
pub(crate) fn process_namespace() -> u64 {
    0
}
