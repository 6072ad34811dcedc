use std::fs;

use crate::support::{code, directory, good, names, paths, run, stderr, stdout};

#[test]
fn every_subcommand_has_a_page_with_its_options_and_examples() {
    for path in paths() {
        let mut words = vec!["man"];
        words.extend(path.split_whitespace());
        let page = good(&words);
        let name = format!("bifolio {path}").trim().replace(' ', "\\-");
        assert!(page.contains(&name), "{words:?} lacks its name {name}");
        for part in [".TH", ".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS", ".SH \"EXIT STATUS\""] {
            assert!(page.contains(part), "{words:?} lacks {part}:\n{page}");
        }
        assert!(page.contains("\\-\\-format"), "{words:?} lacks the global options");
        let shown = bifolio_cli::cli::examples(&path)[0].shows.replace('-', "\\-");
        assert!(page.contains(&shown), "{words:?} lacks its examples");
    }
}

#[test]
fn a_page_of_nothing_is_a_usage_error() {
    let output = run(&["man", "tuor"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (2, ""));
    assert!(stderr(&output).contains("did you mean `tour`?"));
}

#[test]
fn all_pages_are_written_to_a_directory() {
    let directory = directory();
    let man = directory.path().join("share/man1");
    let words = ["man", "--dir", man.to_str().expect("text")];
    assert_eq!(good(&words).matches("\tcreated\n").count(), paths().len());
    let mut expected: Vec<_> = paths()
        .iter()
        .map(|path| format!("{}.1", format!("bifolio {path}").trim().replace(' ', "-")))
        .collect();
    expected.sort();
    assert_eq!(names(&man), expected);
    assert_eq!(
        fs::read_to_string(man.join("bifolio-tour.1")).expect("read"),
        good(&["man", "tour"])
    );
    assert_eq!(good(&words).matches("\tunchanged\n").count(), paths().len());
}

#[test]
fn a_dry_run_writes_nothing() {
    let directory = directory();
    let man = directory.path().join("man1");
    let text = good(&["man", "--dir", man.to_str().expect("text"), "--dry-run"]);
    assert_eq!(text.matches("\twould be created\n").count(), paths().len());
    assert!(!man.exists());
}

#[test]
fn a_different_file_is_replaced_only_with_yes() {
    let directory = directory();
    let man = directory.path().to_str().expect("text");
    let page = directory.path().join("bifolio.1");
    fs::write(&page, "mine").expect("written");

    let refused = run(&["man", "--dir", man]);
    assert_eq!((code(&refused), stdout(&refused).as_str()), (6, ""));
    assert!(stderr(&refused).contains("--yes"), "{}", stderr(&refused));
    assert_eq!(names(directory.path()), ["bifolio.1"], "nothing is done by half");

    assert!(good(&["man", "--dir", man, "--dry-run"]).contains("bifolio.1\t"));
    assert_eq!(fs::read_to_string(&page).expect("read"), "mine");

    assert_eq!(good(&["man", "--dir", man, "--yes"]).matches("\treplaced\n").count(), 1);
    assert_eq!(fs::read_to_string(&page).expect("read"), good(&["man"]));
}
