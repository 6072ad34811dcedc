//! Shared memory that other libraries leave behind when their processes are killed.
//!
//! | files in the directory of `shm_open` | whose | source |
//! |---|---|---|
//! | `psm_*` | Python's `multiprocessing.shared_memory` | its documentation: names begin with `psm_` |
//! | `iox2_*` | iceoryx2 | its default prefix |
//! | `fastrtps_*`, `fastdds_*` | Fast-DDS | the domain names of its shared-memory transport |

use std::path::PathBuf;

use bifolio::map::names::Scope;

use crate::failure::CliError;

/// A file that another library made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::commands) struct Leftover {
    pub(in crate::commands) path: PathBuf,
    /// Whose such files are.
    pub(in crate::commands) of: &'static str,
    pub(in crate::commands) size: u64,
    pub(in crate::commands) state: State,
}

/// Whether anybody has it.
#[cfg_attr(not(any(target_os = "linux", test)), expect(dead_code, reason = "none is found there"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum State {
    /// Some process has it mapped or open.
    InUse,
    /// None has.
    Dead,
    /// There are processes that this user may not look into.
    Unknown,
}

impl State {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::InUse => "in use",
            Self::Dead => "dead",
            Self::Unknown => "unknown",
        }
    }
}

/// The beginnings of names.
#[cfg(any(target_os = "linux", test))]
const BEGINNINGS: &[(&str, &str)] = &[
    ("psm_", "Python"),
    ("iox2_", "iceoryx2"),
    ("fastrtps_", "Fast-DDS"),
    ("fastdds_", "Fast-DDS"),
];

/// Whose a file of this name is.
#[cfg(any(target_os = "linux", test))]
fn whose(name: &str) -> Option<&'static str> {
    BEGINNINGS.iter().find(|(beginning, _)| name.starts_with(beginning)).map(|(_, of)| *of)
}

/// Where there are no such files, or no way to find out who has them.
#[cfg(not(target_os = "linux"))]
pub(in crate::commands) fn find(_scope: &Scope) -> Result<Vec<Leftover>, CliError> {
    Ok(Vec::new())
}

/// The leftovers of other libraries in the directory of `shm_open`, or in the one that is meant.
#[cfg(target_os = "linux")]
pub(in crate::commands) fn find(scope: &Scope) -> Result<Vec<Leftover>, CliError> {
    use std::os::unix::fs::MetadataExt;

    let place = match scope {
        Scope::Directory(directory) => directory.to_path_buf(),
        _ => PathBuf::from("/dev/shm"),
    };
    let Ok(entries) = std::fs::read_dir(&place) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(of) = whose(&name.to_string_lossy()) else { continue };
        // Not a link: what it leads to is somebody else's.
        let Ok(facts) = entry.metadata() else { continue };
        if facts.is_file() {
            found.push((entry.path(), of, facts.len(), facts.dev(), facts.ino()));
        }
    }
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let used = users::files_in_use();
    let mut all: Vec<Leftover> = found
        .into_iter()
        .map(|(path, of, size, device, inode)| {
            let state = match () {
                () if used.files.contains(&(device, inode)) => State::InUse,
                () if used.unreadable => State::Unknown,
                () => State::Dead,
            };
            Leftover { path, of, size, state }
        })
        .collect();
    all.sort_by(|one, two| one.path.cmp(&two.path));
    Ok(all)
}

/// Which files processes have.
#[cfg(target_os = "linux")]
mod users {
    use std::collections::HashSet;
    use std::fs;
    use std::io::ErrorKind;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    /// What all processes have mapped or open, by device and number.
    pub(super) struct Used {
        pub(super) files: HashSet<(u64, u64)>,
        /// Whether there was a process that this user may not look into.
        pub(super) unreadable: bool,
    }

    pub(super) fn files_in_use() -> Used {
        let mut used = Used { files: HashSet::new(), unreadable: false };
        let Ok(processes) = fs::read_dir("/proc") else {
            return Used { unreadable: true, ..used };
        };
        for process in processes.flatten() {
            let is_number =
                process.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
            if is_number {
                // One that has ended, collected or not, has nothing.
                let looked = look_into(&process.path(), &mut used.files);
                let denied = |error: std::io::Error| error.kind() == ErrorKind::PermissionDenied;
                used.unreadable |= looked.is_err_and(denied);
            }
        }
        used
    }

    fn look_into(process: &Path, files: &mut HashSet<(u64, u64)>) -> std::io::Result<()> {
        // The links in `map_files` need rights that `maps` does not; its device is not what `stat`
        // says on every file system, but on a tmpfs, where these files are, it is.
        for line in fs::read_to_string(process.join("maps"))?.lines() {
            let mut words = line.split_ascii_whitespace().skip(3);
            let (Some(device), Some(inode)) = (words.next(), words.next()) else { continue };
            let Some((major, minor)) = device.split_once(':') else { continue };
            let number = |text| u32::from_str_radix(text, 16).ok();
            if let (Some(major), Some(minor), Ok(inode)) =
                (number(major), number(minor), inode.parse::<u64>())
            {
                files.insert((rustix::fs::makedev(major, minor), inode));
            }
        }
        for descriptor in fs::read_dir(process.join("fd"))?.flatten() {
            if let Ok(facts) = fs::metadata(descriptor.path()) {
                files.insert((facts.dev(), facts.ino()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_whose_they_are() {
        assert_eq!(whose("psm_1a2b3c"), Some("Python"));
        assert_eq!(whose("fastrtps_port7411"), Some("Fast-DDS"));
        assert_eq!(whose("iox2_0_1.service"), Some("iceoryx2"));
        assert_eq!(whose("mine"), None);
        assert_eq!(whose("a_psm_"), None);
    }
}
