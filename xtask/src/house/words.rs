//! Words that are left over from work in progress, and paths that exist on one machine only.

use super::{Finding, Tree};
use crate::source::{code_only, line_of, words};

/// This file has to name what it looks for.
const SELF: &str = "xtask/src/house/words.rs";

const MACHINE_PATHS: &[&str] = &["/work/", "/root/", "/home/"];
const LEFTOVERS: &[&str] = &["FIXME", "XXX", "HACK"];
const MACROS: &[&str] = &["todo!", "unimplemented!", "dbg!"];

pub(super) fn find(tree: &Tree) -> Vec<Finding> {
    tree.files
        .iter()
        .filter(|(path, _)| path.as_str() != SELF)
        .flat_map(|(path, text)| {
            let mut offsets: Vec<(usize, &str)> = Vec::new();
            for name in MACHINE_PATHS {
                offsets.extend(absolute(text, name).map(|at| (at, *name)));
            }
            for word in LEFTOVERS {
                offsets.extend(words(text, word).map(|at| (at, *word)));
            }
            if path.ends_with(".rs") {
                let code = code_only(text);
                for name in MACROS {
                    let found = words(&code, name.trim_end_matches('!'));
                    let called = found.filter(|at| code[*at..].starts_with(name));
                    offsets.extend(called.map(|at| (at, *name)));
                }
            }
            offsets.sort_unstable();
            offsets
                .into_iter()
                .map(|(at, word)| Finding::line(path, line_of(text, at), format!("`{word}`")))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Where `path` stands in `text` as the beginning of a path, not as the middle of one.
fn absolute<'a>(text: &'a str, path: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(path).map(|(at, _)| at).filter(|&at| {
        let before = text[..at].chars().next_back();
        !before
            .is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '~' | '}'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        find(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn ordinary_text_is_fine() {
        assert_eq!(found("a.rs", "// no todo! here\nlet s = \"dbg!\"; my_todo!();"), 0);
        assert_eq!(found("a.md", "Never commit `dbg!`. See net/work/page, https://a.b/root/c."), 0);
        assert_eq!(found("a.rs", "let template = \"XXXXXX\";"), 0);
    }

    #[test]
    fn leftovers_are_caught() {
        assert_eq!(found("a.rs", "fn f() { todo!() }"), 1);
        assert_eq!(found("a.rs", "let x = dbg!(y);"), 1);
        assert_eq!(found("a.rs", "// FIXME: later\n// XXX"), 2);
        assert_eq!(found("a.toml", "# FIXME"), 1);
    }

    #[test]
    fn machine_paths_are_caught_in_any_file() {
        assert_eq!(found("a.md", "see /work/main/x"), 1);
        assert_eq!(found("a.rs", "const P: &str = \"/root/x\";"), 1);
        assert_eq!(found("run", "/home/me/run"), 1);
    }
}
