//! Decisions are `docs/decisions/NNNN-a-few-words.md`, with a title, a status, and a number each.

use std::collections::BTreeMap;

use super::{Finding, Tree};

const FOLDER: &str = "docs/decisions/";

pub(super) fn find(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut numbers: BTreeMap<&str, &str> = BTreeMap::new();
    for (path, text) in tree.markdown() {
        let Some(name) = path.strip_prefix(FOLDER).filter(|name| *name != "README.md") else {
            continue;
        };
        let mut object = |message: &str| findings.push(Finding::file(path, message));
        match number(name) {
            None => object("a decision is named NNNN-a-few-words.md"),
            Some(number) if numbers.insert(number, path).is_some() => object("its number is taken"),
            Some(_) => {}
        }
        let title = text.lines().next().and_then(|line| line.strip_prefix("# "));
        if title.is_none_or(|title| title.trim().is_empty()) {
            object("the first line is its title: `# ...`");
        }
        if !text.lines().any(states_status) {
            object("a line says its status: `Status: accepted`");
        }
    }
    findings
}

fn number(name: &str) -> Option<&str> {
    let (number, words) = name.strip_suffix(".md")?.split_once('-')?;
    let is_number = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !words.is_empty()).then_some(number)
}

fn states_status(line: &str) -> bool {
    let line = line.trim_start_matches(['*', '-', ' ']);
    line.strip_prefix("Status:").is_some_and(|status| !status.trim_matches(['*', ' ']).is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Copies recover\n\nStatus: accepted, 2026\n";

    fn found(files: &[(&str, &str)]) -> usize {
        find(&Tree::of(files)).len()
    }

    #[test]
    fn a_named_titled_decision_with_a_status_is_fine() {
        let bold = "# T\n\n**Status:** accepted\n";
        let files =
            [("docs/decisions/0001-a.md", GOOD), ("docs/decisions/0002-b.md", bold), ("x.md", "")];
        assert_eq!(found(&files), 0);
    }

    #[test]
    fn a_decision_without_title_status_name_or_own_number_is_caught() {
        assert_eq!(found(&[("docs/decisions/0001-a.md", "Status: accepted\n")]), 1);
        assert_eq!(found(&[("docs/decisions/0001-a.md", "# T\n\nStatus:\n")]), 1);
        assert_eq!(found(&[("docs/decisions/1-a.md", GOOD)]), 1);
        assert_eq!(
            found(&[("docs/decisions/0001-a.md", GOOD), ("docs/decisions/0001-b.md", GOOD)]),
            1
        );
    }
}
