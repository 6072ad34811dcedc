//! Space on macOS: taking it, finding where it is missing, and growing.
#![expect(unsafe_code, reason = "system calls on descriptors")]

use std::fs::File;
use std::io;
use std::ops::Range;

use rustix::fs::SeekFrom;
use rustix::io::{Errno, retry_on_intr};

use super::unix::{check, check_size_limit, raw};
use super::{Allocated, Object, Short, path_of};

/// Takes space past the end up to `to`, without a change of length: `F_PREALLOCATE` adds to the end
/// of what is allocated, and fills no holes.
pub(crate) fn allocate(object: &Object, _from: u64, to: u64) -> io::Result<Allocated> {
    let end = object.metadata()?.len();
    if to > end {
        check_size_limit(to)?;
    }
    let there = super::allocated(object)?.max(end);
    if to <= there {
        return Ok(Allocated::PastTheEnd);
    }
    let Ok(more) = i64::try_from(to - there) else {
        return Err(io::ErrorKind::FileTooLarge.into());
    };
    // In one piece if there is one that is large enough, otherwise in many.
    let mut outcome = preallocate(object, more, libc::F_ALLOCATECONTIG | libc::F_ALLOCATEALL);
    if outcome.is_err() {
        outcome = preallocate(object, more, libc::F_ALLOCATEALL);
    }
    match outcome {
        Ok(()) => Ok(Allocated::PastTheEnd),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTSUP | libc::EINVAL)) => {
            Ok(Allocated::Nothing)
        }
        Err(error) => Err(error),
    }
}

fn preallocate(object: &Object, more: i64, flags: u32) -> io::Result<()> {
    let mut request = libc::fstore_t {
        fst_flags: flags,
        fst_posmode: libc::F_PEOFPOSMODE,
        fst_offset: 0,
        fst_length: more,
        fst_bytesalloc: 0,
    };
    loop {
        // SAFETY: the pointer is to an initialised request, into which the kernel writes its answer.
        match check(unsafe { libc::fcntl(raw(object), libc::F_PREALLOCATE, &raw mut request) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Gives a file that nobody else has yet its length, with space behind all of it.
pub(crate) fn allocate_new(object: &Object, len: u64) -> io::Result<()> {
    if allocate(object, 0, len)? == Allocated::Nothing {
        let zeros = vec![0; 1 << 20];
        let mut at = 0;
        while at < len {
            let size = zeros.len().min(usize::try_from(len - at).unwrap_or(usize::MAX));
            super::write_all_at(object, at, &zeros[..size])?;
            at += size as u64;
        }
    }
    super::truncate(object, len)
}

/// What makes a file longer here leaves a hole.
pub(crate) const APPENDS_SPACE: bool = false;

/// Makes a file `len` bytes long if it is shorter. The system only sets lengths: who grows it
/// between the look and the call loses what he gained.
pub(crate) fn lengthen(object: &Object, len: u64) -> Result<(), Short> {
    if object.metadata()?.len() < len {
        super::truncate(object, len)?;
    }
    Ok(())
}

/// The parts of `range` that have no space behind them, in order. File systems that cannot tell
/// answer that there is none.
pub(crate) fn holes(object: &Object, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
    Ok(known_holes(object, range)?.unwrap_or_default())
}

/// The holes, if the file system knows them. Of a file that has no path nothing is known, since
/// seeking would move the cursor of every duplicate of the descriptor, and there is no other way to
/// open it anew.
pub(crate) fn known_holes(
    object: &Object,
    range: Range<u64>,
) -> io::Result<Option<Vec<Range<u64>>>> {
    let Some(file) = path_of(object).and_then(|path| File::open(path).ok()) else {
        return Ok(None);
    };
    if super::identity(&file)? != super::identity(object)? {
        return Ok(None);
    }
    match rustix::fs::seek(&file, SeekFrom::Hole(range.start)) {
        Err(Errno::INVAL | Errno::NOTSUP | Errno::NOTTY) => Ok(None),
        _ => super::unix::holes_by_seeking(&file, range).map(Some),
    }
}

/// Waits until what was touched has its place on the device, which is found out only then.
pub(crate) fn settle(object: &Object) -> io::Result<()> {
    Ok(retry_on_intr(|| rustix::fs::fsync(object))?)
}
