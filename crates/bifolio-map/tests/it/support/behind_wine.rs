//! The Unix system behind Wine: it does to files what Windows lets nobody do, and says of processes
//! what Wine does not.

use std::path::{Path, PathBuf};
use std::process::Command;

use bifolio_testkit::skip::Skip;
use tempfile::TempDir;

use crate::names::soon;

const SHELL: &str = r"Z:\bin\sh";

/// A directory of which that system knows the path.
pub(crate) fn directory() -> Result<TempDir, Skip> {
    if !Path::new(SHELL).exists() {
        return Err(Skip::because("needs Wine, with a Unix shell behind it"));
    }
    tempfile::tempdir_in(r"Z:\tmp").map_err(|why| Skip::because(format!(r"needs Z:\tmp: {why}")))
}

/// What a command says of a path in such a directory.
pub(crate) fn run(command: &str, path: &Path, after: &str) -> String {
    let shown = path.to_str().expect("text");
    let unix = shown.trim_start_matches("Z:").replace('\\', "/");
    let said = PathBuf::from(format!("{shown}.said"));
    // Wine starts it and has no handle to give back, or to wait for; the rename says its end.
    let script = format!("{command} '{unix}' {after} > '{unix}.x'; mv '{unix}.x' '{unix}.said'");
    let _no_handle = Command::new(SHELL).args(["-c", &script]).status();
    soon("a shell has run", || said.exists());
    let text = std::fs::read_to_string(&said).expect("an answer");
    std::fs::remove_file(&said).expect("ours");
    text.trim().to_owned()
}
