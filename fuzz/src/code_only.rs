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

#[cfg(test)]
mod tests {
    #[test]
    fn the_seeds_hold() {
        let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/code_only");
        let mut count = 0;
        for seed in std::fs::read_dir(seeds).unwrap() {
            super::code_only(&std::fs::read(seed.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0);
    }
}
