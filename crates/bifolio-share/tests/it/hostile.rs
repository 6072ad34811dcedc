//! Regions full of anything.

use std::time::Duration;

use bifolio_map::{Create, ReadWrite, Section};
use bifolio_share::{ErrorKind, Lock, Region};
use bifolio_testkit::{Random, budget};

use crate::support::{create, place, refused, says};

/// Does everything there is; whatever it is, it ends, with a value or an error.
fn use_all(region: &Region) {
    let _ = region.members();
    let _ = (region.used(), region.committed(), region.deaths());
    let _ = region.append(b"some bytes");
    let _ = region.read_at(5000, &mut [0; 100]);
    let _ = region.wait_appended(u64::MAX, Duration::from_millis(1));
    if let Ok(lock) = region.mutex("known", 1_u64) {
        let _ = lock.owner();
        match lock.lock_within(Duration::from_millis(1)) {
            Ok(Lock::Sound(guard)) => drop(guard.get()),
            Ok(Lock::Unsound(left)) => drop(left.repaired()),
            Err(_) => {}
        }
    }
    let _ = region.mutex("new", [1_u32; 3]);
}

/// The region's own lock has no time limit: what holds it for ever is somebody who lives.
fn free_the_lock(view: &bifolio_map::View<ReadWrite>) {
    view.write_at(60, &[0; 12]).unwrap();
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
        let options = Region::options().capacity(1 << 20).participants(4).names(4);
        let region = options.create(Create::New).open(&path).unwrap();
        drop(region.mutex("known", 7_u64).unwrap());
        let view = Section::open_rw(&path).unwrap().view::<ReadWrite>().unwrap();
        for _ in 0..random.usize(1..40) {
            let at = random.u64(0..region.used().map_or(4096, |used| used.clamp(1, view.len())));
            let byte = if random.bool() { random.u8(..) } else { 0xff };
            view.write_at(at, &[byte]).unwrap();
        }
        free_the_lock(&view);
        use_all(&region);
        free_the_lock(&view);
        if let Ok(other) = Region::open(&path) {
            free_the_lock(&view);
            use_all(&other);
        }
    }
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
