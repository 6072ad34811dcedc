//! Races of processes for a name. Two racers do the same thing at the same moment, or one of them
//! the opposite; now and then one is killed in the middle. A referee looks on, in a process of its own:
//! other tests start processes at any time, and a child that was just forked shares the sections of
//! its parent for that moment, and so keeps their names.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use bifolio_map::names::Scope;
use bifolio_map::{Create, ErrorKind, Read, ReadWrite, Section, View};
use bifolio_testkit::child::{self, Child, Rerun};
use bifolio_testkit::{Random, budget, this_test};

use super::{DIRECTORY, creating, listed, name, names_of_its_own, names_of_the_parent, writing};
use crate::support::page;

/// What racers do, each a kind of race.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Race {
    /// Both create it: one may.
    NewAgainstNew,
    /// Both open or create it: both have the same.
    EitherAgainstEither,
    /// One has it and lets go, the other one opens or creates it: it has one that stays.
    CloseAgainstEither,
}

impl Race {
    fn of(round: u32, maker: Maker) -> Self {
        // By hand there is nothing else.
        let kinds = if maker == Maker::Library { 3 } else { 1 };
        [Self::NewAgainstNew, Self::EitherAgainstEither, Self::CloseAgainstEither]
            [round as usize % kinds]
    }
}

/// How a racer makes a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Maker {
    Library,
    /// As programs do by hand, the broken twin: the name first, then the length.
    #[cfg(unix)]
    ByHand,
}

/// The role of who starts racers and looks on.
const REFEREE: &str = "referee";

/// What a racer came to, as a word.
const GOT: u32 = 1;
const REFUSED: u32 = 2;
const FAILED: u32 = 3;

/// The words by which racers and parent meet, each in a cache line of its own.
struct Board(View<ReadWrite>);

const START: u64 = 0;
const RELEASE: u64 = 64;
const READY: [u64; 2] = [128, 192];
const OUTCOME: [u64; 2] = [256, 320];
const DONE: [u64; 2] = [384, 448];
const END: u32 = u32::MAX;

impl Board {
    fn in_dir(dir: &Path) -> Self {
        let options = Section::options().access(bifolio_map::Access::ReadWrite);
        let section = options.create(Create::IfMissing).len(4096).open(dir.join("board"));
        Self(section.expect("a board").view().expect("its view"))
    }

    fn get(&self, word: u64) -> u32 {
        self.0.atomic_u32(word).and_then(|word| word.load()).expect("a word")
    }

    fn set(&self, word: u64, value: u32) {
        self.0.atomic_u32(word).and_then(|word| word.store(value)).expect("a word");
    }

    /// Waits until a word is as wanted; racers start within a microsecond of each other.
    fn wait(&self, word: u64, wanted: impl Fn(u32) -> bool) -> u32 {
        let deadline = Instant::now() + Duration::from_secs(60);
        for spin in 0u64.. {
            let value = self.get(word);
            if wanted(value) {
                return value;
            }
            if spin % 64 == 63 {
                thread::yield_now();
            }
            assert!(Instant::now() < deadline, "word {word} stays {value}");
        }
        unreachable!()
    }
}

fn len() -> u64 {
    3 * page()
}

/// A racer's life.
fn run_racer(who: usize, maker: Maker) {
    let scope = names_of_the_parent();
    let Scope::Directory(dir) = &scope else { unreachable!("the parent's is a directory") };
    let board = Board::in_dir(&dir.join("aside"));
    let mut round = board.get(START);
    board.set(READY[who], 1);
    loop {
        let race = Race::of(round + 1, maker);
        // Who is to let go has to have it first.
        let had = (race == Race::CloseAgainstEither && who == 1)
            .then(|| writing(&scope).create(Create::IfMissing).len(len()).named(&name("race")));
        board.set(DONE[who], round);
        let last = round;
        round = board.wait(START, |start| start != last);
        if round == END {
            return;
        }
        let section = match (race, maker) {
            (Race::CloseAgainstEither, _) if who == 1 => {
                let found = had.expect("made above");
                let ok = found.is_ok();
                drop(found);
                board.set(OUTCOME[who], round << 2 | if ok { REFUSED } else { FAILED });
                board.wait(RELEASE, |released| released == round);
                continue;
            }
            #[cfg(unix)]
            (_, Maker::ByHand) => {
                let mut options = std::fs::File::options();
                let file = options.read(true).write(true).create_new(true).open(dir.join("race"));
                // A moment that is long enough for whoever looks.
                thread::sleep(Duration::from_micros(100));
                let sized = file.and_then(|file| file.set_len(len()).map(|()| file));
                sized.map_err(bifolio_map_error).and_then(Section::from_file)
            }
            (Race::NewAgainstNew, _) => creating(&scope, len()).named(&name("race")),
            _ => writing(&scope).create(Create::IfMissing).len(len()).named(&name("race")),
        };
        let outcome = match &section {
            Ok(section) => {
                let view: View<ReadWrite> = section.view().expect("a view");
                view.atomic_u64(8 * who as u64).and_then(|me| me.store(1)).expect("a word");
                GOT
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => REFUSED,
            Err(error) => {
                child::tell(&error.to_string());
                FAILED
            }
        };
        board.set(OUTCOME[who], round << 2 | outcome);
        board.wait(RELEASE, |released| released == round);
        #[cfg(unix)]
        if maker == Maker::ByHand && section.is_ok() {
            let _ = std::fs::remove_file(dir.join("race"));
        }
        drop(section);
    }
}

#[cfg(unix)]
fn bifolio_map_error(error: std::io::Error) -> bifolio_map::Error {
    bifolio_map::Error::os("create by hand", error)
}

/// What the parent saw.
#[derive(Debug, Default)]
struct Tally {
    rounds: u32,
    kills: u32,
    seen: u32,
    refused: u32,
}

/// Runs races, and says what was wrong.
fn run(test: &str, maker: Maker, rounds: u32, kill_each: u32) -> Result<Tally, String> {
    let (dir, scope) = names_of_its_own();
    let aside = dir.path().join("aside");
    std::fs::create_dir(&aside).expect("a directory");
    let board = Board::in_dir(&aside);
    let spawn = |who: usize| -> Child {
        board.set(READY[who], 0);
        let rerun = Rerun::of(test, &format!("racer {who}")).within(Duration::from_secs(600));
        let racer = rerun.with_variable(DIRECTORY, dir.path()).spawn().expect("a racer");
        board.wait(READY[who], |ready| ready == 1);
        racer
    };
    let mut racers = [Some(spawn(0)), Some(spawn(1))];
    let (mut tally, mut random) = (Tally::default(), Random::new());
    let mut verdict = Ok(());
    for round in 1..=rounds {
        let race = Race::of(round, maker);
        for word in DONE {
            board.wait(word, |done| done == round - 1);
        }
        board.set(START, round);
        let killed = round.is_multiple_of(kill_each).then_some(1);
        if let Some(who) = killed {
            let moment = Instant::now() + Duration::from_micros(random.u64(0..150));
            while Instant::now() < moment {}
            racers[who].take().expect("a racer").kill().expect("it can be killed");
            tally.kills += 1;
        }
        let finished = |who: usize| board.get(OUTCOME[who]) >> 2 == round;
        let seen = watch(&scope, || finished(0) && (killed.is_some() || finished(1)));
        let outcomes = [0, 1].map(|who| finished(who).then(|| board.get(OUTCOME[who]) & 3));
        let judged = seen.and_then(|seen| {
            tally.seen += seen;
            tally.refused +=
                outcomes.iter().filter(|found| **found == Some(REFUSED)).count() as u32;
            judge(&scope, race, outcomes, killed)
        });
        board.set(RELEASE, round);
        if let Some(who) = killed {
            // It finds the round over, and does what the next one needs.
            racers[who] = Some(spawn(who));
        }
        tally.rounds = round;
        if let Err(why) = judged {
            verdict = Err(format!("round {round}, {race:?}, killed {killed:?}: {why}"));
            break;
        }
    }
    board.set(START, END);
    for racer in racers.into_iter().flatten() {
        racer.finish().expect("racers end well");
    }
    verdict?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while !listed(&scope).iter().all(|name| name == "aside") {
        if Instant::now() > deadline {
            return Err(format!("{:?} is left", listed(&scope)));
        }
    }
    Ok(tally)
}

/// Opens the name again and again, until the race is over; how often it was there. It must be
/// whole whenever it is.
fn watch(scope: &Scope, is_over: impl Fn() -> bool) -> Result<u32, String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut seen = 0;
    while !is_over() {
        match Section::options().scope(scope.clone()).named(&name("race")) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(format!("who looks is told {error}")),
            Ok(section) => {
                is_whole(&section)?;
                seen += 1;
            }
        }
        assert!(Instant::now() < deadline, "the race does not end");
    }
    Ok(seen)
}

/// How many racers have noted that they are in it; or what is wrong with it.
fn is_whole(section: &Section) -> Result<u64, String> {
    let found = section.len().map_err(|error| error.to_string())?;
    if found != len() {
        return Err(format!("half-made: {found} bytes of {}", len()));
    }
    let view: View<Read> = section.view().map_err(|error| error.to_string())?;
    let users: [u64; 2] = view.get(0).map_err(|error| error.to_string())?;
    Ok(users.iter().sum())
}

/// What must hold when both have done their part, and still have what they got.
fn judge(
    scope: &Scope,
    race: Race,
    outcomes: [Option<u32>; 2],
    killed: Option<usize>,
) -> Result<(), String> {
    if outcomes.contains(&Some(FAILED)) {
        return Err("a racer failed".into());
    }
    let holders = outcomes.iter().filter(|found| **found == Some(GOT)).count();
    let wanted = match race {
        Race::NewAgainstNew => 1,
        Race::EitherAgainstEither => 2,
        Race::CloseAgainstEither => 1,
    };
    // Of the dead nobody knows how far they came.
    if killed.is_none() && holders != wanted {
        return Err(format!("{holders} have it, of {wanted}: {outcomes:?}"));
    }
    let lives = outcomes[0] == Some(GOT) || killed.is_none() && holders > 0;
    match Section::options().scope(scope.clone()).named(&name("race")) {
        Err(error) if error.kind() == ErrorKind::NotFound && !lives => Ok(()),
        Err(error) => Err(format!("one has it, and its name: {error}")),
        Ok(section) => {
            let users = is_whole(&section)?;
            if killed.is_none() && race != Race::CloseAgainstEither && users != holders as u64 {
                return Err(format!("{holders} have it, {users} are in this one"));
            }
            Ok(())
        }
    }
}

/// A thousand races, a tenth of them with a kill.
#[test]
fn racing_processes_find_a_name_whole_or_not_at_all_and_leave_nothing() {
    let Some(role) = child::role() else {
        let referee = Rerun::of(this_test!(), REFEREE).within(Duration::from_secs(600));
        return println!("{}", referee.spawn().unwrap().finish().unwrap().concat());
    };
    if role != REFEREE {
        return run_racer(usize::from(role.ends_with('1')), Maker::Library);
    }
    let rounds = budget(if cfg!(windows) { 60 } else { 1000 });
    let tally = run(this_test!(), Maker::Library, u32::try_from(rounds).unwrap(), 10).unwrap();
    child::tell(&format!("{tally:?}"));
    assert!(tally.kills > 0 && tally.seen > 0 && tally.refused > 0, "{tally:?}");
}

/// The broken twin: a name that is there before its length is, as `shm_open` and `ftruncate` make it.
#[cfg(unix)]
#[test]
fn a_section_that_is_made_by_hand_is_caught_half_made() {
    if let Some(role) = child::role() {
        return run_racer(usize::from(role.ends_with('1')), Maker::ByHand);
    }
    let caught = run(this_test!(), Maker::ByHand, 1000, u32::MAX).unwrap_err();
    assert!(caught.contains("half-made"), "{caught}");
}
