//! Names in assembly: Mach-O puts an underscore before C symbols and starts local labels with
//! `L`, ELF and PE on 64-bit machines do neither. The version is part of the name, so that two
//! versions of this crate can be linked into one program.

#[cfg(target_vendor = "apple")]
macro_rules! symbol {
    ($name:literal) => {
        concat!("_bifolio_map_0_1_", $name)
    };
}
#[cfg(not(target_vendor = "apple"))]
macro_rules! symbol {
    ($name:literal) => {
        concat!("bifolio_map_0_1_", $name)
    };
}
#[cfg(target_vendor = "apple")]
macro_rules! local {
    ($name:literal) => {
        concat!("Lbifolio_", $name)
    };
}
#[cfg(not(target_vendor = "apple"))]
macro_rules! local {
    ($name:literal) => {
        concat!(".Lbifolio_", $name)
    };
}
/// Declares the assembly routines that every architecture has.
macro_rules! routines {
    ($abi:literal) => {
        #[allow(dead_code, reason = "Linux inlines the loads; 32-bit x86 loops for some words")]
        unsafe extern $abi {
            #[link_name = "bifolio_map_0_1_copy"]
            pub(super) fn copy(
                to: *mut u8,
                from: *const u8,
                size: usize,
                low: usize,
                high: usize,
            ) -> usize;
            #[link_name = "bifolio_map_0_1_fill"]
            pub(super) fn fill(
                to: *mut u8,
                byte: u32,
                size: usize,
                low: usize,
                high: usize,
            ) -> usize;
            #[link_name = "bifolio_map_0_1_load_8"]
            pub(super) fn load_8(at: *const u8) -> Loaded;
            #[link_name = "bifolio_map_0_1_load_16"]
            pub(super) fn load_16(at: *const u8) -> Loaded;
            #[link_name = "bifolio_map_0_1_load_32"]
            pub(super) fn load_32(at: *const u8) -> Loaded;
            #[link_name = "bifolio_map_0_1_load_64"]
            pub(super) fn load_64(at: *const u8) -> Loaded;
            #[link_name = "bifolio_map_0_1_store_8"]
            pub(super) fn store_8(at: *mut u8, value: u64) -> Loaded;
            #[link_name = "bifolio_map_0_1_store_16"]
            pub(super) fn store_16(at: *mut u8, value: u64) -> Loaded;
            #[link_name = "bifolio_map_0_1_store_32"]
            pub(super) fn store_32(at: *mut u8, value: u64) -> Loaded;
            #[link_name = "bifolio_map_0_1_store_64"]
            pub(super) fn store_64(at: *mut u8, value: u64) -> Loaded;
            #[link_name = "bifolio_map_0_1_swap_32"]
            pub(super) fn swap_32(at: *mut u8, value: u64) -> Loaded;
            #[link_name = "bifolio_map_0_1_swap_64"]
            pub(super) fn swap_64(at: *mut u8, value: u64) -> Loaded;
            #[link_name = "bifolio_map_0_1_add_32"]
            pub(super) fn add_32(at: *mut u8, value: u64) -> Loaded;
            #[link_name = "bifolio_map_0_1_add_64"]
            pub(super) fn add_64(at: *mut u8, value: u64) -> Loaded;
            #[link_name = "bifolio_map_0_1_cas_32"]
            pub(super) fn cas_32(at: *mut u8, expected: u64, new: u64) -> Loaded;
            #[link_name = "bifolio_map_0_1_cas_64"]
            pub(super) fn cas_64(at: *mut u8, expected: u64, new: u64) -> Loaded;
        }
    };
}

pub(super) use {local, routines, symbol};
