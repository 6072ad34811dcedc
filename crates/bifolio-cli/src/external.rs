//! `bifolio x` is `bifolio-x` from PATH, if there is one: heavy engines live there.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli;
use crate::exit::Exit;
use crate::failure::CliError;

const PREFIX: &str = "bifolio-";

/// Runs `bifolio-NAME` with the arguments: the process becomes that program, or ends with its exit
/// code. It returns only with an error: [`Exit::Usage`] and the likeliest name if there is no such
/// program, otherwise why it did not start.
#[must_use]
pub fn run(name: &OsStr, arguments: &[OsString]) -> CliError {
    let Some(program) = find(name) else { return unknown(name) };
    let mut command = Command::new(&program);
    command.args(arguments);
    let error = become_program(&mut command);
    CliError::from(error).at(program.display().to_string())
}

/// The same process goes on as the program: its exit code, its signals and its terminal are ours.
#[cfg(unix)]
fn become_program(command: &mut Command) -> std::io::Error {
    use std::os::unix::process::CommandExt;
    command.exec()
}

/// Windows cannot exchange the program of a process: wait, and end as it ended.
#[cfg(windows)]
fn become_program(command: &mut Command) -> std::io::Error {
    crate::interrupt::leave_to_child();
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    }
}

/// The program in PATH. A name with a separator in it is none.
fn find(name: &OsStr) -> Option<PathBuf> {
    if Path::new(name).components().count() != 1 || Path::new(name).file_name() != Some(name) {
        return None;
    }
    let mut file = OsString::from(PREFIX);
    file.push(name);
    file.push(env::consts::EXE_SUFFIX);
    directories().map(|directory| directory.join(&file)).find(|path| is_program(path))
}

/// The directories of PATH. An empty entry would mean the current directory: not here, where
/// anybody may have put a file.
fn directories() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories: Vec<_> = env::split_paths(&path).filter(|dir| dir.is_absolute()).collect();
    directories.into_iter()
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(windows)]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

/// The names of all `bifolio-*` programs in PATH.
fn installed() -> Vec<String> {
    directories()
        .filter_map(|directory| directory.read_dir().ok())
        .flat_map(|entries| entries.flatten())
        .filter(|entry| is_program(&entry.path()))
        .filter_map(|entry| {
            let file = entry.file_name().into_string().ok()?;
            let name = file.strip_prefix(PREFIX)?.strip_suffix(env::consts::EXE_SUFFIX)?;
            Some(name.to_owned())
        })
        .collect()
}

/// There is no such subcommand; says which one was perhaps meant.
#[must_use]
pub fn unknown(name: &OsStr) -> CliError {
    let name = name.to_string_lossy();
    let mut names = cli::subcommand_names();
    names.extend(installed());
    let next = closest(&name, &names).map_or_else(
        || "bifolio --help".to_owned(),
        |close| format!("bifolio {close}  (did you mean `{close}`?)"),
    );
    CliError::new(Exit::Usage, format!("there is no subcommand `{name}`"))
        .at(format!("neither in bifolio nor as `{PREFIX}{name}` in PATH"))
        .next(next)
}

/// The name that a typing error turns into the other one, if any is near enough.
fn closest<'a>(name: &str, names: &'a [String]) -> Option<&'a str> {
    // As clap suggests its options.
    const NEAR: f64 = 0.7;
    names
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate.as_str()))
        .filter(|(nearness, _)| *nearness > NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_the_name_and_nonsense_finds_none() {
        let names = ["tour", "version", "completions", "man"].map(str::to_owned);
        assert_eq!(closest("tuor", &names), Some("tour"));
        assert_eq!(closest("verison", &names), Some("version"));
        assert_eq!(closest("xyzzy", &names), None);
    }

    #[test]
    fn a_name_with_a_separator_is_never_looked_up() {
        for name in ["../evil", "a/b", "/bin/sh", "..", ".", ""] {
            assert_eq!(find(OsStr::new(name)), None, "{name}");
        }
    }
}
