//! Stores and read-modify-writes that are one inlined instruction on Linux x86-64: what a lock
//! does, it does twice, and the call of a routine costs as much as the instruction.
//!
//! They list themselves as the inlined loads do. What they give back is what the routines give back,
//! which stand in for them elsewhere.
#![expect(unsafe_code, reason = "writes by inline assembly")]

use std::arch::asm;

use super::inline::listed;
use super::table::Loaded;

macro_rules! store {
    ($name:ident, $instruction:literal, $class:ident, $word:ty) => {
        /// Stores a word.
        ///
        /// # Safety
        /// `at` must lie in memory that is mapped writable for as long as the call lasts; that
        /// the system cannot supply its page is what this function is for.
        #[inline(always)]
        #[allow(clippy::cast_possible_truncation, reason = "the store has this width")]
        pub(super) unsafe fn $name(at: *mut u8, value: u64) -> Loaded {
            let mut fault: u64 = 0;
            // SAFETY: the caller promises that `at` is mapped; a fault continues at label 4,
            // which writes only `fault`. The registers are declared, the stack is not touched.
            unsafe {
                asm!(
                    concat!("2: ", $instruction),
                    "3:",
                    listed!(),
                    at = in(reg) at,
                    value = in($class) value as $word,
                    fault = inout(reg) fault,
                    options(nostack, preserves_flags),
                );
            }
            Loaded { value: 0, fault }
        }
    };
}

store!(store_8, "mov byte ptr [{at}], {value}", reg_byte, u8);
store!(store_16, "mov word ptr [{at}], {value:x}", reg, u16);
store!(store_32, "mov dword ptr [{at}], {value:e}", reg, u32);
store!(store_64, "mov qword ptr [{at}], {value}", reg, u64);

macro_rules! exchange {
    ($name:ident, $instruction:literal, $word:ty) => {
        /// Changes the word at `at` and gives back what was there.
        ///
        /// # Safety
        /// `at` must be an aligned word of memory that is mapped writable for as long as the call
        /// lasts; that the system cannot supply its page is what this function is for.
        #[inline(always)]
        #[allow(clippy::cast_possible_truncation, reason = "the word has this width")]
        pub(super) unsafe fn $name(at: *mut u8, value: u64) -> Loaded {
            let mut fault: u64 = 0;
            let mut word = value as $word;
            // SAFETY: as for the stores.
            unsafe {
                asm!(
                    concat!("2: ", $instruction),
                    "3:",
                    listed!(),
                    at = in(reg) at,
                    value = inout(reg) word,
                    fault = inout(reg) fault,
                    options(nostack),
                );
            }
            Loaded { value: word.into(), fault }
        }
    };
}

exchange!(swap_32, "xchg dword ptr [{at}], {value:e}", u32);
exchange!(swap_64, "xchg qword ptr [{at}], {value}", u64);
exchange!(add_32, "lock xadd dword ptr [{at}], {value:e}", u32);
exchange!(add_64, "lock xadd qword ptr [{at}], {value}", u64);

macro_rules! compare_exchange {
    ($name:ident, $instruction:literal, $word:ty) => {
        /// Stores `new` if `expected` is there; gives back what was there.
        ///
        /// # Safety
        /// As for the other changes.
        #[inline(always)]
        #[allow(clippy::cast_possible_truncation, reason = "the word has this width")]
        pub(super) unsafe fn $name(at: *mut u8, expected: u64, new: u64) -> Loaded {
            let mut fault: u64 = 0;
            let mut found = expected as $word;
            // SAFETY: as for the stores.
            unsafe {
                asm!(
                    concat!("2: ", $instruction),
                    "3:",
                    listed!(),
                    at = in(reg) at,
                    new = in(reg) new as $word,
                    inout("rax") found,
                    fault = inout(reg) fault,
                    options(nostack),
                );
            }
            Loaded { value: found.into(), fault }
        }
    };
}

compare_exchange!(cas_32, "lock cmpxchg dword ptr [{at}], {new:e}", u32);
compare_exchange!(cas_64, "lock cmpxchg qword ptr [{at}], {new}", u64);
