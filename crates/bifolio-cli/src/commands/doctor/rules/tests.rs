//! Each rule against made-up machines: what is fine, what is worth a word, what breaks a promise.

use std::path::PathBuf;
use std::time::Duration;

use bifolio::map::fault::Status;
use bifolio::map::machine::{
    Ability, AtLogout, Fact, FileSystem, Kernel, Kind, Limit, Limited, Limits, Maps, Measured,
    Memory, Permission, Room, SharedMemory,
};
use bifolio::map::{Error, ErrorKind};

use super::{calls, file_system, limits, measured, memory, shared_memory};
use crate::commands::doctor::finding::{Finding, Level};
use crate::commands::shm::leftovers::{Leftover, State};

fn known<T>(value: T) -> Fact<T> {
    Fact::known(value, "a test")
}

/// The level of a subject.
#[track_caller]
fn level(findings: &[Finding], subject: &str) -> Level {
    find(findings, subject).level
}

#[track_caller]
fn find<'a>(findings: &'a [Finding], subject: &str) -> &'a Finding {
    let found = findings.iter().find(|finding| finding.subject.trim() == subject);
    found.unwrap_or_else(|| panic!("nothing about {subject}: {findings:#?}"))
}

fn broken(findings: &[Finding]) -> Vec<&str> {
    let broken = findings.iter().filter(|finding| finding.level == Level::Broken);
    broken.map(|finding| finding.subject.as_ref()).collect()
}

fn permission(name: &'static str, answer: Permission) -> Ability {
    Ability { name, purpose: "a test", answer: known(answer) }
}

#[test]
fn what_is_not_known_is_said_and_what_is_absent_is_no_finding() {
    assert!(memory::findings(&Memory::default(), &[]).is_empty());
    assert!(limits::findings(&Limits::default()).is_empty());
    assert!(shared_memory::findings(&SharedMemory::default()).is_empty());
    assert!(file_system::findings(&FileSystem::default()).is_empty());
    let mut limits = Limits::default();
    limits.maps = Fact::unknown("permission denied", "/proc/sys/vm/max_map_count");
    let found = limits::findings(&limits);
    assert_eq!(level(&found, "maps"), Level::Note);
    assert_eq!(found[0].value, "not known: permission denied");
    assert_eq!(found[0].source, "/proc/sys/vm/max_map_count");
}

#[test]
fn too_little_room_is_a_warning_that_names_the_limit() {
    let with = |bytes, limit| {
        let mut facts = Memory::default();
        facts.room = known(Room { bytes, limit });
        memory::findings(&facts, &[])
    };
    assert_eq!(level(&with(1 << 30, Limit::Machine), "room"), Level::Ok);
    let group = Limit::Cgroup("/sys/fs/cgroup/memory.max".into());
    let found = with(1 << 30, group.clone());
    assert_eq!(level(&found, "room"), Level::Note);
    assert_eq!(find(&found, "room").number, Some((1 << 30, "bytes")));
    let found = with(1 << 20, group);
    assert_eq!(level(&found, "room"), Level::Warning);
    assert!(find(&found, "room").value.contains("/sys/fs/cgroup/memory.max"));
}

#[test]
fn narrow_limits_of_the_process_are_warnings_with_the_command_that_raises_them() {
    let mut facts = Limits::default();
    facts.maps = known(65_530);
    facts.maps_used = known(100);
    facts.address_bytes = known(Limited { now: None, most: None });
    facts.locked_bytes = known(Limited { now: Some(8 << 20), most: Some(8 << 20) });
    let found = limits::findings(&facts);
    assert!(found.iter().all(|finding| finding.level == Level::Ok), "{found:#?}");
    facts.maps_used = known(40_000);
    facts.address_bytes = known(Limited { now: Some(1 << 30), most: None });
    facts.file_bytes = known(Limited { now: Some(1 << 20), most: Some(1 << 20) });
    facts.locked_bytes = known(Limited { now: Some(64 << 10), most: Some(64 << 10) });
    let found = limits::findings(&facts);
    assert_eq!(level(&found, "maps"), Level::Warning);
    let advice = |subject| find(&found, subject).advice.clone().unwrap();
    assert!(advice("maps").contains("vm.max_map_count"));
    assert_eq!(advice("addresses"), "ulimit -v unlimited");
    // Beyond its hard limit a process cannot raise it itself.
    assert!(advice("file size").contains("hard limit"));
    assert!(advice("locked memory").contains("limits.conf"));
    for (most, word) in [(100, "hard limit"), (4096, "ulimit -n 4096")] {
        facts.descriptors = known(Limited { now: Some(100), most: Some(most) });
        let found = limits::findings(&facts);
        assert!(find(&found, "open files").advice.as_deref().unwrap().contains(word), "{most}");
    }
}

#[test]
fn the_shared_memory_of_a_container_and_its_end_at_logout_are_warnings() {
    let mut facts = SharedMemory::default();
    facts.directory = known(PathBuf::from("/dev/shm"));
    facts.kind = known("tmpfs".to_owned());
    facts.size_bytes = known(8 << 30);
    facts.free_bytes = known(8 << 30);
    facts.owner = known((0, 0o1777));
    facts.at_logout = known(AtLogout::Spared);
    let found = shared_memory::findings(&facts);
    assert!(found.iter().all(|finding| finding.level == Level::Ok), "{found:#?}");
    facts.size_bytes = known(64 << 20);
    facts.free_bytes = known(64 << 20);
    facts.owner = known((0, 0o777));
    facts.at_logout = known(AtLogout::Deleted);
    let found = shared_memory::findings(&facts);
    for subject in ["size", "owner", "at logout"] {
        assert_eq!(level(&found, subject), Level::Warning, "{subject}");
        assert!(find(&found, subject).advice.is_some(), "{subject}");
    }
    facts.size_bytes = known(8 << 30);
    assert_eq!(level(&shared_memory::findings(&facts), "size"), Level::Warning, "nearly full");
    facts.directory = Fact::unknown("No such file or directory", "/dev/shm");
    assert_eq!(level(&shared_memory::findings(&facts), "place"), Level::Warning);
}

#[test]
fn refused_calls_break_a_promise_only_where_one_rests_on_them() {
    let denied = || Permission::Denied("Operation not permitted".to_owned());
    let names = [
        "futex",
        "memfd_create",
        "mincore",
        "cachestat",
        "io_uring_setup",
        "process_vm_readv",
        "userfaultfd",
    ];
    let mut kernel = Kernel::default();
    kernel.calls = names.iter().map(|name| permission(name, Permission::Allowed)).collect();
    let found = calls::findings(&kernel, Status::Active);
    assert!(found.iter().all(|finding| finding.level == Level::Ok), "{found:#?}");
    kernel.calls = names.iter().map(|name| permission(name, denied())).collect();
    assert_eq!(broken(&calls::findings(&kernel, Status::Active)), ["futex"]);
    let found = calls::findings(&kernel, Status::NotNeeded);
    assert_eq!(broken(&found), ["futex", "process_vm_readv"], "every access goes by that call");
    assert_eq!(broken(&calls::findings(&Kernel::default(), Status::Displaced)), ["faults"]);
}

/// A file system on which all is well.
fn good() -> FileSystem {
    let mut facts = FileSystem::default();
    facts.path = std::env::temp_dir();
    facts.kind = known(Kind::Ext);
    facts.name = known("ext4".to_owned());
    facts.mount_point = known(PathBuf::from("/"));
    facts.mounted = known("/dev/vda".to_owned());
    facts.options = known(vec!["rw".to_owned(), "relatime".to_owned()]);
    facts.size_bytes = known(1 << 40);
    facts.free_bytes = known(1 << 39);
    facts.free_files = known(1 << 20);
    facts.read_ahead_bytes = known(128 << 10);
    facts.maps = known(Maps::Agree);
    facts.abilities = vec![permission("fallocate", Permission::Allowed)];
    facts
}

#[test]
fn a_good_file_system_has_nothing_to_say() {
    let found = file_system::findings(&good());
    assert!(found.iter().all(|finding| finding.level == Level::Ok), "{found:#?}");
}

#[test]
fn maps_that_differ_or_are_refused_break_a_promise() {
    let with = |maps| {
        let mut facts = good();
        facts.maps = maps;
        file_system::findings(&facts)
    };
    assert_eq!(broken(&with(known(Maps::Differ("a call lags".to_owned())))), ["maps"]);
    assert_eq!(broken(&with(known(Maps::Refused("No such device".to_owned())))), ["maps"]);
    let untried = with(Fact::unknown("permission denied", "a map that was tried"));
    assert_eq!((broken(&untried).len(), level(&untried, "maps")), (0, Level::Note));
}

#[test]
fn mounts_that_ignore_flushes_break_a_promise() {
    let with = |option: &str| {
        let mut facts = good();
        facts.options = known(vec!["rw".to_owned(), option.to_owned()]);
        broken(&file_system::findings(&facts)).len()
    };
    for option in ["nobarrier", "barrier=0", "volatile", "fsync=volatile"] {
        assert_eq!(with(option), 1, "{option}");
    }
    for option in ["barrier=1", "relatime", "sync", "ro", "dax", "fsync=auto"] {
        assert_eq!(with(option), 0, "{option}");
    }
}

#[test]
fn each_kind_of_file_system_gets_the_words_that_it_needs() {
    let with = |kind, name: &str, options: &[&str]| {
        let mut facts = good();
        facts.kind = known(kind);
        facts.name = known(name.to_owned());
        facts.options = known(options.iter().map(|option| (*option).to_owned()).collect());
        let found = file_system::findings(&facts);
        let finding = find(&found, "type");
        (finding.level, finding.meaning.clone())
    };
    assert_eq!(with(Kind::Xfs, "xfs", &[]).0, Level::Ok);
    for (kind, name, word) in [
        (Kind::Nfs, "nfs4", "network"),
        (Kind::Smb, "cifs", "network"),
        (Kind::NineP, "9p", "network"),
        (Kind::Fuse, "fuse.sshfs", "program serves"),
        (Kind::Overlay, "overlay", "copied when"),
    ] {
        let (level, meaning) = with(kind, name, &[]);
        assert_eq!(level, Level::Warning, "{name}");
        assert!(meaning.contains(word), "{name}: {meaning}");
    }
    assert!(with(Kind::Ntfs, "NTFS", &["remote"]).1.contains("network"));
    assert_eq!(with(Kind::Fuse, "virtiofs", &[]).0, Level::Note);
    assert_eq!(with(Kind::Tmpfs, "tmpfs", &[]).0, Level::Note);
    assert!(!with(Kind::Btrfs, "btrfs", &[]).1.contains("compressed"));
    assert!(!with(Kind::Btrfs, "btrfs", &["compress=no"]).1.contains("compressed"));
    assert!(with(Kind::Btrfs, "btrfs", &["compress=zstd:3"]).1.contains("compressed (zstd:3)"));
    assert!(with(Kind::Btrfs, "btrfs", &["compress-force"]).1.contains("compressed (on)"));
}

#[test]
fn an_overlay_gets_a_note_on_what_is_told_of_residency_and_others_do_not() {
    let mut facts = good();
    let has_note = |facts: &_| {
        file_system::findings(facts)
            .iter()
            .any(|finding| finding.subject == "residency" && finding.level == Level::Note)
    };
    assert!(!has_note(&facts));
    facts.kind = known(Kind::Overlay);
    assert!(has_note(&facts));
}

#[test]
fn large_read_ahead_is_a_warning_with_the_command_for_its_device() {
    let mut facts = good();
    facts.read_ahead_bytes = known(8 << 20);
    let found = file_system::findings(&facts);
    let finding = find(&found, "read-ahead");
    assert_eq!((finding.level, finding.number), (Level::Warning, Some((8 << 20, "bytes"))));
    assert!(finding.advice.as_deref().unwrap().starts_with("sudo blockdev --setra 256 /dev/vda"));
    facts.mounted = known("server:/export".to_owned());
    assert_eq!(find(&file_system::findings(&facts), "read-ahead").advice, None);
}

#[test]
fn what_could_not_be_tried_is_one_finding_with_the_reason() {
    let mut facts = good();
    let untried = |name| Ability {
        name,
        purpose: "a test",
        answer: Fact::unknown("no file could be made in /x: denied", name),
    };
    facts.abilities = vec![untried("O_TMPFILE"), untried("flock")];
    let found = file_system::findings(&facts);
    let finding = find(&found, "not tried");
    assert_eq!(finding.value, "O_TMPFILE, flock");
    assert!(finding.meaning.contains("denied"));
    facts.abilities[1] = permission("flock", Permission::Missing);
    let found = file_system::findings(&facts);
    assert!(find(&found, "O_TMPFILE").value.contains("not known"));
}

#[test]
fn a_flush_that_fails_breaks_a_promise_and_a_slow_one_is_a_note() {
    let with = |flush| {
        let mut times = Measured::default();
        times.flush = flush;
        measured::findings(&Ok(times), false)
    };
    assert_eq!(level(&with(known(Duration::from_micros(300))), "flush"), Level::Ok);
    assert_eq!(level(&with(known(Duration::from_millis(40))), "flush"), Level::Note);
    assert_eq!(broken(&with(Fact::unknown("an I/O error", "a test"))), ["flush"]);
    let refused = Err(Error::new(ErrorKind::PermissionDenied, "create a temporary file in"));
    assert_eq!(level(&measured::findings(&refused, false), "times"), Level::Note);
    let failed = Err(Error::new(ErrorKind::StorageFault, "flush"));
    assert_eq!(broken(&measured::findings(&failed, false)), ["times"]);
}

#[test]
fn cold_faults_that_read_ahead_are_compared_with_those_that_do_not() {
    let mut times = Measured::default();
    times.cold_fault = known(Duration::from_micros(6400));
    times.cold_fault_random = known(Duration::from_micros(64));
    let found = measured::findings(&Ok(times.clone()), false);
    assert_eq!(level(&found, "cold fault"), Level::Note);
    assert!(find(&found, "cold fault").meaning.contains("100 times as long"));
    times.cold_fault = known(Duration::from_micros(70));
    assert_eq!(level(&measured::findings(&Ok(times), false), "cold fault"), Level::Ok);
}

#[test]
fn what_the_dead_of_other_libraries_left_is_a_warning_with_the_command_that_removes_it() {
    let one = |of, size, state| Leftover { path: PathBuf::from("/dev/shm/psm_1"), of, size, state };
    assert_eq!(shared_memory::left_by_others(&[]), None);
    assert_eq!(shared_memory::left_by_others(&[one("Python", 1 << 20, State::InUse)]), None);
    let unseen = [one("Python", 1 << 20, State::Unknown)];
    let unseen = shared_memory::left_by_others(&unseen).expect("a finding");
    assert_eq!((unseen.level, unseen.value.as_str()), (Level::Note, "perhaps 1"));
    let dead = [
        one("iceoryx2", 1 << 20, State::Dead),
        one("Python", 2 << 20, State::Dead),
        one("Python", 1 << 20, State::Dead),
        one("Python", 1 << 30, State::InUse),
    ];
    let found = shared_memory::left_by_others(&dead).expect("a finding");
    assert_eq!(found.level, Level::Warning);
    assert_eq!(found.value, "3 of Python and iceoryx2, 4.0 MiB");
    assert_eq!(found.number, Some((3, "count")));
    assert_eq!(found.advice.as_deref(), Some("bifolio shm gc --foreign"));
}
