//! Rust source as text: what of it is code, and what is only said.

/// `source` with comments and the insides of string and character literals blanked out.
///
/// Same size in bytes, same line breaks, so an offset in one is an offset in the other. It does
/// not have to be valid Rust; anything unterminated is blank to the end.
///
/// ```
/// let code = xtask::source::code_only("let s = \"unsafe\"; // unsafe");
/// assert_eq!(code, "let s = \"      \";          ");
/// ```
#[must_use]
pub fn code_only(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let token = Token::at(rest, before);
        let (kept_front, kept_back) = token.kept();
        let (text, after) = rest.split_at(token.size(first));
        for (offset, c) in text.char_indices() {
            let inside = offset >= kept_front && offset < text.len().saturating_sub(kept_back);
            match c {
                '\n' => code.push('\n'),
                c if !inside => code.push(c),
                c => code.extend(std::iter::repeat_n(' ', c.len_utf8())),
            }
        }
        before = text.chars().next_back().unwrap_or(first);
        rest = after;
    }
    code
}

/// The line, from 1, that holds the byte at `offset`.
#[must_use]
pub fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// The offsets at which `word` stands in `text` with no identifier character on either side.
pub fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(offset, _)| offset).filter(move |&offset| {
        let before = text[..offset].chars().next_back();
        let after = text[offset + word.len()..].chars().next();
        !before.is_some_and(in_identifier) && !after.is_some_and(in_identifier)
    })
}

fn in_identifier(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// What begins at a place in the source.
enum Token {
    /// One character of code.
    Code,
    /// A comment of this size.
    Comment(usize),
    /// A literal: bytes of its opening and closing marks, and its whole size.
    Literal { open: usize, close: usize, size: usize },
}

impl Token {
    fn at(rest: &str, before: char) -> Self {
        if rest.starts_with("//") {
            return Token::Comment(rest.find('\n').unwrap_or(rest.len()));
        }
        if rest.starts_with("/*") {
            return Token::Comment(block_comment_size(rest));
        }
        if rest.starts_with('"') {
            return quoted(rest, 1, '"');
        }
        if rest.starts_with('\'') && is_char_literal(rest) {
            return quoted(rest, 1, '\'');
        }
        if rest.starts_with('r') && (!in_identifier(before) || matches!(before, 'b' | 'c')) {
            return raw_string(rest).unwrap_or(Token::Code);
        }
        Token::Code
    }

    fn size(&self, first: char) -> usize {
        match *self {
            Token::Code => first.len_utf8(),
            Token::Comment(size) | Token::Literal { size, .. } => size,
        }
    }

    /// How many bytes at the front and at the back stay as they are.
    fn kept(&self) -> (usize, usize) {
        match *self {
            Token::Code => (usize::MAX, 0),
            Token::Comment(_) => (0, 0),
            Token::Literal { open, close, .. } => (open, close),
        }
    }
}

fn block_comment_size(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted(rest: &str, open: usize, mark: char) -> Token {
    let mut escaped = false;
    for (offset, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == mark {
            return Token::Literal { open, close: 1, size: offset + 1 };
        }
    }
    Token::Literal { open, close: 0, size: rest.len() }
}

/// `'a'` and `'\n'` are literals, `'a` is a lifetime.
fn is_char_literal(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) => true,
        (Some('\''), _) => false,
        (Some(_), second) => second == Some('\''),
        (None, _) => false,
    }
}

/// `r"..."`, `r#"..."#` and so on; not `r#identifier`.
fn raw_string(rest: &str) -> Option<Token> {
    let hashes = rest[1..].bytes().take_while(|&byte| byte == b'#').count();
    let open = 1 + hashes + 1;
    if rest.as_bytes().get(open - 1) != Some(&b'"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    Some(match rest[open..].find(&end) {
        Some(at) => Token::Literal { open, close: end.len(), size: open + at + end.len() },
        None => Token::Literal { open, close: 0, size: rest.len() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_blanked(source: &str, expected: &str) {
        assert_eq!(code_only(source), expected);
    }

    #[test]
    fn comments_are_blank_also_when_nested_or_documenting() {
        assert_blanked("a // b\nc", "a     \nc");
        assert_blanked("a /* b /* c */ d\n */ e", "a               \n    e");
        assert_blanked("/// unsafe\nfn f() {}", "          \nfn f() {}");
    }

    #[test]
    fn strings_keep_their_marks_and_lose_their_insides() {
        assert_blanked(r#"f("a\"b") + c"#, r#"f("    ") + c"#);
        assert_blanked(r##"r#"a"b"# c"##, r##"r#"   "# c"##);
        assert_blanked(r#"b"//" br"/*" d"#, r#"b"  " br"  " d"#);
    }

    #[test]
    fn a_quote_in_a_character_literal_opens_no_string() {
        assert_blanked(r#"'"' unsafe '"'"#, r"' ' unsafe ' '");
        assert_blanked(r"'\'' x '\\' y", r"'  ' x '  ' y");
    }

    #[test]
    fn lifetimes_labels_and_raw_identifiers_are_code() {
        let source = "fn f<'a>(r#type: &'a str) -> &'a str { 'out: loop { break 'out } }";
        assert_blanked(source, source);
    }

    #[test]
    fn unterminated_text_is_blank_to_the_end() {
        assert_blanked("a \"b", "a \" ");
        assert_blanked("a /* b", "a     ");
        assert_blanked("r##\"a\"#", "r##\"   ");
    }

    #[test]
    fn wide_characters_keep_their_size_in_bytes() {
        let source = "\"ä€𝄞\" ü // €";
        let code = code_only(source);
        assert_eq!(code.len(), source.len());
        assert_eq!(code, "\"         \" ü       ");
    }

    #[test]
    fn words_end_where_identifiers_end() {
        let found: Vec<_> = words("unsafe_code unsafe{ (unsafe", "unsafe").collect();
        assert_eq!(found, [12, 21]);
    }

    #[test]
    fn lines_are_counted_from_one() {
        assert_eq!((line_of("a\nb", 0), line_of("a\nb", 2), line_of("a", 99)), (1, 2, 1));
    }
}
