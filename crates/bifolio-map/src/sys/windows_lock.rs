//! Byte-range locks. They belong to the handle: another handle of the same process is somebody
//! else, and a handle's own locks stand in its own way too.
#![expect(unsafe_code, reason = "system calls on handles")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::windows::io::AsRawHandle;

use windows_sys::Win32::Foundation::{ERROR_IO_PENDING, ERROR_LOCK_VIOLATION};
use windows_sys::Win32::Storage::FileSystem::{
    LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx, UnlockFileEx,
};
use windows_sys::Win32::System::IO::{OVERLAPPED, OVERLAPPED_0, OVERLAPPED_0_0};

use super::LockKind;
use crate::section::Access;
use super::windows::{check, halves, is_code};

/// Where a range starts, as the calls take it.
fn place(range: &Range<u64>) -> OVERLAPPED {
    let (high, low) = halves(range.start);
    OVERLAPPED {
        Anonymous: OVERLAPPED_0 { Anonymous: OVERLAPPED_0_0 { Offset: low, OffsetHigh: high } },
        ..Default::default()
    }
}

/// Takes a lock, or says `WouldBlock`.
pub(crate) fn try_lock(file: &File, range: &Range<u64>, kind: LockKind) -> io::Result<()> {
    let flags = match kind {
        LockKind::Shared => LOCKFILE_FAIL_IMMEDIATELY,
        LockKind::Exclusive => LOCKFILE_FAIL_IMMEDIATELY | LOCKFILE_EXCLUSIVE_LOCK,
    };
    let (high, low) = halves(range.end - range.start);
    let mut place = place(range);
    // SAFETY: the handle is open and synchronous, so the call is over when it returns.
    let outcome =
        check(unsafe { LockFileEx(file.as_raw_handle(), flags, 0, low, high, &raw mut place) });
    match outcome {
        Err(error)
            if is_code(&error, ERROR_LOCK_VIOLATION) || is_code(&error, ERROR_IO_PENDING) =>
        {
            Err(io::ErrorKind::WouldBlock.into())
        }
        result => result,
    }
}

/// Waiting is not left to the system: a synchronous handle does one call at a time, so while one
/// thread waits in `LockFileEx`, another could not even unlock. The caller tries again and again.
pub(crate) fn lock(_file: &File, _range: &Range<u64>, _kind: LockKind) -> Option<io::Result<()>> {
    None
}

/// Something to ask by. A lock of a range stands in the way of every other request, also of one by
/// the same handle, so the same opening will do.
pub(crate) fn open_again(file: &File, _access: Access) -> io::Result<File> {
    file.try_clone()
}

/// Gives a lock back. The range must be one that was locked: parts cannot be.
pub(crate) fn unlock(file: &File, range: &Range<u64>) -> io::Result<()> {
    let (high, low) = halves(range.end - range.start);
    let mut place = place(range);
    // SAFETY: as above.
    check(unsafe { UnlockFileEx(file.as_raw_handle(), 0, low, high, &raw mut place) })
}

/// Whether somebody else's lock stands in the way of an exclusive one in the range.
///
/// There is no call that asks, so the parts of the range that this handle does not hold (`held`)
/// are locked for a moment. What it holds alone nobody else can hold; of what it holds together
/// with others, Windows does not say who they are, and the answer is an error.
pub(crate) fn is_locked_by_others(
    file: &File,
    range: &Range<u64>,
    held: &[(Range<u64>, LockKind)],
) -> io::Result<bool> {
    let mut mine: Vec<&(Range<u64>, LockKind)> =
        held.iter().filter(|(part, _)| part.start < range.end && range.start < part.end).collect();
    mine.sort_by_key(|(part, _)| part.start);
    let mut shared = false;
    let mut at = range.start;
    for (part, kind) in mine {
        if at < part.start && is_taken(file, &(at..part.start))? {
            return Ok(true);
        }
        at = at.max(part.end);
        shared |= *kind == LockKind::Shared;
    }
    if at < range.end && is_taken(file, &(at..range.end))? {
        return Ok(true);
    }
    if shared {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "Windows cannot tell the shared locks of others from one's own",
        ));
    }
    Ok(false)
}

fn is_taken(file: &File, range: &Range<u64>) -> io::Result<bool> {
    match try_lock(file, range, LockKind::Exclusive) {
        Ok(()) => unlock(file, range).map(|()| false),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}
