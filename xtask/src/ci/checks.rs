//! The table of checks, in the order in which they run: quick ones first.

use super::{Done, failures, skips};
use crate::cmd::Cmd;
use crate::need::{self, Need};
use crate::workspace::{Loom, Workspace};
use crate::{fuzz, house, miri, readme, user, wine};

pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// Without these it is skipped.
    pub(super) needs: &'static [Need],
    /// Without these it finds less, and says so.
    pub(super) wants: &'static [Need],
    pub(super) run: fn(&Workspace) -> Result<Done, String>,
}

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "fmt",
        what: "the source is formatted",
        needs: &[need::RUSTFMT],
        wants: &[],
        run: fmt,
    },
    Check {
        name: "house",
        what: "the house rules: layers, fence, formats, words, links",
        needs: &[],
        wants: &[],
        run: house::check,
    },
    Check {
        name: "clippy",
        what: "no lint on Linux",
        needs: &[need::CLIPPY],
        wants: &[],
        run: clippy,
    },
    Check {
        name: "clippy-windows",
        what: "no lint on Windows",
        needs: &[need::CLIPPY, need::WINDOWS, need::MINGW],
        wants: &[],
        run: clippy_windows,
    },
    Check {
        name: "macos",
        what: "it compiles for macOS (aarch64)",
        needs: &[need::MACOS],
        wants: &[],
        run: |workspace| compiles(workspace, "aarch64-apple-darwin", "macos"),
    },
    Check {
        name: "aarch64",
        what: "it compiles for Linux on aarch64",
        needs: &[need::ARM_LINUX],
        wants: &[],
        run: |workspace| compiles(workspace, "aarch64-unknown-linux-gnu", "linux"),
    },
    Check {
        name: "rustdoc",
        what: "the documentation builds without a warning",
        needs: &[],
        wants: &[],
        run: rustdoc,
    },
    Check {
        name: "test",
        what: "the tests of every crate",
        needs: &[],
        wants: &[need::EXT4, need::XFS, need::BTRFS],
        run: test,
    },
    Check {
        name: "user",
        what: "the tests and the tour as an ordinary user",
        needs: &[need::SETPRIV],
        wants: &[],
        run: user::check,
    },
    Check {
        name: "doctest",
        what: "the examples in the documentation",
        needs: &[],
        wants: &[],
        run: doctest,
    },
    Check {
        name: "readme",
        what: "the commands that README and CONTRIBUTING quote exist",
        needs: &[],
        wants: &[],
        run: readme::check,
    },
    Check {
        name: "i686",
        what: "the tests of bifolio-map, bifolio-testkit and the command on 32 bits, beside a command of 64",
        needs: &[need::I686, need::I686_GCC, need::I686_LIBS],
        wants: &[],
        run: i686,
    },
    Check {
        name: "portable",
        what: "the tests of bifolio-map without its assembly",
        needs: &[],
        wants: &[],
        run: portable,
    },
    Check {
        name: "emulated",
        what: "the aarch64 assembly of bifolio-map, emulated",
        needs: &[need::ARM_LINUX, need::ARM_GCC, need::ARM_QEMU],
        wants: &[],
        run: emulated,
    },
    Check {
        name: "wine",
        what: "the tests on Windows, under Wine",
        needs: &[need::WINDOWS, need::MINGW, need::WINE],
        wants: &[],
        run: wine::check,
    },
    Check {
        name: "miri",
        what: "the pure parts of bifolio-map under Miri",
        needs: &[need::MIRI, need::RUST_SRC],
        wants: &[],
        run: miri::check,
    },
    Check {
        name: "loom",
        what: "every interleaving of the state words",
        needs: &[],
        wants: &[],
        run: loom,
    },
    Check {
        name: "fuzz",
        what: "a few seconds of each fuzz target",
        needs: &[need::NIGHTLY, need::CLIPPY, need::CXX],
        wants: &[],
        run: fuzz::check,
    },
    Check {
        name: "deny",
        what: "licences, sources and banned crates among the dependencies",
        needs: &[need::CARGO_DENY],
        wants: &[],
        run: deny,
    },
];

fn fmt(workspace: &Workspace) -> Result<Done, String> {
    workspace.cargo(&["fmt", "--all", "--check"]).run()?;
    workspace.cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]).run()?;
    Ok(Done::Passed)
}

fn clippy(workspace: &Workspace) -> Result<Done, String> {
    workspace
        .cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
        .run()
        .map(|()| Done::Passed)
}

fn clippy_windows(workspace: &Workspace) -> Result<Done, String> {
    workspace
        .cargo(&["clippy", "--target", "x86_64-pc-windows-gnu", "--all-targets"])
        .args(workspace.select_crates("windows"))
        .args(["--", "-D", "warnings"])
        .run()
        .map(|()| Done::Passed)
}

/// Warnings are errors here too: clippy does not see these platforms.
fn compiles(workspace: &Workspace, triple: &str, platform: &str) -> Result<Done, String> {
    workspace
        .cargo(&["check", "--target", triple])
        .args(workspace.select_crates(platform))
        .env("RUSTFLAGS", "-D warnings")
        .run()
        .map(|()| Done::Passed)
}

/// Programs and libraries apart: the command and the library `bifolio` share a file name there,
/// and the library's pages are to be the ones that stay.
fn rustdoc(workspace: &Workspace) -> Result<Done, String> {
    for kind in ["--bins", "--lib"] {
        workspace
            .cargo(&["doc", "--workspace", "--no-deps", "--document-private-items", kind])
            .env("RUSTDOCFLAGS", "-D warnings")
            .run()?;
    }
    Ok(Done::Passed)
}

fn test(workspace: &Workspace) -> Result<Done, String> {
    let tests = workspace
        .cargo(&["test", "--workspace", "--lib", "--bins", "--tests", "--examples"])
        .arg("--no-fail-fast");
    run_counting_skips(workspace, "test", tests)
}

/// Runs tests that may find that they cannot run here, and says how many did, and why.
fn run_counting_skips(workspace: &Workspace, name: &str, tests: Cmd) -> Result<Done, String> {
    let file = workspace.target.join(format!("skips-{name}"));
    skips::counting_skips(&file, || {
        tests.env(skips::VARIABLE, &file).run_digesting(failures::in_output)
    })
}

fn doctest(workspace: &Workspace) -> Result<Done, String> {
    workspace
        .cargo(&["test", "--workspace", "--doc", "--no-fail-fast"])
        .run_digesting(failures::in_output)
        .map(|()| Done::Passed)
}

fn i686(workspace: &Workspace) -> Result<Done, String> {
    // Shares memory with the one of 32 bits.
    workspace.cargo(&["build", "-p", "bifolio-cli"]).run()?;
    let other = workspace.target.join("debug/bifolio");
    let tests = workspace
        .cargo(&["test", "--target", "i686-unknown-linux-gnu", "-p", "bifolio-map"])
        .args([
            "-p",
            "bifolio-testkit",
            "-p",
            "bifolio-cli",
            "--lib",
            "--bins",
            "--tests",
            "--no-fail-fast",
        ])
        .env("BIFOLIO_TEST_OTHER_PROGRAM", other)
        .env("CARGO_TARGET_I686_UNKNOWN_LINUX_GNU_LINKER", "i686-linux-gnu-gcc");
    run_counting_skips(workspace, "i686", tests)
}

/// The form for architectures that have no assembly, on this one.
fn portable(workspace: &Workspace) -> Result<Done, String> {
    let tests = workspace
        .cargo(&["test", "-p", "bifolio-map", "--lib", "--bins", "--tests", "--no-fail-fast"])
        .env("RUSTFLAGS", "--cfg bifolio_portable")
        // Other flags make everything again; its own folder keeps the ordinary build warm.
        .env("CARGO_TARGET_DIR", workspace.target.join("portable"));
    run_counting_skips(workspace, "portable", tests)
}

/// What touches memory; mounts, limits and other processes are the host's and are tested there.
fn emulated(workspace: &Workspace) -> Result<Done, String> {
    workspace
        .cargo(&["test", "-p", "bifolio-map", "--target", "aarch64-unknown-linux-gnu"])
        .args([
            "--test",
            "it",
            "--",
            "faults::",
            "views::",
            "streams::",
            "table::",
            "growth::a_growing",
            // Limits, filters of calls and devices again.
            "--skip",
            "batch_faults::",
        ])
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc")
        .env(
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER",
            "qemu-aarch64 -L /usr/aarch64-linux-gnu",
        )
        .run_digesting(failures::in_output)
        .map(|()| Done::Passed)
}

fn loom(workspace: &Workspace) -> Result<Done, String> {
    let declared: Vec<&str> = workspace
        .packages
        .iter()
        .filter(|package| package.loom == Loom::Declared)
        .flat_map(|package| ["-p", &package.name])
        .collect();
    if declared.is_empty() {
        return Ok(Done::Absent("nothing to run yet: no crate declares `loom = true`".into()));
    }
    workspace
        .cargo(&["test", "--release", "--lib"])
        .args(&declared)
        .arg("loom")
        .env("RUSTFLAGS", "--cfg loom")
        // Other flags make everything again; its own folder keeps the ordinary build warm.
        .env("CARGO_TARGET_DIR", workspace.target.join("loom"))
        .run_digesting(failures::in_output)
        .map(|()| Done::Passed)
}

fn deny(workspace: &Workspace) -> Result<Done, String> {
    let tool = need::find_tool("cargo-deny", workspace)
        .ok_or("cargo-deny was there a moment ago and is gone")?;
    let config = workspace.root.join("deny.toml");
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        Cmd::new(&tool)
            .args(["--locked", "--all-features", "--manifest-path", manifest, "--config"])
            .arg(&config)
            .args(["check", "bans", "licenses", "sources"])
            // The list also names what is not there, which is as it should be.
            .args(["--allow", "unused-wrapper", "--allow", "license-exception-not-encountered"])
            .dir(&workspace.root)
            .run()?;
    }
    Ok(Done::Noted(
        "advisories not looked at: their database is not on the package registry".into(),
    ))
}
