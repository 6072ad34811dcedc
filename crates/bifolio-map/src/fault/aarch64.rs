//! Guarded memory access on aarch64: routines in one assembly block, and the table of their
//! instructions that may fault. Register roles at a fault of `copy` or `fill`, which the handler
//! relies on: `x3` and `x4` hold the lowest and one past the highest address that is ours.
#![expect(unsafe_code, reason = "declares routines that are written in assembly")]

use std::arch::global_asm;

use super::symbols::{export, local, symbol};
use super::table::Entry;

pub(super) use super::routines::*;

/// A routine of one faulting instruction: value in `x0`, zero in `x1`; the fix-up puts one there.
macro_rules! single {
    ($name:literal, $access:literal, $after:literal) => {
        concat!(
            export!(), symbol!($name), "\n.p2align 4\n", symbol!($name), ":\n",
            local!("f_"), $name, ": ", $access, "\n",
            local!("e_"), $name, ": ", $after, "\n",
            "mov x1, xzr\n",
            "ret\n",
        )
    };
}

/// A read-modify-write by a pair of exclusives; either of them may fault.
/// `x0` address, `x1` operand, `x2` new value of a compare-exchange; `x8` old, `x9` new, `w10` status.
macro_rules! exclusive {
    ($name:literal, $load:literal, $modify:literal, $store:literal) => {
        concat!(
            export!(), symbol!($name), "\n.p2align 4\n", symbol!($name), ":\n",
            local!("f_"), $name, ": ", $load, "\n",
            $modify, "\n",
            $store, "\n",
            "cbnz w10, ", local!("f_"), $name, "\n",
            local!("e_"), $name, ": dmb ish\n",
            "mov x0, x8\n",
            "mov x1, xzr\n",
            "ret\n",
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
    // copy(x0 = to, x1 = from, x2 = size, x3 = ours low, x4 = ours high) -> x0 = not copied
    //
    // x5, x6, x7 are the destination, the source and what is left. They change only after all
    // accesses of a block, so the byte loop can take over wherever a block faults.
    concat!(export!(), symbol!("copy")),
    ".p2align 6",
    concat!(symbol!("copy"), ":"),
    "mov x5, x0",
    "mov x6, x1",
    "mov x7, x2",
    concat!(local!("copy_fast"), ":"),
    "2: cmp x7, #64",
    "b.lo 3f",
    "ldp q0, q1, [x6]",
    "ldp q2, q3, [x6, #32]",
    "stp q0, q1, [x5]",
    "stp q2, q3, [x5, #32]",
    "add x6, x6, #64",
    "add x5, x5, #64",
    "sub x7, x7, #64",
    "b 2b",
    "3: cmp x7, #8",
    "b.lo 4f",
    "ldr x8, [x6]",
    "str x8, [x5]",
    "add x6, x6, #8",
    "add x5, x5, #8",
    "sub x7, x7, #8",
    "b 3b",
    concat!(local!("copy_fast_end"), ":"),
    "4: cbz x7, 5f",
    concat!(local!("copy_exact"), ":"),
    "ldrb w8, [x6]",
    "strb w8, [x5]",
    concat!(local!("copy_exact_end"), ":"),
    "add x6, x6, #1",
    "add x5, x5, #1",
    "sub x7, x7, #1",
    "b 4b",
    "5: mov x0, x7",
    "ret",
    // fill(x0 = to, w1 = byte, x2 = size, x3 = ours low, x4 = ours high) -> x0 = not filled
    concat!(export!(), symbol!("fill")),
    ".p2align 4",
    concat!(symbol!("fill"), ":"),
    "mov x5, x0",
    "mov x7, x2",
    "dup v0.16b, w1",
    concat!(local!("fill_fast"), ":"),
    "2: cmp x7, #64",
    "b.lo 3f",
    "stp q0, q0, [x5]",
    "stp q0, q0, [x5, #32]",
    "add x5, x5, #64",
    "sub x7, x7, #64",
    "b 2b",
    concat!(local!("fill_fast_end"), ":"),
    "3: cbz x7, 4f",
    concat!(local!("fill_exact"), ":"),
    "strb w1, [x5]",
    concat!(local!("fill_exact_end"), ":"),
    "add x5, x5, #1",
    "sub x7, x7, #1",
    "b 3b",
    "4: mov x0, x7",
    "ret",
    concat!(local!("gave_up"), ":"),
    "mov x0, x7",
    "ret",
    concat!(local!("single_fault"), ":"),
    "mov x1, #1",
    "ret",
    // Loads are acquire and stores release: on this architecture that costs about as much as
    // plain ones, and the accessors that need no order accept it. Unaligned plain ones are apart.
    single!("load_8", "ldrb w0, [x0]", "dmb ishld"),
    single!("load_16", "ldrh w0, [x0]", "dmb ishld"),
    single!("load_32", "ldr w0, [x0]", "dmb ishld"),
    single!("load_64", "ldr x0, [x0]", "dmb ishld"),
    concat!(export!(), symbol!("store_8"), "\n.p2align 4\n", symbol!("store_8"), ":\ndmb ish"),
    concat!(local!("f_store_8"), ": strb w1, [x0]"),
    concat!(local!("e_store_8"), ": mov x1, xzr\nret"),
    concat!(export!(), symbol!("store_16"), "\n.p2align 4\n", symbol!("store_16"), ":\ndmb ish"),
    concat!(local!("f_store_16"), ": strh w1, [x0]"),
    concat!(local!("e_store_16"), ": mov x1, xzr\nret"),
    concat!(export!(), symbol!("store_32"), "\n.p2align 4\n", symbol!("store_32"), ":\ndmb ish"),
    concat!(local!("f_store_32"), ": str w1, [x0]"),
    concat!(local!("e_store_32"), ": mov x1, xzr\nret"),
    concat!(export!(), symbol!("store_64"), "\n.p2align 4\n", symbol!("store_64"), ":\ndmb ish"),
    concat!(local!("f_store_64"), ": str x1, [x0]"),
    concat!(local!("e_store_64"), ": mov x1, xzr\nret"),
    exclusive!("swap_32", "ldaxr w8, [x0]", "mov w9, w1", "stlxr w10, w9, [x0]"),
    exclusive!("swap_64", "ldaxr x8, [x0]", "mov x9, x1", "stlxr w10, x9, [x0]"),
    exclusive!("add_32", "ldaxr w8, [x0]", "add w9, w8, w1", "stlxr w10, w9, [x0]"),
    exclusive!("add_64", "ldaxr x8, [x0]", "add x9, x8, x1", "stlxr w10, x9, [x0]"),
    exclusive!(
        "cas_32",
        "ldaxr w8, [x0]",
        "cmp w8, w1\ncsel w9, w2, w8, eq",
        "stlxr w10, w9, [x0]"
    ),
    exclusive!(
        "cas_64",
        "ldaxr x8, [x0]",
        "cmp x8, x1\ncsel x9, x2, x8, eq",
        "stlxr w10, x9, [x0]"
    ),
    ".p2align 4",
    concat!(export!(), symbol!("table")),
    concat!(symbol!("table"), ":"),
    concat!(".long ", local!("copy_fast"), " - ", symbol!("table")),
    concat!(".long ", local!("copy_fast_end"), " - ", symbol!("table")),
    concat!(".long ", local!("copy_exact"), " - ", symbol!("table")),
    ".long 0",
    concat!(".long ", local!("copy_exact"), " - ", symbol!("table")),
    concat!(".long ", local!("copy_exact_end"), " - ", symbol!("table")),
    concat!(".long ", local!("gave_up"), " - ", symbol!("table")),
    ".long 0",
    concat!(".long ", local!("fill_fast"), " - ", symbol!("table")),
    concat!(".long ", local!("fill_fast_end"), " - ", symbol!("table")),
    concat!(".long ", local!("fill_exact"), " - ", symbol!("table")),
    ".long 0",
    concat!(".long ", local!("fill_exact"), " - ", symbol!("table")),
    concat!(".long ", local!("fill_exact_end"), " - ", symbol!("table")),
    concat!(".long ", local!("gave_up"), " - ", symbol!("table")),
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
const ENTRIES: usize = 4 + 14;

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
