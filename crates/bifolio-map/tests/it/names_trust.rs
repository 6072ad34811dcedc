//! Whom Windows believes that a name stands for a file: nobody whom this user has no reason to.

use std::io;
use std::os::windows::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bifolio_map::names::{self, EntryKind, Lifetime, Scope};
use bifolio_map::{ErrorKind, Section};
use bifolio_testkit::child::{self, Rerun};
use bifolio_testkit::skip::{Skip, or_count};
use bifolio_testkit::this_test;
use tempfile::TempDir;

use crate::names::{creating, listed, name, names_of_its_own, writing};
use crate::names_windows::{Foreign, own_name};
use crate::support::{behind_wine, file_of, refused, says};

/// Somebody who is not this user, and whom everybody lets in.
const SOMEBODY: &str = "O:S-1-5-21-1-2-3-1001D:(A;;GA;;;WD)";
/// The state of a name that stands for a file, as the library writes it.
fn state_of(path: &Path) -> [u8; 4096] {
    let bytes: Vec<u8> = path.as_os_str().encode_wide().flat_map(u16::to_le_bytes).collect();
    let mut state = [0; 4096];
    state[..8].copy_from_slice(b"bifoliof");
    state[8..16].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
    state[64..64 + bytes.len()].copy_from_slice(&bytes);
    state
}

/// An object of the kernel that says that the name stands for the file.
fn announce(text: &str, path: &Path, who: &str) -> io::Result<Foreign> {
    let state = Foreign::make_as(&format!(r"Local\.bifolio-state.{text}"), 128 << 10, who)?;
    state.swap(state_of(path));
    Ok(state)
}

#[test]
fn a_name_that_leads_to_a_file_at_the_word_of_another_user_is_refused() {
    let (_dir, path) = file_of(b"not for everybody to choose");
    // Each object has a name of its own: a test beside this one that lists names may have the one
    // before for a moment yet.
    let text = own_name("word of the owner");
    let probe = Section::create_named(&name(&text), 1).unwrap();
    let list = names::list(&Scope::Session).unwrap();
    let this_user = list.iter().find(|entry| entry.name() == text).unwrap().owner().to_owned();
    drop(probe);
    // What this user says is believed: the state is as the library reads it.
    let text = own_name("word");
    let own = announce(&text, &path, &format!("O:{this_user}D:(A;;GA;;;WD)")).unwrap();
    let section = Section::open_named(&name(&text)).unwrap();
    assert_eq!(section.path(), Some(&*path));
    drop((section, own));
    let text = own_name("word of another");
    let theirs = match announce(&text, &path, SOMEBODY) {
        Err(error) => {
            // Windows lets nobody but administrators make somebody else an owner.
            return Skip::because(format!("needs an object of another user's: {error}")).count();
        }
        Ok(theirs) => theirs,
    };
    for options in [writing(&Scope::Session), Section::options()] {
        let error = refused(options.named(&name(&text)), ErrorKind::PermissionDenied);
        says(&error, &["it leads to a file, at the word of user S-1-5-21-1-2-3-1001"]);
    }
    let list = names::list(&Scope::Session).unwrap();
    let entry = list.iter().find(|entry| entry.name() == text).unwrap();
    assert_eq!((entry.len(), entry.owner()), (None, "S-1-5-21-1-2-3-1001"));
    assert_ne!(entry.kind(), &EntryKind::File(path));
    drop(theirs);
}

#[test]
fn what_sleeps_is_found_whatever_objects_another_user_made_for_its_name() {
    let (dir, scope) = names_of_its_own();
    drop(creating(&scope, 13).lifetime(Lifetime::Persistent).named(&name("sleeps")).unwrap());
    let system = names::system_name(&name("sleeps"), &scope).unwrap();
    let state = system.to_str().unwrap().replace(r"Local\", r"Local\.bifolio-state.");
    let (_other, elsewhere) = file_of(b"elsewhere");
    // He may say what is true, or not, or let nobody see what he says.
    let nobody = "O:S-1-5-21-1-2-3-1001D:P(A;;GA;;;S-1-5-21-1-2-3-1001)";
    let said =
        [(SOMEBODY, dir.path().join("sleeps")), (SOMEBODY, elsewhere.clone()), (nobody, elsewhere)];
    for (who, path) in said {
        let Ok(theirs) = Foreign::make_as(&state, 128 << 10, who) else {
            return Skip::because("needs an object of another user's").count();
        };
        theirs.swap(state_of(&path));
        assert_eq!(Foreign::open(&state).is_ok(), who != nobody, "or this test shows nothing");
        let section = writing(&scope).named(&name("sleeps")).unwrap();
        assert_eq!(section.len().unwrap(), 13, "{who}, {path:?}");
        drop((section, theirs));
    }
}

#[test]
fn others_may_read_where_a_name_leads_and_never_write_it() {
    let (_dir, path) = file_of(b"bytes");
    let rights = |permissions: u32| {
        let text = own_name(&format!("leads {permissions:o}"));
        let options = creating(&Scope::Session, 0).permissions(permissions).backed_by(&path);
        let _section = options.named(&name(&text)).unwrap();
        let of = |object: &str| Foreign::open(object).unwrap().rights();
        (of(&format!(".bifolio-state.{text}")), of(&text))
    };
    let (reading, writing) = (rights(0o644), rights(0o666));
    assert!(reading.0.contains(";;;WD)"), "{}", reading.0);
    assert_eq!(reading.0, writing.0, "more than reading is let to others");
    assert_ne!(reading.1, writing.1, "of the bytes it is not");
}

/// A directory in which files can belong to another user: behind Wine a system does that to them.
fn of_two_users() -> Result<TempDir, Skip> {
    let dir = behind_wine::directory()?;
    let probe = dir.path().join("probe");
    std::fs::write(&probe, b"").expect("a file");
    give_away(&probe).map(|()| dir)
}

/// Makes another user the owner.
fn give_away(path: &Path) -> Result<(), Skip> {
    match &*behind_wine::run("chown 54321", path, "&& echo done") {
        "done" => Ok(()),
        _ => Err(Skip::because("needs root, to make another user the owner of a file")),
    }
}

#[test]
fn a_pointer_that_another_user_wrote_is_refused_and_nothing_is_asked_of_where_it_leads() {
    let Some(dir) = or_count(of_two_users()) else { return };
    let scope = Scope::Directory(dir.path().into());
    let (_target, path) = file_of(b"bytes");
    let options = creating(&scope, 0).lifetime(Lifetime::Persistent).backed_by(&path);
    drop(options.named(&name("leads")).unwrap());
    assert_eq!(writing(&scope).named(&name("leads")).unwrap().len().unwrap(), 5);
    give_away(&dir.path().join(".leads.file")).unwrap();
    let error = refused(writing(&scope).named(&name("leads")), ErrorKind::PermissionDenied);
    says(&error, &["it leads to a file, at the word of"]);
    let again = creating(&scope, 13).named(&name("leads"));
    refused(again, ErrorKind::AlreadyExists);
    let entry = names::list(&scope).unwrap().into_iter().find(|entry| entry.name() == "leads");
    let entry = entry.unwrap();
    assert_eq!((entry.kind(), entry.len()), (&EntryKind::Other, None));
    names::unlink(&name("leads"), &scope).unwrap();
    assert!(!listed(&scope).contains(&"leads".into()));
}

/// Runs itself again, as the variables that say where directories are cannot be changed here.
#[test]
fn the_directories_of_names_are_this_users_or_nothing_in_them_is_believed() {
    if child::role().is_some() {
        for (variable, scope) in [("ProgramData", Scope::Machine), ("LOCALAPPDATA", Scope::Session)]
        {
            let around = PathBuf::from(std::env::var_os(variable).unwrap()).join("Bifolio");
            let persistent =
                |text: &str| creating(&scope, 13).lifetime(Lifetime::Persistent).named(&name(text));
            let text = own_name("kept");
            drop(persistent(&text).unwrap());
            assert!(around.join("names").join(&text).is_file(), "{scope:?}");
            assert_eq!(writing(&scope).named(&name(&text)).unwrap().len().unwrap(), 13);
            // Made with rights of its own: what is around it would let everybody look.
            let mode = behind_wine::run("stat -c %a", &around.join("names"), "");
            let others = if scope == Scope::Session { '0' } else { '5' };
            assert!(mode.ends_with(others), "{scope:?}: mode {mode}");
            give_away(&around).unwrap();
            let error = refused(writing(&scope).named(&name(&text)), ErrorKind::PermissionDenied);
            says(&error, &["Bifolio must be", "and is of"]);
            refused(persistent(&own_name("new")), ErrorKind::PermissionDenied);
        }
        return;
    }
    let Some(dir) = or_count(of_two_users()) else { return };
    let (machine, session) = (dir.path().join("machine"), dir.path().join("session"));
    std::fs::create_dir_all(&machine).unwrap();
    std::fs::create_dir_all(&session).unwrap();
    let rerun = Rerun::of(this_test!(), "user").with_variable("ProgramData", &machine);
    rerun.with_variable("LOCALAPPDATA", &session).finish().unwrap();
}
