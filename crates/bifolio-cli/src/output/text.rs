//! Text that stays in its line and cannot steer a terminal.

use std::fmt::Write as _;
use std::path::Path;

/// Text with every control character replaced by its escape: a file name must not be able to
/// clear the screen.
#[must_use]
pub fn printable(text: &str) -> String {
    escape_if(text, |letter| letter.is_control() || is_bidi(letter))
}

/// Text for one field of a tab-separated line. The backslash is escaped too, so that the original
/// can be had back.
pub(super) fn escaped(text: &str) -> String {
    escape_if(text, |letter| letter.is_control() || letter == '\\')
}

/// A path as text: bytes that are no Unicode become `\xNN`.
#[must_use]
pub fn path_text(path: &Path) -> String {
    pieces(path, str::to_owned)
}

/// The same for one field of a tab-separated line, from which the path can be had back.
pub(super) fn path_escaped(path: &Path) -> String {
    pieces(path, escaped)
}

fn pieces(path: &Path, text: impl Fn(&str) -> String) -> String {
    let bytes = path_bytes(path);
    let mut out = String::with_capacity(bytes.len());
    for piece in bytes.utf8_chunks() {
        out.push_str(&text(piece.valid()));
        for byte in piece.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// The bytes of a path. (On Windows halves of surrogate pairs are replaced.)
#[must_use]
pub fn path_bytes(path: &Path) -> Vec<u8> {
    #[cfg(unix)]
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec();
    #[cfg(not(unix))]
    let bytes = path.to_string_lossy().into_owned().into_bytes();
    bytes
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The marks that turn the reading direction of what follows.
fn is_bidi(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escape_if(text: &str, condition: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            _ if !condition(letter) => out.push(letter),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\\' => out.push_str("\\\\"),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(letter));
            }
        }
    }
    out
}

/// One field of CSV: quoted where it must be.
pub(super) fn csv(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) || text.starts_with(' ') || text.ends_with(' ') {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// How many columns a text takes, one for each character: enough for our own sentences.
#[must_use]
pub fn display_width(text: &str) -> usize {
    text.chars().count()
}

/// Breaks text at spaces into lines of at most `width` columns. A longer word has a line to itself.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && display_width(&line) + 1 + display_width(word) > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}
