//! Regions full of anything.

use std::time::Duration;

use bifolio_map::{Create, ReadWrite, Section};
use bifolio_share::{Draft, ErrorKind, Lock, Objects, Region};
use bifolio_testkit::{Random, budget};

use crate::support::{create, place, refused, says};

/// Does everything there is; whatever it is, it ends, with a value or an error.
fn use_all(region: &Region) {
    let moment = Duration::from_micros(100);
    let _ = region.members();
    let _ = (region.used(), region.committed(), region.deaths(), region.objects());
    let _ = region.append(b"some bytes");
    let _ = region.read_at(5000, &mut [0; 100]);
    let _ = region.wait_appended(u64::MAX, moment);
    if let Ok(lock) = region.mutex("known", 1_u64) {
        let _ = lock.owner();
        match lock.lock_within(moment) {
            Ok(Lock::Sound(guard)) => drop(guard.get()),
            Ok(Lock::Unsound(left)) => drop(left.repaired()),
            Err(_) => {}
        }
    }
    if let Ok(lock) = region.rwlock("many", [1_u32; 4]) {
        let _ = lock.read_within(moment).and_then(|guard| guard.get());
        let _ = lock.write_within(moment).map(drop);
    }
    if let Ok(value) = region.seqlock("value", [1_u32; 4]) {
        let _ = value.read_within(moment);
        let _ = value.write_within(&[2; 4], moment);
    }
    if let Ok(value) = region.snapshot("snapshot", 2, [1_u32; 4]) {
        let pins: Vec<_> = (0..3).map(|_| value.pin()).collect();
        let _ = (value.read(), value.version(), value.wait_newer(u64::MAX, moment));
        let _ = value.write_within(&[2; 4], moment);
        for pin in pins.iter().flatten() {
            let _ = (pin.get(), pin.version());
        }
    }
    if let Ok(arena) = region.arena("arena", 1 << 17) {
        let small = arena.alloc(&[1_u32; 4]).and_then(Draft::publish);
        let large = arena.alloc_bytes(70_000).and_then(Draft::publish_bytes);
        let _ = (arena.stats(), arena.sweep());
        if let Ok(small) = small {
            let _ = (arena.get(small), arena.set(small, &[2; 4]), arena.free(small));
        }
        if let Ok(map) = region.hash_map::<u32, [u16; 3]>("map", &arena, 4) {
            let _ = (map.insert(&1, &[1; 3]), map.insert(&2, &[2; 3]), map.insert(&1, &[3; 3]));
            let _ = (map.get(&1), map.len(), map.entries(), map.remove(&2));
        }
        if let Ok(list) = region.vector::<[u16; 3]>("list", &arena) {
            let _ = (list.push(&[1; 3]), list.extend(&[[2; 3]; 40]), list.set(3, &[3; 3]));
            let _ = (list.get(3), list.len(), list.range(1..3), list.to_vec(), list.pop());
            let _ = (list.truncate(2), list.shrink_to_fit());
        }
        if let Ok(large) = large {
            let _ = arena.read_at(large, 69_000, &mut [0; 1000]);
            let _ = arena.free_bytes(large);
        }
    }
    if let Ok(queue) = region.queue("queue", 4, 100) {
        let _ = (queue.send_within(b"one", moment), queue.try_send(b"two"), queue.try_loan(9));
        if let Ok(mut receiver) = queue.receiver() {
            for _ in 0..5 {
                let _ = receiver.receive_within(moment).and_then(|message| message.to_vec());
                let _ = receiver.try_receive().map(drop);
            }
        }
    }
    if let Ok(news) = region.broadcast("news", 4, 100)
        && let Ok(mut receiver) = news.receiver()
    {
        for _ in 0..5 {
            let _ = news.send_within(b"one", moment);
            let _ = receiver.receive_within(moment).and_then(|message| message.to_vec());
        }
    }
    if let Ok(pool) = region.semaphore("pool", 3) {
        let _ = pool.available();
        drop(pool.acquire_within(moment));
    }
    if let Ok(meeting) = region.barrier("meeting", 2) {
        let _ = meeting.wait_within(moment);
    }
    if let Ok(event) = region.event("event") {
        let _ = (event.wait_within(moment), event.set(), event.reset());
    }
    for name in ["queue", "known", "none"] {
        let _ = region.channel(name).map(|channel| channel.map(|one| one.try_send(b"found")));
    }
    let _ = region.mutex("new", [1_u32; 3]);
}

#[test]
fn a_file_of_anything_is_a_region_or_an_error() {
    let mut random = Random::new();
    for _ in 0..budget(200) {
        let (_dir, path) = place();
        let size = random.usize(0..20_000);
        let mut bytes: Vec<u8> = (0..size).map(|_| random.u8(..)).collect();
        if random.bool() && size >= 8 {
            bytes[..8].copy_from_slice(b"BIFOREG\0");
        }
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(region) = Region::open(&path) {
            drop(region);
        }
    }
}

#[test]
fn random_bytes_in_a_living_region_are_values_or_errors() {
    let mut random = Random::new();
    for _ in 0..budget(if cfg!(windows) { 20 } else { 100 }) {
        let (_dir, path) = place();
        let options = Region::options().capacity(1 << 20).participants(4).names(20);
        let options = options.patience(Duration::from_micros(100));
        let region = options.clone().create(Create::New).open(&path).unwrap();
        use_all(&region);
        let view = Section::open_rw(&path).unwrap().view::<ReadWrite>().unwrap();
        for _ in 0..random.usize(1..40) {
            let at = random.u64(0..region.used().map_or(4096, |used| used.clamp(1, view.len())));
            let byte = if random.bool() { random.u8(..) } else { 0xff };
            view.write_at(at, &[byte]).unwrap();
        }
        use_all(&region);
        if let Ok(other) = options.open(&path) {
            use_all(&other);
        }
    }
}

/// One that is stopped in the middle of an append holds the others up for as long as they said.
#[test]
fn an_owner_of_the_regions_own_lock_that_does_not_go_on_is_waited_for_so_long_and_no_longer() {
    let (_dir, path) = place();
    let (ours, stopped) = (create(&path), Region::open(&path).unwrap());
    let options = Region::options().patience(Duration::from_millis(20));
    let waits = options.open(&path).unwrap();
    let view = Section::open_rw(&path).unwrap().view::<ReadWrite>().unwrap();
    // What its lock looks like: thread 1 of a participant that lives.
    let me = stopped.me();
    let word = u64::from(me.slot().number()) << 20 | u64::from(me.generation()) << 1 | 1 << 32;
    view.put(64, &word).unwrap();
    let error = refused(waits.append(b"x"), ErrorKind::TimedOut);
    says(&error, &["participant 1 (generation 1) holds it"]);
    drop(stopped);
    assert!(ours.append(b"x").is_ok(), "it has left, and so is dead to its lock");
}

#[test]
fn another_version_and_another_byte_order_are_told() {
    let (_dir, path) = place();
    drop(create(&path));
    let view = Section::open_rw(&path).unwrap().view::<ReadWrite>().unwrap();
    view.put(8, &2_u32).unwrap();
    says(&refused(Region::open(&path), ErrorKind::WrongVersion), &["it has version 2"]);
    view.put(8, &1_u32).unwrap();
    let magic: u64 = view.get(0).unwrap();
    view.put(0, &magic.swap_bytes()).unwrap();
    says(&refused(Region::open(&path), ErrorKind::WrongVersion), &["other byte order"]);
    view.put(0, &(magic + 1)).unwrap();
    says(&refused(Region::open(&path), ErrorKind::Corrupt), &["it begins with"]);
    view.put(0, &magic).unwrap();
    assert!(Region::open(&path).is_ok());
}

#[cfg(unix)]
#[test]
fn a_region_that_is_cut_off_is_an_error_of_who_uses_it() {
    let (_dir, path) = place();
    let region = create(&path);
    let lock = region.mutex("lock", 1_u64).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(0).unwrap();
    assert!(region.append(b"x").is_err());
    assert!(region.members().is_err());
    assert!(lock.lock_within(Duration::from_millis(1)).is_err());
    assert!(Region::open(&path).is_err());
}

#[test]
fn random_bytes_in_an_object_that_is_written_are_values_or_errors_and_no_other_object_suffers() {
    let mut random = Random::new();
    let moment = Duration::from_millis(1);
    for _ in 0..budget(if cfg!(windows) { 5 } else { 20 }) {
        let dir = tempfile::tempdir().unwrap();
        let objects = Objects::open(dir.path()).unwrap();
        drop(objects.writable("table", 100).unwrap());
        let aside = dir.path().join(".write-table");
        let mut bytes = std::fs::read(&aside).unwrap();
        // Most of it is room for participants, of whom there are none.
        for _ in 0..random.usize(1..100) {
            let place = if random.bool() { 0..200 } else { 0..bytes.len() };
            bytes[random.usize(place)] = random.u8(..);
        }
        if random.usize(0..4) == 0 {
            bytes.truncate(random.usize(0..bytes.len()));
        }
        std::fs::write(&aside, &bytes).unwrap();
        if let Ok(object) = objects.writable("table", 100)
            && let Ok(mut guard) = object.lock_within(moment)
        {
            let _ = (guard.read_at(50, &mut [0; 50]), guard.write_at(0, &[1; 100]));
            let _ = guard.freeze();
        }
        let _ = objects.put("table", b"another");
        assert!(objects.get("table").unwrap().is_some());
        let _ = (objects.writable("table", 100).map(drop), objects.discard("table"));
        // As many as look once for what the dead have left.
        for number in 0..11 {
            objects.put(&number.to_string(), b"bytes").unwrap();
        }
    }
}
