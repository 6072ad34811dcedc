//! The protocols, killed at every instruction; and each step that they need left out once, which
//! must be missed.
//!
//! A *state* is a kill: a child is stepped so many instructions into the protocol and killed, and
//! another participant repairs and checks. By default 8 instructions of each protocol, chosen anew
//! each time; a `BIFOLIO_BUDGET` of 1000 visits every one, in a release build in minutes.

mod checks;
mod races;
mod scene;

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bifolio_map::Section;
use bifolio_testkit::bugs::{Hunt, Verdict, every_bug_is_caught};
use bifolio_testkit::child::{self, Rerun};
use bifolio_testkit::skip::{self, Obstacle};
use bifolio_testkit::step::{StepReport, Visit, kill_at_every_instruction};
use bifolio_testkit::{budget, this_test};

use crate::{Leader, Region};
use checks::check;
pub(crate) use races::between;
use races::{
    all_on_loan, taken_from_another_kind, torn, torn_message, torn_snapshot, written_under_a_pin,
    written_under_a_reader,
};
use scene::{ARENA, MESSAGES, READERS, Scene, create, objects_in, path_in, play};

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
        /// An element is changed where it lies, and nowhere before.
        SetInPlace,
        /// A vector has become longer, then its new element is written.
        LongerFirst,
        /// An object gets its name, then its bytes.
        PutEarly,
        /// A written object is put, and nobody told before.
        FrozenUnsaid,
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
        /// Slots of a broadcast that are on loan are passed by, though no other is free.
        LoansPassedForEver,
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
        if matches!(scene, Scene::Put | Scene::Freeze) {
            let _ = std::fs::remove_dir_all(objects_in(dir.path()));
            std::fs::create_dir(objects_in(dir.path())).expect("a directory");
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
            Scene::Push | Scene::Change | Scene::Shrink => {
                region.arena("arena", ARENA).and_then(|arena| {
                    let pairs = region.vector("pairs", &arena)?;
                    // Exactly as many as there is room for, or one less.
                    let many = if scene == Scene::Shrink { 3 } else { 4 };
                    pairs.extend(&[[1_u64; 2], [2; 2], [3; 2], [4; 2]][..many])
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
fn a_vector_to_which_one_adds_that_is_killed_anywhere_has_the_element_or_has_it_not() {
    explore(this_test!(), Scene::Push);
}

#[test]
fn an_element_that_is_changed_by_one_that_is_killed_anywhere_is_the_old_or_the_new_one() {
    explore(this_test!(), Scene::Change);
}

#[test]
fn a_vector_that_is_shrunk_by_one_that_is_killed_anywhere_has_its_elements() {
    explore(this_test!(), Scene::Shrink);
}

#[test]
fn an_object_that_is_put_by_one_that_is_killed_anywhere_is_whole_or_none() {
    explore(this_test!(), Scene::Put);
}

#[test]
fn an_object_that_is_frozen_by_one_that_is_killed_anywhere_is_that_one_or_can_be_written_still() {
    explore(this_test!(), Scene::Freeze);
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
    assert!(matches!(all_on_loan(), Verdict::Missed { .. }));
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
            Twin::SetInPlace => Scene::Change,
            Twin::LongerFirst => Scene::Push,
            Twin::PutEarly => Scene::Put,
            Twin::FrozenUnsaid => Scene::Freeze,
            Twin::IntentNotWritten => Scene::AllocRun,
            Twin::DeadBlocksKept => Scene::Alloc,
            Twin::KindNotChecked => return twin.while_on(taken_from_another_kind),
            Twin::SentEarly => Scene::Send,
            Twin::DeadSenderKept => Scene::Lend,
            Twin::HeadFirst => Scene::Receive,
            Twin::LoansPassedForEver => return twin.while_on(all_on_loan),
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
