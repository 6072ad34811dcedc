//! Guarded memory access on x86-64: routines in one assembly block, and the table of their
//! instructions that may fault.
//!
//! All routines use the System V convention on every operating system, are leaves, and touch the
//! stack only by `ret`; that is why Windows can continue at a fix-up without unwind data.
//! Register roles at a fault, which the handler relies on (see `table::recover`):
//! `r9` and `r8` hold the lowest and one past the highest address that is ours.
#![expect(unsafe_code, reason = "declares routines that are written in assembly")]

use std::arch::global_asm;

use super::symbols::{export, local, symbol};
use super::table::Entry;

pub(super) use super::routines::*;

/// A routine of one faulting instruction: returns the value in `rax` and zero in `rdx`, or, from
/// the fix-up, one in `rdx`.
macro_rules! single {
    ($name:literal, $first:literal, $access:literal) => {
        concat!(
            export!(), symbol!($name), "\n.p2align 4\n", symbol!($name), ":\n",
            $first, "\n",
            local!("f_"), $name, ": ", $access, "\n",
            local!("e_"), $name, ": xor edx, edx\n",
            "ret\n",
        )
    };
}

/// The table entry of a [`single!`] routine: kind 1, whose one operand is always ours.
macro_rules! single_entry {
    ($name:literal) => {
        concat!(
            ".long ", local!("f_"), $name, " - ", symbol!("table"), "\n",
            ".long ", local!("e_"), $name, " - ", symbol!("table"), "\n",
            ".long ", local!("single_fault"), " - ", symbol!("table"), "\n",
            ".long 1\n",
        )
    };
}

global_asm!(
    ".text",
    // copy(rdi = to, rsi = from, rdx = size, rcx = ours low, r8 = ours high) -> rax = not copied
    //
    // Up to 768 bytes by moves that leave rdi, rsi and rdx alone; a fault among them starts the
    // copy again by `rep movsb`, which is exact: at a fault rcx is the number of bytes left.
    concat!(export!(), symbol!("copy")),
    ".p2align 6",
    concat!(symbol!("copy"), ":"),
    "mov r9, rcx",
    "cmp rdx, 16",
    "jae 20f",
    concat!(local!("copy_fast"), ":"),
    "cmp edx, 8",
    "jae 18f",
    "cmp edx, 4",
    "jae 14f",
    "test edx, edx",
    "je 19f",
    "movzx eax, byte ptr [rsi]",
    "movzx r10d, byte ptr [rsi + rdx - 1]",
    "cmp edx, 3",
    "jne 12f",
    "movzx r11d, byte ptr [rsi + 1]",
    "mov byte ptr [rdi + 1], r11b",
    "12: mov byte ptr [rdi], al",
    "mov byte ptr [rdi + rdx - 1], r10b",
    "19: xor eax, eax",
    "ret",
    "14: mov eax, dword ptr [rsi]",
    "mov r10d, dword ptr [rsi + rdx - 4]",
    "mov dword ptr [rdi], eax",
    "mov dword ptr [rdi + rdx - 4], r10d",
    "xor eax, eax",
    "ret",
    "18: mov rax, qword ptr [rsi]",
    "mov r10, qword ptr [rsi + rdx - 8]",
    "mov qword ptr [rdi], rax",
    "mov qword ptr [rdi + rdx - 8], r10",
    "xor eax, eax",
    "ret",
    // 16 to 32 and 33 to 64 bytes: from both ends, overlapping in the middle.
    "20: cmp rdx, 32",
    "ja 22f",
    "movups xmm0, xmmword ptr [rsi]",
    "movups xmm1, xmmword ptr [rsi + rdx - 16]",
    "movups xmmword ptr [rdi], xmm0",
    "movups xmmword ptr [rdi + rdx - 16], xmm1",
    "xor eax, eax",
    "ret",
    "22: cmp rdx, 64",
    "ja 24f",
    "movups xmm0, xmmword ptr [rsi]",
    "movups xmm1, xmmword ptr [rsi + 16]",
    "movups xmm2, xmmword ptr [rsi + rdx - 32]",
    "movups xmm3, xmmword ptr [rsi + rdx - 16]",
    "movups xmmword ptr [rdi], xmm0",
    "movups xmmword ptr [rdi + 16], xmm1",
    "movups xmmword ptr [rdi + rdx - 32], xmm2",
    "movups xmmword ptr [rdi + rdx - 16], xmm3",
    "xor eax, eax",
    "ret",
    // 65 to 768 bytes: 64 at a time, and the last 64 overlapping what was done. Longer ones are
    // faster by a string copy, whose start costs about as much as this loop does for 768.
    "24: cmp rdx, 768",
    "ja 30f",
    "xor ecx, ecx",
    "lea r10, [rdx - 64]",
    "25: movups xmm0, xmmword ptr [rsi + rcx]",
    "movups xmm1, xmmword ptr [rsi + rcx + 16]",
    "movups xmm2, xmmword ptr [rsi + rcx + 32]",
    "movups xmm3, xmmword ptr [rsi + rcx + 48]",
    "movups xmmword ptr [rdi + rcx], xmm0",
    "movups xmmword ptr [rdi + rcx + 16], xmm1",
    "movups xmmword ptr [rdi + rcx + 32], xmm2",
    "movups xmmword ptr [rdi + rcx + 48], xmm3",
    "add rcx, 64",
    "cmp rcx, r10",
    "jb 25b",
    "movups xmm0, xmmword ptr [rsi + r10]",
    "movups xmm1, xmmword ptr [rsi + r10 + 16]",
    "movups xmm2, xmmword ptr [rsi + r10 + 32]",
    "movups xmm3, xmmword ptr [rsi + r10 + 48]",
    "movups xmmword ptr [rdi + r10], xmm0",
    "movups xmmword ptr [rdi + r10 + 16], xmm1",
    "movups xmmword ptr [rdi + r10 + 32], xmm2",
    "movups xmmword ptr [rdi + r10 + 48], xmm3",
    "xor eax, eax",
    "ret",
    // Long: the first 64 bytes by moves, so that the destination of the string copy is aligned
    // (an unaligned one costs up to a third of the bandwidth).
    "30: movups xmm0, xmmword ptr [rsi]",
    "movups xmm1, xmmword ptr [rsi + 16]",
    "movups xmm2, xmmword ptr [rsi + 32]",
    "movups xmm3, xmmword ptr [rsi + 48]",
    "movups xmmword ptr [rdi], xmm0",
    "movups xmmword ptr [rdi + 16], xmm1",
    "movups xmmword ptr [rdi + 32], xmm2",
    "movups xmmword ptr [rdi + 48], xmm3",
    concat!(local!("copy_fast_end"), ":"),
    "mov rax, rdi",
    "neg rax",
    "and eax, 63",
    "add rdi, rax",
    "add rsi, rax",
    "sub rdx, rax",
    concat!(local!("copy_exact"), ":"),
    "mov rcx, rdx",
    concat!(local!("copy_rep"), ": rep movsb"),
    concat!(local!("copy_rep_end"), ": mov rax, rcx"),
    "ret",
    // fill(rdi = to, esi = byte, rdx = size, rcx = ours low, r8 = ours high) -> rax = not filled
    concat!(export!(), symbol!("fill")),
    ".p2align 4",
    concat!(symbol!("fill"), ":"),
    "mov r9, rcx",
    "mov eax, esi",
    "mov rcx, rdx",
    concat!(local!("fill_rep"), ": rep stosb"),
    concat!(local!("fill_rep_end"), ": mov rax, rcx"),
    "ret",
    concat!(local!("single_fault"), ":"),
    "mov edx, 1",
    "ret",
    single!("load_8", "", "movzx eax, byte ptr [rdi]"),
    single!("load_16", "", "movzx eax, word ptr [rdi]"),
    single!("load_32", "", "mov eax, dword ptr [rdi]"),
    single!("load_64", "", "mov rax, qword ptr [rdi]"),
    single!("store_8", "", "mov byte ptr [rdi], sil"),
    single!("store_16", "", "mov word ptr [rdi], si"),
    single!("store_32", "", "mov dword ptr [rdi], esi"),
    single!("store_64", "", "mov qword ptr [rdi], rsi"),
    single!("swap_32", "mov eax, esi", "xchg dword ptr [rdi], eax"),
    single!("swap_64", "mov rax, rsi", "xchg qword ptr [rdi], rax"),
    single!("add_32", "mov eax, esi", "lock xadd dword ptr [rdi], eax"),
    single!("add_64", "mov rax, rsi", "lock xadd qword ptr [rdi], rax"),
    // rsi = expected, rdx = new; rax = what was there
    single!("cas_32", "mov eax, esi", "lock cmpxchg dword ptr [rdi], edx"),
    single!("cas_64", "mov rax, rsi", "lock cmpxchg qword ptr [rdi], rdx"),
    // The table, in the same section so that the assembler knows every distance.
    ".p2align 4",
    concat!(export!(), symbol!("table")),
    concat!(symbol!("table"), ":"),
    concat!(".long ", local!("copy_fast"), " - ", symbol!("table")),
    concat!(".long ", local!("copy_fast_end"), " - ", symbol!("table")),
    concat!(".long ", local!("copy_exact"), " - ", symbol!("table")),
    ".long 0",
    concat!(".long ", local!("copy_rep"), " - ", symbol!("table")),
    concat!(".long ", local!("copy_rep_end"), " - ", symbol!("table")),
    concat!(".long ", local!("copy_rep_end"), " - ", symbol!("table")),
    ".long 0",
    concat!(".long ", local!("fill_rep"), " - ", symbol!("table")),
    concat!(".long ", local!("fill_rep_end"), " - ", symbol!("table")),
    concat!(".long ", local!("fill_rep_end"), " - ", symbol!("table")),
    ".long 0",
    single_entry!("load_8"),
    single_entry!("load_16"),
    single_entry!("load_32"),
    single_entry!("load_64"),
    single_entry!("store_8"),
    single_entry!("store_16"),
    single_entry!("store_32"),
    single_entry!("store_64"),
    single_entry!("swap_32"),
    single_entry!("swap_64"),
    single_entry!("add_32"),
    single_entry!("add_64"),
    single_entry!("cas_32"),
    single_entry!("cas_64"),
);

/// Entries in the table above.
const ENTRIES: usize = 3 + 14;

unsafe extern "sysv64" {
    #[link_name = "bifolio_map_0_1_table"]
    static TABLE: [Entry; ENTRIES];
}

/// The table of this architecture.
pub(super) fn table() -> &'static [Entry] {
    // SAFETY: the assembly block above defines the table with exactly that many entries, and
    // nothing ever writes it.
    unsafe { &TABLE }
}

/// Read-modify-writes are to be had here.
pub(super) const HAS_ATOMICS: bool = true;
