//! The protocols, killed at every instruction; and each step that they need left out once, which
//! must be missed.
//!
//! A *state* is a kill: a child is stepped so many instructions into the protocol and killed, and
//! another participant repairs and checks. By default 8 instructions of each protocol, chosen anew
//! each time; a `BIFOLIO_BUDGET` of 1000 visits every one, in a release build in minutes.

mod races;
mod scene;

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bifolio_map::Section;
use bifolio_testkit::bugs::{Hunt, Verdict, every_bug_is_caught};
use bifolio_testkit::child::{self, Rerun};
use bifolio_testkit::skip::{self, Obstacle};
use bifolio_testkit::step::{StepReport, Visit, kill_at_every_instruction};
use bifolio_testkit::{budget, this_test};

use crate::{Arena, Channel, ErrorKind, HashMap, Leader, Life, Lock, Region};
pub(crate) use races::between;
use races::{
    taken_from_another_kind, torn, torn_message, torn_snapshot, written_under_a_pin,
    written_under_a_reader,
};
use scene::{ARENA, MESSAGES, PLACES, READERS, RECORD, Scene, VALUE, create, do_it, path_in, play};

bifolio_testkit::seeded_bugs! {
    /// What the protocols leave out or do at the wrong time.
    pub(crate) enum Twin {
        /// Who takes a lock over from the dead is not told so.
        DeathNotTold,
        /// A slot is given out again in the same generation.
        GenerationKept,
        /// Bytes are published, then written.
        PublishedEarly,
        /// An object gets its name, then its value.
        NamedEarly,
        /// What a death left of an object's bytes is not looked for.
        NotRepaired,
        /// The health of a value is written after its lock was given back.
        PoisonedLate,
        /// A tally is counted on by the next one in its slot.
        CountInherited,
        /// A writer goes on while there are readers.
        ReadersNotAwaited,
        /// The opening of a barrier in which one died is not ended.
        BarrierHalfOpen,
        /// What is to be done once is called done, then done.
        DoneEarly,
        /// A value is read while it is written.
        TornRead,
        /// A value is called whole after its first half.
        HalfWritten,
        /// A reader does not look whether the name still leads to what it has pinned.
        NameNotChecked,
        /// Whoever removes an object does not ask whether it is read.
        PinsNotAsked,
        /// What a dead writer had begun is left.
        DeadNotSwept,
        /// A region has its magic word, then the rest of its header.
        MagicFirst,
        /// What was on its way into or out of a hash map is forgotten.
        EntryLost,
        /// A run of slabs is given without a record.
        IntentNotWritten,
        /// What the dead have not published is kept.
        DeadBlocksKept,
        /// A block is taken without a look whether its slab is still one of its size.
        KindNotChecked,
        /// A message is called ready, then written.
        SentEarly,
        /// A queue's head moves on, then the slot is freed.
        HeadFirst,
        /// A sender that died is waited for.
        DeadSenderKept,
        /// A message of a broadcast is not looked at again after its copy.
        TornMessage,
        /// A snapshot is read without a second look at its buffer's state.
        TornSnapshot,
        /// A buffer is called complete after its first half.
        SnapshotEarly,
        /// A writer takes a buffer that is pinned.
        PinsNotSeen,
        /// The places of dead readers are not given out again.
        DeadPinKept,
    }
}

const DIRECTORY: &str = "BIFOLIO_SHARE_DIRECTORY";
const TWIN: &str = "BIFOLIO_SHARE_TWIN";

/// Far longer than anything takes here.
const SOON: Duration = Duration::from_secs(5);

/// How one who waits at the barrier tells whom it met.
type First = Receiver<Option<Leader>>;

/// What must hold after the child was killed, and what must work.
fn check(
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
        Scene::Create | Scene::Make | Scene::JoinAndLeave => {}
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

/// Plays a scene in every state, for the twin or, without one, for the protocol.
fn run(test: &str, scene: Scene, twin: Option<Twin>, visit: Visit) -> Result<StepReport, Obstacle> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut rerun = Rerun::of(test, &format!("{scene:?}")).with_variable(DIRECTORY, dir.path());
    if let Some(twin) = twin {
        rerun = rerun.with_variable(TWIN, format!("{twin:?}"));
    }
    let with_twin = |work: &mut dyn FnMut() -> Result<(), String>| match twin {
        Some(twin) => twin.while_on(work),
        None => work(),
    };
    let before = std::cell::RefCell::new(None);
    let first = std::cell::RefCell::new(None);
    let prepare = || {
        before.take();
        let _ = std::fs::remove_file(path_in(dir.path()));
        match scene {
            Scene::Create => return,
            Scene::Make => return drop(Section::create(path_in(dir.path()), 8192)),
            _ => {}
        }
        let region = create(dir.path()).expect("a region");
        if matches!(scene, Scene::Update | Scene::Inherit | Scene::Panic) {
            let lock = region.mutex("pair", [0_u64; 2]).expect("a mutex");
            if scene == Scene::Inherit {
                // One that dies with the lock: its opening goes, its word stays.
                let dying = Region::open(path_in(dir.path())).expect("joined");
                let its = dying.mutex("pair", [0_u64; 2]).expect("a mutex");
                std::mem::forget(its.lock().expect("the lock"));
            }
            drop(lock);
        }
        let made = match scene {
            Scene::Read | Scene::Write => region.rwlock("both", [0_u64; 2]).map(drop),
            Scene::Acquire => region.semaphore("one", 1).map(drop),
            Scene::DoOnce => {
                region.once("once").and_then(|_| region.mutex("pair", [0_u64; 2])).map(drop)
            }
            Scene::Publish => region.seqlock("numbers", [0_u64; 2]).map(drop),
            Scene::Insert | Scene::Exchange | Scene::Remove => {
                region.arena("arena", ARENA).and_then(|arena| {
                    let map = region.hash_map("map", &arena, 2)?;
                    map.insert(&1_u64, &10_u64)?;
                    map.insert(&2, &20).map(drop)
                })
            }
            Scene::Alloc | Scene::AllocRun | Scene::Free | Scene::FreeRun => {
                region.arena("arena", ARENA).map(drop)
            }
            Scene::Send | Scene::Lend => region.queue("queue", MESSAGES, 40).map(drop),
            Scene::Receive => region.queue("queue", MESSAGES, 40).and_then(|queue| {
                queue.send(&[1])?;
                queue.send(&[2])
            }),
            Scene::Replace | Scene::Pin => region.snapshot("pair", READERS, [0_u64; 2]).map(drop),
            Scene::Meet => region.barrier("two", 2).map(|two| {
                let (tell, told) = channel();
                // A twin may leave it waiting: then it goes with the process.
                let wait = move || two.wait_within(SOON * 2).ok();
                std::thread::spawn(move || {
                    tell.send(twin.map_or_else(&wait, |twin| twin.while_on(&wait)))
                });
                *first.borrow_mut() = Some(told);
                std::thread::sleep(Duration::from_millis(1));
            }),
            _ => Ok(()),
        };
        made.expect("what is shared");
        *before.borrow_mut() = Some(region);
    };
    kill_at_every_instruction(&rerun, visit, prepare, |_| {
        with_twin(&mut || {
            check(scene, dir.path(), before.borrow().as_ref(), first.borrow().as_ref())
        })
    })
}

fn explore(test: &str, scene: Scene) {
    if let Some(scene) = child::role().as_deref().and_then(Scene::named) {
        return play(scene);
    }
    let most = usize::try_from(budget(8)).unwrap_or(usize::MAX);
    let Some(report) = skip::or_count(run(test, scene, None, Visit::AtMost(most))) else { return };
    println!("{scene:?}: {report}");
}

#[test]
fn a_region_whose_maker_is_killed_anywhere_is_whole_or_none() {
    explore(this_test!(), Scene::Create);
}

#[test]
fn zeros_whose_maker_is_killed_anywhere_are_a_region_or_zeros() {
    explore(this_test!(), Scene::Make);
}

#[test]
fn half_an_update_of_one_that_panics_is_never_called_sound_wherever_it_is_killed() {
    explore(this_test!(), Scene::Panic);
}

#[test]
fn who_is_killed_anywhere_in_joining_or_leaving_leaves_its_place_free() {
    explore(this_test!(), Scene::JoinAndLeave);
}

#[test]
fn who_is_killed_anywhere_in_an_update_leaves_a_whole_one_or_a_word_of_warning() {
    explore(this_test!(), Scene::Update);
}

#[test]
fn an_heir_that_is_killed_anywhere_leaves_the_warning_to_the_next_one() {
    explore(this_test!(), Scene::Inherit);
}

#[test]
fn an_append_that_is_killed_anywhere_is_there_or_not() {
    explore(this_test!(), Scene::Append);
}

#[test]
fn an_object_whose_maker_is_killed_anywhere_is_whole_or_has_no_name() {
    explore(this_test!(), Scene::Name);
}

#[test]
fn a_reader_that_is_killed_anywhere_keeps_no_writer_out() {
    explore(this_test!(), Scene::Read);
}

#[test]
fn a_writer_that_is_killed_anywhere_leaves_a_whole_value_or_a_word_of_warning() {
    explore(this_test!(), Scene::Write);
}

#[test]
fn a_permit_of_one_that_is_killed_anywhere_is_free() {
    explore(this_test!(), Scene::Acquire);
}

#[test]
fn who_waits_at_a_barrier_goes_on_wherever_the_last_one_is_killed() {
    explore(this_test!(), Scene::Meet);
}

#[test]
fn what_is_called_done_is_done_wherever_the_doer_is_killed() {
    explore(this_test!(), Scene::DoOnce);
}

#[test]
fn readers_see_whole_values_wherever_the_writer_is_killed() {
    explore(this_test!(), Scene::Publish);
}

#[test]
fn a_snapshot_whose_writer_is_killed_anywhere_is_the_last_one_or_the_new_one() {
    explore(this_test!(), Scene::Replace);
}

#[test]
fn what_one_that_is_killed_anywhere_has_allocated_is_published_or_free() {
    explore(this_test!(), Scene::Alloc);
}

#[test]
fn a_run_that_one_that_is_killed_anywhere_has_allocated_is_published_or_free() {
    explore(this_test!(), Scene::AllocRun);
}

#[test]
fn what_one_that_is_killed_anywhere_frees_is_there_or_free() {
    explore(this_test!(), Scene::Free);
}

#[test]
fn a_run_that_one_that_is_killed_anywhere_frees_is_there_or_free() {
    explore(this_test!(), Scene::FreeRun);
}

#[test]
fn a_map_into_which_one_inserts_that_is_killed_anywhere_has_the_entry_or_has_it_not() {
    explore(this_test!(), Scene::Insert);
}

#[test]
fn an_entry_that_is_exchanged_by_one_that_is_killed_anywhere_is_the_old_or_the_new_one() {
    explore(this_test!(), Scene::Exchange);
}

#[test]
fn a_map_of_which_one_removes_that_is_killed_anywhere_has_the_entry_or_has_it_not() {
    explore(this_test!(), Scene::Remove);
}

#[test]
fn a_message_whose_sender_is_killed_anywhere_is_whole_or_none() {
    explore(this_test!(), Scene::Send);
}

#[test]
fn a_message_whose_receiver_is_killed_anywhere_is_received_or_there() {
    explore(this_test!(), Scene::Receive);
}

#[test]
fn room_that_one_is_killed_with_is_passed_over() {
    explore(this_test!(), Scene::Lend);
}

#[test]
fn a_pin_of_one_that_is_killed_anywhere_is_free_and_the_others_stay() {
    explore(this_test!(), Scene::Pin);
}

#[test]
fn numbers_that_are_written_together_are_read_together() {
    assert!(matches!(torn(budget(500)), Verdict::Missed { .. }));
    assert!(matches!(torn_snapshot(), Verdict::Missed { .. }));
    assert!(matches!(written_under_a_pin(), Verdict::Missed { .. }));
    assert!(matches!(torn_message(), Verdict::Missed { .. }));
    assert!(matches!(taken_from_another_kind(), Verdict::Missed { .. }));
    assert!(matches!(written_under_a_reader(), Verdict::Missed { .. }));
}

#[test]
fn every_step_that_the_protocols_need_is_missed_when_it_is_left_out() {
    if let Some(scene) = child::role().as_deref().and_then(Scene::named) {
        return play(scene);
    }
    let test = this_test!();
    let mut skipped = None;
    let hunt = |twin: Twin, hunt: Hunt| {
        let scene = match twin {
            Twin::DeathNotTold => Scene::Update,
            Twin::PoisonedLate => Scene::Panic,
            Twin::GenerationKept => Scene::JoinAndLeave,
            Twin::PublishedEarly => Scene::Append,
            Twin::NamedEarly | Twin::NotRepaired => Scene::Name,
            Twin::MagicFirst => Scene::Make,
            Twin::CountInherited => Scene::Read,
            Twin::BarrierHalfOpen => Scene::Meet,
            Twin::DoneEarly => Scene::DoOnce,
            Twin::HalfWritten => Scene::Publish,
            Twin::EntryLost => Scene::Exchange,
            Twin::IntentNotWritten => Scene::AllocRun,
            Twin::DeadBlocksKept => Scene::Alloc,
            Twin::KindNotChecked => return twin.while_on(taken_from_another_kind),
            Twin::SentEarly => Scene::Send,
            Twin::DeadSenderKept => Scene::Lend,
            Twin::HeadFirst => Scene::Receive,
            Twin::TornMessage => return twin.while_on(torn_message),
            Twin::SnapshotEarly => Scene::Replace,
            Twin::DeadPinKept => Scene::Pin,
            Twin::PinsNotSeen => return twin.while_on(written_under_a_pin),
            Twin::TornSnapshot => return twin.while_on(torn_snapshot),
            Twin::TornRead => return twin.while_on(|| torn(hunt.states.min(20_000))),
            Twin::NameNotChecked | Twin::PinsNotAsked | Twin::DeadNotSwept => {
                let hunted = || crate::objects::tests::hunt(Some(twin), hunt.states.min(1_000));
                return twin.while_on(hunted);
            }
            Twin::ReadersNotAwaited => return twin.while_on(written_under_a_reader),
        };
        match run(test, scene, Some(twin), Visit::AroundCalls) {
            Err(Obstacle::Failed(by)) => Verdict::Caught { by, after: 1 },
            Err(Obstacle::Skip(skip)) => {
                skipped = Some(skip);
                Verdict::Caught { by: "nothing: skipped".into(), after: 0 }
            }
            Ok(report) => Verdict::Missed { after: report.points },
        }
    };
    let caught = every_bug_is_caught("share", Twin::ALL, Hunt::new(), hunt);
    if let Some(skip) = skipped {
        return skip.count();
    }
    assert_eq!(caught.len(), Twin::ALL.len());
}
