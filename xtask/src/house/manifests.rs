//! What several manifests say is said once, in the root: shared dependencies, lints, the licence.

use std::collections::BTreeSet;

use super::{Finding, Tree};

const ROOT: &str = "Cargo.toml";

pub(super) fn find(tree: &Tree) -> Vec<Finding> {
    let Some(root) = tree.files.get(ROOT) else {
        return vec![Finding::file(ROOT, "there is no manifest")];
    };
    let shared: BTreeSet<&str> = entries(root)
        .filter(|entry| entry.section == "workspace.dependencies")
        .map(|entry| entry.name)
        .collect();
    let mut findings = Vec::new();
    for package in &tree.packages {
        let path = format!("{}/Cargo.toml", package.dir);
        let Some(text) = tree.files.get(&path) else { continue };
        for entry in entries(text).filter(|entry| is_dependencies(entry.section)) {
            if shared.contains(entry.name) && !entry.is_inherited() {
                let message = format!("`{}` is shared: write `{0}.workspace = true`", entry.name);
                findings.push(Finding::line(&path, entry.line, message));
            }
        }
        for (section, name) in [("lints", "workspace"), ("package", "license.workspace")] {
            let said = entries(text).any(|entry| {
                entry.section == section && entry.key == name && entry.value == "true"
            });
            if !said {
                findings
                    .push(Finding::file(&path, format!("[{section}] must say `{name} = true`")));
            }
        }
    }
    findings
}

/// `key = value` on one line of a manifest, below `[section]`. Enough of TOML for manifests that
/// are written by hand: values over several lines count by their first.
struct Entry<'a> {
    section: &'a str,
    key: &'a str,
    /// The key up to its first dot.
    name: &'a str,
    value: &'a str,
    line: usize,
}

impl Entry<'_> {
    fn is_inherited(&self) -> bool {
        self.key.ends_with(".workspace") || self.value.contains("workspace = true")
    }
}

fn entries(text: &str) -> impl Iterator<Item = Entry<'_>> {
    let mut section = "";
    text.lines().enumerate().filter_map(move |(index, line)| {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim().trim_end_matches(']');
            return None;
        }
        let (key, value) = line.split_once('=')?;
        let key = key.trim();
        let name = key.split('.').next().unwrap_or(key);
        Some(Entry { section, key, name, value: value.trim(), line: index + 1 })
    })
}

fn is_dependencies(section: &str) -> bool {
    section.ends_with("dependencies") && !section.starts_with("workspace")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Package;

    const HEAD: &str = "[package]\nlicense.workspace = true\n[lints]\nworkspace = true\n";

    fn found(text: &str) -> usize {
        let root = "[workspace.dependencies]\nlibc = \"0.2\"\n";
        let mut tree = Tree::of(&[(ROOT, root), ("crates/x/Cargo.toml", text)]);
        tree.packages =
            vec![Package { name: "x".into(), dir: "crates/x".into(), ..Package::default() }];
        find(&tree).len()
    }

    #[test]
    fn inherited_and_unshared_dependencies_are_fine() {
        let text = "[dependencies]\nlibc.workspace = true\nproptest = \"1\"\n\
                    [target.'cfg(unix)'.dev-dependencies]\nlibc = { workspace = true }\n";
        assert_eq!(found(&format!("{HEAD}{text}")), 0);
    }

    #[test]
    fn a_shared_dependency_with_its_own_version_is_caught() {
        assert_eq!(found(&format!("{HEAD}[dependencies]\nlibc = \"0.2\"\n")), 1);
        let target = "[target.'cfg(unix)'.dependencies]\nlibc = { version = \"0.2\" }\n";
        assert_eq!(found(&format!("{HEAD}{target}")), 1);
    }

    #[test]
    fn a_manifest_without_the_lints_or_the_licence_is_caught() {
        assert_eq!(found("[package]\nlicense.workspace = true\n"), 1);
        assert_eq!(found("[lints]\nworkspace = true\n"), 1);
    }
}
