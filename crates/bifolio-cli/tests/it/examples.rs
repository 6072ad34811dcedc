use std::collections::HashSet;
use std::fs;

use bifolio_cli::cli;
use bifolio_cli::example::Needs;

use crate::support::{bifolio, directory, good, paths, stderr, stdout};

#[test]
fn every_subcommand_has_three_examples_and_no_example_lacks_its_subcommand() {
    let mut with_examples = cli::paths_with_examples();
    let mut all = paths();
    with_examples.sort_unstable();
    all.sort_unstable();
    assert_eq!(with_examples, all);
    for path in all {
        assert!(cli::examples(&path).len() >= 3, "`{path}` has too few examples");
    }
}

#[test]
fn every_help_page_shows_its_examples() {
    for path in paths() {
        for help in ["-h", "--help"] {
            let mut words: Vec<_> = path.split_whitespace().collect();
            words.push(help);
            let page = good(&words);
            for example in cli::examples(&path) {
                assert!(page.contains(example.line), "{words:?} lacks {}", example.line);
            }
        }
    }
}

#[test]
fn every_example_ends_as_it_says() {
    let mut seen = HashSet::new();
    for path in paths() {
        // The tour is an example twice, and long.
        for example in cli::examples(&path).iter().filter(|example| seen.insert(example.line)) {
            let directory = directory();
            for (name, text) in example.given {
                fs::write(directory.path().join(name), text).expect("written");
            }
            let (words, _) = example.words();
            let (program, arguments) = words.split_first().expect("a program");
            assert_eq!(program, "bifolio", "{}", example.line);
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            let output = bifolio(&arguments).current_dir(&directory).output().expect("it runs");
            let told = format!("{}\n{}{}", example.line, stdout(&output), stderr(&output));
            if example.needs == Needs::PageCache && cfg!(windows) {
                assert_eq!(output.status.code(), Some(1), "{told}");
                assert!(told.contains("this system"), "{told}");
                continue;
            }
            assert_eq!(output.status.code(), Some(example.exit.code().into()), "{told}");
            let silent = output.stdout.is_empty() && output.stderr.is_empty();
            assert!(!silent || example.exit.code() != 0, "{told}");
        }
    }
}

#[test]
fn an_example_is_for_the_subcommand_that_shows_it() {
    for path in paths().iter().filter(|path| !path.is_empty()) {
        for example in cli::examples(path) {
            assert!(example.line.starts_with(&format!("bifolio {path}")), "{}", example.line);
        }
    }
}
