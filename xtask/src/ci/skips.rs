//! Tests that find that they cannot run here: how many did, and why.

use std::collections::BTreeMap;
use std::path::Path;

use super::Done;

/// Names the file to which each skipped test adds a line `test<TAB>reason` (see bifolio-testkit).
pub(crate) const VARIABLE: &str = "BIFOLIO_SKIPS";

/// Passed, with the skips that `tests` wrote to `file`.
pub(crate) fn counting_skips(
    file: &Path,
    tests: impl FnOnce() -> Result<(), String>,
) -> Result<Done, String> {
    // One of an earlier run; that there is none is as good.
    let _ = std::fs::remove_file(file);
    tests()?;
    // Nobody made it, if nothing was skipped.
    let lines = std::fs::read_to_string(file).unwrap_or_default();
    Ok(in_words(&lines).map_or(Done::Passed, Done::Noted))
}

/// How many tests were skipped, and the reasons with their numbers, the most frequent first.
fn in_words(lines: &str) -> Option<String> {
    let mut reasons = BTreeMap::<&str, usize>::new();
    for line in lines.lines() {
        let reason = line.split_once('\t').map_or(line, |(_, reason)| reason);
        *reasons.entry(reason).or_default() += 1;
    }
    let total: usize = reasons.values().sum();
    let mut sorted: Vec<_> = reasons.into_iter().collect();
    sorted.sort_by_key(|&(reason, count)| (std::cmp::Reverse(count), reason));
    let words: Vec<_> =
        sorted.iter().map(|(reason, count)| format!("{count} x {reason}")).collect();
    (total > 0).then(|| format!("{total} tests skipped: {}", words.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::in_words;

    #[test]
    fn skipped_tests_are_counted_with_their_reasons() {
        assert_eq!(in_words(""), None);
        let lines = "a\tneeds root\nb\tneeds fs-verity\nc\tneeds root\n";
        let words = "3 tests skipped: 2 x needs root; 1 x needs fs-verity";
        assert_eq!(in_words(lines).as_deref(), Some(words));
    }
}
