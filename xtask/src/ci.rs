//! `cargo xtask ci`: every check in order, and a table at the end.

mod checks;
pub(crate) mod failures;
mod report;
pub(crate) mod skips;

use std::process::ExitCode;
use std::time::Instant;

use crate::Stop;
use crate::install::{self, Trouble, Troubles};
use crate::need::Need;
use crate::workspace::Workspace;
use checks::{CHECKS, Check};
use report::Row;

pub(crate) const USAGE: &str = "[--install] [--only NAME ...] [--list]";

/// How a check ended that was run.
pub(crate) enum Done {
    Passed,
    /// Passed, and here is something to know about it.
    Noted(String),
    /// This machine or user cannot do it at all.
    Skipped(String),
    /// There was nothing to check: neither passed nor skipped, and not counted.
    Absent(String),
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Passed(String),
    Failed(String),
    Skipped(Cause, String),
    Absent(String),
}

/// Whether a skipped check is somebody's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// This machine or user cannot do it.
    Machine,
    /// It could be done, had what it needs been installed.
    NotInstalled,
}

#[derive(Debug, PartialEq, Eq)]
struct Options {
    missing: Missing,
    errand: Errand,
}

/// What happens to a check whose needs are not met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    Skip,
    Install,
}

#[derive(Debug, PartialEq, Eq)]
enum Errand {
    List,
    /// These checks, or all if there is no name.
    Run(Vec<String>),
}

pub(crate) fn verb(words: &[String]) -> Result<ExitCode, Stop> {
    let options = parse(words).map_err(Stop::Usage)?;
    let only = match options.errand {
        Errand::List => {
            for check in CHECKS {
                println!("{:<14} {}", check.name, check.what);
            }
            return Ok(ExitCode::SUCCESS);
        }
        Errand::Run(only) => only,
    };
    let strict = std::env::var("CI").is_ok_and(|value| value == "true");
    let missing = if strict { Missing::Install } else { options.missing };

    let workspace = Workspace::load()?;
    let chosen: Vec<&Check> = CHECKS
        .iter()
        .filter(|check| only.is_empty() || only.contains(&check.name.into()))
        .collect();
    println!("checks: {}, BIFOLIO_BUDGET={}", chosen.len(), workspace.budget);
    let troubles = match missing {
        Missing::Install => install::install(&unmet(&chosen, &workspace), &workspace),
        Missing::Skip => Troubles::default(),
    };
    let rows: Vec<Row> = chosen.iter().map(|check| run(check, &workspace, &troubles)).collect();

    print!("{}", report::failures(&rows));
    print!("{}", report::table(&rows));
    let acceptable = rows.iter().all(|row| match &row.outcome {
        Outcome::Failed(_) => false,
        Outcome::Skipped(Cause::NotInstalled, _) => !strict,
        _ => true,
    });
    // The very last line, for programs to read.
    println!("{}", report::summary(&rows));
    Ok(if acceptable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether `words` could follow `cargo xtask ci`.
pub(crate) fn knows(words: &[String]) -> Result<(), String> {
    parse(words).map(drop)
}

fn parse(words: &[String]) -> Result<Options, String> {
    let mut missing = Missing::Skip;
    let mut list = None;
    let mut names = Vec::new();
    let mut wanting = Wanting::Nothing;
    for word in words {
        wanting = match (word.as_str(), wanting) {
            (option, Wanting::Name) if option.starts_with('-') => break,
            ("--only", _) => Wanting::Name,
            ("--install", _) => {
                missing = Missing::Install;
                Wanting::Nothing
            }
            ("--list", _) => {
                list = Some(Errand::List);
                Wanting::Nothing
            }
            (option, _) if option.starts_with('-') => return Err(format!("no option `{option}`")),
            (name, Wanting::Nothing) => return Err(format!("`{name}` without `--only`")),
            (name, _) if CHECKS.iter().any(|check| check.name == name) => {
                names.push(name.to_owned());
                Wanting::MoreNames
            }
            (name, _) => return Err(format!("there is no check `{name}`; --list shows them")),
        };
    }
    if wanting == Wanting::Name {
        return Err("--only wants the name of a check".into());
    }
    Ok(Options { missing, errand: list.unwrap_or(Errand::Run(names)) })
}

/// What may follow on the command line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanting {
    Nothing,
    Name,
    MoreNames,
}

fn unmet(chosen: &[&Check], workspace: &Workspace) -> Vec<Need> {
    let mut unmet: Vec<Need> = Vec::new();
    for need in chosen.iter().flat_map(|check| check.needs.iter().chain(check.wants)) {
        if !unmet.contains(need) && !need.is_met(workspace) {
            unmet.push(*need);
        }
    }
    unmet
}

fn run(check: &Check, workspace: &Workspace, troubles: &Troubles) -> Row {
    let begun = Instant::now();
    println!("\n──── {}: {}", check.name, check.what);
    let outcome = match missing_need(check, workspace, troubles) {
        Some((cause, why)) => Outcome::Skipped(cause, why),
        None => match (check.run)(workspace) {
            Ok(Done::Passed) => Outcome::Passed(lacking(check, workspace)),
            Ok(Done::Noted(note)) => Outcome::Passed(note),
            Ok(Done::Skipped(why)) => Outcome::Skipped(Cause::Machine, why),
            Ok(Done::Absent(why)) => Outcome::Absent(why),
            Err(why) => Outcome::Failed(why),
        },
    };
    match &outcome {
        Outcome::Failed(why) => println!("FAILED: {why}"),
        Outcome::Skipped(_, why) => println!("SKIPPED: {why}"),
        Outcome::Passed(_) | Outcome::Absent(_) => {}
    }
    Row { name: check.name, outcome, took: begun.elapsed() }
}

fn missing_need(
    check: &Check,
    workspace: &Workspace,
    troubles: &Troubles,
) -> Option<(Cause, String)> {
    let need = check.needs.iter().find(|need| !need.is_met(workspace))?;
    let (cause, why) = match troubles.of(need) {
        Some(Trouble::Machine(why)) => (Cause::Machine, format!("; {}", first_line(why))),
        Some(Trouble::Broken(why)) => (Cause::NotInstalled, format!("; {}", first_line(why))),
        None => (Cause::NotInstalled, String::new()),
    };
    Some((cause, format!("no {}{why}; install with: {}", need.name, need.remedy())))
}

fn lacking(check: &Check, workspace: &Workspace) -> String {
    let lacking: Vec<String> = check
        .wants
        .iter()
        .filter(|want| !want.is_met(workspace))
        .map(|want| format!("without {} ({})", want.name, want.remedy()))
        .collect();
    lacking.join(", ")
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, String> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn without_words_everything_runs_and_nothing_is_installed() {
        let options = Options { missing: Missing::Skip, errand: Errand::Run(Vec::new()) };
        assert_eq!(parsed(""), Ok(options));
    }

    #[test]
    fn only_takes_several_names_once_or_repeated() {
        let wanted = Errand::Run(vec!["fmt".into(), "house".into()]);
        assert_eq!(parsed("--only fmt house").unwrap().errand, wanted);
        let both = parsed("--only fmt --only house --install").unwrap();
        assert_eq!((both.errand, both.missing), (wanted, Missing::Install));
    }

    #[test]
    fn words_that_make_no_sense_are_refused() {
        for bad in ["fmt", "--only", "--only fmt --only", "--only nothing-such", "--onyl fmt"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_check_has_a_name_of_its_own() {
        let mut names: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CHECKS.len());
    }
}
