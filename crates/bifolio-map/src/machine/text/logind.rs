//! `logind.conf` and its drop-ins: whether a user's shared memory goes at logout.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::lines;

/// The configuration files that count, in the order in which they are read: later ones win.
///
/// `main` is the main file. `drop_ins` are those found in the directories of drop-ins, the least
/// important directory first: of two with the same name the one in the more important directory
/// hides the other, and they are read by name.
#[must_use]
pub fn order(main: Option<PathBuf>, drop_ins: &[PathBuf]) -> Vec<PathBuf> {
    let mut by_name: BTreeMap<&std::ffi::OsStr, &Path> = BTreeMap::new();
    for path in drop_ins {
        if let Some(name) =
            path.file_name().filter(|_| path.extension().is_some_and(|e| e == "conf"))
        {
            by_name.insert(name, path);
        }
    }
    main.into_iter().chain(by_name.into_values().map(Path::to_path_buf)).collect()
}

/// What a file sets `RemoveIPC` to, if it does: the last valid line of its `[Login]` section.
#[must_use]
pub fn remove_ipc(text: &[u8]) -> Option<bool> {
    let mut in_login = false;
    let mut found = None;
    for line in lines(text) {
        let line = line.trim_ascii();
        if line.starts_with(b"[") {
            in_login = line == b"[Login]";
        } else if in_login && let Some(at) = line.iter().position(|byte| *byte == b'=') {
            let (key, value) = (line[..at].trim_ascii(), line[at + 1..].trim_ascii());
            if key == b"RemoveIPC" {
                // As systemd does, what is no yes and no no is passed over.
                found = boolean(value).or(found);
            }
        }
    }
    found
}

fn boolean(value: &[u8]) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()));
    if is(&["1", "yes", "y", "true", "t", "on"]) {
        Some(true)
    } else if is(&["0", "no", "n", "false", "f", "off"]) {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_valid_line_of_the_section_counts() {
        assert_eq!(remove_ipc(b"[Login]\n#RemoveIPC=yes\n"), None);
        assert_eq!(remove_ipc(b"[Login]\nRemoveIPC=no\n"), Some(false));
        assert_eq!(remove_ipc(b"[Login]\r\n  RemoveIPC = On \r\n"), Some(true));
        assert_eq!(remove_ipc(b"[Login]\nRemoveIPC=no\nRemoveIPC=perhaps\n"), Some(false));
        assert_eq!(remove_ipc(b"[Login]\nRemoveIPC=no\nRemoveIPC=1"), Some(true));
        assert_eq!(remove_ipc(b"RemoveIPC=no\n[Other]\nRemoveIPC=no\n"), None);
        assert_eq!(remove_ipc(b"[Login]\nRemoveIPC\nRemoveIPCs=no\n=no\n[Login\n\xff=\xff"), None);
    }

    #[test]
    fn drop_ins_are_read_by_name_and_hide_each_other() {
        let main = Some(PathBuf::from("/etc/systemd/logind.conf"));
        let drop_ins = [
            "/usr/lib/systemd/logind.conf.d/50-b.conf",
            "/usr/lib/systemd/logind.conf.d/10-a.conf",
            "/usr/lib/systemd/logind.conf.d/readme",
            "/etc/systemd/logind.conf.d/50-b.conf",
        ]
        .map(PathBuf::from);
        let order = order(main, &drop_ins);
        let expected = [
            "/etc/systemd/logind.conf",
            "/usr/lib/systemd/logind.conf.d/10-a.conf",
            "/etc/systemd/logind.conf.d/50-b.conf",
        ];
        assert_eq!(order, expected.map(PathBuf::from));
    }
}
