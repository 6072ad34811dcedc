//! Arenas: what is published stays, what the dead had not published is free again, and nothing overlaps.

use std::collections::HashMap;

use bifolio_share::zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};
use bifolio_share::{Arena, Draft, ErrorKind, Extent, Off, Region, Shared};
use bifolio_testkit::{Random, budget, child, this_test};

use crate::support::{child_of, create, of_the_parent, place, refused, says};

const SLAB: u64 = 64 << 10;

fn arena_in(region: &Region, slabs: u64) -> Arena {
    region.arena("arena", slabs * SLAB).unwrap()
}

#[test]
fn the_types_can_be_used_from_any_thread() {
    fn check<T: Send + Sync>() {}
    check::<(Arena, Draft<'_, u64>, Draft<'_, [u8]>, Off<u64>, Extent)>();
}

/// An entry of a list that processes share.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Shared)]
#[repr(C)]
struct Node {
    number: u64,
    next: Off<Node>,
}

#[test]
fn values_lead_to_each_other_in_every_process() {
    if child::role().is_some() {
        let region = of_the_parent();
        let (arena, head) =
            (arena_in(&region, 2), region.mutex("head", Off::<Node>::NONE).unwrap());
        let mut guard = head.lock().unwrap().sound().unwrap();
        for number in 0..100 {
            let node = Node { number, next: guard.get().unwrap() };
            guard.set(&arena.alloc(&node).unwrap().publish().unwrap()).unwrap();
        }
        return;
    }
    let (_dir, path) = place();
    let region = create(&path);
    let (arena, head) = (arena_in(&region, 2), region.mutex("head", Off::<Node>::NONE).unwrap());
    child_of(this_test!(), "writer", &path).finish().unwrap();
    let mut next = head.lock().unwrap().sound().unwrap().get().unwrap();
    for number in (0..100).rev() {
        let node = arena.get(next).unwrap();
        assert_eq!(node.number, number);
        arena.free(next).unwrap();
        says(&refused(arena.get(next), ErrorKind::NotFound), &["no published block"]);
        refused(arena.free(next), ErrorKind::NotFound);
        next = node.next;
    }
    assert!(next.is_none());
    refused(arena.get(next), ErrorKind::NotFound);
    assert_eq!(arena.stats().unwrap().published, 0);
}

#[test]
fn blocks_of_any_size_keep_their_bytes_until_they_are_freed() {
    let (_dir, path) = place();
    let (ours, theirs) = (create(&path), Region::open(&path).unwrap());
    let (one, two) = (arena_in(&ours, 40), arena_in(&theirs, 40));
    let mut model: HashMap<Extent, u8> = HashMap::new();
    let mut random = Random::new();
    let check = |arena: &Arena, extent: Extent, byte: u8| {
        let mut bytes = vec![0; extent.len() as usize];
        arena.read_at(extent, 0, &mut bytes).unwrap();
        assert!(bytes.iter().all(|found| *found == byte), "{extent:?} of {byte}");
    };
    let mut full = 0;
    for _ in 0..budget(2_000) {
        let arena = if random.bool() { &one } else { &two };
        if random.usize(0..5) < 3 {
            let len = match random.usize(0..10) {
                0 => random.u64(SLAB / 2..5 * SLAB),
                1..4 => random.u64(0..SLAB / 2),
                _ => random.u64(0..500),
            };
            let byte = random.u8(..);
            match arena.alloc_bytes(len) {
                Ok(mut draft) => {
                    draft.write_at(0, &vec![byte; len as usize]).unwrap();
                    refused(draft.write_at(1, &vec![0; len as usize]), ErrorKind::OutOfBounds);
                    if random.usize(0..4) > 0 {
                        let known = model.insert(draft.publish_bytes().unwrap(), byte);
                        assert_eq!(known, None, "it was given twice");
                    }
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
                    full += 1;
                }
            }
        } else if let Some(extent) = model.keys().nth(random.usize(0..model.len().max(1))).copied()
        {
            check(arena, extent, model.remove(&extent).unwrap());
            arena.free_bytes(extent).unwrap();
            refused(arena.free_bytes(extent), ErrorKind::NotFound);
        }
        if random.usize(0..200) == 0 {
            assert_eq!(arena.sweep().unwrap(), 0, "nobody is dead");
        }
    }
    let stats = one.stats().unwrap();
    assert_eq!((stats.published, stats.unpublished), (model.len() as u64, 0));
    for (extent, byte) in model {
        check(&one, extent, byte);
        two.free_bytes(extent).unwrap();
    }
    two.sweep().unwrap();
    let stats = one.stats().unwrap();
    assert_eq!((stats.free, stats.published), (40 * SLAB, 0), "all slabs are free again");
    println!("{full} times full");
}

#[test]
fn a_full_arena_says_so_and_goes_on_when_something_is_freed() {
    let (_dir, path) = place();
    let region = create(&path);
    let arena = arena_in(&region, 2);
    let all: Vec<_> =
        std::iter::from_fn(|| Some(arena.alloc(&[0_u64; 4]).ok()?.publish().unwrap())).collect();
    assert_eq!(all.len() as u64, 2 * SLAB / 32);
    says(&refused(arena.alloc(&1_u8), ErrorKind::Full), &["no block of 32 bytes is free"]);
    refused(arena.alloc_bytes(1), ErrorKind::Full);
    refused(arena.alloc_bytes(u64::MAX), ErrorKind::Full);
    arena.free(all[777]).unwrap();
    let again = arena.alloc(&[1_u64; 4]).unwrap().publish().unwrap();
    assert_eq!(again, all[777]);
    for off in all {
        arena.free(off).unwrap();
    }
    // Slabs of small blocks become a large one.
    let large = arena.alloc_bytes(2 * SLAB).unwrap().publish_bytes().unwrap();
    refused(arena.read_at(large, 2 * SLAB - 1, &mut [0; 2]), ErrorKind::OutOfBounds);
    arena.write_at(large, 2 * SLAB - 2, &[1, 2]).unwrap();
    refused(region.arena("arena", 3 * SLAB), ErrorKind::LayoutMismatch);
    refused(region.arena("none", 0), ErrorKind::InvalidInput);
}

#[test]
fn offsets_that_nobody_gave_lead_nowhere() {
    let (_dir, path) = place();
    let region = create(&path);
    let arena = arena_in(&region, 4);
    let small = arena.alloc(&7_u64).unwrap().publish().unwrap();
    let large = arena.alloc_bytes(2 * SLAB).unwrap().publish_bytes().unwrap();
    let mut random = Random::new();
    let places = [small.get(), large.offset(), arena.bytes(), region.used().unwrap()];
    for _ in 0..budget(5_000) {
        let base = places[random.usize(0..places.len())];
        let at = base.wrapping_add(random.u64(0..200)).wrapping_sub(random.u64(0..200));
        let off = Off::<[u64; 3]>::read_from_bytes(&at.to_ne_bytes()).unwrap();
        let known = at == small.get() || at == large.offset();
        assert_eq!(arena.get(off).is_ok(), known, "{at}");
        if !known {
            refused(arena.free(off), ErrorKind::NotFound);
        }
    }
    // A block of 32 bytes holds no more.
    let wide = Off::<[u64; 5]>::read_from_bytes(small.as_bytes()).unwrap();
    refused(arena.get(wide), ErrorKind::NotFound);
}

#[test]
fn what_the_dead_had_allocated_is_free_when_it_is_needed() {
    if child::role().is_some() {
        let region = of_the_parent();
        let arena = arena_in(&region, 4);
        let kept = arena.alloc(&[5_u64; 4]).unwrap().publish().unwrap();
        region
            .mutex("kept", Off::<[u64; 4]>::NONE)
            .unwrap()
            .lock()
            .unwrap()
            .sound()
            .unwrap()
            .set(&kept)
            .unwrap();
        let _small: Vec<_> = (0..100).map(|_| arena.alloc(&1_u64).unwrap()).collect();
        let _large = arena.alloc_bytes(3 * SLAB).unwrap();
        child::point("full");
        return;
    }
    let (_dir, path) = place();
    let region = create(&path);
    let arena = arena_in(&region, 4);
    let kept = region.mutex("kept", Off::<[u64; 4]>::NONE).unwrap();
    let mut child = child_of(this_test!(), "allocates", &path);
    child.run_to("full", 1).unwrap();
    assert_eq!(arena.sweep().unwrap(), 0, "it lives");
    refused(arena.alloc_bytes(SLAB), ErrorKind::Full);
    assert_eq!(arena.stats().unwrap().unpublished, 101);
    child.kill().unwrap();
    // Without a call for it.
    drop(arena.alloc_bytes(3 * SLAB).unwrap());
    assert_eq!(arena.sweep().unwrap(), 0);
    let stats = arena.stats().unwrap();
    assert_eq!((stats.unpublished, stats.published), (0, 1));
    let kept = kept.lock().unwrap().sound().unwrap().get().unwrap();
    assert_eq!(arena.get(kept).unwrap(), [5; 4]);
}

#[test]
fn threads_never_get_the_same_block() {
    let (_dir, path) = place();
    let region = create(&path);
    let arena = arena_in(&region, 8);
    std::thread::scope(|threads| {
        for number in 0..4_u64 {
            let arena = &arena;
            threads.spawn(move || {
                let mut random = Random::new();
                let mut mine = Vec::new();
                for _ in 0..budget(2_000) {
                    if random.bool() || mine.is_empty() {
                        if let Ok(draft) = arena.alloc(&[number; 4]) {
                            mine.push(draft.publish().unwrap());
                        }
                    } else {
                        let off = mine.swap_remove(random.usize(0..mine.len()));
                        assert_eq!(arena.get(off).unwrap(), [number; 4]);
                        arena.free(off).unwrap();
                    }
                    if random.usize(0..100) == 0 {
                        let _ = arena.sweep().unwrap();
                        drop(arena.alloc_bytes(random.u64(0..2 * SLAB)));
                    }
                }
                for off in mine {
                    assert_eq!(arena.get(off).unwrap(), [number; 4]);
                    arena.free(off).unwrap();
                }
            });
        }
    });
    arena.sweep().unwrap();
    assert_eq!(arena.stats().unwrap().free, 8 * SLAB);
}
