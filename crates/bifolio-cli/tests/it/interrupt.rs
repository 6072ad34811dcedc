//! Ctrl-C. A shell hands an ignored SIGINT on to its background jobs, and so perhaps to this test:
//! `env --default-signal` undoes that.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{directory, names, program};

/// Starts the program with its temporary files below a directory.
fn start(words: &[&str], temporary: &Path) -> Child {
    Command::new("env")
        .arg("--default-signal=INT")
        .arg(program())
        .args(words)
        .env("TMPDIR", temporary)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts")
}

/// Waits for the working directory, presses Ctrl-C, and returns the exit code.
fn press(mut child: Child, temporary: &Path) -> Option<i32> {
    let patience = Instant::now() + Duration::from_secs(30);
    while names(temporary).is_empty() {
        assert!(Instant::now() < patience, "the tour does not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh").success());
    // Stdin stays open: the program must not wait for it.
    let stdin = child.stdin.take();
    let status = child.wait().expect("it ends");
    drop(stdin);
    status.code()
}

#[test]
fn ctrl_c_ends_work_that_waits_with_130_and_leaves_nothing_behind() {
    let directory = directory();
    let child = start(&["tour", "-"], directory.path());
    assert_eq!(press(child, directory.path()), Some(130));
    assert_eq!(names(directory.path()), [""; 0]);
}

#[test]
fn ctrl_c_ends_long_work_with_130_and_leaves_nothing_behind() {
    let (files, temporary) = (directory(), directory());
    let big = files.path().join("big");
    // Nothing but a hole: long to read, and no bytes on disk.
    File::create(&big).and_then(|file| file.set_len(1 << 40)).expect("a hole");
    let child = start(&["tour", big.to_str().expect("text")], temporary.path());
    assert_eq!(press(child, temporary.path()), Some(130));
    assert_eq!(names(temporary.path()), [""; 0]);
}
