use std::io::pipe;
use std::process::{Command, Stdio};

use crate::support::{bifolio, code, program, stderr, stdout};

#[test]
fn a_closed_pipe_ends_quietly_with_0() {
    for words in [
        &["version"][..],
        &["--help"],
        &["--version"],
        &["completions", "bash"],
        &["man", "--format", "json"],
        &["tour", "--only", "files"],
        &["tour", "--only", "files", "--json"],
        &["tour", "--only", "files", "--format", "human"],
    ] {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let output = Command::new(program())
            .args(words)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .expect("it runs");
        assert_eq!((code(&output), stderr(&output).as_str()), (0, ""), "{words:?}");
    }
}

#[test]
fn closed_stderr_is_no_panic() {
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    for (words, exit) in [(&["tour", "missing"][..], 3), (&["--nonsense"], 2)] {
        let output = Command::new(program())
            .args(words)
            .stderr(writer.try_clone().expect("cloned"))
            .output()
            .expect("it runs");
        assert_eq!(code(&output), exit, "{words:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_under_stdout_is_an_error_that_says_so() {
    for words in [&["version"][..], &["--help"], &["tour", "--only", "files"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("it is there");
        let output = Command::new(program())
            .args(words)
            .stdout(full)
            .stderr(Stdio::piped())
            .output()
            .expect("it runs");
        assert_eq!(code(&output), 6, "{words:?}");
        assert!(stderr(&output).contains("the file system is full"), "{}", stderr(&output));
    }
}

#[test]
fn a_dash_is_stdin() {
    let output = bifolio(&["tour", "--only", "files", "-"])
        .write_stdin("111\r\n222\r\n333")
        .output()
        .expect("it runs");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("fact\tstdin, size\t13\tbytes\n"), "{}", stdout(&output));
}

#[test]
fn messages_do_not_mix_with_data() {
    let output = bifolio(&["tour", "--only", "files", "--json"]).output().expect("it runs");
    assert_eq!(stderr(&output), "", "no progress and no message where nobody looks");
    serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("nothing but JSON");
}
