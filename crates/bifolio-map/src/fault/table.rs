//! The table of instructions that may fault, and what the fault handler does with it.
//!
//! An entry says: if the program counter lies in `start..end`, continue at `fixup`. The distances
//! are from the table's own start, so that it needs no relocation. This file knows no signal and
//! no exception: the handlers hand in a program counter and an address, and get one back.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Where a range of instructions continues after a fault. All distances in bytes from the table.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Entry {
    start: i32,
    end: i32,
    fixup: i32,
    kind: u32,
}

/// [`Entry::kind`] of copies: one of the two operands is a caller's buffer, whose faults are not
/// ours. Kind 1 is a single access whose only operand is ours.
const KIND_COPY: u32 = 0;

/// What a guarded load or read-modify-write gives back: `fault` is not zero if it never happened.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Loaded {
    pub(super) value: u64,
    pub(super) fault: u64,
}

/// The addresses that are ours, as the routine keeps them in its registers.
#[derive(Clone, Copy)]
pub(super) struct Ours {
    pub(super) low: usize,
    pub(super) high: usize,
}

/// Page size minus one; set before a handler is installed. The kernel may report a fault by its
/// page (a machine check does), so addresses are compared page by page.
pub(super) static PAGE_MASK: AtomicUsize = AtomicUsize::new(4095);

/// Where to continue after a fault of the instruction at `pc` on address `at`, or `None` if the
/// fault is not ours. Called inside a signal or exception handler: no locks, no allocation.
pub(super) fn recover(pc: usize, at: usize, ours: Ours) -> Option<usize> {
    for entry in super::arch::table() {
        if (entry.address(entry.start)..entry.address(entry.end)).contains(&pc) {
            let mask = PAGE_MASK.load(Ordering::Relaxed);
            let foreign = entry.kind == KIND_COPY
                && (at < ours.low & !mask || at > ours.high.wrapping_sub(1) | mask);
            return (!foreign).then(|| entry.address(entry.fixup));
        }
    }
    super::inline::recover(pc)
}

impl Entry {
    /// The absolute address of one of the distances.
    fn address(&self, distance: i32) -> usize {
        super::arch::table().as_ptr().addr().wrapping_add_signed(distance as isize)
    }
}
