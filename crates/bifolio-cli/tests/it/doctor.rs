//! `bifolio doctor` on the machine at hand, and on mounts that break promises.

use std::fs;

use serde_json::Value as Json;

use crate::support::{code, directory, good, names, run, stderr, stdout};

fn records(words: &[&str]) -> Vec<Json> {
    let document: Json = serde_json::from_str(&stdout(&run(words))).expect("JSON");
    assert_eq!((&document["schema"], &document["version"]), (&"bifolio.doctor".into(), &1.into()));
    document["records"].as_array().expect("records").clone()
}

/// The finding about a subject.
#[track_caller]
fn finding<'a>(records: &'a [Json], subject: &str) -> &'a Json {
    let found = records.iter().find(|record| record["subject"] == subject);
    found.unwrap_or_else(|| panic!("nothing about {subject}"))
}

#[test]
fn every_finding_says_what_it_is_how_good_it_is_and_who_said_so() {
    let directory = directory();
    let path = directory.path().to_str().expect("text");
    let records = records(&["doctor", path, "--json"]);
    let mut groups: Vec<&str> =
        records.iter().map(|record| record["group"].as_str().expect("a group")).collect();
    groups.dedup();
    for group in ["memory", "limits of this process", "system calls", "file system", "measured"] {
        assert_eq!(groups.iter().filter(|found| **found == group).count(), 1, "{groups:?}");
    }
    for record in &records {
        let level = record["level"].as_str().expect("a level");
        assert!(["ok", "note", "warning", "broken"].contains(&level), "{record}");
        assert!(record["value"].as_str().is_some_and(|text| !text.is_empty()), "{record}");
        assert_eq!(record["number"].is_null(), record["unit"].is_null(), "{record}");
        if level == "warning" || level == "broken" {
            assert!(record["meaning"].as_str().is_some_and(|text| !text.is_empty()), "{record}");
        }
    }
    assert_eq!(finding(&records, "page size")["unit"], "bytes");
    assert_eq!(finding(&records, "maps")["group"].as_str().map(str::is_empty), Some(false));
    assert!(finding(&records, "minor fault")["number"].as_u64().is_some_and(|nanos| nanos > 0));
    assert!(names(directory.path()).is_empty(), "something was left behind");
}

#[test]
fn without_a_path_the_current_directory_is_looked_at() {
    let directory = directory();
    let output = crate::support::bifolio(&["doctor", "--format", "human", "--no-measure"])
        .current_dir(&directory)
        .output()
        .expect("it runs");
    let path = fs::canonicalize(directory.path()).expect("a path");
    let title = format!("File system of {}\n", path.display());
    assert!(stdout(&output).contains(&title), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn no_times_are_taken_if_nobody_wants_them() {
    let text = good(&["doctor", "--no-measure"]);
    assert!(!text.contains("minor fault") && text.contains("page size"), "{text}");
}

#[test]
fn a_path_that_does_not_exist_ends_with_3_and_says_where() {
    let output = run(&["doctor", "no/such/place"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (3, ""));
    let text = stderr(&output);
    assert!(text.contains("where: no/such/place") && text.contains("next: "), "{text}");
}

#[test]
fn explaining_adds_the_meaning_and_the_source_of_what_is_ok() {
    let short = good(&["doctor", "--no-measure", "--format", "human"]);
    let long = good(&["doctor", "--no-measure", "--format", "human", "--explain"]);
    let meaning = "The unit in which maps are made and faults happen.";
    assert!(!short.contains(meaning) && long.contains(meaning), "{long}");
    assert!(!short.contains(" from ") && long.contains(" from "), "{long}");
    assert!(short.trim_end().ends_with("no promise is broken here"), "{short}");
}

#[test]
fn the_report_keeps_to_its_width_and_steers_no_terminal() {
    let directory = directory();
    let odd = directory.path().join("a\u{1b}[2J b");
    // Windows has no such names.
    if fs::create_dir(&odd).is_err() {
        return;
    }
    let odd = odd.to_str().expect("text");
    let text = good(&["doctor", odd, "--explain", "--format", "human"]);
    assert!(!text.contains('\u{1b}'), "{text}");
    for line in text.lines().filter(|line| !line.starts_with("File system of")) {
        assert!(line.chars().count() <= 80, "{line:?}");
    }
}

#[cfg(target_os = "linux")]
mod mounts {
    use std::path::Path;
    use std::process::Command;

    use bifolio_testkit::mount::{Filesystem, Image, Tmpfs};
    use bifolio_testkit::skip::{Skip, or_count};

    use super::*;

    fn succeeds(words: &[&str]) -> bool {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stderr(std::process::Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    fn examined(path: &Path) -> (i32, Vec<Json>) {
        let path = path.to_str().expect("text");
        (code(&run(&["doctor", path, "--json"])), records(&["doctor", path, "--json"]))
    }

    #[test]
    fn a_file_system_mounted_without_barriers_ends_with_4() {
        let Some(image) = or_count(Image::new(Filesystem::Ext4, 128 << 20)) else { return };
        let (exit, found) = examined(&image.path());
        assert_eq!((exit, &finding(&found, "type")["value"]), (0, &"ext4".into()));
        let path = image.path();
        let name = path.to_str().expect("text");
        assert!(succeeds(&["mount", "-o", "remount,nobarrier", name]));
        let (exit, found) = examined(&path);
        assert_eq!((exit, &finding(&found, "option")["level"]), (4, &"broken".into()));
        let told = stderr(&run(&["doctor", name, "--no-measure"]));
        assert!(told.contains("a promise would not hold here: option"), "{told}");
    }

    #[test]
    fn a_volatile_overlay_ends_with_4_and_an_ordinary_one_is_a_warning() {
        let Some(tmpfs) = or_count(Tmpfs::new(96 << 20)) else { return };
        for (options, exit) in [("", 0), (",volatile", 4)] {
            let part = |name: &str| {
                let path = tmpfs.path().join(format!("{name}{}", options.len()));
                fs::create_dir(&path).expect("made");
                path.to_str().expect("text").to_owned()
            };
            let (lower, upper, work, merged) =
                (part("lower"), part("upper"), part("work"), part("merged"));
            let layers = format!("lowerdir={lower},upperdir={upper},workdir={work}{options}");
            if !succeeds(&["mount", "-t", "overlay", "-o", &layers, "overlay", &merged]) {
                return Skip::because("overlayfs cannot be mounted here").count();
            }
            let (found_exit, found) = examined(Path::new(&merged));
            assert_eq!(found_exit, exit, "{options}: {found:#?}");
            assert_eq!(finding(&found, "type")["level"], "warning");
            assert_eq!(finding(&found, "residency")["level"], "note");
        }
    }

    #[test]
    fn what_cannot_be_written_is_not_tried_and_says_so() {
        let Some(image) = or_count(Image::new(Filesystem::Ext4, 0)) else { return };
        let path = image.path();
        assert!(succeeds(&["mount", "-o", "remount,ro", path.to_str().expect("text")]));
        let (exit, found) = examined(&path);
        assert_eq!(exit, 0);
        let untried = finding(&found, "not tried");
        assert!(untried["meaning"].as_str().is_some_and(|text| text.contains("Read-only")));
        assert!(
            finding(&found, "times")["value"].as_str().is_some_and(|t| t.contains("not taken"))
        );
        assert_eq!(finding(&found, "option")["value"], "ro");
    }
}
