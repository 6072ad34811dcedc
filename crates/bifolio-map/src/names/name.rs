//! What a section may be called.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// The name of a section: text that every supported system can use as it is, as a file's name and
/// as a kernel object's.
///
/// 1 to 200 bytes of UTF-8, so that a file name of 255 bytes has room for what is added while it
/// is made, and a Windows object name of 260 characters for its prefix and its companions. Refused
/// are control characters and `/ \ : * ? " < > |`; a dot or space at the start, and at the end;
/// and the names of Windows devices (`con`, `nul`, `com1`, …), with or without an extension.
///
/// Names that differ in case only are two names on Linux; do not rely on either.
///
/// ```
/// use bifolio_map::names::Name;
/// let name = Name::new("prices")?;
/// assert_eq!(name.as_str(), "prices");
/// let error = Name::new("a/b").unwrap_err();
/// assert!(error.to_string().contains("'/' at byte 1"), "{error}");
/// # Ok::<(), bifolio_map::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<str>);

impl Name {
    /// The most bytes that a name may have.
    pub const MAX_SIZE: usize = 200;

    /// Checks a text.
    ///
    /// # Errors
    /// `InvalidInput`, which says what is wrong, and where.
    pub fn new(text: impl AsRef<str>) -> Result<Self> {
        let text = text.as_ref();
        match fault_of(text) {
            None => Ok(Self(text.into())),
            Some(why) => Err(Error::new(ErrorKind::InvalidInput, "use as a name")
                .because(format!("{:?}: {why}", shortened(text)))),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is wrong with a text as a name, if anything.
fn fault_of(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("a name has at least one byte".into());
    }
    if text.len() > Name::MAX_SIZE {
        let (size, most) = (text.len(), Name::MAX_SIZE);
        return Some(format!("it has {size} bytes, and a name may have {most}"));
    }
    let refused = |&(_, c): &(usize, char)| c.is_control() || r#"/\:*?"<>|"#.contains(c);
    if let Some((at, c)) = text.char_indices().find(refused) {
        let why = match c {
            '/' | '\\' => "separates directories",
            c if c.is_control() => "is a control character",
            _ => "is refused by Windows",
        };
        return Some(format!("{c:?} at byte {at} {why}"));
    }
    let edge = |c: Option<char>| c.filter(|c| [' ', '.'].contains(c));
    if let Some(c) = edge(text.chars().next()) {
        let why = if c == '.' { "names that begin so are Bifolio's own" } else { "it gets lost" };
        return Some(format!("{c:?} at the start: {why}"));
    }
    if let Some(c) = edge(text.chars().next_back()) {
        return Some(format!("{c:?} at the end: Windows drops it"));
    }
    let stem = text.split_once('.').map_or(text, |(stem, _)| stem).trim_end();
    is_device(stem).then(|| format!("{stem:?} is a device on Windows"))
}

/// Whether Windows takes a name for a device.
fn is_device(stem: &str) -> bool {
    let stem = stem.to_ascii_lowercase();
    let numbered = |prefix: &str| {
        let digit = stem.strip_prefix(prefix).and_then(|rest| {
            let mut rest = rest.chars();
            rest.next().filter(|_| rest.next().is_none())
        });
        digit.is_some_and(|digit| digit.is_ascii_digit() || "¹²³".contains(digit))
    };
    ["con", "prn", "aux", "nul", "conin$", "conout$"].contains(&&*stem)
        || numbered("com")
        || numbered("lpt")
}

/// As much of a text as an error message should repeat.
fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<&str> for Name {
    type Error = Error;

    fn try_from(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_system_can_use_is_a_name() {
        for text in ["a", "prices", "psm_1f2e", "Größe 2", "a.b", "nulls", "com", "com10", "con1"]
        {
            assert_eq!(Name::new(text).expect(text).as_str(), text);
        }
        assert!(Name::new("x".repeat(Name::MAX_SIZE)).is_ok());
    }

    #[test]
    fn what_some_system_cannot_use_is_refused_and_the_error_says_what_and_where() {
        let long = "ü".repeat(101);
        for (text, word) in [
            ("", "at least one byte"),
            (&*long, "it has 202 bytes, and a name may have 200"),
            ("a/b", "'/' at byte 1 separates directories"),
            ("ö\\", "'\\\\' at byte 2 separates directories"),
            ("a\0b", "'\\0' at byte 1 is a control character"),
            ("a\nb", "'\\n' at byte 1 is a control character"),
            ("a\u{85}", "at byte 1 is a control character"),
            ("Global:x", "':' at byte 6 is refused by Windows"),
            ("..", "'.' at the start"),
            (".hidden", "'.' at the start"),
            (" a", "' ' at the start"),
            ("a.", "'.' at the end"),
            ("a ", "' ' at the end"),
            ("NUL", "\"NUL\" is a device"),
            ("nul.txt", "\"nul\" is a device"),
            ("Com1.a.b", "\"Com1\" is a device"),
            ("lpt²", "is a device"),
        ] {
            let error = Name::new(text).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(word), "{error} does not say {word}");
        }
    }
}
