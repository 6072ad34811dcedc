//! Access where there is no assembly for the architecture: the kernel copies between this
//! process and itself (`process_vm_readv`, `process_vm_writev`) and says `EFAULT` instead of
//! raising a signal. About a microsecond a call. Unlike `pread` on the file it sees private pages
//! and anonymous memory, and unlike `pwrite` it can neither extend a file nor append to it.
//!
//! Words are copied too, between two fences. Kernels copy aligned words of the machine's width in one
//! piece, which the tests see and nobody promises; wider ones (`u64` on 32 bits) may be torn. A
//! read-modify-write has no such call, so those answer "not supported" here.
#![expect(unsafe_code, reason = "system calls on raw addresses")]

use std::sync::atomic::{Ordering, fence};

use super::table::{Entry, Loaded};

/// No instruction of ours faults: the kernel does the access.
pub(super) fn table() -> &'static [Entry] {
    &[]
}

/// Read-modify-writes are not to be had here.
pub(super) const HAS_ATOMICS: bool = false;

#[derive(Clone, Copy)]
enum Direction {
    OutOfMap,
    IntoMap,
}

/// One call; how many bytes the kernel copied.
fn transfer(direction: Direction, ours: *mut u8, theirs: *mut u8, size: usize) -> usize {
    let local = libc::iovec { iov_base: theirs.cast(), iov_len: size };
    let remote = libc::iovec { iov_base: ours.cast(), iov_len: size };
    // SAFETY: no arguments.
    let me = unsafe { libc::getpid() };
    // SAFETY: the two vectors live through the call; the kernel checks every address in them.
    let copied = unsafe {
        match direction {
            Direction::OutOfMap => libc::process_vm_readv(me, &raw const local, 1, &raw const remote, 1, 0),
            Direction::IntoMap => libc::process_vm_writev(me, &raw const local, 1, &raw const remote, 1, 0),
        }
    };
    usize::try_from(copied).unwrap_or(0)
}

/// Copies page by page after a short first try, so that the count is exact at a fault.
fn copy_all(direction: Direction, ours: *mut u8, theirs: *mut u8, size: usize) -> usize {
    const PIECE: usize = 4096;
    let mut done = 0;
    while done < size {
        let whole = size - done;
        let (at_ours, at_theirs) = (ours.wrapping_add(done), theirs.wrapping_add(done));
        let mut copied = transfer(direction, at_ours, at_theirs, whole);
        if copied == 0 {
            let to_page_end = PIECE - at_ours.addr() % PIECE;
            copied = transfer(direction, at_ours, at_theirs, whole.min(to_page_end));
        }
        if copied == 0 {
            break;
        }
        done += copied;
    }
    size - done
}

pub(super) unsafe fn copy(
    to: *mut u8,
    from: *const u8,
    size: usize,
    low: usize,
    high: usize,
) -> usize {
    if (low..high).contains(&from.addr()) {
        copy_all(Direction::OutOfMap, from.cast_mut(), to, size)
    } else {
        copy_all(Direction::IntoMap, to, from.cast_mut(), size)
    }
}

pub(super) unsafe fn fill(
    to: *mut u8,
    byte: u32,
    size: usize,
    _low: usize,
    _high: usize,
) -> usize {
    let mut piece = [byte.to_le_bytes()[0]; 4096];
    let mut done = 0;
    while done < size {
        let now = piece.len().min(size - done);
        let missing = copy_all(Direction::IntoMap, to.wrapping_add(done), piece.as_mut_ptr(), now);
        done += now - missing;
        if missing > 0 {
            break;
        }
    }
    size - done
}

macro_rules! words {
    ($($load:ident $store:ident $word:ty;)*) => {$(
        pub(super) unsafe fn $load(at: *const u8) -> Loaded {
            let mut word: $word = 0;
            let missing =
                copy_all(Direction::OutOfMap, at.cast_mut(), (&raw mut word).cast(), size_of::<$word>());
            fence(Ordering::SeqCst); // what is read later is not older than the word
            Loaded { value: word.into(), fault: u64::from(missing > 0) }
        }
        pub(super) unsafe fn $store(at: *mut u8, value: u64) -> Loaded {
            #[expect(clippy::cast_possible_truncation, reason = "a word keeps its low bits")]
            let mut word = value as $word;
            fence(Ordering::SeqCst); // who sees the word sees what was written before
            let missing =
                copy_all(Direction::IntoMap, at, (&raw mut word).cast(), size_of::<$word>());
            Loaded { value: 0, fault: u64::from(missing > 0) }
        }
    )*};
}

words! {
    load_8 store_8 u8;
    load_16 store_16 u16;
    load_32 store_32 u32;
    load_64 store_64 u64;
}

macro_rules! unsupported {
    ($($name:ident($($arg:ident),*);)*) => {$(
        pub(super) unsafe fn $name(_at: *mut u8, $($arg: u64),*) -> Loaded {
            unreachable!("callers ask HAS_ATOMICS first")
        }
    )*};
}

unsupported! {
    swap_32(_value);
    swap_64(_value);
    add_32(_value);
    add_64(_value);
    cas_32(_expected, _new);
    cas_64(_expected, _new);
}
