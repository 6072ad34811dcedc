//! Objects between processes that are killed.

use std::time::Duration;

use bifolio_share::{ErrorKind, Object, Objects, Removal};
use bifolio_testkit::child::{Child, Rerun};
use bifolio_testkit::{Random, budget, child, this_test};

use crate::support::{refused, says, soon};

const PATH: &str = "BIFOLIO_TEST_OBJECTS";

fn of_the_parent() -> Objects {
    Objects::open(std::env::var_os(PATH).expect("the parent's directory")).expect("objects")
}

fn child_of(test: &str, role: &str, dir: &std::path::Path) -> Child {
    Rerun::of(test, role).with_variable(PATH, dir).spawn().expect("a child")
}

fn get(objects: &Objects, name: &str) -> Object {
    objects.get(name).expect("a get").expect("it is there")
}

#[test]
fn the_types_can_be_used_from_any_thread() {
    fn check<T: Send + Sync>() {}
    check::<(Objects, Object)>();
}

#[test]
fn what_is_put_is_found_by_name_once() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Objects::open(dir.path()).unwrap(), Objects::open(dir.path()).unwrap());
    ours.put("one", b"first").unwrap();
    ours.put("nothing", b"").unwrap();
    refused(theirs.put("one", b"second"), ErrorKind::AlreadyExists);
    let object = get(&theirs, "one");
    assert_eq!((object.to_vec().unwrap().as_slice(), object.len()), (&b"first"[..], 5));
    let mut part = [0; 3];
    object.read_at(1, &mut part).unwrap();
    assert_eq!(&part, b"irs");
    refused(object.read_at(3, &mut part), ErrorKind::OutOfBounds);
    assert!(get(&theirs, "nothing").is_empty());
    assert!(theirs.get("two").unwrap().is_none());
    let names: Vec<_> =
        theirs.list().unwrap().into_iter().map(|one| (one.name, one.size)).collect();
    assert_eq!(names, [("nothing".to_owned(), 0), ("one".to_owned(), 5)]);
    refused(theirs.remove("one"), ErrorKind::Busy);
    drop(object);
    assert_eq!(theirs.remove("one").unwrap(), Removal::Done);
    assert_eq!(theirs.remove("one").unwrap(), Removal::WasNotThere);
}

#[cfg(unix)]
#[test]
fn who_reads_what_is_replaced_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Objects::open(dir.path()).unwrap();
    objects.put("one", b"old").unwrap();
    let old = get(&objects, "one");
    objects.replace("one", b"newer").unwrap();
    assert_eq!(get(&objects, "one").to_vec().unwrap(), b"newer");
    assert_eq!(old.to_vec().unwrap(), b"old");
}

#[test]
fn names_that_would_lead_elsewhere_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Objects::open(dir.path()).unwrap();
    for name in ["", ".", "..", ".lock", "../out", "a/b", "a\\b", "a\0b", "con", &"x".repeat(300)] {
        refused(objects.put(name, b"x"), ErrorKind::InvalidInput);
        refused(objects.get(name), ErrorKind::InvalidInput);
        refused(objects.remove(name), ErrorKind::InvalidInput);
    }
    refused(Objects::open(dir.path().join("nowhere")), ErrorKind::NotFound);
}

#[test]
fn a_budget_is_kept_to_and_what_was_read_last_stays() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Objects::options().budget(1000).open(dir.path()).unwrap();
    let error = refused(objects.put("big", &[0; 1001]), ErrorKind::Full);
    says(&error, &["it has 1001 bytes, the budget is 1000"]);
    let apart = || std::thread::sleep(Duration::from_millis(20));
    for name in ["a", "b", "c", "d"] {
        objects.put(name, &[0; 240]).unwrap();
        apart();
    }
    drop(get(&objects, "a"));
    apart();
    let pinned = get(&objects, "b");
    apart();
    objects.put("e", &[0; 240]).unwrap();
    assert!(objects.get("c").unwrap().is_none(), "nobody read it for the longest time");
    let size = || objects.list().unwrap().iter().map(|one| one.size).sum::<u64>();
    assert!(size() <= 1000, "{}", size());
    assert_eq!(pinned.to_vec().unwrap(), [0; 240]);
    let error = refused(objects.put("f", &[0; 900]), ErrorKind::Full);
    says(&error, &["240 of them being read"]);
    drop(pinned);
    objects.put("f", &[0; 900]).unwrap();
    let evicted = objects.evict_to(0).unwrap();
    assert_eq!((evicted.bytes, evicted.pinned, size()), (900, 0, 0));
}

#[test]
fn a_pin_of_another_process_holds_and_goes_when_that_is_killed() {
    if child::role().is_some() {
        let objects = of_the_parent();
        let _object = get(&objects, "one");
        return child::point("reading");
    }
    let dir = tempfile::tempdir().unwrap();
    let objects = Objects::open(dir.path()).unwrap();
    objects.put("one", b"bytes").unwrap();
    let mut reader = child_of(this_test!(), "reader", dir.path());
    reader.run_to("reading", 1).unwrap();
    let evicted = objects.evict_to(0).unwrap();
    assert_eq!((evicted.objects, evicted.pinned), (0, 5));
    refused(objects.remove("one"), ErrorKind::Busy);
    reader.kill().unwrap();
    soon("its pin goes", || objects.evict_to(0).unwrap().objects == 1);
}

/// Writers and readers under a budget, killed at random: every object that is found is whole, the
/// budget is kept to, and nothing is left of the dead.
#[test]
fn whatever_is_killed_objects_are_whole_and_nothing_is_left() {
    /// An object's bytes are all the same, and as many as its name says.
    fn check(name: &str, object: &Object) {
        let bytes = object.to_vec().expect("bytes");
        assert_eq!(bytes.len().to_string(), name.split('-').next_back().expect("a size"), "{name}");
        assert!(bytes.iter().all(|byte| *byte == bytes[0]), "{name}");
    }
    const BUDGET: u64 = 200_000;
    let work = |objects: &Objects, random: &mut Random| {
        let size = random.usize(1..20_000);
        let name = format!("{}-{size}", random.u8(..4));
        match objects.put(&name, &vec![random.u8(..); size]) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Full) => {}
            Err(error) => panic!("{error}"),
        }
        for entry in objects.list().expect("a list").iter().take(3) {
            if let Some(object) = objects.get(&entry.name).expect("a get") {
                check(&entry.name, &object);
            }
        }
    };
    let of = |dir: &std::path::Path| Objects::options().budget(BUDGET).open(dir).expect("objects");
    if child::role().is_some() {
        let objects = of(std::env::var_os(PATH).expect("the parent's directory").as_ref());
        let mut random = Random::from_seed(u64::from(std::process::id()));
        loop {
            work(&objects, &mut random);
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let objects = of(dir.path());
    let mut random = Random::new();
    let spawn = || child_of(this_test!(), "worker", dir.path());
    let mut workers = vec![spawn(), spawn()];
    for _ in 0..budget(if cfg!(windows) { 5 } else { 50 }) {
        std::thread::sleep(Duration::from_micros(random.u64(0..5000)));
        let victim = random.usize(0..workers.len());
        workers.swap_remove(victim).kill().unwrap();
        work(&objects, &mut random);
        workers.push(spawn());
    }
    for worker in workers {
        worker.kill().unwrap();
    }
    let size: u64 = objects.list().unwrap().iter().map(|one| one.size).sum();
    assert!(size <= BUDGET, "{size}");
    for number in 0..10 {
        let _ = objects.put(&format!("last {number}-1"), b"x");
    }
    let aside = std::fs::read_dir(dir.path()).unwrap();
    let aside = aside
        .filter(|one| one.as_ref().unwrap().file_name().to_string_lossy().starts_with(".put-"));
    assert_eq!(aside.count(), 0, "files of dead writers are left");
}
