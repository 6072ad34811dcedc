//! Hash maps: as those of std, for all processes at a time.

use std::collections::HashMap as Model;

use bifolio_share::{ErrorKind, HashMap, Region};
use bifolio_testkit::{Random, budget, child, this_test};

use crate::support::{create, of_the_parent, place, refused, rounds_of_killed_writers};

const ARENA: u64 = 1 << 20;

fn map_in(region: &Region) -> HashMap<u32, [u64; 2]> {
    let arena = region.arena("arena", ARENA).unwrap();
    region.hash_map("map", &arena, 60).unwrap()
}

#[test]
fn the_types_can_be_used_from_any_thread() {
    fn check<T: Send + Sync>() {}
    check::<HashMap<u64, u64>>();
}

#[test]
fn a_map_is_a_map_through_every_handle() {
    let (_dir, path) = place();
    let (ours, theirs) = (create(&path), Region::open(&path).unwrap());
    let handles = [map_in(&ours), map_in(&theirs)];
    let mut model = Model::new();
    let mut random = Random::new();
    for _ in 0..budget(5_000) {
        let map = &handles[random.usize(0..2)];
        let key = random.u32(0..300);
        match random.usize(0..4) {
            0 | 1 => {
                let value = [random.u64(..); 2];
                assert_eq!(map.insert(&key, &value).unwrap(), model.insert(key, value));
            }
            2 => assert_eq!(map.remove(&key).unwrap(), model.remove(&key)),
            _ => assert_eq!(map.get(&key).unwrap(), model.get(&key).copied()),
        }
        if random.usize(0..300) == 0 {
            let entries = map.entries().unwrap();
            assert_eq!(map.len().unwrap(), model.len() as u64);
            assert_eq!(entries.len(), model.len());
            assert_eq!(entries.into_iter().collect::<Model<_, _>>(), model);
        }
    }
    let stats = ours.arena("arena", ARENA).unwrap().stats().unwrap();
    assert_eq!((stats.published, stats.unpublished), (model.len() as u64, 0));
}

#[test]
fn a_full_arena_changes_nothing_and_other_maps_are_refused() {
    let (_dir, path) = place();
    let region = create(&path);
    let arena = region.arena("small", 1 << 16).unwrap();
    let map = region.hash_map::<u64, [u64; 100]>("map", &arena, 4).unwrap();
    let mut number = 0;
    let error = loop {
        match map.insert(&number, &[number; 100]) {
            Ok(before) => assert_eq!(before, None),
            Err(error) => break error,
        }
        number += 1;
    };
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert_eq!(map.len().unwrap(), number);
    for key in 0..number {
        assert_eq!(map.get(&key).unwrap(), Some([key; 100]));
    }
    assert_eq!(map.get(&number).unwrap(), None);
    refused(region.hash_map::<u64, [u64; 100]>("map", &arena, 8), ErrorKind::LayoutMismatch);
    refused(region.hash_map::<u64, [u64; 99]>("map", &arena, 4), ErrorKind::LayoutMismatch);
    let other = region.arena("other", 1 << 16).unwrap();
    refused(region.hash_map::<u64, [u64; 100]>("map", &other, 4), ErrorKind::LayoutMismatch);
    refused(region.hash_map::<u64, u64>("none", &arena, 0), ErrorKind::InvalidInput);
    let foreign = Region::open(&path).unwrap().arena("small", 1 << 16).unwrap();
    refused(region.hash_map::<u64, u64>("none", &foreign, 4), ErrorKind::InvalidInput);
}

#[test]
fn writers_that_are_killed_leave_a_whole_map_and_an_arena_without_a_leak() {
    if let Some(role) = child::role() {
        let map = map_in(&of_the_parent());
        let mut random = Random::from_seed(role.parse().unwrap());
        loop {
            let key = random.u32(0..50);
            if random.bool() {
                map.insert(&key, &[u64::from(key); 2]).unwrap();
            } else {
                map.remove(&key).unwrap();
            }
        }
    }
    let (_dir, path) = place();
    let region = create(&path);
    let map = map_in(&region);
    rounds_of_killed_writers(
        this_test!(),
        &path,
        || map.entries().unwrap(),
        |entries| {
            assert!(
                entries.iter().all(|(key, value)| *value == [u64::from(*key); 2]),
                "{entries:?}"
            );
            assert_eq!(map.len().unwrap(), entries.len() as u64);
            let arena = region.arena("arena", ARENA).unwrap();
            arena.sweep().unwrap();
            let stats = arena.stats().unwrap();
            assert_eq!((stats.published, stats.unpublished), (entries.len() as u64, 0));
        },
    );
}
