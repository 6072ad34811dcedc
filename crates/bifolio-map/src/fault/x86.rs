//! Guarded memory access on 32-bit x86 (Linux): the routines of `x86_64.rs` in their plainest
//! form. Arguments come on the stack; 64-bit values take two registers. Register roles at a fault
//! of `copy` or `fill`, which the handler relies on: `eax` and `edx` hold the lowest and one past
//! the highest address that is ours.
#![expect(unsafe_code, reason = "declares routines that are written in assembly")]

use std::arch::global_asm;

use super::symbols::{export, local, symbol};
use super::table::Entry;

pub(super) use super::routines::*;

// A `Loaded` is returned through a hidden pointer, the first argument, which the callee pops
// (`ret 4`). Offsets below count after the pushes of the frame: esi, edi and ebx are saved.
// [esp+16] hidden pointer, [esp+20] address, [esp+24..] first value, [esp+32..] second value.
macro_rules! single {
    ($name:literal, $first:literal, $access:literal) => {
        concat!(
            export!(), symbol!($name), "\n.p2align 4\n", symbol!($name), ":\n",
            "push esi\npush edi\npush ebx\n",
            "mov edi, dword ptr [esp+20]\n",
            "xor eax, eax\nxor edx, edx\n",
            $first, "\n",
            local!("f_"), $name, ": ", $access, "\n",
            local!("e_"), $name, ": mov ecx, dword ptr [esp+16]\n",
            "mov dword ptr [ecx], eax\n",
            "mov dword ptr [ecx+4], edx\n",
            "mov dword ptr [ecx+8], 0\n",
            "mov dword ptr [ecx+12], 0\n",
            "mov eax, ecx\n",
            "pop ebx\npop edi\npop esi\nret 4\n",
        )
    };
}

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
    // copy(to, from, size, low, high) -> eax = not copied
    concat!(export!(), symbol!("copy")),
    ".p2align 4",
    concat!(symbol!("copy"), ":"),
    "push esi",
    "push edi",
    "mov edi, dword ptr [esp+12]",
    "mov esi, dword ptr [esp+16]",
    "mov ecx, dword ptr [esp+20]",
    "mov eax, dword ptr [esp+24]",
    "mov edx, dword ptr [esp+28]",
    concat!(local!("copy_rep"), ": rep movsb"),
    concat!(local!("copy_rep_end"), ": mov eax, ecx"),
    "pop edi",
    "pop esi",
    "ret",
    // fill(to, byte, size, low, high) -> eax = not filled; `stosb` wants the byte in al, so the
    // low bound is compared page by page with its last bits replaced: pages are what counts.
    concat!(export!(), symbol!("fill")),
    ".p2align 4",
    concat!(symbol!("fill"), ":"),
    "push esi",
    "push edi",
    "mov edi, dword ptr [esp+12]",
    "mov ecx, dword ptr [esp+20]",
    "mov eax, dword ptr [esp+24]",
    "mov edx, dword ptr [esp+28]",
    "mov al, byte ptr [esp+16]",
    concat!(local!("fill_rep"), ": rep stosb"),
    concat!(local!("fill_rep_end"), ": mov eax, ecx"),
    "pop edi",
    "pop esi",
    "ret",
    concat!(local!("single_fault"), ":"),
    "mov ecx, dword ptr [esp+16]",
    "mov dword ptr [ecx], 0",
    "mov dword ptr [ecx+4], 0",
    "mov dword ptr [ecx+8], 1",
    "mov dword ptr [ecx+12], 0",
    "mov eax, ecx",
    "pop ebx",
    "pop edi",
    "pop esi",
    "ret 4",
    single!("load_8", "", "movzx eax, byte ptr [edi]"),
    single!("load_16", "", "movzx eax, word ptr [edi]"),
    single!("load_32", "", "mov eax, dword ptr [edi]"),
    // lock cmpxchg8b would need a writable page; an aligned movq is atomic since the Pentium.
    concat!(export!(), symbol!("load_64"), "\n.p2align 4\n", symbol!("load_64"), ":"),
    "push esi",
    "push edi",
    "push ebx",
    "mov edi, dword ptr [esp+20]",
    concat!(local!("f_load_64"), ": movq xmm0, qword ptr [edi]"),
    concat!(local!("e_load_64"), ": mov ecx, dword ptr [esp+16]"),
    "movq qword ptr [ecx], xmm0",
    "mov dword ptr [ecx+8], 0",
    "mov dword ptr [ecx+12], 0",
    "mov eax, ecx",
    "pop ebx",
    "pop edi",
    "pop esi",
    "ret 4",
    single!("store_8", "mov esi, dword ptr [esp+24]\nmov ecx, esi", "mov byte ptr [edi], cl"),
    single!("store_16", "mov esi, dword ptr [esp+24]", "mov word ptr [edi], si"),
    single!("store_32", "mov esi, dword ptr [esp+24]", "mov dword ptr [edi], esi"),
    single!("store_64", "movq xmm0, qword ptr [esp+24]", "movq qword ptr [edi], xmm0"),
    single!("swap_32", "mov eax, dword ptr [esp+24]", "xchg dword ptr [edi], eax"),
    single!("add_32", "mov eax, dword ptr [esp+24]", "lock xadd dword ptr [edi], eax"),
    single!(
        "cas_32",
        "mov eax, dword ptr [esp+24]\nmov ecx, dword ptr [esp+32]",
        "lock cmpxchg dword ptr [edi], ecx"
    ),
    single!(
        "cas_64",
        "mov eax, dword ptr [esp+24]\nmov edx, dword ptr [esp+28]\nmov ebx, dword ptr [esp+32]\nmov ecx, dword ptr [esp+36]",
        "lock cmpxchg8b qword ptr [edi]"
    ),
    ".p2align 4",
    concat!(export!(), symbol!("table")),
    concat!(symbol!("table"), ":"),
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
    single_entry!("add_32"),
    single_entry!("cas_32"),
    single_entry!("cas_64"),
);

/// Entries in the table above.
const ENTRIES: usize = 2 + 12;

unsafe extern "C" {
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
