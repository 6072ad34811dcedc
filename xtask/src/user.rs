//! The tests once more as an ordinary user, when the checks run as root: root is denied nothing, so
//! a test of a denial, or a program that works for root alone, passes there for the wrong reason.
//!
//! Nothing is built: the programs that `cargo test` made are copied to where every user may run
//! them, since a checkout below root's home can be read by root only.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::ci::{Done, failures, skips};
use crate::cmd::Cmd;
use crate::workspace::Workspace;

/// Debian's nobody and nogroup; any user without rights and without files would do.
const NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

/// What cargo has built of the crates under `crates/`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Built {
    tests: Vec<PathBuf>,
    /// The command itself.
    command: Option<PathBuf>,
}

pub(crate) fn check(workspace: &Workspace) -> Result<Done, String> {
    let id = Cmd::new("id").arg("-u").output()?;
    if id.trim() != "0" {
        return Ok(Done::Absent("all checks ran as an ordinary user".into()));
    }
    if let Err(why) = as_nobody("true").output() {
        let why = why.lines().last().unwrap_or_default();
        return Ok(Done::Skipped(format!("this root cannot become another user: {why}")));
    }
    let built = built(workspace)?;
    let place = Place::new()?;
    let command = built.command.ok_or("cargo built no command `bifolio`")?;
    let command = place.copy(&command)?;
    let tests = built.tests.iter().map(|test| place.copy(test)).collect::<Result<Vec<_>, _>>()?;
    let skipped = place.own().join("skips");
    let done = skips::counting_skips(&skipped, || {
        // All of them, so that one run shows all that is wrong.
        let outcomes = tests.iter().map(|test| {
            place
                .run(test)
                .env(skips::VARIABLE, &skipped)
                .env("BIFOLIO_BUDGET", workspace.budget.to_string())
                .env("CARGO_BIN_EXE_bifolio", &command)
                .run_digesting(failures::in_output)
        });
        outcomes.fold(Ok(()), Result::and)
    })?;
    place.run(&command).arg("tour").run()?;
    Ok(done)
}

fn as_nobody(program: impl AsRef<std::ffi::OsStr>) -> Cmd {
    Cmd::new("setpriv").args(NOBODY).arg(program)
}

/// The programs of the check `test`, which runs before this one: the same words, so that cargo
/// finds them made.
fn built(workspace: &Workspace) -> Result<Built, String> {
    let messages = workspace
        .cargo(&["test", "--workspace", "--lib", "--bins", "--tests", "--examples", "--no-run"])
        .arg("--message-format=json")
        .output()?;
    Built::from_messages(&messages, &workspace.root.join("crates"))
}

impl Built {
    fn from_messages(messages: &str, crates: &Path) -> Result<Self, String> {
        let mut built = Self::default();
        for line in messages.lines() {
            let message: Value =
                serde_json::from_str(line).map_err(|why| format!("a message of cargo: {why}"))?;
            let text = |value: &Value| value.as_str().map(PathBuf::from);
            let Some(program) = text(&message["executable"]) else { continue };
            if !text(&message["manifest_path"]).is_some_and(|path| path.starts_with(crates)) {
                continue;
            }
            // A test of a macro needs the compiler's own libraries, which are not nobody's to read.
            if message["target"]["kind"][0] == "proc-macro" {
                continue;
            }
            if message["profile"]["test"] == Value::Bool(true) {
                built.tests.push(program);
            } else if message["target"]["name"] == "bifolio" {
                built.command = Some(program);
            }
        }
        Ok(built)
    }
}

/// A directory with programs that everybody may run, and one of nobody's own in it.
struct Place(PathBuf);

impl Place {
    fn new() -> Result<Self, String> {
        let dir = std::env::temp_dir().join(format!("bifolio-user-{}", std::process::id()));
        let place = Self(dir);
        for (dir, mode) in [(place.0.clone(), "755"), (place.own(), "777")] {
            fs::create_dir(&dir)
                .map_err(|why| format!("cannot create {}: {why}", dir.display()))?;
            Cmd::new("chmod").arg(mode).arg(&dir).output()?;
        }
        Ok(place)
    }

    fn own(&self) -> PathBuf {
        self.0.join("own")
    }

    fn copy(&self, program: &Path) -> Result<PathBuf, String> {
        let name = program.file_name().ok_or("a program without a name")?;
        let copy = self.0.join(name);
        fs::copy(program, &copy).map_err(|why| {
            format!("cannot copy {} to {}: {why}", program.display(), copy.display())
        })?;
        Ok(copy)
    }

    /// A program as nobody, whose home, temporary and current directory are nobody's own.
    fn run(&self, program: &Path) -> Cmd {
        let own = self.own();
        as_nobody(program).dir(&own).env("HOME", &own).env("TMPDIR", &own)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(why) = fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {why}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_and_the_command_are_found_among_the_messages_of_cargo() {
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/w/crates/a/Cargo.toml","target":{"name":"a"},"profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","manifest_path":"/w/crates/a/Cargo.toml","target":{"name":"it"},"profile":{"test":true},"executable":"/t/it-1"}
{"reason":"compiler-artifact","manifest_path":"/w/crates/m/Cargo.toml","target":{"name":"m","kind":["proc-macro"]},"profile":{"test":true},"executable":"/t/m-1"}
{"reason":"compiler-artifact","manifest_path":"/w/crates/cli/Cargo.toml","target":{"name":"bifolio"},"profile":{"test":false},"executable":"/t/bifolio"}
{"reason":"compiler-artifact","manifest_path":"/w/bench/Cargo.toml","target":{"name":"it"},"profile":{"test":true},"executable":"/t/it-2"}
{"reason":"build-finished","success":true}"#;
        let built = Built::from_messages(messages, Path::new("/w/crates")).unwrap();
        let wanted = Built { tests: vec!["/t/it-1".into()], command: Some("/t/bifolio".into()) };
        assert_eq!(built, wanted);
    }

    #[test]
    fn the_place_is_gone_afterwards() {
        let place = Place::new().unwrap();
        let dir = place.0.clone();
        assert!(place.own().is_dir());
        drop(place);
        assert!(!dir.exists());
    }
}
