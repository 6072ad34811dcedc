//! What README and CONTRIBUTING tell the reader to type can be typed.

use std::fs;

use crate::ci::Done;
use crate::markdown;
use crate::workspace::Workspace;

const PAGES: &[&str] = &["README.md", "CONTRIBUTING.md"];
/// Programs of others that a page may quote without a check.
const OTHERS: &[&str] = &["git", "cd", "sha256sum", "cat", "ls", "man", "sudo", "truncate", "jq"];
const CARGO: &[&str] =
    &["add", "bench", "build", "check", "clippy", "doc", "fmt", "install", "test"];

/// What must hold for a quoted command to exist.
#[derive(Debug, PartialEq, Eq)]
enum Claim {
    /// Nothing of ours.
    Nothing,
    /// This file is in the repository.
    File(String),
    /// The bifolio command knows these subcommands.
    Bifolio(Vec<String>),
    /// `cargo xtask` knows these words.
    Xtask(Vec<String>),
}

pub(crate) fn check(workspace: &Workspace) -> Result<Done, String> {
    let mut count = 0;
    let mut wrong = Vec::new();
    for page in PAGES {
        let text = fs::read_to_string(workspace.root.join(page))
            .map_err(|why| format!("{page}: {why}"))?;
        for quoted in markdown::commands(&text) {
            for part in parts(&quoted.command) {
                count += 1;
                if let Err(why) = claim(part).and_then(|claim| verify(&claim, workspace)) {
                    println!("{page}:{}: `{part}`: {why}", quoted.line);
                    wrong.push(format!("{page}:{}", quoted.line));
                }
            }
        }
    }
    match (count, wrong.is_empty()) {
        (0, _) => Err("no command is quoted anywhere: is this still the README?".into()),
        (_, true) => Ok(Done::Noted(format!("{count} quoted commands"))),
        (_, false) => Err(format!("quoted commands that do not exist: {}", wrong.join(", "))),
    }
}

/// The single commands of a line: around pipes and `&&`, without redirections and variables.
fn parts(line: &str) -> Vec<&str> {
    line.split(['|', ';', '&']).map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn claim(command: &str) -> Result<Claim, String> {
    let mut words = command
        .split_whitespace()
        .take_while(|word| !word.starts_with(['>', '<']))
        .skip_while(|word| word.contains('=') && !word.starts_with('-'));
    let program = words.next().unwrap_or_default();
    let rest: Vec<&str> = words.collect();
    match (program, rest.as_slice()) {
        ("cargo", ["xtask", words @ ..]) => {
            Ok(Claim::Xtask(words.iter().map(|word| (*word).to_owned()).collect()))
        }
        ("cargo", ["run", options @ ..]) => {
            let after = options.iter().position(|word| *word == "--");
            Ok(Claim::Bifolio(subcommands(after.map_or(&[], |at| &options[at + 1..]))))
        }
        ("cargo", [sub, ..]) if CARGO.contains(sub) => Ok(Claim::Nothing),
        ("bifolio" | "target/release/bifolio" | "target/debug/bifolio", words) => {
            Ok(Claim::Bifolio(subcommands(words)))
        }
        ("bash" | "sh", [file, ..]) => Ok(Claim::File((*file).to_owned())),
        (file, _) if file.starts_with("./") || file.starts_with(".ci/") => {
            Ok(Claim::File(file.to_owned()))
        }
        (other, _) if OTHERS.contains(&other) => Ok(Claim::Nothing),
        _ => Err("no rule says how to check this; add one to xtask/src/readme.rs".into()),
    }
}

/// The leading words that can be subcommands: what follows is options and operands.
fn subcommands(words: &[&str]) -> Vec<String> {
    let is_name = |word: &&&str| {
        word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
    };
    words.iter().take_while(is_name).map(|word| (*word).to_owned()).collect()
}

fn verify(claim: &Claim, workspace: &Workspace) -> Result<(), String> {
    match claim {
        Claim::Nothing => Ok(()),
        Claim::File(path) if workspace.root.join(path).is_file() => Ok(()),
        Claim::File(path) => Err(format!("there is no file {path}")),
        Claim::Xtask(words) => crate::knows(words),
        Claim::Bifolio(subcommands) => workspace
            .cargo(&["run", "--quiet", "--package", "bifolio-cli", "--"])
            .args(subcommands)
            .arg("--help")
            .output()
            .map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_command_is_reduced_to_what_can_be_asked_for() {
        assert_eq!(claim("cargo run -- tour"), Ok(Claim::Bifolio(strings(&["tour"]))));
        assert_eq!(
            claim("bifolio page stat ./file --json > out"),
            Ok(Claim::Bifolio(strings(&["page", "stat"])))
        );
        assert_eq!(claim("CI=true bash .ci/run"), Ok(Claim::File(".ci/run".into())));
        assert_eq!(claim("cargo test -p bifolio-map"), Ok(Claim::Nothing));
        assert_eq!(claim("cargo xtask ci"), Ok(Claim::Xtask(strings(&["ci"]))));
    }

    #[test]
    fn a_command_that_nobody_knows_is_refused() {
        assert!(claim("cargo frobnicate").is_err());
        assert!(claim("bifolo tour").is_err());
        assert!(crate::knows(&strings(&["cii"])).is_err());
        assert!(crate::knows(&strings(&["ci", "--only", "formatting"])).is_err());
        assert!(crate::knows(&strings(&["ci", "--only", "fmt"])).is_ok());
    }

    #[test]
    fn pipes_are_taken_apart() {
        assert_eq!(parts("bifolio tour | cat && ls"), ["bifolio tour", "cat", "ls"]);
    }
}
