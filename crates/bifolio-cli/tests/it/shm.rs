//! `bifolio shm` between processes.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::support::{bifolio, code, directory, good, program, run, stderr, stdout};

/// A directory with a region in it, and the region's path.
fn region() -> (tempfile::TempDir, String) {
    let dir = directory();
    let path = dir.path().join("region").to_str().expect("text").to_owned();
    let made = run(&["shm", "create", &path, "--capacity", "4M", "--participants", "8"]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    (dir, path)
}

fn json(words: &[&str]) -> Json {
    let output = run(&[words, &["--json"]].concat());
    assert_eq!(code(&output), 0, "{words:?}: {}", stderr(&output));
    serde_json::from_str(&stdout(&output)).expect("JSON")
}

/// The program in the background; dropping it kills it.
struct Background(Child);

impl Background {
    fn start(words: &[&str]) -> Self {
        Self::of(&program(), words)
    }

    fn of(program: &Path, words: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(words).stdout(Stdio::piped()).stderr(Stdio::null());
        Self(command.spawn().expect("it starts"))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_one_process_writes_another_reads() {
    let (_dir, path) = region();
    let again = run(&["shm", "create", &path]);
    assert_eq!(code(&again), 6, "it is there already: {}", stderr(&again));
    for line in ["one\n", "two\n"] {
        bifolio(&["shm", "write", &path]).write_stdin(line).assert().success();
    }
    assert_eq!(good(&["shm", "cat", &path]), "one\ntwo\n");
    let info = json(&["shm", "info", &path]);
    let used = info["used"].as_u64().expect("a number");
    assert_eq!((info["capacity"].as_u64(), info["alive"].as_u64()), (Some(4 << 20), Some(0)));
    let range = format!("{}..+3", used - 8);
    assert_eq!(good(&["shm", "cat", &path, &range]), "one");
    let past = run(&["shm", "cat", &path, &format!("0..{}", used + 1)]);
    assert_eq!(code(&past), 2, "{}", stderr(&past));
    let members = json(&["shm", "info", &path, "--members"]);
    let members = members["records"].as_array().expect("records");
    assert!(members.iter().all(|member| member["life"] == "left"), "{members:?}");
    let removed = run(&["shm", "rm", &path]);
    assert_eq!(code(&removed), 6, "nobody agreed: {}", stderr(&removed));
    let removed = run(&["shm", "rm", &path, "--dry-run"]);
    assert_eq!(code(&removed), 0, "{}", stderr(&removed));
    let removed = run(&["shm", "rm", &path, "--yes"]);
    assert_eq!(code(&removed), 0, "{}", stderr(&removed));
    assert_eq!(code(&run(&["shm", "info", &path])), 3);
}

#[test]
fn who_waits_is_woken_by_an_append_and_told_when_the_time_is_over() {
    let (_dir, path) = region();
    let used = json(&["shm", "info", &path])["used"].as_u64().expect("a number").to_string();
    let late = run(&["shm", "wait", &path, "--past", &used, "--timeout", "30ms"]);
    assert_eq!(code(&late), 5, "{}", stderr(&late));
    let mut waiting = Background::start(&["shm", "wait", &path, "--past", &used]);
    bifolio(&["shm", "write", &path]).write_stdin("x").assert().success();
    assert!(waiting.0.wait().expect("it ends").success());
}

#[test]
fn messages_go_from_one_process_to_another_in_order_and_once() {
    let (_dir, path) = region();
    let none = run(&["shm", "receive", &path, "orders"]);
    assert_eq!(code(&none), 3, "{}", stderr(&none));
    assert!(stderr(&none).contains("no channel \"orders\""), "{}", stderr(&none));
    let send = |more: &[&str]| bifolio(&[&["shm", "send", &path, "orders"], more].concat());
    let make = ["--make", "queue", "--slots", "2", "--longest", "8"];
    send(&make).write_stdin("one\n\n").assert().success();
    // There is no room for a third one.
    send(&["--timeout", "30ms"]).write_stdin("three").assert().code(5);
    assert_eq!(good(&["shm", "receive", &path, "orders"]), "one\n\n");
    assert_eq!(good(&["shm", "receive", &path, "orders"]), "", "it was received");
    send(&["--whole"]).write_stdin("a\nb").assert().success();
    assert_eq!(good(&["shm", "receive", &path, "orders", "--count", "1"]), "a\nb\n");
    let late = ["shm", "receive", &path, "orders", "--count", "1", "--timeout", "30ms"];
    assert_eq!(code(&run(&late)), 5);
    let long = send(&[]).write_stdin("12345678\n123456789\n").assert().code(2);
    assert!(stderr(long.get_output()).contains("up to 8 bytes"));
    assert_eq!(good(&["shm", "receive", &path, "orders"]), "12345678\n", "what was sent stays");
    let objects = json(&["shm", "info", &path, "--objects"]);
    assert_eq!(objects["records"][0]["what"], "a channel");
}

#[test]
fn a_broadcast_is_followed_and_a_queue_has_one_receiver() {
    let (_dir, path) = region();
    for (name, kind) in [("news", "broadcast"), ("orders", "queue")] {
        let make = ["shm", "send", &path, name, "--make", kind];
        bifolio(&make).write_stdin("").assert().success();
    }
    let mut first = Background::start(&["shm", "receive", &path, "news", "--count", "2"]);
    let mut second = Background::start(&["shm", "receive", &path, "news", "--count", "2"]);
    let _third = Background::start(&["shm", "receive", &path, "orders", "--follow"]);
    soon("they have joined", || json(&["shm", "info", &path])["alive"] == 3);
    soon("somebody receives", || code(&run(&["shm", "receive", &path, "orders"])) == 5);
    // One who has joined may not listen yet: it gets those that are sent later.
    soon("both have two", || {
        bifolio(&["shm", "send", &path, "news"]).write_stdin("one\n").assert().success();
        let over = |one: &mut Background| one.0.try_wait().expect("it is known").is_some();
        over(&mut first) && over(&mut second)
    });
    for mut one in [first, second] {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut one.0.stdout.take().expect("piped"), &mut text)
            .expect("text");
        assert_eq!(text, "one\none\n");
    }
}

#[test]
fn what_is_too_much_is_refused_and_what_was_there_stays() {
    let (_dir, path) = region();
    bifolio(&["shm", "write", &path]).write_stdin("first").assert().success();
    let big = vec![b'x'; 5 << 20];
    bifolio(&["shm", "write", &path]).write_stdin(big).assert().code(6);
    assert!(good(&["shm", "cat", &path]).starts_with("firstx"), "whole pieces stay");
}

#[test]
fn one_command_at_a_time_has_the_lock_and_the_death_of_its_holder_is_told() {
    let dir = directory();
    let path = dir.path().join("lock").to_str().expect("text").to_owned();
    let go = dir.path().join("go");
    let program = program();
    let program = program.to_str().expect("text");
    // The command under the lock waits for a region that nobody makes.
    let never = go.to_str().expect("text");
    let holder = Background::start(&[
        "shm",
        "lock",
        &path,
        "--",
        program,
        "shm",
        "wait",
        never,
        "--timeout",
        "10s",
    ]);
    let alive = || {
        let info = run(&["shm", "info", &path, "--json"]);
        let info: Json = serde_json::from_str(&stdout(&info)).unwrap_or_default();
        info["alive"] == 1 && info["objects"] == 1
    };
    soon("the holder is there", alive);
    soon("the lock is held", || {
        code(&run(&["shm", "lock", &path, "--timeout", "10ms", "--", program, "version"])) == 5
    });
    let removed = run(&["shm", "rm", &path, "--yes"]);
    assert_eq!(code(&removed), 6, "it is in use: {}", stderr(&removed));
    drop(holder);
    let next = run(&["shm", "lock", &path, "--timeout", "20s", "--", program, "version"]);
    assert_eq!(code(&next), 0, "{}", stderr(&next));
    assert!(stderr(&next).contains("the last one who held it was killed"), "{}", stderr(&next));
    let next = run(&["shm", "lock", &path, "--", program, "no-such-subcommand"]);
    assert_eq!(code(&next), 2, "the exit code is the command's: {}", stderr(&next));
    assert!(!stderr(&next).contains("was killed"), "it is told once");
}

#[cfg(target_os = "linux")]
#[test]
fn leftovers_of_others_are_listed_and_removed_when_asked_and_nothing_that_is_in_use() {
    let dir = directory();
    let place = dir.path().to_str().expect("text");
    for name in ["psm_dead", "psm_living", "iox2_x", "fastrtps_y", "mine"] {
        std::fs::write(dir.path().join(name), "bytes").expect("a file");
    }
    let _living = std::fs::File::open(dir.path().join("psm_living")).expect("it opens");
    let found = json(&["shm", "gc", "--directory", place, "--dry-run"]);
    let found = found["records"].as_array().expect("records").clone();
    assert_eq!(found.len(), 4, "{found:?}");
    for one in &found {
        let living = one["path"].as_str().expect("text").ends_with("living");
        assert_eq!(one["state"] == "in use", living, "{one}");
        assert_eq!(one["done"], "left", "{one}");
    }
    let all = ["shm", "gc", "--directory", place, "--foreign", "--unseen"];
    assert_eq!(code(&run(&all)), 6, "nobody agreed");
    assert_eq!(code(&run(&[&all[..], &["--yes"]].concat())), 0);
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .expect("the directory")
        .map(|entry| entry.expect("an entry").file_name())
        .filter(|name| !name.to_string_lossy().starts_with('.'))
        .collect();
    assert!(left.len() == 2 && left.contains(&"mine".into()), "{left:?}");
    assert!(left.contains(&"psm_living".into()), "{left:?}");
}

#[cfg(unix)]
#[test]
fn a_name_is_listed_with_what_it_is() {
    let dir = directory();
    let place = dir.path().to_str().expect("text");
    let made = run(&["shm", "create", "counters", "--directory", place]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let names = json(&["shm", "ls", "--directory", place]);
    let names = names["records"].as_array().expect("records").clone();
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!((&names[0]["name"], &names[0]["what"]), (&"counters".into(), &"region".into()));
    assert_eq!(names[0]["in_use"], "no");
    bifolio(&["shm", "write", "counters", "--directory", place])
        .write_stdin("x")
        .assert()
        .success();
    let removed = run(&["shm", "rm", "counters", "--directory", place, "--yes"]);
    assert_eq!(code(&removed), 0, "{}", stderr(&removed));
    assert_eq!(code(&run(&["shm", "info", "counters", "--directory", place])), 3);
}

/// A program of 64 bits that was built apart, and this one of 32: the words in a region are for both.
#[cfg(all(target_os = "linux", target_arch = "x86"))]
#[test]
fn programs_that_were_built_apart_share_a_region() {
    use bifolio_testkit::skip::Skip;

    const OTHER: &str = "BIFOLIO_TEST_OTHER_PROGRAM";
    let Some(other) = std::env::var_os(OTHER) else {
        return Skip::because(format!("needs another program ({OTHER})")).count();
    };
    let other = Path::new(&other);
    let run_other = |words: &[&str]| {
        let output = Command::new(other).args(words).output().expect("it starts");
        assert!(output.status.success(), "{words:?}: {}", stderr(&output));
        stdout(&output)
    };
    let (dir, path) = region();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    std::fs::write(&one, "one\n").expect("a file");
    std::fs::write(&two, "two\n").expect("a file");
    let (one, two) = (one.to_str().expect("text"), two.to_str().expect("text"));
    good(&["shm", "write", &path, one]);
    run_other(&["shm", "write", &path, two]);
    assert_eq!(good(&["shm", "cat", &path]), "one\ntwo\n");
    assert_eq!(run_other(&["shm", "cat", &path]), "one\ntwo\n");
    // Messages, both ways, by a channel that each has made.
    run_other(&["shm", "send", &path, "theirs", two, "--make", "queue"]);
    assert_eq!(good(&["shm", "receive", &path, "theirs"]), "two\n");
    good(&["shm", "send", &path, "ours", one, "--make", "queue"]);
    assert_eq!(run_other(&["shm", "receive", &path, "ours"]), "one\n");
    // Who has the lock, and dies with it.
    let lock = dir.path().join("lock").to_str().expect("text").to_owned();
    let never = dir.path().join("never").to_str().expect("text").to_owned();
    let theirs = other.to_str().expect("text");
    let wait = [theirs, "shm", "wait", &never, "--timeout", "20s"];
    let holder = Background::of(other, &[&["shm", "lock", &lock, "--"], &wait[..]].concat());
    let ours = program();
    let version = [ours.to_str().expect("text"), "version"];
    let try_it = ["shm", "lock", &lock, "--timeout", "50ms", "--"];
    let try_it = [&try_it[..], &version].concat();
    soon("the other one has the lock", || code(&run(&try_it)) == 5);
    drop(holder);
    let mut told = String::new();
    soon("its death is found out", || {
        let output = run(&try_it);
        told = stderr(&output);
        code(&output) == 0
    });
    assert!(told.contains("was killed"), "{told}");
}
