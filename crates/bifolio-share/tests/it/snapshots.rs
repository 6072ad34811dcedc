//! Snapshots: the last complete value, pinned or copied, between processes that are killed.

use std::time::Duration;

use bifolio_share::{ErrorKind, Pinned, Region, Snapshot};
use bifolio_testkit::{Random, budget, child, this_test};

use crate::support::{child_of, create, of_the_parent, place, refused, says, soon};

const SHORT: Duration = Duration::from_millis(30);
const LONG: Duration = Duration::from_secs(60);
const READERS: u32 = 3;

#[test]
fn the_types_can_be_used_from_any_thread() {
    fn check<T: Send + Sync>() {}
    check::<(Snapshot<u64>, Pinned<'_, u64>)>();
}

#[test]
fn what_is_pinned_stays_and_what_is_read_is_the_last_one() {
    let (_dir, path) = place();
    let (ours, theirs) = (create(&path), Region::open(&path).unwrap());
    let one = ours.snapshot("value", READERS, [0_u64; 20]).unwrap();
    let two = theirs.snapshot("value", READERS, [9; 20]).unwrap();
    assert_eq!((two.read().unwrap(), two.version().unwrap()), ([0; 20], 1));
    let mut pinned = Vec::new();
    for number in 1..100_u64 {
        one.write(&[number; 20]).unwrap();
        assert_eq!(two.read().unwrap(), [number; 20]);
        if number % 30 == 0 {
            pinned.push((number, two.pin().unwrap()));
        }
    }
    refused(one.pin(), ErrorKind::TooMany);
    for (number, pin) in &pinned {
        assert_eq!((pin.get().unwrap(), pin.version().unwrap()), ([*number; 20], number + 1));
        let mut part = [0; 8];
        pin.read_bytes(8, &mut part).unwrap();
        assert_eq!(u64::from_ne_bytes(part), *number);
        refused(pin.read_bytes(153, &mut part), ErrorKind::OutOfBounds);
        refused(pin.read_bytes(u64::MAX, &mut part), ErrorKind::OutOfBounds);
    }
    pinned.pop();
    assert_eq!(one.pin().unwrap().version().unwrap(), 100);
}

#[test]
fn another_number_of_readers_and_none_at_all_are_refused() {
    let (_dir, path) = place();
    let region = create(&path);
    region.snapshot("value", 3, 1_u64).unwrap();
    // With as many bytes, and with more.
    says(&refused(region.snapshot("value", 4, 1_u64), ErrorKind::LayoutMismatch), &["bytes"]);
    refused(region.snapshot("value", 300, 1_u64), ErrorKind::LayoutMismatch);
    refused(region.snapshot("value", 3, 1_u32), ErrorKind::LayoutMismatch);
    refused(region.snapshot("none", 0, 1_u64), ErrorKind::InvalidInput);
    refused(region.snapshot("many", 5000, 1_u64), ErrorKind::InvalidInput);
}

#[test]
fn who_waits_for_a_newer_value_goes_on_when_it_is_there() {
    if child::role().is_some() {
        let value = of_the_parent().snapshot("value", READERS, 0_u64).unwrap();
        child::point("there");
        std::thread::sleep(SHORT);
        value.write(&7).unwrap();
        return;
    }
    let (_dir, path) = place();
    let value = create(&path).snapshot("value", READERS, 0_u64).unwrap();
    says(&refused(value.wait_newer(1, SHORT), ErrorKind::TimedOut), &["value 1 is still"]);
    let mut writer = child_of(this_test!(), "writer", &path);
    writer.run_to("there", 1).unwrap();
    writer.go_on().unwrap();
    assert_eq!(value.wait_newer(1, LONG).unwrap(), 2);
    assert_eq!(value.read().unwrap(), 7);
    assert_eq!(value.wait_newer(0, SHORT).unwrap(), 2, "it is there already");
    writer.finish().unwrap();
}

#[test]
fn a_stopped_or_dead_reader_and_a_dead_writer_hold_nobody_up() {
    if let Some(role) = child::role() {
        let value = of_the_parent().snapshot("value", READERS, [0_u64; 100]).unwrap();
        match role.as_str() {
            "reader" => {
                let pinned = value.pin().unwrap();
                child::point("pinned");
                drop(pinned);
            }
            _ => {
                for number in 1.. {
                    value.write(&[number; 100]).unwrap();
                }
            }
        }
        return;
    }
    let (_dir, path) = place();
    let region = create(&path);
    let value = region.snapshot("value", READERS, [0_u64; 100]).unwrap();
    let mut random = Random::new();
    let rounds = budget(if cfg!(windows) { 3 } else { 20 });
    for _ in 0..rounds {
        let mut readers = Vec::new();
        for _ in 0..READERS {
            let mut reader = child_of(this_test!(), "reader", &path);
            // It stays where it is, with its pin.
            reader.run_to("pinned", 1).unwrap();
            readers.push(reader);
        }
        refused(value.pin(), ErrorKind::TooMany);
        let writer = child_of(this_test!(), "writer", &path);
        let before = value.version().unwrap();
        soon("the writer goes on", || value.version().unwrap() > before + u64::from(READERS) + 2);
        std::thread::sleep(Duration::from_micros(random.u64(0..500)));
        writer.kill().unwrap();
        let found = value.read().unwrap();
        assert!(found.iter().all(|number| *number == found[0]), "{found:?}");
        value.write_within(&[0; 100], LONG).unwrap();
        for reader in readers {
            reader.kill().unwrap();
        }
        let all: Vec<_> = (0..READERS).map(|_| value.pin().unwrap()).collect();
        for pin in &all {
            assert_eq!(pin.get().unwrap(), [0; 100]);
        }
    }
    assert_eq!(region.notice_deaths().unwrap(), rounds * (u64::from(READERS) + 1));
}

#[test]
fn readers_of_many_threads_see_whole_values_in_their_order() {
    let (_dir, path) = place();
    let region = create(&path);
    let value = region.snapshot("value", 2, [0_u64; 64]).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    let writes = budget(2_000);
    std::thread::scope(|threads| {
        for number in 0..3 {
            let (value, done) = (&value, &done);
            threads.spawn(move || {
                let mut last = 0;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let found = if number == 0 {
                        match value.pin() {
                            Ok(pin) => pin.get().unwrap(),
                            Err(error) if error.kind() == ErrorKind::TooMany => continue,
                            Err(error) => panic!("{error}"),
                        }
                    } else {
                        value.read().unwrap()
                    };
                    assert!(found.iter().all(|one| *one == found[0]), "{found:?}");
                    assert!(found[0] >= last, "{} after {last}", found[0]);
                    last = found[0];
                }
            });
        }
        for number in 1..=writes {
            value.write(&[number; 64]).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(value.version().unwrap(), writes + 1);
}
