//! Byte-range locks that belong to the open file description, not to the process.
//!
//! A POSIX record lock vanishes when any code of the process closes the file anywhere; these do
//! not. They do stay held while a forked child keeps the description.
#![expect(unsafe_code, reason = "fcntl takes a pointer")]

use std::fs::File;
use std::io;
use std::ops::Range;

use super::LockKind;
use super::unix::{check, raw};

#[cfg(not(target_os = "linux"))]
use libc::flock;
#[cfg(target_os = "linux")]
use libc::flock64 as flock;

/// Darwin's numbers for locks of an open file description (its `fcntl.h` has them since 10.15).
#[cfg(target_vendor = "apple")]
mod codes {
    pub(super) const SET: i32 = 90;
    pub(super) const SET_WAIT: i32 = 91;
    pub(super) const GET: i32 = 92;
}
#[cfg(target_os = "linux")]
mod codes {
    pub(super) const SET: i32 = libc::F_OFD_SETLK;
    pub(super) const SET_WAIT: i32 = libc::F_OFD_SETLKW;
    pub(super) const GET: i32 = libc::F_OFD_GETLK;
}

/// The kernel's description of a lock; an end of `u64::MAX` means "to the end of the file".
#[allow(clippy::cast_possible_truncation, reason = "lock types and SEEK_SET are small")]
#[allow(clippy::unnecessary_cast, reason = "their types differ between systems")]
fn request(range: &Range<u64>, kind: i32) -> io::Result<flock> {
    let (Ok(start), Ok(end)) = (i64::try_from(range.start), range_end(range.end)) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // SAFETY: all zeros is a valid request; the fields that matter are set below.
    let mut lock: flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as _;
    lock.l_whence = libc::SEEK_SET as _;
    lock.l_start = start;
    lock.l_len = if end == i64::MAX { 0 } else { end - start };
    Ok(lock)
}

fn range_end(end: u64) -> Result<i64, std::num::TryFromIntError> {
    if end == u64::MAX { Ok(i64::MAX) } else { i64::try_from(end) }
}

/// Lock types are an `int` in one header and a `short` in the other.
fn code(kind: impl Into<i32>) -> i32 {
    kind.into()
}

fn kind_code(kind: LockKind) -> i32 {
    match kind {
        LockKind::Shared => code(libc::F_RDLCK),
        LockKind::Exclusive => code(libc::F_WRLCK),
    }
}

/// Asks the kernel. The C library of 32-bit Linux translates requests with 32-bit offsets in its
/// `fcntl` and refuses ours, which have 64 bits; the system call itself takes them.
fn control(file: &File, command: i32, lock: &mut flock) -> io::Result<()> {
    #[cfg(all(target_os = "linux", target_pointer_width = "32"))]
    // SAFETY: the pointer is to an initialised request, which the kernel may write.
    let code = unsafe { libc::syscall(libc::SYS_fcntl64, raw(file), command, &raw mut *lock) };
    #[cfg(not(all(target_os = "linux", target_pointer_width = "32")))]
    // SAFETY: as above.
    let code = unsafe { libc::fcntl(raw(file), command, &raw mut *lock) };
    check(code)
}

/// Takes a lock, or says `WouldBlock`.
pub(crate) fn try_lock(file: &File, range: &Range<u64>, kind: LockKind) -> io::Result<()> {
    match control(file, codes::SET, &mut request(range, kind_code(kind))?) {
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        result => result,
    }
}

/// Takes a lock, waiting for it. `None` where waiting is better done by trying again and again.
pub(crate) fn lock(file: &File, range: &Range<u64>, kind: LockKind) -> Option<io::Result<()>> {
    let mut lock = match request(range, kind_code(kind)) {
        Ok(lock) => lock,
        Err(error) => return Some(Err(error)),
    };
    loop {
        match control(file, codes::SET_WAIT, &mut lock) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return Some(result),
        }
    }
}

/// Gives a lock back.
pub(crate) fn unlock(file: &File, range: &Range<u64>) -> io::Result<()> {
    control(file, codes::SET, &mut request(range, code(libc::F_UNLCK))?)
}

/// Whether somebody else's lock stands in the way of an exclusive one. "Somebody else" is every
/// other open file description, also of this process; the kernel knows which locks are ours, so it
/// need not be told what is held.
pub(crate) fn is_locked_by_others(
    file: &File,
    range: &Range<u64>,
    _held: &[(Range<u64>, LockKind)],
) -> io::Result<bool> {
    let mut lock = request(range, code(libc::F_WRLCK))?;
    // The kernel writes the conflicting lock into it.
    control(file, codes::GET, &mut lock)?;
    Ok(code(lock.l_type) != code(libc::F_UNLCK))
}
