//! What a check needs from the machine, how to see whether it is there, and where to get it.

use std::path::{Path, PathBuf};

use crate::cmd::Cmd;
use crate::workspace::Workspace;

/// Something a check cannot run without, or would be less thorough without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) name: &'static str,
    probe: Probe,
    pub(crate) source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    /// One of these programs exists: a bare name on the path, or a full path.
    Program(&'static [&'static str]),
    /// This file or folder exists below the toolchain's sysroot.
    Sysroot(Toolchain, &'static str),
    /// This program exists on the path or among the tools that we built.
    Tool(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Target(Toolchain, &'static str),
    Component(Toolchain, &'static str),
    Apt(&'static [&'static str]),
    Cargo(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The one that `rust-toolchain.toml` names.
    Default,
    Nightly,
}

pub(crate) const RUSTFMT: Need =
    component("rustfmt", Toolchain::Default, "rustfmt", "bin/cargo-fmt");
pub(crate) const CLIPPY: Need =
    component("clippy", Toolchain::Default, "clippy", "bin/cargo-clippy");
pub(crate) const MIRI: Need = component("Miri", Toolchain::Nightly, "miri", "bin/cargo-miri");
pub(crate) const RUST_SRC: Need = component(
    "the source of std",
    Toolchain::Nightly,
    "rust-src",
    "lib/rustlib/src/rust/library/Cargo.toml",
);
pub(crate) const NIGHTLY: Need =
    component("a nightly toolchain", Toolchain::Nightly, "rustc", "bin/rustc");

pub(crate) const WINDOWS: Need =
    target("x86_64-pc-windows-gnu", "lib/rustlib/x86_64-pc-windows-gnu/lib");
pub(crate) const MACOS: Need =
    target("aarch64-apple-darwin", "lib/rustlib/aarch64-apple-darwin/lib");
pub(crate) const ARM_LINUX: Need =
    target("aarch64-unknown-linux-gnu", "lib/rustlib/aarch64-unknown-linux-gnu/lib");
pub(crate) const I686: Need =
    target("i686-unknown-linux-gnu", "lib/rustlib/i686-unknown-linux-gnu/lib");

pub(crate) const MINGW: Need =
    program("MinGW", &["x86_64-w64-mingw32-gcc"], &["gcc-mingw-w64-x86-64"]);
/// Debian's wine64 package without its wine package puts nothing on the path.
pub(crate) const WINE: Need =
    program("Wine", &["wine", "wine64", "/usr/lib/wine/wine64"], &["wine", "wine64"]);
/// Not gcc-multilib, which Debian does not install beside a compiler for another architecture.
pub(crate) const I686_GCC: Need = program(
    "a linker for i686",
    &["i686-linux-gnu-gcc"],
    &["gcc-i686-linux-gnu", "libc6-dev-i386-cross"],
);
pub(crate) const I686_LIBS: Need =
    program("the 32-bit C library", &["/lib/ld-linux.so.2"], &["lib32gcc-s1"]);
pub(crate) const ARM_GCC: Need = program(
    "a linker for aarch64",
    &["aarch64-linux-gnu-gcc"],
    &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
);
pub(crate) const ARM_QEMU: Need = program("qemu-aarch64", &["qemu-aarch64"], &["qemu-user"]);
pub(crate) const CXX: Need = program("a C++ compiler (for libFuzzer)", &["c++"], &["g++"]);
pub(crate) const CARGO_DENY: Need = Need {
    name: "cargo-deny",
    probe: Probe::Tool("cargo-deny"),
    source: Source::Cargo("cargo-deny"),
};

pub(crate) const SETPRIV: Need = program("setpriv", &["setpriv"], &["util-linux"]);
pub(crate) const EXT4: Need = program("mkfs.ext4", &["mkfs.ext4"], &["e2fsprogs"]);
pub(crate) const XFS: Need = program("mkfs.xfs", &["mkfs.xfs"], &["xfsprogs"]);
pub(crate) const BTRFS: Need = program("mkfs.btrfs", &["mkfs.btrfs"], &["btrfs-progs"]);

const fn component(
    name: &'static str,
    toolchain: Toolchain,
    component: &'static str,
    file: &'static str,
) -> Need {
    Need {
        name,
        probe: Probe::Sysroot(toolchain, file),
        source: Source::Component(toolchain, component),
    }
}

const fn target(triple: &'static str, folder: &'static str) -> Need {
    Need {
        name: triple,
        probe: Probe::Sysroot(Toolchain::Default, folder),
        source: Source::Target(Toolchain::Default, triple),
    }
}

const fn program(
    name: &'static str,
    candidates: &'static [&'static str],
    packages: &'static [&'static str],
) -> Need {
    Need { name, probe: Probe::Program(candidates), source: Source::Apt(packages) }
}

impl Need {
    pub(crate) fn is_met(&self, workspace: &Workspace) -> bool {
        match self.probe {
            Probe::Program(candidates) => find_program(candidates).is_some(),
            Probe::Sysroot(toolchain, path) => {
                toolchain.sysroot(&workspace.root).is_some_and(|root| root.join(path).exists())
            }
            Probe::Tool(name) => find_tool(name, workspace).is_some(),
        }
    }

    /// The one line that installs it.
    pub(crate) fn remedy(&self) -> String {
        match self.source {
            Source::Target(toolchain, triple) => {
                format!("rustup target add {}{triple}", toolchain.option())
            }
            Source::Component(Toolchain::Nightly, name) => format!(
                "rustup toolchain install nightly --profile minimal --component miri,rust-src  # for {name}"
            ),
            Source::Component(Toolchain::Default, name) => format!("rustup component add {name}"),
            Source::Apt(packages) => format!("sudo apt-get install -y {}", packages.join(" ")),
            Source::Cargo(name) => format!("cargo install --locked {name}"),
        }
    }
}

impl Toolchain {
    /// The first argument of `cargo` or `rustc` that chooses it.
    pub(crate) fn selector(self) -> Option<&'static str> {
        match self {
            Toolchain::Default => None,
            Toolchain::Nightly => Some("+nightly"),
        }
    }

    fn option(self) -> &'static str {
        match self {
            Toolchain::Default => "",
            Toolchain::Nightly => "--toolchain nightly ",
        }
    }

    fn sysroot(self, root: &Path) -> Option<PathBuf> {
        let sysroot = Cmd::new("rustc")
            .args(self.selector())
            .args(["--print", "sysroot"])
            .dir(root)
            // Looking must not download.
            .env("RUSTUP_AUTO_INSTALL", "0")
            .output()
            .ok()?;
        Some(PathBuf::from(sysroot.trim()))
    }
}

/// The first of `candidates` that exists. The places for administrators are searched too: mkfs
/// lives there, and ordinary users do not have them on their path.
pub(crate) fn find_program(candidates: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> =
        std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from)).collect();
    candidates.iter().find_map(|name| {
        let found = |file: PathBuf| file.is_file().then_some(file);
        if name.contains('/') {
            return found(PathBuf::from(name));
        }
        let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        folders.iter().find_map(|folder| found(folder.join(&file)))
    })
}

/// Where the tools are that `--install` builds.
pub(crate) fn tools_dir(workspace: &Workspace) -> PathBuf {
    workspace.target.join("tools")
}

/// A tool on the path, or else one that `--install` has built.
pub(crate) fn find_tool(name: &str, workspace: &Workspace) -> Option<PathBuf> {
    let built = tools_dir(workspace).join("bin").join(name);
    find_program(&[name]).or_else(|| built.is_file().then_some(built))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_first_program_that_exists_is_found() {
        let found = find_program(&["no-such-program-anywhere", "/no/such/file", "sh"]).unwrap();
        assert!(found.ends_with("sh") && found.is_absolute());
        assert_eq!(find_program(&["no-such-program-anywhere"]), None);
    }

    #[test]
    fn every_remedy_is_one_line() {
        for need in [RUSTFMT, MIRI, NIGHTLY, WINDOWS, WINE, I686_LIBS, CARGO_DENY, XFS] {
            assert_eq!(need.remedy().lines().count(), 1, "{}", need.name);
        }
        assert_eq!(WINE.remedy(), "sudo apt-get install -y wine wine64");
        assert_eq!(I686.remedy(), "rustup target add i686-unknown-linux-gnu");
    }
}
