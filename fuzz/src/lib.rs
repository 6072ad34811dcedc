//! What the fuzz targets do, as functions from bytes that panic when a property does not hold.
//!
//! The programs in `fuzz_targets/` only call them, so that any input can also be run by an
//! ordinary test.
#![forbid(unsafe_code)]

mod code_only;
mod machine_texts;
mod ranges;
mod region;
mod saved_set;
mod view_model;

pub use code_only::code_only;
pub use machine_texts::machine_texts;
pub use ranges::ranges;
pub use region::region;
pub use saved_set::saved_set;
pub use view_model::view_model;

#[cfg(test)]
mod tests {
    /// Runs a target on each of its seeds.
    pub(crate) fn hold(target: &str, run: impl Fn(&[u8])) {
        let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
        let mut count = 0;
        for seed in std::fs::read_dir(seeds).unwrap() {
            run(&std::fs::read(seed.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "{target} has no seeds");
    }
}
