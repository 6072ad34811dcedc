//! The protocol of names, interrupted everywhere: killed, and stopped while somebody else does
//! something whole. Each step that the protocol needs is left out once, and must be missed.
//!
//! Between two system calls nothing changes that another process could see, so the visits are
//! around the calls (a *state* is a kill or a stop there), and at 20 random instructions in between.
//! More of those with a `BIFOLIO_BUDGET`; one of 1000 visits every instruction of each scene: in a
//! release build 3,480 kills in a creation, 1,024 in a last close and 1,619 in one after a fork.

use std::path::{Path, PathBuf};

use bifolio_testkit::bugs::{Hunt, Verdict, every_bug_is_caught};
use bifolio_testkit::child::{self, Child, Rerun};
use bifolio_testkit::skip::{self, Obstacle};
use bifolio_testkit::step::{
    StepReport, Visit, kill_at_every_instruction, region, stop_at_every_instruction,
};
use bifolio_testkit::{budget, this_test};

use super::*;
use crate::Space;
use crate::names::Scope;

bifolio_testkit::seeded_bugs! {
    /// What the protocol leaves out or does at the wrong time.
    pub(super) enum Twin {
        /// Published, then marked.
        MarkedLate,
        /// Published, then held.
        HeldLate,
        /// Published, then sized.
        SizedLate,
        /// Openers do not ask whether all holders are dead.
        DeathNotSeen,
        /// Openers do not ask whether the name went before they held it.
        GoneNotSeen,
        /// Removers look whether it is dead, but do not keep others away meanwhile.
        RemovedUnlocked,
        /// Removers do not look whether the name still leads to what they found dead.
        RemovedUnseen,
        /// Who unlinks what lives does not keep others from doing so meanwhile.
        DirectoryUnlocked,
        /// A close asks on its own opening whether it is the last, though a forked child shares it.
        ForksForgotten,
        /// The same, though a duplicate of its descriptor was lent.
        LoansForgotten,
        /// Creators do not look whether the entry is marked.
        MarksNotSeen,
    }
}

const NAME: &str = "name";
const LEN: u64 = 10_000;
const DIRECTORY: &str = "BIFOLIO_NAMES_DIRECTORY";
const TWIN: &str = "BIFOLIO_NAMES_TWIN";

/// What the child does in its region, and what happens to it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// It creates the name, and is killed.
    CreateKilled,
    /// It creates the name, while this process tries to open it.
    CreateWatched,
    /// It lets the last handle go, and is killed.
    CloseKilled,
    /// It lets the last handle go, while this process creates the name anew.
    CloseAgainstCreate,
    /// The same, after this process has unlinked the name.
    CloseAgainstUnlink,
    /// It has forked, lets the last handle go, and is killed.
    ForkedCloseKilled,
    /// It has forked, and lets the last handle go, while this process creates the name anew.
    ForkedCloseAgainstCreate,
    /// It opens the name, while this process lets the last handle go.
    OpenAgainstClose,
    /// It opens the name, and is killed.
    OpenKilled,
    /// It unlinks the name, while this process lets its handle go and creates the name anew.
    UnlinkAgainstClose,
    /// It unlinks the name, while this process does too and creates it anew.
    UnlinkAgainstUnlink,
}

impl Scene {
    const ALL: [Self; 11] = [
        Self::CreateKilled,
        Self::CreateWatched,
        Self::CloseKilled,
        Self::CloseAgainstCreate,
        Self::CloseAgainstUnlink,
        Self::ForkedCloseKilled,
        Self::ForkedCloseAgainstCreate,
        Self::OpenAgainstClose,
        Self::OpenKilled,
        Self::UnlinkAgainstClose,
        Self::UnlinkAgainstUnlink,
    ];

    fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scene| format!("{scene:?}") == text)
    }
}

fn place_in(dir: &Path) -> Place {
    place(&Scope::Directory(dir.into())).expect("a place")
}

fn create(place: &Place) -> io::Result<Named> {
    create_for(Lifetime::LastHandle, place)
}

fn create_for(lifetime: Lifetime, place: &Place) -> io::Result<Named> {
    let wanted = Wanted {
        access: Access::ReadWrite,
        len: LEN,
        capacity: LEN,
        space: Space::Allocate,
        permissions: 0o600,
        lifetime,
        file: None,
    };
    create_named(place, NAME, &wanted)
}

fn open(place: &Place) -> io::Result<Named> {
    open_named(place, NAME, Access::ReadWrite)
}

/// Closes as a section does, if there is one.
fn close(named: impl Into<Option<Named>>) {
    if let Some(mut named) = named.into() {
        named.hold.let_go(&named.object);
    }
}

/// The child's part.
fn play(scene: Scene) {
    let dir = PathBuf::from(std::env::var_os(DIRECTORY).expect("the parent's directory"));
    let place = place_in(&dir);
    // The process's first look around is no part of the scenes.
    visit(&place);
    if matches!(scene, Scene::CreateKilled | Scene::CloseKilled) {
        // The umask takes from the marks as well.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    }
    let twin = std::env::var(TWIN).unwrap_or_default();
    let twin = Twin::ALL.iter().find(|other| format!("{other:?}") == twin);
    let work = || match scene {
        Scene::CreateKilled | Scene::CreateWatched => region(|| create(&place)).map(Some),
        Scene::CloseKilled | Scene::CloseAgainstCreate | Scene::CloseAgainstUnlink => {
            let named = create(&place).expect("a new name");
            region(|| close(named));
            Ok(None)
        }
        Scene::ForkedCloseKilled | Scene::ForkedCloseAgainstCreate => {
            let named = create(&place).expect("a new name");
            crate::sys::forks::as_if_forked();
            region(|| close(named));
            Ok(None)
        }
        Scene::OpenKilled | Scene::OpenAgainstClose => region(|| open(&place)).map(Some),
        Scene::UnlinkAgainstClose | Scene::UnlinkAgainstUnlink => {
            region(|| unlink_named(&place, NAME)).map(|()| None)
        }
    };
    let outcome = match twin {
        Some(twin) => twin.while_on(work),
        None => work(),
    };
    child::tell(if outcome.is_ok() { "done" } else { "refused" });
    child::point("after");
}

/// That the name is gone, now and for the next list, and that nothing is left in the directory.
fn gone(place: &Place) -> Result<(), String> {
    match open(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(format!("opening says {error}")),
        Ok(named) => {
            let len = named.object.metadata().map_or(0, |found| found.len());
            return Err(format!("a dead one of {len} bytes can be opened"));
        }
    }
    let listed = list_named(place).map_err(|error| error.to_string())?;
    if let Some(found) = listed.first() {
        return Err(format!("{found:?} is listed"));
    }
    let mut left = std::fs::read_dir(&place.dir).expect("the directory");
    left.next().map_or(Ok(()), |left| Err(format!("{left:?} is left behind")))
}

/// That the name leads to this section.
fn leads_to(place: &Place, named: &Named) -> Result<(), String> {
    let id = |named: &Named| named.object.metadata().map(|found| found.ino()).ok();
    match open(place) {
        Ok(found) if id(&found) == id(named) => Ok(()),
        Ok(_) => Err("the name leads to another section".into()),
        Err(error) => Err(format!("the name of a living section is gone: {error}")),
    }
}

/// Plays a scene to its end in every state, for the twin or, without one, for the protocol.
fn run(
    test: &str,
    scene: Scene,
    twin: Option<Twin>,
    visit: Visit,
) -> Result<StepReport, Obstacle> {
    let dir = tempfile::tempdir().expect("a directory");
    let place = place_in(dir.path());
    let mut rerun = Rerun::of(test, &format!("{scene:?}")).with_variable(DIRECTORY, dir.path());
    if let Some(twin) = twin {
        rerun = rerun.with_variable(TWIN, format!("{twin:?}"));
    }
    let seeing = |work: &mut dyn FnMut() -> Result<(), String>| match twin {
        Some(twin) => twin.while_on(work),
        None => work(),
    };
    let told = |child: &mut Child| {
        child.run_to("after", 1).map_err(|error| error.to_string())?;
        Ok::<_, String>(child.told().last().is_some_and(|told| told == "done"))
    };
    let empty = || {
        for entry in std::fs::read_dir(dir.path()).expect("the directory").flatten() {
            std::fs::remove_file(entry.path()).expect("it goes");
        }
    };
    match scene {
        Scene::CreateKilled | Scene::CloseKilled | Scene::ForkedCloseKilled => {
            kill_at_every_instruction(&rerun, visit, empty, |_| seeing(&mut || gone(&place)))
        }
        Scene::OpenKilled => {
            let held = std::cell::RefCell::new(None);
            let prepare = || {
                held.take();
                empty();
                *held.borrow_mut() = Some(create(&place).expect("a new name"));
            };
            kill_at_every_instruction(&rerun, visit, prepare, |_| {
                let named = held.take().expect("prepared");
                leads_to(&place, &named)?;
                close(named);
                gone(&place)
            })
        }
        Scene::CreateWatched => {
            let meanwhile = |(): &mut ()| match open(&place) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(format!("opening says {error}")),
                Ok(named) => match named.object.metadata() {
                    Ok(found) if found.len() == LEN => Ok(()),
                    found => Err(format!("half-made: {found:?}")),
                },
            };
            stop_at_every_instruction(&rerun, visit, empty, meanwhile, |(), child| {
                match (told(child)?, open(&place)) {
                    (false, _) => Err("the creator was refused".into()),
                    (true, Err(error)) => Err(format!("its creator lives and its name: {error}")),
                    (true, Ok(_)) => Ok(()),
                }
            })
        }
        Scene::CloseAgainstCreate
        | Scene::CloseAgainstUnlink
        | Scene::ForkedCloseAgainstCreate => {
            let prepare = || {
                empty();
                None
            };
            let meanwhile = |mine: &mut Option<Named>| {
                if scene == Scene::CloseAgainstUnlink {
                    // Refused while the other one is removing it.
                    let _ = unlink_named(&place, NAME);
                }
                *mine = create(&place).ok();
                Ok(())
            };
            stop_at_every_instruction(&rerun, visit, prepare, meanwhile, |mine, child| {
                told(child)?;
                if let Some(named) = &mine {
                    leads_to(&place, named)?;
                }
                close(mine);
                gone(&place)
            })
        }
        Scene::OpenAgainstClose => {
            let prepare = || {
                empty();
                Some(create(&place).expect("a new name"))
            };
            let meanwhile = |mine: &mut Option<Named>| {
                close(mine.take());
                Ok(())
            };
            stop_at_every_instruction(&rerun, visit, prepare, meanwhile, |_, child| {
                match (told(child)?, open(&place)) {
                    (true, Err(error)) => Err(format!("its holder lives and its name: {error}")),
                    (true, Ok(_)) => Ok(()),
                    (false, _) => gone(&place),
                }
            })
        }
        Scene::UnlinkAgainstClose => {
            let prepare = || {
                empty();
                Some(create(&place).expect("a new name"))
            };
            let meanwhile = |mine: &mut Option<Named>| {
                close(mine.take());
                *mine = create(&place).ok();
                Ok(())
            };
            // Whichever of the two sections it was, the rest must be whole.
            stop_at_every_instruction(&rerun, visit, prepare, meanwhile, |mine, child| {
                told(child)?;
                close(mine);
                gone(&place)
            })
        }
        Scene::UnlinkAgainstUnlink => {
            let prepare = || {
                empty();
                // Nobody holds it, so who does is the child.
                drop(create_for(Lifetime::Persistent, &place).expect("a new name"));
                None
            };
            let meanwhile = |mine: &mut Option<(Named, bool)>| {
                let entry = open_entry(&Spot::at_path(dir.path().join(NAME)), Access::Read);
                let exclusive = FlockOperation::NonBlockingLockExclusive;
                let chosen = entry.is_ok_and(|old| !try_lock(&old, exclusive).expect("a lock"));
                // Refused while the other one is removing it.
                let _ = unlink_named(&place, NAME);
                *mine = create(&place).ok().map(|named| (named, chosen));
                Ok(())
            };
            stop_at_every_instruction(&rerun, visit, prepare, meanwhile, |mine, child| {
                told(child)?;
                let Some((named, chosen)) = mine else { return gone(&place) };
                // What the child holds is what it means: another one it must leave alone.
                if chosen {
                    leads_to(&place, &named)?;
                }
                close(named);
                gone(&place)
            })
        }
    }
}

/// How a second process comes by the opening of a first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    /// It was forked off.
    Fork,
    /// It was sent the descriptor.
    Loan,
}

/// That a name stays with its creator, whose opening a second one shares, and closes while a third
/// had it. The second one is played by a duplicate of the descriptor, which is what it has.
fn a_sharers_close_leaves_the_name(sharing: Sharing) -> Result<(), String> {
    let dir = tempfile::tempdir().expect("a directory");
    let place = place_in(dir.path());
    let creator = create(&place).expect("a new name");
    let object = creator.object.try_clone().expect("a descriptor");
    let seen = object.metadata().expect("metadata");
    let (spot, since) = (Spot::at_path(place.dir.join(NAME)), creator.hold.since);
    let hold = Hold::new(spot, None, &seen, place.rights, Lifetime::LastHandle, since);
    let sharer = Named { object, hold, file: None };
    match sharing {
        Sharing::Fork => crate::sys::forks::as_if_forked(),
        Sharing::Loan => [&creator, &sharer].into_iter().for_each(|named| named.hold.lend()),
    }
    let third = open(&place).expect("the name");
    close(sharer);
    close(third);
    leads_to(&place, &creator)?;
    close(creator);
    gone(&place)
}

/// One scene at a time: between fork and exec a child of another test would share this process's
/// openings, and keep names alive for a moment.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Around every call, and at some instructions in between; with a budget, at all of them.
fn explore(test: &str, scene: Scene) {
    if let Some(scene) = child::role().as_deref().and_then(Scene::named) {
        return play(scene);
    }
    let _alone = ALONE.lock().unwrap_or_else(|broken| broken.into_inner());
    let Some(report) = skip::or_count(run(test, scene, None, Visit::AroundCalls)) else { return };
    println!("{scene:?}: {report}");
    assert!(report.points > 8, "{report}");
    let in_between = usize::try_from(budget(20)).unwrap_or(usize::MAX);
    let report = run(test, scene, None, Visit::AtMost(in_between));
    println!("{scene:?}: {}", skip::or_count(report).expect("as above"));
}

#[test]
fn a_creator_killed_anywhere_leaves_nothing_behind() {
    explore(this_test!(), Scene::CreateKilled);
}

#[test]
fn a_section_that_is_being_created_is_seen_whole_or_not_at_all() {
    explore(this_test!(), Scene::CreateWatched);
}

#[test]
fn a_last_close_killed_anywhere_leaves_nothing_behind() {
    explore(this_test!(), Scene::CloseKilled);
}

#[test]
fn a_last_close_never_removes_what_was_created_meanwhile() {
    explore(this_test!(), Scene::CloseAgainstCreate);
}

#[test]
fn a_last_close_never_removes_what_was_created_after_an_unlink() {
    explore(this_test!(), Scene::CloseAgainstUnlink);
}

#[test]
fn a_last_close_after_a_fork_killed_anywhere_leaves_nothing_behind() {
    explore(this_test!(), Scene::ForkedCloseKilled);
}

#[test]
fn a_last_close_after_a_fork_never_removes_what_was_created_meanwhile() {
    explore(this_test!(), Scene::ForkedCloseAgainstCreate);
}

#[test]
fn an_opener_holds_a_name_that_stays_or_finds_none() {
    explore(this_test!(), Scene::OpenAgainstClose);
}

#[test]
fn an_opener_killed_anywhere_neither_keeps_nor_removes_a_name() {
    explore(this_test!(), Scene::OpenKilled);
}

#[test]
fn an_unlink_and_a_close_at_once_leave_no_dead_name() {
    explore(this_test!(), Scene::UnlinkAgainstClose);
}

#[test]
fn of_two_unlinks_at_once_neither_removes_what_was_created_after_the_other() {
    explore(this_test!(), Scene::UnlinkAgainstUnlink);
}

#[test]
fn who_closes_a_shared_opening_leaves_the_name_to_the_others() {
    let _alone = ALONE.lock().unwrap_or_else(|broken| broken.into_inner());
    for sharing in [Sharing::Fork, Sharing::Loan] {
        a_sharers_close_leaves_the_name(sharing).expect("the name stays, then goes");
    }
}

#[test]
fn every_step_that_the_protocol_needs_is_missed_when_it_is_left_out() {
    if let Some(scene) = child::role().as_deref().and_then(Scene::named) {
        return play(scene);
    }
    let _alone = ALONE.lock().unwrap_or_else(|broken| broken.into_inner());
    let test = this_test!();
    let mut skipped = None;
    let hunt = |twin: Twin, _: Hunt| {
        let mut after = 0;
        let sharing = match twin {
            Twin::ForksForgotten => Some(Sharing::Fork),
            Twin::LoansForgotten => Some(Sharing::Loan),
            _ => None,
        };
        if let Some(sharing) = sharing {
            return match twin.while_on(|| a_sharers_close_leaves_the_name(sharing)) {
                Err(by) => Verdict::Caught { by, after },
                Ok(()) => Verdict::Missed { after: 1 },
            };
        }
        for scene in Scene::ALL {
            match run(test, scene, Some(twin), Visit::AroundCalls) {
                Err(Obstacle::Failed(by)) => {
                    return Verdict::Caught { by: format!("{scene:?}, {by}"), after };
                }
                Err(Obstacle::Skip(skip)) => {
                    skipped = Some(skip);
                    return Verdict::Caught { by: "nothing: skipped".into(), after };
                }
                Ok(report) => after += report.points,
            }
        }
        Verdict::Missed { after }
    };
    let caught = every_bug_is_caught("names", Twin::ALL, Hunt::new(), hunt);
    if let Some(skip) = skipped {
        return skip.count();
    }
    assert_eq!(caught.len(), Twin::ALL.len());
}
