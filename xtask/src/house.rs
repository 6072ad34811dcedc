//! The house rules: what holds in this repository and no compiler knows.
//!
//! A rule is a pure function from a [`Tree`] to its findings, so a broken twin of the tree is a
//! few lines of a unit test, and each rule has one.

mod decisions;
mod evidence;
mod fence;
mod formats;
mod ignored;
mod layers;
mod length;
mod links;
mod manifests;
mod words;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use crate::Stop;
use crate::ci::Done;
use crate::cmd::Cmd;
use crate::workspace::{Package, Workspace};

/// The tracked text files, by path from the root, and the packages.
#[derive(Default)]
struct Tree {
    files: BTreeMap<String, String>,
    packages: Vec<Package>,
    /// Every tracked path, also of files that are no text.
    paths: Vec<String>,
}

/// A violation: where, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    line: Option<usize>,
    message: String,
}

struct Rule {
    name: &'static str,
    find: fn(&Tree) -> Vec<Finding>,
}

const RULES: &[Rule] = &[
    Rule { name: "layers point down only", find: layers::find },
    Rule { name: "unsafe code stays inside its fence", find: fence::find },
    Rule { name: "a FORMAT.md is compared with the code", find: formats::find },
    Rule { name: "files are short", find: length::find },
    Rule { name: "no leftovers and no machine paths", find: words::find },
    Rule { name: "relative links resolve", find: links::find },
    Rule { name: "tests that are named as evidence exist", find: evidence::find },
    Rule { name: "ignored tests say why", find: ignored::find },
    Rule { name: "decisions have a title and a status", find: decisions::find },
    Rule { name: "manifests share what is shared", find: manifests::find },
];

pub(crate) fn verb(_words: &[String]) -> Result<ExitCode, Stop> {
    check(&Workspace::load()?)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn check(workspace: &Workspace) -> Result<Done, String> {
    let tree = Tree::load(workspace)?;
    let mut total = 0;
    for rule in RULES {
        let findings = (rule.find)(&tree);
        println!("{} {}", if findings.is_empty() { "ok  " } else { "FAIL" }, rule.name);
        for finding in &findings {
            println!("     {finding}");
        }
        total += findings.len();
    }
    match total {
        0 => Ok(Done::Noted(format!("{} rules, {} files", RULES.len(), tree.files.len()))),
        _ => Err(format!("{total} finding(s) against the house rules")),
    }
}

impl Tree {
    fn load(workspace: &Workspace) -> Result<Self, String> {
        let paths = tracked(&workspace.root)?;
        let mut files = BTreeMap::new();
        for path in &paths {
            // What is deleted but still tracked, and what is no text, is no concern of the rules.
            if let Ok(text) = fs::read_to_string(workspace.root.join(path)) {
                files.insert(path.clone(), text);
            }
        }
        Ok(Self { files, packages: workspace.packages.clone(), paths })
    }

    fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.ending(".rs")
    }

    fn markdown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.ending(".md")
    }

    fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.ends_with(end))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

/// What git tracks and what it would track; without git, what lies below `root`.
fn tracked(root: &Path) -> Result<Vec<String>, String> {
    let listed = Cmd::new("git")
        // The checkout may belong to somebody else; listing files is safe all the same.
        .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others"])
        .arg("--exclude-standard")
        .dir(root)
        .output();
    match listed {
        Ok(listed) => Ok(listed.split_terminator('\0').map(str::to_owned).collect()),
        Err(_) => {
            let mut found = Vec::new();
            walk(root, "", &mut found)?;
            Ok(found)
        }
    }
}

fn walk(root: &Path, below: &str, found: &mut Vec<String>) -> Result<(), String> {
    let dir = root.join(below);
    let entries = fs::read_dir(&dir).map_err(|why| format!("{}: {why}", dir.display()))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {
                if !matches!(name.as_str(), ".git" | "target") {
                    walk(root, &path, found)?;
                }
            }
            _ => found.push(path),
        }
    }
    Ok(())
}

impl Finding {
    fn file(path: &str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: None, message: message.into() }
    }

    fn line(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: Some(line), message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.message),
            None => write!(f, "{}: {}", self.path, self.message),
        }
    }
}

#[cfg(test)]
impl Tree {
    /// A tree of these (path, text) and no packages.
    fn of(files: &[(&str, &str)]) -> Self {
        let files: BTreeMap<String, String> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Self { paths: files.keys().cloned().collect(), files, packages: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_git_the_files_below_the_root_are_found_and_generated_ones_left_out() {
        let root = std::env::temp_dir().join(format!("xtask-walk-{}", std::process::id()));
        for dir in ["a/b", "target/x", ".git"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        for file in ["a/b/c.rs", "d.md", "target/x/e.rs", ".git/f"] {
            fs::write(root.join(file), "").unwrap();
        }
        let mut found = Vec::new();
        walk(&root, "", &mut found).unwrap();
        fs::remove_dir_all(&root).unwrap();
        found.sort();
        assert_eq!(found, ["a/b/c.rs", "d.md"]);
    }

    #[test]
    fn a_finding_reads_like_a_compiler_message() {
        assert_eq!(Finding::line("a.rs", 3, "no").to_string(), "a.rs:3: no");
        assert_eq!(Finding::file("a.rs", "no").to_string(), "a.rs: no");
    }
}
