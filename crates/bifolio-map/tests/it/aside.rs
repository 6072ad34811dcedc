//! Creators that are killed where the file system has no files without a name: what they leave is
//! removed by the next creator of that name.
//!
//! Such a file system is not at hand; but a file without a name can be published through `/proc`
//! only, so a process that sees no `/proc` creates files the other way.

use std::fs::File;
use std::path::Path;

use bifolio_map::{ErrorKind, Section};
use bifolio_testkit::child::{self, Rerun};
use bifolio_testkit::privilege::{Namespace, in_user_namespace};
use bifolio_testkit::skip::or_count;
use bifolio_testkit::step::{self, Visit};
use bifolio_testkit::this_test;

use crate::support::directory;

const LEN: u64 = 5000;
/// Names the directory in which a child works.
const DIR: &str = "BIFOLIO_ASIDE_DIR";

/// Runs a program in a mount namespace of its own, in which `/proc` is empty.
const WITHOUT_PROC: [&str; 6] =
    ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"];

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn empty(dir: &Path) {
    names(dir).iter().for_each(|name| std::fs::remove_file(dir.join(name)).unwrap());
}

/// The creator that comes after a dead one: tells what is wrong with what it finds.
fn successor(dir: &Path) {
    let path = dir.join("file");
    let made = path.exists();
    match Section::create(&path, LEN) {
        Ok(section) if !made => assert_eq!(section.len().unwrap(), LEN),
        Err(error) if made && error.kind() == ErrorKind::AlreadyExists => {
            let len = path.metadata().unwrap().len();
            if len != LEN {
                return child::tell(&format!("a file of {len} bytes"));
            }
            // The next one that has something to create.
            std::fs::remove_file(&path).unwrap();
            Section::create(&path, LEN).unwrap();
        }
        outcome => return child::tell(&format!("the next creation: {outcome:?}")),
    }
    if names(dir) != ["file"] {
        child::tell(&format!("left behind: {:?}", names(dir)));
    }
}

/// Plays the role of a child, if this process has one.
fn played(creator: impl Fn(&Path)) -> bool {
    let Some(dir) = std::env::var_os(DIR) else { return false };
    let dir = Path::new(&dir);
    assert!(!Path::new("/proc/self").exists(), "this process sees /proc");
    match child::role().as_deref() {
        Some("creator") => creator(&dir.join("file")),
        _ => successor(dir),
    }
    true
}

fn rerun(test: &str, role: &str, dir: &Path) -> Rerun {
    Rerun::of(test, role).under(WITHOUT_PROC).with_variable(DIR, dir)
}

/// What the successor of a dead creator has to say.
fn verdict(test: &str, dir: &Path) -> Result<(), String> {
    let told = rerun(test, "successor", dir).finish().map_err(|error| error.to_string())?;
    told.first().map_or(Ok(()), |why| Err(why.clone()))
}

#[test]
fn a_creator_killed_anywhere_leaves_nothing_that_stays_or_is_in_the_way() {
    if played(|path| drop(step::region(|| Section::create(path, LEN)))) {
        return;
    }
    if or_count(in_user_namespace(this_test!())) != Some(Namespace::Inside) {
        return;
    }
    let dir = directory();
    let report = step::kill_at_every_instruction(
        &rerun(this_test!(), "creator", dir.path()),
        // Creators share nothing but what the kernel keeps: between two calls all states are one.
        Visit::AroundCalls,
        || empty(dir.path()),
        |_step| verdict(this_test!(), dir.path()),
    );
    if let Some(report) = or_count(report) {
        println!("{report}");
    }
}

#[test]
fn a_creator_after_whom_nobody_cleans_up_is_noticed() {
    // The broken twin: a name that no other process looks for.
    let for_oneself = |path: &Path| {
        let aside = path.with_file_name(format!(".file.{}.0.new", std::process::id()));
        File::create_new(&aside).unwrap();
        child::point("made");
    };
    if played(for_oneself) {
        return;
    }
    if or_count(in_user_namespace(this_test!())) != Some(Namespace::Inside) {
        return;
    }
    let dir = directory();
    rerun(this_test!(), "creator", dir.path()).kill_at("made").unwrap();
    let why = verdict(this_test!(), dir.path()).unwrap_err();
    assert!(why.starts_with("left behind"), "{why}");
}
