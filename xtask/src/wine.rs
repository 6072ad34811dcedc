//! The Windows tests under Wine: an environment of its own below `target/wine`, made on first use.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::ci::{Done, failures};
use crate::cmd::Cmd;
use crate::need::find_program;
use crate::workspace::Workspace;
use crate::{Stop, after_dashes};

const TARGET: &str = "x86_64-pc-windows-gnu";
const SHIM_SOURCE: &str = include_str!("../wine/process_prng.c");
/// A hung Windows program would otherwise hang the whole run.
const LIMIT_SECONDS: u32 = 600;

/// A Wine prefix that is ours alone. Its server ends when this is dropped.
struct Wine {
    program: PathBuf,
    dir: PathBuf,
}

pub(crate) fn verb(words: &[String]) -> Result<ExitCode, Stop> {
    test(&Workspace::load()?, after_dashes(words))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn check(workspace: &Workspace) -> Result<Done, String> {
    test(workspace, &[]).map(|()| Done::Passed)
}

/// Runs `cargo test` for Windows with `words`, or all that there is if there are none.
fn test(workspace: &Workspace, words: &[String]) -> Result<(), String> {
    let wine = Wine::prepare(workspace)?;
    let cargo = workspace.cargo(&["test", "--target", TARGET]);
    let cargo = if words.is_empty() {
        cargo.args(workspace.select_crates("windows")).args([
            "--lib",
            "--bins",
            "--tests",
            "--no-fail-fast",
        ])
    } else {
        cargo.args(words)
    };
    wine.with_environment(cargo)
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", &wine.program)
        .limit(workspace.budget.seconds(LIMIT_SECONDS))
        .run_digesting(failures::in_output)
}

impl Wine {
    fn prepare(workspace: &Workspace) -> Result<Self, String> {
        // With Debian's wine64 package alone there is no `wine` on the path.
        let program = find_program(&["wine", "wine64", "/usr/lib/wine/wine64"])
            .ok_or("there is no wine here: sudo apt-get install -y wine wine64")?;
        let wine = Self { program, dir: workspace.target.join("wine") };
        wine.build_shim().map_err(|why| format!("the shim for Wine 8: {why}"))?;
        wine.make_prefix()?;
        wine.install_shim()?;
        Ok(wine)
    }

    /// Compiles `bcryptprimitives.dll` unless it is there, made from the same source. A Wine that
    /// has its own prefers that one.
    fn build_shim(&self) -> Result<(), String> {
        let source = self.dir.join("process_prng.c");
        let library = self.dll_dir().join("bcryptprimitives.dll");
        if library.is_file() && fs::read_to_string(&source).is_ok_and(|old| old == SHIM_SOURCE) {
            return Ok(());
        }
        fs::create_dir_all(self.dll_dir())
            .map_err(|why| cannot("create", &self.dll_dir(), &why))?;
        // The source goes last into its place: it says that the library beside it is complete.
        let fresh = self.dir.join("process_prng.fresh.c");
        fs::write(&fresh, SHIM_SOURCE).map_err(|why| cannot("write", &fresh, &why))?;
        Cmd::new("x86_64-w64-mingw32-gcc")
            .args(["-shared", "-O2", "-Wall", "-Werror", "-o"])
            .arg(&library)
            .arg(&fresh)
            .arg("-ladvapi32")
            .run()?;
        fs::rename(&fresh, &source).map_err(|why| cannot("rename", &fresh, &why))
    }

    fn make_prefix(&self) -> Result<(), String> {
        // Written when the server of a finished `wineboot` ends.
        if self.prefix().join("system.reg").is_file() {
            return Ok(());
        }
        let made = self
            .with_environment(Cmd::new(&self.program).args(["wineboot", "-i"]))
            .limit(Duration::from_mins(3))
            .run()
            .and_then(|()| self.server("-w", Duration::from_mins(1)));
        if made.is_err() {
            // Half a prefix would be taken for a whole one next time.
            let _ = fs::remove_dir_all(self.prefix());
        }
        made
    }

    /// Puts the shim where programs find it whatever their PATH is, if Wine has nothing there.
    fn install_shim(&self) -> Result<(), String> {
        let name = "bcryptprimitives.dll";
        let place = self.prefix().join("drive_c/windows/system32").join(name);
        if !place.exists() {
            fs::copy(self.dll_dir().join(name), &place)
                .map_err(|why| cannot("write", &place, &why))?;
        }
        Ok(())
    }

    fn dll_dir(&self) -> PathBuf {
        self.dir.join("dll")
    }

    fn prefix(&self) -> PathBuf {
        self.dir.join("prefix")
    }

    fn with_environment(&self, command: Cmd) -> Cmd {
        command
            .env("WINEPREFIX", self.prefix())
            .env("WINEARCH", "win64")
            // Also silences the launcher's remark that wine32 is missing.
            .env("WINEDEBUG", "-all")
            // No offer to download .NET and HTML engines.
            .env("WINEDLLOVERRIDES", "mscoree=;mshtml=")
            .env("DISPLAY", "")
            .env("WAYLAND_DISPLAY", "")
    }

    fn server(&self, order: &str, limit: Duration) -> Result<(), String> {
        let Some(server) = find_program(&["wineserver", "/usr/lib/wine/wineserver"]) else {
            return Err("there is no wineserver beside wine".into());
        };
        self.with_environment(Cmd::new(server).arg(order)).limit(limit).output().map(drop)
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        // Fails when no server is running, which is what is wanted.
        let _ = self.server("-k", Duration::from_secs(20));
    }
}

fn cannot(what: &str, path: &Path, why: &std::io::Error) -> String {
    format!("cannot {what} {}: {why}", path.display())
}
