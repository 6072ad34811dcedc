//! The texts in which Linux describes itself, read without trust: any bytes are an answer or
//! nothing, never a panic. Pure functions, so they are the same on every platform.

pub mod cgroup;
pub mod meminfo;
pub mod mountinfo;

/// The lines of a text.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

/// Words between blanks.
fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// A number in decimal digits, and nothing else around it but blanks.
#[must_use]
pub fn number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim_ascii();
    // `parse` would allow a sign.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_and_nothing_else() {
        assert_eq!(number(b"4096\n"), Some(4096));
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for odd in [&b""[..], b"\n", b"max", b"-1", b"+1", b"4096 x", b"0x10", b"1\xff", b"1.5"] {
            assert_eq!(number(odd), None, "{odd:?}");
        }
        assert_eq!(number(b"18446744073709551616"), None);
    }
}
