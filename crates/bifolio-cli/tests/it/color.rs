use crate::support::{bifolio, stderr, stdout};

/// Stdout of the tour for people, and whether it is coloured.
fn is_coloured(variables: &[(&str, &str)], words: &[&str]) -> bool {
    let all = [&["tour", "--only", "files", "--format", "human"], words].concat();
    let output = bifolio(&all).envs(variables.iter().copied()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output).contains('\u{1b}')
}

#[test]
fn off_a_terminal_there_is_no_colour() {
    assert!(!is_coloured(&[], &[]));
}

#[test]
fn clicolor_force_colours_and_no_color_wins_over_it() {
    assert!(is_coloured(&[("CLICOLOR_FORCE", "1")], &[]));
    assert!(!is_coloured(&[("CLICOLOR_FORCE", "0")], &[]));
    assert!(!is_coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], &[]));
}

#[test]
fn the_option_wins_over_the_environment() {
    assert!(is_coloured(&[("NO_COLOR", "1")], &["--color", "always"]));
    assert!(!is_coloured(&[("CLICOLOR_FORCE", "1")], &["--color", "never"]));
}

#[test]
fn help_pages_and_errors_follow_the_same_rule() {
    let help = |words: &[&str]| stdout(&bifolio(words).output().expect("it runs"));
    assert!(!help(&["--help"]).contains('\u{1b}'));
    assert!(help(&["--color", "always", "--help"]).contains('\u{1b}'));
    for words in [&["tour", "missing"][..], &["tour", "--nonsense"], &["tuor"]] {
        let error =
            |variable| stderr(&bifolio(words).env(variable, "1").output().expect("it runs"));
        assert!(!error("NO_COLOR").contains('\u{1b}'), "{words:?}");
        assert!(error("CLICOLOR_FORCE").contains('\u{1b}'), "{words:?}");
    }
}

#[test]
fn formats_for_programs_are_never_coloured() {
    for format in ["plain", "json", "jsonl", "csv"] {
        let words = ["tour", "--only", "files", "--color", "always", "--format", format];
        let output = bifolio(&words).output().expect("it runs");
        assert!(!stdout(&output).contains('\u{1b}'), "{format}");
    }
}
