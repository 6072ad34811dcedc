//! The failed tests in the output of a test program, to be told once more at the end of a run: who
//! reads only the last lines of a long log wants to know which test it was, and what it said.

use std::fmt::Write;

/// Longest part of one test's own output that is told.
const LINES_OF_A_TEST: usize = 30;
/// What is told where no test has failed: the program itself ended badly.
const LAST_LINES: usize = 30;

/// Each failed test with what it wrote; the last lines if there is none.
pub(crate) fn in_output(output: &str) -> String {
    let mut told = String::new();
    let mut left = 0;
    for line in output.lines() {
        if line.starts_with("---- ") && line.ends_with(" ----") {
            left = LINES_OF_A_TEST;
        } else if line == "failures:" || line.starts_with("test result:") {
            // The list of names, behind the tests' outputs.
            left = 0;
        }
        if left > 0 && !line.trim().is_empty() {
            left -= 1;
            let _ = writeln!(told, "{line}"); // A String does not refuse.
        }
    }
    if told.is_empty() {
        let lines: Vec<_> = output.lines().collect();
        told = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
    }
    told
}

#[cfg(test)]
mod tests {
    use super::in_output;

    #[test]
    fn failed_tests_are_told_with_what_they_wrote() {
        let output = "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\nfailures:\n\n\
            ---- b stdout ----\n\nthread 'b' panicked at x.rs:1:2:\nnot so\n\n\nfailures:\n    b\n\n\
            test result: FAILED. 1 passed; 1 failed\n\nrunning 1 test\ntest c ... ok\n";
        let told = "---- b stdout ----\nthread 'b' panicked at x.rs:1:2:\nnot so\n";
        assert_eq!(in_output(output), told);
    }

    #[test]
    fn one_test_does_not_drown_the_others() {
        let long = "noise\n".repeat(1000);
        let output = format!("failures:\n---- a stdout ----\n{long}---- b stdout ----\nend\n");
        let told = in_output(&output);
        assert_eq!(told.lines().count(), super::LINES_OF_A_TEST + 2);
        assert!(told.ends_with("---- b stdout ----\nend\n"));
    }

    #[test]
    fn a_program_that_dies_is_told_by_its_last_lines() {
        assert_eq!(in_output("test a ... ok\nFatal: gone"), "test a ... ok\nFatal: gone");
        let many: String = (0..100).map(|number| format!("{number}\n")).collect();
        assert!(in_output(&many).starts_with("70\n"));
    }
}
