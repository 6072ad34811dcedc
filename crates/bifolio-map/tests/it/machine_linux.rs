//! What Linux says of itself: under real limits on memory, and on real file systems.

use std::path::Path;
use std::process::Command;

use bifolio_map::machine::{self, FileSystem, Kind, Limit, Maps, memory_room};
use bifolio_map::{ErrorKind, Read, Scratch, Section, View};
use bifolio_testkit::child::{Rerun, role, tell};
use bifolio_testkit::mount::{Filesystem, Image};
use bifolio_testkit::skip::{self, Skip, or_count};
use bifolio_testkit::this_test;

use crate::support::cgroup::Cgroup;
use crate::support::disk::on_tmpfs;
use crate::support::fuse::{Fuse, Manners};
use crate::support::process::{as_ordinary_user, succeeds};
use crate::support::{pattern, refused};

const LIMIT: u64 = 96 << 20;
/// The most that a child takes: whoever is wrong about the limit gets killed for it.
const MOST: u64 = 2 * LIMIT;

/// Takes so much memory that it is really there.
fn take(bytes: u64) -> Scratch {
    let mut scratch = Scratch::zeroed(bytes.min(MOST)).unwrap();
    for page in scratch.chunks_mut(4096) {
        page[0] = 1;
    }
    scratch
}

#[test]
fn who_takes_what_memory_room_says_lives_under_a_real_cgroup_limit() {
    if role().is_some() {
        let before = memory_room().unwrap();
        let Limit::Cgroup(file) = &before.limit else { panic!("{before:?}") };
        tell(file.to_str().unwrap());
        // The rest of the process needs some too.
        let taken = take(before.bytes - (8 << 20));
        let after = memory_room().unwrap();
        assert!(after.bytes < before.bytes / 2, "{before:?}, then {after:?}");
        drop(taken);
        let again = memory_room().unwrap();
        assert!(again.bytes > before.bytes / 2, "{before:?}, then {again:?}");
        tell("alive");
        return;
    }
    let Some(group) = skip::or_count(Cgroup::new(LIMIT)) else { return };
    let told = Rerun::of(this_test!(), "member").under(group.command()).finish().unwrap();
    assert_eq!(told, [group.limit_file.to_str().unwrap(), "alive"]);
}

#[test]
fn who_asks_the_machine_alone_is_killed_under_the_same_limit() {
    if role().is_some() {
        tell("begun");
        // The broken twin of `memory_room`: what a program without cgroups in mind does.
        let text = std::fs::read("/proc/meminfo").unwrap();
        let available = machine::text::meminfo::available(&text).unwrap();
        take(available - (8 << 20));
        tell("alive");
        return;
    }
    let Some(group) = skip::or_count(Cgroup::new(LIMIT)) else { return };
    // A machine with less to give would not be limited by the group.
    if memory_room().unwrap().bytes < MOST {
        return Skip::because("needs 192 MiB of free memory").count();
    }
    let mut command = Command::new("sh");
    let program = std::env::current_exe().unwrap();
    let status = command
        .args(&group.command()[1..])
        .arg(program)
        .args(["--exact", this_test!(), "--nocapture", "--test-threads=1"])
        .env("BIFOLIO_CHILD_ROLE", "member")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert_eq!(signal, Some(libc::SIGKILL), "{status}");
}

fn facts(path: &Path) -> FileSystem {
    machine::file_system(path).unwrap()
}

/// What a file system can of the things that are tried.
fn allowed(found: &FileSystem) -> Vec<&'static str> {
    found.abilities.iter().filter(|a| a.is_allowed()).map(|a| a.name).collect()
}

#[test]
fn a_small_tmpfs_is_recognised_with_its_size() {
    on_tmpfs(this_test!(), 64 << 20, |dir| {
        let found = facts(dir);
        assert_eq!(found.kind.value(), Some(&Kind::Tmpfs));
        assert!(found.kind.value().unwrap().is_memory());
        assert_eq!(found.name.value().unwrap(), "tmpfs");
        assert_eq!(found.mount_point.value().unwrap(), dir);
        assert_eq!(found.size_bytes.value(), Some(&(64 << 20)));
        assert!(found.has_option("nosuid") && found.option("size").is_some());
        assert_eq!(found.maps.value(), Some(&Maps::Agree));
        assert!(allowed(&found).contains(&"O_TMPFILE"), "{found:?}");
        // Too small to be measured on, which needs 80 MiB.
        refused(machine::measure(dir), ErrorKind::StorageFull);
    });
}

#[test]
fn pages_of_a_tmpfs_are_never_cold_and_the_measurement_says_so() {
    on_tmpfs(this_test!(), 96 << 20, |dir| {
        let measured = machine::measure(dir).unwrap();
        let why = measured.cold_fault.why_unknown().unwrap();
        assert!(why.contains("keeps its pages in memory"), "{why}");
        assert!(measured.minor_fault.value().is_some());
    });
}

#[test]
fn every_file_system_on_a_device_is_recognised_with_its_device() {
    for (filesystem, kind) in [
        (Filesystem::Ext4, Kind::Ext),
        (Filesystem::Xfs, Kind::Xfs),
        (Filesystem::Btrfs, Kind::Btrfs),
    ] {
        let Some(image) = or_count(Image::new(filesystem, 0)) else { continue };
        let found = facts(&image.path());
        assert_eq!(found.kind.value(), Some(&kind));
        assert_eq!(found.name.value().unwrap(), filesystem.name());
        assert_eq!(found.mount_point.value(), Some(&image.path()));
        assert!(found.mounted.value().unwrap().starts_with("/dev/loop"), "{found:?}");
        assert!(found.has_option("nodev") && !found.has_option("ro"));
        assert_eq!(found.maps.value(), Some(&Maps::Agree), "{kind}");
        let allowed = allowed(&found);
        let all = [
            "O_TMPFILE",
            "fallocate",
            "SEEK_HOLE",
            "flock",
            "F_OFD_SETLK",
            "O_DIRECT",
            "RENAME_NOREPLACE",
        ];
        for name in all {
            assert!(allowed.contains(&name), "{kind} has no {name}: {:?}", found.abilities);
        }
        // Btrfs makes them as they are needed.
        assert_eq!(found.free_files.value().is_some(), kind != Kind::Btrfs);
        assert!(found.read_ahead_bytes.value().is_some_and(|bytes| *bytes > 0), "{found:?}");
        assert!(found.rotational.value().is_some(), "{found:?}");
        assert!(found.write_cache.value().is_some_and(|word| word.contains("write")), "{found:?}");
    }
}

/// Runs a command that must succeed.
#[track_caller]
fn run(words: &[&str]) {
    assert!(succeeds(words), "{words:?} failed");
}

#[test]
fn btrfs_says_whether_it_compresses_and_copies() {
    let Some(image) = or_count(Image::new(Filesystem::Btrfs, 0)) else { return };
    let path = image.path();
    let plain = facts(&path);
    assert_eq!(plain.option("compress"), None);
    let (compressed, in_place) = (path.join("compressed"), path.join("in place"));
    for dir in [&compressed, &in_place] {
        std::fs::create_dir(dir).unwrap();
    }
    run(&["chattr", "+c", compressed.to_str().unwrap()]);
    run(&["chattr", "+C", in_place.to_str().unwrap()]);
    let attributes = |dir| *facts(dir).attributes.value().unwrap();
    assert!(attributes(&compressed).compressed && !attributes(&compressed).no_copy_on_write);
    assert!(attributes(&in_place).no_copy_on_write && !attributes(&in_place).compressed);
    run(&["mount", "-o", "remount,compress=zstd:1", path.to_str().unwrap()]);
    assert_eq!(facts(&in_place).option("compress"), Some("zstd:1"));
}

#[test]
fn what_cannot_be_tried_on_a_read_only_file_system_says_so() {
    let Some(image) = or_count(Image::new(Filesystem::Ext4, 0)) else { return };
    run(&["mount", "-o", "remount,ro", image.path().to_str().unwrap()]);
    let found = facts(&image.path());
    assert!(found.has_option("ro"));
    let why = found.maps.why_unknown().unwrap();
    assert!(why.contains("Read-only file system"), "{why}");
    for ability in &found.abilities {
        assert!(ability.answer.why_unknown().is_some(), "{ability:?}");
    }
    assert!(machine::measure(image.path()).is_err());
}

#[test]
fn what_an_ordinary_user_may_not_try_says_so() {
    as_ordinary_user(this_test!(), |own| {
        let found = facts(Path::new("/"));
        let why = found.maps.why_unknown().unwrap();
        assert!(why.contains("ermission denied"), "{why}");
        assert!(found.kind.value().is_some() && found.name.value().is_some());
        assert_eq!(facts(own).maps.value(), Some(&Maps::Agree));
        let kernel = machine::kernel();
        assert!(kernel.calls.iter().all(|call| call.answer.value().is_some()), "{kernel:?}");
    });
}

#[test]
fn of_mounts_on_one_point_the_one_on_top_is_described() {
    on_tmpfs(this_test!(), 64 << 20, |dir| {
        let point = dir.join("point");
        std::fs::create_dir(&point).unwrap();
        let name = point.to_str().unwrap();
        for size in ["size=8m", "size=4m"] {
            run(&["mount", "-t", "tmpfs", "-o", size, "tmpfs", name]);
        }
        let found = facts(&point);
        assert_eq!(found.size_bytes.value(), Some(&(4 << 20)));
        assert_eq!(found.option("size"), Some("4096k"));
        // The broken twin, a search by path alone, finds the one that is hidden.
        let mounts = std::fs::read("/proc/self/mountinfo").unwrap();
        let mounts = machine::text::mountinfo::parse(&mounts);
        let first = mounts.iter().find(|mount| mount.point == point).unwrap();
        assert_eq!(first.value("size"), Some("8192k"));
    });
}

/// An overlay in a tmpfs, over a directory with one file.
fn on_overlay(test: &str, body: impl FnOnce(&Path)) {
    on_tmpfs(test, 64 << 20, |dir| {
        let part = |name: &str| {
            let path = dir.join(name);
            std::fs::create_dir(&path).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (lower, upper, work, merged) =
            (part("lower"), part("upper"), part("work"), part("merged"));
        std::fs::write(Path::new(&lower).join("file"), pattern(0, 4096)).unwrap();
        let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
        if !succeeds(&["mount", "-t", "overlay", "-o", &options, "overlay", &merged]) {
            return Skip::because("overlayfs cannot be mounted here").count();
        }
        body(Path::new(&merged));
    });
}

#[test]
fn an_overlay_is_recognised_and_its_new_files_agree_with_their_maps() {
    on_overlay(this_test!(), |merged| {
        let found = facts(merged);
        assert_eq!(found.kind.value(), Some(&Kind::Overlay));
        assert_eq!(found.name.value().unwrap(), "overlay");
        assert!(found.option("lowerdir").is_some());
        assert_eq!(found.maps.value(), Some(&Maps::Agree));
    });
}

/// Why an overlay gets a warning though new files agree: a file of the lower layer is copied when
/// it is first opened for writing, and a map from before stays on the old one.
#[test]
fn a_map_of_a_lower_file_is_stale_once_the_file_was_copied_up() {
    on_overlay(this_test!(), |merged| {
        let path = merged.join("file");
        let view: View<Read> = Section::open(&path).unwrap().view().unwrap();
        let before = view.get::<u8>(0).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[before ^ 0xff], 0).unwrap();
        assert_eq!(std::fs::read(&path).unwrap()[0], before ^ 0xff);
        assert_eq!(view.get::<u8>(0).unwrap(), before, "overlayfs has learnt to keep maps");
        let anew: View<Read> = Section::open(&path).unwrap().view().unwrap();
        assert_eq!(anew.get::<u8>(0).unwrap(), before ^ 0xff);
    });
}

#[test]
fn a_file_system_that_a_program_serves_is_recognised_and_its_maps_are_tried() {
    for manners in [Manners::Cached, Manners::Direct, Manners::Lying] {
        let Some(fuse) = or_count(Fuse::new(manners)) else { continue };
        let found = facts(&fuse.path());
        assert_eq!(found.kind.value(), Some(&Kind::Fuse));
        assert!(found.name.value().unwrap().starts_with("fuse"), "{:?}", found.name);
        assert_eq!(found.mounted.value().unwrap(), "memory");
        let maps = found.maps.value();
        match (manners, maps) {
            (Manners::Cached, Some(Maps::Agree)) => {}
            (Manners::Direct, Some(Maps::Refused(why))) => {
                assert!(why.contains("cannot be mapped"), "{why}");
            }
            (Manners::Lying, Some(Maps::Differ(what))) => {
                assert!(what.contains("written by a call before"), "{what}");
            }
            other => panic!("{other:?}, {:?}", found.maps),
        }
        assert!(!allowed(&found).contains(&"fallocate"), "{:?}", found.abilities);
        assert!(!allowed(&found).contains(&"O_TMPFILE"), "{:?}", found.abilities);
    }
}

/// The command that makes a program run with another /dev/shm, which goes with the program.
fn with_shared_memory(command: &str) -> [String; 6] {
    let mount = format!("{command} && exec \"$@\"");
    ["unshare".into(), "-m".into(), "sh".into(), "-c".into(), mount, "sh".into()]
}

#[test]
fn a_small_place_for_shared_memory_and_none_at_all_are_told() {
    match role().as_deref() {
        Some("small") => {
            let found = machine::shared_memory();
            assert_eq!(found.size_bytes.value(), Some(&(64 << 20)));
            assert_eq!(found.kind.value().unwrap(), "tmpfs");
            assert_eq!(found.owner.value(), Some(&(0, 0o1777)));
            return;
        }
        Some("none") => {
            let found = machine::shared_memory();
            assert!(found.directory.why_unknown().unwrap().contains("No such file"));
            assert!(found.size_bytes.is_absent(), "{found:?}");
            return;
        }
        _ => {}
    }
    if or_count(bifolio_testkit::privilege::need_root().map_err(skip::Obstacle::from)).is_none() {
        return;
    }
    for (role, mount) in [
        ("small", "mount -t tmpfs -o size=64m,mode=1777 tmpfs /dev/shm"),
        // Beside the place, a program needs little of /dev.
        ("none", "mount -t tmpfs tmpfs /dev && : > /dev/null"),
    ] {
        Rerun::of(this_test!(), role).under(with_shared_memory(mount)).finish().unwrap();
    }
}

/// Emulators of other processors do not pass filters on.
#[cfg(target_arch = "x86_64")]
#[test]
fn calls_that_a_filter_refuses_are_denied_with_the_reason_and_others_are_not() {
    if role().is_none() {
        Rerun::of(this_test!(), "filtered").finish().unwrap();
        return;
    }
    let before = machine::kernel();
    let refused = [libc::SYS_io_uring_setup, 451, libc::SYS_userfaultfd];
    let rules = refused.map(|call| (call, Vec::new()));
    let filter = seccompiler::SeccompFilter::new(
        rules.into(),
        seccompiler::SeccompAction::Allow,
        seccompiler::SeccompAction::Errno(libc::EPERM as u32),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: seccompiler::BpfProgram = filter.unwrap().try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
    let after = machine::kernel();
    assert_eq!(after.call_filter.value().unwrap(), "filter");
    for name in ["io_uring_setup", "cachestat", "userfaultfd"] {
        let call = after.call(name).unwrap().answer.value().unwrap();
        let denied =
            matches!(call, machine::Permission::Denied(why) if why.contains("not permitted"));
        assert!(denied, "{name}: {call:?}");
    }
    for name in ["futex", "memfd_create", "mincore", "process_vm_readv", "preadv2"] {
        assert_eq!(after.call(name), before.call(name), "{name}");
        assert!(after.call(name).unwrap().is_allowed(), "{name}");
    }
}
