//! The texts in which Linux describes itself, read without trust: any bytes are an answer or
//! nothing, never a panic. Pure functions, so they are the same on every platform.

pub mod cgroup;
pub mod logind;
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

/// The word that is chosen among others: `always [madvise] never`.
#[must_use]
pub fn chosen(text: &[u8]) -> Option<String> {
    let word = words(text).find_map(|word| word.strip_prefix(b"[")?.strip_suffix(b"]"))?;
    Some(String::from_utf8_lossy(word).into_owned())
}

/// What stands after `name:` at the beginning of a line, without the blanks around it.
#[must_use]
pub fn value<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let after = |line: &'a [u8]| line.strip_prefix(name.as_bytes())?.strip_prefix(b":");
    lines(text).find_map(after).map(<[u8]>::trim_ascii)
}

/// The signs of a container in the names of its groups (`/proc/self/cgroup`).
#[must_use]
pub fn container_of_groups(text: &[u8]) -> Option<&'static str> {
    const SIGNS: [(&str, &str); 7] = [
        ("kubepods", "kubernetes"),
        ("docker", "docker"),
        ("libpod", "podman"),
        ("lxc", "lxc"),
        ("containerd", "containerd"),
        ("garden", "garden"),
        ("machine.slice", "systemd-nspawn or another machine of systemd"),
    ];
    let text = String::from_utf8_lossy(text);
    SIGNS.iter().find(|(sign, _)| text.contains(sign)).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_word_stands_in_brackets() {
        assert_eq!(chosen(b"always [madvise] never\n").as_deref(), Some("madvise"));
        assert_eq!(chosen(b"[always] madvise").as_deref(), Some("always"));
        for odd in [&b""[..], b"always madvise", b"[", b"]", b"[a b]", b"\xff"] {
            assert_eq!(chosen(odd), None);
        }
    }

    #[test]
    fn values_stand_after_their_names() {
        let status = b"Name:\tcat\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        assert_eq!(value(status, "Seccomp"), Some(&b"2"[..]));
        assert_eq!(value(status, "Sec"), None);
        assert_eq!(value(b"Seccomp", "Seccomp"), None);
    }

    #[test]
    fn groups_tell_their_container() {
        let kubernetes = b"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-2.scope\n";
        assert_eq!(container_of_groups(kubernetes), Some("kubernetes"));
        assert_eq!(container_of_groups(b"4:memory:/docker/0f3a\n"), Some("docker"));
        assert_eq!(container_of_groups(b"0::/user.slice/session-2.scope\n"), None);
    }

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
