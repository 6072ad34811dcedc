//! The program, in surroundings that the test chooses.

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use tempfile::TempDir;

/// What would change the output.
pub(crate) const VARIABLES: [&str; 4] = ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TERM"];

/// The program with these words, in a clean environment.
pub(crate) fn bifolio(words: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(words);
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    command
}

/// The program's path, whatever the current directory is. Cargo names the program when it runs the
/// tests too, and whoever copied both elsewhere does the same.
pub(crate) fn program() -> PathBuf {
    let built = env!("CARGO_BIN_EXE_bifolio");
    let named = std::env::var_os("CARGO_BIN_EXE_bifolio");
    std::path::absolute(named.unwrap_or_else(|| built.into())).expect("a path")
}

/// An empty directory.
pub(crate) fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// Runs it and returns what came out.
pub(crate) fn run(words: &[&str]) -> Output {
    bifolio(words).output().expect("it runs")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// The exit code.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().expect("it exits by itself")
}

/// Stdout of a run that ends well and says nothing on stderr.
pub(crate) fn good(words: &[&str]) -> String {
    let output = run(words);
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""), "{words:?}");
    stdout(&output)
}

/// The names in a directory.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Every subcommand's words, the program itself first; without clap's own `help`.
pub(crate) fn paths() -> Vec<String> {
    fn collect(command: &clap::Command, path: &str, paths: &mut Vec<String>) {
        paths.push(path.to_owned());
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            collect(sub, format!("{path} {}", sub.get_name()).trim(), paths);
        }
    }
    let mut paths = Vec::new();
    collect(&bifolio_cli::cli::command(), "", &mut paths);
    paths
}
