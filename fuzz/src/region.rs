//! A region that somebody writes into while others use it.

use std::time::Duration;

use bifolio_map::{Create, ReadWrite, Section};
use bifolio_share::{Draft, Lock, Region};

/// Bytes of the file that are changed: header, participants, names, and the objects behind them.
const REACH: usize = 1 << 15;

/// Whatever is written into a living region, every call ends with a value or an error, for who is in it
/// and for who joins then. The bytes are changes: two for the place, one for what is written there;
/// a place beyond what is in use asks for a call in between.
pub fn region(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("region");
    let options = Region::options()
        .capacity(1 << 20)
        .participants(3)
        .names(16)
        .patience(Duration::from_micros(10));
    let ours = options.clone().create(Create::New).open(&path).expect("a new region");
    use_all(&ours);
    let section = Section::open_rw(&path).expect("the file");
    let view = section.view::<ReadWrite>().expect("a view of it");
    for change in bytes.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([change[0], change[1]])) % REACH;
        if view.write_at(place as u64, &change[2..]).is_err() {
            use_all(&ours);
        }
    }
    use_all(&ours);
    if let Ok(theirs) = options.open(&path) {
        use_all(&theirs);
    }
    // The same bytes from the start on: nothing there is believed either.
    if view.write_at(0, &bytes[..bytes.len().min(4096)]).is_ok() {
        use_all(&ours);
        drop(options.open(&path));
    }
}

fn use_all(region: &Region) {
    let moment = Duration::from_micros(10);
    let _ = (region.used(), region.committed(), region.deaths());
    let _ = (region.members(), region.objects());
    let _ = region.append(b"bytes");
    let _ = region.read_at(5000, &mut [0; 100]);
    let _ = region.wait_appended(0, moment);
    if let Ok(lock) = region.mutex("mutex", 1_u64) {
        let _ = lock.owner();
        match lock.lock_within(moment) {
            Ok(Lock::Sound(guard)) => drop(guard.get()),
            Ok(Lock::Unsound(left)) => drop(left.repaired()),
            Err(_) => {}
        }
    }
    if let Ok(lock) = region.rwlock("rwlock", [1_u32; 4]) {
        let _ = lock.read_within(moment).and_then(|guard| guard.get());
        let _ = lock.write_within(moment).map(drop);
    }
    if let Ok(value) = region.seqlock("seqlock", [true; 3]) {
        let _ = value.read_within(moment);
        let _ = value.write_within(&[true; 3], moment);
    }
    if let Ok(pool) = region.semaphore("semaphore", 3) {
        let _ = pool.available();
        drop(pool.acquire_within(moment));
    }
    if let Ok(meeting) = region.barrier("barrier", 2) {
        let _ = meeting.wait_within(moment);
    }
    if let Ok(event) = region.event("event") {
        let _ = (event.wait_within(moment), event.set(), event.reset());
    }
    if let Ok(value) = region.snapshot("snapshot", 1, [true; 3]) {
        let pins = [value.pin(), value.pin()];
        let _ = (value.read(), value.version(), value.write_within(&[false; 3], moment));
        for pin in pins.iter().flatten() {
            let _ = (pin.get(), pin.version());
        }
    }
    for channel in [region.queue("queue", 2, 16), region.broadcast("broadcast", 2, 16)] {
        let Ok(channel) = channel else { continue };
        let receiver = channel.receiver();
        let _ = (channel.try_send(b"one"), channel.send_within(b"two", moment));
        drop(channel.try_loan(5));
        if let Ok(mut receiver) = receiver {
            let _ = receiver.try_receive().map(|message| message.map(|one| one.to_vec()));
            let _ = receiver.receive_within(moment).and_then(|message| message.value::<bool>());
        }
    }
    use_arena(region);
}

fn use_arena(region: &Region) {
    let Ok(arena) = region.arena("arena", 1 << 16) else { return };
    if let Ok(off) = arena.alloc(&[true; 3]).and_then(Draft::publish) {
        let _ = (arena.get(off), arena.set(off, &[false; 3]), arena.free(off));
    }
    if let Ok(run) = arena.alloc_bytes(40_000).and_then(Draft::publish_bytes) {
        let _ = (arena.read_at(run, 39_999, &mut [0]), arena.free_bytes(run));
    }
    if let Ok(map) = region.hash_map::<u32, bool>("map", &arena, 2) {
        let _ = (map.insert(&1, &true), map.insert(&2, &false), map.insert(&1, &false));
        let _ = (map.get(&1), map.len(), map.entries(), map.remove(&2));
    }
    if let Ok(list) = region.vector::<bool>("list", &arena) {
        let _ = (list.push(&true), list.extend(&[false; 40]), list.set(3, &true));
        let _ = (list.get(3), list.len(), list.range(1..3), list.to_vec(), list.pop());
        let _ = (list.truncate(2), list.shrink_to_fit());
    }
    let _ = (arena.sweep(), arena.stats());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_hold() {
        crate::tests::hold("region", region);
    }
}
