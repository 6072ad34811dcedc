use serde_json::Value as Json;

use crate::support::{code, directory, run, stderr, stdout};

#[test]
fn a_command_that_does_its_work_ends_with_0() {
    assert_eq!(code(&run(&["version"])), 0);
    assert_eq!(code(&run(&["--help"])), 0);
}

#[test]
fn a_failure_without_a_number_of_its_own_ends_with_1() {
    // A directory where a page must be is neither missing nor damaged.
    let directory = directory();
    std::fs::create_dir(directory.path().join("bifolio.1")).expect("made");
    let output = run(&["man", "--dir", directory.path().to_str().expect("text")]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
}

#[test]
fn a_line_that_makes_no_sense_ends_with_2_and_says_where_help_is() {
    for words in [
        &["tour", "--nonsense"][..],
        &["completions"],
        &["completions", "tcsh"],
        &[],
        &["help", "x"],
    ] {
        let output = run(words);
        assert_eq!((code(&output), stdout(&output).as_str()), (2, ""), "{words:?}");
        assert!(stderr(&output).contains("--help"), "{words:?}: {}", stderr(&output));
    }
}

#[test]
fn what_is_missing_ends_with_3_and_names_it() {
    let output = run(&["tour", "no/such/file"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (3, ""));
    let text = stderr(&output);
    assert!(text.starts_with("error: there is no such file"), "{text}");
    assert!(text.contains("where: no/such/file") && text.contains("next: "), "{text}");
}

#[test]
fn a_directory_is_no_file_for_the_tour() {
    let directory = directory();
    let output = run(&["tour", directory.path().to_str().expect("text")]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("it is a directory"));
}

#[test]
fn in_json_an_error_is_an_object_with_what_where_and_next() {
    for (words, exit) in [
        (&["tour", "no-such-file", "--json"][..], 3),
        (&["tour", "no-such-file", "--format=jsonl"], 3),
        (&["--json", "tuor"], 2),
        (&["man", "--nonsense", "--json"], 2),
        (&["help", "nonsense", "--json"], 2),
    ] {
        let output = run(words);
        assert_eq!((code(&output), stdout(&output).as_str()), (exit, ""), "{words:?}");
        let text = stderr(&output);
        assert_eq!(text.lines().count(), 1, "{text}");
        let error: Json = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&error["schema"], &error["version"]), (&"bifolio.error".into(), &1.into()));
        assert_eq!(error["exit"], exit);
        for part in ["what", "where", "next"] {
            assert!(error[part].as_str().is_some_and(|text| !text.is_empty()), "{part}: {text}");
        }
    }
}

#[test]
fn the_exit_codes_have_the_numbers_of_the_contract() {
    let codes = bifolio_cli::exit::Exit::ALL.map(bifolio_cli::exit::Exit::code);
    assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 130]);
}
