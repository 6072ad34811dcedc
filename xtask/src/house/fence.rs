//! Unsafe code lies only in the files that `xtask/fence.txt` lists, and the list is exact.

use std::collections::BTreeMap;

use super::{Finding, Tree};
use crate::source::{code_only, line_of, words};

const LIST: &str = "xtask/fence.txt";

/// Where a fence may stand at all. In `bench/` because the rivals' constructors are unsafe.
const GROUNDS: &[&str] =
    &["crates/bifolio-map/", "crates/bifolio-share/", "crates/bifolio-python/", "bench/"];

pub(super) fn find(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let listed = listed(tree, &mut findings);
    for (path, text) in tree.rust() {
        let code = code_only(text);
        match (first_unsafe(&code), listed.contains_key(path)) {
            (Some(offset), false) => findings.push(Finding::line(
                path,
                line_of(text, offset),
                format!("unsafe code outside the fence: move it, or list the file in {LIST}"),
            )),
            (Some(_), true) if !opens_fence(&code) => findings.push(Finding::file(
                path,
                "a fenced file opens with `#![expect(unsafe_code, reason = \"...\")]`",
            )),
            (None, true) => findings.push(Finding::file(
                path,
                format!("listed in {LIST} and holds no unsafe code: take it off the list"),
            )),
            _ => {}
        }
        findings.extend(inner_doors(path, &code));
    }
    findings.extend(roots_without_forbid(tree, &listed));
    findings
}

/// The listed paths with their lines; what is wrong with the list itself goes to `findings`.
fn listed<'a>(tree: &'a Tree, findings: &mut Vec<Finding>) -> BTreeMap<&'a str, usize> {
    let Some(list) = tree.files.get(LIST) else {
        findings.push(Finding::file(LIST, "the list is missing"));
        return BTreeMap::new();
    };
    let mut listed = BTreeMap::new();
    for (index, line) in list.lines().enumerate() {
        let (path, reason) = line.split_once('#').unwrap_or((line, ""));
        let path = path.trim();
        if path.is_empty() {
            continue;
        }
        let mut object = |message: &str| findings.push(Finding::line(LIST, index + 1, message));
        if reason.trim().is_empty() {
            object("a path needs its reason after `#`");
        }
        if !GROUNDS.iter().any(|ground| path.starts_with(ground)) {
            object("unsafe code has no place in this crate");
        }
        if !tree.files.contains_key(path) {
            object("there is no such file");
        }
        if listed.insert(path, index + 1).is_some() {
            object("listed twice");
        }
    }
    listed
}

fn first_unsafe(code: &str) -> Option<usize> {
    let keyword = words(code, "unsafe");
    let assembly = ["asm", "global_asm", "naked_asm"].into_iter().flat_map(|name| {
        words(code, name).filter(move |offset| code[offset + name.len()..].starts_with('!'))
    });
    keyword.chain(assembly).min()
}

/// Whether `expect(unsafe_code, reason)` is among the inner attributes at the head of the file.
fn opens_fence(code: &str) -> bool {
    let mut rest = code.trim_start();
    while rest.starts_with("#![") {
        let end = rest.find(']').map_or(rest.len(), |at| at + 1);
        let attribute: String = rest[..end].split_whitespace().collect();
        if attribute.starts_with("#![expect(unsafe_code,reason=\"") {
            return true;
        }
        rest = rest[end..].trim_start();
    }
    false
}

/// The fence goes around files, so nothing smaller may open it, and `allow` never.
fn inner_doors(path: &str, code: &str) -> Vec<Finding> {
    words(code, "unsafe_code")
        .filter(|&offset| {
            let attribute = &code[code[..offset].rfind('#').unwrap_or(0)..offset];
            let is_fence = attribute.starts_with("#![") && !attribute.contains("allow");
            !is_fence && !attribute.contains("forbid") && !attribute.contains("deny")
        })
        .map(|offset| {
            let message =
                "only `#![expect(unsafe_code, ...)]` at the head of a file opens the fence";
            Finding::line(path, line_of(code, offset), message)
        })
        .collect()
}

/// Every crate without fenced files forbids unsafe code in its roots.
fn roots_without_forbid(tree: &Tree, listed: &BTreeMap<&str, usize>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &tree.packages {
        let own = format!("{}/", package.dir);
        if listed.keys().any(|path| path.starts_with(&own)) {
            continue;
        }
        for root in ["src/lib.rs", "src/main.rs"] {
            let path = format!("{own}{root}");
            let Some(text) = tree.files.get(&path) else { continue };
            if !code_only(text).contains("#![forbid(unsafe_code)]") {
                findings.push(Finding::file(&path, "must say `#![forbid(unsafe_code)]`"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Package;

    const FENCED: &str =
        "//! Calls.\n#![expect(unsafe_code, reason = \"calls\")]\nunsafe fn f() {}\n";
    const FILE: &str = "crates/bifolio-map/src/sys/unix.rs";
    const GOOD_LIST: &str = "# head\ncrates/bifolio-map/src/sys/unix.rs  # mmap and friends\n";

    fn found(list: &str, path: &str, text: &str) -> Vec<String> {
        let findings = find(&Tree::of(&[(LIST, list), (path, text)]));
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_listed_file_that_opens_with_the_expectation_is_fine() {
        assert_eq!(found(GOOD_LIST, FILE, FENCED), [""; 0]);
    }

    #[test]
    fn words_in_comments_strings_and_names_are_no_unsafe_code() {
        let text = "// unsafe {\nlet s = \"unsafe fn\"; #![deny(unsafe_op_in_unsafe_fn)]\n";
        assert_eq!(found("", "crates/bifolio/src/lib.rs", text), [""; 0]);
    }

    #[test]
    fn every_kind_of_unsafe_code_outside_the_fence_is_caught() {
        for text in [
            "fn f() { unsafe { g() } }",
            "unsafe fn f() {}",
            "unsafe impl Send for T {}",
            "unsafe extern \"C\" {}",
            "#[unsafe(no_mangle)] fn f() {}",
            "core::arch::global_asm!(\"ret\");",
            "asm!(\"nop\");",
        ] {
            assert_eq!(found("", FILE, text).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_fenced_file_without_its_expectation_is_caught() {
        assert_eq!(found(GOOD_LIST, FILE, "unsafe fn f() {}").len(), 1);
        let too_late =
            "fn g() {}\nmod m { #![expect(unsafe_code, reason = \"x\")] unsafe fn f() {} }";
        assert_eq!(found(GOOD_LIST, FILE, too_late).len(), 1);
        let no_reason = "#![expect(unsafe_code)]\nunsafe fn f() {}";
        assert_eq!(found(GOOD_LIST, FILE, no_reason).len(), 1);
    }

    #[test]
    fn stale_misplaced_unexplained_and_double_entries_are_caught() {
        assert_eq!(found(GOOD_LIST, FILE, "fn f() {}").len(), 1);
        assert_eq!(found("crates/bifolio-map/gone.rs # x\n", "a.md", "").len(), 1);
        assert_eq!(found(&format!("{FILE}\n"), FILE, FENCED).len(), 1);
        assert_eq!(found(&format!("{FILE} # a\n{FILE} # b\n"), FILE, FENCED).len(), 1);
        let log = "crates/bifolio-log/src/lib.rs";
        assert_eq!(found(&format!("{log} # fast\n"), log, FENCED).len(), 1);
    }

    #[test]
    fn smaller_doors_are_caught() {
        let text = "#[allow(unsafe_code)]\nfn f() {}\n";
        assert_eq!(found("", "crates/bifolio/src/a.rs", text).len(), 1);
        let text = "#![allow(unsafe_code)]\nfn f() {}\n";
        assert_eq!(found("", "crates/bifolio/src/a.rs", text).len(), 1);
    }

    #[test]
    fn a_crate_without_a_fence_must_forbid() {
        let package = Package { name: "x".into(), dir: "crates/x".into(), ..Package::default() };
        let with_root = |text| {
            let mut tree = Tree::of(&[(LIST, ""), ("crates/x/src/lib.rs", text)]);
            tree.packages = vec![package.clone()];
            find(&tree).len()
        };
        assert_eq!(with_root("#![forbid(unsafe_code)]\n"), 0);
        assert_eq!(with_root("// #![forbid(unsafe_code)]\n"), 1);
    }
}
