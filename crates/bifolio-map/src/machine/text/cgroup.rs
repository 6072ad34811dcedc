//! `/proc/self/cgroup`, and the memory limits of the groups that it names.

use std::path::{Component, Path, PathBuf};

use super::mountinfo::{self, Mount};
use super::{lines, number, words};
use crate::machine::{Limit, MemoryLimit};
use crate::sys::path_from_bytes;

/// The interface of a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy for each controller.
    One,
    /// One for all.
    Two,
}

/// The group of this process in a hierarchy that may limit memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its interface.
    pub version: Version,
    /// The directory of the group.
    pub dir: PathBuf,
    /// The topmost directory that can be seen: the mount point.
    pub top: PathBuf,
}

impl Group {
    /// The directory of the group and of those that hold it, up to the topmost.
    fn levels(&self) -> impl Iterator<Item = &Path> {
        self.dir.ancestors().take_while(|dir| dir.starts_with(&self.top))
    }
}

/// The limits that are set on the memory of this process, the narrowest group first.
///
/// `cgroup` is `/proc/self/cgroup`, `mounts` is `/proc/self/mountinfo`, `read` gives the content of
/// a file or `None`. What cannot be read or understood is no limit.
#[must_use]
pub fn memory_limits(
    cgroup: &[u8],
    mounts: &[u8],
    mut read: impl FnMut(&Path) -> Option<Vec<u8>>,
) -> Vec<MemoryLimit> {
    let mounts = mountinfo::parse(mounts);
    let mut found = Vec::new();
    for group in memory_groups(cgroup, &mounts) {
        match group.version {
            Version::One => limits_of_one(&group, &mut read, &mut found),
            Version::Two => limits_of_two(&group, &mut read, &mut found),
        }
    }
    found
}

/// The groups of this process that may limit its memory. Lines are `4:memory:/a/b` in version 1 and
/// `0::/a/b` in version 2; a machine may have both.
#[must_use]
pub fn memory_groups(cgroup: &[u8], mounts: &[Mount]) -> Vec<Group> {
    let mut groups = Vec::new();
    for line in lines(cgroup) {
        let mut fields = line.splitn(3, |byte| *byte == b':');
        let (Some(number), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let version = if number == b"0" && controllers.is_empty() {
            Version::Two
        } else if controllers.split(|byte| *byte == b',').any(|name| name == b"memory") {
            Version::One
        } else {
            continue;
        };
        let path = path_from_bytes(path);
        groups.extend(locate(version, &path, mounts));
    }
    groups
}

/// Where a group is among the mounts. Of several mounts the one that shows most of the hierarchy,
/// and of equals the last, which hides the others.
fn locate(version: Version, path: &Path, mounts: &[Mount]) -> Option<Group> {
    let fits = |mount: &&Mount| match version {
        Version::One => mount.kind == "cgroup" && mount.has("memory"),
        Version::Two => mount.kind == "cgroup2",
    };
    let mounts = || mounts.iter().filter(fits);
    let seen = mounts()
        .filter(|mount| is_plain(path) && is_plain(&mount.root))
        .filter_map(|mount| Some((mount, path.strip_prefix(&mount.root).ok()?)))
        .rev()
        .min_by_key(|(mount, _)| mount.root.components().count());
    if let Some((mount, below)) = seen {
        let top = mount.point.clone();
        // Joining nothing would add a slash.
        let dir = if below.as_os_str().is_empty() { top.clone() } else { top.join(below) };
        return Some(Group { version, dir, top });
    }
    // The mount's root lies above our namespace (`/../..`), or is called otherwise outside of the
    // container: what is mounted is our group or one that holds it. If on the other hand our group
    // lies outside of the namespace, the mounts show other groups.
    let mount = mounts().next_back().filter(|_| is_plain(path))?;
    Some(Group { version, dir: mount.point.clone(), top: mount.point.clone() })
}

/// Whether a path is absolute and goes down only.
fn is_plain(path: &Path) -> bool {
    path.has_root() && path.components().all(|part| !matches!(part, Component::ParentDir))
}

/// More than any machine has: from here on a number stands for "no limit".
const NO_LIMIT: u64 = 1 << 62;

/// A limit that is one: version 2 writes `max` for none, version 1 the greatest number of pages.
fn limit(text: &[u8]) -> Option<u64> {
    number(text).filter(|limit| *limit < NO_LIMIT)
}

/// What version 1 counts: memory, and memory with swap. The files begin with the first word; the
/// second one is the least limit of all groups above, as `memory.stat` of the group tells it.
const COUNTERS_OF_ONE: [(&str, &str); 2] =
    [("memory", "hierarchical_memory_limit"), ("memory.memsw", "hierarchical_memsw_limit")];

fn limits_of_one(
    group: &Group,
    read: &mut impl FnMut(&Path) -> Option<Vec<u8>>,
    found: &mut Vec<MemoryLimit>,
) {
    for (counter, hierarchical) in COUNTERS_OF_ONE {
        let (limit_name, usage_name) =
            (format!("{counter}.limit_in_bytes"), format!("{counter}.usage_in_bytes"));
        let mut least = NO_LIMIT;
        for dir in group.levels() {
            if let Some(limit_bytes) = read(&dir.join(&limit_name)).and_then(|text| limit(&text)) {
                least = least.min(limit_bytes);
                found.push(MemoryLimit {
                    limit: Limit::Cgroup(dir.join(&limit_name)),
                    limit_bytes,
                    used_bytes: read(&dir.join(&usage_name)).and_then(|text| number(&text)),
                    reclaimable_bytes: reclaimable_of_one(dir, read),
                });
            }
            // What we use does not count in a parent that is not hierarchical.
            if dir.parent().is_none_or(|parent| counts_alone(parent, read)) {
                break;
            }
        }
        // In a container the groups above cannot be seen, but the least of their limits is told.
        // They use at least as much as this one.
        let stat = group.dir.join("memory.stat");
        let told = read(&stat).and_then(|text| statistic(&text, hierarchical));
        if let Some(limit_bytes) = told.filter(|told| *told < least) {
            found.push(MemoryLimit {
                limit: Limit::Cgroup(stat),
                limit_bytes,
                used_bytes: read(&group.dir.join(&usage_name)).and_then(|text| number(&text)),
                reclaimable_bytes: reclaimable_of_one(&group.dir, read),
            });
        }
    }
}

fn reclaimable_of_one(dir: &Path, read: &mut impl FnMut(&Path) -> Option<Vec<u8>>) -> u64 {
    let names = if counts_alone(dir, read) {
        ["inactive_file", "active_file", "dirty", "writeback"]
    } else {
        ["total_inactive_file", "total_active_file", "total_dirty", "total_writeback"]
    };
    read(&dir.join("memory.stat")).map_or(0, |text| reclaimable(&text, names))
}

/// Bytes of the page cache that the kernel gives back before it kills: what is clean. Of what is
/// in active use only half counts: it can be had, but not without harm, and `MemAvailable` is as
/// careful. The names are those of inactive and active files, of dirty bytes and of those that are
/// being written.
fn reclaimable(stat: &[u8], names: [&str; 4]) -> u64 {
    let [inactive, active, dirty, write_back] =
        names.map(|name| statistic(stat, name).unwrap_or(0));
    inactive.saturating_add(active / 2).saturating_sub(dirty).saturating_sub(write_back)
}

/// Whether a group counts its own processes only, which kernels before 5.11 may do.
fn counts_alone(dir: &Path, read: &mut impl FnMut(&Path) -> Option<Vec<u8>>) -> bool {
    read(&dir.join("memory.use_hierarchy")).and_then(|text| number(&text)) == Some(0)
}

fn limits_of_two(
    group: &Group,
    read: &mut impl FnMut(&Path) -> Option<Vec<u8>>,
    found: &mut Vec<MemoryLimit>,
) {
    const NAMES: [&str; 4] = ["inactive_file", "active_file", "file_dirty", "file_writeback"];
    for dir in group.levels() {
        for name in ["memory.max", "memory.high"] {
            let file = dir.join(name);
            let Some(limit_bytes) = read(&file).and_then(|text| limit(&text)) else { continue };
            let stat = read(&dir.join("memory.stat"));
            found.push(MemoryLimit {
                limit: Limit::Cgroup(file),
                limit_bytes,
                used_bytes: read(&dir.join("memory.current")).and_then(|text| number(&text)),
                reclaimable_bytes: stat.map_or(0, |text| reclaimable(&text, NAMES)),
            });
        }
    }
}

/// The number behind a name in `memory.stat`.
fn statistic(text: &[u8], name: &str) -> Option<u64> {
    let line = lines(text).find(|line| words(line).next() == Some(name.as_bytes()))?;
    number(words(line).nth(1)?)
}

#[cfg(test)]
mod tests;
