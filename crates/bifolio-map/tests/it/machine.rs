//! What the machine says of itself.

use bifolio_map::machine::{self, Limit, MemoryLimit, Room};

#[test]
fn there_is_room_and_a_limit_is_named() {
    let room = machine::memory_room().unwrap();
    assert!(room.bytes > 0, "{room:?}");
    assert!(!room.limit.to_string().is_empty());
    for limit in machine::memory_limits() {
        assert!(room.bytes <= limit.room_bytes() + (64 << 20), "{room:?} against {limit:?}");
    }
}

#[test]
fn what_the_machine_says_may_go_to_other_threads() {
    fn may<T: Send + Sync + 'static>() {}
    may::<Room>();
    may::<Limit>();
    may::<MemoryLimit>();
}

#[cfg(target_os = "linux")]
mod limited {
    use std::process::Command;

    use bifolio_map::Scratch;
    use bifolio_map::machine::{Limit, memory_room};
    use bifolio_testkit::child::{Rerun, role, tell};
    use bifolio_testkit::{skip, this_test};

    use crate::support::cgroup::Cgroup;

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
            let available = bifolio_map::machine::text::meminfo::available(&text).unwrap();
            take(available - (8 << 20));
            tell("alive");
            return;
        }
        let Some(group) = skip::or_count(Cgroup::new(LIMIT)) else { return };
        // A machine with less to give would not be limited by the group.
        if memory_room().unwrap().bytes < MOST {
            return skip::Skip::because("needs 192 MiB of free memory").count();
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
}
