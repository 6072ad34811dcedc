use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::support::good;

fn last(words: &[&str]) -> Json {
    records(words).pop().expect("a record")
}

#[test]
fn a_tree_has_the_pages_that_vmtouch_counts() {
    let dir = directory();
    small_files(dir.path(), 300);
    let record = last(&["page", "stat", text(dir.path())]);
    assert_eq!(number(&record, "files"), 300);
    if let Some((resident, pages)) = by_vmtouch(dir.path()) {
        assert_eq!(number(&record, "pages"), pages);
        let page = number(&record, "resident") / resident;
        assert_eq!((number(&record, "resident"), page), (resident * page, 4096));
    }
}

#[test]
fn each_file_has_a_line_and_their_sum_is_the_directorys() {
    let dir = directory();
    small_files(dir.path(), 50);
    let lines = records(&["page", "stat", text(dir.path()), "--files"]);
    let (sum, files) = lines.split_last().expect("lines");
    assert_eq!((files.len(), &sum["kind"]), (50, &"directory".into()));
    for field in ["length", "pages", "resident", "dirty", "allocated"] {
        let total: u64 = files.iter().map(|file| number(file, field)).sum();
        assert_eq!(number(sum, field), total, "{field}");
    }
    assert!(files.is_sorted_by_key(|file| file["path"].as_str().expect("a path").to_owned()));
}

#[test]
fn a_file_of_several_names_is_counted_once() {
    let dir = directory();
    fs::write(dir.path().join("a"), vec![1; 10_000]).expect("written");
    fs::create_dir(dir.path().join("d")).expect("made");
    fs::hard_link(dir.path().join("a"), dir.path().join("d/b")).expect("linked");
    let path = text(dir.path());
    assert_eq!(number(&last(&["page", "stat", path]), "files"), 1);
    assert_eq!(number(&last(&["page", "stat", path, "--every-link"]), "files"), 2);
    // The total counts a file once that two arguments lead to; each of them has it.
    let inner = format!("{path}/d");
    let lines = records(&["page", "stat", path, &inner]);
    let files: Vec<u64> = lines.iter().map(|line| number(line, "files")).collect();
    assert_eq!(files, [1, 1, 1]);
    let output = good(&["page", "stat", &format!("{path}/a"), "--json"]);
    assert!(output.contains("hard-linked"), "{output}");
}

#[test]
fn holes_are_shown_as_what_they_are() {
    let dir = directory();
    let path = dir.path().join("sparse");
    let file = File::create(&path).expect("created");
    file.set_len(40 << 20).expect("set");
    file.write_all_at(&[1; 4096], 20 << 20).expect("written");
    file.sync_all().expect("synced");
    let record = last(&["page", "stat", text(&path)]);
    assert_eq!(number(&record, "length"), 40 << 20);
    assert!(number(&record, "allocated") < 1 << 20, "{record}");
    assert_eq!(record["notes"], serde_json::json!(["sparse"]));
    let picture = good(&["page", "stat", text(&path), "--format", "human", "--ascii"]);
    assert!(picture.contains("(blank) a hole"), "{picture}");
}

#[test]
fn a_range_counts_the_pages_that_touch_it() {
    let dir = directory();
    let path = dir.path().join("a");
    fs::write(&path, vec![1; 100_000]).expect("written");
    for (range, pages) in [("0..1", 1), ("4095..+2", 2), ("50%..", 13), ("0..0", 0)] {
        let record = last(&["page", "stat", text(&path), "--range", range]);
        assert_eq!(number(&record, "pages"), pages, "{range}");
        assert_eq!(number(&record, "resident"), pages * 4096, "{range}");
    }
    let output = run(&["page", "stat", text(dir.path()), "--range", "1M..2M"]);
    assert_eq!(code(&output), 0);
    assert!(stderr(&output).contains("1 shorter than --range"), "{}", stderr(&output));
}

#[test]
fn names_and_sizes_filter_files_and_lists_add_them() {
    let dir = directory();
    for (name, size) in [("a.idx", 10), ("b.idx", 9000), ("c.log", 10), ("skip/d.idx", 10)] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, vec![1; size]).expect("written");
    }
    let path = text(dir.path());
    let files = |more: &[&str]| number(&last(&[&["page", "stat", path], more].concat()), "files");
    assert_eq!(files(&[]), 4);
    assert_eq!(files(&["--include", "*.idx"]), 3);
    assert_eq!(files(&["--include", "*.idx", "--exclude", "skip"]), 2);
    assert_eq!(files(&["--include", "*.idx", "--max-size", "4k", "--exclude", "skip"]), 1);
    let list = dir.path().join("list");
    fs::write(&list, format!("{path}/a.idx\0{path}/c.log\0")).expect("written");
    let lines = records(&["page", "stat", "--files-from", text(&list), "--null"]);
    assert_eq!(number(&lines[2], "files"), 2);
    let stdin = bifolio(&["page", "stat", "--files-from", "-", "--json"])
        .write_stdin(format!("{path}/a.idx\n"))
        .output()
        .expect("it runs");
    assert!(stdout(&stdin).contains("a.idx"), "{}", stderr(&stdin));
}

#[test]
fn what_is_missing_ends_with_3_and_the_rest_is_done() {
    let dir = directory();
    small_files(dir.path(), 5);
    let lines = records_of(&["page", "stat", "no/such/file", text(dir.path())], 3);
    assert_eq!(number(lines.last().expect("the total"), "files"), 5);
    let output = run(&["page", "stat", "no/such/file"]);
    assert!(stderr(&output).contains("no/such/file: not found"), "{}", stderr(&output));
}

#[test]
fn loops_links_and_special_files_are_counted_and_told() {
    let dir = directory();
    small_files(dir.path(), 3);
    symlink("..", dir.path().join("d0/up")).expect("linked");
    let made = Command::new("mkfifo").arg(dir.path().join("pipe")).status().expect("mkfifo");
    assert!(made.success());
    let output = run(&["page", "stat", text(dir.path())]);
    assert_eq!(code(&output), 0);
    let told = stderr(&output);
    assert!(told.contains("1 symbolic link, not followed"), "{told}");
    assert!(told.contains("1 neither file nor directory"), "{told}");
    let output = run(&["page", "stat", text(dir.path()), "--follow"]);
    assert_eq!(code(&output), 0);
    assert!(stderr(&output).contains("1 loop of links"), "{}", stderr(&output));
    assert!(stdout(&output).contains("\tdirectory\t3\t"), "{}", stdout(&output));
}

#[test]
fn what_may_not_be_looked_at_is_counted_and_no_zero() {
    let dir = directory();
    small_files(dir.path(), 3);
    let all = fs::Permissions::from_mode(0o755);
    fs::set_permissions(dir.path(), all).expect("set");
    fs::set_permissions(dir.path().join("d0"), fs::Permissions::from_mode(0o700)).expect("set");
    // Readable by everybody, but of another user: the kernel tells its residency to nobody else.
    let Some(output) = as_nobody(&["page", "stat", text(dir.path()), "--files"]) else { return };
    assert_eq!(code(&output), 1);
    let told = stderr(&output);
    assert!(told.contains("3 permission denied") && told.contains("only to its owner"), "{told}");
    assert!(!stdout(&output).contains("\tfile\t"), "{}", stdout(&output));
}

#[test]
fn files_that_vanish_meanwhile_are_no_failure() {
    let dir = directory();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                small_files(dir.path(), 200);
                for place in ["d0", "d1", "d2"] {
                    fs::remove_dir_all(dir.path().join(place)).expect("removed");
                }
            }
        });
        for _ in 0..20 {
            let output = run(&["page", "stat", text(dir.path())]);
            if code(&output) != 0 {
                stop.store(true, Ordering::Relaxed);
                panic!("{}", stderr(&output));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn many_threads_count_as_one_does() {
    let dir = directory();
    small_files(dir.path(), 2000);
    let of = |threads| last(&["page", "stat", text(dir.path()), "--threads", threads]);
    let (one, eight) = (of("1"), of("8"));
    for field in ["files", "length", "pages", "resident"] {
        assert_eq!(number(&one, field), number(&eight, field), "{field}");
    }
    assert_eq!(number(&one, "files"), 2000);
}

#[test]
fn other_file_systems_are_left_out_if_so_wished() {
    use bifolio_testkit::{mount::Tmpfs, skip::or_count};
    let root = bifolio_testkit::privilege::need_root().map_err(Into::into);
    let Some(tmpfs) = or_count(root.and_then(|()| Tmpfs::new(1 << 20))) else { return };
    fs::write(tmpfs.path().join("inner"), "x").expect("written");
    let place = tmpfs.path();
    let parent = text(place.parent().expect("a parent"));
    let files = |more: &[&str]| number(&last(&[&["page", "stat", parent], more].concat()), "files");
    assert_eq!(files(&[]), files(&["--one-file-system"]) + 1);
}

#[test]
fn people_see_a_strip_with_its_legend() {
    let dir = directory();
    let path = dir.path().join("a");
    fs::write(&path, vec![1; 64 << 10]).expect("written");
    File::open(&path).and_then(|file| file.sync_all()).expect("synced");
    let ascii = good(&["page", "stat", text(&path), "--format", "human", "--ascii"]);
    let lines: Vec<&str> = ascii.lines().collect();
    assert!(lines[1].starts_with("################  "), "{ascii}");
    assert!(lines[1].contains("100.0%") && lines[1].ends_with("/a"), "{ascii}");
    assert!(ascii.contains("# in memory"), "{ascii}");
    let unicode = bifolio(&["page", "stat", text(&path), "--format", "human"])
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("it runs");
    assert!(stdout(&unicode).contains("████████████████  "), "{}", stdout(&unicode));
}

#[test]
fn a_file_that_links_lead_to_again_is_counted_once() {
    let dir = directory();
    small_files(dir.path(), 3);
    for name in ["one", "two"] {
        symlink("d0/f0", dir.path().join(name)).expect("linked");
    }
    let words = ["page", "stat", text(dir.path()), "--follow"];
    assert_eq!(number(&last(&words), "files"), 3);
    assert_eq!(number(&last(&[&words[..], &["--every-link"]].concat()), "files"), 5);
}

#[test]
fn files_that_are_named_are_filtered_too() {
    let dir = directory();
    let [a, b] = ["a.idx", "b.log"].map(|name| dir.path().join(name));
    for path in [&a, &b] {
        fs::write(path, "text").expect("written");
    }
    let files = |more: &[&str]| {
        let words = [&["page", "stat", text(&a), text(&b)], more].concat();
        number(&last(&words), "files")
    };
    assert_eq!(files(&[]), 2);
    assert_eq!(files(&["--include", "*.idx"]), 1);
    assert_eq!(files(&["--exclude", "b.*"]), 1);
}

#[test]
fn what_makes_no_sense_for_a_file_is_a_usage_error() {
    let dir = directory();
    let path = dir.path().join("a");
    fs::write(&path, vec![7; 10_000]).expect("written");
    let output = run(&["page", "stat", text(&path), "--range", "1M..2M"]);
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    assert!(stderr(&output).contains("past the end at 10000"), "{}", stderr(&output));
    let output = run(&["page", "stat", text(dir.path()), "--range", "1M..2M"]);
    assert_eq!(code(&output), 0, "below a directory it picks files");
    let output = run(&["page", "stat", text(dir.path()), "--max-size", "10%"]);
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    let half = &records(&["page", "stat", text(&path), "--range", "50%.."])[0];
    assert!(half["allocated"].is_null(), "{half}");
    let all = &records(&["page", "stat", text(&path), "--range", ".."])[0];
    assert!(number(all, "allocated") > 0, "{all}");
}

#[test]
fn failures_are_told_apart_from_what_was_left_out() {
    let dir = directory();
    symlink("nowhere", dir.path().join("link")).expect("linked");
    let output = run(&["page", "stat", "no/such", "a/such", text(dir.path())]);
    assert_eq!(code(&output), 3);
    let told = stderr(&output);
    let error = told.lines().find(|line| line.contains("not everything")).expect("the error");
    assert!(error.contains("2 not found") && !error.contains("links"), "{told}");
    assert!(told.contains("1 symbolic link, not followed"), "{told}");
    assert!(told.lines().any(|line| line.contains("where") && line.contains("a/such")), "{told}");
}

#[test]
fn many_paths_need_no_more_memory_each() {
    let dir = directory();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).expect("made");
    fs::write(tree.join("a"), "text").expect("written");
    let list = dir.path().join("list");
    // With sums of all paths kept by the threads of each of them, this takes gigabytes.
    fs::write(&list, format!("{}\n", text(&tree)).repeat(3000)).expect("written");
    let output = Command::new("prlimit")
        .arg("--as=600000000")
        .arg(crate::support::program())
        .args(["page", "stat", "--files-from", text(&list), "--threads", "4", "--json"])
        .output()
        .expect("prlimit");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
fn a_name_that_is_no_unicode_can_be_had_back_from_each_format() {
    use std::os::unix::ffi::OsStrExt;
    let dir = directory();
    let path = dir.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9.bin"));
    fs::write(&path, [1; 5000]).expect("written");
    let found = records(&["page", "stat", text(dir.path()), "--files"]);
    let record = found.iter().find(|record| record["path_hex"].is_string()).expect("its record");
    let hex: String = path.as_os_str().as_bytes().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(record["path_hex"], hex.as_str());
    assert!(record["path"].as_str().expect("text").ends_with("caf\u{fffd}.bin"));
    for format in ["plain", "human", "csv"] {
        let output = run(&["page", "stat", text(dir.path()), "--files", "--format", format]);
        assert!(stdout(&output).contains("caf\\xe9.bin"), "{format}: {}", stdout(&output));
    }
}
