//! Regions: made once, joined by many, growing in place.

use std::time::Duration;

use bifolio_map::names::{Name, Scope};
use bifolio_map::{Create, Section};
use bifolio_share::{ErrorKind, Region, RegionOptions};
use bifolio_testkit::{budget, child, this_test};

use crate::support::{child_of, create, of_the_parent, place, refused, says, soon};

#[test]
fn the_types_can_be_used_from_any_thread() {
    fn check<T: Send + Sync>() {}
    check::<Region>();
    check::<RegionOptions>();
    check::<bifolio_share::Error>();
    check::<bifolio_share::Member>();
}

#[test]
fn a_region_is_made_once_and_joined_by_who_comes_later() {
    let (_dir, path) = place();
    refused(Region::open(&path), ErrorKind::NotFound);
    let first = create(&path);
    let error = refused(Region::create(&path), ErrorKind::AlreadyExists);
    says(&error, &["create the region", "region"]);
    let second = Region::open(&path).unwrap();
    let third = Region::options().create(Create::IfMissing).capacity(1 << 30).open(&path).unwrap();
    assert_eq!((second.capacity(), third.capacity()), (64 << 20, 64 << 20), "as it was made");
    let slots = [&first, &second, &third].map(|region| region.me().slot().number());
    assert_eq!(slots, [0, 1, 2], "in turn");
}

#[test]
fn a_named_region_goes_with_its_last_participant() {
    let dir = tempfile::tempdir().unwrap();
    let scope = Scope::Directory(dir.path().into());
    let options = Region::options().scope(scope).capacity(1 << 20);
    let name = Name::new("prices").unwrap();
    refused(options.named(&name), ErrorKind::NotFound);
    let first = options.clone().create(Create::New).named(&name);
    if cfg!(windows) {
        says(&refused(first, ErrorKind::NotSupported), &["page file"]);
        return;
    }
    let first = first.unwrap();
    let second = options.named(&name).unwrap();
    let offset = first.append(b"12.50").unwrap();
    drop(first);
    let mut bytes = [0; 5];
    second.read_at(offset, &mut bytes).unwrap();
    assert_eq!(&bytes, b"12.50");
    drop(second);
    // A child that another test has just forked shares it for a moment.
    soon("it is gone", || options.named(&name).is_err());
    refused(options.named(&name), ErrorKind::NotFound);
}

#[test]
fn what_was_begun_and_not_made_is_no_region_and_who_wants_one_makes_it() {
    let (_dir, path) = place();
    drop(Section::create(&path, 4096).unwrap());
    let error = refused(Region::open(&path), ErrorKind::NotFound);
    says(&error, &["all zeros"]);
    assert!(Region::create(&path).is_ok());
    assert!(Region::open(&path).is_ok());
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let (_dir, path) = place();
    let new = || Region::options().create(Create::New);
    for options in [
        new().participants(0),
        new().participants(4097),
        new().names(1 << 17),
        new().capacity(5000),
    ] {
        refused(options.open(&path), ErrorKind::InvalidInput);
    }
    assert!(!path.exists());
}

#[test]
fn appended_bytes_are_seen_whole_and_in_order() {
    let (_dir, path) = place();
    let (ours, theirs) = (create(&path), Region::open(&path).unwrap());
    let (one, two) = (ours.append(b"one").unwrap(), theirs.append(b"two").unwrap());
    assert_eq!(two, one + 3);
    let mut bytes = [0; 6];
    ours.read_at(one, &mut bytes).unwrap();
    assert_eq!(&bytes, b"onetwo");
    assert_eq!(ours.used().unwrap(), two + 3);
    assert_eq!(ours.append(b"").unwrap(), two + 3);
    let end = ours.committed().unwrap();
    let error = refused(ours.read_at(end, &mut bytes), ErrorKind::OutOfBounds);
    says(&error, &["asked for 6 bytes"]);
}

#[test]
fn a_full_region_says_so_and_stays_as_it_was() {
    let (_dir, path) = place();
    let region = Region::options().create(Create::New).capacity(1 << 20).open(&path).unwrap();
    let used = region.used().unwrap();
    refused(region.append(&vec![1; 1 << 20]), ErrorKind::Full);
    refused(region.grow_to((1 << 20) + 1), ErrorKind::Full);
    assert_eq!(region.used().unwrap(), used);
    let rest = region.capacity() - used;
    assert_eq!(region.append(&vec![1; rest as usize]).unwrap(), used);
    refused(region.append(b"x"), ErrorKind::Full);
    assert_eq!(region.append(b"").unwrap(), 1 << 20);
}

#[test]
fn another_process_grows_the_region_and_what_was_there_stays_there() {
    if child::role().is_some() {
        let region = of_the_parent();
        let offset = region.append(&vec![7; 10 << 20]).unwrap();
        return child::tell(&offset.to_string());
    }
    let (_dir, path) = place();
    let region = create(&path);
    let before = region.append(b"before").unwrap();
    let committed = region.committed().unwrap();
    let told = child_of(this_test!(), "grower", &path).finish().unwrap();
    let offset: u64 = told[0].parse().unwrap();
    assert!(region.committed().unwrap() >= committed + (9 << 20));
    let mut bytes = vec![0; 10 << 20];
    region.read_at(offset, &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 7));
    let mut old = [0; 6];
    region.read_at(before, &mut old).unwrap();
    assert_eq!(&old, b"before");
}

#[test]
fn who_waits_for_an_append_is_woken_by_another_process() {
    if child::role().is_some() {
        let region = of_the_parent();
        child::point("joined");
        region.append(b"news").unwrap();
        return;
    }
    let (_dir, path) = place();
    let region = create(&path);
    let used = region.used().unwrap();
    let waited = region.wait_appended(used, Duration::from_millis(10));
    says(&refused(waited, ErrorKind::TimedOut), &["wait for an append to"]);
    let mut other = child_of(this_test!(), "writer", &path);
    other.run_to("joined", 1).unwrap();
    std::thread::scope(|threads| {
        let waiting = threads.spawn(|| region.wait_appended(used, Duration::from_secs(60)));
        other.go_on().unwrap();
        other.finish().unwrap();
        assert_eq!(waiting.join().unwrap().unwrap(), used + 4);
    });
}

/// Several processes append at once, and are killed: every append that returned is there, and
/// nothing in part.
#[test]
fn appends_of_processes_that_are_killed_are_there_or_not_and_never_in_part() {
    const RECORD: usize = 1000;
    if let Some(role) = child::role() {
        let region = of_the_parent();
        let fill: u8 = role.parse().unwrap();
        while region.append(&[fill; RECORD]).is_ok() {}
        return;
    }
    let (_dir, path) = place();
    let region = create(&path);
    let start = region.used().unwrap();
    for round in 0..budget(if cfg!(windows) { 3 } else { 10 }) {
        let spawn = |role: u8| child_of(this_test!(), &role.to_string(), &path);
        let (one, two) = (spawn(1), spawn(2));
        let wanted = region.used().unwrap() + 50 * RECORD as u64;
        let wanted = wanted.min(region.capacity() - 10 * RECORD as u64);
        while region.used().unwrap() < wanted {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_micros(round * 37 % 500));
        one.kill().unwrap();
        two.kill().unwrap();
        if region.append(&[3; RECORD]).is_err() {
            break;
        }
    }
    let used = region.used().unwrap();
    assert_eq!((used - start) % RECORD as u64, 0);
    let mut record = [0; RECORD];
    for offset in (start..used).step_by(RECORD) {
        region.read_at(offset, &mut record).unwrap();
        assert!((1..=3).contains(&record[0]) && record.iter().all(|b| *b == record[0]), "{offset}");
    }
}
