//! The inlined loads of Linux, and the section that lists them and the inlined writes.
#![expect(unsafe_code, reason = "loads by inline assembly")]

use std::arch::asm;
use std::mem::MaybeUninit;

/// The fix-up and the table entry of the access at label 2, which continues at label 3.
#[cfg(target_arch = "x86_64")]
macro_rules! listed {
    () => {
        concat!(
            ".pushsection .text.unlikely.bifolio_fixup,\"ax\",@progbits\n",
            "4: mov {fault:e}, 1\n",
            "jmp 3b\n",
            ".popsection\n",
            ".pushsection bifolio_inline_0_1,\"aR\",@progbits\n",
            ".balign 4\n",
            ".long 2b - .\n",
            ".long 4b - .\n",
            ".popsection\n",
        )
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! listed {
    () => {
        concat!(
            ".pushsection .text.unlikely.bifolio_fixup,\"ax\",@progbits\n",
            "4: mov {fault:w}, #1\n",
            "b 3b\n",
            ".popsection\n",
            ".pushsection bifolio_inline_0_1,\"aR\",@progbits\n",
            ".balign 4\n",
            ".long 2b - .\n",
            ".long 4b - .\n",
            ".popsection\n",
        )
    };
}

#[cfg(target_arch = "x86_64")]
pub(in super::super) use listed;

macro_rules! load {
    ($name:ident, $x86:literal, $arm:literal) => {
        /// Loads the word at `at`; the second value is not zero if the load faulted.
        ///
        /// # Safety
        /// `at` must lie in memory that is mapped readable for as long as the call lasts; that
        /// the system cannot supply its bytes is what this function is for.
        #[inline(always)]
        pub(in super::super) unsafe fn $name(at: *const u8) -> (u64, u64) {
            let mut fault: u64 = 0;
            let value: u64;
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the caller promises that `at` is mapped; a fault continues at label 4,
            // which writes only `fault`. The registers are declared, the stack is not touched.
            unsafe {
                asm!(
                    concat!("2: ", $x86),
                    "3:",
                    listed!(),
                    at = in(reg) at,
                    value = out(reg) value,
                    fault = inout(reg) fault,
                    options(nostack, readonly, preserves_flags),
                );
            }
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            unsafe {
                asm!(
                    concat!("2: ", $arm),
                    "3:",
                    listed!(),
                    at = in(reg) at,
                    value = out(reg) value,
                    fault = inout(reg) fault,
                    options(nostack, readonly, preserves_flags),
                );
            }
            (value, fault)
        }
    };
}

load!(load_8, "movzx {value:e}, byte ptr [{at}]", "ldrb {value:w}, [{at}]");
load!(load_16, "movzx {value:e}, word ptr [{at}]", "ldrh {value:w}, [{at}]");
load!(load_32, "mov {value:e}, dword ptr [{at}]", "ldr {value:w}, [{at}]");
load!(load_64, "mov {value}, qword ptr [{at}]", "ldr {value}, [{at}]");

/// Copies 16 bytes; the result is not zero if the load faulted. By one instruction each on x86-64: a
/// processor does not hand two stores on to one wider load, and waits for them instead.
///
/// # Safety
/// `from` must lie in memory that is mapped readable for as long as the call lasts.
#[inline(always)]
pub(in super::super) unsafe fn copy_16(from: *const u8, to: &mut [MaybeUninit<u8>; 16]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        let mut fault: u64 = 0;
        let value: std::arch::x86_64::__m128i;
        // SAFETY: the caller promises that `from` is mapped; a fault continues at label 4, which
        // writes only `fault`. The registers are declared, the stack is not touched.
        unsafe {
            asm!(
                "2: movups {value}, xmmword ptr [{at}]",
                "3:",
                listed!(),
                at = in(reg) from,
                value = out(xmm_reg) value,
                fault = inout(reg) fault,
                options(nostack, readonly, preserves_flags),
            );
        }
        // SAFETY: 16 bytes, at whatever alignment.
        unsafe { std::arch::x86_64::_mm_storeu_si128(to.as_mut_ptr().cast(), value) };
        fault
    }
    #[cfg(target_arch = "aarch64")]
    {
        let mut faults = 0;
        for (number, place) in to.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            // SAFETY: both words are among the 16 bytes.
            let at = unsafe { from.add(number * 8) };
            // SAFETY: as above.
            let (word, fault) = unsafe { load_64(at) };
            faults |= fault;
            *place = word.to_ne_bytes().map(MaybeUninit::new);
        }
        faults
    }
}

/// Loads are instructions here.
pub(in super::super) const INLINED: bool = true;

/// One entry of the table that inlined accesses leave behind: distances from each word itself.
#[repr(C)]
struct Entry {
    fault: i32,
    fixup: i32,
}

impl Entry {
    /// The entries between the two symbols that the linker defines around a section.
    ///
    /// # Safety
    /// `start` and `stop` must bound one section that holds nothing but entries.
    unsafe fn between<'a>(start: *const Self, stop: *const Self) -> &'a [Self] {
        let count = (stop.addr() - start.addr()) / size_of::<Self>();
        // SAFETY: the caller promises that the section holds entries only; it is never written.
        unsafe { std::slice::from_raw_parts(start, count) }
    }

    /// The fix-up if this entry is about the instruction at `pc`.
    fn matches(&self, pc: usize) -> Option<usize> {
        let fault = (&raw const self.fault).addr().wrapping_add_signed(self.fault as isize);
        let fixup = (&raw const self.fixup).addr().wrapping_add_signed(self.fixup as isize);
        (fault == pc).then_some(fixup)
    }
}

unsafe extern "C" {
    #[link_name = "__start_bifolio_inline_0_1"]
    static START: Entry;
    #[link_name = "__stop_bifolio_inline_0_1"]
    static STOP: Entry;
}

// Keeps the section in being in programs that inline no access, so that its ends are defined.
std::arch::global_asm!(
    ".pushsection bifolio_inline_0_1,\"aR\",@progbits",
    ".balign 4",
    ".long 0",
    ".long 0",
    ".popsection",
);

/// The fix-up of the inlined access at `pc`. Linear: a program has some hundreds of entries, and a
/// fault costs microseconds anyway.
pub(in super::super) fn recover(pc: usize) -> Option<usize> {
    // SAFETY: both symbols are the linker's bounds of the section that only `listed!` and the
    // block above fill, with whole entries.
    let entries = unsafe { Entry::between(&raw const START, &raw const STOP) };
    entries.iter().find_map(|entry| entry.matches(pc))
}
