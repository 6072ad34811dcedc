//! Objects that processes write together, and what becomes of them.

use std::path::Path;
use std::time::Duration;

use bifolio_map::{Frozen, Section};
use bifolio_share::{ErrorKind, ObjectGuard, Objects, Removal, Why, WritableObject};
use bifolio_testkit::{child, this_test};

use crate::support::{PATH, child_of, refused, says};

const SHORT: Duration = Duration::from_millis(30);
const LEN: u64 = 64;

fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != ".lock");
    names.sort();
    names
}

fn object_of_the_parent() -> WritableObject {
    let dir = std::env::var_os(PATH).expect("the parent's directory");
    Objects::open(dir).unwrap().writable("table", LEN).unwrap()
}

#[test]
fn the_types_can_be_used_from_any_thread() {
    fn check<T: Send + Sync>() {}
    check::<WritableObject>();
}

#[test]
fn what_several_write_is_an_object_when_it_is_frozen_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Objects::open(dir.path()).unwrap(), Objects::open(dir.path()).unwrap());
    let (one, two) = (ours.writable("table", LEN).unwrap(), theirs.writable("table", LEN).unwrap());
    assert_eq!(one.len(), LEN);
    {
        let mut guard = one.lock().unwrap();
        assert_eq!(guard.after(), None);
        guard.write_at(0, &[1; 32]).unwrap();
        refused(guard.write_at(60, &[1; 5]), ErrorKind::OutOfBounds);
        refused(guard.read_at(u64::MAX, &mut [0]), ErrorKind::OutOfBounds);
        std::thread::scope(|threads| {
            let tries = threads.spawn(|| {
                refused(two.try_lock().map(drop), ErrorKind::Busy);
                refused(two.lock_within(SHORT).map(drop), ErrorKind::TimedOut);
            });
            tries.join().unwrap();
        });
    }
    let mut guard = two.lock().unwrap();
    let mut found = [0; 33];
    guard.read_at(0, &mut found).unwrap();
    assert_eq!((found[31], found[32]), (1, 0));
    guard.write_at(32, &[2; 32]).unwrap();
    assert!(ours.get("table").unwrap().is_none());
    assert!(ours.list().unwrap().is_empty(), "it is no object yet");
    refused(ours.writable("table", LEN + 1).map(drop), ErrorKind::LayoutMismatch);
    guard.freeze().unwrap();
    let object = theirs.get("table").unwrap().unwrap();
    assert_eq!(object.to_vec().unwrap(), [[1; 32], [2; 32]].concat());
    says(&refused(one.lock().map(drop), ErrorKind::AlreadyExists), &["table", "frozen"]);
    refused(two.try_lock().map(drop), ErrorKind::AlreadyExists);
    refused(ours.writable("table", LEN).map(drop), ErrorKind::AlreadyExists);
    drop((one, two));
    if cfg!(windows) {
        let _ = ours.discard("table");
    }
    assert_eq!(names_in(dir.path()), ["table"]);
    for len in [0, u64::MAX] {
        refused(ours.writable("other", len).map(drop), ErrorKind::InvalidInput);
    }
    refused(ours.writable("no/name", 1).map(drop), ErrorKind::InvalidInput);
}

#[test]
fn what_cannot_be_put_can_be_written_still() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Objects::options().budget(100).open(dir.path()).unwrap();
    objects.put("small", &[0; 50]).unwrap();
    let reader = objects.get("small").unwrap();
    let object = objects.writable("table", LEN).unwrap();
    let error = refused(object.lock().and_then(ObjectGuard::freeze), ErrorKind::Full);
    says(&error, &["being read", "table"]);
    drop(reader);
    // Somebody else is first.
    objects.put("table", b"another").unwrap();
    refused(object.lock().and_then(ObjectGuard::freeze), ErrorKind::AlreadyExists);
    assert_eq!(objects.get("table").unwrap().unwrap().to_vec().unwrap(), b"another");
    objects.remove("table").unwrap();
    object.lock().unwrap().write_at(0, b"at last").unwrap();
    object.lock().unwrap().freeze().unwrap();
    let bytes = objects.get("table").unwrap().unwrap().to_vec().unwrap();
    assert_eq!((&bytes[..7], bytes.len()), (&b"at last"[..], LEN as usize));
}

#[test]
fn whoever_comes_after_one_that_died_with_the_lock_is_told_and_must_repair() {
    if child::role().is_some() {
        let object = object_of_the_parent();
        let mut guard = object.lock().unwrap();
        guard.write_at(0, b"half of").unwrap();
        return child::point("writing");
    }
    let dir = tempfile::tempdir().unwrap();
    let objects = Objects::open(dir.path()).unwrap();
    let object = objects.writable("table", LEN).unwrap();
    let mut writer = child_of(this_test!(), "writer", dir.path());
    writer.run_to("writing", 1).unwrap();
    refused(objects.discard("table"), ErrorKind::Busy);
    writer.kill().unwrap();
    let guard = object.lock().unwrap();
    assert_eq!(guard.after(), Some(Why::OwnerDied));
    says(&refused(guard.freeze(), ErrorKind::Poisoned), &["half written"]);
    // It stays so until somebody says otherwise.
    assert!(object.lock().unwrap().after().is_some());
    let mut guard = object.lock().unwrap().repaired().unwrap();
    guard.write_at(0, b"all of it").unwrap();
    guard.freeze().unwrap();
    let bytes = objects.get("table").unwrap().unwrap().to_vec().unwrap();
    assert!(bytes.starts_with(b"all of it"));
}

#[test]
fn what_all_writers_left_is_there_for_the_next_one_or_can_be_discarded() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Objects::open(dir.path()).unwrap();
    let first = objects.writable("table", LEN).unwrap();
    first.lock().unwrap().write_at(7, b"kept").unwrap();
    drop(first);
    let next = objects.writable("table", LEN).unwrap();
    let mut found = [0; 4];
    next.lock().unwrap().read_at(7, &mut found).unwrap();
    assert_eq!(&found, b"kept");
    refused(objects.discard("table"), ErrorKind::Busy);
    drop(next);
    assert_eq!(objects.discard("table").unwrap(), Removal::Done);
    assert_eq!(objects.discard("table").unwrap(), Removal::WasNotThere);
    assert!(names_in(dir.path()).is_empty());
    // Bytes that are no region are nobody's to judge but of who asks for them.
    std::fs::write(dir.path().join(".write-table"), b"nothing of ours").unwrap();
    objects.writable("table", LEN).map(drop).unwrap_err();
    objects.put("table", b"bytes").unwrap();
    assert_eq!(objects.get("table").unwrap().unwrap().to_vec().unwrap(), b"bytes");
}

/// Whoever removes files by hand takes no bytes from those who write, nor does their freezing take away
/// what has the name aside since.
#[cfg(unix)]
#[test]
fn what_lost_its_name_aside_is_frozen_all_the_same_and_leaves_another_one_alone() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Objects::open(dir.path()).unwrap();
    let first = objects.writable("table", LEN).unwrap();
    std::fs::remove_file(dir.path().join(".write-table")).unwrap();
    let second = objects.writable("table", LEN).unwrap();
    first.lock().unwrap().write_at(0, b"first").unwrap();
    first.lock().unwrap().freeze().unwrap();
    let found = objects.get("table").unwrap().expect("it is put").to_vec().unwrap();
    assert!(found.starts_with(b"first"));
    assert_eq!(names_in(dir.path()), [".write-table", "table"]);
    refused(second.lock().and_then(ObjectGuard::freeze), ErrorKind::AlreadyExists);
    objects.remove("table").unwrap();
    second.lock().unwrap().freeze().unwrap();
    assert_eq!(names_in(dir.path()), ["table"]);
}

#[test]
fn a_sealed_copy_of_an_object_is_lent_and_handed_on_by_its_descriptor() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Objects::open(dir.path()).unwrap();
    objects.put("table", b"for ever").unwrap();
    let sealed = objects.get("table").unwrap().unwrap().sealed().unwrap();
    objects.remove("table").unwrap();
    assert_eq!(&sealed[..], b"for ever");
    if let Some(section) = sealed.section() {
        // What another process gets that inherits it.
        let inheritance = section.inherit().unwrap();
        let handed = Section::inherited(inheritance.token()).unwrap();
        assert_eq!(&Frozen::of_sealed(handed).unwrap()[..], b"for ever");
    } else if cfg!(target_os = "linux") {
        panic!("Linux has seals");
    }
}
