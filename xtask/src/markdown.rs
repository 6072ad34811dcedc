//! The little of Markdown that the checks need: relative links and quoted commands.

/// A link and the line it stands on, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) line: usize,
    pub(crate) target: String,
}

/// A command line in a fenced block, and the line it stands on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Quoted {
    pub(crate) line: usize,
    pub(crate) command: String,
}

enum Line<'a> {
    Prose(&'a str),
    /// A line inside a fenced block, with the word after the opening fence.
    Fenced {
        language: &'a str,
        text: &'a str,
    },
}

/// Every link, image and link definition outside code.
pub(crate) fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    for (line, what) in lines(text) {
        let Line::Prose(prose) = what else { continue };
        let prose = without_code_spans(prose);
        let mut note = |target: &str| {
            let target = target.trim().trim_start_matches('<');
            let target = target.split([' ', '>']).next().unwrap_or_default();
            if !target.is_empty() {
                links.push(Link { line, target: target.to_owned() });
            }
        };
        for (offset, _) in prose.match_indices("](") {
            let rest = &prose[offset + 2..];
            note(&rest[..rest.find(')').unwrap_or(rest.len())]);
        }
        if let Some((name, target)) = prose.trim_start().split_once("]:")
            && name.starts_with('[')
        {
            note(target);
        }
    }
    links
}

/// Every command in blocks of `sh`, `bash`, `console` or no language: whole lines in the first
/// two, lines after `$ ` in the others. Comments are cut off, continued lines joined.
pub(crate) fn commands(text: &str) -> Vec<Quoted> {
    let mut commands: Vec<Quoted> = Vec::new();
    let mut unfinished = false;
    for (line, what) in lines(text) {
        let Line::Fenced { language, text } = what else {
            unfinished = false;
            continue;
        };
        let text = match language {
            "sh" | "bash" | "shell" => Some(text),
            "console" | "" if unfinished => Some(text),
            "console" | "" => text.trim_start().strip_prefix("$ "),
            _ => None,
        };
        let Some(text) = text else { continue };
        let text = text.split(" #").next().unwrap_or_default().trim();
        let (text, continues) = match text.strip_suffix('\\') {
            Some(text) => (text.trim_end(), true),
            None => (text, false),
        };
        match commands.last_mut() {
            Some(last) if unfinished => last.command = format!("{} {text}", last.command),
            _ if text.is_empty() || text.starts_with('#') => {}
            _ => commands.push(Quoted { line, command: text.to_owned() }),
        }
        unfinished = continues;
    }
    commands
}

/// The lines with their numbers; the fences themselves are left out.
fn lines(text: &str) -> impl Iterator<Item = (usize, Line<'_>)> {
    let mut fence: Option<(&str, &str)> = None;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let trimmed = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark));
        let what = match (fence, mark) {
            (None, Some(mark)) => {
                let info = trimmed.trim_start_matches(['`', '~']).trim();
                fence = Some((mark, info.split([' ', ',']).next().unwrap_or_default()));
                return None;
            }
            (Some((open, _)), Some(mark)) if open == mark => {
                fence = None;
                return None;
            }
            (Some((_, language)), _) => Line::Fenced { language, text: line },
            (None, None) => Line::Prose(line),
        };
        Some((index + 1, what))
    })
}

fn without_code_spans(line: &str) -> String {
    // An odd number of backticks leaves the last part as it is: it opens no span.
    let parts: Vec<&str> = line.split('`').collect();
    let spans = (parts.len() - 1) / 2 * 2;
    let is_prose = |index: &usize| index.is_multiple_of(2) || *index > spans;
    (0..parts.len()).filter(is_prose).map(|index| parts[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(text: &str) -> Vec<String> {
        links(text).into_iter().map(|link| link.target).collect()
    }

    #[test]
    fn links_images_and_definitions_are_found() {
        let text =
            "See [a](one.md), ![b](two.png \"title\") and [c](<three.md>).\n\n[d]: four.md\n";
        assert_eq!(targets(text), ["one.md", "two.png", "three.md", "four.md"]);
        assert_eq!(links(text)[3].line, 3);
    }

    #[test]
    fn code_holds_no_links() {
        assert_eq!(targets("`[a](b)` and\n```rust\nv[0](c);\n```\n[d](e)"), ["e"]);
        assert_eq!(targets("a stray ` before [d](e)"), ["e"]);
    }

    #[test]
    fn commands_are_taken_from_shell_blocks_only() {
        let text = "```sh\ncargo a  # why\n# only a remark\n\ncargo b \\\n  --c\n```\n\
                    ```console\n$ bifolio d\noutput\n```\n```rust\ncargo e\n```\ncargo f\n";
        let found: Vec<_> = commands(text).into_iter().map(|quoted| quoted.command).collect();
        assert_eq!(found, ["cargo a", "cargo b --c", "bifolio d"]);
    }
}
