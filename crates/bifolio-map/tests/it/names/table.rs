//! The rules of .NET's named maps, one row each, the same on every platform. .NET itself has them
//! on Windows only; what its documentation says is quoted in the rows.

use bifolio_map::{
    Access, CopyOnWrite, Create, ErrorKind, Read, ReadWrite, Section, SectionOptions, Space, View,
    ViewMode,
};

use super::{all_gone, gone, listed, name, names_of_its_own, soon};
use crate::support::refused;

/// What is done to a name, in the words of `MemoryMappedFile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    CreateNew(u64),
    CreateOrOpen(u64),
    OpenExisting(Access),
}

/// What becomes of it: a section of this length, or an error.
type Outcome = Result<u64, ErrorKind>;

const BOTH: Access = Access::ReadWrite;

/// A rule: what was called before, all handles kept; what is called now; what comes of it.
const RULES: &[(&str, &[Call], Call, Outcome)] = &[
    ("CreateNew makes a section of the capacity asked for", &[], Call::CreateNew(5000), Ok(5000)),
    (
        "CreateNew fails if the name is taken (IOException)",
        &[Call::CreateNew(5000)],
        Call::CreateNew(5000),
        Err(ErrorKind::AlreadyExists),
    ),
    (
        "also if it was created by CreateOrOpen",
        &[Call::CreateOrOpen(10)],
        Call::CreateNew(5000),
        Err(ErrorKind::AlreadyExists),
    ),
    ("CreateOrOpen creates where there is none", &[], Call::CreateOrOpen(5000), Ok(5000)),
    (
        "CreateOrOpen opens where there is one, and the capacity is ignored",
        &[Call::CreateNew(5000)],
        Call::CreateOrOpen(9000),
        Ok(5000),
    ),
    ("also a smaller one", &[Call::CreateNew(5000)], Call::CreateOrOpen(10), Ok(5000)),
    (
        "OpenExisting opens it with the length that it has, not that of its pages",
        &[Call::CreateNew(5000)],
        Call::OpenExisting(BOTH),
        Ok(5000),
    ),
    (
        "OpenExisting fails if there is none (FileNotFoundException)",
        &[],
        Call::OpenExisting(BOTH),
        Err(ErrorKind::NotFound),
    ),
    (
        "one that was opened can be opened again",
        &[Call::CreateNew(13), Call::OpenExisting(Access::Read)],
        Call::OpenExisting(BOTH),
        Ok(13),
    ),
    (
        ".NET refuses a capacity of 0; here it is a section without bytes",
        &[],
        Call::CreateNew(0),
        Ok(0),
    ),
];

fn call(scope: &bifolio_map::names::Scope, call: Call) -> bifolio_map::Result<Section> {
    let options = |access, create, len| -> SectionOptions {
        Section::options().scope(scope.clone()).access(access).create(create).len(len)
    };
    match call {
        Call::CreateNew(len) => options(BOTH, Create::New, len),
        Call::CreateOrOpen(len) => options(BOTH, Create::IfMissing, len),
        Call::OpenExisting(access) => options(access, Create::Never, 0),
    }
    .named(&name("map"))
}

#[test]
fn creating_and_opening_follow_the_rules_of_net() {
    for (rule, before, now, expected) in RULES {
        let (_dir, scope) = names_of_its_own();
        let handles: Vec<_> = before.iter().map(|&c| call(&scope, c).expect(rule)).collect();
        let outcome = call(&scope, *now);
        let found = outcome.as_ref().map_err(bifolio_map::Error::kind);
        assert_eq!(found.map(|section| section.len().unwrap()), *expected, "{rule}");
        // Whatever came of it, the name goes with the last handle.
        drop(outcome);
        soon(rule, || listed(&scope).len() == usize::from(!handles.is_empty()));
        drop(handles);
        all_gone(&scope);
    }
}

/// Access of the handle against that of the view, as .NET has it: a view may do what the map may,
/// or less; copy-on-write is for everybody who reads.
#[test]
fn the_access_of_a_view_is_compared_with_that_of_its_handle() {
    let (_dir, scope) = names_of_its_own();
    let maker = call(&scope, Call::CreateNew(5000)).unwrap();
    maker.view::<ReadWrite>().unwrap().put(0, &7u8).unwrap();
    for access in [Access::Read, BOTH] {
        let section = call(&scope, Call::OpenExisting(access)).unwrap();
        for mode in [ViewMode::Read, ViewMode::ReadWrite, ViewMode::CopyOnWrite] {
            let allowed = mode != ViewMode::ReadWrite || access == BOTH;
            let view = match mode {
                ViewMode::Read => section.view::<Read>().map(|view| view.get::<u8>(0)),
                ViewMode::ReadWrite => section.view::<ReadWrite>().map(|view| view.get::<u8>(0)),
                ViewMode::CopyOnWrite => {
                    section.view::<CopyOnWrite>().map(|view| view.get::<u8>(0))
                }
            };
            match view {
                Ok(byte) => assert_eq!((allowed, byte.unwrap()), (true, 7), "{access:?} {mode:?}"),
                Err(error) => {
                    assert!(!allowed, "{access:?} {mode:?}: {error}");
                    assert_eq!(error.kind(), ErrorKind::ModeMismatch);
                }
            }
        }
        if access == Access::Read {
            refused(section.set_len(1, Space::Allocate), ErrorKind::ModeMismatch);
        }
        // What is written copy-on-write stays with its writer.
        let private: View<CopyOnWrite> = section.view().unwrap();
        private.put(0, &9u8).unwrap();
        assert_eq!(maker.view::<Read>().unwrap().get::<u8>(0).unwrap(), 7);
    }
}

#[test]
fn a_view_outlives_its_handle_and_keeps_the_name() {
    let (_dir, scope) = names_of_its_own();
    let section = call(&scope, Call::CreateNew(5000)).unwrap();
    let view: View<ReadWrite> = section.view_of(100..200).unwrap();
    drop(section);
    view.fill(.., 7).unwrap();
    assert_eq!(listed(&scope), ["map"]);
    let again = call(&scope, Call::OpenExisting(Access::Read)).unwrap();
    let part: View<Read> = again.view_of(99..102).unwrap();
    drop((again, view));
    assert_eq!(part.read_vec(..).unwrap(), [0, 7, 7], "the other one's view as well");
    assert_eq!(listed(&scope), ["map"]);
    drop(part);
    gone(&scope, "map");
}

#[test]
fn a_view_beyond_the_length_is_refused_and_the_rest_of_the_page_with_it() {
    let (_dir, scope) = names_of_its_own();
    let _maker = call(&scope, Call::CreateNew(13)).unwrap();
    let section = call(&scope, Call::OpenExisting(BOTH)).unwrap();
    for range in [0..14, 13..14, 4096..4097] {
        refused(section.view_of::<ReadWrite>(range), ErrorKind::OutOfBounds);
    }
    assert_eq!(section.view_of::<Read>(13..13).unwrap().len(), 0);
}
