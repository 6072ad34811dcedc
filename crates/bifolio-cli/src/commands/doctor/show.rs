//! The report for people.

use std::io::Write;
use std::path::Path;

use super::capital;
use super::finding::{Finding, Level};
use crate::color::Paint;
use crate::failure::CliError;
use crate::output::{Layout, display_width, printable, wrap};

/// The widest that text is set, even on a wider terminal: longer lines are hard to read.
const WIDEST: usize = 100;
/// Where nobody says how wide it is.
const USUAL: usize = 80;
/// The column of the levels, with the space after it.
const MARGIN: usize = 8;

/// Writes it: the groups, each finding in a line, and below those that are not ok what they mean
/// and what to do.
pub(super) fn report(
    out: &mut dyn Write,
    layout: Layout,
    path: &Path,
    groups: &[(&str, Vec<Finding>)],
    explain: bool,
) -> Result<(), CliError> {
    let width = layout.columns.map_or(USUAL, usize::from).clamp(40, WIDEST);
    let findings = || groups.iter().flat_map(|(_, findings)| findings);
    let subjects = findings().map(|finding| display_width(&finding.subject)).max().unwrap_or(0);
    let page = Page { paint: layout.paint, width, subjects, explain };
    for (group, findings) in groups {
        let title = match *group {
            "file system" => format!("{} of {}", capital(group), path.display()),
            "measured" => format!("{} there", capital(group)),
            group => capital(group),
        };
        writeln!(out, "{}", page.paint.strong(printable(&title)))?;
        let folded = if explain { findings.clone() } else { fold(findings) };
        for finding in &folded {
            page.finding(out, finding)?;
        }
        writeln!(out)?;
    }
    page.summary(out, &findings().collect::<Vec<_>>())
}

/// Neighbours that are ok in the same way share a line: the names of what works are enough.
fn fold(findings: &[Finding]) -> Vec<Finding> {
    let mut folded = Vec::new();
    let alike = |a: &Finding, b: &Finding| {
        a.level == Level::Ok && b.level == Level::Ok && a.value == b.value
    };
    for run in findings.chunk_by(alike) {
        match run {
            [first, _, _, ..] => {
                let names: Vec<&str> = run.iter().map(|finding| finding.subject.as_ref()).collect();
                folded.push(Finding::new(first.value.clone(), names.join(", ")));
            }
            run => folded.extend_from_slice(run),
        }
    }
    folded
}

struct Page {
    paint: Paint,
    width: usize,
    subjects: usize,
    explain: bool,
}

impl Page {
    fn finding(&self, out: &mut dyn Write, finding: &Finding) -> Result<(), CliError> {
        let (plain, word) = match finding.level {
            Level::Ok => ("ok", self.paint.good("ok")),
            Level::Note => ("note", self.paint.strong("note")),
            Level::Warning => ("warn", self.paint.caution("warn")),
            Level::Broken => ("BROKEN", self.paint.bad("BROKEN")),
        };
        let indent = MARGIN + self.subjects + 2;
        let lines = lines_of(&finding.value, self.width.saturating_sub(indent).max(20));
        let mut lines = lines.iter();
        let gap = " ".repeat(MARGIN - 1 - plain.len());
        let (subject, subjects) = (&finding.subject, self.subjects);
        let first = lines.next().map_or("", String::as_str);
        writeln!(out, "{gap}{word} {subject:subjects$}  {first}")?;
        for line in lines {
            writeln!(out, "{:indent$}{line}", "")?;
        }
        if finding.level == Level::Ok && !self.explain {
            return Ok(());
        }
        self.below(out, "", &finding.meaning)?;
        if let Some(advice) = &finding.advice {
            self.below(out, "try", advice)?;
        }
        if self.explain && !finding.source.is_empty() {
            self.below(out, "from", &finding.source)?;
        }
        Ok(())
    }

    /// Text under a finding, with a word in the margin.
    fn below(&self, out: &mut dyn Write, word: &str, text: &str) -> Result<(), CliError> {
        let indent = MARGIN + 2;
        for (at, line) in lines_of(text, self.width - indent).iter().enumerate() {
            let word = if at == 0 { word } else { "" };
            let gap = " ".repeat(indent - 3 - word.len());
            match word {
                "" => writeln!(out, "{gap}   {line}")?,
                word => writeln!(out, "{gap}{}   {line}", self.paint.faint(word))?,
            }
        }
        Ok(())
    }

    fn summary(&self, out: &mut dyn Write, findings: &[&Finding]) -> Result<(), CliError> {
        let count = |level| findings.iter().filter(|finding| finding.level == level).count();
        let (ok, notes, warnings) = (count(Level::Ok), count(Level::Note), count(Level::Warning));
        let plural = |count: usize, word: &str| match count {
            1 => format!("1 {word}"),
            count => format!("{count} {word}s"),
        };
        let counts = format!("{ok} ok, {}, {}", plural(notes, "note"), plural(warnings, "warning"));
        match count(Level::Broken) {
            0 => writeln!(out, "{counts}: {}", self.paint.good("no promise is broken here"))?,
            broken => {
                let broken = format!(
                    "{} a promise",
                    match broken {
                        1 => "1 finding breaks".to_owned(),
                        more => format!("{more} findings break"),
                    }
                );
                writeln!(out, "{counts}, {}", self.paint.bad(broken))?;
            }
        }
        Ok(())
    }
}

/// Text in lines, with nothing in it that steers the terminal. Words longer than a line, such as
/// lists of mount options, are broken after commas and slashes, or wherever the line ends.
fn lines_of(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in wrap(&printable(text), width) {
        let mut letters: &str = &line;
        while display_width(letters) > width {
            let end = letters.char_indices().nth(width).map_or(letters.len(), |(at, _)| at);
            let good = letters[..end].rfind([',', '/']).map_or(end, |at| at + 1);
            lines.push(letters[..good].to_owned());
            letters = &letters[good..];
        }
        lines.push(letters.to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ok_in_the_same_way_shares_a_line_and_nothing_else_does() {
        let works = |name| Finding::new(name, "works");
        let findings = [works("a"), works("b"), works("c"), Finding::new("d", "not here")];
        let folded = fold(&findings);
        assert_eq!(folded, [Finding::new("works", "a, b, c"), findings[3].clone()]);
        // Two lines are short enough, and a warning has something to say.
        assert_eq!(fold(&findings[..2]), findings[..2]);
        let warned = [works("a"), works("b").level(Level::Warning), works("c")];
        assert_eq!(fold(&warned), warned);
    }

    #[test]
    fn words_longer_than_a_line_are_broken_where_it_hurts_least() {
        assert_eq!(lines_of("rw,relatime,size=4k", 12), ["rw,relatime,", "size=4k"]);
        assert_eq!(lines_of("/a/long/path", 8), ["/a/long/", "path"]);
        assert_eq!(lines_of("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(lines_of("short words only", 8), ["short", "words", "only"]);
        assert!(lines_of("", 8).is_empty());
        assert_eq!(lines_of("äöüäöü", 4), ["äöüä", "öü"]);
    }
}
