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
/// The directive that makes a name known to other object files. The unit tests link this crate
/// twice, as itself and as what bifolio-testkit uses; then one copy of the routines, with its
/// table, serves both.
#[cfg(not(all(test, target_os = "linux")))]
macro_rules! export {
    () => {
        ".globl "
    };
}
#[cfg(all(test, target_os = "linux"))]
macro_rules! export {
    () => {
        ".weak "
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
pub(super) use {export, local, symbol};
