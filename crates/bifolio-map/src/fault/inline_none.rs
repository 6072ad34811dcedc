//! Where loads are not inlined: the called routines stand in, and no list is to be searched.
#![expect(unsafe_code, reason = "calls the guarded routines")]

use std::mem::MaybeUninit;

use super::super::arch;

macro_rules! load {
    ($name:ident) => {
        /// Loads the word at `at`; the second value is not zero if the load faulted.
        ///
        /// # Safety
        /// `at` must lie in memory that is mapped readable for as long as the call lasts.
        #[inline]
        pub(in super::super) unsafe fn $name(at: *const u8) -> (u64, u64) {
            // SAFETY: the caller's promise is the routine's.
            let loaded = unsafe { arch::$name(at) };
            (loaded.value, loaded.fault)
        }
    };
}

load!(load_8);
load!(load_16);
load!(load_32);
load!(load_64);

/// Copies 16 bytes; the result is not zero if the load faulted.
///
/// # Safety
/// `from` must lie in memory that is mapped readable for as long as the call lasts.
pub(in super::super) unsafe fn copy_16(from: *const u8, to: &mut [MaybeUninit<u8>; 16]) -> u64 {
    let (low, high) = (from.addr(), from.addr().wrapping_add(to.len()));
    // SAFETY: the caller promises the source; the destination is borrowed.
    (unsafe { arch::copy(to.as_mut_ptr().cast(), from, to.len(), low, high) }) as u64
}

/// Loads are calls here.
pub(in super::super) const INLINED: bool = false;

/// No load is inlined here.
pub(in super::super) fn recover(_pc: usize) -> Option<usize> {
    None
}
