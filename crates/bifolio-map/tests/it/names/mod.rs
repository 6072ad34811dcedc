//! Named sections: what holds on every platform.

mod races;
mod table;

use std::time::{Duration, Instant};

use bifolio_map::names::{self, EntryKind, InUse, Lifetime, Name, Scope};
use bifolio_map::{
    Access, Create, ErrorKind, Read, ReadWrite, Section, SectionKind, SectionOptions, Space, View,
};
use bifolio_testkit::child::{self, Rerun};
use bifolio_testkit::{budget, this_test};
use tempfile::TempDir;

use crate::support::{directory, page, pattern, refused, says};

/// Tells a child which directory's names are meant.
pub(crate) const DIRECTORY: &str = "BIFOLIO_TEST_DIRECTORY";

/// A set of names of its own, gone after the test.
pub(crate) fn names_of_its_own() -> (TempDir, Scope) {
    let dir = directory();
    let scope = Scope::Directory(dir.path().into());
    (dir, scope)
}

/// The set of names that the parent of this child means.
pub(crate) fn names_of_the_parent() -> Scope {
    Scope::Directory(std::env::var_os(DIRECTORY).expect("the parent's directory").into())
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

pub(crate) fn writing(scope: &Scope) -> SectionOptions {
    Section::options().access(Access::ReadWrite).scope(scope.clone())
}

pub(crate) fn creating(scope: &Scope, len: u64) -> SectionOptions {
    writing(scope).create(Create::New).len(len)
}

/// The texts of all names.
pub(crate) fn listed(scope: &Scope) -> Vec<String> {
    names::list(scope).expect("a list").iter().map(|entry| entry.name().to_owned()).collect()
}

/// Waits until something holds: tests beside this one start processes, and between fork and exec
/// such a process shares our handles, so that a name may outlive its last handle by that moment.
#[track_caller]
pub(crate) fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Requires that nothing has this name any more.
#[track_caller]
pub(crate) fn gone(scope: &Scope, text: &str) {
    soon(&format!("{text:?} is still listed"), || !listed(scope).contains(&text.to_owned()));
    refused(writing(scope).named(&name(text)), ErrorKind::NotFound);
}

/// Requires that no name is left.
#[track_caller]
pub(crate) fn all_gone(scope: &Scope) {
    soon("a name is still listed", || listed(scope).is_empty());
}

#[test]
fn the_types_can_be_used_from_any_thread() {
    fn check<T: Send + Sync>() {}
    check::<Name>();
    check::<Scope>();
    check::<names::Entry>();
    check::<names::ForeignSection>();
}

#[test]
fn a_name_is_all_that_another_process_needs() {
    if child::role().is_some() {
        let section = writing(&names_of_the_parent()).named(&name("prices")).unwrap();
        assert_eq!(section.len().unwrap(), 100_000);
        let view: View<ReadWrite> = section.view().unwrap();
        assert!(view.read_vec(..1000).unwrap() == pattern(0, 1000));
        view.write_at(99_000, pattern(5, 1000)).unwrap();
        return;
    }
    let (dir, scope) = names_of_its_own();
    let section = creating(&scope, 100_000).named(&name("prices")).unwrap();
    assert_eq!((section.kind(), section.access()), (SectionKind::Named, Access::ReadWrite));
    assert_eq!(section.name(), Some(&name("prices")));
    let view: View<ReadWrite> = section.view().unwrap();
    assert!(view.read_vec(..).unwrap().iter().all(|&byte| byte == 0));
    view.write_at(0, pattern(0, 1000)).unwrap();
    Rerun::of(this_test!(), "reader").with_variable(DIRECTORY, dir.path()).finish().unwrap();
    assert!(view.read_vec(99_000..).unwrap() == pattern(5, 1000));
}

#[test]
fn growth_is_seen_through_every_handle_and_what_is_cut_off_comes_back_as_zeros() {
    let (_dir, scope) = names_of_its_own();
    let first = creating(&scope, 10).capacity(1 << 20).named(&name("log")).unwrap();
    let second = writing(&scope).named(&name("log")).unwrap();
    second.set_len(100_000, Space::Allocate).unwrap();
    assert_eq!(first.len().unwrap(), 100_000);
    let view: View<ReadWrite> = first.view().unwrap();
    view.fill(.., 7).unwrap();
    drop(view);
    second.set_len(20, Space::Allocate).unwrap();
    assert_eq!(first.len().unwrap(), 20);
    refused(first.view_of::<Read>(..21), ErrorKind::OutOfBounds);
    first.set_len(30, Space::Allocate).unwrap();
    let bytes = second.view::<Read>().unwrap().read_vec(..).unwrap();
    assert_eq!(bytes, [[7; 20].as_slice(), &[0; 10]].concat());
}

#[test]
fn a_list_says_of_each_name_what_it_is_and_who_has_it() {
    let (dir, scope) = names_of_its_own();
    assert!(listed(&scope).is_empty());
    let file = dir.path().join("elsewhere");
    std::fs::create_dir(&file).unwrap();
    let file = file.join("data");
    std::fs::write(&file, pattern(0, 77)).unwrap();
    let going = creating(&scope, 13).named(&name("b going")).unwrap();
    let staying = creating(&scope, page() + 1).lifetime(Lifetime::Persistent);
    let staying = staying.named(&name("a staying")).unwrap();
    let _named = creating(&scope, 0).backed_by(&file).named(&name("c file")).unwrap();
    let entry = |text: &str| {
        let list = names::list(&scope).unwrap();
        list.into_iter().find(|entry| entry.name() == text).expect("the entry")
    };
    let found = entry("b going");
    assert_eq!((found.len(), found.lifetime()), (Some(13), Lifetime::LastHandle));
    assert_eq!((found.in_use(), found.kind()), (InUse::Yes, &EntryKind::Section));
    assert!(!found.owner().is_empty());
    let found = entry("a staying");
    assert_eq!((found.len(), found.lifetime()), (Some(page() + 1), Lifetime::Persistent));
    assert_eq!((found.in_use(), found.kind()), (InUse::Yes, &EntryKind::Section));
    drop(staying);
    soon("somebody has it", || entry("a staying").in_use() == InUse::No);
    let found = entry("c file");
    assert_eq!((found.len(), found.in_use()), (Some(77), InUse::Yes));
    assert!(matches!(found.kind(), EntryKind::File(path) if path.ends_with("data")), "{found:?}");
    let sections = listed(&scope).into_iter().filter(|name| name.contains(' '));
    assert_eq!(sections.collect::<Vec<_>>(), ["a staying", "b going", "c file"]);
    drop(going);
    gone(&scope, "b going");
    names::unlink(&name("a staying"), &scope).unwrap();
}

#[test]
fn a_persistent_name_stays_until_it_is_unlinked() {
    let (_dir, scope) = names_of_its_own();
    let options = creating(&scope, 5000).lifetime(Lifetime::Persistent);
    let section = options.named(&name("stays")).unwrap();
    section.view::<ReadWrite>().unwrap().put(4992, &7u64).unwrap();
    drop(section);
    let section = writing(&scope).named(&name("stays")).unwrap();
    assert_eq!(section.len().unwrap(), 5000);
    assert_eq!(section.view::<Read>().unwrap().get::<u64>(4992).unwrap(), 7);
    drop(section);
    assert_eq!(listed(&scope), ["stays"]);
    names::unlink(&name("stays"), &scope).unwrap();
    gone(&scope, "stays");
    let error = refused(names::unlink(&name("stays"), &scope), ErrorKind::NotFound);
    says(&error, &["cannot unlink the section", "stays"]);
}

#[test]
fn a_file_under_a_name_is_opened_by_the_name_alone_and_outlives_it() {
    for lifetime in [Lifetime::LastHandle, Lifetime::Persistent] {
        let (dir, scope) = names_of_its_own();
        let path = dir.path().join("the file itself");
        std::fs::write(&path, pattern(0, 13)).unwrap();
        let options = creating(&scope, 999).lifetime(lifetime).backed_by(&path);
        let first = options.named(&name("alias")).unwrap();
        assert_eq!((first.kind(), first.len().unwrap()), (SectionKind::File, 13));
        refused(options.named(&name("alias")), ErrorKind::AlreadyExists);
        let second = Section::options().scope(scope.clone()).named(&name("alias")).unwrap();
        assert_eq!(second.view::<Read>().unwrap().read_vec(..).unwrap(), pattern(0, 13));
        refused(second.view::<ReadWrite>(), ErrorKind::ModeMismatch);
        first.view::<ReadWrite>().unwrap().put(0, &7u8).unwrap();
        assert_eq!(second.view::<Read>().unwrap().get::<u8>(0).unwrap(), 7);
        first.set_len(20_000, Space::Allocate).unwrap();
        assert_eq!(second.len().unwrap(), 20_000);
        drop((first, second));
        if lifetime == Lifetime::Persistent {
            drop(Section::options().scope(scope.clone()).named(&name("alias")).unwrap());
            names::unlink(&name("alias"), &scope).unwrap();
        }
        gone(&scope, "alias");
        assert_eq!(std::fs::read(&path).unwrap().len(), 20_000, "the file is its own");
        std::fs::remove_file(&path).unwrap();
        let missing = creating(&scope, 0).backed_by(&path).named(&name("alias"));
        says(&refused(missing, ErrorKind::NotFound), &["the file itself"]);
        assert!(!listed(&scope).contains(&"alias".to_owned()));
    }
}

#[test]
fn a_new_named_section_has_to_be_writable() {
    let (_dir, scope) = names_of_its_own();
    for create in [Create::New, Create::IfMissing] {
        let options = Section::options().scope(scope.clone()).create(create).len(1);
        let error = refused(options.named(&name("x")), ErrorKind::InvalidInput);
        says(&error, &["x", "add access(Access::ReadWrite)"]);
    }
    assert!(listed(&scope).is_empty());
}

#[test]
fn the_scopes_of_session_and_machine_have_names_of_their_own() {
    let text = format!("bifolio test {}", std::process::id());
    let name = name(&text);
    for (scope, other) in [(Scope::Session, Scope::Machine), (Scope::Machine, Scope::Session)] {
        let section = creating(&scope, 13).named(&name).unwrap();
        assert!(listed(&scope).contains(&text));
        assert!(!listed(&other).contains(&text));
        refused(writing(&other).named(&name), ErrorKind::NotFound);
        drop(section);
        gone(&scope, &text);
    }
    let section = Section::create_named(&name, 13).unwrap();
    assert_eq!(Section::open_named(&name).unwrap().access(), Access::Read);
    assert_eq!(Section::open_named_rw(&name).unwrap().len().unwrap(), 13);
    drop(section);
    gone(&Scope::Session, &text);
}

/// What one creator of a race tells.
fn race_once(scope: &Scope, who: u8) -> Result<(), ErrorKind> {
    let section = creating(scope, 3 * page()).named(&name("race")).map_err(|e| e.kind())?;
    let view: View<ReadWrite> = section.view().unwrap();
    view.fill(.., who).unwrap();
    // Until the others have looked.
    std::thread::yield_now();
    Ok(())
}

/// A thousand races of two creators, under the eyes of an opener.
#[test]
fn of_two_creators_one_wins_and_an_opener_sees_all_of_its_section_or_none() {
    let (_dir, scope) = names_of_its_own();
    let (mut won, mut both, mut seen) = (0, 0, 0);
    let rounds = budget(if cfg!(windows) { 100 } else { 1000 });
    for _ in 0..rounds {
        let start = std::sync::Barrier::new(3);
        let creator = |who| {
            start.wait();
            race_once(&scope, who)
        };
        let opener = || {
            start.wait();
            let mut seen = 0u32;
            for _ in 0..20 {
                match Section::options().scope(scope.clone()).named(&name("race")) {
                    Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
                    Ok(section) => {
                        assert_eq!(section.len().unwrap(), 3 * page(), "half-made");
                        let bytes = section.view::<Read>().unwrap().read_vec(..).unwrap();
                        assert!(bytes.iter().all(|&byte| byte <= 2));
                        seen += 1;
                    }
                }
            }
            seen
        };
        let outcomes = std::thread::scope(|threads| {
            let (one, two) = (threads.spawn(|| creator(1)), threads.spawn(|| creator(2)));
            seen += threads.spawn(opener).join().unwrap();
            [one.join().unwrap(), two.join().unwrap()]
        });
        for outcome in &outcomes {
            assert!(matches!(outcome, Ok(()) | Err(ErrorKind::AlreadyExists)), "{outcome:?}");
        }
        let winners = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert!(winners > 0, "somebody wins");
        // One after the other both may.
        (won, both) = (won + 1, both + u32::from(winners == 2));
        all_gone(&scope);
    }
    println!("{won} of {rounds} races won, {both} by both in turn; the opener saw {seen} sections");
    assert!(seen > 0);
}
