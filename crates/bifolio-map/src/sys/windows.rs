//! Windows: sizes, error codes, names, and waiting. Files are in `windows_file.rs`, maps in
//! `windows_map.rs`, growing maps in `windows_reserve.rs`.
#![expect(unsafe_code, reason = "system calls")]

use std::ffi::c_void;
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation as codes;
use windows_sys::Win32::System::SystemInformation::{GetSystemInfo, SYSTEM_INFO};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetProcessWorkingSetSize, WaitOnAddress, WakeByAddressAll,
};

use super::{FileKind, Object, Waited};
use crate::error::ErrorKind;
use crate::fault::guard::Word;

/// Page size and allocation granularity.
fn sizes() -> (usize, usize) {
    static PAGE: AtomicUsize = AtomicUsize::new(0);
    static GRANULE: AtomicUsize = AtomicUsize::new(0);
    let found = (PAGE.load(Ordering::Relaxed), GRANULE.load(Ordering::Relaxed));
    if found.0 != 0 && found.1 != 0 {
        return found;
    }
    let mut info = SYSTEM_INFO::default();
    // SAFETY: the call fills in the structure and cannot fail.
    unsafe { GetSystemInfo(&raw mut info) };
    // Both are 32-bit fields, so they fit.
    let found = (info.dwPageSize as usize, info.dwAllocationGranularity as usize);
    PAGE.store(found.0, Ordering::Relaxed);
    GRANULE.store(found.1, Ordering::Relaxed);
    found
}

/// Bytes in a page.
pub(crate) fn page_size() -> usize {
    sizes().0
}

/// What offsets and addresses of maps must be multiples of.
pub(crate) fn granularity() -> u64 {
    sizes().1 as u64
}

/// The meaning of codes that the standard library has no kind for.
pub(crate) fn kind_of_code(code: Option<i32>) -> Option<ErrorKind> {
    Some(match code?.cast_unsigned() {
        // A map keeps its file from being cut off, replaced or deleted.
        codes::ERROR_USER_MAPPED_FILE
        | codes::ERROR_SHARING_VIOLATION
        | codes::ERROR_LOCK_VIOLATION
        | codes::ERROR_PIPE_BUSY
        | codes::ERROR_DELETE_PENDING => ErrorKind::Busy,
        codes::ERROR_COMMITMENT_LIMIT
        | codes::ERROR_COMMITMENT_MINIMUM
        | codes::ERROR_NO_SYSTEM_RESOURCES => ErrorKind::OutOfMemory,
        codes::ERROR_TOO_MANY_OPEN_FILES
        | codes::ERROR_WORKING_SET_QUOTA
        | codes::ERROR_NOT_ENOUGH_QUOTA => ErrorKind::LimitReached,
        codes::ERROR_PRIVILEGE_NOT_HELD => ErrorKind::PermissionDenied,
        // What CreateFileMapping says of a console, a device, or a directory.
        codes::ERROR_BAD_EXE_FORMAT | codes::ERROR_FILE_INVALID => ErrorKind::NotMappable,
        codes::ERROR_NOT_SUPPORTED
        | codes::ERROR_INVALID_FUNCTION
        | codes::ERROR_CALL_NOT_IMPLEMENTED => ErrorKind::NotSupported,
        codes::ERROR_INVALID_NAME
        | codes::ERROR_INVALID_PARAMETER
        | codes::ERROR_INVALID_ADDRESS
        | codes::ERROR_MAPPED_ALIGNMENT => ErrorKind::InvalidInput,
        codes::ERROR_CRC
        | codes::ERROR_IO_DEVICE
        | codes::ERROR_SECTOR_NOT_FOUND
        | codes::ERROR_READ_FAULT
        | codes::ERROR_WRITE_FAULT
        | codes::ERROR_SWAPERROR
        | codes::ERROR_NETNAME_DELETED
        | codes::ERROR_UNEXP_NET_ERR
        | codes::ERROR_DEVICE_NOT_CONNECTED => ErrorKind::StorageFault,
        _ => return None,
    })
}

/// The handle that stands for this process.
pub(super) fn this_process() -> codes::HANDLE {
    // SAFETY: no arguments; the handle is a constant and needs no closing.
    unsafe { GetCurrentProcess() }
}

/// The outcome of a call that returns 0 on failure and sets the last error.
pub(super) fn check(outcome: i32) -> io::Result<()> {
    if outcome == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether an error has this code.
pub(super) fn is_code(error: &io::Error, code: u32) -> bool {
    error.raw_os_error() == Some(code.cast_signed())
}

/// The error of a code.
pub(super) fn error_of(code: u32) -> io::Error {
    io::Error::from_raw_os_error(code.cast_signed())
}

/// Runs a flush again while somebody holds a lock on the range that is flushed: the memory manager
/// writes pages through the file system, which refuses while a byte-range lock stands, usually for
/// a moment. Two seconds at most.
pub(super) fn past_locks(mut flush: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let mut pause = Duration::from_millis(1);
    for _ in 0..30 {
        match flush() {
            Err(error) if is_code(&error, codes::ERROR_LOCK_VIOLATION) => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(100));
            }
            result => return result,
        }
    }
    flush()
}

/// A path as the wide calls want it. The classic form of a name ends at 260 characters, so longer
/// ones are made absolute and given the prefix that lifts the limit, as the standard library does.
pub(super) fn wide(path: &Path) -> io::Result<Vec<u16>> {
    const CLASSIC: usize = 248;
    let plain: Vec<u16> = path.as_os_str().encode_wide().collect();
    if plain.contains(&0) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let verbatim = |text: &[u16]| text.starts_with(&wide_text(r"\\?\"));
    let absolute: Vec<u16> = if plain.len() < CLASSIC || verbatim(&plain) {
        plain
    } else {
        let absolute: Vec<u16> = std::path::absolute(path)?.as_os_str().encode_wide().collect();
        if verbatim(&absolute) {
            absolute
        } else if absolute.starts_with(&wide_text(r"\\")) {
            [&wide_text(r"\\?\UNC\")[..], &absolute[2..]].concat()
        } else {
            [&wide_text(r"\\?\")[..], &absolute[..]].concat()
        }
    };
    Ok(absolute.into_iter().chain([0]).collect())
}

fn wide_text(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

/// The two halves of a 64-bit number, high first, as the calls take them.
#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
pub(super) fn halves(number: u64) -> (u32, u32) {
    ((number >> 32) as u32, number as u32)
}

/// Why an open failed for want of descriptors, in words.
pub(crate) fn why_no_descriptor(_code: Option<i32>) -> &'static str {
    "the process has no handle left"
}

/// The limit on locked memory in words, for error messages.
pub(crate) fn lock_limit() -> String {
    let (mut least, mut most) = (0, 0);
    let me = this_process();
    // SAFETY: the pointers are to two numbers.
    let known = unsafe { GetProcessWorkingSetSize(me, &raw mut least, &raw mut most) } != 0;
    let now = if known { format!(" is {least} bytes") } else { " is unknown".to_owned() };
    format!(
        "the minimum working set of the process{now}, and locked pages must fit it; \
         raise it with SetProcessWorkingSetSize"
    )
}

/// Where threads of this process wait for words of maps.
///
/// `WaitOnAddress` loads the word itself, outside of our guard, and knows one address only, while
/// two views of a word have two. So waiters wait on one of these counters instead, chosen by the
/// low bits of the address, which all views of a word have in common: maps start at multiples of
/// the granularity, 64 KiB.
static PLACES: [AtomicU32; 256] = [const { AtomicU32::new(0) }; 256];

fn place_of(at: *const u8) -> &'static AtomicU32 {
    &PLACES[(at.addr() / size_of::<u32>()) % PLACES.len()]
}

/// How long a waiter sleeps before it looks at the word again, at first and at most. Windows wakes
/// across threads of a process only; what another process stores is seen this late.
const FIRST_NAP: Duration = Duration::from_millis(1);
const LONGEST_NAP: Duration = Duration::from_millis(8);

/// Waits while the word at `at` has the value `expected`.
///
/// # Safety
/// `at` must be an aligned word that is mapped during the call.
pub(crate) unsafe fn wait(at: *const u8, expected: u32, timeout: Option<Duration>) -> Waited {
    let place = place_of(at);
    let started = Instant::now();
    let mut nap = FIRST_NAP;
    let mut unchanged = Waited::Changed;
    loop {
        // Before the word: a waker stores the word, then counts, then wakes. Who sees the old word
        // has the old count and is woken, or finds the count changed and does not sleep.
        let seen = place.load(Ordering::SeqCst);
        // SAFETY: the caller's promise.
        match unsafe { <u32 as Word>::load(at) } {
            Err(_) => return Waited::Fault,
            Ok(value) if value != expected => return unchanged,
            Ok(_) => unchanged = Waited::Woken,
        }
        let left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            return Waited::TimedOut;
        }
        let now = left.map_or(nap, |left| left.min(nap));
        let ms = u32::try_from(now.as_micros().div_ceil(1000)).unwrap_or(u32::MAX - 1);
        // SAFETY: both addresses are of words that outlive the call. Whether it was woken or timed
        // out does not matter: the loop looks.
        unsafe {
            WaitOnAddress(
                place.as_ptr().cast::<c_void>(),
                (&raw const seen).cast(),
                size_of::<u32>(),
                ms,
            )
        };
        if place.load(Ordering::SeqCst) != seen {
            // Woken, perhaps on behalf of another word of the same place: waits may end early.
            return Waited::Woken;
        }
        nap = (nap * 2).min(LONGEST_NAP);
    }
}

/// Wakes the waiters of the word at `at`, in this process at once, in others when they look. How
/// many there were is not known. All are woken even if one was asked for: a place serves more than
/// one word, so one waiter could be the wrong one.
///
/// # Safety
/// `at` must be an aligned word that is mapped during the call.
pub(crate) unsafe fn wake(at: *const u8, _count: u32) -> u32 {
    let place = place_of(at);
    place.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the address is only a key.
    unsafe { WakeByAddressAll(place.as_ptr().cast::<c_void>()) };
    0
}

/// Forbids writing, growing and shrinking for ever: not to be had here.
pub(crate) fn seal(_object: &Object) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether the object can neither change nor shrink: never known here.
#[expect(clippy::unnecessary_wraps, reason = "Linux asks the kernel")]
pub(crate) fn is_sealed(_object: &Object) -> io::Result<bool> {
    Ok(false)
}

/// Page-file sections cannot be sealed: a handle that may write stays one.
pub(crate) const HAS_SEALS: bool = false;

/// Whether the file is protected by fs-verity, which is Linux's.
#[expect(clippy::unnecessary_wraps, reason = "Linux asks the kernel")]
pub(crate) fn has_verity(_file: &std::fs::File) -> io::Result<bool> {
    Ok(false)
}

/// Files without pages behind them (Linux's `/proc`): there are none here.
pub(crate) fn special_file_system(_file: &std::fs::File) -> Option<&'static str> {
    None
}

/// What a handle stands for, where the type alone tells.
pub(super) fn kind_of_type(file_type: u32) -> FileKind {
    use windows_sys::Win32::Storage::FileSystem as types;
    match file_type {
        types::FILE_TYPE_CHAR => FileKind::CharDevice,
        types::FILE_TYPE_PIPE => FileKind::Pipe,
        types::FILE_TYPE_DISK => FileKind::Regular,
        _ => FileKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_get_the_prefix_that_lifts_the_limit_and_short_ones_stay() {
        let text = |path: &str| {
            let mut wide = wide(Path::new(path)).unwrap();
            assert_eq!(wide.pop(), Some(0));
            String::from_utf16(&wide).unwrap()
        };
        let long = "x".repeat(300);
        assert_eq!(text(r"a\b.txt"), r"a\b.txt");
        assert_eq!(text(&format!(r"C:\{long}")), format!(r"\\?\C:\{long}"));
        assert_eq!(text(&format!(r"\\host\share\{long}")), format!(r"\\?\UNC\host\share\{long}"));
        assert_eq!(text(&format!(r"\\?\C:\{long}")), format!(r"\\?\C:\{long}"));
        assert!(wide(Path::new("a\0b")).is_err());
    }

    #[test]
    fn all_views_of_a_word_share_its_waiting_place() {
        let granule = usize::try_from(granularity()).unwrap();
        let word = |address| std::ptr::without_provenance::<u8>(address);
        assert!(std::ptr::eq(place_of(word(granule + 40)), place_of(word(7 * granule + 40))));
        assert!(!std::ptr::eq(place_of(word(granule + 40)), place_of(word(granule + 44))));
    }
}
