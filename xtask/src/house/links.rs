//! A relative link in a Markdown file leads to a file or folder of the repository.

use super::{Finding, Tree};
use crate::markdown;

pub(super) fn find(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.markdown() {
        for link in markdown::links(text) {
            let target = link.target.split('#').next().unwrap_or_default();
            if target.is_empty() || is_elsewhere(target) {
                continue;
            }
            if !joined(path, target).is_some_and(|full| exists(tree, &full)) {
                let message = format!("the link `{target}` leads nowhere");
                findings.push(Finding::line(path, link.line, message));
            }
        }
    }
    findings
}

/// A link with a scheme, or (in pages that rustdoc includes) the path of an item.
fn is_elsewhere(target: &str) -> bool {
    target.contains(':')
}

fn exists(tree: &Tree, path: &str) -> bool {
    let folder = if path.is_empty() { String::new() } else { format!("{path}/") };
    tree.paths.iter().any(|file| file == path || file.starts_with(&folder))
}

/// Where `target`, written in the file `path`, leads; `None` if that is outside the repository.
pub(super) fn joined(path: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        find(&Tree::of(&[("docs/a.md", text), ("docs/b.md", ""), ("src/c.rs", "")])).len()
    }

    #[test]
    fn links_to_files_folders_headings_and_the_net_are_fine() {
        let text = "[b](b.md) [b](./b.md#head) [c](../src/c.rs) [d](../src/) [e](#here) \
                    [f](https://x.y/z) [g](crate::View) [h](../)";
        assert_eq!(found(text), 0);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_caught() {
        assert_eq!(found("[x](gone.md)"), 1);
        assert_eq!(found("[x](../docs/b)"), 1);
        assert_eq!(found("[x](../../outside.md)"), 1);
    }
}
