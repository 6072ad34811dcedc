//! `watch`.

use super::*;

#[test]
fn off_a_terminal_each_look_is_a_record() {
    let dir = directory();
    small_files(dir.path(), 10);
    let lines = records(&["page", "watch", text(dir.path()), "--count", "3", "--interval", "1ms"]);
    assert_eq!(lines.len(), 3);
    for line in &lines {
        assert_eq!((number(line, "files"), &line["path"]), (10, &text(dir.path()).into()));
    }
    assert!(lines.is_sorted_by_key(|line| line["time"].as_str().expect("a time").to_owned()));
}

#[test]
fn a_record_is_handed_over_as_soon_as_it_is_there() {
    use std::io::{BufRead, BufReader};
    let dir = directory();
    small_files(dir.path(), 10);
    let mut child = Command::new(crate::support::program())
        .args(["page", "watch", text(dir.path()), "--interval", "1h", "--format", "jsonl"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    out.read_line(&mut line).expect("a line");
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert!(line.contains("\"schema\":\"bifolio.page-watch\""), "{line}");
}

/// Runs `page watch` on a terminal on which somebody types.
fn on_terminal(path: &Path, more: &str, keys: &str) -> (Option<i32>, String) {
    let program = crate::support::program();
    let line = format!(
        "stty rows 30 cols 100; '{}' page watch '{}' {more}",
        program.display(),
        path.display()
    );
    let mut script = assert_cmd::Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    script.env("TERM", "xterm").env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR").write_stdin(keys);
    let output = script.output().expect("script is there");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn on_a_terminal_the_screen_is_taken_and_given_back() {
    let dir = directory();
    small_files(dir.path(), 10);
    let (code, text) = on_terminal(dir.path(), "--interval 1h", "q");
    assert_eq!(code, Some(0), "{text}");
    let (taken, given) = ("\u{1b}[?1049h", "\u{1b}[?1049l");
    let start = text.find(taken).expect("the screen is taken");
    let end = text.rfind(given).expect("the screen is given back");
    let inside = &text[start..end];
    for words in ["page watch, every ", "100.0%", "history", "q ends", "████"] {
        assert!(inside.contains(words), "{words}: {inside}");
    }
    assert!(text[end..].contains("\u{1b}[?25h"), "the cursor is back");
}

#[test]
fn a_live_view_ends_after_its_looks() {
    let dir = directory();
    small_files(dir.path(), 3);
    let (code, text) = on_terminal(dir.path(), "--interval 1ms --count 5", "");
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(text.matches("history").count(), 5, "{text}");
}
