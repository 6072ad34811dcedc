//! Sections: what they stand on, how long they are, how they are handed on.

use std::fs::File;
use std::io::{Read as _, Seek, SeekFrom, Write};
use std::ops::ControlFlow;

use bifolio_map::section::Currency;
use bifolio_map::{
    Access, CopyOnWrite, Create, ErrorKind, Flush, Read, ReadWrite, Section, SectionKind, Space,
    View, page_size,
};
use bifolio_testkit::child::{self, Rerun};
use bifolio_testkit::this_test;

use crate::support::{directory, file_of, page, pattern, refused, says};

#[test]
fn a_section_says_what_it_is() {
    let (dir, path) = file_of(pattern(0, 13));
    let file = Section::open(&path).unwrap();
    assert_eq!((file.kind(), file.access()), (SectionKind::File, Access::Read));
    assert_eq!((file.path(), file.len().unwrap()), (Some(path.as_path()), 13));
    assert_eq!(Section::open_rw(&path).unwrap().access(), Access::ReadWrite);
    let memory = Section::anonymous(5).unwrap();
    assert_eq!((memory.kind(), memory.access()), (SectionKind::Anonymous, Access::ReadWrite));
    assert_eq!((memory.path(), memory.len().unwrap()), (None, 5));
    let temporary = Section::temporary(6).unwrap();
    assert_eq!((temporary.kind(), temporary.path()), (SectionKind::Temporary, None));
    assert_eq!(temporary.len().unwrap(), 6);
    assert_eq!(temporary.is_current().unwrap(), Currency::Nameless);
    let here = Section::options().len(6).temporary(dir.path()).unwrap();
    assert_eq!(here.view::<Read>().unwrap().read_vec(..).unwrap(), [0; 6]);
}

#[test]
fn a_new_file_has_its_length_and_zeros_and_space_behind_them() {
    let dir = directory();
    for len in [0, 1, 4095, 4096, 4097, 1 << 20] {
        let path = dir.path().join(len.to_string());
        let section = Section::create(&path, len).unwrap();
        assert_eq!((section.len().unwrap(), section.access()), (len, Access::ReadWrite));
        assert!(section.allocated().unwrap() >= len, "space is allocated by default");
        assert!(std::fs::read(&path).unwrap().iter().all(|&byte| byte == 0));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), len);
        refused(Section::create(&path, 1), ErrorKind::AlreadyExists);
        assert_eq!(section.len().unwrap(), len, "the loser changed nothing");
        assert_eq!(section.is_current().unwrap(), Currency::Current);
    }
}

#[test]
fn creating_needs_write_access_and_says_so() {
    let dir = directory();
    let path = dir.path().join("new");
    for create in [Create::New, Create::IfMissing] {
        let error = refused(Section::options().create(create).open(&path), ErrorKind::InvalidInput);
        says(&error, &[path.to_str().unwrap(), "add access(Access::ReadWrite)"]);
    }
    assert!(!path.exists());
}

#[test]
fn if_missing_opens_what_is_there_as_it_is() {
    let (dir, path) = file_of(pattern(0, 13));
    let options = Section::options().access(Access::ReadWrite).create(Create::IfMissing).len(4096);
    let section = options.open(&path).unwrap();
    assert_eq!(section.view::<Read>().unwrap().read_vec(..).unwrap(), pattern(0, 13));
    assert_eq!(options.open(dir.path().join("other")).unwrap().len().unwrap(), 4096);
}

#[test]
fn the_length_is_live() {
    let (_dir, path) = file_of(b"");
    let section = Section::open(&path).unwrap();
    assert_eq!(section.len().unwrap(), 0);
    let mut file = File::options().append(true).open(&path).unwrap();
    file.write_all(b"111\r\n222\r\n333").unwrap();
    assert_eq!(section.len().unwrap(), 13);
    assert_eq!(section.view::<Read>().unwrap().len(), 13);
    file.write_all(b"4").unwrap();
    assert_eq!(section.clone().len().unwrap(), 14);
}

#[test]
fn growing_adds_zeros_and_shrinking_and_growing_again_too() {
    let dir = directory();
    let file = Section::create(dir.path().join("file"), 10).unwrap();
    let options = Section::options().len(10).capacity(1 << 20);
    for section in [file, options.anonymous().unwrap(), options.temporary(dir.path()).unwrap()] {
        for space in [Space::Allocate, Space::Sparse] {
            section.view::<ReadWrite>().unwrap().fill(.., 7).unwrap();
            section.set_len(3 * page(), space).unwrap();
            assert_eq!(section.len().unwrap(), 3 * page());
            let bytes = section.view::<Read>().unwrap().read_vec(..).unwrap();
            assert!(bytes[..10] == [7; 10] && bytes[10..].iter().all(|&byte| byte == 0));
            if space == Space::Allocate {
                assert!(section.allocated().unwrap() >= 3 * page());
            }
            section.set_len(10, space).unwrap();
            assert_eq!(section.view::<Read>().unwrap().read_vec(..).unwrap(), [7; 10]);
        }
    }
}

#[test]
fn a_read_only_section_keeps_its_length_and_says_why() {
    let (_dir, path) = file_of(pattern(0, 13));
    let section = Section::open(&path).unwrap();
    for len in [0, 13, 14] {
        for space in [Space::Allocate, Space::Sparse] {
            let error = refused(section.set_len(len, space), ErrorKind::ModeMismatch);
            says(
                &error,
                &["cannot set the length of", "open for reading only", "Access::ReadWrite"],
            );
        }
    }
    refused(section.allocate(..), ErrorKind::ModeMismatch);
    assert_eq!(std::fs::read(&path).unwrap(), pattern(0, 13));
}

#[test]
fn allocating_neither_moves_the_end_nor_touches_a_byte() {
    let (_dir, path) = file_of(pattern(0, 13));
    let section = Section::open_rw(&path).unwrap();
    section.allocate(..).unwrap();
    section.allocate(5..7).unwrap();
    section.allocate(13..).unwrap();
    refused(section.allocate(..14), ErrorKind::OutOfBounds);
    assert_eq!(std::fs::read(&path).unwrap(), pattern(0, 13));
}

#[test]
fn a_snapshot_keeps_the_bytes_of_its_moment() {
    let (_dir, path) = file_of(pattern(0, 5 * page_size() + 3));
    let section = Section::open_rw(&path).unwrap();
    let snapshot = section.snapshot().unwrap();
    section.view::<ReadWrite>().unwrap().fill(.., 0).unwrap();
    assert_eq!(snapshot.len().unwrap(), 5 * page() + 3);
    assert!(
        snapshot.view::<Read>().unwrap().read_vec(..).unwrap() == pattern(0, 5 * page_size() + 3)
    );
    assert_eq!(Section::anonymous(0).unwrap().snapshot().unwrap().len().unwrap(), 0);
}

#[test]
fn a_missing_file_or_directory_is_not_found_and_named() {
    let dir = directory();
    let path = dir.path().join("missing");
    let name = path.to_str().unwrap();
    says(&refused(Section::open(&path), ErrorKind::NotFound), &["cannot open", name]);
    refused(Section::open_rw(&path), ErrorKind::NotFound);
    let inside = path.join("file");
    says(&refused(Section::create(&inside, 1), ErrorKind::NotFound), &["cannot create"]);
    let temporary = Section::options().len(1).temporary(&path);
    says(&refused(temporary, ErrorKind::NotFound), &["cannot create a temporary file in", name]);
    assert!(!path.exists());
}

#[test]
fn an_empty_path_is_an_error_and_creates_nothing() {
    let empty = Section::open("").unwrap_err();
    assert!(matches!(empty.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput), "{empty}");
    let created = Section::create("", 1).unwrap_err();
    assert!(matches!(created.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput), "{created}");
    let nul = Section::open("a\0b").unwrap_err();
    assert_eq!(nul.kind(), ErrorKind::InvalidInput, "{nul}");
}

#[test]
fn an_open_file_gives_the_section_that_its_mode_allows() {
    let (_dir, path) = file_of(pattern(0, 13));
    let read_only = Section::from_file(File::open(&path).unwrap()).unwrap();
    assert_eq!(read_only.access(), Access::Read);
    refused(read_only.view::<ReadWrite>(), ErrorKind::ModeMismatch);
    let private: View<CopyOnWrite> = read_only.view().unwrap();
    private.put(0, &9u8).unwrap();
    let both = File::options().read(true).write(true).open(&path).unwrap();
    let both = Section::from_file(both).unwrap();
    assert_eq!((both.access(), both.kind()), (Access::ReadWrite, SectionKind::File));
    both.view::<ReadWrite>().unwrap().put(0, &8u8).unwrap();
    let write_only = File::options().write(true).open(&path).unwrap();
    let error = refused(Section::from_file(write_only), ErrorKind::ModeMismatch);
    says(&error, &["opened for writing only", "a map has to read"]);
    assert_eq!(std::fs::read(&path).unwrap()[0], 8);
}

#[test]
fn a_file_opened_for_appending_is_written_where_the_view_says() {
    let size = 40 * page_size();
    let (_dir, path) = file_of(&vec![0; size]);
    let file = File::options().read(true).append(true).open(&path).unwrap();
    let section = Section::from_file(file).unwrap();
    // Windows opens such a file without the right to write elsewhere, and so do we.
    if cfg!(windows) && section.access() == Access::Read {
        return;
    }
    let view: View<ReadWrite> = section.view().unwrap();
    view.drop_behind(..).unwrap();
    // A bulk write, which elsewhere goes by a system call: on this handle the call would append.
    view.write_at(page(), pattern(0, 30 * page_size())).unwrap();
    view.put(5, &7u8).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!((bytes.len(), bytes[5]), (size, 7));
    assert!(bytes[page_size()..31 * page_size()] == *pattern(0, 30 * page_size()));
}

#[test]
fn the_cursor_of_an_open_file_is_never_moved() {
    let (_dir, path) = file_of(pattern(0, 100_000));
    let mut file = File::options().read(true).write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(7)).unwrap();
    let section = Section::from_file(file.try_clone().unwrap()).unwrap();
    let view: View<ReadWrite> = section.view().unwrap();
    view.write_at(0, pattern(0, 100_000)).unwrap();
    section.holes().unwrap();
    section.set_len(100_001, Space::Allocate).unwrap();
    section.snapshot().unwrap();
    section.sync(Flush::Full).unwrap();
    let flow = view.scan(.., |_| ControlFlow::<()>::Continue(()));
    assert_eq!(flow.unwrap(), ControlFlow::Continue(()));
    assert_eq!(file.stream_position().unwrap(), 7);
    let mut byte = [0];
    file.read_exact(&mut byte).unwrap();
    assert_eq!(byte, pattern(7, 1));
}

#[test]
fn children_inherit_memory_and_temporary_files_and_share_their_bytes() {
    const TOKENS: &str = "BIFOLIO_TEST_TOKENS";
    if child::role().is_some() {
        let tokens = std::env::var(TOKENS).unwrap();
        for token in tokens.split(' ') {
            let section = Section::inherited(token).unwrap();
            let view: View<ReadWrite> = section.view().unwrap();
            assert_eq!(view.len(), 5000);
            assert_eq!(view.read_vec(..3).unwrap(), b"abc");
            view.write_at(4990, b"from child").unwrap();
            child::tell(&format!("{:?}", section.kind()));
        }
        return;
    }
    let dir = directory();
    let options = Section::options().len(5000);
    let sections = [options.anonymous().unwrap(), options.temporary(dir.path()).unwrap()];
    let views = sections.each_ref().map(|section| section.view::<ReadWrite>().unwrap());
    for view in &views {
        view.write_at(0, b"abc").unwrap();
    }
    let inheritances = sections.each_ref().map(|section| section.inherit().unwrap());
    let tokens = inheritances.each_ref().map(|inheritance| inheritance.token()).join(" ");
    let told = Rerun::of(this_test!(), "heir").with_variable(TOKENS, tokens).finish().unwrap();
    assert_eq!(told, ["Anonymous", "Temporary"]);
    drop(inheritances);
    for view in &views {
        assert_eq!(view.read_vec(4990..).unwrap(), b"from child");
    }
    // On Windows it has one until its last user is gone.
    let names = || std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(names(), usize::from(cfg!(windows)));
    drop((sections, views));
    // Other tests start processes meanwhile, and on Windows those inherit too while there is
    // something to inherit: it has a name until they have ended.
    crate::names::soon("it has no name", || names() == 0);
}

#[test]
fn a_token_that_is_wrong_finds_nothing_and_says_why() {
    let section = Section::anonymous(13).unwrap();
    let inheritance = section.inherit().unwrap();
    let token = inheritance.token();
    assert_eq!(Section::inherited(token).unwrap().len().unwrap(), 13);
    for text in [
        "",
        "bifolio1",
        "bifolio1:1:2:3:rw:a",
        "bifolio2:1:2:3:rw:a:13",
        "bifolio1:x:2:3:rw:a:13",
        "bifolio1:1:2:3:w:a:13",
        "bifolio1:1:2:3:rw:x:13",
        "bifolio1:1:2:3:rw:a:13:1",
        "bifolio1:-1:2:3:rw:a:13",
    ] {
        let error = refused(Section::inherited(text), ErrorKind::InvalidInput);
        says(&error, &["is not a token of Section::inherit", text]);
    }
    // A number that stands for another file is not taken for the section.
    let parts: Vec<&str> = token.split(':').collect();
    let other = Section::anonymous(13).unwrap().inherit().unwrap();
    let other: Vec<&str> = other.token().split(':').collect();
    let mixed = [parts[0], parts[1], other[2], other[3], parts[4], parts[5], parts[6]].join(":");
    says(&refused(Section::inherited(&mixed), ErrorKind::NotFound), &["did not inherit it"]);
    let nobody = [parts[0], "987654", parts[2], parts[3], parts[4], parts[5], parts[6]].join(":");
    refused(Section::inherited(&nobody), ErrorKind::NotFound);
}

#[test]
fn who_starts_outside_the_time_of_an_inheritance_inherits_nothing() {
    const TOKEN: &str = "BIFOLIO_TEST_HEIRLOOM";
    let found = |token: &str| {
        // In a process of its own, since the number may stand for anything in this one.
        let heir = Rerun::of(this_test!(), "heir").with_variable(TOKEN, token).finish();
        heir.unwrap().join(" ")
    };
    if child::role().is_some() {
        let token = std::env::var(TOKEN).unwrap();
        match Section::inherited(&token) {
            Ok(_) if child::role().as_deref() == Some("heir") => {
                // What was inherited goes no further.
                let rerun = Rerun::of(this_test!(), "grandchild").with_variable(TOKEN, &token);
                let below = rerun.finish().unwrap().join(" ");
                child::tell(&format!("found, and below it: {below}"));
            }
            Ok(_) => child::tell("found"),
            Err(error) => child::tell(&format!("{:?}", error.kind())),
        }
        return;
    }
    let section = Section::anonymous(13).unwrap();
    let inheritance = section.inherit().unwrap();
    let token = inheritance.token().to_owned();
    assert_eq!(found(&token), "found, and below it: NotFound");
    // This process looked for it, and can go on to bequeath it.
    drop(Section::inherited(&token).unwrap());
    assert_eq!(found(&token), "found, and below it: NotFound");
    drop(inheritance);
    assert_eq!(found(&token), "NotFound");
}

#[test]
fn what_options_say_is_done_or_refused_and_never_ignored() {
    let dir = directory();
    let reading = Section::options().access(Access::Read).len(page());
    for outcome in [reading.anonymous(), reading.temporary(dir.path())] {
        says(&refused(outcome, ErrorKind::InvalidInput), &["has to be writable", "Access::Read"]);
    }
    let error = refused(Section::options().permissions(0o644).anonymous(), ErrorKind::InvalidInput);
    says(&error, &["cannot create anonymous memory", "permissions"]);
    let writing = Section::options().access(Access::ReadWrite).len(page());
    assert_eq!(writing.anonymous().unwrap().access(), Access::ReadWrite);
    assert_eq!(writing.temporary(dir.path()).unwrap().access(), Access::ReadWrite);
}

#[cfg(target_os = "linux")]
#[test]
fn anonymous_memory_is_taken_at_once_if_space_is_asked_for_and_lazily_otherwise() {
    let options = Section::options().len(64 * page());
    let taken = options.clone().space(Space::Allocate).anonymous().unwrap();
    assert_eq!(taken.allocated().unwrap(), 64 * page());
    for lazy in [options.anonymous(), options.clone().space(Space::Sparse).anonymous()] {
        assert_eq!(lazy.unwrap().allocated().unwrap(), 0);
    }
    // Far more than any machine has is refused before anything is taken.
    let error =
        refused(options.len(1 << 50).space(Space::Allocate).anonymous(), ErrorKind::OutOfMemory);
    says(&error, &["asked for 1125899906842624 bytes", "killed for it, says"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_temporary_file_has_the_permissions_that_were_asked_for() {
    use std::os::unix::fs::PermissionsExt;
    let dir = directory();
    let mode = |section: &Section| {
        let file = section.as_file().expect("a file");
        file.metadata().unwrap().permissions().mode() & 0o777
    };
    let options = Section::options().len(5);
    assert_eq!(mode(&options.temporary(dir.path()).unwrap()), 0o600);
    assert_eq!(mode(&options.permissions(0o400).temporary(dir.path()).unwrap()), 0o400);
}

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[test]
fn scratch_larger_than_memory_is_to_be_had_and_zero_where_it_is_touched() {
    if std::fs::read_to_string("/proc/sys/vm/overcommit_memory").is_ok_and(|s| s.trim() == "2") {
        return bifolio_testkit::skip::Skip::because("strict accounting refuses it").count();
    }
    let mut scratch = bifolio_map::Scratch::zeroed(1 << 40).unwrap();
    scratch[1 << 39] = 7;
    assert_eq!(scratch[(1 << 39) - 1..][..3], [0, 7, 0]);
}
