//! `/proc/meminfo`.

use super::number;

/// The value of a field (`MemAvailable`), in bytes if the line says `kB`, else as it stands.
#[must_use]
pub fn field(text: &[u8], name: &str) -> Option<u64> {
    let value = super::value(text, name)?;
    match value.strip_suffix(b"kB") {
        Some(value) => number(value)?.checked_mul(1024),
        None => number(value),
    }
}

/// Bytes that can be taken without swapping. Kernels before 3.14 do not estimate them; then pages
/// that are free, and pages of files that were not used lately.
#[must_use]
pub fn available(text: &[u8]) -> Option<u64> {
    field(text, "MemAvailable").or_else(|| {
        let free = field(text, "MemFree")?;
        Some(free.saturating_add(field(text, "Inactive(file)").unwrap_or(0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &[u8] = b"MemTotal:       24684084 kB\n\
        MemFree:        20665028 kB\n\
        MemAvailable:   23789400 kB\n\
        Buffers:           23088 kB\n\
        Inactive(file):  1913992 kB\n\
        HugePages_Total:       3\n\
        Hugepagesize:       2048 kB\n";

    #[test]
    fn fields_are_bytes_or_counts() {
        assert_eq!(field(RECORDED, "MemAvailable"), Some(23_789_400 * 1024));
        assert_eq!(field(RECORDED, "Inactive(file)"), Some(1_913_992 * 1024));
        assert_eq!(field(RECORDED, "HugePages_Total"), Some(3));
        assert_eq!(field(RECORDED, "Mem"), None, "not a part of a name");
        assert_eq!(field(RECORDED, "Swap"), None);
    }

    #[test]
    fn old_kernels_are_estimated() {
        assert_eq!(available(RECORDED), Some(23_789_400 * 1024));
        assert_eq!(available(b"MemFree: 10 kB\nInactive(file): 5 kB\n"), Some(15 * 1024));
        assert_eq!(available(b"MemFree: 10 kB\n"), Some(10 * 1024));
        assert_eq!(available(b"MemTotal: 10 kB\n"), None);
    }

    #[test]
    fn odd_texts_are_no_answer() {
        for odd in [
            &b""[..],
            b"MemAvailable",
            b"MemAvailable:",
            b"MemAvailable: kB",
            b"MemAvailable: -5 kB",
            b"MemAvailable: 18446744073709551615 kB",
            b"MemAvailable: 12 MB",
            b"\0\xff\n\n:",
        ] {
            assert_eq!(field(odd, "MemAvailable"), None, "{odd:?}");
        }
    }
}
