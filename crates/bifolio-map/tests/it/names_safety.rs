//! Named sections beside the user's own files, and beside other users: what is never removed,
//! never followed, and never in the way without a word.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use bifolio_map::names::{self, EntryKind, InUse, Lifetime, Scope};
use bifolio_map::{Create, ErrorKind, Read, Section, SectionKind, Space};
use bifolio_testkit::child::{self, Rerun};
use bifolio_testkit::privilege::need_root;
use bifolio_testkit::skip::{self, Skip};
use bifolio_testkit::this_test;

use crate::names::{
    DIRECTORY, creating, gone, listed, name, names_of_its_own, names_of_the_parent, writing,
};
use crate::names_linux::elsewhere;
use crate::support::fork::in_forked_child;
use crate::support::process::succeeds;
use crate::support::{pattern, refused, says};

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn nothing_that_only_looks_like_a_dead_name_is_removed() {
    let (dir, scope) = names_of_its_own();
    let modes = [
        0o1777, 0o1644, 0o1600, 0o1666, 0o1700, 0o1755, 0o1770, 0o2755, 0o2644, 0o3600, 0o3644,
        0o3775, 0o7777, 0o4755, 0o610, 0o601, 0o711, 0o3610, 0o5610, 0o1601,
    ];
    let files = modes.iter().map(|&mode| (format!("thesis {mode:o}.txt"), mode));
    let hidden = [".bashrc.new", ".x.1.0.new", ".x.0.new", ".new", "..new", ".thesis.1.new"];
    let hidden = hidden.into_iter().flat_map(|text| {
        [0o644, 0o1777, 0o1600]
            .map(|mode| (format!("{text}{}", if mode == 0o644 { "" } else { ".new" }), mode))
    });
    let files: Vec<(String, u32)> = files.chain(hidden).collect();
    for (text, mode) in &files {
        let path = dir.path().join(text);
        std::fs::write(&path, pattern(0, 13)).unwrap();
        set_mode(&path, *mode);
    }
    let all_there = |when: &str| {
        for (text, mode) in &files {
            let path = dir.path().join(text);
            assert!(path.exists(), "{when}: {text} with mode {mode:o} was removed");
            assert_eq!(std::fs::read(&path).unwrap(), pattern(0, 13), "{when}: {text}");
        }
    };
    // The first creation of this process in the directory looks for the dead.
    drop(creating(&scope, 13).named(&name("x")).unwrap());
    all_there("created");
    let list = listed(&scope);
    all_there("listed");
    let shown = |text: &str| list.iter().any(|listed| listed == text);
    assert!(shown("thesis 1777.txt") && shown(".bashrc.new"), "{list:?}");
    for (text, mode) in files.iter().filter(|(text, _)| text.starts_with("thesis")) {
        let opened = Section::options().scope(scope.clone()).named(&name(text));
        if *mode == 0o1601 {
            // It has the mark of a name for a file, and holds none.
            says(&refused(opened, ErrorKind::Corrupt), &["marked as a file's name"]);
        } else {
            assert_eq!(opened.unwrap().len().unwrap(), 13, "{text}");
        }
        refused(creating(&scope, 1).named(&name(text)), ErrorKind::AlreadyExists);
    }
    all_there("opened");
    assert!(!listed(&scope).contains(&"x".into()));
}

#[test]
fn a_dead_name_with_the_mark_is_removed_if_it_is_ours() {
    let (dir, scope) = names_of_its_own();
    let path = dir.path().join("dead");
    let leave = || {
        std::fs::write(&path, b"x").unwrap();
        set_mode(&path, 0o1610);
    };
    leave();
    assert!(listed(&scope).is_empty() && !path.exists());
    leave();
    refused(writing(&scope).named(&name("dead")), ErrorKind::NotFound);
    assert!(!path.exists());
    leave();
    assert_eq!(creating(&scope, 13).named(&name("dead")).unwrap().len().unwrap(), 13);
    if skip::or_count(need_root()).is_none() {
        return;
    }
    // In a directory of somebody's choice root removes its own only, unless told to.
    leave();
    chown(&path, Some(1234), None).unwrap();
    set_mode(&path, 0o1610);
    assert!(listed(&scope).is_empty() && path.exists());
    refused(writing(&scope).named(&name("dead")), ErrorKind::NotFound);
    assert!(path.exists());
    let error = refused(creating(&scope, 13).named(&name("dead")), ErrorKind::PermissionDenied);
    says(&error, &["cannot create the section", "user 1234", "names::unlink"]);
    let error =
        refused(creating(&scope, 8 << 20).named(&name("dead")), ErrorKind::PermissionDenied);
    says(&error, &["user 1234"]);
    refused(names::unlink(&name("dead"), &scope), ErrorKind::NotFound);
    assert!(!path.exists());
}

/// Three parties: a creator, another opener, and a child of the creator, which closes while the
/// other one has it.
#[test]
fn a_childs_close_beside_another_opener_leaves_the_name_to_its_creator() {
    if child::role().is_some() {
        let scope = names_of_the_parent();
        let mut section = Some(creating(&scope, 13).named(&name("kept")).unwrap());
        let opener = writing(&scope).named(&name("kept")).unwrap();
        let closed = in_forked_child(|| {
            drop(section.take());
            0
        });
        assert_eq!(closed, Some(0));
        drop(opener);
        assert_eq!(writing(&scope).named(&name("kept")).unwrap().len().unwrap(), 13);
        assert_eq!(listed(&scope), ["kept"]);
        drop(section);
        return gone(&scope, "kept");
    }
    let (dir, _) = names_of_its_own();
    Rerun::of(this_test!(), "creator").with_variable(DIRECTORY, dir.path()).finish().unwrap();
}

#[test]
fn a_descriptor_that_was_handed_on_keeps_the_name() {
    let (_dir, scope) = names_of_its_own();
    let section = creating(&scope, 13).named(&name("lent")).unwrap();
    let opener = writing(&scope).named(&name("lent")).unwrap();
    let duplicate = section.as_file().unwrap().try_clone().unwrap();
    drop(section);
    drop(opener);
    assert_eq!(writing(&scope).named(&name("lent")).unwrap().len().unwrap(), 13);
    drop(duplicate);
    gone(&scope, "lent");
}

#[test]
fn names_keep_their_marks_whatever_the_umask_and_the_directory() {
    if child::role().is_some() {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o777));
        let scope = names_of_the_parent();
        let Scope::Directory(dir) = &scope else { unreachable!() };
        let file = dir.join("data");
        std::fs::write(&file, pattern(0, 13)).unwrap();
        set_mode(&file, 0o600);
        for lifetime in [Lifetime::LastHandle, Lifetime::Persistent] {
            let options = creating(&scope, 13).lifetime(lifetime).permissions(0o666);
            let section = options.named(&name("section")).unwrap();
            let alias = options.backed_by(&file).named(&name("alias")).unwrap();
            assert_eq!(alias.kind(), SectionKind::File);
            for text in ["section", "alias"] {
                let mode = mode_of(&dir.join(text));
                assert_eq!(mode & 0o666, 0o600, "{text} has mode {mode:o}");
                let opened = writing(&scope).named(&name(text)).unwrap();
                assert_eq!(opened.view::<Read>().unwrap().len(), 13);
            }
            assert_eq!(writing(&scope).named(&name("alias")).unwrap().kind(), SectionKind::File);
            // Writing takes the set-group-id bit away, if that were the mark.
            section.set_len(20_000, Space::Allocate).unwrap();
            let entry = names::list(&scope).unwrap();
            let entry = entry.iter().find(|entry| entry.name() == "section").unwrap();
            assert_eq!((entry.lifetime(), entry.kind()), (lifetime, &EntryKind::Section));
            drop((section, alias));
            for text in ["section", "alias"] {
                if lifetime == Lifetime::Persistent {
                    names::unlink(&name(text), &scope).unwrap();
                }
                gone(&scope, text);
            }
        }
        std::fs::remove_file(&file).unwrap();
        return;
    }
    let (dir, _) = names_of_its_own();
    let rerun = || Rerun::of(this_test!(), "creator").with_variable(DIRECTORY, dir.path());
    rerun().finish().unwrap();
    // As an ordinary user, in a set-group-id directory of a group that is not the user's.
    if skip::or_count(need_root()).is_none() || !nobody_can_run() {
        return;
    }
    chown(dir.path(), Some(65534), Some(1234)).unwrap();
    set_mode(dir.path(), 0o2770);
    rerun().under(NOBODY).finish().unwrap();
}

const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

fn nobody_can_run() -> bool {
    let program = std::env::current_exe().unwrap();
    let can_run = succeeds(&["setpriv", "--reuid=65534", "test", "-x", program.to_str().unwrap()]);
    if !can_run {
        Skip::because("nobody cannot run the test program (or setpriv is missing)").count();
    }
    can_run
}

#[test]
fn a_name_for_a_file_that_others_may_rewrite_is_refused() {
    let (dir, scope) = names_of_its_own();
    let file = dir.path().join("data");
    std::fs::write(&file, pattern(0, 13)).unwrap();
    let path = dir.path().join("alias");
    let options = creating(&scope, 0).permissions(0o666).backed_by(&file);
    let _alias = options.named(&name("alias")).unwrap();
    assert_eq!(mode_of(&path) & 0o022, 0, "others may rewrite it");
    let reading = || Section::options().scope(scope.clone()).named(&name("alias"));
    assert_eq!(reading().unwrap().len().unwrap(), 13);
    let kind = || {
        let list = names::list(&scope).unwrap();
        list.into_iter().find(|entry| entry.name() == "alias").unwrap().kind().clone()
    };
    assert_eq!(kind(), EntryKind::File(file.clone()));
    let mode = mode_of(&path);
    for bits in [0o020, 0o002] {
        set_mode(&path, mode | bits);
        says(&refused(reading(), ErrorKind::PermissionDenied), &["may change where"]);
        assert_eq!(kind(), EntryKind::Other);
    }
    set_mode(&path, mode);
    assert_eq!(reading().unwrap().len().unwrap(), 13);
}

#[test]
fn permissions_that_keep_the_owner_out_are_refused() {
    let (_dir, scope) = names_of_its_own();
    for bits in [0o200, 0o400, 0o066, 0] {
        for create in [Create::New, Create::IfMissing] {
            let options = creating(&scope, 13).create(create).permissions(bits);
            let error = refused(options.named(&name("x")), ErrorKind::InvalidInput);
            says(&error, &[&format!("permissions {bits:o}"), "owner"]);
        }
    }
    assert!(listed(&scope).is_empty());
}

#[test]
fn a_dead_name_of_another_user_is_no_name_and_a_creator_is_told_whose_it_is() {
    if child::role().as_deref() == Some("nobody") {
        let scope = Scope::Machine;
        assert!(!listed(&scope).contains(&"left".into()));
        refused(writing(&scope).named(&name("left")), ErrorKind::NotFound);
        for len in [13, 8 << 20] {
            let error =
                refused(creating(&scope, len).named(&name("left")), ErrorKind::PermissionDenied);
            says(&error, &["/dev/shm/left", "processes of user 1234 that have ended"]);
        }
        refused(names::unlink(&name("left"), &scope), ErrorKind::NotFound);
        assert!(Path::new("/dev/shm/left").exists());
        return;
    }
    if child::role().as_deref() == Some("owner") {
        let path = Path::new("/dev/shm/left");
        std::fs::write(path, b"x").unwrap();
        chown(path, Some(1234), Some(1234)).unwrap();
        set_mode(path, 0o1676);
        Rerun::of(this_test!(), "nobody").under(NOBODY).finish().unwrap();
        // Root tidies up where the names are the system's.
        assert!(listed(&Scope::Machine).is_empty() && !path.exists());
        return;
    }
    if skip::or_count(need_root()).is_some() && nobody_can_run() {
        elsewhere(this_test!(), "owner", "mount -t tmpfs -o mode=1777 none /dev/shm");
    }
}

/// The system removes the user's directory at log-out, and then anybody can make one of its name.
#[test]
fn a_directory_of_the_session_is_looked_at_each_time() {
    if child::role().is_some() {
        let user = rustix::process::geteuid().as_raw();
        let dir = format!("/dev/shm/bifolio-{user}");
        drop(Section::create_named(&name("x"), 1).unwrap());
        std::fs::remove_dir(&dir).unwrap();
        std::fs::create_dir(&dir).unwrap();
        set_mode(dir.as_ref(), 0o777);
        for result in [
            Section::create_named(&name("x"), 1).map(drop),
            Section::open_named(&name("x")).map(drop),
            names::unlink(&name("x"), &Scope::Session),
            names::list(&Scope::Session).map(drop),
        ] {
            let error = refused(result, ErrorKind::PermissionDenied);
            says(&error, &[&dir, "must be a directory of user"]);
        }
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
        return;
    }
    elsewhere(this_test!(), "logged out", "mount -t tmpfs -o mode=1777 none /dev/shm");
}

/// An ordinary user's list, where some entries are not for that user to read.
#[test]
fn one_entry_that_cannot_be_looked_into_leaves_the_rest_of_a_list() {
    if child::role().is_some() {
        let scope = names_of_the_parent();
        let list = names::list(&scope).unwrap();
        let names: Vec<_> = list.iter().map(names::Entry::name).collect();
        assert_eq!(names, ["closed", "open", "pointer"]);
        assert_eq!((list[0].in_use(), list[0].len()), (InUse::Unknown, Some(13)));
        assert_eq!(list[1].len(), Some(13));
        assert_eq!((list[2].kind(), list[2].len()), (&EntryKind::Other, None));
        return;
    }
    if skip::or_count(need_root()).is_none() || !nobody_can_run() {
        return;
    }
    let (dir, scope) = names_of_its_own();
    set_mode(dir.path(), 0o755);
    let _closed = creating(&scope, 13).named(&name("closed")).unwrap();
    let _open = creating(&scope, 13).permissions(0o644).named(&name("open")).unwrap();
    let options = creating(&scope, 0).permissions(0o644).backed_by("/etc/passwd");
    let _pointer = options.named(&name("pointer")).unwrap();
    chown(dir.path().join("pointer"), Some(1234), None).unwrap();
    set_mode(&dir.path().join("pointer"), 0o1655);
    let rerun = Rerun::of(this_test!(), "reader").with_variable(DIRECTORY, dir.path());
    rerun.under(NOBODY).finish().unwrap();
}

/// The umask takes a part of the marks away, and the system does not let them be put back.
#[cfg(target_arch = "x86_64")]
#[test]
fn marks_that_cannot_be_kept_are_an_error_and_no_name_is_left() {
    crate::support::process::alone(this_test!(), || {
        let (dir, scope) = names_of_its_own();
        let file = dir.path().join("data");
        std::fs::write(&file, pattern(0, 13)).unwrap();
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        crate::support::seccomp::forbid(libc::SYS_fchmod, libc::EPERM);
        for lifetime in [Lifetime::LastHandle, Lifetime::Persistent] {
            let options = creating(&scope, 13).lifetime(lifetime);
            let error =
                refused(options.backed_by(&file).named(&name("x")), ErrorKind::NotSupported);
            says(&error, &["does not keep the mode bits that mark it"]);
        }
        refused(creating(&scope, 13).named(&name("x")), ErrorKind::NotSupported);
        assert_eq!(listed(&scope), ["data"]);
        // What needs no mark is made all the same.
        let options = creating(&scope, 13).lifetime(Lifetime::Persistent);
        assert_eq!(options.named(&name("x")).unwrap().len().unwrap(), 13);
    });
}

/// On a file system without files that have no name (`O_TMPFILE`).
#[test]
fn a_name_made_aside_leaves_nothing_beside_it() {
    crate::support::disk::on_ramfs(this_test!(), |dir| {
        let scope = Scope::Directory(dir.into());
        for lifetime in [Lifetime::LastHandle, Lifetime::Persistent] {
            let options = creating(&scope, 13).lifetime(lifetime).space(Space::Sparse);
            let section = options.named(&name("x")).unwrap();
            refused(options.named(&name("x")), ErrorKind::AlreadyExists);
            assert_eq!(listed(&scope), ["x"]);
            assert_eq!(std::fs::read_dir(dir).unwrap().count(), 1);
            drop(section);
            if lifetime == Lifetime::Persistent {
                names::unlink(&name("x"), &scope).unwrap();
            }
            gone(&scope, "x");
        }
    });
}
