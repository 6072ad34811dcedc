//! Where loads are not inlined: the called routines stand in, and no list is to be searched.
#![expect(unsafe_code, reason = "calls the guarded routines")]

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

/// No load is inlined here.
pub(in super::super) fn recover(_pc: usize) -> Option<usize> {
    None
}
