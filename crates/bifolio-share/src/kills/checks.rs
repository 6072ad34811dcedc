//! What must hold after a kill.

use std::path::Path;
use std::time::Duration;

use super::scene::{
    ARENA, MESSAGES, PLACES, READERS, RECORD, Scene, VALUE, create, do_it, objects_in, path_in,
};
use super::{First, SOON};
use crate::{Arena, Channel, ErrorKind, HashMap, Leader, Life, Lock, Objects, Region, Vector};

/// What must hold after the child was killed, and what must work.
pub(super) fn check(
    scene: Scene,
    dir: &Path,
    before: Option<&Region>,
    first: Option<&First>,
) -> Result<(), String> {
    let say = |what: &'static str| move |error: crate::Error| format!("{what}: {error}");
    if matches!(scene, Scene::Create | Scene::Make) {
        return match Region::open(path_in(dir)) {
            Ok(region) => region.append(&RECORD).map(drop).map_err(say("it does not work")),
            Err(error) if error.kind() == crate::ErrorKind::NotFound => {
                create(dir).map(drop).map_err(say("it cannot be made again"))
            }
            Err(error) => Err(format!("half-made: {error}")),
        };
    }
    let region = before.ok_or("no region")?;
    if matches!(scene, Scene::Put | Scene::Freeze) {
        return check_object(scene, &objects_in(dir));
    }
    let members = region.members().map_err(say("the list"))?;
    if members.iter().filter(|member| member.life == Life::Alive).count() != 1 {
        return Err(format!("who lives is not told: {members:?}"));
    }
    // The place of the dead is given out again, as another one's.
    let mut known: Vec<_> = members.iter().map(|member| member.holder).collect();
    for _ in 0..PLACES {
        let next = Region::open(path_in(dir)).map_err(say("joining"))?;
        if known.contains(&next.me()) {
            return Err(format!("{} is there twice", next.me()));
        }
        known.push(next.me());
    }
    let next = Region::open(path_in(dir)).map_err(say("joining"))?;
    match scene {
        Scene::Update | Scene::Inherit | Scene::Panic => {
            let lock = next.mutex("pair", [0_u64; 2]).map_err(say("finding"))?;
            match lock.lock().map_err(say("locking"))? {
                Lock::Sound(guard) => {
                    let both = guard.get().map_err(say("reading"))?;
                    if both[0] != both[1] {
                        return Err(format!("{both:?} is half an update, and called sound"));
                    }
                    if scene == Scene::Inherit {
                        return Err("what one that died has left is called sound".into());
                    }
                }
                Lock::Unsound(left) => drop(left.repaired().map_err(say("repairing"))?),
            }
            lock.lock().and_then(Lock::sound).map(drop).map_err(say("locking again"))?;
        }
        Scene::Append | Scene::Name => {
            let found = next.append(&RECORD).map_err(say("appending"))?;
            let value = next.mutex("made", VALUE).map_err(say("finding"))?;
            let value = value.lock().and_then(Lock::sound).and_then(|guard| guard.get());
            if value.as_ref().ok() != Some(&VALUE) {
                return Err(format!("the object is {value:?}"));
            }
            let mut record = [0; RECORD.len()];
            next.read_at(found, &mut record).map_err(say("reading"))?;
            if record != RECORD {
                return Err(format!("the record is {record:?}"));
            }
            if scene == Scene::Append {
                check_records(&next, found)?;
            }
        }
        Scene::Read => {
            // All join, read, and stay, one of them in the place of the dead.
            let mut all = Vec::new();
            while let Ok(region) = Region::open(path_in(dir)) {
                let lock = region.rwlock("both", [0_u64; 2]).map_err(say("finding"))?;
                lock.read_within(SOON).and_then(|guard| guard.get()).map_err(say("reading"))?;
                all.push(region);
            }
            let lock = next.rwlock("both", [0_u64; 2]).map_err(say("finding"))?;
            lock.write_within(SOON).and_then(Lock::sound).map(drop).map_err(say("writing"))?;
        }
        Scene::Write => {
            let lock = next.rwlock("both", [0_u64; 2]).map_err(say("finding"))?;
            match lock.read_within(SOON).and_then(|guard| guard.get()) {
                Ok([one, two]) if one == two => {}
                Ok(both) => return Err(format!("{both:?} is half an update, and called sound")),
                Err(error) if error.kind() == ErrorKind::Poisoned => {}
                Err(error) => return Err(format!("reading: {error}")),
            }
            let lock = lock.write_within(SOON).map_err(say("writing"))?;
            drop(lock.or_repair(|guard| guard.set(&[2, 2])).map_err(say("repairing"))?);
        }
        Scene::Acquire => {
            let one = next.semaphore("one", 1).map_err(say("finding"))?;
            drop(one.acquire_within(SOON).map_err(say("acquiring"))?);
            if one.available().map_err(say("counting"))? != 1 {
                return Err("a permit is lost".into());
            }
        }
        Scene::DoOnce => {
            let pair = next.mutex("pair", [0_u64; 2]).map_err(say("finding"))?;
            let once = next.once("once").map_err(say("finding"))?;
            once.call(|_| do_it(&pair)).map_err(say("doing"))?;
            let found = pair.lock().and_then(|lock| lock.or_repair(|_| Ok(())));
            let found = found.and_then(|guard| guard.get()).map_err(say("reading"))?;
            if found != [1, 1] {
                return Err(format!("it is called done, and {found:?}"));
            }
        }
        Scene::Publish => {
            let pair = next.seqlock("numbers", [0_u64; 2]).map_err(say("finding"))?;
            match pair.read_within(SOON) {
                Ok([one, two]) if one == two => {}
                Ok(both) => return Err(format!("{both:?} is half a write, and called whole")),
                Err(error) if error.kind() == ErrorKind::Poisoned => {}
                Err(error) => return Err(format!("reading: {error}")),
            }
            pair.write_within(&[2, 2], SOON).map_err(say("writing"))?;
            if pair.read_within(SOON).map_err(say("reading"))? != [2, 2] {
                return Err("a write is lost".into());
            }
        }
        Scene::Replace => {
            let pair = next.snapshot("pair", READERS, [0_u64; 2]).map_err(say("finding"))?;
            let [one, two] = pair.read().map_err(say("reading"))?;
            if one != two {
                return Err(format!("{one} and {two} are half a write, and called complete"));
            }
            pair.write_within(&[2, 2], SOON).map_err(say("writing"))?;
            if pair.read().map_err(say("reading"))? != [2, 2] {
                return Err("a write is lost".into());
            }
        }
        Scene::Pin => {
            let pair = next.snapshot("pair", READERS, [0_u64; 2]).map_err(say("finding"))?;
            let pinned = (0..READERS).map(|_| pair.pin()).collect::<crate::Result<Vec<_>>>();
            let pinned = pinned.map_err(say("pinning"))?;
            for number in 1..=u64::from(READERS) + 2 {
                pair.write_within(&[number; 2], SOON).map_err(say("writing"))?;
            }
            for pin in &pinned {
                if pin.get().map_err(say("reading"))? != [0, 0] {
                    return Err("what is pinned has changed".into());
                }
            }
        }
        Scene::Send | Scene::Lend | Scene::Receive => {
            let queue = next.queue("queue", MESSAGES, 40).map_err(say("finding"))?;
            let mut receiver = queue.receiver_within(SOON).map_err(say("receiving"))?;
            check_messages(scene, &queue, &mut receiver)?;
        }
        Scene::Insert | Scene::Exchange | Scene::Remove => {
            let arena = next.arena("arena", ARENA).map_err(say("finding"))?;
            let map = next.hash_map("map", &arena, 2).map_err(say("finding"))?;
            check_map(scene, &arena, &map)?;
        }
        Scene::Push | Scene::Change | Scene::Shrink => {
            let arena = next.arena("arena", ARENA).map_err(say("finding"))?;
            let pairs = next.vector("pairs", &arena).map_err(say("finding"))?;
            check_vector(scene, &arena, &pairs)?;
        }
        Scene::Alloc | Scene::AllocRun | Scene::Free | Scene::FreeRun => {
            let arena = next.arena("arena", ARENA).map_err(say("finding"))?;
            check_arena(scene, &arena)?;
        }
        Scene::Meet => {
            let two = next.barrier("two", 2).map_err(say("finding"))?;
            let first = first.ok_or("nobody waits")?;
            // The child came and both are free, or it did not and we come in its place.
            let we = two.wait_within(Duration::from_millis(100));
            let met = first.recv_timeout(SOON).map_err(|_| "who came first waits for ever")?;
            if met.is_none() || matches!(we, Ok(Leader::Other)) {
                return Err(format!("the first one met {met:?}, we {we:?}"));
            }
        }
        Scene::Create | Scene::Make | Scene::JoinAndLeave | Scene::Put | Scene::Freeze => {}
    }
    Ok(())
}

/// That a map is as it was before a change or after it, and that nothing is in its arena but that.
fn check_map(scene: Scene, arena: &Arena, map: &HashMap<u64, u64>) -> Result<(), String> {
    let say = |what: &'static str| move |error: crate::Error| format!("{what}: {error}");
    let mut found = map.entries().map_err(say("reading"))?;
    found.sort_unstable();
    let expected = match scene {
        Scene::Insert => found == [(1, 10), (2, 20)] || found == [(1, 10), (2, 20), (3, 30)],
        Scene::Exchange => found == [(1, 10), (2, 20)] || found == [(1, 11), (2, 20)],
        _ => found == [(1, 10), (2, 20)] || found == [(2, 20)],
    };
    if !expected || map.len().map_err(say("counting"))? != found.len() as u64 {
        return Err(format!("the map is {found:?}"));
    }
    arena.sweep().map_err(say("sweeping"))?;
    let stats = arena.stats().map_err(say("counting"))?;
    if (stats.published, stats.unpublished) != (found.len() as u64, 0) {
        return Err(format!("of {} entries there is {stats:?}", found.len()));
    }
    for key in 1..=3 {
        map.insert(&key, &7).map_err(say("inserting"))?;
        if map.remove(&key).map_err(say("removing"))? != Some(7) {
            return Err(format!("the value of {key} is another one"));
        }
    }
    let stats = arena.stats().map_err(say("counting"))?;
    if stats.published == 0 { Ok(()) } else { Err(format!("of no entries there is {stats:?}")) }
}

/// That a vector is as it was before a change or after it, and that nothing is in its arena but that.
fn check_vector(scene: Scene, arena: &Arena, pairs: &Vector<[u64; 2]>) -> Result<(), String> {
    let say = |what: &'static str| move |error: crate::Error| format!("{what}: {error}");
    let found = pairs.to_vec().map_err(say("reading"))?;
    let numbers: Vec<_> = found.iter().map(|pair| pair[0]).collect();
    let expected = match scene {
        Scene::Push => numbers == [1, 2, 3, 4] || numbers == [1, 2, 3, 4, 9],
        Scene::Change => numbers == [1, 2, 3, 4] || numbers == [1, 9, 3, 4],
        _ => numbers == [1, 2, 3],
    };
    if !expected || found.iter().any(|[one, two]| one != two) {
        return Err(format!("the vector is {found:?}"));
    }
    let one_block = |when: &str| {
        arena.sweep().map_err(say("sweeping"))?;
        let stats = arena.stats().map_err(say("counting"))?;
        match (stats.published, stats.unpublished) {
            (1, 0) => Ok(()),
            _ => Err(format!("{when} there is {stats:?}")),
        }
    };
    one_block("after the kill")?;
    for number in 0..20 {
        pairs.push(&[number; 2]).map_err(say("pushing"))?;
    }
    for number in (0..20).rev() {
        if pairs.pop().map_err(say("taking"))? != Some([number; 2]) {
            return Err(format!("element {number} is another one"));
        }
    }
    if pairs.to_vec().map_err(say("reading"))? != found {
        return Err("what was pushed and taken has left something".into());
    }
    one_block("after some changes")
}

/// That an object is there whole, or not at all and can be made now, and that nothing else is left.
fn check_object(scene: Scene, dir: &Path) -> Result<(), String> {
    let say = |what: &'static str| move |error: crate::Error| format!("{what}: {error}");
    let objects = Objects::open(dir).map_err(say("opening"))?;
    let read = || {
        let object = objects.get("object").map_err(say("getting"))?;
        object.map(|object| object.to_vec().map_err(say("reading"))).transpose()
    };
    let found = read()?;
    if found.as_ref().is_some_and(|bytes| *bytes != RECORD) {
        return Err(format!("the object is {found:?}"));
    }
    let made = match scene {
        Scene::Put => objects.put("object", &RECORD),
        _ => objects.writable("object", RECORD.len() as u64).and_then(|object| {
            let mut guard = object.lock_within(SOON)?.repaired()?;
            guard.write_at(0, &RECORD)?;
            guard.freeze()
        }),
    };
    match made {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Ok(()) if found.is_none() => {}
        made => return Err(format!("{made:?}, and before there was {found:?}")),
    }
    if read()?.as_deref() != Some(&RECORD) {
        return Err("it is not there, and cannot be made".into());
    }
    // What a writer left aside goes with a later one, if not before.
    for number in 0..11 {
        objects.put(&number.to_string(), b"").map_err(say("putting"))?;
    }
    let left = std::fs::read_dir(dir).map_err(|error| error.to_string())?.count();
    // The lock, the object, and those.
    if left == 13 { Ok(()) } else { Err(format!("{left} files are there")) }
}

/// That after a sweep an arena holds what was published, and all of the rest can be allocated.
fn check_arena(scene: Scene, arena: &Arena) -> Result<(), String> {
    let say = |what: &'static str| move |error: crate::Error| format!("{what}: {error}");
    arena.sweep().map_err(say("sweeping"))?;
    let stats = arena.stats().map_err(say("counting"))?;
    if stats.unpublished != 0 || stats.published > 1 {
        return Err(format!("after a sweep there is {stats:?}"));
    }
    let run = matches!(scene, Scene::AllocRun | Scene::FreeRun);
    let taken = stats.published * if run { 3 } else { 1 };
    if stats.free != stats.bytes - (taken << 16) {
        return Err(format!("slabs are lost: {stats:?}"));
    }
    let all: Vec<_> = (0..stats.free >> 16)
        .map(|_| arena.alloc_bytes(1 << 16))
        .collect::<crate::Result<_>>()
        .map_err(say("allocating"))?;
    match arena.alloc_bytes(1 << 16) {
        Err(error) if error.kind() == ErrorKind::Full => drop(all),
        other => return Err(format!("more than there is: {other:?}")),
    }
    Ok(())
}

/// That what is in a queue is what was sent, whole and in order, and that the queue goes on.
fn check_messages(
    scene: Scene,
    queue: &Channel,
    receiver: &mut crate::Receiver,
) -> Result<(), String> {
    let say = |what: &'static str| move |error: crate::Error| format!("{what}: {error}");
    let mut left = Vec::new();
    while let Some(message) = receiver.try_receive().map_err(say("receiving"))? {
        left.push(message.to_vec().map_err(say("reading"))?);
    }
    let expected = match scene {
        Scene::Send => left.is_empty() || left == [RECORD],
        Scene::Receive => left == [[1], [2]] || left == [[2]],
        _ => left.is_empty(),
    };
    if !expected {
        return Err(format!("what is left is {left:?}"));
    }
    for number in 0..3 * MESSAGES {
        queue.send_within(&number.to_ne_bytes(), SOON).map_err(say("sending"))?;
        let message = receiver.receive_within(SOON).map_err(say("receiving"))?;
        if message.value::<u32>().map_err(say("reading"))? != number {
            return Err(format!("message {number} is another one"));
        }
    }
    Ok(())
}

/// That what was published before `found` is a whole number of whole records.
fn check_records(region: &Region, found: u64) -> Result<(), String> {
    let start = crate::region::header::Header::least(4, 4);
    let mut at = start;
    while at < found {
        let mut record = [0; RECORD.len()];
        region.read_at(at, &mut record).map_err(|error| error.to_string())?;
        if record != RECORD {
            return Err(format!("a record in part at {at}: {record:?}"));
        }
        at += RECORD.len() as u64;
    }
    if at == found { Ok(()) } else { Err(format!("{found} is not behind whole records")) }
}
