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
pub(super) use {local, symbol};
