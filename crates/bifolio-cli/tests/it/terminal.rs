//! What a person sees, through `script` of util-linux, which makes a terminal.

use std::fs;

use crate::support::{VARIABLES, directory, good, program};

/// Runs the program on a terminal, where a file `data` is; a person types `keys`.
fn on_terminal(line: &str, keys: &str, variables: &[(&str, &str)]) -> (i32, String) {
    let directory = directory();
    fs::write(directory.path().join("data"), "thirteen byte").expect("written");
    let command = format!("'{}' {line}", program().display());
    let mut script = assert_cmd::Command::new("script");
    script.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
    script.current_dir(&directory);
    for variable in VARIABLES {
        script.env_remove(variable);
    }
    script.env("TERM", "xterm").envs(variables.iter().copied()).write_stdin(keys);
    let output = script.output().expect("script is there");
    let text = String::from_utf8(output.stdout).expect("text").replace("\r\n", "\n");
    (output.status.code().expect("it exits by itself"), text)
}

#[test]
fn on_a_terminal_the_format_is_for_people_and_coloured() {
    let (code, text) = on_terminal("tour --only files data", "", &[]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("\u{1b}[32m✓\u{1b}[0m "), "{text}");
    assert!(text.trim_end().ends_with("skipped\u{1b}[0m"), "{text}");
}

#[test]
fn no_color_and_a_dumb_terminal_are_respected() {
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let (code, text) = on_terminal("tour --only files data", "", &[variable]);
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("✓ ") && !text.contains('\u{1b}'), "{variable:?}: {text}");
    }
}

#[test]
fn a_person_is_asked_before_a_file_is_replaced() {
    for (keys, code, kept) in [("y\n", 0, false), ("n\n", 6, true)] {
        let directory = directory();
        let page = directory.path().join("bifolio.1");
        fs::write(&page, "mine").expect("written");
        let line = format!("man --dir '{}'", directory.path().display());
        let (found, text) = on_terminal(&line, keys, &[]);
        assert_eq!(found, code, "{text}");
        assert!(text.contains("replace 1 of ") && text.contains("? [y/N] "), "{text}");
        let now = fs::read_to_string(&page).expect("read");
        assert_eq!(now, if kept { "mine".to_owned() } else { good(&["man"]) });
    }
}

#[test]
fn short_work_shows_no_progress_bar() {
    let (_, text) = on_terminal("tour --only files data", "", &[]);
    assert!(!text.contains('━') && !text.contains("\u{1b}[2K"), "{text}");
}

#[test]
fn the_doctor_keeps_to_the_width_of_the_terminal() {
    for (columns, widest) in [(60, 60), (80, 80), (120, 100)] {
        let directory = directory();
        let line = format!(
            "stty rows 24 cols {columns}; '{}' doctor --explain --color never '{}'",
            program().display(),
            directory.path().display()
        );
        let mut script = assert_cmd::Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        let output = script.env("TERM", "xterm").write_stdin("").output().expect("script is there");
        let text = String::from_utf8(output.stdout).expect("text").replace("\r\n", "\n");
        assert_eq!(output.status.code(), Some(0), "{text}");
        let widths = text.lines().map(|line| line.chars().count());
        let found = widths.max().expect("lines");
        assert!(found <= widest, "{found} columns of {columns}:\n{text}");
        // And it uses what is there.
        assert!(found > widest - 15, "{found} columns of {columns}:\n{text}");
    }
}
