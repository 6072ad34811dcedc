//! Recorded texts of machines and containers, and what somebody could have made of them.

use std::collections::HashMap;

use super::*;

/// The files of a machine, by path.
#[derive(Default)]
struct Files(HashMap<PathBuf, Vec<u8>>);

impl Files {
    fn with(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.0.insert(path.into(), content.as_ref().to_vec());
        self
    }

    /// Limits as (file, limit, room).
    fn limits(&self, cgroup: &str, mounts: &str) -> Vec<(PathBuf, u64, u64)> {
        let read = |path: &Path| self.0.get(path).cloned();
        let limits = memory_limits(cgroup.as_bytes(), mounts.as_bytes(), read);
        let lines = limits.into_iter().map(|found| {
            let room = found.room_bytes();
            let Limit::Cgroup(file) = found.limit else { panic!("{:?}", found.limit) };
            (file, found.limit_bytes, room)
        });
        lines.collect()
    }
}

fn found(file: &str, limit: u64, room: u64) -> (PathBuf, u64, u64) {
    (file.into(), limit, room)
}

/// A machine with version 1, Debian's layout; the second line is version 2 without controllers.
const HYBRID: &str = "4:memory:/user/work\n1:name=systemd:/user/work\n0::/user/work\n";
const HYBRID_MOUNTS: &str = "\
    31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
    32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
    35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
    41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

/// What version 1 writes where no limit was set.
const NONE_OF_ONE: &str = "9223372036854771712\n";

fn hybrid() -> Files {
    let memory = "/sys/fs/cgroup/memory";
    let mut files = Files::default();
    for (dir, limit, usage) in [
        ("", NONE_OF_ONE, "5000000\n"),
        ("/user", "4000000\n", "3000000\n"),
        ("/user/work", "1000000\n", "600000\n"),
    ] {
        files = files
            .with(&format!("{memory}{dir}/memory.limit_in_bytes"), limit)
            .with(&format!("{memory}{dir}/memory.usage_in_bytes"), usage)
            .with(&format!("{memory}{dir}/memory.use_hierarchy"), "1\n")
            .with(
                &format!("{memory}{dir}/memory.stat"),
                "inactive_file 7\nhierarchical_memory_limit 1000000\n\
                 total_cache 90\ntotal_inactive_file 20000\n",
            );
    }
    files
}

#[test]
fn every_group_of_version_1_up_to_the_top_limits() {
    assert_eq!(
        hybrid().limits(HYBRID, HYBRID_MOUNTS),
        [
            found("/sys/fs/cgroup/memory/user/work/memory.limit_in_bytes", 1_000_000, 420_000),
            found("/sys/fs/cgroup/memory/user/memory.limit_in_bytes", 4_000_000, 1_020_000),
        ]
    );
}

#[test]
fn a_parent_that_is_not_hierarchical_does_not_limit() {
    let files = hybrid().with("/sys/fs/cgroup/memory/user/memory.use_hierarchy", "0\n");
    let limits = files.limits(HYBRID, HYBRID_MOUNTS);
    assert_eq!(limits.len(), 1, "{limits:?}");
    // And a group that counts alone gives back only its own pages.
    let files = files.with("/sys/fs/cgroup/memory/user/work/memory.use_hierarchy", "0\n");
    assert_eq!(files.limits(HYBRID, HYBRID_MOUNTS)[0].2, 400_007);
}

#[test]
fn memory_with_swap_has_a_limit_of_its_own() {
    let work = "/sys/fs/cgroup/memory/user/work";
    let files = hybrid()
        .with(&format!("{work}/memory.memsw.limit_in_bytes"), "1000000")
        .with(&format!("{work}/memory.memsw.usage_in_bytes"), "990000");
    let limits = files.limits(HYBRID, HYBRID_MOUNTS);
    let file = format!("{work}/memory.memsw.limit_in_bytes");
    assert_eq!(limits[2], found(&file, 1_000_000, 30_000));
}

/// A container of version 1: its own group is all that is mounted, with or without a namespace.
const CONTAINER: &str = "5:memory:/docker/0f3a\n1:name=systemd:/docker/0f3a\n";
const CONTAINER_MOUNTS: &str = "60 59 0:32 /docker/0f3a /sys/fs/cgroup/memory ro,nosuid master:9 \
                                - cgroup cgroup rw,memory\n";

fn container() -> Files {
    Files::default()
        .with("/sys/fs/cgroup/memory/memory.limit_in_bytes", "5000\n")
        .with("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1000\n")
}

#[test]
fn a_container_finds_its_own_group_at_the_mount() {
    let expected = [found("/sys/fs/cgroup/memory/memory.limit_in_bytes", 5000, 4000)];
    assert_eq!(container().limits(CONTAINER, CONTAINER_MOUNTS), expected);
    // With a namespace both are called `/`; with a mount from outside of it, the root goes up.
    let inside = "5:memory:/\n";
    let mounts = CONTAINER_MOUNTS.replace("/docker/0f3a", "/");
    assert_eq!(container().limits(inside, &mounts), expected);
    let mounts = CONTAINER_MOUNTS.replace("/docker/0f3a", "/../..");
    assert_eq!(container().limits(inside, &mounts), expected);
    // Bind-mounted under another name than the one outside.
    assert_eq!(container().limits("5:memory:/kubepods/pod1\n", CONTAINER_MOUNTS), expected);
}

#[test]
fn limits_of_groups_above_a_container_are_told_by_its_statistics() {
    let files = container()
        .with("/sys/fs/cgroup/memory/memory.limit_in_bytes", NONE_OF_ONE)
        .with("/sys/fs/cgroup/memory/memory.stat", "hierarchical_memory_limit 3000\n");
    assert_eq!(
        files.limits(CONTAINER, CONTAINER_MOUNTS),
        [found("/sys/fs/cgroup/memory/memory.stat", 3000, 2000)]
    );
    let files = files.with(
        "/sys/fs/cgroup/memory/memory.stat",
        "hierarchical_memory_limit 9223372036854771712\n",
    );
    assert!(files.limits(CONTAINER, CONTAINER_MOUNTS).is_empty());
}

/// systemd's layout of version 2.
const UNIFIED: &str = "0::/user.slice/user-1000.slice/session-2.scope\n";
const UNIFIED_MOUNTS: &str =
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

#[test]
fn every_group_of_version_2_up_to_the_top_limits_by_max_and_by_high() {
    let (slice, scope) = ("/sys/fs/cgroup/user.slice/user-1000.slice", "session-2.scope");
    let files = Files::default()
        .with(&format!("{slice}/{scope}/memory.max"), "max\n")
        .with(&format!("{slice}/{scope}/memory.high"), "max\n")
        .with(&format!("{slice}/{scope}/memory.current"), "700\n")
        .with(&format!("{slice}/memory.max"), "2000\n")
        .with(&format!("{slice}/memory.high"), "1500\n")
        .with(&format!("{slice}/memory.current"), "800\n")
        .with(&format!("{slice}/memory.stat"), "anon 600\nfile 200\ninactive_file 100\n");
    assert_eq!(
        files.limits(UNIFIED, UNIFIED_MOUNTS),
        [
            found(&format!("{slice}/memory.max"), 2000, 1300),
            found(&format!("{slice}/memory.high"), 1500, 800),
        ]
    );
}

/// `memory.stat` of a group that has read a file of 340 MiB several times: nearly all that it uses is
/// clean cache, in active use.
const FULL_OF_CACHE: &str = "anon 8212480\nfile 358612992\nkernel 5521408\nshmem 0\n\
    file_mapped 0\nfile_dirty 4096000\nfile_writeback 96000\ninactive_anon 8118272\n\
    active_anon 94208\ninactive_file 12582912\nactive_file 346030080\nunevictable 0\n";

#[test]
fn a_group_full_of_active_clean_cache_has_room_and_dirty_cache_is_none() {
    let dir = "/sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope";
    let files = |stat: &str| {
        Files::default()
            .with(&format!("{dir}/memory.max"), "373293056\n")
            .with(&format!("{dir}/memory.current"), "372768768\n")
            .with(&format!("{dir}/memory.stat"), stat)
            .limits(UNIFIED, UNIFIED_MOUNTS)[0]
            .2
    };
    let left = 373_293_056 - 372_768_768;
    let clean = 12_582_912 + 346_030_080 / 2 - 4_096_000 - 96_000;
    assert_eq!(files(FULL_OF_CACHE), left + clean);
    // The broken twin, which knew the inactive part only, saw 13 MB here and nothing there.
    assert_eq!(
        files(&FULL_OF_CACHE.replace("inactive_file 12582912", "")),
        left + clean - 12_582_912
    );
    // What is not written out yet cannot be had, however much it is.
    let dirty = FULL_OF_CACHE.replace("file_dirty 4096000", "file_dirty 350000000");
    assert_eq!(files(&dirty), left);
}

#[test]
fn version_1_gives_back_the_clean_cache_of_the_group_and_of_those_below() {
    let stat = "inactive_file 1\nactive_file 1\ndirty 1\nwriteback 1\n\
        hierarchical_memory_limit 1000000\ntotal_cache 90\ntotal_inactive_file 20000\n\
        total_active_file 500000\ntotal_dirty 3000\ntotal_writeback 7000\n";
    let file = "/sys/fs/cgroup/memory/user/work/memory.stat";
    let files = hybrid().with(file, stat);
    assert_eq!(files.limits(HYBRID, HYBRID_MOUNTS)[0].2, 400_000 + 260_000);
    let alone = files.with("/sys/fs/cgroup/memory/user/work/memory.use_hierarchy", "0\n");
    assert_eq!(alone.limits(HYBRID, HYBRID_MOUNTS)[0].2, 400_000, "1 + 0 - 1 - 1 is nothing");
}

#[test]
fn the_mount_that_shows_most_is_taken() {
    let mounts = "\
        50 1 0:26 /user.slice /somewhere rw - cgroup2 none rw\n\
        30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n\
        51 1 0:26 / /hides/it rw - cgroup2 cgroup2 rw\n\
        52 1 0:26 /other /other rw - cgroup2 cgroup2 rw\n";
    let groups = memory_groups(UNIFIED.as_bytes(), &mountinfo::parse(mounts.as_bytes()));
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].top, Path::new("/hides/it"));
    let dir = Path::new("/hides/it/user.slice/user-1000.slice/session-2.scope");
    assert_eq!(groups[0].dir, dir);
}

#[test]
fn a_group_outside_of_the_namespace_is_not_the_one_that_is_mounted() {
    let files = Files::default().with("/sys/fs/cgroup/memory.max", "1\n");
    assert!(files.limits("0::/../elsewhere\n", UNIFIED_MOUNTS).is_empty());
    assert!(files.limits("0::relative\n", UNIFIED_MOUNTS).is_empty());
}

#[test]
fn what_is_missing_or_odd_is_no_limit() {
    assert!(Files::default().limits(HYBRID, HYBRID_MOUNTS).is_empty(), "no files");
    assert!(hybrid().limits("", HYBRID_MOUNTS).is_empty(), "no groups");
    assert!(hybrid().limits(HYBRID, "").is_empty(), "no mounts");
    assert!(hybrid().limits("memory\n4:memory\n::\n\n:::::\n", HYBRID_MOUNTS).is_empty());
    for odd in ["", "max", "-1\n", "12 kB\n", "99999999999999999999\n", "\u{fffd}"] {
        let file = "/sys/fs/cgroup/memory/memory.limit_in_bytes";
        let limits = container().with(file, odd).limits(CONTAINER, CONTAINER_MOUNTS);
        assert!(limits.is_empty(), "{odd:?}: {limits:?}");
    }
    // A use that cannot be read leaves the limit itself.
    let files = container().with("/sys/fs/cgroup/memory/memory.usage_in_bytes", "x");
    assert_eq!(files.limits(CONTAINER, CONTAINER_MOUNTS)[0].2, 5000);
}
