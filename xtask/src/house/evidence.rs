//! A test that `docs/CLAIMS.md` names as evidence exists.

use std::collections::BTreeSet;

use super::{Finding, Tree};

const CLAIMS: &str = "docs/CLAIMS.md";

/// Names of tests are sentences: shorter names are of something else.
const LEAST_UNDERSCORES: usize = 3;

pub(super) fn find(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.files.get(CLAIMS) else { return Vec::new() };
    let functions: BTreeSet<&str> = tree
        .files
        .iter()
        .filter(|(path, _)| path.ends_with(".rs"))
        .flat_map(|(_, text)| text.lines())
        .filter_map(|line| line.trim_start().strip_prefix("fn ")?.split('(').next())
        .collect();
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        // What stands in backquotes is every second piece.
        for name in line.split('`').skip(1).step_by(2).filter(|name| is_a_sentence(name)) {
            if !functions.contains(name) {
                findings.push(Finding::line(
                    CLAIMS,
                    index + 1,
                    format!("there is no test `{name}`"),
                ));
            }
        }
    }
    findings
}

fn is_a_sentence(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.bytes().all(plain) && name.matches('_').count() >= LEAST_UNDERSCORES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(claims: &str) -> usize {
        let test = "#[test]\n    fn a_view_keeps_its_length() {}\n";
        find(&Tree::of(&[(CLAIMS, claims), ("a/tests/it/x.rs", test)])).len()
    }

    #[test]
    fn names_of_tests_that_exist_and_other_words_are_fine() {
        assert_eq!(
            found("| 1 | `a_view_keeps_its_length` and `as_slice_unchecked`, `a b_c_d_e` |"),
            0
        );
    }

    #[test]
    fn a_test_that_was_renamed_is_caught() {
        assert_eq!(found("| 1 | `a_view_keeps_its_size` |\n`a_view_keeps_its_size`"), 2);
    }
}
