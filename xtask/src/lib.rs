//! All checks of the workspace: `cargo xtask help` lists what can be run.
//!
//! Reading order: `ci.rs` runs the table in `ci/checks.rs`; `need.rs` says what a check
//! needs from the machine and `install.rs` fetches it; `house.rs` holds the rules that no
//! compiler knows; `wine.rs`, `fuzz.rs` and `miri.rs` are the tools that want preparation, `user.rs`
//! the tests as an ordinary user.
//!
//! This is a program; it is also a library so that `fuzz/` can reach [`source`].
//! Failures are sentences (`String`) because a developer reads them and no code matches on them.
#![forbid(unsafe_code)]

mod ci;
mod cmd;
mod fuzz;
mod house;
mod install;
mod markdown;
mod miri;
mod need;
mod readme;
pub mod source;
mod user;
mod wine;
mod workspace;

use std::process::ExitCode;

/// A verb of `cargo xtask`.
struct Verb {
    name: &'static str,
    usage: &'static str,
    what: &'static str,
    run: fn(&[String]) -> Result<ExitCode, Stop>,
}

/// Why a verb did not do what it was asked.
enum Stop {
    /// The words on the command line make no sense: exit code 2.
    Usage(String),
    /// It was tried and went wrong: exit code 1.
    Failed(String),
}

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Stop::Failed(why)
    }
}

const VERBS: &[Verb] = &[
    Verb {
        name: "ci",
        usage: ci::USAGE,
        what: "every check, and a table at the end",
        run: ci::verb,
    },
    Verb { name: "house", usage: "", what: "the house rules alone", run: house::verb },
    Verb {
        name: "wine",
        usage: "[-- CARGO TEST ARGUMENTS]",
        what: "the Windows tests, under Wine",
        run: wine::verb,
    },
    Verb {
        name: "fuzz",
        usage: "[TARGET [SECONDS]]",
        what: "fuzz one target, 60 seconds unless told; without a target: list them",
        run: fuzz::verb,
    },
    Verb {
        name: "miri",
        usage: "[-- TEST FILTER]",
        what: "the pure parts under Miri",
        run: miri::verb,
    },
    Verb { name: "help", usage: "", what: "this list", run: help },
];

/// Runs the verb that the command line names. Exit codes: 0 all well, 1 something failed, 2 usage.
#[must_use]
pub fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (name, rest) = match words.split_first() {
        Some((name, rest)) => (name.as_str(), rest),
        None => ("help", &[][..]),
    };
    let name = if matches!(name, "-h" | "--help") { "help" } else { name };
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else {
        eprintln!("xtask: there is no `{name}`; `cargo xtask help` lists what there is");
        return ExitCode::from(2);
    };
    match (verb.run)(rest) {
        Ok(code) => code,
        Err(Stop::Usage(why)) => {
            eprintln!("xtask: {why}\nusage: cargo xtask {} {}", verb.name, verb.usage);
            ExitCode::from(2)
        }
        Err(Stop::Failed(why)) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

fn help(_words: &[String]) -> Result<ExitCode, Stop> {
    println!("cargo xtask VERB\n");
    for verb in VERBS {
        println!("  {:<44} {}", format!("{} {}", verb.name, verb.usage), verb.what);
    }
    println!(
        "\nBIFOLIO_BUDGET=N multiplies how long the tests and fuzzers look (1 unless set).\n\
         CI=true makes `ci` install what it needs and refuse to skip."
    );
    Ok(ExitCode::SUCCESS)
}

/// Whether `words` could be given to `cargo xtask`.
fn knows(words: &[String]) -> Result<(), String> {
    match words.split_first() {
        None => Ok(()),
        Some((name, rest)) if name == "ci" => ci::knows(rest),
        Some((name, _)) if VERBS.iter().any(|verb| verb.name == name) => Ok(()),
        Some((name, _)) => Err(format!("xtask has no `{name}`")),
    }
}

/// The words after an optional `--`, for verbs that hand them on.
fn after_dashes(words: &[String]) -> &[String] {
    match words.split_first() {
        Some((first, rest)) if first == "--" => rest,
        _ => words,
    }
}
