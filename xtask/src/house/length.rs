//! Past about 600 lines a noun is missing.

use super::{Finding, Tree};

const MOST: usize = 600;
/// Where a longer file must say why it is.
const HEAD: usize = 10;

pub(super) fn find(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter_map(|(path, text)| {
            let count = text.lines().count();
            let explained = text.lines().take(HEAD).any(explains);
            (count > MOST && !explained).then(|| {
                let message = format!(
                    "{count} lines: split it, or say `// long: reason` in its first {HEAD} lines"
                );
                Finding::file(path, message)
            })
        })
        .collect()
}

fn explains(line: &str) -> bool {
    line.trim().strip_prefix("// long:").is_some_and(|reason| !reason.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(head: &str, lines: usize) -> usize {
        let text = format!("{head}\n{}", "\n".repeat(lines - 1));
        find(&Tree::of(&[("a.rs", &text)])).len()
    }

    #[test]
    fn short_files_and_explained_ones_are_fine() {
        assert_eq!(found("//! Short.", MOST), 0);
        assert_eq!(found("// long: one table, read as a whole", MOST + 1), 0);
    }

    #[test]
    fn a_long_file_without_a_reason_is_caught() {
        assert_eq!(found("//! Long.", MOST + 1), 1);
        assert_eq!(found("// long:", MOST + 1), 1);
    }
}
