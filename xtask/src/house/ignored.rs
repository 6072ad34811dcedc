//! An ignored test says why it is ignored.

use super::{Finding, Tree};
use crate::source::{code_only, line_of};

const MARK: &str = "#[ignore";

pub(super) fn find(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust() {
        let code = code_only(text);
        for (at, _) in code.match_indices(MARK) {
            if !has_reason(&text[at + MARK.len()..]) {
                let message = "write `#[ignore = \"the reason\"]`";
                findings.push(Finding::line(path, line_of(text, at), message));
            }
        }
    }
    findings
}

fn has_reason(rest: &str) -> bool {
    let value =
        rest.trim_start().strip_prefix('=').and_then(|rest| rest.trim_start().strip_prefix('"'));
    value.and_then(|text| text.split('"').next()).is_some_and(|reason| !reason.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        find(&Tree::of(&[("a.rs", text)])).len()
    }

    #[test]
    fn a_reason_and_a_mention_are_fine() {
        assert_eq!(found("#[ignore = \"takes an hour\"]\n#[test]\nfn f() {}"), 0);
        assert_eq!(found("// #[ignore]\nlet s = \"#[ignore]\";"), 0);
    }

    #[test]
    fn a_missing_or_empty_reason_is_caught() {
        assert_eq!(found("#[ignore]\n#[test]\nfn f() {}"), 1);
        assert_eq!(found("#[ignore = \"\"]\n#[test]\nfn f() {}"), 1);
    }
}
