//! Vectors: as those of std, for all processes at a time.

use bifolio_share::{ErrorKind, Off, Region, Vector};
use bifolio_testkit::{Random, budget, child, this_test};

use crate::support::{create, of_the_parent, place, refused, rounds_of_killed_writers, says};

const ARENA: u64 = 1 << 20;

fn vector_in(region: &Region) -> Vector<[u64; 3]> {
    let arena = region.arena("arena", ARENA).unwrap();
    region.vector("vector", &arena).unwrap()
}

#[test]
fn the_types_can_be_used_from_any_thread() {
    fn check<T: Send + Sync>() {}
    check::<Vector<u64>>();
}

#[test]
fn a_vector_is_a_vector_through_every_handle() {
    let (_dir, path) = place();
    let (ours, theirs) = (create(&path), Region::open(&path).unwrap());
    let handles = [vector_in(&ours), vector_in(&theirs)];
    let mut model: Vec<[u64; 3]> = Vec::new();
    let mut random = Random::new();
    for _ in 0..budget(5_000) {
        let vector = &handles[random.usize(0..2)];
        let len = model.len();
        let value = [random.u64(..); 3];
        match random.usize(0..9) {
            0 | 1 => {
                vector.push(&value).unwrap();
                model.push(value);
            }
            2 => {
                let more = vec![value; random.usize(0..20)];
                vector.extend(&more).unwrap();
                model.extend(more);
            }
            3 => assert_eq!(vector.pop().unwrap(), model.pop()),
            4 => {
                let index = random.usize(0..=len);
                match vector.set(index as u64, &value) {
                    Ok(()) => model[index] = value,
                    Err(error) => {
                        assert_eq!((error.kind(), index), (ErrorKind::OutOfBounds, len));
                    }
                }
            }
            5 => {
                let index = random.usize(0..=len);
                assert_eq!(vector.get(index as u64).unwrap(), model.get(index).copied());
            }
            6 => {
                let end = random.usize(0..=len);
                let start = random.usize(0..=end);
                let found = vector.range(start as u64..end as u64).unwrap();
                assert_eq!(found, model[start..end]);
            }
            7 if random.usize(0..10) == 0 => {
                let less = random.usize(0..=len + 2);
                vector.truncate(less as u64).unwrap();
                model.truncate(less);
            }
            _ if random.usize(0..10) == 0 => vector.shrink_to_fit().unwrap(),
            _ => assert_eq!(vector.len().unwrap(), len as u64),
        }
        if random.usize(0..300) == 0 {
            assert_eq!(vector.to_vec().unwrap(), model);
        }
    }
    let vector = &handles[0];
    assert_eq!(vector.to_vec().unwrap(), model);
    vector.truncate(0).unwrap();
    vector.shrink_to_fit().unwrap();
    let stats = ours.arena("arena", ARENA).unwrap().stats().unwrap();
    assert_eq!((stats.published, stats.unpublished), (0, 0));
}

#[test]
fn a_full_arena_changes_nothing_and_what_is_wrong_is_refused() {
    let (_dir, path) = place();
    let region = create(&path);
    let arena = region.arena("small", 5 << 16).unwrap();
    let vector = region.vector::<u64>("vector", &arena).unwrap();
    let mut len = 0;
    let error = loop {
        match vector.push(&len) {
            Ok(()) => len += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert!(vector.to_vec().unwrap().into_iter().eq(0..len));
    // Doubling would not have filled it so far: where there is no room for that, it takes what it needs.
    assert!(len > 2 << 13, "{len}");
    refused(vector.extend(&vec![0; 1 << 16]), ErrorKind::Full);
    assert_eq!(vector.len().unwrap(), len);
    says(&refused(vector.set(len, &1), ErrorKind::OutOfBounds), &["elements", &len.to_string()]);
    refused(vector.range(len..len + 1), ErrorKind::OutOfBounds);
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
    let reversed = vector.range(2..1);
    refused(reversed, ErrorKind::OutOfBounds);
    assert_eq!(vector.range(len..len).unwrap(), []);
    refused(region.vector::<u32>("vector", &arena), ErrorKind::LayoutMismatch);
    refused(region.vector::<[u64; 0]>("none", &arena), ErrorKind::InvalidInput);
    let other = region.arena("other", 1 << 16).unwrap();
    refused(region.vector::<u64>("vector", &other), ErrorKind::LayoutMismatch);
    refused(region.hash_map::<u64, u64>("vector", &arena, 4), ErrorKind::LayoutMismatch);
}

#[test]
fn a_vector_of_offsets_leads_to_values_of_the_arena() {
    let (_dir, path) = place();
    let region = create(&path);
    let arena = region.arena("arena", ARENA).unwrap();
    let all = region.vector::<Off<[u32; 2]>>("all", &arena).unwrap();
    for number in 0..100 {
        all.push(&arena.alloc(&[number; 2]).unwrap().publish().unwrap()).unwrap();
    }
    let theirs = Region::open(&path).unwrap();
    let arena = theirs.arena("arena", ARENA).unwrap();
    let all = theirs.vector::<Off<[u32; 2]>>("all", &arena).unwrap();
    for (number, off) in (0..).zip(all.to_vec().unwrap()) {
        assert_eq!(arena.get(off).unwrap(), [number; 2]);
    }
}

#[test]
fn writers_that_are_killed_leave_whole_elements_and_one_block() {
    if let Some(role) = child::role() {
        let vector = vector_in(&of_the_parent());
        let mut random = Random::from_seed(role.parse().unwrap());
        loop {
            let number = random.u64(..);
            match random.usize(0..6) {
                0 | 1 => vector.extend(&vec![[number; 3]; random.usize(0..9)]).unwrap(),
                2 => drop(vector.pop().unwrap()),
                3 if random.usize(0..20) == 0 => vector.truncate(random.u64(1..50)).unwrap(),
                4 if random.usize(0..20) == 0 => vector.shrink_to_fit().unwrap(),
                // Another one may have made it shorter.
                _ => drop(vector.set(0, &[number; 3])),
            }
        }
    }
    let (_dir, path) = place();
    let region = create(&path);
    let vector = vector_in(&region);
    rounds_of_killed_writers(
        this_test!(),
        &path,
        || vector.to_vec().unwrap(),
        |found| {
            assert!(found.iter().all(|one| *one == [one[0]; 3]), "{found:?}");
            vector.push(&[1; 3]).unwrap();
            let arena = region.arena("arena", ARENA).unwrap();
            arena.sweep().unwrap();
            let stats = arena.stats().unwrap();
            assert_eq!((stats.published, stats.unpublished), (1, 0));
        },
    );
}
