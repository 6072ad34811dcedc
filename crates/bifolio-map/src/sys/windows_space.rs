//! Space on Windows: taking it, finding where it is missing, and growing.
#![expect(unsafe_code, reason = "system calls on handles")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::windows::fs::MetadataExt;
use std::os::windows::io::AsRawHandle;
use std::ptr;

use windows_sys::Win32::Foundation as codes;
use windows_sys::Win32::Storage::FileSystem as files;
use windows_sys::Win32::System::IO::DeviceIoControl;
use windows_sys::Win32::System::Ioctl::{
    FILE_ALLOCATED_RANGE_BUFFER, FSCTL_QUERY_ALLOCATED_RANGES,
};

use super::windows::{check, is_code};
use super::windows_file::flush_file;
use super::{Allocated, Object, Short};

/// Takes space past the end up to `to`, without a change of length. There is no call that fills
/// holes, which only files have that were marked as sparse.
pub(crate) fn allocate(object: &Object, _from: u64, to: u64) -> io::Result<Allocated> {
    let file = match object {
        Object::File(file) => file,
        Object::PageFile(memory) => return memory.commit_to(to).map(|()| Allocated::All),
    };
    if to <= file.metadata()?.len() {
        return Ok(Allocated::PastTheEnd);
    }
    let Ok(size) = i64::try_from(to) else { return Err(io::ErrorKind::FileTooLarge.into()) };
    let wanted = files::FILE_ALLOCATION_INFO { AllocationSize: size };
    let size = u32::try_from(size_of_val(&wanted)).expect("a structure of one number");
    // SAFETY: the pointer is to the structure that the class wants. The size is past the end of
    // the file, so nothing is cut off.
    let outcome = check(unsafe {
        files::SetFileInformationByHandle(
            file.as_raw_handle(),
            files::FileAllocationInfo,
            (&raw const wanted).cast(),
            size,
        )
    });
    match outcome {
        Ok(()) => Ok(Allocated::PastTheEnd),
        // File systems that cannot allocate ahead (and Wine).
        Err(error)
            if is_code(&error, codes::ERROR_NOT_SUPPORTED)
                || is_code(&error, codes::ERROR_INVALID_FUNCTION)
                || is_code(&error, codes::ERROR_CALL_NOT_IMPLEMENTED)
                || is_code(&error, codes::ERROR_INVALID_PARAMETER) =>
        {
            Ok(Allocated::Nothing)
        }
        Err(error) => Err(error),
    }
}

/// Gives a file that nobody else has yet its length, with space behind all of it.
pub(crate) fn allocate_new(object: &Object, len: u64) -> io::Result<()> {
    let allocated = allocate(object, 0, len)?;
    lengthen(object, len).map_err(|short| short.error)?;
    if allocated == Allocated::Nothing {
        let zeros = vec![0; 1 << 20];
        let mut at = 0;
        while at < len {
            let size = zeros.len().min(usize::try_from(len - at).unwrap_or(usize::MAX));
            super::write_all_at(object, at, &zeros[..size])?;
            at += size as u64;
        }
    }
    Ok(())
}

/// What makes a file longer here may leave a hole.
pub(crate) const APPENDS_SPACE: bool = false;

/// Makes an object `len` bytes long if it is shorter. The system only sets lengths, but refuses to
/// cut off what anybody has mapped.
pub(crate) fn lengthen(object: &Object, len: u64) -> Result<(), Short> {
    if super::len(object)? < len {
        super::truncate(object, len)?;
    }
    Ok(())
}

/// The parts of `range` that have no space behind them, in order. File systems that cannot tell
/// answer that there is none.
pub(crate) fn holes(object: &Object, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
    Ok(known_holes(object, range)?.unwrap_or_default())
}

/// The holes, if the file system knows them. A file that was not marked as sparse has none.
pub(crate) fn known_holes(
    object: &Object,
    range: Range<u64>,
) -> io::Result<Option<Vec<Range<u64>>>> {
    let Object::File(file) = object else { return Ok(Some(Vec::new())) };
    let mut found = Vec::new();
    // Everything before `at` is known.
    let mut at = range.start;
    while at < range.end {
        let Some((data, more)) = allocated_ranges(file, at..range.end)? else {
            let sparse = file.metadata()?.file_attributes() & files::FILE_ATTRIBUTE_SPARSE_FILE;
            return Ok((sparse == 0).then(Vec::new));
        };
        for part in data {
            if part.start > at {
                found.push(at..part.start.min(range.end));
            }
            at = at.max(part.end);
        }
        if !more {
            if at < range.end {
                found.push(at..range.end);
            }
            break;
        }
    }
    Ok(Some(found))
}

/// The first allocated ranges in `range`, and whether there are more; `None` where the file system
/// does not know.
fn allocated_ranges(file: &File, range: Range<u64>) -> io::Result<Option<(Vec<Range<u64>>, bool)>> {
    let signed =
        |n: u64| i64::try_from(n).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let asked = FILE_ALLOCATED_RANGE_BUFFER {
        FileOffset: signed(range.start)?,
        Length: signed(range.end - range.start)?,
    };
    let mut found = [FILE_ALLOCATED_RANGE_BUFFER::default(); 64];
    let mut size = 0;
    let small = |n: usize| u32::try_from(n).expect("a small structure");
    // SAFETY: both pointers are to structures of the sizes that are given; the handle is
    // synchronous, so the call is over when it returns.
    let outcome = check(unsafe {
        DeviceIoControl(
            file.as_raw_handle(),
            FSCTL_QUERY_ALLOCATED_RANGES,
            (&raw const asked).cast(),
            small(size_of_val(&asked)),
            found.as_mut_ptr().cast(),
            small(size_of_val(&found)),
            &raw mut size,
            ptr::null_mut(),
        )
    });
    let more = match outcome {
        Ok(()) => false,
        Err(error) if is_code(&error, codes::ERROR_MORE_DATA) => true,
        Err(_) => return Ok(None),
    };
    let count = size as usize / size_of::<FILE_ALLOCATED_RANGE_BUFFER>();
    let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
    let ranges = found[..count].iter().map(|part| {
        let start = unsigned(part.FileOffset);
        start..start.saturating_add(unsigned(part.Length))
    });
    // An answer without a range that promises more would be asked for ever.
    Ok(Some((ranges.collect(), more && count > 0)))
}

/// Bytes that are free on the file system: the system wants a path for it, which a handle may not
/// have.
pub(crate) fn space_left(_object: &Object) -> Option<u64> {
    None
}

/// Waits until what was touched has its place on the device, which is found out only then.
pub(crate) fn settle(object: &Object) -> io::Result<()> {
    match object {
        Object::File(file) => flush_file(file),
        Object::PageFile(_) => Ok(()),
    }
}
