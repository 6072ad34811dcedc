//! `save` and `restore`.

use std::fs::File;
use std::path::PathBuf;

use super::*;
use crate::support::names;

/// A tree of which some is in memory, and where the set is saved.
fn saved_tree() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = directory();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).expect("made");
    small_files(&tree, 30);
    let large = tree.join("large");
    fs::write(&large, vec![7; 12 << 20]).expect("written");
    chill(&tree);
    for words in [
        ["page", "touch", text(&tree.join("d1")), "--range", ".."],
        ["page", "touch", text(&large), "--range", "8k..+64k"],
        ["page", "touch", text(&large), "--range", "3M..+5M"],
    ] {
        record(&words, 0);
    }
    let set = dir.path().join("set.jsonl");
    record(&["page", "save", text(&tree), "--to", text(&set)], 0);
    (dir, tree, set)
}

/// The runs of every file.
fn runs(tree: &Path) -> Vec<(String, Vec<Json>)> {
    let files = records(&["page", "stat", text(tree), "--files"]);
    let files = files.iter().filter(|file| file["kind"] == "file");
    files
        .map(|file| file["path"].as_str().expect("a path").to_owned())
        .map(|path| (path.clone(), records(&["page", "map", &path])))
        .collect()
}

/// Saves, chills and restores once: what of the outcome is not what it should be.
fn saved_and_restored() -> Result<(), String> {
    let (_dir, tree, set) = saved_tree();
    let (before, size) = (runs(&tree), resident(&tree));
    chill(&tree);
    let told = record(&["page", "restore", text(&set)], 0);
    // From stdin, and nothing is missing.
    let after = runs(&tree);
    let again = bifolio(&["page", "restore", "-", "--json"])
        .write_stdin(fs::read(&set).expect("read"))
        .output()
        .expect("it runs");
    let again: Json = serde_json::from_str(&stdout(&again)).expect("JSON");
    let wrong = if after != before {
        format!("{before:?} became {after:?}")
    } else if (number(&told, "files"), number(&told, "read_in")) != (11, size)
        || number(&told, "from_disk") < size
    {
        format!("{size} bytes in memory: {told}")
    } else if (number(&again, "already"), number(&again, "read_in")) != (size, 0) {
        format!("a second time: {size} bytes in memory: {again}")
    } else {
        return Ok(());
    };
    Err(wrong)
}

#[test]
fn what_was_saved_is_in_memory_again_and_nothing_else() {
    // The page cache is the whole machine's: what runs beside may drop a page or keep one for a
    // moment. What restoring itself does wrong, it does every time.
    let wrong: Vec<_> =
        std::iter::repeat_with(saved_and_restored).take(4).map_while(Result::err).collect();
    assert!(wrong.len() < 4, "{wrong:#?}");
}

#[test]
fn files_that_changed_or_are_gone_are_skipped_and_told() {
    let (_dir, tree, set) = saved_tree();
    let changed = tree.join("d1/f1");
    let replaced = tree.join("d1/f4");
    let gone = tree.join("d1/f7");
    let pipe = tree.join("d1/f10");
    chill(&tree);
    File::options().append(true).open(&changed).expect("opened").set_len(5).expect("cut");
    let times = File::open(&replaced).expect("opened").metadata().expect("there");
    let bytes = fs::read(&replaced).expect("read");
    fs::write(tree.join("new"), bytes).expect("written");
    let file = File::options().write(true).open(tree.join("new")).expect("opened");
    file.set_modified(times.modified().expect("a time")).expect("set");
    fs::rename(tree.join("new"), &replaced).expect("renamed");
    for path in [&gone, &pipe] {
        fs::remove_file(path).expect("removed");
    }
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let output = run(&["page", "restore", text(&set), "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let told: Json = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!((number(&told, "changed"), number(&told, "gone")), (3, 1));
    for (path, why) in [
        (&changed, "has changed"),
        (&replaced, "has changed"),
        (&pipe, "has changed"),
        (&gone, "is gone"),
    ] {
        let line =
            stderr(&output).lines().find(|line| line.contains(text(path))).map(str::to_owned);
        assert!(line.as_ref().is_some_and(|line| line.contains(why)), "{path:?}: {line:?}");
    }
}

#[test]
fn a_damaged_set_restores_nothing_and_ends_with_4() {
    let (_dir, tree, set) = saved_tree();
    chill(&tree);
    let good = fs::read(&set).expect("read");
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 4;
    for damaged in [&flipped[..], &good[..good.len() - 10], b"", b"\n", &[0xff; 100]] {
        fs::write(&set, damaged).expect("written");
        let output = run(&["page", "restore", text(&set)]);
        assert_eq!((code(&output), stdout(&output).as_str()), (4, ""), "{}", stderr(&output));
        assert!(stderr(&output).contains(text(&set)), "{}", stderr(&output));
    }
    assert_eq!(resident(&tree), 0);
    assert_eq!(code(&run(&["page", "restore", "no-such-file"])), 3);
}

#[test]
fn a_restore_keeps_to_its_budget() {
    let (_dir, tree, set) = saved_tree();
    chill(&tree);
    let told = record(&["page", "restore", text(&set), "--budget", "2M"], 6);
    let found = resident(&tree);
    assert!(found <= 2 << 20, "{found}");
    assert_eq!(number(&told, "read_in"), found);
}

#[test]
fn an_older_set_is_replaced_as_a_whole_and_only_if_so_wished() {
    let (dir, tree, set) = saved_tree();
    let old = fs::read(&set).expect("read");
    chill(&tree);
    let words = ["page", "save", text(&tree), "--to", text(&set)];
    let output = run(&words);
    assert_eq!(code(&output), 6, "{}", stderr(&output));
    assert_eq!(fs::read(&set).expect("read"), old);
    assert_eq!(code(&run(&[&words[..], &["--dry-run"]].concat())), 0);
    assert_eq!(fs::read(&set).expect("read"), old);
    record(&[&words[..], &["--yes"]].concat(), 0);
    let new = fs::read_to_string(&set).expect("read");
    assert!(new.lines().count() == 2 && new.contains("\"files\":0"), "{new}");
    assert_eq!(names(dir.path()), ["set.jsonl", "tree"]);
}

#[test]
fn a_good_set_is_not_replaced_by_a_poorer_one() {
    let (dir, tree, set) = saved_tree();
    let old = fs::read(&set).expect("read");
    let words = ["page", "save", text(&tree), "no-such-file", "--to", text(&set), "--yes"];
    let output = run(&words);
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(stderr(&output).contains("set.jsonl was left as it was"), "{}", stderr(&output));
    assert_eq!(fs::read(&set).expect("read"), old);
    // A new one is written: there is nothing to lose.
    let new = dir.path().join("new.jsonl");
    let output = run(&["page", "save", text(&tree), "no-such-file", "--to", text(&new)]);
    assert_eq!(code(&output), 3);
    assert!(new.exists());
}

#[test]
fn a_dry_run_says_that_nothing_was_written_and_a_dangling_link_is_written_through() {
    let (dir, tree, _) = saved_tree();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink("target.jsonl", &link).expect("linked");
    let words = ["page", "save", text(&tree), "--to", text(&link)];
    let output = run(&[&words[..], &["--dry-run"]].concat());
    assert!(stderr(&output).contains("nothing was written"), "{}", stderr(&output));
    assert!(!link.exists());
    record(&[&words[..], &["--yes"]].concat(), 0);
    assert!(dir.path().join("target.jsonl").is_file());
}
