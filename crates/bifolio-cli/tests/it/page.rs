//! `bifolio page` on real files, against vmtouch where it is installed.

use std::fs;
use std::path::Path;
use std::process::Command;

use bifolio_testkit::skip::Skip;
use serde_json::Value as Json;

use crate::support::{bifolio, code, directory, run, stderr, stdout};

mod cache;
mod holding;
mod saving;
mod stat;
mod watching;

/// A path as an argument.
fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the tests is text")
}

/// The records of a run that ends with this exit code.
#[track_caller]
fn records_of(words: &[&str], exit: i32) -> Vec<Json> {
    let output = run(&[words, &["--json"]].concat());
    assert_eq!(code(&output), exit, "{words:?}: {}", stderr(&output));
    let document: Json = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(document["schema"], format!("bifolio.page-{}", words[1]));
    document["records"].as_array().expect("records").clone()
}

/// The records of a run that ends well.
#[track_caller]
fn records(words: &[&str]) -> Vec<Json> {
    records_of(words, 0)
}

/// A number of a record.
#[track_caller]
fn number(record: &Json, field: &str) -> u64 {
    record[field].as_u64().unwrap_or_else(|| panic!("{field} in {record}"))
}

/// A tree of `count` small files in three directories.
fn small_files(dir: &Path, count: usize) {
    for number in 0..count {
        let place = dir.join(format!("d{}", number % 3));
        fs::create_dir_all(&place).expect("made");
        fs::write(place.join(format!("f{number}")), vec![7; 100 + number * 37 % 9000])
            .expect("written");
    }
}

/// What a command prints; `None`, counted, if it is not installed.
fn theirs(command: &[&str]) -> Option<String> {
    match Command::new(command[0]).args(&command[1..]).output() {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(_) => {
            Skip::because(format!("needs {} (package of that name)", command[0])).count();
            None
        }
    }
}

/// Resident and all pages as vmtouch counts them.
fn by_vmtouch(path: &Path) -> Option<(u64, u64)> {
    let told = theirs(&["vmtouch", text(path)])?;
    let line = told.lines().find(|line| line.contains("Resident Pages:")).expect("its line");
    let counts = line.split_whitespace().nth(2).expect("its counts");
    let (resident, pages) = counts.split_once('/').expect("two counts");
    Some((resident.parse().expect("a number"), pages.parse().expect("a number")))
}

/// Runs the program as nobody; `None`, counted, if that cannot be done.
fn as_nobody(words: &[&str]) -> Option<std::process::Output> {
    let program = crate::support::program();
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let may = Command::new("setpriv").args(nobody).arg("test").arg("-x").arg(&program).status();
    if !may.is_ok_and(|status| status.success()) {
        Skip::because("needs root, setpriv, and a program that nobody may run").count();
        return None;
    }
    let mut command = Command::new("setpriv");
    Some(command.args(nobody).arg(program).args(words).output().expect("it runs"))
}

#[test]
fn page_without_a_subcommand_shows_its_help() {
    let output = run(&["page"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("Usage: bifolio page"), "{}", stderr(&output));
    let help = stdout(&run(&["page", "--help"]));
    assert!(help.contains("stat") && help.contains("Examples:"), "{help}");
}

#[test]
fn a_glob_that_is_none_is_a_usage_error() {
    let dir = directory();
    let output = run(&["page", "stat", text(dir.path()), "--include", "[a"]);
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    let mut list = bifolio(&["page", "stat", "--files-from", "no-such-list"]);
    assert_eq!(code(&list.output().expect("it runs")), 3);
}

/// Writes files out and drops them from memory.
fn chill(path: &Path) {
    // A page that the kernel is just looking at stays; it is soon done.
    for _ in 0..100 {
        let sums = records(&["page", "evict", text(path)]);
        if number(&sums[0], "resident_before") == number(&sums[0], "dropped") {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{} does not leave memory", path.display());
}

/// Bytes of a file or tree that are in memory.
fn resident(path: &Path) -> u64 {
    number(&records(&["page", "stat", text(path)])[0], "resident")
}

/// Bytes in whole pages.
fn in_pages(size: u64) -> u64 {
    size.div_ceil(4096) * 4096
}

/// A document of one record.
#[track_caller]
fn record(words: &[&str], exit: i32) -> Json {
    let output = run(&[words, &["--json"]].concat());
    assert_eq!(code(&output), exit, "{words:?}: {}", stderr(&output));
    serde_json::from_str(&stdout(&output)).expect("JSON")
}
