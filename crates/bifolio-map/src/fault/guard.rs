//! Guarded access to mapped memory: what the rest of the crate calls instead of dereferencing.
//!
//! Each function does the access or says how much of it did not happen; none dereferences mapped
//! memory as a Rust reference or by a plain read, so neither other processes that write the same
//! bytes nor a page that is gone can make it undefined.
#![expect(unsafe_code, reason = "calls the routines in assembly")]

use std::mem::MaybeUninit;

use super::{arch, inline, writes};

/// An access that the system could not satisfy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Bytes that were accessed before it.
    pub(crate) done: usize,
}

/// Whether this architecture has read-modify-write access to a map.
pub(crate) const HAS_ATOMICS: bool = arch::HAS_ATOMICS;

/// Copies out of a map.
///
/// # Safety
/// `from` must be `out.len()` bytes of mapped memory that stay mapped during the call.
#[inline]
pub(crate) unsafe fn copy_out(from: *const u8, out: &mut [MaybeUninit<u8>]) -> Result<(), Fault> {
    let (low, high) = (from.addr(), from.addr().wrapping_add(out.len()));
    // SAFETY: the caller promises the source, the slice is the destination; they cannot overlap,
    // since a map is never lent as `&mut`.
    let missing = unsafe { arch::copy(out.as_mut_ptr().cast(), from, out.len(), low, high) };
    if missing == 0 { Ok(()) } else { Err(Fault { done: out.len() - missing }) }
}

/// Whether a load is an instruction and no call.
pub(crate) const INLINED_LOADS: bool = inline::INLINED;

/// Copies a few bytes out of a map, 16 at a time; as many as `out` has, which must be a multiple. After
/// a fault any of them may have been copied.
///
/// # Safety
/// As for [`copy_out`].
#[inline(always)]
pub(crate) unsafe fn copy_few_out(
    from: *const u8,
    out: &mut [MaybeUninit<u8>],
) -> Result<(), Fault> {
    let mut faults = 0;
    for (number, place) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        // SAFETY: as many bytes as `out` are mapped.
        let from = unsafe { from.add(number * 16) };
        // SAFETY: as above.
        faults |= unsafe { inline::copy_16(from, place) };
    }
    if faults == 0 { Ok(()) } else { Err(Fault { done: 0 }) }
}

/// Copies into a map.
///
/// # Safety
/// `to` must be `bytes.len()` bytes of memory mapped writable that stay mapped during the call.
#[inline]
pub(crate) unsafe fn copy_in(to: *mut u8, bytes: &[u8]) -> Result<(), Fault> {
    let (low, high) = (to.addr(), to.addr().wrapping_add(bytes.len()));
    // SAFETY: the caller promises the destination, the slice is the source.
    let missing = unsafe { arch::copy(to, bytes.as_ptr(), bytes.len(), low, high) };
    if missing == 0 { Ok(()) } else { Err(Fault { done: bytes.len() - missing }) }
}

/// Fills a piece of a map with one byte.
///
/// # Safety
/// `to` must be `size` bytes of memory mapped writable that stay mapped during the call.
#[inline]
pub(crate) unsafe fn fill(to: *mut u8, byte: u8, size: usize) -> Result<(), Fault> {
    let (low, high) = (to.addr(), to.addr().wrapping_add(size));
    // SAFETY: the caller promises the destination.
    let missing = unsafe { arch::fill(to, u32::from(byte), size, low, high) };
    if missing == 0 { Ok(()) } else { Err(Fault { done: size - missing }) }
}

/// Asks the processor to bring a line into its second-level cache. Any address will do: a line that
/// cannot be had is not fetched.
#[inline(always)]
pub(crate) fn prefetch(at: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the instruction is part of every x86-64, and prefetches neither fault nor access.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(at.cast());
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl2keep, [{at}]", at = in(reg) at, options(nostack, readonly, preserves_flags));
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = at;
}

/// An unsigned integer that is loaded and stored in one piece.
pub(crate) trait Word: Copy + Into<u64> {
    /// Loads; an aligned load is in one piece, but says nothing of other memory.
    ///
    /// # Safety
    /// `at` must be mapped readable for the word's size during the call.
    unsafe fn load(at: *const u8) -> Result<Self, Fault>;
    /// Loads with acquire ordering; `at` must be aligned.
    ///
    /// # Safety
    /// As for [`load`](Self::load).
    unsafe fn load_acquire(at: *const u8) -> Result<Self, Fault>;
    /// Stores; aligned stores are atomic and release.
    ///
    /// # Safety
    /// `at` must be mapped writable for the word's size during the call.
    unsafe fn store(at: *mut u8, value: Self) -> Result<(), Fault>;
}

macro_rules! word {
    ($word:ty, $load:ident, $store:ident) => {
        impl Word for $word {
            #[inline(always)]
            unsafe fn load(at: *const u8) -> Result<Self, Fault> {
                // SAFETY: the caller's promise is the load's.
                let (value, fault) = unsafe { inline::$load(at) };
                #[allow(clippy::cast_possible_truncation, reason = "the load has this width")]
                if fault == 0 { Ok(value as $word) } else { Err(Fault { done: 0 }) }
            }

            #[inline(always)]
            unsafe fn load_acquire(at: *const u8) -> Result<Self, Fault> {
                // On x86 every load is an acquire load to the processor; the fence makes it one to
                // the compiler, which otherwise may reuse what it read before.
                #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
                {
                    // SAFETY: the caller's promise is the load's.
                    let loaded = unsafe { Self::load(at) };
                    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::Acquire);
                    loaded
                }
                // Elsewhere the routine ends with the barrier.
                #[cfg(not(any(target_arch = "x86_64", target_arch = "x86")))]
                {
                    // SAFETY: the caller's promise is the routine's.
                    let loaded = unsafe { arch::$load(at) };
                    #[allow(clippy::cast_possible_truncation, reason = "the load has this width")]
                    if loaded.fault == 0 {
                        Ok(loaded.value as $word)
                    } else {
                        Err(Fault { done: 0 })
                    }
                }
            }

            #[inline]
            unsafe fn store(at: *mut u8, value: Self) -> Result<(), Fault> {
                // SAFETY: the caller's promise is the store's.
                let stored = unsafe { writes::$store(at, value.into()) };
                if stored.fault == 0 { Ok(()) } else { Err(Fault { done: 0 }) }
            }
        }
    };
}

word!(u8, load_8, store_8);
word!(u16, load_16, store_16);
word!(u32, load_32, store_32);
word!(u64, load_64, store_64);

/// A word with sequentially consistent read-modify-writes. All of them want an aligned address,
/// mapped writable for as long as the call lasts.
pub(crate) trait AtomicWord: Word + PartialEq {
    /// Stores `value` and gives back what was there.
    ///
    /// # Safety
    /// As for the trait.
    unsafe fn swap(at: *mut u8, value: Self) -> Result<Self, Fault>;
    /// Adds `value`, wrapping, and gives back what was there.
    ///
    /// # Safety
    /// As for the trait.
    unsafe fn add(at: *mut u8, value: Self) -> Result<Self, Fault>;
    /// Stores `new` if `expected` is there; gives back what was there.
    ///
    /// # Safety
    /// As for the trait.
    unsafe fn compare_exchange(at: *mut u8, expected: Self, new: Self) -> Result<Self, Fault>;
}

macro_rules! atomic_word {
    ($word:ty, $swap:ident, $add:ident, $cas:ident) => {
        impl AtomicWord for $word {
            #[inline]
            unsafe fn swap(at: *mut u8, value: Self) -> Result<Self, Fault> {
                // SAFETY: the caller's promise is the access's.
                outcome(unsafe { writes::$swap(at, value.into()) }).map(|value| value as $word)
            }

            #[inline]
            unsafe fn add(at: *mut u8, value: Self) -> Result<Self, Fault> {
                // SAFETY: the caller's promise is the access's.
                outcome(unsafe { writes::$add(at, value.into()) }).map(|value| value as $word)
            }

            #[inline]
            unsafe fn compare_exchange(
                at: *mut u8,
                expected: Self,
                new: Self,
            ) -> Result<Self, Fault> {
                // SAFETY: the caller's promise is the access's.
                outcome(unsafe { writes::$cas(at, expected.into(), new.into()) })
                    .map(|value| value as $word)
            }
        }
    };
}

#[allow(clippy::cast_possible_truncation, reason = "the routines have these widths")]
mod atomic_words {
    use super::{AtomicWord, Fault, outcome, writes};

    atomic_word!(u32, swap_32, add_32, cas_32);

    #[cfg(not(all(target_arch = "x86", not(miri), not(bifolio_portable))))]
    atomic_word!(u64, swap_64, add_64, cas_64);

    /// 32-bit x86 has one instruction for eight bytes, `cmpxchg8b`; the others are loops over it.
    #[cfg(all(target_arch = "x86", not(miri), not(bifolio_portable)))]
    impl AtomicWord for u64 {
        unsafe fn swap(at: *mut u8, value: Self) -> Result<Self, Fault> {
            // SAFETY: the caller's promise is the same.
            unsafe { update(at, |_| value) }
        }

        unsafe fn add(at: *mut u8, value: Self) -> Result<Self, Fault> {
            // SAFETY: the caller's promise is the same.
            unsafe { update(at, |old| old.wrapping_add(value)) }
        }

        unsafe fn compare_exchange(at: *mut u8, expected: Self, new: Self) -> Result<Self, Fault> {
            // SAFETY: the caller's promise is the access's.
            outcome(unsafe { writes::cas_64(at, expected, new) })
        }
    }

    /// Applies `change` by compare-exchange until no other thread came between.
    ///
    /// # Safety
    /// `at` must be an aligned word, mapped writable during the call.
    #[cfg(all(target_arch = "x86", not(miri), not(bifolio_portable)))]
    unsafe fn update(at: *mut u8, change: impl Fn(u64) -> u64) -> Result<u64, Fault> {
        // SAFETY: the caller's promise.
        let mut old = unsafe { <u64 as super::Word>::load(at) }?;
        loop {
            // SAFETY: the caller's promise.
            let found = unsafe { u64::compare_exchange(at, old, change(old)) }?;
            if found == old {
                return Ok(old);
            }
            old = found;
        }
    }
}

/// The value of a routine, or its fault.
#[inline]
fn outcome(loaded: super::table::Loaded) -> Result<u64, Fault> {
    if loaded.fault == 0 { Ok(loaded.value) } else { Err(Fault { done: 0 }) }
}
