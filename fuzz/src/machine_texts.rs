//! The texts in which Linux describes itself: `/proc/self/mountinfo`, `cgroup`, `meminfo`,
//! `logind.conf`, and the words of `/sys`.

use std::path::Path;

use bifolio_map::machine::text::{self, cgroup, logind, meminfo, mountinfo};

/// Whatever the texts: no panic, the same answer twice, and an answer that the text holds. The
/// input is two texts with a zero between them; the second one is also the content of every file.
pub fn machine_texts(bytes: &[u8]) {
    let zero = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (first, second) = (&bytes[..zero], bytes.get(zero + 1..).unwrap_or_default());

    let mounts = mountinfo::parse(first);
    assert!(mounts.len() <= first.split(|byte| *byte == b'\n').count());
    for mount in &mounts {
        // A field is never empty, and an escape is never longer than what it stands for.
        assert!(!mount.point.as_os_str().is_empty() && !mount.kind.is_empty());
    }
    // Every line stands alone.
    let doubled = [first, b"\n", first].concat();
    assert_eq!(mountinfo::parse(&doubled).len(), 2 * mounts.len());

    for group in cgroup::memory_groups(second, &mounts) {
        assert!(group.dir.starts_with(&group.top), "{group:?} leads out of its mount");
        assert!(mounts.iter().any(|mount| mount.point == group.top));
    }
    // Files that all say the same, and files that are not there.
    let limits = cgroup::memory_limits(second, first, |_: &Path| Some(second.to_vec()));
    for limit in &limits {
        assert!(limit.room_bytes() <= limit.limit_bytes);
    }
    assert!(cgroup::memory_limits(second, first, |_: &Path| None).is_empty());

    if let Some(available) = meminfo::available(first) {
        let known = ["MemAvailable", "MemFree"].map(|name| meminfo::field(first, name));
        assert!(known.iter().flatten().any(|bytes| *bytes <= available));
    }
    if let Some(word) = text::chosen(first) {
        assert!(!word.contains(|letter: char| letter.is_ascii_whitespace()));
    }
    if let Some(number) = text::number(first) {
        assert_eq!(text::number(number.to_string().as_bytes()), Some(number));
    }
    let _ = text::value(first, "Seccomp");
    let _ = text::container_of_groups(first);

    // What a file says cannot be changed by comments, and is changed by a line after it.
    let found = logind::remove_ipc(first);
    let after = |line: &[u8]| logind::remove_ipc(&[first, b"\n", line].concat());
    assert_eq!(after(b"#RemoveIPC=no"), found);
    assert_eq!(after(b"[Login]\nRemoveIPC=no"), Some(false));
    assert_eq!(after(b"[Login]\nRemoveIPC=yes\n[Other]\nRemoveIPC=no"), Some(true));
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_seeds_hold() {
        crate::tests::hold("machine_texts", super::machine_texts);
    }
}
