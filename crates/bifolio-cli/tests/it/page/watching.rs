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
    on_terminal_of((30, 100), path, more, keys)
}

/// The same on one of so many rows and columns.
fn on_terminal_of(
    (rows, columns): (u16, u16),
    path: &Path,
    more: &str,
    keys: &str,
) -> (Option<i32>, String) {
    let program = crate::support::program();
    let line = format!(
        "stty rows {rows} cols {columns}; '{}' page watch '{}' {more}",
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

#[test]
fn ctrl_c_leaves_a_whole_document() {
    use std::io::Read;
    let dir = directory();
    small_files(dir.path(), 10);
    let mut child = Command::new("env")
        .arg("--default-signal=INT")
        .arg(crate::support::program())
        .args(["page", "watch", text(dir.path()), "--interval", "5ms", "--json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let mut out = child.stdout.take().expect("a pipe");
    let mut document = vec![0; 100];
    out.read_exact(&mut document).expect("its beginning");
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh").success());
    out.read_to_end(&mut document).expect("the rest");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let document: Json = serde_json::from_slice(&document).expect("a whole document");
    assert_eq!(document["schema"], "bifolio.page-watch");
    assert!(!document["records"].as_array().expect("records").is_empty());
}

#[test]
fn on_a_small_terminal_the_summary_is_first_and_the_rest_is_counted() {
    let dir = directory();
    small_files(dir.path(), 100);
    let more = "--files --interval 1h; stty size";
    let (code, text) = on_terminal_of((14, 60), dir.path(), more, "q");
    assert_eq!(code, Some(0), "{text}");
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let at = |words: &str| {
        let found = lines.iter().position(|line| line.contains(words));
        found.unwrap_or_else(|| panic!("no {words:?} in {text}"))
    };
    let order = ["page watch, every ", "resident ", "change ", "history ", "more paths"].map(at);
    assert!(order.is_sorted(), "{order:?} {text}");
}
