//! The routines in assembly, as Rust declares them; each architecture's file defines them.
#![expect(unsafe_code, reason = "declares routines that are written in assembly")]

use super::table::Loaded;

/// Declares the assembly routines that every architecture has.
macro_rules! routines {
    ($abi:literal) => {
        #[allow(dead_code, reason = "Linux inlines loads and some writes; 32-bit x86 loops for some words")]
        unsafe extern $abi {
            #[link_name = "bifolio_map_0_1_copy"]
            pub(in crate::fault) fn copy(
                to: *mut u8,
                from: *const u8,
                size: usize,
                low: usize,
                high: usize,
            ) -> usize;
            #[link_name = "bifolio_map_0_1_fill"]
            pub(in crate::fault) fn fill(
                to: *mut u8,
                byte: u32,
                size: usize,
                low: usize,
                high: usize,
            ) -> usize;
            #[link_name = "bifolio_map_0_1_load_8"]
            pub(in crate::fault) fn load_8(at: *const u8) -> Loaded;
            #[link_name = "bifolio_map_0_1_load_16"]
            pub(in crate::fault) fn load_16(at: *const u8) -> Loaded;
            #[link_name = "bifolio_map_0_1_load_32"]
            pub(in crate::fault) fn load_32(at: *const u8) -> Loaded;
            #[link_name = "bifolio_map_0_1_load_64"]
            pub(in crate::fault) fn load_64(at: *const u8) -> Loaded;
            #[link_name = "bifolio_map_0_1_store_8"]
            pub(in crate::fault) fn store_8(at: *mut u8, value: u64) -> Loaded;
            #[link_name = "bifolio_map_0_1_store_16"]
            pub(in crate::fault) fn store_16(at: *mut u8, value: u64) -> Loaded;
            #[link_name = "bifolio_map_0_1_store_32"]
            pub(in crate::fault) fn store_32(at: *mut u8, value: u64) -> Loaded;
            #[link_name = "bifolio_map_0_1_store_64"]
            pub(in crate::fault) fn store_64(at: *mut u8, value: u64) -> Loaded;
            #[link_name = "bifolio_map_0_1_swap_32"]
            pub(in crate::fault) fn swap_32(at: *mut u8, value: u64) -> Loaded;
            #[link_name = "bifolio_map_0_1_swap_64"]
            pub(in crate::fault) fn swap_64(at: *mut u8, value: u64) -> Loaded;
            #[link_name = "bifolio_map_0_1_add_32"]
            pub(in crate::fault) fn add_32(at: *mut u8, value: u64) -> Loaded;
            #[link_name = "bifolio_map_0_1_add_64"]
            pub(in crate::fault) fn add_64(at: *mut u8, value: u64) -> Loaded;
            #[link_name = "bifolio_map_0_1_cas_32"]
            pub(in crate::fault) fn cas_32(at: *mut u8, expected: u64, new: u64) -> Loaded;
            #[link_name = "bifolio_map_0_1_cas_64"]
            pub(in crate::fault) fn cas_64(at: *mut u8, expected: u64, new: u64) -> Loaded;
        }
    };
}

#[cfg(target_arch = "x86_64")]
routines!("sysv64");
#[cfg(not(target_arch = "x86_64"))]
routines!("C");
