//! Named sections where they are files: what else can be under a name, who else can be there, and
//! what is left when holders are killed.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use bifolio_map::names::{self, EntryKind, InUse, Lifetime, Scope};
use bifolio_map::{Access, Create, ErrorKind, Read, ReadWrite, Section, Space};
use bifolio_testkit::child::{self, Child, Rerun};
use bifolio_testkit::privilege::need_root;
use bifolio_testkit::skip::{self, Skip};
use bifolio_testkit::this_test;

use crate::names::{
    DIRECTORY, all_gone, creating, gone, listed, name, names_of_its_own, names_of_the_parent, soon,
    writing,
};
use crate::support::disk::{fill_up, on_tmpfs};
use crate::support::fork::forked_sleeper;
use crate::support::process::{alone, succeeds};
use crate::support::{page, pattern, refused, says, truncate};

/// What is in a directory, by whatever name.
fn files_in(dir: &Path) -> usize {
    std::fs::read_dir(dir).expect("the directory").count()
}

#[test]
fn what_is_no_section_is_neither_opened_nor_replaced_nor_unlinked() {
    let (dir, scope) = names_of_its_own();
    let at = |text: &str| dir.path().join(text);
    std::fs::create_dir(at("directory")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    assert!(succeeds(&["mkfifo", at("pipe").to_str().unwrap()]));
    std::fs::write(at("file"), pattern(0, 13)).unwrap();
    std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
    std::os::unix::fs::symlink(at("nowhere"), at("dangling")).unwrap();
    std::os::unix::fs::symlink(at("circle"), at("circle")).unwrap();
    for text in ["directory", "socket", "pipe", "link", "dangling", "circle"] {
        let name = name(text);
        let error =
            refused(Section::options().scope(scope.clone()).named(&name), ErrorKind::NotMappable);
        says(&error, &["cannot open the section", at(text).to_str().unwrap(), "it is a directory"]);
        refused(names::open_foreign(&name, &scope, Access::Read), ErrorKind::NotMappable);
        let error = refused(creating(&scope, 13).named(&name), ErrorKind::AlreadyExists);
        says(&error, &["cannot create the section", text]);
        refused(creating(&scope, 8 << 20).named(&name), ErrorKind::AlreadyExists);
        refused(names::unlink(&name, &scope), ErrorKind::NotMappable);
        let list = names::list(&scope).unwrap();
        let entry = list.iter().find(|entry| entry.name() == text).unwrap();
        assert_eq!((entry.kind(), entry.len()), (&EntryKind::Other, None), "{text}");
    }
    assert!(!at("nowhere").exists());
    assert_eq!(std::fs::read(at("file")).unwrap(), pattern(0, 13));
    assert_eq!(files_in(dir.path()), 7);
    // A file that somebody put there is a section, which nobody sweeps.
    assert_eq!(writing(&scope).named(&name("file")).unwrap().len().unwrap(), 13);
    assert!(listed(&scope).contains(&"file".into()));
}

/// A child that holds the name by a view alone, until it is killed.
fn holder(test: &str, dir: &Path) -> Child {
    let mut holder = Rerun::of(test, "holder").with_variable(DIRECTORY, dir).spawn().unwrap();
    holder.run_to("held", 1).unwrap();
    holder
}

#[test]
fn a_name_stays_with_one_survivor_and_is_gone_when_all_holders_are_killed() {
    if child::role().is_some() {
        let scope = names_of_the_parent();
        let options = writing(&scope).create(Create::IfMissing).len(page());
        let view = options.named(&name("held")).unwrap().view::<ReadWrite>().unwrap();
        // One after the other: no atomic is needed, which not every form of the library has.
        view.put(0, &(view.get::<u64>(0).unwrap() + 1)).unwrap();
        child::point("held");
        return;
    }
    let (dir, scope) = names_of_its_own();
    let holders: Vec<Child> = (0..3).map(|_| holder(this_test!(), dir.path())).collect();
    let mut left = holders.len();
    for holder in holders {
        let list = names::list(&scope).unwrap();
        assert_eq!((list.len(), list[0].in_use()), (1, InUse::Yes), "{left} holders live");
        let section = writing(&scope).named(&name("held")).unwrap();
        assert_eq!(section.view::<Read>().unwrap().get::<u64>(0).unwrap(), 3);
        drop(section);
        holder.kill().unwrap();
        left -= 1;
    }
    assert_eq!(files_in(dir.path()), 1, "killed processes remove nothing");
    refused(writing(&scope).named(&name("held")), ErrorKind::NotFound);
    assert_eq!(files_in(dir.path()), 0, "who looks removes it");
    // The next creator finds the place free, also if nobody looked before.
    holder(this_test!(), dir.path()).kill().unwrap();
    let section = creating(&scope, 13).named(&name("held")).unwrap();
    assert_eq!(section.view::<Read>().unwrap().read_vec(..).unwrap(), [0; 13]);
    drop(section);
    // A list looks as well.
    holder(this_test!(), dir.path()).kill().unwrap();
    all_gone(&scope);
    assert_eq!(files_in(dir.path()), 0);
}

#[test]
fn a_forked_child_that_lives_keeps_the_name() {
    if child::role().is_some() {
        // In a process of its own: fork with a single thread at work.
        let scope = names_of_the_parent();
        let section = creating(&scope, 13).named(&name("forked")).unwrap();
        let sleeper = forked_sleeper();
        drop(section);
        child::tell(&sleeper.to_string());
        return child::point("closed");
    }
    let (dir, scope) = names_of_its_own();
    let rerun = Rerun::of(this_test!(), "parent").with_variable(DIRECTORY, dir.path());
    let mut parent = rerun.spawn().unwrap();
    parent.run_to("closed", 1).unwrap();
    let sleeper = parent.told().last().unwrap().clone();
    parent.kill().unwrap();
    assert_eq!(writing(&scope).named(&name("forked")).unwrap().len().unwrap(), 13);
    assert_eq!(listed(&scope), ["forked"]);
    assert!(succeeds(&["kill", "-9", &sleeper]));
    gone(&scope, "forked");
}

#[test]
fn what_does_not_fit_is_refused_with_the_numbers_and_leaves_no_name() {
    on_tmpfs(this_test!(), 64 << 20, |dir| {
        let scope = Scope::Directory(dir.into());
        let free = || rustix::fs::statvfs(dir).unwrap().f_bfree;
        let before = free();
        for create in [Create::New, Create::IfMissing] {
            let options = writing(&scope).create(create).len(65 << 20);
            let error = refused(options.named(&name("large")), ErrorKind::StorageFull);
            says(&error, &["large", "68157440 bytes", "67108864"]);
        }
        assert_eq!((files_in(dir), free()), (0, before));
        let section = creating(&scope, 63 << 20).named(&name("large")).unwrap();
        let error = refused(section.set_len(65 << 20, Space::Allocate), ErrorKind::StorageFull);
        says(&error, &["2097152 bytes", "1048576 of 67108864"]);
        assert_eq!(section.len().unwrap(), 63 << 20);
        drop(section);
        soon("its space is not free", || free() == before);
        let ballast = fill_up(dir);
        refused(creating(&scope, 1).named(&name("one byte")), ErrorKind::StorageFull);
        let sparse = creating(&scope, 1 << 30).space(Space::Sparse).named(&name("sparse"));
        let view = sparse.unwrap().view_of::<ReadWrite>(..page()).unwrap();
        refused(view.put(0, &1u8), ErrorKind::StorageFull);
        drop(view);
        std::fs::remove_file(ballast).unwrap();
        all_gone(&scope);
        assert_eq!((files_in(dir), free()), (0, before));
    });
}

/// The file size limit is the net under this test: without the comparison, reserving would fail by
/// it, in another way, before it takes the machine's memory.
#[test]
fn more_memory_than_is_left_is_refused_with_the_numbers_however_large_the_file_system_is() {
    alone(this_test!(), || {
        let size = rustix::process::Rlimit { current: Some(64 << 20), maximum: Some(64 << 20) };
        rustix::process::setrlimit(rustix::process::Resource::Fsize, size).unwrap();
        on_tmpfs(this_test!(), 1 << 50, |dir| {
            let scope = Scope::Directory(dir.into());
            let wanted = 1 << 49;
            for create in [Create::New, Create::IfMissing] {
                let options = writing(&scope).create(create).len(wanted);
                let error = refused(options.named(&name("huge")), ErrorKind::OutOfMemory);
                says(&error, &["huge", "asked for 562949953421312 bytes of memory", "says"]);
            }
            let section = creating(&scope, 13).named(&name("grows")).unwrap();
            let error = refused(section.set_len(wanted, Space::Allocate), ErrorKind::OutOfMemory);
            says(&error, &["grows", "bytes of memory"]);
            assert_eq!(section.len().unwrap(), 13);
            // What exists is said to exist, however large a new one would have been.
            let again = creating(&scope, wanted).named(&name("grows"));
            refused(again, ErrorKind::AlreadyExists);
            let sparse = creating(&scope, 32 << 20).space(Space::Sparse).named(&name("sparse"));
            assert_eq!(sparse.unwrap().allocated().unwrap(), 0);
        });
    });
}

/// The same net.
#[test]
fn memory_that_grows_is_compared_with_what_is_left_whatever_it_is_called() {
    alone(this_test!(), || {
        let size = rustix::process::Rlimit { current: Some(64 << 20), maximum: Some(64 << 20) };
        rustix::process::setrlimit(rustix::process::Resource::Fsize, size).unwrap();
        let wanted = 1 << 46;
        let refused_all = |section: &Section| {
            let before = section.len().unwrap();
            let error = refused(section.set_len(wanted, Space::Allocate), ErrorKind::OutOfMemory);
            says(&error, &["cannot set the length of", "bytes of memory, and", "says"]);
            if cfg!(target_pointer_width = "64") {
                let view = section.growable::<ReadWrite>(wanted).unwrap();
                let error = refused(view.grow_to(wanted, Space::Allocate), ErrorKind::OutOfMemory);
                says(&error, &["cannot grow", "bytes of memory, and", "says"]);
            }
            assert_eq!(section.len().unwrap(), before);
            section.set_len(2 << 20, Space::Allocate).unwrap();
        };
        refused_all(&Section::anonymous(0).unwrap());
        on_tmpfs(this_test!(), 1 << 50, |dir| {
            refused_all(&Section::create(dir.join("plain"), 13).unwrap());
            refused_all(&Section::options().temporary(dir).unwrap());
            let scope = Scope::Directory(dir.into());
            refused_all(&creating(&scope, 13).named(&name("named")).unwrap());
        });
    });
}

#[test]
fn holes_in_memory_are_filled_only_if_there_is_room_for_what_they_lack() {
    on_tmpfs(this_test!(), 64 << 20, |dir| {
        let scope = Scope::Directory(dir.into());
        let named = creating(&scope, 80 << 20).space(Space::Sparse).named(&name("sparse")).unwrap();
        let plain = Section::create(dir.join("plain"), 0).unwrap();
        plain.set_len(80 << 20, Space::Sparse).unwrap();
        for section in [&named, &plain] {
            let error = refused(section.allocate(..), ErrorKind::StorageFull);
            says(&error, &["asked for 83886080 bytes", "of 67108864 left"]);
            let same = section.set_len(80 << 20, Space::Allocate);
            says(&refused(same, ErrorKind::StorageFull), &["of 67108864 left"]);
            assert_eq!(section.allocated().unwrap(), 0);
            // What is there already is not asked for again.
            section.allocate(..40 << 20).unwrap();
            section.allocate(..42 << 20).unwrap();
            section.set_len(0, Space::Sparse).unwrap();
        }
    });
}

/// Runs a role of the test where `mount` made `/dev` or `/dev/shm` something else, for it alone.
pub(crate) fn elsewhere(test: &str, role: &str, mount: &str) {
    let run = format!("{mount} && exec \"$@\"");
    let under = ["unshare", "-m", "--", "sh", "-c", &run, "sh"];
    if !succeeds(&["unshare", "-m", "--", "sh", "-c", &format!("{mount} && true")]) {
        return Skip::because("needs a mount namespace (unshare -m)").count();
    }
    Rerun::of(test, role).under(under).finish().unwrap();
}

#[test]
fn without_dev_shm_the_error_says_what_to_do() {
    if child::role().is_some() {
        for scope in [Scope::Session, Scope::Machine] {
            for result in [
                Section::options().scope(scope.clone()).named(&name("x")).map(drop),
                creating(&scope, 1).named(&name("x")).map(drop),
                names::unlink(&name("x"), &scope),
                names::list(&scope).map(drop),
            ] {
                let error = refused(result, ErrorKind::NotSupported);
                says(&error, &["there is no /dev/shm here", "Scope::Directory"]);
            }
        }
        let scope = Scope::Directory("/no such directory".into());
        let error = refused(creating(&scope, 1).named(&name("x")), ErrorKind::NotFound);
        says(&error, &["there is no /no such directory"]);
        return;
    }
    elsewhere(this_test!(), "no shm", "mount -t tmpfs none /dev");
}

#[test]
fn a_directory_of_the_session_that_is_not_the_users_is_refused() {
    if let Some(role) = child::role() {
        let user = rustix::process::geteuid().as_raw();
        let dir = format!("/dev/shm/bifolio-{user}");
        if role == "link" {
            std::fs::create_dir("/dev/shm/elsewhere").unwrap();
            std::os::unix::fs::symlink("elsewhere", &dir).unwrap();
        } else {
            std::fs::create_dir(&dir).unwrap();
            std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o770)).unwrap();
        }
        for result in [
            Section::create_named(&name("x"), 1).map(drop),
            Section::open_named(&name("x")).map(drop),
            names::list(&Scope::Session).map(drop),
        ] {
            let error = refused(result, ErrorKind::PermissionDenied);
            says(&error, &[&dir, "must be a directory of user", "remove it"]);
        }
        std::fs::remove_dir(&dir).or_else(|_| std::fs::remove_file(&dir)).unwrap();
        // And once it is right, it works, and nobody else can enter it; also if it is removed.
        for _ in 0..2 {
            let section = Section::create_named(&name("x"), 1).unwrap();
            assert_eq!(std::fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
            drop(section);
            gone(&Scope::Session, "x");
            std::fs::remove_dir(&dir).unwrap();
        }
        return;
    }
    for role in ["link", "open to the group"] {
        elsewhere(this_test!(), role, "mount -t tmpfs -o mode=1777 none /dev/shm");
    }
}

#[test]
fn somebody_elses_section_lets_in_whom_its_permissions_let_in() {
    let text = "bifolio test of permissions";
    if child::role().as_deref() == Some("nobody") {
        let open = |text: &str, access| {
            Section::options().scope(Scope::Machine).access(access).named(&name(text))
        };
        let error = refused(open("closed", Access::Read), ErrorKind::PermissionDenied);
        says(&error, &["/dev/shm/closed"]);
        refused(open(text, Access::ReadWrite), ErrorKind::PermissionDenied);
        let section = open(text, Access::Read).unwrap();
        assert_eq!(section.view::<Read>().unwrap().get::<u8>(0).unwrap(), 7);
        for taken in ["closed", text] {
            refused(creating(&Scope::Machine, 1).named(&name(taken)), ErrorKind::AlreadyExists);
            refused(names::unlink(&name(taken), &Scope::Machine), ErrorKind::PermissionDenied);
        }
        let entries = names::list(&Scope::Machine).unwrap();
        let closed = entries.iter().find(|entry| entry.name() == "closed").unwrap();
        assert_eq!((closed.owner(), closed.in_use()), ("0", InUse::Unknown));
        // A name for a file, by somebody else's word, is not followed.
        refused(open("alias", Access::Read), ErrorKind::PermissionDenied);
        return;
    }
    if child::role().as_deref() == Some("owner") {
        let file = std::env::temp_dir().join("bifolio test alias");
        std::fs::write(&file, b"x").unwrap();
        let open = creating(&Scope::Machine, 13).permissions(0o644).named(&name(text)).unwrap();
        open.view::<ReadWrite>().unwrap().put(0, &7u8).unwrap();
        let _closed = creating(&Scope::Machine, 13).named(&name("closed")).unwrap();
        let alias = creating(&Scope::Machine, 0).permissions(0o644).backed_by(&file);
        let _alias = alias.named(&name("alias")).unwrap();
        std::os::unix::fs::chown("/dev/shm/alias", Some(1), Some(1)).unwrap();
        let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        Rerun::of(this_test!(), "nobody").under(nobody).finish().unwrap();
        assert_eq!(std::fs::metadata(format!("/dev/shm/{text}")).unwrap().mode() & 0o666, 0o644);
        std::fs::remove_file(file).unwrap();
        return;
    }
    if skip::or_count(need_root()).is_none() {
        return;
    }
    let program = std::env::current_exe().unwrap();
    let can_run = ["setpriv", "--reuid=65534", "test", "-x", program.to_str().unwrap()];
    if !succeeds(&can_run) {
        return Skip::because("nobody cannot run the test program (or setpriv is missing)").count();
    }
    elsewhere(this_test!(), "owner", "mount -t tmpfs -o mode=1777 none /dev/shm");
}

#[test]
fn a_section_that_a_foreign_program_cuts_off_is_an_error_past_its_end() {
    let (dir, scope) = names_of_its_own();
    let section = creating(&scope, 4 * page()).named(&name("cut")).unwrap();
    let view = section.view::<ReadWrite>().unwrap();
    view.fill(.., 7).unwrap();
    let foreign = names::open_foreign(&name("cut"), &scope, Access::Read).unwrap();
    assert_eq!(foreign.mapped_len(), 4 * page());
    let stated = foreign.into_section(4 * page()).unwrap();
    let theirs = stated.view::<Read>().unwrap();
    truncate(&dir.path().join("cut"), page());
    for view_len in [section.len().unwrap(), stated.len().unwrap()] {
        assert_eq!(view_len, page());
    }
    let error = refused(view.get::<u64>(2 * page()), ErrorKind::UnexpectedEof);
    says(&error, &["cut", "the file ends at 4096 now"]);
    refused(theirs.get::<u64>(2 * page()), ErrorKind::UnexpectedEof);
    refused(view.put(3 * page(), &1u8), ErrorKind::UnexpectedEof);
    refused(stated.view_of::<Read>(..2 * page()), ErrorKind::OutOfBounds);
    assert_eq!(theirs.get::<u8>(page() - 1).unwrap(), 7);
}

#[test]
fn of_a_foreign_section_the_length_is_what_the_caller_says_and_trimming_is_a_guess() {
    let (dir, scope) = names_of_its_own();
    let path = dir.path().join("theirs");
    std::fs::write(&path, [b"13 bytes, yes".as_slice(), &[0; 50_000]].concat()).unwrap();
    let open = || names::open_foreign(&name("theirs"), &scope, Access::ReadWrite).unwrap();
    assert_eq!((open().mapped_len(), open().trimmed_len().unwrap()), (50_013, 13));
    let section = open().into_section(20).unwrap();
    assert_eq!(section.len().unwrap(), 20, "zeros may be data: the caller knows");
    assert_eq!(section.view::<Read>().unwrap().len(), 20);
    refused(section.view_of::<Read>(..21), ErrorKind::OutOfBounds);
    let error = refused(section.set_len(30, Space::Allocate), ErrorKind::NotSupported);
    says(&error, &["for the program that made it"]);
    let error = refused(open().into_section(50_014), ErrorKind::OutOfBounds);
    says(&error, &["asked for 50014 bytes, it has at most 50013"]);
    std::fs::write(&path, [0; 40_000]).unwrap();
    assert_eq!(open().trimmed_len().unwrap(), 0);
    assert_eq!(names::list(&scope).unwrap()[0].lifetime(), Lifetime::Persistent);
    drop(section);
    assert!(path.exists(), "a foreign section takes part in nothing");
}
