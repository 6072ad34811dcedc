use std::fs;

use super::*;

fn file(directory: &Path, name: &str) -> Input {
    Input::File(directory.join(name))
}

#[test]
fn without_paths_the_tour_is_shown_on_the_program_and_the_article() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = input::collect(&[], directory.path()).expect("collected");
    let article = files.last().expect("never empty");
    assert_eq!(article.label(), "article.txt");
    assert_eq!(fs::read(article.path()).expect("readable"), b"111\r\n222\r\n333");
    assert_eq!(files[0].path(), std::env::current_exe().expect("known"));
}

#[test]
fn a_path_that_is_no_ordinary_file_is_refused_before_anything_is_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = input::collect(&[file(directory.path(), "missing")], directory.path());
    assert_eq!(missing.expect_err("it is missing").exit(), Exit::NotFound);
    let dir = input::collect(&[Input::File(directory.path().to_owned())], directory.path());
    assert_eq!(dir.expect_err("a directory").exit(), Exit::Usage);
}

#[test]
fn the_names_of_the_stops_are_single_different_words() {
    let mut names: Vec<_> = STOPS.iter().map(|stop| stop.name()).collect();
    assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '-')));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), STOPS.len());
}

#[test]
fn an_outcome_takes_its_words_only_if_it_failed() {
    assert_eq!(Outcome::when(1 < 2, 1, 2), Outcome::Passed);
    let failed = Outcome::Failed { found: "2".to_owned(), expected: "1".to_owned() };
    assert_eq!(Outcome::when(2 < 1, 2, 1), failed);
}
