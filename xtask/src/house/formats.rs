//! A format that is described is compared with the code by a test of the same crate.

use super::{Finding, Tree};

pub(super) fn find(tree: &Tree) -> Vec<Finding> {
    tree.markdown()
        .filter(|(path, _)| path.starts_with("crates/") && path.ends_with("/FORMAT.md"))
        .filter(|(path, _)| !is_compared(tree, path))
        .map(|(path, _)| {
            let message = "no test of this crate includes it: `include_str!(\"../FORMAT.md\")`";
            Finding::file(path, message)
        })
        .collect()
}

fn is_compared(tree: &Tree, format: &str) -> bool {
    let own: String = format.split_inclusive('/').take(2).collect();
    tree.rust().any(|(path, text)| {
        path.starts_with(&own)
            && text.contains("#[test]")
            && text.split("include_str!(").skip(1).any(|rest| {
                rest.trim_start()
                    .split([')', ','])
                    .next()
                    .is_some_and(|name| names(path, name, format))
            })
    })
}

/// Whether the literal `name`, written in the file `path`, leads to `format`.
fn names(path: &str, name: &str, format: &str) -> bool {
    let name = name.trim().trim_matches('"');
    super::links::joined(path, name).as_deref() == Some(format)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: &str = "crates/bifolio-log/FORMAT.md";

    fn found(path: &str, text: &str) -> usize {
        find(&Tree::of(&[(FORMAT, "# Log"), (path, text)])).len()
    }

    #[test]
    fn a_format_with_its_test_is_fine() {
        let test = "const F: &str = include_str!(\"../../FORMAT.md\");\n#[test]\nfn rows() {}\n";
        assert_eq!(found("crates/bifolio-log/tests/it/format.rs", test), 0);
    }

    #[test]
    fn a_format_that_no_test_reads_is_caught() {
        assert_eq!(
            found("crates/bifolio-log/src/lib.rs", "#![doc = include_str!(\"../FORMAT.md\")]"),
            1
        );
        let test = "const F: &str = include_str!(\"../OTHER.md\");\n#[test]\nfn rows() {}\n";
        assert_eq!(found("crates/bifolio-log/src/tests.rs", test), 1);
        let elsewhere = "const F: &str = include_str!(\"../FORMAT.md\");\n#[test]\nfn rows() {}\n";
        assert_eq!(found("crates/bifolio-map/src/tests.rs", elsewhere), 1);
    }
}
