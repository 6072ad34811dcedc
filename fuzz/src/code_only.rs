//! The scanner that tells code from comments, which the fence around unsafe code relies on.

/// Whatever the text: the result has its size and its line breaks, and differs from it only by
/// blanks.
pub fn code_only(bytes: &[u8]) {
    let source = String::from_utf8_lossy(bytes);
    let code = xtask::source::code_only(&source);
    assert_eq!(code.len(), source.len());
    for (kept, original) in code.bytes().zip(source.bytes()) {
        assert!(kept == original || (kept == b' ' && original != b'\n'));
    }
}
