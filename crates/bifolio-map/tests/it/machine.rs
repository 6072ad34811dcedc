//! What the machine says of itself.

use std::fmt::Debug;

use bifolio_map::machine::{self, Ability, Fact, Limit, Maps, MemoryLimit, Room};
use bifolio_map::{ErrorKind, page_size};

use crate::support::{directory, file_of, refused, says};

/// Requires that a fact says something: a value and who gave it, or why not, or that there is none.
#[track_caller]
fn says_something<T: Debug>(fact: &Fact<T>) {
    if fact.is_absent() {
        return assert_eq!(fact.source(), "");
    }
    assert!(!fact.source().is_empty(), "{fact:?}");
    match fact.why_unknown() {
        Some(why) => assert!(!why.is_empty() && fact.value().is_none(), "{fact:?}"),
        None => assert!(fact.value().is_some(), "{fact:?}"),
    }
}

#[test]
fn every_fact_is_known_or_says_why_not_or_is_absent() {
    let memory = machine::memory();
    assert_eq!(memory.page_size.value(), Some(&(page_size() as u64)));
    assert!(memory.room.value().unwrap().bytes <= *memory.total_bytes.value().unwrap());
    says_something(&memory.swap_bytes);
    says_something(&memory.huge_pages);
    says_something(&memory.transparent_huge_pages);
    says_something(&memory.transparent_huge_pages_shared);
    says_something(&memory.overcommit);
    says_something(&memory.commit_left_bytes);
    let limits = machine::limits();
    says_something(&limits.maps);
    says_something(&limits.maps_used);
    says_something(&limits.locked_bytes);
    says_something(&limits.descriptors);
    says_something(&limits.address_bytes);
    says_something(&limits.file_bytes);
    says_something(&limits.working_set_bytes);
    says_something(&limits.global_names);
    says_something(&limits.large_pages);
    let shared = machine::shared_memory();
    says_something(&shared.directory);
    says_something(&shared.size_bytes);
    says_something(&shared.at_logout);
    let kernel = machine::kernel();
    assert!(kernel.release.value().unwrap().contains('.'), "{:?}", kernel.release);
    says_something(&kernel.container);
    says_something(&kernel.call_filter);
    for Ability { name, purpose, answer } in &kernel.calls {
        assert!(!name.is_empty() && !purpose.is_empty());
        says_something(answer);
    }
}

#[test]
fn a_directory_is_tried_out_and_left_as_it_was() {
    let dir = directory();
    let found = machine::file_system(dir.path()).unwrap();
    assert_eq!(found.maps.value(), Some(&Maps::Agree), "{:?}", found.maps);
    assert!(found.free_bytes.value().unwrap() <= found.size_bytes.value().unwrap());
    assert!(!found.abilities.is_empty());
    for ability in &found.abilities {
        says_something(&ability.answer);
    }
    says_something(&found.name);
    says_something(&found.mount_point);
    says_something(&found.options);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "something was left behind");
}

#[test]
fn of_a_file_its_directory_is_tried_and_the_file_is_not_touched() {
    let (dir, path) = file_of(b"thirteen byte");
    let found = machine::file_system(&path).unwrap();
    assert_eq!(found.directory(), std::fs::canonicalize(dir.path()).unwrap());
    assert_eq!(found.maps.value(), Some(&Maps::Agree));
    assert_eq!(std::fs::read(&path).unwrap(), b"thirteen byte");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_path_that_does_not_exist_is_not_found_and_named() {
    let error = refused(machine::file_system("no/such/path"), ErrorKind::NotFound);
    says(&error, &["cannot ask about no/such/path"]);
    refused(machine::measure("no/such/path"), ErrorKind::NotFound);
}

#[test]
fn a_measurement_gives_times_and_leaves_nothing_behind() {
    let dir = directory();
    let measured = machine::measure(dir.path()).unwrap();
    for fact in [&measured.minor_fault, &measured.flush] {
        assert!(fact.value().is_some_and(|time| !time.is_zero()), "{fact:?}");
    }
    for fact in [&measured.cold_fault, &measured.cold_fault_random] {
        says_something(fact);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

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
    may::<machine::Memory>();
    may::<machine::Limits>();
    may::<machine::SharedMemory>();
    may::<machine::Kernel>();
    may::<machine::FileSystem>();
    may::<machine::Measured>();
}
