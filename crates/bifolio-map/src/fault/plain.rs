//! Access under Miri, which has neither maps nor assembly: atomics on ordinary memory, so that
//! it can check everything above. Nothing faults.
#![expect(unsafe_code, reason = "dereferences pointers for the accessors")]
#![allow(clippy::cast_possible_truncation, reason = "a word keeps its low bits")]

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::table::{Entry, Loaded};

/// No instruction may fault here.
pub(super) fn table() -> &'static [Entry] {
    &[]
}

pub(super) unsafe fn copy(
    to: *mut u8,
    from: *const u8,
    size: usize,
    low: usize,
    _high: usize,
) -> usize {
    // The shared side is accessed by atomics, the caller's own side plainly.
    let shared_source = from.addr() == low;
    for i in 0..size {
        // SAFETY: the caller promises `size` bytes on both sides.
        let (to, from) = unsafe { (to.add(i), from.add(i)) };
        if shared_source {
            // SAFETY: as above; a shared byte is only ever accessed by atomics.
            let byte = unsafe { AtomicU8::from_ptr(from.cast_mut()) }.load(Ordering::Relaxed);
            // SAFETY: as above.
            unsafe { to.write(byte) };
        } else {
            // SAFETY: as above.
            let byte = unsafe { from.read() };
            // SAFETY: as above.
            unsafe { AtomicU8::from_ptr(to) }.store(byte, Ordering::Relaxed);
        }
    }
    0
}

pub(super) unsafe fn fill(
    to: *mut u8,
    byte: u32,
    size: usize,
    _low: usize,
    _high: usize,
) -> usize {
    for i in 0..size {
        // SAFETY: the caller promises `size` bytes.
        let to = unsafe { to.add(i) };
        // SAFETY: as above; a shared byte is only ever accessed by atomics.
        unsafe { AtomicU8::from_ptr(to) }.store(byte as u8, Ordering::Relaxed);
    }
    0
}

fn done(value: impl Into<u64>) -> Loaded {
    Loaded { value: value.into(), fault: 0 }
}

macro_rules! words {
    ($($load:ident $store:ident $word:ty, $atomic:ty;)*) => {$(
        pub(super) unsafe fn $load(at: *const u8) -> Loaded {
            if at.cast::<$atomic>().is_aligned() {
                // SAFETY: the caller promises the bytes, and they are aligned.
                let atomic = unsafe { <$atomic>::from_ptr(at.cast_mut().cast()) };
                return done(atomic.load(Ordering::Acquire));
            }
            let mut bytes = [0; size_of::<$word>()];
            // SAFETY: the caller promises the bytes; unaligned ones are read one by one.
            unsafe { copy(bytes.as_mut_ptr(), at, bytes.len(), at.addr(), 0) };
            done(<$word>::from_ne_bytes(bytes))
        }
        pub(super) unsafe fn $store(at: *mut u8, value: u64) -> Loaded {
            let value = value as $word;
            if at.cast::<$atomic>().is_aligned() {
                // SAFETY: the caller promises the bytes, and they are aligned.
                unsafe { <$atomic>::from_ptr(at.cast()) }.store(value, Ordering::SeqCst);
            } else {
                let bytes = value.to_ne_bytes();
                // SAFETY: the caller promises the bytes.
                unsafe { copy(at, bytes.as_ptr(), bytes.len(), usize::MAX, 0) };
            }
            done(0u8)
        }
    )*};
}

words! {
    load_8 store_8 u8, AtomicU8;
    load_16 store_16 u16, AtomicU16;
    load_32 store_32 u32, AtomicU32;
    load_64 store_64 u64, AtomicU64;
}

macro_rules! modifies {
    ($($swap:ident $add:ident $cas:ident $word:ty, $atomic:ty;)*) => {$(
        pub(super) unsafe fn $swap(at: *mut u8, value: u64) -> Loaded {
            // SAFETY: the caller promises an aligned word.
            let atomic = unsafe { <$atomic>::from_ptr(at.cast()) };
            done(atomic.swap(value as $word, Ordering::SeqCst))
        }
        pub(super) unsafe fn $add(at: *mut u8, value: u64) -> Loaded {
            // SAFETY: the caller promises an aligned word.
            let atomic = unsafe { <$atomic>::from_ptr(at.cast()) };
            done(atomic.fetch_add(value as $word, Ordering::SeqCst))
        }
        pub(super) unsafe fn $cas(at: *mut u8, expected: u64, new: u64) -> Loaded {
            // SAFETY: the caller promises an aligned word.
            let atomic = unsafe { <$atomic>::from_ptr(at.cast()) };
            let (expected, new) = (expected as $word, new as $word);
            let found = atomic.compare_exchange(expected, new, Ordering::SeqCst, Ordering::SeqCst);
            done(found.unwrap_or_else(|found| found))
        }
    )*};
}

modifies! {
    swap_32 add_32 cas_32 u32, AtomicU32;
    swap_64 add_64 cas_64 u64, AtomicU64;
}

/// Read-modify-writes are to be had here.
pub(super) const HAS_ATOMICS: bool = true;
