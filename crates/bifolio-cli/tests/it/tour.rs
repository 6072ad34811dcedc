use serde_json::Value as Json;

#[cfg(unix)]
use crate::support::stderr;
use crate::support::{bifolio, code, directory, good, stdout};

fn counts(text: &str) -> &str {
    text.lines().last().expect("a last line")
}

#[test]
fn the_last_line_counts_the_checks_that_are_shown() {
    let text = good(&["tour"]);
    let shown = text.lines().filter(|line| line.starts_with("passed\t")).count();
    assert!(shown > 0);
    let skipped = text.lines().filter(|line| line.starts_with("SKIPPED\t")).count();
    let start = format!("{} checks: {shown} passed, 0 failed, {skipped} skipped", shown + skipped);
    assert!(counts(&text).starts_with(&start), "{}", counts(&text));
}

#[test]
fn the_articles_file_has_the_digest_that_is_known_for_it() {
    let text = good(&["tour", "--only", "files"]);
    assert!(text.contains(
        "fact\tarticle.txt, SHA-256\t\
         45f9dd81c0e9f6ad832845b17786996a2724342b7d4f509077c8869161ad2cbb\n"
    ));
}

#[test]
fn cargo_lock_is_shown_if_it_is_here() {
    let directory = directory();
    let run = || {
        let output = bifolio(&["tour", "--only", "files"])
            .current_dir(&directory)
            .output()
            .expect("it runs");
        stdout(&output)
    };
    assert!(!run().contains("Cargo.lock"));
    std::fs::write(directory.path().join("Cargo.lock"), "12345").expect("written");
    assert!(run().contains("fact\tCargo.lock, size\t5\tbytes\n"));
}

#[test]
fn without_sha256sum_its_checks_are_skipped_with_the_reason_said_once() {
    let directory = directory();
    let file = directory.path().join("a");
    std::fs::write(&file, "x").expect("written");
    let words = ["tour", "--only", "files", file.to_str().expect("text"), "--format", "human"];
    let output = bifolio(&words).env("PATH", directory.path()).output().expect("it runs");
    let text = stdout(&output);
    assert_eq!(code(&output), 0, "{text}");
    assert!(text.contains("SKIPPED: "), "{text}");
    assert!(counts(&text).ends_with("1 skipped (sha256sum is not installed)"), "{text}");
}

/// A `sha256sum` that lies.
#[cfg(unix)]
fn liar() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let directory = directory();
    let script = directory.path().join("sha256sum");
    std::fs::write(&script, "#!/bin/sh\necho 1234 -\n").expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("set");
    directory
}

#[cfg(unix)]
#[test]
fn a_check_that_does_not_hold_says_found_and_expected_and_ends_with_4() {
    let liar = liar();
    for format in ["human", "plain"] {
        let words = ["tour", "--only", "files", "--format", format];
        let output = bifolio(&words).env("PATH", liar.path()).output().expect("it runs");
        let text = stdout(&output);
        assert_eq!(code(&output), 4, "{text}");
        assert!(text.contains("FAILED"), "{text}");
        assert!(text.contains("found") && text.contains("expected") && text.contains("1234"));
        assert!(!counts(&text).contains(" 0 failed"), "{text}");
        assert!(stderr(&output).contains("did not hold"), "{}", stderr(&output));
    }
}

#[cfg(unix)]
#[test]
fn a_failed_check_is_in_the_records_of_each_format_for_programs() {
    let liar = liar();
    let run = |format| {
        let words = ["tour", "--only", "files", "--format", format];
        stdout(&bifolio(&words).env("PATH", liar.path()).output().expect("it runs"))
    };
    let document: Json = serde_json::from_str(&run("json")).expect("JSON");
    let failed: Vec<_> = document["stops"][0]["checks"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|check| check["outcome"] == "failed")
        .collect();
    assert_eq!(document["failed"], failed.len());
    assert!(!failed.is_empty() && failed.iter().all(|check| check["expected"] == "1234"));
    let lines = run("jsonl");
    let of_kind = |kind: &str| lines.lines().filter(|line| line.contains(kind)).count();
    assert_eq!(of_kind("\"kind\":\"failed\""), failed.len());
    assert_eq!(run("csv").matches(",failed,").count(), failed.len());
}

#[test]
fn the_document_holds_every_fact_and_check() {
    let plain = good(&["tour", "--only", "files"]);
    let document: Json =
        serde_json::from_str(&good(&["tour", "--only", "files", "--json"])).expect("JSON");
    let stop = &document["stops"][0];
    let count = |what: &str| stop[what].as_array().expect("a list").len();
    let lines = |kind: &str| plain.lines().filter(|line| line.starts_with(kind)).count();
    assert_eq!(stop["title"], "The files");
    assert_eq!(count("said"), lines("say\t"));
    assert_eq!(count("facts"), lines("fact\t"));
    assert_eq!(count("checks"), lines("passed\t") + lines("SKIPPED\t"));
    assert!(stop["facts"][0]["value"].is_u64(), "sizes are integers");
}

#[test]
fn the_working_directory_is_gone_at_the_end() {
    let temporary = directory();
    let path = temporary.path();
    for words in [&["tour", "--only", "files"][..], &["tour", "missing"]] {
        bifolio(words)
            .env("TMPDIR", path)
            .env("TMP", path)
            .env("TEMP", path)
            .output()
            .expect("runs");
        assert_eq!(crate::support::names(path), [""; 0], "{words:?}");
    }
}

#[test]
fn the_other_processes_of_the_tour_are_hidden() {
    for words in [&["--help"][..], &["man"], &["completions", "bash"]] {
        assert!(!good(words).contains("tour-child"), "{words:?}");
    }
    let output = bifolio(&["tour-child", "nonsense"]).output().expect("it runs");
    assert_eq!(code(&output), 2);
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_no_unicode_is_no_hindrance() {
    use std::os::unix::ffi::OsStringExt;
    let directory = directory();
    let path = directory.path().join(std::ffi::OsString::from_vec(b"\xff\n-x".to_vec()));
    std::fs::write(&path, "x").expect("written");
    let output = bifolio(&["tour", "--only", "files"]).arg(path).output().expect("it runs");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("\\n-x, size\t1\tbytes\n"), "{}", stdout(&output));
}

/// The stops that look at residency, with their files on an overlay over this directory.
#[cfg(target_os = "linux")]
fn tour_on_overlay(layers: &std::path::Path) -> Option<String> {
    use bifolio_testkit::skip::Skip;
    use std::process::Command;
    let part = |name: &str| {
        let path = layers.join(name);
        std::fs::create_dir(&path).expect("made");
        path.to_str().expect("text").to_owned()
    };
    let (lower, upper, work, merged) = (part("l"), part("u"), part("w"), part("merged"));
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    let words = ["-t", "overlay", "-o", &options, "overlay", &merged];
    if !Command::new("mount").args(words).status().is_ok_and(|status| status.success()) {
        Skip::because("overlayfs cannot be mounted here").count();
        return None;
    }
    let words = ["tour", "--only", "residency", "--only", "processes"];
    let output = bifolio(&words).env("TMPDIR", &merged).output();
    let unmounted = Command::new("umount").arg(&merged).status();
    assert!(unmounted.is_ok_and(|status| status.success()), "umount");
    let output = output.expect("it runs");
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    Some(stdout(&output))
}

#[cfg(target_os = "linux")]
#[test]
fn on_an_overlay_residency_is_seen_and_dirty_pages_are_skipped_with_the_reason() {
    use bifolio_testkit::mount::{Filesystem, Image, Tmpfs};
    use bifolio_testkit::skip::{Obstacle, or_count};
    let root = || bifolio_testkit::privilege::need_root().map_err(Obstacle::from);
    let seen = "passed\twhat was just written is in memory";
    let image = root().and_then(|()| Image::new(Filesystem::Ext4, 128 << 20));
    if let Some(image) = or_count(image) {
        let Some(text) = tour_on_overlay(&image.path()) else { return };
        assert!(text.contains(seen), "{text}");
        assert!(text.contains("passed\tafter it was evicted no page is in memory"), "{text}");
        assert!(text.contains("dirty pages are not counted"), "{text}");
    }
    // Layers in memory: nothing goes, and that is no failure.
    if let Some(tmpfs) = or_count(root().and_then(|()| Tmpfs::new(64 << 20))) {
        let Some(text) = tour_on_overlay(&tmpfs.path()) else { return };
        assert!(text.contains(seen) && text.contains("layers seem to live in memory"), "{text}");
    }
}
