//! Tells the program which target it was built for: only the build script is told by cargo.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if let Ok(target) = std::env::var("TARGET") {
        println!("cargo:rustc-env=BIFOLIO_TARGET={target}");
    }
}
