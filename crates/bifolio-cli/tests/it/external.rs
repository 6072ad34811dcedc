use std::path::Path;

use crate::support::{bifolio, code, directory, program, run, stderr, stdout};

/// The program itself, under the name of an external subcommand.
fn install(directory: &Path, name: &str) {
    let file = format!("bifolio-{name}{}", std::env::consts::EXE_SUFFIX);
    std::fs::copy(program(), directory.join(file)).expect("copied");
}

#[test]
fn an_unknown_subcommand_runs_the_program_of_its_name_in_path() {
    let directory = directory();
    install(directory.path(), "hello");
    let output = bifolio(&["hello", "version", "--format", "csv"])
        .env("PATH", directory.path())
        .output()
        .expect("it runs");
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    assert!(stdout(&output).starts_with("name,release"), "{}", stdout(&output));
}

#[test]
fn its_exit_code_is_passed_through() {
    let directory = directory();
    install(directory.path(), "hello");
    for (words, exit) in [(&["hello", "tour", "missing"][..], 3), (&["hello", "--nonsense"], 2)] {
        let output = bifolio(words).env("PATH", directory.path()).output().expect("it runs");
        assert_eq!(code(&output), exit, "{words:?}");
    }
}

#[test]
fn the_options_before_its_name_are_handed_on() {
    let directory = directory();
    install(directory.path(), "hello");
    let output = bifolio(&["--json", "hello", "version"])
        .env("PATH", directory.path())
        .output()
        .expect("it runs");
    assert!(stdout(&output).starts_with("{\"schema\":\"bifolio.version\""), "{}", stdout(&output));
}

#[test]
fn a_name_that_is_nowhere_ends_with_2_and_a_suggestion() {
    let output = run(&["tuor"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (2, ""));
    let text = stderr(&output);
    assert!(text.contains("there is no subcommand `tuor`"), "{text}");
    assert!(text.contains("did you mean `tour`?"), "{text}");
    let far = stderr(&run(&["xyzzy"]));
    assert!(!far.contains("did you mean") && far.contains("bifolio --help"), "{far}");
}

#[test]
fn suggestions_know_the_programs_in_path() {
    let directory = directory();
    install(directory.path(), "query");
    let output = bifolio(&["qurey"]).env("PATH", directory.path()).output().expect("it runs");
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("did you mean `query`?"), "{}", stderr(&output));
}

#[test]
fn the_current_directory_is_not_searched() {
    let directory = directory();
    install(directory.path(), "hello");
    for path in ["", "."] {
        let output = bifolio(&["hello", "version"])
            .env("PATH", path)
            .current_dir(&directory)
            .output()
            .expect("it runs");
        assert_eq!(code(&output), 2, "PATH={path:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_is_not_executable_is_no_subcommand() {
    let directory = directory();
    std::fs::write(directory.path().join("bifolio-hello"), "#!/bin/sh\n").expect("written");
    let output = bifolio(&["hello"]).env("PATH", directory.path()).output().expect("it runs");
    assert_eq!(code(&output), 2);
}

#[cfg(unix)]
#[test]
fn a_signal_that_ends_it_ends_us() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::ExitStatusExt;
    let directory = directory();
    let script = directory.path().join("bifolio-die");
    std::fs::write(&script, "#!/bin/sh\nkill -9 $$\n").expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("set");
    let output = bifolio(&["die"]).env("PATH", directory.path()).output().expect("it runs");
    assert_eq!(output.status.signal(), Some(9));
}
