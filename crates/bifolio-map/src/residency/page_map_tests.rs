#![allow(clippy::single_range_in_vec_init, reason = "lists of runs")]

use super::*;

#[test]
fn what_is_resident_as_a_whole_takes_no_bits() {
    let pages = if cfg!(miri) { 1 << 18 } else { 1 << 28 }; // 1 TiB
    let mut map = PageMap::of_none(0..pages);
    map.insert(0..pages);
    assert!(map.chunks.values().all(|chunk| *chunk == Chunk::All));
    assert_eq!(map.runs().collect::<Vec<_>>(), [0..pages]);
    let mut map = PageMap::of_none(0..u64::MAX);
    map.insert(u64::MAX - 3..u64::MAX);
    map.insert(u64::MAX / 2..u64::MAX / 2 + 1);
    assert_eq!(map.chunks.len(), 2);
    assert_eq!(map.resident_in(0..u64::MAX), 4);
    assert_eq!(map.runs().last(), Some(u64::MAX - 3..u64::MAX));
}

#[test]
fn a_chunk_filled_piece_by_piece_is_one_that_is_all_there() {
    let mut map = PageMap::of_none(0..2 * CHUNK);
    let piece = if cfg!(miri) { CHUNK / 16 } else { 1 };
    for index in (0..CHUNK / piece).rev() {
        map.insert(index * piece..(index + 1) * piece);
    }
    assert_eq!(map.chunks.get(&0), Some(&Chunk::All));
    map.insert(CHUNK - 1..CHUNK + 1);
    assert_eq!(map.runs().collect::<Vec<_>>(), [0..CHUNK + 1]);
}
